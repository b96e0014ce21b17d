# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What is exported: a base policy with or without what steers it, in the forms that the formats need."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from zprl.deploy.steered import EMBEDDING, LATENT, NativeSteeredPolicy, PortableSteeredPolicy, SteeredPolicy
from zprl.policies import FlowBasePolicy, FlowPolicy, make_base_policy
from zprl.policies.base import BasePolicy
from zprl.policies.native.blob import pack_policy
from zprl.rl.actor import load_actor, make_actor, pack_actor
from zprl.rl.checkpoint import SteeringCheckpoint
from zprl.spec import TaskSpec
from zprl.steering import ChunkPolicy, LatentResidual, Steering, plain_chunks, steered_chunks
from zprl.utils.errors import ZprlError


@dataclass
class Source:
    """What is exported.

    Attributes:
        path: File of the checkpoint or base policy.
        base: The base policy on the CPU, with the inference settings of the export.
        meta: What was saved with it.
        checkpoint: The checkpoint, or None for a base policy.
        steering: What steers the base policy in the checkpoint's run, or None.

    Raises:
        ZprlError: If the policy is steered by anything but a residual on its latent, or the actor sees what is neither
            an observation group of the task nor the embedding nor the latent.
    """

    path: Path
    base: FlowBasePolicy
    meta: Mapping[str, Any]
    checkpoint: SteeringCheckpoint | None = None
    steering: Steering | None = None

    def __post_init__(self) -> None:
        self.policy: FlowPolicy = self.base.policy
        self.residual_scale = 0.0
        """Lambda; 0 for a base policy."""
        self.seen: tuple[str, ...] = ()
        """What the actor sees, in order."""
        self.actor: nn.Module | None = None
        """The actor's network, its output not clamped, or None for a base policy."""
        if self.checkpoint is not None:
            if not isinstance(self.steering, LatentResidual):
                raise ZprlError(
                    f"the checkpoint {self.path} is of --method {self.checkpoint.method}, and only policies of "
                    "--method zprl are exported; evaluate it with scripts/evaluate.py."
                )
            self.residual_scale = self.steering.residual_scale
            self.seen = tuple(self.checkpoint.settings["agent"]["obs_groups"]["actor"])
            known = [group.name for group in self.checkpoint.spec.groups if not group.is_image]
            odd = [name for name in self.seen if name not in (*known, EMBEDDING, LATENT)]
            if odd:
                raise ZprlError(
                    f"the actor in {self.path} sees {odd[0]}, which is no state group of task "
                    f"{self.checkpoint.spec.task} and neither the embedding nor the latent; it cannot be exported."
                )
            self.actor = make_actor(self.checkpoint).as_jit()
        spec = self.base.spec if self.checkpoint is None else self.checkpoint.spec
        others = [name for name in self.seen if name not in (EMBEDDING, LATENT)]
        groups = [*self.policy.cfg.observation_groups, *others]
        self.spec: TaskSpec = spec.seen_by(dict.fromkeys(groups))
        """What the policy sees and does; its groups are the inputs of the exported files, in order."""

    @classmethod
    def of_checkpoint(cls, checkpoint: SteeringCheckpoint) -> Source:
        """Return a checkpoint as it acted in its run."""
        base = exportable(make_base_policy(checkpoint.policy, checkpoint.policy_meta), checkpoint.path)
        return cls(checkpoint.path, base, checkpoint.policy_meta, checkpoint, checkpoint.steering(base))

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the observation groups that it reads, in order."""
        return tuple(group.name for group in self.spec.groups)

    def by_group(self, state: Tensor) -> dict[str, Tensor]:
        """Take the base policy's state (..., obs_dim) apart into its groups of vectors, (..., D) each."""
        groups = [self.spec.group(name) for name in self.policy.cfg.observation_groups]
        widths = {group.name: group.shape[0] for group in groups if not group.is_image}
        return dict(zip(widths, state.split(list(widths.values()), dim=-1), strict=True))

    def blob(self, dtype: str) -> Tensor:
        """Return the native blob, with the actor if there is one.

        Raises:
            ZprlError: If the native core does not know a part of the policy.
        """
        images = [group.name for group in self.spec.groups if group.is_image]
        if images:
            raise ZprlError(f"the native core has no encoder of images compiled in, and the policy sees {images[0]}.")
        actor = None
        if self.checkpoint is not None:
            if self.groups != tuple(self.policy.cfg.observation_groups) or self.seen != (*self.groups, LATENT):
                raise ZprlError(
                    f"the native core's actor sees what the base policy does, and then the latent; this one sees "
                    f"{', '.join(self.seen)}."
                )
            actor = pack_actor(make_actor(self.checkpoint), self.residual_scale, self.seen)
        return pack_policy(self.policy, dtype, actor=actor)

    def reference(self) -> PortableSteeredPolicy:
        """Return the policy in double precision."""
        return self._form(PortableSteeredPolicy, copy.deepcopy(self.policy).double()).double()

    def portable(self) -> PortableSteeredPolicy:
        """Return the policy in portable operators."""
        return self._form(PortableSteeredPolicy, self.policy)

    def native(self, dtype: str) -> NativeSteeredPolicy:
        """Return the policy on the native operators."""
        self.blob(dtype)  # it knows best what does not fit
        return self._form(NativeSteeredPolicy, self.policy, dtype)

    def _form[P: SteeredPolicy](self, form: type[P], policy: FlowPolicy, dtype: str = "float32") -> P:
        return form(policy, self.actor, self.residual_scale, self.groups, self.seen, dtype).eval()

    @cached_property
    def python(self) -> ChunkPolicy:
        """The policy as evaluation runs it."""
        if self.steering is None or self.checkpoint is None:
            if self.policy.bottleneck is None:
                return plain_chunks(self.base)
            return ChunkPolicy(self.base, self.base.act, self.base.mixes_rows("latent"))
        return steered_chunks(self.steering, load_actor(self.checkpoint, "cpu"), self.seen)


def exportable(base: BasePolicy, path: Path) -> FlowBasePolicy:
    """Return a base policy if it can be exported.

    Args:
        base: The base policy.
        path: Its file or that of its checkpoint, for the error message.

    Raises:
        ZprlError: If it is of another framework.
    """
    if not isinstance(base, FlowBasePolicy):
        raise ZprlError(
            f"the base policy of {path} was imported from another framework, and those are not exported yet; run it "
            "with scripts/evaluate.py."
        )
    return base
