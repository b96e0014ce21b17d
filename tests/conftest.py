# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings that must be in place before a test module imports the simulator."""

import contextlib
import os

# Small networks run several times slower on many threads than on one. PyTorch reads this when it is imported, so the
# tests that do not need PyTorch do not have to import it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The simulator never differentiates its kernels. Without gradients they compile in about half the time, but only if
# Warp knows before Newton is imported.
with contextlib.suppress(ImportError):
    import warp

    warp.config.enable_backward = False
