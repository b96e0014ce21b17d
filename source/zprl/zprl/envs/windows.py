# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The last observations beside the current one, for policies that see a history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from zprl.envs.lazy_observations import replaced
from zprl.envs.task_env import Step, TaskEnv
from zprl.policies.base import window_source
from zprl.spec import Group, Observations, TaskSpec


def with_windows(env: TaskEnv, spec: TaskSpec) -> TaskEnv:
    """Return an environment that observes all groups of a spec: itself, or around it one that remembers.

    Args:
        env: The environment.
        spec: What a policy sees: groups of the environment, and windows of such groups as
            :func:`zprl.policies.base.window_group` makes them.
    """
    if windowed_spec(env.spec, spec) is env.spec:
        return env
    windowed: Any = WindowedEnv(env, spec)  # what it does not have itself it has of the environment
    return windowed


def windowed_spec(spec: TaskSpec, needed: TaskSpec) -> TaskSpec:
    """Return a task's spec with the windows that another spec has of its groups."""
    there = {group.name for group in spec.groups}
    windows = tuple(g for g in needed.groups if g.name not in there and window_source(g.name) in there)
    return replace(spec, groups=(*spec.groups, *windows)) if windows else spec


class WindowedEnv:
    """A task's environment that observes windows as well.

    A window holds a group's last T observations, oldest first and feature by feature. At the beginning of an episode it
    holds its first observation T times. See :class:`TaskEnv` for all the rest, which is the environment's own.

    Args:
        env: The environment.
        spec: See :func:`with_windows`.
    """

    def __init__(self, env: TaskEnv, spec: TaskSpec) -> None:
        self.env = env
        self.spec = windowed_spec(env.spec, spec)
        self._windows: dict[str, tuple[str, int, Tensor]] = {}
        for window in self.spec.groups[len(env.spec.groups) :]:
            group = env.spec.group(window_source(window.name))
            steps, order = _order(group, window)
            self._windows[window.name] = group.name, steps, order.to(env.device)
        self._seen: dict[str, Tensor] = {}
        """The last observations (N, T, D) by window."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.env, name)

    @property
    def elapsed(self) -> Tensor:
        """See :attr:`TaskEnv.elapsed`."""
        return self.env.elapsed

    @elapsed.setter
    def elapsed(self, value: Tensor) -> None:
        self.env.elapsed = value

    def reset(self, seed: int | None = None) -> Observations:
        """See :meth:`TaskEnv.reset`."""
        return self._begin(self.env.reset(seed))

    def reset_to(self, seeds: Sequence[int]) -> Observations:
        """See :meth:`TaskEnv.reset_to`."""
        return self._begin(self.env.reset_to(seeds))

    def step(self, action: Tensor) -> Step:
        """See :meth:`TaskEnv.step`."""
        step, before = self.env.step(action), self._seen
        ended = (step.terminated | step.truncated)[:, None, None]
        self._seen = {
            name: torch.where(
                ended, self._filled(name, step.observations), self._pushed(name, before, step.observations)
            )
            for name in self._windows
        }
        final = step.final_observations
        if final is not None:
            final = self._added(final, {name: self._pushed(name, before, final) for name in self._windows})
        return replace(step, observations=self._added(step.observations, self._seen), final_observations=final)

    def _begin(self, obs: Observations) -> Observations:
        self._seen = {name: self._filled(name, obs) for name in self._windows}
        return self._added(obs, self._seen)

    def _filled(self, name: str, obs: Observations) -> Tensor:
        group, steps, _ = self._windows[name]
        return obs[group][:, None].repeat(1, steps, 1)

    def _pushed(self, name: str, seen: dict[str, Tensor], obs: Observations) -> Tensor:
        return torch.cat([seen[name][:, 1:], obs[self._windows[name][0]][:, None]], dim=1)

    def _added(self, obs: Observations, seen: dict[str, Tensor]) -> Observations:
        return replaced(obs, {name: seen[name].flatten(1)[:, order] for name, (_, _, order) in self._windows.items()})


def _order(group: Group, window: Group) -> tuple[int, Tensor]:
    """Return the number of steps of a window, and where in (T, D), flattened, each of its numbers stands."""
    steps, width = window.shape[0] // group.shape[0], group.shape[0]
    order = [
        step * width + index
        for place in group.slices().values()
        for step in range(steps)
        for index in range(place.start, place.stop)
    ]
    return steps, torch.tensor(order)
