# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A residual on every single action, in closed loop inside the chunk, as in ResiP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zprl.steering.steering import Steering, SteeringCfg
from zprl.utils.configclass import configclass

if TYPE_CHECKING:
    from zprl.policies import PolicyStep


@configclass
class StepResidualCfg(SteeringCfg):
    """Settings of :class:`StepResidual`."""

    class_type: str = "zprl.steering.step_residual:StepResidual"

    scale: float = 0.2
    """Bound of the residual in the environment's units, in which actions lie in [-1, 1]."""


class StepResidual(Steering):
    """a' = clamp(a + scale * u), with u in [-1, 1] chosen anew in every environment step (arXiv 2407.16677).

    The base policy plans a chunk as it would alone, at the beginning of an episode and whenever ``execute_steps`` of
    its actions were executed; the learner sees the observation of every step and the base's action for it.

    Args:
        cfg: Settings.
        step: The frozen base policy's step.
    """

    closed_loop = True

    def __init__(self, cfg: StepResidualCfg, step: PolicyStep) -> None:
        self.step = step
        self.scale = cfg.scale
        self.num_dims = step.policy.action_dim
        self.execute_steps = step.policy.cfg.execute_steps
        self._obs: Tensor | None = None
        self._chunk, self._next = torch.empty(0), torch.empty(0)
        """The base policy's running chunks (N, H, A), and the index (N,) of the action that is due."""

    def begin_episodes(self, worlds: Tensor | None = None) -> None:
        """See :meth:`Steering.begin_episodes`."""
        if worlds is None:
            self._obs, self._chunk = None, torch.empty(0)
        else:
            self._next = torch.where(worlds, self.execute_steps, self._next)

    def features(self, obs: Tensor, noise: Tensor | None = None) -> dict[str, Tensor]:
        """Return ``base_action``, the base policy's action for this step, shape (N, action_dim)."""
        return {"base_action": self._base(obs, noise)}

    def plan(self, obs: Tensor, u: Tensor | None = None, noise: Tensor | None = None) -> Tensor:
        """See :meth:`Steering.plan`; with ``u``, which is clipped to [-1, 1], one action, shape (N, 1, action_dim)."""
        if u is None:
            return self.step.act(obs, None, noise)
        policy = self.step.policy
        action = self._base(obs, noise) + self.scale * u.clamp(-1.0, 1.0)
        return action.clamp(policy.action_low, policy.action_high)[:, None]

    def describe(self) -> str:
        """See :meth:`Steering.describe`."""
        return f"a residual on every action of at most {self.scale}"

    def metrics(self, u: Tensor) -> dict[str, Tensor]:
        """Return RMS of the residual, in the environment's units."""
        return {"Steering/rms_residual": self.scale * u.clamp(-1.0, 1.0).square().mean().sqrt()}

    def _base(self, obs: Tensor, noise: Tensor | None) -> Tensor:
        # features() and plan() of a step are asked for the same observations; time passes once.
        if obs is not self._obs:
            self._advance(obs, noise)
            self._obs = obs
        return self._chunk.gather(1, self._next.view(-1, 1, 1).expand(-1, 1, self.num_dims)).squeeze(1)

    def _advance(self, obs: Tensor, noise: Tensor | None) -> None:
        if self._chunk.shape[0] != obs.shape[0]:
            self._chunk = self.step.act(obs, None, noise)
            self._next = torch.zeros(obs.shape[0], dtype=torch.long, device=obs.device)
            return
        self._next = self._next + 1
        due = self._next >= self.execute_steps
        # Asking whether anything is due makes the host wait for a GPU, which plans everything anew as fast.
        if obs.device.type == "cpu" and not due.any():
            return
        self._chunk = torch.where(due[:, None, None], self.step.act(obs, None, noise), self._chunk)
        self._next = torch.where(due, 0, self._next)
