# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The project's own flow policy as a base policy that can be steered."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zprl.policies.base import BasePolicy, Knob, Plan
from zprl.policies.flow.cfg import INFERENCE_FIELDS
from zprl.policies.flow.policy import FlowPolicy
from zprl.spec import TaskSpec
from zprl.utils.processes import all_threads

if TYPE_CHECKING:
    from zprl.policies.native.step import NativePolicyStep


_ROWS_AT_ONCE = 64
"""Rows that are encoded together on a CPU: what lies between two layers of more no longer fits into its caches, and is
memory that the system has to clear first."""


class FlowBasePolicy(BasePolicy):
    """A flow policy behind its bottleneck, with all knobs. Its configuration must not change any more.

    Args:
        step: The policy, or what runs it in its place.
        spec: What it was trained to see and do.
        statistics: Of the latent and the embedding over the demonstrations; see
            :func:`zprl.policies.flow.training.latent_statistics`.
    """

    def __init__(self, step: FlowPolicy | NativePolicyStep, spec: TaskSpec, statistics: Mapping[str, Any]) -> None:
        self.step, self.spec = step, spec
        self.policy = policy = step if isinstance(step, FlowPolicy) else step.policy
        cfg = policy.cfg
        self.horizon, self.execute_steps, self.backend = cfg.horizon, cfg.execute_steps, step.backend
        self.initial_noise, self.samples_noise = cfg.initial_noise, cfg.initial_noise == "sampled"
        self.inference_settings = {name: getattr(cfg, name) for name in INFERENCE_FIELDS}
        self.action_low, self.action_high = policy.action_low, policy.action_high
        chunk = cfg.horizon * policy.action_dim
        self.knobs = {
            "latent": Knob(cfg.latent_dim, float(statistics["latent_mean_rms"])),
            "embedding": Knob(cfg.embed_dim, float(statistics["embedding_rms"])),
            "noise": Knob(chunk, 1.0),
            "actions": Knob(chunk, 1.0),
        }

    @torch.no_grad()
    def embed(self, plan: Plan) -> Tensor:
        """See :meth:`BasePolicy.embed`. Images take milliseconds, and so all cores."""
        inputs = self.policy.inputs(plan.obs)
        if isinstance(inputs, Tensor):
            return self.policy.embed(inputs)
        rows = _ROWS_AT_ONCE if self.action_low.device.type == "cpu" else plan.batch_size
        parts = zip(*(value.split(rows) for value in inputs.values()), strict=True)
        with all_threads():
            return torch.cat([self.policy.embed(dict(zip(inputs, part, strict=True))) for part in parts])

    @torch.no_grad()
    def latent(self, plan: Plan) -> Tensor:
        """See :meth:`BasePolicy.latent`. An encoder that is not compiled runs once for the embedding and for this."""
        if self.step is self.policy or not self.step.has_encoder:
            return self.policy.bottleneck.encode(plan.embedding)[0]
        with self._threads():
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
        with self._threads():
            return self.step.act_from_latent(plan.latent if latent is None else latent, noise)

    def _threads(self) -> AbstractContextManager[None]:
        """Let the compiled step take all cores: its rows are independent of one another, to the last bit."""
        return all_threads() if self.step.independent_rows else nullcontext()

    def mixes_rows(self, knob: str | None) -> bool:
        """See :meth:`BasePolicy.mixes_rows`: torch's matrix products do, the native step on a CPU does not.

        On a GPU rows are planned together in any case.
        """
        alone = self.step.independent_rows and knob != "embedding"
        return not alone and self.action_low.device.type == "cpu"
