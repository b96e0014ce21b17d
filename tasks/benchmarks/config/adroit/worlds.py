# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The worlds of gymnasium-robotics with a hand, and how this project's experts see and move them.

The experts (``Zprl-Door-Adroit`` and its like) were made for this project's own observations and commands;
:class:`Translation` reads the former off the benchmark's simulation and turns the latter into what its actuators take.
"""

# mujoco's compiled modules describe themselves to no type checker.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import contextlib
import io
from typing import Any

import gymnasium
import mujoco
import numpy as np

from zprl.tasks.benchmarks.world import NamedWorld
from zprl.tasks.robots.assets.adroit_arms import ARMS
from zprl.tasks.robots.assets.adroit_joints import GRASP_CENTER, HAND_RANGES, SHOULDER

CARRIERS = {"pen": "fixed", "door": "four_axes", "hammer": "two_axes"}
"""What carries the hand, by task."""

FEATURES = {
    "door": {
        **{"joint_pos": 27, "latch_pos": 1, "hinge_pos": 1},
        **{"palm_pos": 3, "handle_pos": 3, "palm_to_handle": 3, "is_open": 1},
    },
    "hammer": {
        **{"joint_pos": 26, "nail_pos": 1, "hammer_vel": 6, "palm_pos": 3},
        **{"hammer_pos": 3, "hammer_euler": 3, "target_pos": 3, "nail_force": 1},
    },
    "pen": {
        **{"joint_pos": 24, "pen_pos": 3, "pen_vel": 6, "pen_axis": 3},
        **{"target_axis": 3, "pos_error": 3, "axis_error": 3},
    },
}
"""What the benchmark observes, in its order, with sizes. The door's leaves the first joint of the arm out."""

_FIRST_JOINT = {"FF": 3, "LF": 4, "MF": 3, "RF": 3, "TH": 4}
"""Number of each finger's first joint; its last has the number 0."""

_HAND = [*("WRJ1", "WRJ0"), *(f"{name}J{n}" for name, most in _FIRST_JOINT.items() for n in range(most, -1, -1))]
"""The hand's joints in the order in which this project's observations have them."""


class Translation:
    """Between this project's hand tasks and a model of the benchmark.

    Args:
        task: "door", "hammer" or "pen".
        model: The benchmark's model.

    Attributes:
        order: Which element of an action of this project's tasks each actuator takes (A,).
    """

    def __init__(self, task: str, model: mujoco.MjModel) -> None:
        arm = {joint.name: joint.limits for joint in ARMS[CARRIERS[task]]}
        self._task, self._model = task, model
        self._rows = [model.joint(name).qposadr[0] for name in (*arm, *_HAND)]
        ranges = {**arm, **HAND_RANGES}
        low, high = np.array(list(ranges.values())).T
        # The arm's servos push with 500 times the command and pull with 200 times the position.
        gain = np.array([0.4 if name in arm else 1.0 for name in ranges])
        order = np.argsort([model.actuator(f"A_{name}").id for name in ranges])
        self.order = order
        self._centre, self._half = gain * (low + high) / 2, gain * (high - low) / 2

    def controls(self, action: np.ndarray) -> np.ndarray:
        """Return what the benchmark's actuators take for an action of this project's tasks (..., A), in their order."""
        return (self._centre + np.clip(action, -1.0, 1.0) * self._half)[..., self.order]

    def observe(self, data: mujoco.MjData) -> np.ndarray:
        """Return what this project's experts see of a world (D,), without noise."""
        palm = data.body("palm")
        parts: list[Any] = [data.qpos[self._rows]]
        parts += _pose(palm.xpos + palm.xmat.reshape(3, 3) @ GRASP_CENTER, palm.xmat)
        if self._task == "door":
            parts.append([data.joint("door_hinge").qpos[0], data.joint("latch").qpos[0]])
            parts.append(data.site("S_handle").xpos - SHOULDER)
            return np.concatenate(parts)
        thing, velocity = data.body("Object"), np.zeros(6)
        mujoco.mj_objectVelocity(self._model, data, mujoco.mjtObj.mjOBJ_BODY, thing.id, velocity, 0)
        velocity = np.concatenate([velocity[3:], velocity[:3]])
        if self._task == "hammer":
            parts += [*_pose(thing.xpos, thing.xmat), velocity]
            parts += [data.site("S_target").xpos - SHOULDER, data.joint("nail_dir").qpos]
        else:
            target = data.body("target").xmat.reshape(3, 3)[:, 2]
            parts += [thing.xpos - SHOULDER, thing.xmat.reshape(3, 3)[:, 2], velocity, target]
        return np.concatenate(parts)


class HandWorld(NamedWorld):
    """A world of the benchmark that this project's experts can act in.

    Args:
        env: See :class:`NamedWorld`, as what is not named here.
        task: "door", "hammer" or "pen".
        **options: Of :class:`NamedWorld`.
    """

    def __init__(self, env: gymnasium.Env, task: str, **options: Any) -> None:
        super().__init__(env, FEATURES[task], **options)
        inner: Any = env.unwrapped
        self._data = inner.data
        self._centre, self._half = inner.act_mean, inner.act_rng
        self._translation = Translation(task, inner.model)

    @property
    def idle_action(self) -> tuple[float, ...]:
        """What commands every joint to where episodes begin, 0."""
        return tuple(np.clip(-self._centre / self._half, -1.0, 1.0).tolist())

    def seen_by_expert(self) -> np.ndarray:
        """Return what this project's expert sees (D,)."""
        return self._translation.observe(self._data)

    def translation(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return offset, scale and order (A,) that make an action of this project's task one of the benchmark's.

        ``offset + scale * action[order]``; see :func:`translated`.
        """
        low, high = (self._translation.controls(np.full(len(self._centre), limit)) for limit in (-1.0, 1.0))
        offset, scale = ((low + high) / 2 - self._centre) / self._half, (high - low) / 2 / self._half
        return offset, scale, self._translation.order


def translated(action: np.ndarray, translation: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    """Return actions of this project's task as the benchmark's, both (..., A).

    The benchmark cuts commands off at +-1: some of its actuators' ranges end a little sooner than ours.

    Args:
        action: Actions of this project's task.
        translation: What :meth:`HandWorld.translation` returned.
    """
    offset, scale, order = translation
    return np.clip(offset + scale * np.clip(action, -1.0, 1.0)[..., order], -1.0, 1.0)


def make_world(task: str, reward: str, reward_scale: float, steps_at_goal: int) -> HandWorld:
    """Make a world of the benchmark.

    Args:
        task: "door", "hammer" or "pen".
        reward: "sparse" or "dense".
        reward_scale: What rewards are multiplied by.
        steps_at_goal: Steps at the goal that make a success.
    """
    # It says which of its rewards have changed; that is in docs/benchmarks.md.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        import gymnasium_robotics

        gymnasium.register_envs(gymnasium_robotics)
        env = gymnasium.make(f"AdroitHand{task.capitalize()}-v1", reward_type=reward, disable_env_checker=True)
    return HandWorld(env, task, steps_at_goal=steps_at_goal, reward_scale=reward_scale)


def _pose(position: np.ndarray, matrix: Any) -> list[np.ndarray]:
    """Return a position relative to the shoulder, and the first two columns of an orientation."""
    columns = np.asarray(matrix).reshape(3, 3)
    return [position - np.asarray(SHOULDER), columns[:, 0], columns[:, 1]]
