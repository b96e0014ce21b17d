# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""An imported policy as a base policy that can be steered, with or without a bottleneck trained on it afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zprl.policies.base import BasePolicy, Knob, Plan
from zprl.policies.imported.bottleneck import ImportedBottleneck
from zprl.policies.imported.policy import IMPORTED_INFERENCE_FIELDS, ImportedPolicy
from zprl.spec import Observations, TaskSpec
from zprl.utils.errors import ZprlError

Columns = Mapping[str, Sequence[tuple[str, str]]]
"""The observation groups and features that stand side by side under each of the framework's keys."""


class ImportedBasePolicy(BasePolicy):
    """A policy of another framework in a task.

    Without a bottleneck it is what it was. With one, its latent is a knob, and :attr:`mode` says how the condition of
    the generator depends on it; ``z`` is the latent of the observation, ``z'`` the one that is given:

    - "residual": ``e + dec(z') - dec(z)``. With ``z' = z`` it is ``e`` to the last bit.
    - "decode": ``dec(z')``, as for this project's own policies.

    Args:
        policy: The policy.
        spec: What it sees and does in the task: groups of windows where it sees a history.
        columns: Where in the observations its inputs stand.
        bottleneck: The bottleneck, or None.

    Raises:
        ZprlError: If the policy is to act as it cannot.
    """

    def __init__(
        self,
        policy: ImportedPolicy,
        spec: TaskSpec,
        columns: Columns,
        bottleneck: ImportedBottleneck | None = None,
    ) -> None:
        self.policy, self.spec, self.bottleneck, self.mode = policy, spec, bottleneck, policy.mode
        self.columns = columns
        policy.check_inference()
        interface = policy.interface
        self.horizon = interface.horizon - interface.first
        self.execute_steps = policy.execute_steps
        self.initial_noise = policy.initial_noise
        self.samples_noise = policy.sampler.uses_noise and policy.initial_noise == "sampled"
        self.inference_settings = {name: getattr(policy, name) for name in IMPORTED_INFERENCE_FIELDS}
        device = policy.fixed_noise.device
        self.action_low, self.action_high = (limit.to(device) for limit in spec.action_limits())
        size = self.horizon * self.action_dim
        self.knobs = {"actions": Knob(size, 1.0)}
        if policy.sampler.uses_noise:
            self.knobs["noise"] = Knob(policy.noise_shape[0] * policy.noise_shape[1], 1.0)
        if bottleneck is not None:
            statistics = bottleneck.statistics
            self.knobs["latent"] = Knob(bottleneck.latent_dim, statistics["latent_mean_rms"])
            self.knobs["embedding"] = Knob(interface.embedding_size, statistics["embedding_rms"])
        places = {group.name: group.slices() for group in spec.groups}
        self._parts = [
            [(group, places[group][feature]) for group, feature in columns[value.key]] for value in interface.inputs
        ]

    @property
    def start_shape(self) -> tuple[int, int]:
        """See :attr:`BasePolicy.start_shape`: the generator makes actions of the past as well."""
        return self.policy.noise_shape

    def windows(self, obs: Observations) -> list[Tensor]:
        """Return the raw windows (N, T, D) of the policy's inputs."""
        steps = self.policy.interface.history
        return [
            torch.cat([obs[group][:, at].unflatten(1, (steps, -1)) for group, at in parts], dim=-1)
            for parts in self._parts
        ]

    @torch.no_grad()
    def embed(self, plan: Plan) -> Tensor:
        """See :meth:`BasePolicy.embed`."""
        return self.policy.embed(self.windows(plan.obs))

    @torch.no_grad()
    def latent(self, plan: Plan) -> Tensor:
        """See :meth:`BasePolicy.latent`."""
        if self.bottleneck is None:
            return super().latent(plan)
        return self.bottleneck.encode(plan.embedding)[0]

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
        if embedding is None:
            embedding = self._condition(plan, latent)
        return self.bounded(self.policy.generate(embedding, plan.noise if noise is None else noise))

    def _condition(self, plan: Plan, latent: Tensor | None) -> Tensor:
        """Return the condition (N, E) of a latent (N, L), or of the policy's own with None."""
        if self.bottleneck is None:
            return plan.embedding
        if self.mode == "decode":
            return self.bottleneck.decode(plan.latent if latent is None else latent)
        if latent is None:
            return plan.embedding
        return plan.embedding + (self.bottleneck.decode(latent) - self.bottleneck.decode(plan.latent))

    def mixes_rows(self, knob: str | None) -> bool:
        """See :meth:`BasePolicy.mixes_rows`: torch's matrix products do."""
        return self.action_low.device.type == "cpu"


def make_imported(policy: ImportedPolicy, meta: Mapping[str, Any], spec: TaskSpec) -> ImportedBasePolicy:
    """Return a policy as it acts in a task.

    Args:
        policy: The policy, on the device that it is to act on.
        meta: What belongs to its use in a task: ``columns``, see :data:`Columns`, and ``bottleneck``, see
            :meth:`ImportedBottleneck.to_dict`, or None.
        spec: What it sees and does there.

    Raises:
        ZprlError: If they do not fit together.
    """
    try:
        columns = {key: [(group, feature) for group, feature in places] for key, places in meta["columns"].items()}
        values = meta["bottleneck"]
        bottleneck = None
        if values is not None:
            bottleneck = ImportedBottleneck.from_dict(values, policy.interface.embedding_size)
            bottleneck.to(policy.fixed_noise.device)
        return ImportedBasePolicy(policy, spec, columns, bottleneck)
    except (KeyError, TypeError, ValueError) as error:
        raise ZprlError(
            f"the imported base policy does not fit its own settings ({error}); import it again."
        ) from error
