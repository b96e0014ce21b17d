# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What the elements of observation and action terms mean: names, units and frames, for whoever feeds a real robot.

A description belongs to a term's function, or to the configuration class of an action term. A task with terms of its
own adds theirs with :func:`describes`, anywhere that is imported with the task; ``tasks/mdp/descriptions.py`` does so
for the terms that all tasks share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from zprl.envs.description import JointDescription, TaskDescription, TermDescription

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedEnv, ManagerBasedRLEnv

_DESCRIPTIONS: dict[Any, Callable[..., TermDescription]] = {}


def describes[F: Callable[..., TermDescription]](terms: Any) -> Callable[[F], F]:
    """Register what describes terms.

    Args:
        terms: The function of observation terms, described from (environment, parameters of the term); or the
            configuration class of action terms, described from (environment, configuration).
    """

    def register(describe: F) -> F:
        _DESCRIPTIONS[terms] = describe
        return describe

    return register


def describe_task(env: ManagerBasedRLEnv) -> TaskDescription:
    """Return what has been said of an environment's terms, and what its robot's joints are."""
    observations, actions = {}, {}
    manager = env.observation_manager
    for group, names in manager.active_terms.items():
        for name, cfg in zip(names, manager._group_obs_term_cfgs[group], strict=True):
            if describe := _DESCRIPTIONS.get(cfg.func):
                observations[group, name] = describe(env, cfg.params)
    for name in env.action_manager.active_terms:
        cfg = env.action_manager.get_term(name).cfg
        if describe := _DESCRIPTIONS.get(type(cfg)):
            actions[name] = describe(env, cfg)
    return TaskDescription(observations, actions, tuple(_joints(env)))


def joint_units(env: ManagerBasedEnv, asset_name: str) -> dict[str, str]:
    """Return the unit of each joint's position, "rad" or "m", by name, as the asset's USD joints say.

    Joints that the stage does not show are left out.

    Args:
        env: The environment.
        asset_name: Name of the articulation in the scene.
    """
    from pxr import Usd, UsdPhysics

    asset = env.scene[asset_name]
    units = {}
    for prim in Usd.PrimRange(env.sim.stage.GetPseudoRoot(), Usd.TraverseInstanceProxies()):
        if prim.GetName() in asset.joint_names and prim.GetName() not in units:
            if prim.IsA(UsdPhysics.PrismaticJoint):
                units[prim.GetName()] = "m"
            elif prim.IsA(UsdPhysics.RevoluteJoint):
                units[prim.GetName()] = "rad"
    return units


def _joints(env: ManagerBasedRLEnv) -> Iterator[JointDescription]:
    """Yield the joints of what acts; those of several articulations are told apart by the articulation's name."""
    terms: list[Any] = [env.action_manager.get_term(name) for name in env.action_manager.active_terms]
    robots = dict.fromkeys(term.cfg.asset_name for term in terms)
    for robot in (name for name in robots if name in env.scene.articulations):
        asset = env.scene[robot]
        data, units = asset.data, joint_units(env, robot)
        limits = data.joint_pos_limits.torch[0]
        columns = (data.default_joint_pos, data.joint_stiffness, data.joint_damping, data.joint_effort_limits)
        rows = torch.stack([column.torch[0] for column in columns], dim=1).tolist()
        for joint, row, limit in zip(asset.joint_names, rows, limits, strict=True):
            name = joint if len(robots) == 1 else f"{robot}/{joint}"
            yield JointDescription(name, units.get(joint), row[0], float(limit[0]), float(limit[1]), *row[1:])
