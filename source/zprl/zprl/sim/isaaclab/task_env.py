# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Isaac Lab's manager-based environments as a :class:`zprl.envs.TaskEnv`; the only reader of their managers."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zprl.envs.description import TaskDescription
from zprl.envs.lazy_observations import LazyObservations
from zprl.envs.task_env import Step, preserved_random_state
from zprl.sim.isaaclab.descriptions import describe_task
from zprl.sim.isaaclab.launch import close_env
from zprl.spec import ActionTerm, Feature, Group, Observations, TaskSpec
from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv

SCENE_GROUP = "scene"
"""Observation group that a task's cameras are drawn from; no policy and no learner sees it."""

SUCCESS_TERM = "success"
"""Termination term that ends an episode in success."""

DIVERGED_TERM = "non_finite_state"
"""Termination term that ends an episode whose simulation has failed."""


class IsaacLabEnv:
    """A manager-based environment of Isaac Lab; see :class:`zprl.envs.TaskEnv`.

    Args:
        task: Task id.
        env: The environment. Its configuration says what no manager knows: ``tracked_terms``, ``action_limits`` and
            ``idle_action``, see :class:`zprl.tasks.common.TaskEnvCfg`.

    Raises:
        ZprlError: If the configuration does not say so, or observations have a form that policies cannot be given.
    """

    staggers = True

    def __init__(self, task: str, env: ManagerBasedRLEnv) -> None:
        from zprl.sim.isaaclab.cameras.scene_cameras import cameras_of

        self.unwrapped = env
        self.spec = read_spec(task, env)
        self._cameras = cameras_of(env)
        self._images = [] if self._cameras is None else [group.name for group in self._cameras.groups]
        self.num_envs = env.num_envs
        self.device = str(env.device)
        self.max_episode_length = int(env.max_episode_length)
        self.tells_final_observations = bool(getattr(env.cfg, "compute_final_obs", False))
        self._states: dict[tuple[int, ...], Any] = {}

    @property
    def elapsed(self) -> Tensor:
        """Control steps of each running episode (N,)."""
        return self.unwrapped.episode_length_buf

    @elapsed.setter
    def elapsed(self, value: Tensor) -> None:
        self.unwrapped.episode_length_buf = value

    def reset(self, seed: int | None = None) -> Observations:
        """See :meth:`zprl.envs.TaskEnv.reset`."""
        from isaaclab.utils.seed import configure_seed

        if seed is not None:
            configure_seed(seed)
        return self._observations(self.unwrapped.reset()[0])

    def reset_to(self, seeds: Sequence[int]) -> Observations:
        """See :meth:`zprl.envs.TaskEnv.reset_to`."""
        from isaaclab.utils.seed import configure_seed

        key = tuple(seeds)
        if key not in self._states:
            self._states[key] = self._draw_states(seeds)
        # A task may draw more at a reset than the state holds, such as masses; every policy gets the same draws.
        with preserved_random_state():
            configure_seed(seeds[0])
            return self._observations(self.unwrapped.reset_to(self._states[key], is_relative=True)[0])

    def _draw_states(self, seeds: Sequence[int]) -> Any:
        """Return the initial states that seeds draw, relative to the worlds' origins, one row per world."""
        scene = self.unwrapped.scene
        scene.reset()
        self.draw_events("reset", seeds)
        rows = torch.arange(self.num_envs, device=self.device).clamp(max=len(seeds) - 1)
        return _copied(scene.get_state(is_relative=True), rows)

    def draw_events(self, mode: str, seeds: Sequence[int]) -> None:
        """Apply the event terms of a mode in one world after another, each by its own seed.

        No global generator is disturbed.

        Args:
            mode: The mode.
            seeds: At most N seeds; worlds beyond them are left out.
        """
        from isaaclab.utils.seed import configure_seed

        if mode not in self.unwrapped.event_manager.available_modes:  # Isaac Lab would say so once for each world
            return
        with preserved_random_state():
            for row, seed in enumerate(seeds):
                configure_seed(seed)
                ids = torch.tensor([row], device=self.device, dtype=torch.int32)
                self.unwrapped.event_manager.apply(mode, ids, global_env_step_count=0)

    def step(self, action: Tensor) -> Step:
        """See :meth:`zprl.envs.TaskEnv.step`."""
        obs, reward, terminated, truncated, extras = self.unwrapped.step(action)
        if self.unwrapped.cfg.is_finite_horizon:  # the time-out is an end like any other, with nothing after it
            terminated, truncated = terminated | truncated, torch.zeros_like(truncated)
        final = extras.get("final_obs") if self.tells_final_observations else None
        return Step(
            self._observations(obs),
            reward,
            terminated,
            truncated,
            self._ended_by(SUCCESS_TERM, terminated),
            self._ended_by(DIVERGED_TERM, terminated),
            None if final is None else self._observations(final),
        )

    def _ended_by(self, name: str, terminated: Tensor) -> Tensor:
        manager = self.unwrapped.termination_manager
        return manager.get_term(name) if name in manager.active_terms else torch.zeros_like(terminated)

    def _observations(self, obs: Any) -> Observations:
        """Return observations by the spec's groups; an image lies one level deeper in Isaac Lab's, or is drawn."""
        found: dict[str, Tensor] = {}
        for name, value in obs.items():
            found.update({name: value} if isinstance(value, Tensor) else value)
        if self._cameras is None:
            return {group.name: found[group.name] for group in self.spec.groups}
        cameras, scene = self._cameras, obs[SCENE_GROUP]
        there = {group.name: found[group.name] for group in self.spec.groups if group.name not in self._images}
        return LazyObservations(there, self._images, lambda rows: cameras.draw(scene, rows))

    @contextlib.contextmanager
    def noiseless(self) -> Iterator[None]:
        """See :meth:`zprl.envs.TaskEnv.noiseless`."""
        terms = [t for group in self.unwrapped.observation_manager._group_obs_term_cfgs.values() for t in group]
        saved = [term.noise for term in terms]
        try:
            for term in terms:
                term.noise = None
            yield
        finally:
            for term, noise in zip(terms, saved, strict=True):
                term.noise = noise

    def describe(self) -> TaskDescription:
        """See :func:`zprl.envs.description.describe_env`."""
        cameras = {} if self._cameras is None else self._cameras.describe()
        return dataclasses.replace(describe_task(self.unwrapped), cameras=cameras)

    def look(self, world: int) -> dict[str, Tensor]:
        """Return the images that a world's cameras see now (1, height, width, channels), by group; none of none."""
        if self._cameras is None:
            return {}
        scene: Any = self.unwrapped.obs_buf[SCENE_GROUP]
        return dict(self._cameras.draw(scene, torch.tensor([world], device=self.device)))

    def close(self) -> None:
        """See :meth:`zprl.envs.TaskEnv.close`."""
        close_env(self.unwrapped)


