# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""MDP terms of the lift family."""

from isaaclab.utils.module import lazy_export

lazy_export()
