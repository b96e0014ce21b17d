# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The learner: rsl_rl's runner and PPO, with checkpoints that continue exactly."""
