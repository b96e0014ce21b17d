# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Worlds in processes of their own: a vector environment of Gymnasium, several worlds to a process.

::

    WorkerVectorEnv  --- "step" -->  worker: its worlds one after another  --- done -->  WorkerVectorEnv
          actions, observations, rewards and ends: one piece of shared memory, in which each world has its row
"""

from zprl.sim.workers.vector_env import WorkerVectorEnv as WorkerVectorEnv
