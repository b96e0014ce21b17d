# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What an expert is: something that demonstrates a task with the actions of a policy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import MISSING
from typing import TYPE_CHECKING, Any

import gymnasium
import torch

from zprl.utils.configclass import configclass
from zprl.utils.entry_points import load_entry_point
from zprl.utils.errors import ZprlError, did_you_mean, one_sentence

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv


class Expert(ABC):
    """Acts in all worlds of an environment at once.

    Args:
        cfg: The task's expert.
        env: The environment.
        quality: How well it demonstrates: "expert" or "mixed".
        seed: Seed of the expert's own noise, which draws from no other generator.
    """

    @abstractmethod
    def __init__(self, cfg: Any, env: ManagerBasedRLEnv, quality: str = "expert", seed: int = 0) -> None: ...

    @abstractmethod
    def reset(self, env_ids: torch.Tensor) -> None:
        """Start anew in some environments.

        Args:
            env_ids: Indices, shape (n,).
        """

    @abstractmethod
    def act(self) -> torch.Tensor:
        """Return the next action, shape (num_envs, action_dim)."""


@configclass
class ExpertCfg:
    """A task's expert; the task registers the configuration as ``expert_entry_point``."""

    class_type: type[Expert] | str = MISSING  # type: ignore[assignment]
    """The expert's class, or where it is, as "module:class"."""


def expert_cfg_of(task: str) -> Any:
    """Return the configuration of a task's expert, a :class:`zprl.tasks.experts.ExpertCfg`.

    Args:
        task: Task id.

    Raises:
        ZprlError: If the task is not registered, or registers no ``expert_entry_point``.
    """
    if task not in gymnasium.registry:
        raise ZprlError(f"there is no task '{task}'{did_you_mean(task, list(gymnasium.registry))}.")
    entry_point = gymnasium.spec(task).kwargs.get("expert_entry_point")
    if entry_point is None:
        raise ZprlError(
            f"task {task} has no expert; pass --dataset_file with demonstrations of your own, or register an "
            "expert_entry_point for it."
        )
    return load_entry_point(entry_point)()


def make_expert(task: str, env: ManagerBasedRLEnv, quality: str = "expert", seed: int = 0, cfg: Any = None) -> Expert:
    """Make the expert that a task registers.

    Args:
        task: Task id.
        env: The task's environment.
        quality: "expert" or "mixed".
        seed: Seed of the expert's own noise.
        cfg: The expert's configuration, or None for the one that the task registers.

    Raises:
        ZprlError: If the task is not registered or has no expert, or the expert's class does not exist.
    """
    cfg = expert_cfg_of(task) if cfg is None else cfg
    name = cfg.class_type
    try:
        expert = load_entry_point(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ZprlError(
            f"the expert of task {task} is '{name}', which cannot be found: {one_sentence(error)}"
        ) from error
    if not (isinstance(expert, type) and issubclass(expert, Expert)):
        raise ZprlError(f"the expert of task {task} is '{name}', which is no subclass of zprl.tasks.experts.Expert.")
    return expert(cfg, env, quality, seed)
