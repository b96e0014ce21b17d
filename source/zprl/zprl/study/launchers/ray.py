# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Processes by Ray, a task of Ray's for each."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zprl.study.launchers.launcher import Job, check_options, import_extra
from zprl.study.launchers.process import run_process
from zprl.utils.errors import ZprlError, first_line, one_sentence

_OPTIONS = {"address": str, "num_cpus": (int, float), "num_gpus": (int, float), "memory": int, "accelerator_type": str}
"""The cluster's address, and what a task asks of it, with types."""


@dataclass(frozen=True)
class RayHandle:
    """A job that was given to Ray."""

    reference: Any
    """Ray's reference to the exit status."""
    log: Path


class RayLauncher:
    """Gives jobs to a cluster of Ray's.

    It is the one that ``address`` or ``RAY_ADDRESS`` names or that runs on this machine, or else one that is started
    here and ends with the study. A job whose machine fails is started anew by Ray and goes on at its last checkpoint.
    If the study is killed, Ray ends its jobs.

    Args:
        num_parallel: Jobs that Ray knows at once, or None for all.
        options: ``address`` and what a task asks of the cluster: ``num_cpus`` (default: 1), ``num_gpus``, ``memory`` in
            bytes and ``accelerator_type``.

    Raises:
        ZprlError: If Ray is not installed or an option does not exist.
    """

    def __init__(self, num_parallel: int | None, options: Mapping[str, Any]) -> None:
        self._ray = import_extra("ray", "ray")
        check_options("ray", options, _OPTIONS)
        asked = {"num_cpus": 1, **options}
        self._address = asked.pop("address", None)
        self._task = self._ray.remote(run_process).options(**asked)
        self.num_parallel = num_parallel
        self.threads = max(1, int(asked["num_cpus"]))

    def start(self, job: Job, locks: Sequence[int]) -> RayHandle:
        """See :class:`zprl.study.launchers.launcher.Launcher`."""
        self._connect()
        job.log.parent.mkdir(parents=True, exist_ok=True)
        return RayHandle(self._task.remote(job.prepare, job.log.resolve(), Path.cwd()), job.log)

    def _connect(self) -> None:
        """Join the cluster, if that was not done yet.

        Raises:
            ZprlError: If there is none at the address.
        """
        if self._ray.is_initialized():
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # or it would tell its makers
        on_sigterm = signal.getsignal(signal.SIGTERM)
        try:
            self._ray.init(self._address, log_to_driver=False, configure_logging=False, include_dashboard=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ZprlError(
                f"--launcher ray cannot join a cluster ({one_sentence(error)}); check address or RAY_ADDRESS."
            ) from error
        signal.signal(signal.SIGTERM, on_sigterm)  # which Ray replaces by the end of the process

    def poll(self, handle: RayHandle) -> int | None:
        """See :class:`zprl.study.launchers.launcher.Launcher`."""
        ended, _ = self._ray.wait([handle.reference], timeout=0)
        if not ended:
            return None
        try:
            return self._ray.get(handle.reference)
        except self._ray.exceptions.RayError as error:
            with handle.log.open("a") as log:
                print(f"Ray: {first_line(error)}", file=log)
            return -signal.SIGKILL

    def stop(self, handles: Sequence[RayHandle]) -> None:
        """See :class:`zprl.study.launchers.launcher.Launcher`."""
        left = [handle.reference for handle in handles]
        for force in (False, True):
            if left:
                for reference in left:
                    self._ray.cancel(reference, force=force)
                _, left = self._ray.wait(left, num_returns=len(left), timeout=15)
