# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""MDP terms shared by all task families."""

from isaaclab.utils.module import lazy_export

lazy_export()
