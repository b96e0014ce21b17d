# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Gymnasium's vector environments as a :class:`zprl.envs.TaskEnv`.

Gymnasium lets a vector environment choose when a world whose episode has ended begins the next one (its
``AutoresetMode``): within the same step, with the next one, or when it is told to. Here it is always the same step: the
other two are told to, by a reset with the option ``reset_mask``.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, VectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array
from torch import Tensor

from zprl.envs.task_env import Step, preserved_random_state
from zprl.sim.gymnasium.spaces import read, read_actions, read_layout
from zprl.spec import Observations, TaskSpec
from zprl.utils.errors import ZprlError


class GymnasiumEnv:
    """A vector environment of Gymnasium; see :class:`zprl.envs.TaskEnv`.

    Its observations are a Box, which becomes the group ``policy``, or a Dict, of which each key becomes a group: a box
    of floats (D,), a Dict of such boxes, which become features side by side, or an image (height, width, channels) of
    floats or uint8. Its actions are one box of floats. Whether an episode succeeded stands in ``info[success_key]``, in
    every step or at least where episodes end.

    Args:
        task: Task id.
        env: The environment. Its worlds are reset.
        step_dt: Control period [s]; one frame of ``metadata["render_fps"]`` if None.
        max_episode_length: Longest episode [control steps]; ``max_episode_steps`` of the environment's spec if None.
        privileged: Names of the groups that only a simulator knows.
        tracked: Names of the features whose first three numbers are a position [m]; see :class:`zprl.spec.TaskSpec`.
        idle_action: What keeps the robots as they are (A,); zero, or the limit next to it, if None.
        success_key: Where ``info`` says whether a world succeeded.
        device: Device of the tensors.

    Raises:
        ZprlError: If observations or actions have a form that policies cannot be given, a name is unknown, or the
            environment does not say what is needed of it.
    """

    staggers = False
    tells_final_observations = True

    def __init__(
        self,
        task: str,
        env: VectorEnv,
        *,
        step_dt: float | None = None,
        max_episode_length: int | None = None,
        privileged: Sequence[str] = (),
        tracked: Sequence[str] = (),
        idle_action: Sequence[float] | None = None,
        success_key: str = "success",
        device: str = "cpu",
    ) -> None:
        self.env = env
        self.num_envs = int(env.num_envs)
        self.device = device
        self.success_key = success_key
        self._layout = read_layout(task, env.single_observation_space, privileged)
        actions = read_actions(task, env.single_action_space, idle_action)
        assert isinstance(env.single_action_space, spaces.Box)
        self._action_dtype = env.single_action_space.dtype
        step_dt = _step_dt(task, env) if step_dt is None else step_dt
        groups = tuple(group for group, _ in self._layout)
        self.spec = TaskSpec(task, groups, (actions,), float(step_dt), tuple(tracked))
        self._check_tracked()
        length = _max_episode_steps(task, env) if max_episode_length is None else max_episode_length
        self.max_episode_length = int(length)
        self._mode = _autoreset_mode(task, env)
        self._elapsed = np.zeros(self.num_envs, dtype=np.int64)
        self._check_seeds()

    @property
    def unwrapped(self) -> VectorEnv:
        """The vector environment, which experts see."""
        return self.env

    @property
    def elapsed(self) -> Tensor:
        """Control steps of each running episode (N,)."""
        return torch.from_numpy(self._elapsed.copy()).to(self.device)

    @elapsed.setter
    def elapsed(self, value: Tensor) -> None:
        raise ZprlError(f"episodes of task {self.spec.task} cannot begin with used-up time: Gymnasium has no such way.")

    def reset(self, seed: int | None = None) -> Observations:
        """See :meth:`zprl.envs.TaskEnv.reset`."""
        if seed is None:
            return self._begin(None)
        _seed_globals(seed)
        # Not seed, seed + 1, ..., as Gymnasium would do: seeds next to each other would share almost all worlds.
        return self._begin([int(value) for value in np.random.SeedSequence(seed).generate_state(self.num_envs)])

    def reset_to(self, seeds: Sequence[int]) -> Observations:
        """See :meth:`zprl.envs.TaskEnv.reset_to`."""
        # An environment with one world may draw from them; every policy gets the same draws.
        with preserved_random_state():
            _seed_globals(seeds[0])
            return self._begin([*map(int, seeds), *[int(seeds[-1])] * (self.num_envs - len(seeds))])

    def _begin(self, seeds: list[int] | None) -> Observations:
        self._elapsed[:] = 0
        # A list is what SyncVectorEnv and AsyncVectorEnv take beyond the base class; others were asked at the start.
        obs, _ = self.env.reset(seed=seeds)  # type: ignore[arg-type]
        return self._tensors(read(self._layout, obs))

    def step(self, action: Tensor) -> Step:
        """See :meth:`zprl.envs.TaskEnv.step`."""
        raw, reward, terminated, truncated, info = self.env.step(
            action.detach().cpu().numpy().astype(self._action_dtype, copy=False)
        )
        terminated, truncated = np.asarray(terminated, dtype=bool), np.asarray(truncated, dtype=bool)
        ended = terminated | truncated
        success = self._success(info, ended)
        self._count(ended)
        obs, final = read(self._layout, raw), None
        if ended.any():
            obs, final = self._renewed(obs, info, ended)
        return Step(
            self._tensors(obs),
            self._tensor(np.asarray(reward, dtype=np.float32)),
            self._tensor(terminated),
            self._tensor(truncated),
            self._tensor(success),
            torch.zeros(self.num_envs, dtype=torch.bool, device=self.device),
            None if final is None else self._tensors(final),
        )

    def noiseless(self) -> AbstractContextManager[None]:
        """See :meth:`zprl.envs.TaskEnv.noiseless`; Gymnasium knows no observation noise apart from the environment."""
        return contextlib.nullcontext()

    def close(self) -> None:
        """See :meth:`zprl.envs.TaskEnv.close`."""
        self.env.close()

    # -- ends of episodes

    def _renewed(
        self, obs: dict[str, np.ndarray], info: Mapping[str, Any], ended: np.ndarray
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Return the observations of the fresh episodes and the final ones of those that ended."""
        if self._mode is AutoresetMode.SAME_STEP:
            return obs, self._final_observations(obs, info, ended)
        final = {name: value.copy() for name, value in obs.items()}
        # Copied, because environments keep and change what they are given.
        raw, _ = self.env.reset(options={"reset_mask": ended.copy()})
        obs = read(self._layout, raw)
        vectors = [group.name for group in self.spec.vectors] or list(obs)
        if any(not np.array_equal(final[name][~ended], obs[name][~ended], equal_nan=True) for name in vectors):
            raise ZprlError(
                f"the environment of task {self.spec.task} begins new episodes also in worlds that "
                'options["reset_mask"] of its reset leaves out; make it begin them by itself in the same step '
                "(AutoresetMode.SAME_STEP)."
            )
        return obs, final

    def _final_observations(
        self, obs: dict[str, np.ndarray], info: Mapping[str, Any], ended: np.ndarray
    ) -> dict[str, np.ndarray]:
        found = info.get("final_obs")
        told = np.asarray(info.get("_final_obs", np.full(self.num_envs, found is not None)), dtype=bool)
        if (ended & ~told).any():
            raise ZprlError(
                f"the environment of task {self.spec.task} ends episodes and does not tell their last observations in "
                'info["final_obs"], which Gymnasium asks of AutoresetMode.SAME_STEP.'
            )
        rows = np.flatnonzero(ended)
        if isinstance(found, np.ndarray) and found.dtype == object:  # one observation per world that ended
            space = self.env.single_observation_space
            last = read(self._layout, concatenate(space, found[rows], create_empty_array(space, len(rows))))
        else:
            last = {name: value[rows] for name, value in read(self._layout, found).items()}
        final = {name: value.copy() for name, value in obs.items()}
        for name, value in last.items():
            final[name][rows] = value
        return final

    def _success(self, info: Mapping[str, Any], ended: np.ndarray) -> np.ndarray:
        """Return whether each world has succeeded with this step (N,)."""
        told, success = self._told_success(info)
        if "final_info" in info and ended.any():  # what stands beside it is said of the fresh episode
            final_told, final_success = self._told_success(info["final_info"])
            told, success = np.where(ended, final_told, told), np.where(ended, final_success, success)
        if (ended & ~told).any():
            raise ZprlError(
                f"an episode of task {self.spec.task} ended, and the environment does not say in "
                f'info["{self.success_key}"] whether it succeeded; let it say so in every step, or name the key that '
                "it uses as success_key."
            )
        return success & told

    def _told_success(self, info: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return which worlds an info tells of (N,), and what (N,)."""
        value = info.get(self.success_key) if isinstance(info, Mapping) else None
        if value is None:
            nowhere = np.zeros(self.num_envs, dtype=bool)
            return nowhere, nowhere
        told = np.asarray(info.get(f"_{self.success_key}", np.ones(self.num_envs)), dtype=bool)
        values = np.asarray(value)
        if values.shape not in ((self.num_envs,), (self.num_envs, 1)):
            raise ZprlError(
                f'info["{self.success_key}"] of task {self.spec.task} has shape {values.shape}; one truth value per '
                f"world, shape ({self.num_envs},), is needed."
            )
        # Where a world says nothing, the value may be None.
        return told, np.where(told, values.reshape(-1), False).astype(bool)

    def _count(self, ended: np.ndarray) -> None:
        self._elapsed += 1
        if (~ended & (self._elapsed >= self.max_episode_length)).any():
            raise ZprlError(
                f"an episode of task {self.spec.task} goes on after {self.max_episode_length} steps, which was to be "
                "the longest; give the true max_episode_length, or truncate episodes by gymnasium.wrappers.TimeLimit."
            )
        self._elapsed[ended] = 0

    # -- checks and tensors

    def _check_tracked(self) -> None:
        for name in self.spec.tracked:
            found = self.spec.find(name)
            if found is None or found[1].stop - found[1].start < 3:
                known = ", ".join(str(feature) for group in self.spec.vectors for feature in group.features)
                raise ZprlError(
                    f"task {self.spec.task} is to track {name}, which is no feature of at least three numbers; its "
                    f"features are {known or 'none'}."
                )

    def _check_seeds(self) -> None:
        """Check that each world begins where its own seed says, without which no evaluation can be repeated."""
        need = "an evaluation needs a reset that takes a list of seeds, one per world"
        try:
            obs = self.reset_to([0])
        # Whatever an environment raises that was not made for lists.
        except Exception as error:
            raise ZprlError(
                f"the environment of task {self.spec.task} cannot be reset to a list of seeds "
                f"({type(error).__name__}: {error}); {need}."
            ) from error
        odd = [name for name, value in obs.items() if not _rows_equal(value)]
        if odd:
            raise ZprlError(
                f"the worlds of task {self.spec.task} begin with different observations {odd[0]}, although all were "
                f"reset to the same seed; {need}, and a world's start must depend on its seed alone."
            )

    def _tensors(self, obs: Mapping[str, np.ndarray]) -> Observations:
        return {name: self._tensor(value) for name, value in obs.items()}

    def _tensor(self, value: np.ndarray) -> Tensor:
        return torch.from_numpy(np.require(value, requirements="W")).to(self.device)


def _seed_globals(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _rows_equal(value: Tensor) -> bool:
    return bool(((value == value[:1]) | (value.isnan() & value[:1].isnan())).all())


def _autoreset_mode(task: str, env: VectorEnv) -> AutoresetMode:
    try:
        mode = AutoresetMode(env.metadata["autoreset_mode"])
    except (KeyError, ValueError) as error:
        raise ZprlError(
            f"the environment of task {task} does not say when it begins new episodes; set "
            'metadata["autoreset_mode"] to one of gymnasium.vector.AutoresetMode.'
        ) from error
    inner = env.unwrapped
    if mode is AutoresetMode.NEXT_STEP and isinstance(inner, AsyncVectorEnv) and not inner.shared_memory:
        # Gymnasium (1.4) forgets there that a world was reset, and resets it once more with the next step.
        raise ZprlError(
            f"the environment of task {task} is an AsyncVectorEnv without shared memory, whose resets AutoresetMode."
            "NEXT_STEP repeats; make it with shared_memory=True or with autoreset_mode=AutoresetMode.SAME_STEP."
        )
    return mode


def _step_dt(task: str, env: VectorEnv) -> float:
    rate = env.metadata.get("render_fps")
    if not rate:
        raise ZprlError(f"the environment of task {task} does not say its control period; give step_dt [s].")
    return 1.0 / float(rate)


def _max_episode_steps(task: str, env: VectorEnv) -> int:
    specs = [env.spec]
    if env.spec is None:  # several worlds made one by one
        with contextlib.suppress(AttributeError):
            specs = list(env.get_attr("spec"))  # type: ignore[attr-defined]
    limits = {None if spec is None else spec.max_episode_steps for spec in specs}
    if None in limits:
        raise ZprlError(
            f"the environment of task {task} does not say how long its episodes are; give max_episode_length [steps]."
        )
    return max(limit for limit in limits if limit is not None)
