# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Names and sizes of a task's observations and actions, by which files and tasks are matched."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv

EE_POSE_TERM = "ee_pose"
"""The observation term whose first three numbers are the end effector's position [m]; smoothness is measured on it."""


@dataclass(frozen=True)
class EnvLayout:
    """What a policy of a task reads and writes.

    Attributes:
        task: Task id.
        observation_terms: Name and size of the policy group's terms, in order.
        action_terms: Name and size of the action terms, in order.
        step_dt: Control period [s].
    """

    task: str
    observation_terms: tuple[tuple[str, int], ...]
    action_terms: tuple[tuple[str, int], ...]
    step_dt: float

    @classmethod
    def of(cls, task: str, env: ManagerBasedRLEnv) -> EnvLayout:
        """Read the layout of an environment.

        Raises:
            ZprlError: If its policy observations are not one flat vector.
        """
        manager = env.observation_manager
        if "policy" not in manager.active_terms or not manager.group_obs_concatenate["policy"]:
            raise ZprlError(
                f"task {task} has no concatenated observation group 'policy'; set concatenate_terms=True in its "
                "configuration."
            )
        dims = [int(torch.Size(shape).numel()) for shape in manager.group_obs_term_dim["policy"]]
        actions = env.action_manager
        return cls(
            task=task,
            observation_terms=tuple(zip(manager.active_terms["policy"], dims, strict=True)),
            action_terms=tuple(zip(actions.active_terms, actions.action_term_dim, strict=True)),
            step_dt=float(env.step_dt),
        )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> EnvLayout:
        """Read what :meth:`to_dict` wrote."""
        return cls(
            task=values["task"],
            observation_terms=tuple((name, int(dim)) for name, dim in values["observation_terms"]),
            action_terms=tuple((name, int(dim)) for name, dim in values["action_terms"]),
            step_dt=float(values["step_dt"]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers, for JSON."""
        values = asdict(self)
        values["observation_terms"] = [list(term) for term in self.observation_terms]
        values["action_terms"] = [list(term) for term in self.action_terms]
        return values

    @property
    def obs_dim(self) -> int:
        """Length of the observation vector."""
        return sum(dim for _, dim in self.observation_terms)

    @property
    def action_dim(self) -> int:
        """Length of the action vector."""
        return sum(dim for _, dim in self.action_terms)

    def ee_position(self, obs: Tensor) -> Tensor | None:
        """Return the end effector's position [m], shape (N, 3), or None if the task does not observe it."""
        start = 0
        for name, dim in self.observation_terms:
            if name == EE_POSE_TERM:
                return obs[:, start : start + 3]
            start += dim
        return None

    def require_match(self, other: EnvLayout, what: str) -> None:
        """Check that something made for ``other`` fits this layout.

        Args:
            other: The layout that ``what`` was made for.
            what: What it is, for the error message, such as "the checkpoint model_10.pt".

        Raises:
            ZprlError: If the tasks, the observations, the actions or the control periods differ.
        """
        if other.task != self.task:
            raise ZprlError(f"{what} belongs to task {other.task}, not to {self.task}; pass --task {other.task}.")
        for kind in ("observation_terms", "action_terms"):
            ours, theirs = getattr(self, kind), getattr(other, kind)
            if ours != theirs:
                raise ZprlError(
                    f"{what} was made for {kind.replace('_', ' ')} {_describe(theirs)}, but task {self.task} has "
                    f"{_describe(ours)}; use the configuration it was made with or make it anew."
                )
        if abs(other.step_dt - self.step_dt) > 1e-9:
            raise ZprlError(
                f"{what} was made for a control period of {other.step_dt} s, but task {self.task} runs at "
                f"{self.step_dt} s; use the configuration it was made with or make it anew."
            )


def _describe(terms: tuple[tuple[str, int], ...]) -> str:
    return ", ".join(f"{name}[{dim}]" for name, dim in terms)
