# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A world of a few numbers, in processes: what a worker imports, and a program that is killed; see test_workers.py.

``python -m tests.sim.drifting_world`` steps five worlds in two processes until it is ended, once it has printed theirs.
"""

import os
import signal

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

RAISES, DIES, EXITS = 2.0, 3.0, 4.0
"""First elements of actions that break a world."""


class DriftingWorld(gymnasium.Env):
    """Moves by the action and by chance; ends beyond 1 or after 4 to 9 steps, and may say whether that is a success."""

    def __init__(self, says=True):
        self.observation_space = Dict(
            {"policy": Dict({"place": Box(-9, 9, (2,)), "draw": Box(-9, 9, (3,), np.float64)})}
        )
        self.action_space = Box(-1.0, 1.0, (2,), np.float32)
        self.says = says

    def reset(self, *, seed=None, options=None):
        """Draw where it begins and how long it lasts."""
        super().reset(seed=seed)
        self.place, self.left = self.np_random.random(2).astype(np.float32), int(self.np_random.integers(4, 10))
        return self.observe(), {}

    def observe(self):
        """Return what is seen."""
        return {"policy": {"place": self.place.copy(), "draw": self.np_random.random(3)}}

    def step(self, action):
        """Move, or break."""
        if action[0] == RAISES:
            raise FloatingPointError("the world is out of joint")
        if action[0] == DIES:
            os.kill(os.getpid(), signal.SIGKILL)
        if action[0] == EXITS:
            os._exit(7)
        self.place += 0.2 * action + 0.1 * self.np_random.standard_normal(2).astype(np.float32)
        self.left -= 1
        beyond = bool(self.place[0] > 1.0)
        info = {"success": bool(self.place[1] > 0.5)} if self.says else {}
        return self.observe(), float(self.place.sum()), beyond, self.left == 0 and not beyond, info

    def name(self, suffix):
        """Return a name that tells its process."""
        return f"{os.getpid()}{suffix}"


if __name__ == "__main__":
    from tests.sim.drifting_world import DriftingWorld as Importable

    from zprl.sim.workers import WorkerVectorEnv
    from zprl.utils.errors import run_cli

    def step_for_ever():
        """Step until somebody ends it."""
        worlds = WorkerVectorEnv(Importable, 5, 2)
        worlds.reset(seed=0)
        print(*worlds.pids, flush=True)
        try:
            while True:
                worlds.step(np.zeros((5, 2)))
        finally:
            worlds.close()

    run_cli(step_for_ever)
