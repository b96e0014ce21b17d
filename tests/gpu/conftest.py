# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Tests that need a CUDA device. Elsewhere they are collected and skipped, all for one reason."""

import functools
import os
from pathlib import Path

import pytest
import torch

from zprl import build_info


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.gpu)


@functools.cache
def missing():
    """What stands in the way, or None."""
    if not torch.cuda.is_available():
        return "needs a CUDA device, and torch finds none"
    if build_info().get("cuda") is None:
        return "this build has no CUDA kernels: build it with nvcc and ZPRL_CUDA=ON"
    return None


def pytest_runtest_setup(item):
    """Skip here rather than in a fixture or a mark: pytest then reports all tests in one line."""
    reason = missing()
    if reason:
        pytest.skip(reason)


@pytest.fixture(autouse=True)
def finished_work():
    """Let a kernel's failure show in the test that launched it."""
    yield
    torch.cuda.synchronize()


def pytest_runtest_logfinish():
    """End a worker of pytest-xdist whose GPU has faulted, which puts a new one in its place.

    A fault spoils the whole process: every test after it would fail as well.
    """
    if "PYTEST_XDIST_WORKER" in os.environ and torch.cuda.is_initialized():
        try:
            torch.cuda.synchronize()
        except RuntimeError:
            os._exit(3)
