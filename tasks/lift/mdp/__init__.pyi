# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

from .terms import object_lifted as object_lifted

from zprl.tasks.mdp import *  # noqa: F403