def read_spec(task: str, env: ManagerBasedRLEnv) -> TaskSpec:
    """Read off an environment what its policies see and do.

    A group whose terms Isaac Lab concatenates is one of state features, or of privileged ones if its configuration is
    listed in ``privileged_groups``. Each term of another group is a group of its own, an image. The group that images
    are drawn from is none; the images are.

    Raises:
        ZprlError: See :class:`IsaacLabEnv`.
    """
    from zprl.sim.isaaclab.cameras.scene_cameras import cameras_of

    cfg: Any = env.cfg
    missing = [name for name in ("tracked_terms", "action_limits", "idle_action") if not hasattr(cfg, name)]
    if missing:
        raise ZprlError(
            f"the configuration of task {task} does not say {missing[0]}; derive it from "
            "zprl.tasks.common.TaskEnvCfg, which names what is missing."
        )
    groups: list[Group] = []
    manager = env.observation_manager
    cameras = cameras_of(env)
    for name, terms in manager.active_terms.items():
        if name == SCENE_GROUP and cameras is not None:
            continue
        shapes = manager.group_obs_term_dim[name]
        if manager.group_obs_concatenate[name]:
            kind = "privileged" if name in getattr(cfg, "privileged_groups", ()) else "state"
            sizes = [int(torch.Size(shape).numel()) for shape in shapes]
            groups.append(Group.vector(name, zip(terms, sizes, strict=True), kind))
            continue
        for term, shape, term_cfg in zip(terms, shapes, manager._group_obs_term_cfgs[name], strict=True):
            if len(shape) != 3:
                raise ZprlError(
                    f"the term {term} of the observation group {name} of task {task} is no image, and the group is not "
                    "concatenated; set concatenate_terms=True in its configuration."
                )
            observe: Any = term_cfg.func
            dtype = str(observe(env, **term_cfg.params).dtype).removeprefix("torch.")
            groups.append(Group(term, (Feature(term, tuple(shape), "image", dtype),)))
    groups += cameras.groups if cameras is not None else []
    actions = []
    for name, size in zip(env.action_manager.active_terms, env.action_manager.action_term_dim, strict=True):
        low, high = cfg.action_limits[name]
        idle = tuple(float(value) for value in cfg.idle_action[name])
        actions.append(ActionTerm(name, (float(low),) * size, (float(high),) * size, idle))
    joints = tuple(getattr(cfg, "joint_terms", ()))
    return TaskSpec(task, tuple(groups), tuple(actions), float(env.step_dt), tuple(cfg.tracked_terms), joints)


def _copied(state: Any, rows: Tensor) -> Any:
    if isinstance(state, dict):
        return {name: _copied(value, rows) for name, value in state.items()}
    return state[rows].clone()
