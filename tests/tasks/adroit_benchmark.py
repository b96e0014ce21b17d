# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The benchmark's own worlds, seen and moved as this project's hand tasks are: its models, steps and contacts.

``python -m tests.tasks.adroit_benchmark 200`` says in how many of so many episodes each expert succeeds there, and how
many control steps one core simulates in a second.
"""

# mujoco's compiled modules describe themselves to no type checker.
# pyright: reportAttributeAccessIssue=false

import importlib.util
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch

STEPS_PER_ACTION = 10

HELD = {"pen": 20, "door": 25, "hammer": 25}
"""Actions for which success has to last."""


def model_of(task):
    """Return the benchmark's own model of a task."""
    package = importlib.util.find_spec("gymnasium_robotics")
    if package is None or package.origin is None:
        pytest.skip("the extra 'benchmarks' is not installed")
    folder = Path(package.origin).parent / "envs" / "assets" / "adroit_hand"
    return mujoco.MjModel.from_xml_path(str(folder / f"adroit_{task}.xml"))


class World:
    """A world of a task, "pen", "door" or "hammer"."""

    def __init__(self, task):
        from zprl.tasks.benchmarks.config.adroit.worlds import Translation

        self.task, self.model = task, model_of(task)
        self.data = mujoco.MjData(self.model)
        self.translation = Translation(task, self.model)

    def reset(self, rng):
        """Start an episode: draw what the benchmark draws."""
        mujoco.mj_resetData(self.model, self.data)
        if self.task == "door":
            self.model.body("frame").pos = rng.uniform([-0.3, 0.25, 0.252], [-0.2, 0.35, 0.35])
        elif self.task == "hammer":
            self.model.body("nail_board").pos[2] = rng.uniform(0.1, 0.25)
        else:
            self.target = np.zeros(4)
            a, b = rng.uniform(-1.0, 1.0, 2)
            about_x, about_y = [np.cos(a / 2), np.sin(a / 2), 0.0, 0.0], [np.cos(b / 2), 0.0, np.sin(b / 2), 0.0]
            mujoco.mju_mulQuat(self.target, about_x, about_y)
            self.model.body("target").quat = self.target
            self.model.body("target").pos = [2.0, 0.0, 0.0]  # what collides there is a mark here
        mujoco.mj_forward(self.model, self.data)

    def step(self, action):
        """Act for 0.02 s; return whether the goal is reached now."""
        self.data.ctrl[:] = self.translation.controls(action)
        mujoco.mj_step(self.model, self.data, STEPS_PER_ACTION)
        mujoco.mj_forward(self.model, self.data)
        if self.task == "door":
            return self.data.joint("door_hinge").qpos[0] >= 1.35
        if self.task == "hammer":
            return np.linalg.norm(self.data.site("S_target").xpos - self.data.site("nail_goal").xpos) < 0.01
        pen = self.data.body("Object")
        near = np.linalg.norm(pen.xpos - [0.0, -0.2, 0.25]) < 0.075
        return near and pen.xmat.reshape(3, 3)[:, 2] @ self._aim() > 0.95

    def _aim(self):
        matrix = np.zeros(9)
        mujoco.mju_quat2Mat(matrix, self.target)
        return matrix.reshape(3, 3)[:, 2]


@dataclass
class Outcome:
    """What came of some episodes: successes, control steps, and the time that the simulation took [s]."""

    successes: int = 0
    steps: int = 0
    seconds: float = 0.0


def run(world, act, episodes, seed=0):
    """Act in episodes of 2 s, which end when the goal has lasted for as long as it has to."""
    rng, found = np.random.default_rng(seed), Outcome()
    for _ in range(episodes):
        world.reset(rng)
        held = 0
        for _ in range(100):
            action = act(world.translation.observe(world.data))
            begun = time.process_time()
            reached = world.step(action)
            found.seconds += time.process_time() - begun
            found.steps += 1
            held = held + 1 if reached else 0
            if held == HELD[world.task]:
                found.successes += 1
                break
    return found


def run_expert(task, episodes):
    """Let a task's expert act; see :func:`run`."""
    import zprl.tasks
    from zprl.tasks.experts import ExpertActor

    file = Path(zprl.tasks.__path__[0]) / task / "config" / "adroit" / f"{task}_expert.safetensors"
    network = ExpertActor.load(file).network()
    return run(World(task), lambda seen: network(torch.tensor(seen).float()[None])[0].numpy(), episodes)


if __name__ == "__main__":
    for name in HELD:
        outcome = run_expert(name, int(sys.argv[1]))
        rate = outcome.steps / outcome.seconds
        print(f"{name}: {outcome.successes} of {sys.argv[1]} episodes succeed, {rate:,.0f} control steps/s")
