# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Durations of stages that alternate, on a device whose work the host does not wait for."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.profiler import record_function


class Stopwatch:
    """Adds up how long a stage took.

    On a CUDA device the host runs ahead, so its clock would measure how fast work is queued. Events on the device's own
    timeline are used there instead; they cost no synchronisation until :attr:`seconds` is read.

    Args:
        device: Device that does the stage's work.
        name: Name of the stage in a trace of torch's profiler.
    """

    def __init__(self, device: str | torch.device, name: str = "stage") -> None:
        self._device = torch.device(device)
        self._name = name
        self._seconds = 0.0
        self._pending: deque[tuple[torch.cuda.Event, torch.cuda.Event]] = deque()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time spent in this context."""
        if self._device.type != "cuda":
            start = time.perf_counter()
            with record_function(self._name):
                yield
            self._seconds += time.perf_counter() - start
            return
        self._collect()
        start_event, end_event = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        stream = torch.cuda.current_stream(self._device)
        start_event.record(stream)
        with record_function(self._name):
            yield
        end_event.record(stream)
        self._pending.append((start_event, end_event))

    @property
    def seconds(self) -> float:
        """Time counted so far [s]. Reading it waits for the stage's last work."""
        if self._pending:
            self._pending[-1][1].synchronize()
            self._collect()
        return self._seconds

    @seconds.setter
    def seconds(self, value: float) -> None:
        self._pending.clear()
        self._seconds = value

    def _collect(self) -> None:
        """Add the measurements that the device has passed already."""
        while self._pending and self._pending[0][1].query():
            start, end = self._pending.popleft()
            self._seconds += 1e-3 * start.elapsed_time(end)
