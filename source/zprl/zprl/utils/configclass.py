# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Isaac Lab's ``configclass`` where Isaac Lab is installed, and dataclasses elsewhere.

A robot needs no simulator, nor does a machine that only checks the kernels.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

if TYPE_CHECKING or importlib.util.find_spec("isaaclab") is not None:
    from isaaclab.utils import configclass
else:
    from dataclasses import dataclass as configclass

__all__ = ["configclass"]
