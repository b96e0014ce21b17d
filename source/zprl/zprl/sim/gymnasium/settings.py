# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Configurations of tasks whose worlds are Gymnasium environments, with overrides applied. Nothing needs Isaac Lab."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium

from zprl.sim.gymnasium.worlds_cfg import CFG_ENTRY_POINT, WorldsCfg
from zprl.sim.overrides import SELECTORS, check_override, split_override
from zprl.utils.entry_points import load_entry_point
from zprl.utils.errors import NotInstalledError, ZprlError


def is_gymnasium_task(task: str) -> bool:
    """Return whether a registered task's worlds are Gymnasium environments."""
    return task in gymnasium.registry and CFG_ENTRY_POINT in gymnasium.registry[task].kwargs


def resolve_task(
    task: str,
    agent_entry_point: str,
    overrides: Sequence[str] = (),
    configure: Callable[[Any], None] | None = None,
) -> tuple[WorldsCfg, Any]:
    """Return a task's configuration with overrides applied, as :func:`zprl.sim.isaaclab.resolve_task` does.

    Args:
        task: Id of a task for which :func:`is_gymnasium_task` holds.
        agent_entry_point: Registry key of the learner's configuration.
        overrides: ``env.NAME=VALUE`` and ``agent.NAME=VALUE``.
        configure: Changes the learner's configuration before any override is applied.

    Returns:
        The worlds' configuration and the learner's.

    Raises:
        ZprlError: If the learner or an option does not exist, or a value is of another type than its option or out of
            range.
    """
    kwargs = gymnasium.registry[task].kwargs
    if agent_entry_point not in kwargs:
        raise ZprlError(f"task '{task}' has no '{agent_entry_point}'.")
    env_cfg, agent_cfg = (load_entry_point(kwargs[key])() for key in (CFG_ENTRY_POINT, agent_entry_point))
    if configure is not None:
        configure(agent_cfg)
    reference = {"env": env_cfg, "agent": agent_cfg}
    for override in overrides:
        key, value = split_override(override)
        if key in SELECTORS:
            raise ZprlError(
                f"'{override}' chooses among presets of Isaac Lab's, and the worlds of task {task} are Gymnasium's, "
                "which has none; drop it."
            )
        check_override(override, reference)
        _set(reference, key.split("."), value)
    return env_cfg, agent_cfg


def describe_task(task: str) -> tuple[str, str, str]:
    """Return a task's row in the list of all: id, robot and episode. What it needs may be missing."""
    cfg: WorldsCfg = load_entry_point(gymnasium.registry[task].kwargs[CFG_ENTRY_POINT])()
    return task, cfg.robot, f"{cfg.max_episode_length * cfg.step_dt:g} s at {1 / cfg.step_dt:g} Hz"


def require_packages(task: str, cfg: WorldsCfg) -> None:
    """Refuse a task that needs what is not installed.

    Raises:
        NotInstalledError: If it does.
    """
    for package in cfg.packages:
        if importlib.util.find_spec(package) is None:
            how = f"install this project's extra '{cfg.extra}'" if cfg.extra else "install it"
            raise NotInstalledError(f"task {task} needs the package {package}, which is not installed; {how}.")


def make_registered(**kwargs: Any) -> gymnasium.Env:
    """Make one world of a registered task, for ``gymnasium.make``.

    Args:
        **kwargs: What the task is registered with.

    Raises:
        ZprlError: If something is not installed.
    """
    cfg = load_entry_point(kwargs[CFG_ENTRY_POINT])()
    require_packages(kwargs[CFG_ENTRY_POINT], cfg)
    return load_entry_point(cfg.make)(**cfg.arguments())


def _set(node: Any, path: list[str], value: Any) -> None:
    for name in path[:-1]:
        node = node[name] if isinstance(node, Mapping) else getattr(node, name)
    if isinstance(node, dict):
        node[path[-1]] = value
    else:
        current = getattr(node, path[-1])
        setattr(node, path[-1], tuple(value) if isinstance(current, tuple) and isinstance(value, list) else value)
