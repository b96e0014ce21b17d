# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Assets authored by this project, offline: no mesh, no network, no third-party licence."""

from .franka_panda import FRANKA_PANDA_USD as FRANKA_PANDA_USD
from .franka_panda import write_franka_panda as write_franka_panda
