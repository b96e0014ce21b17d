# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The project's own flow policy as a base policy that can be steered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from zprl.policies.base import BasePolicy, Knob, Plan
from zprl.policies.flow.cfg import INFERENCE_FIELDS
from zprl.policies.flow.policy import FlowPolicy
from zprl.policies.flow.step import PolicyStep
from zprl.spec import TaskSpec


class FlowBasePolicy(BasePolicy):
    """A flow policy behind its bottleneck, with all knobs.

    Args:
        step: What runs it.
        spec: What it was trained to see and do.
        statistics: Of the latent and the embedding over the demonstrations; see
            :func:`zprl.policies.flow.training.latent_statistics`.
    """

    def __init__(self, step: PolicyStep, spec: TaskSpec, statistics: Mapping[str, Any]) -> None:
        self.step = step
        self.policy: FlowPolicy = step.policy
        self.spec = spec
        self.statistics = statistics
        cfg = self.policy.cfg
        chunk = cfg.horizon * self.policy.action_dim
        self.knobs = {
            "latent": Knob(cfg.latent_dim, float(statistics["latent_mean_rms"])),
            "embedding": Knob(cfg.embed_dim, float(statistics["embedding_rms"])),
            "noise": Knob(chunk, 1.0),
            "actions": Knob(chunk, 1.0),
        }

    @property
    def horizon(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Number of actions H of a chunk."""
        return self.policy.cfg.horizon

    @property
    def execute_steps(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Number of actions Ta of a chunk that are executed."""
        return self.policy.cfg.execute_steps

    @property
    def backend(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Name of what runs it."""
        return self.step.backend

    @property
    def samples_noise(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the flow starts from noise that is drawn anew for every chunk."""
        return self.policy.cfg.initial_noise == "sampled"

    @property
    def inference_settings(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Settings that may change after training."""
        return {name: getattr(self.policy.cfg, name) for name in INFERENCE_FIELDS}

    @property
    def initial_noise(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Where the flow starts: "zero", "sampled" or "fixed"."""
        return self.policy.cfg.initial_noise

    @property
    def action_dim(self) -> int:
        """Length of an action A."""
        return self.policy.action_dim

    @property
    def action_low(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Lower limits of the actions (A,)."""
        return self.policy.action_low

    @property
    def action_high(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Upper limits of the actions (A,)."""
        return self.policy.action_high

    @torch.no_grad()
    def embed(self, plan: Plan) -> Tensor:
        """See :meth:`BasePolicy.embed`."""
        return self.policy.embed(self.policy.inputs(plan.obs))

    @torch.no_grad()
    def latent(self, plan: Plan) -> Tensor:
        """See :meth:`BasePolicy.latent`."""
        return self.step.latent(self.policy.inputs(plan.obs))

    def start(self, plan: Plan) -> Tensor:
        """See :meth:`BasePolicy.start`."""
        return self.policy.sample_noise(plan.batch_size)

    @torch.no_grad()
    def act(
        self,
        plan: Plan,
        *,
        latent: Tensor | None = None,
        embedding: Tensor | None = None,
        noise: Tensor | None = None,
        actions: Tensor | None = None,
    ) -> Tensor:
        """See :meth:`BasePolicy.act`."""
        if actions is not None:
            return self.bounded(actions)
        noise = plan.noise if noise is None else noise
        if embedding is not None:
            return self.policy.generate(embedding, noise)
        return self.step.act_from_latent(plan.latent if latent is None else latent, noise)

    def mixes_rows(self, knob: str | None) -> bool:
        """See :meth:`BasePolicy.mixes_rows`: torch's matrix products do, the native step on a CPU does not.

        On a GPU rows are planned together in any case.
        """
        alone = self.step.independent_rows and knob != "embedding"
        return not alone and self.action_low.device.type == "cpu"
