# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""ZPRL for Isaac Lab: steer a frozen flow policy through a latent bottleneck with reinforcement learning.

Importing this package is cheap: it imports neither torch nor Isaac Lab. Import the part you need, for example
:mod:`zprl.policies` for the base policy or :mod:`zprl.tasks` for the Isaac Lab environments.
"""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = ["__version__", "build_info"]


def build_info() -> dict[str, object]:
    """What this installation was built with; see :func:`zprl.policies.native.library.build_info`."""
    from zprl.policies.native.library import build_info as native_build_info

    return native_build_info()
