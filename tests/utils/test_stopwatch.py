# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Stopwatch: the host's clock on a CPU, the device's events on a GPU."""

import time

import pytest
import torch

from zprl.utils.stopwatch import Stopwatch


def test_time_on_a_cpu_adds_up_and_leaves_out_what_is_between():
    watch = Stopwatch("cpu")
    for _ in range(2):
        with watch.running():
            time.sleep(0.02)
        time.sleep(0.02)
    assert 0.04 <= watch.seconds < 0.08
    watch.seconds = 3.0
    with watch.running():
        pass
    assert watch.seconds == pytest.approx(3.0, abs=0.01)


class FakeGpu:
    """A device on which a stage takes 5 ms, and whose events pass when it is told to, or when the host waits."""

    def __init__(self, monkeypatch):
        self.recorded, self.passed, self.waits = 0, 0, 0
        monkeypatch.setattr(torch.cuda, "Event", lambda enable_timing: FakeEvent(self))
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)


class FakeEvent:
    def __init__(self, gpu):
        self.gpu, self.number = gpu, 0

    def record(self, stream):
        self.gpu.recorded += 1
        self.number = self.gpu.recorded

    def query(self):
        return self.number <= self.gpu.passed

    def synchronize(self):
        self.gpu.waits += 1
        self.gpu.passed = max(self.gpu.passed, self.number)

    def elapsed_time(self, end):
        assert self.query() and end.query(), "asked before the device got there"
        return 5.0 * (end.number - self.number)


def test_time_on_a_gpu_waits_only_when_it_is_read(monkeypatch):
    gpu, watch = FakeGpu(monkeypatch), Stopwatch("cuda")
    for _ in range(3):
        with watch.running():
            pass
    assert gpu.waits == 0
    assert watch.seconds == pytest.approx(0.015)
    assert gpu.waits == 1
    assert watch.seconds == pytest.approx(0.015)
    with watch.running():
        pass
    gpu.passed = gpu.recorded
    with watch.running():  # collects the one before
        pass
    assert len(watch._pending) == 1
    assert watch.seconds == pytest.approx(0.025)
    watch.seconds = 1.0
    assert watch.seconds == 1.0
