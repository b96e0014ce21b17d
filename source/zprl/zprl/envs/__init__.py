# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Environments as the learner sees them: one step is one action chunk."""

from zprl.envs.chunked_env import ChunkedVecEnv as ChunkedVecEnv
from zprl.spec import EnvLayout as EnvLayout
