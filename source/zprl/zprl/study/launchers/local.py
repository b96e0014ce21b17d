# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Processes on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from zprl.study.launchers.launcher import Job, check_options
from zprl.study.launchers.process import Process, start_process, stop_processes


class LocalLauncher:
    """Runs jobs on this machine; if the study is killed, the kernel kills their processes.

    Args:
        num_parallel: Jobs at once, which share the cores, or None for one per core.
        options: There are none.

    Raises:
        ZprlError: If there is an option.
    """

    def __init__(self, num_parallel: int | None, options: Mapping[str, Any]) -> None:
        check_options("local", options, {})
        cores = len(os.sched_getaffinity(0))
        self.num_parallel: int | None = num_parallel or cores
        self.threads = max(1, cores // self.num_parallel)

    def start(self, job: Job, locks: Sequence[int]) -> Process:
        """See :class:`zprl.study.launchers.launcher.Launcher`."""
        return start_process(job.prepare(), job.log, locks)

    def poll(self, handle: Process) -> int | None:
        """See :class:`zprl.study.launchers.launcher.Launcher`."""
        return handle.poll()

    def stop(self, handles: Sequence[Process]) -> None:
        """See :class:`zprl.study.launchers.launcher.Launcher`."""
        stop_processes(handles)
