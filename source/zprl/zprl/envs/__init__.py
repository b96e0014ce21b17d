# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Environments as policies, learners and evaluations see them, whatever simulates them."""

from zprl.envs.chunk_loop import ChunkLoop as ChunkLoop
from zprl.envs.task_env import Step as Step
from zprl.envs.task_env import TaskEnv as TaskEnv
