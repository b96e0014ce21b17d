# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings that must be in place before a test module imports the simulator, and the order of the tests."""

import collections
import contextlib
import os
import signal

# Small networks run several times slower on many threads than on one. PyTorch reads this when it is imported, so the
# tests that do not need PyTorch do not have to import it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A job in the background ignores SIGINT, and so would the processes that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The simulator never differentiates its kernels. Without gradients they compile in about half the time, but only if
# Warp knows before Newton is imported.
with contextlib.suppress(ImportError):
    import warp

    warp.config.enable_backward = False


def pytest_collection_modifyitems(items):
    """Begin with the files that take minutes, so that no worker is left alone with one at the end.

    pytest-xdist would begin with those of most tests (`make test` tells it to keep this order).
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    count = collections.Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path not in slow, -count[item.path], item.path))


def pytest_terminal_summary(terminalreporter):
    """Print where the time goes: by folder, set-up included, added up over the processes of a run."""
    seconds = collections.Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if hasattr(report, "duration"):
                parts = report.nodeid.split("::")[0].split("/")
                seconds["/".join(parts[:2])] += report.duration
    if len(seconds) > 1:
        terminalreporter.write_sep("=", f"{sum(seconds.values()):.0f} s of tests")
        for name, duration in seconds.most_common():
            terminalreporter.write_line(f"{duration:7.0f} s  {name}")
