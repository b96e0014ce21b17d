# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The policies of a checkpoint, put together for whoever runs them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zprl.evaluation.comparison import noise_shape
from zprl.policies import make_base_policy
from zprl.policies.base import BasePolicy
from zprl.rl.actor import load_actor
from zprl.rl.checkpoint import SteeringCheckpoint
from zprl.runs.base_policy import load_base
from zprl.runs.session import TaskSession
from zprl.spec import TaskSpec
from zprl.steering import ChunkPolicy, Steering, base_chunks, make_steering, steered_chunks


@dataclass(frozen=True)
class LoadedPolicies:
    """A base policy and, of a checkpoint, what steers it, ready to act.

    Attributes:
        base_policy: The base policy.
        steering: The steering around it.
        base: The base policy by itself.
        steered: The steered policy; None if there is no checkpoint.
    """

    base_policy: BasePolicy
    steering: Steering
    base: ChunkPolicy
    steered: ChunkPolicy | None

    @property
    def noise_shape(self) -> tuple[int, int] | None:
        """See :func:`zprl.evaluation.comparison.noise_shape`."""
        return noise_shape(self.base_policy)


def load_policies(
    session: TaskSession, spec: TaskSpec, checkpoint: SteeringCheckpoint | None, base: Path | None
) -> LoadedPolicies:
    """Put the policies of a checkpoint or of a base policy's file together.

    Args:
        session: The task; it takes over how the checkpoint's run acts.
        spec: Spec of the environment that they will act in.
        checkpoint: The checkpoint, or None for a base policy alone.
        base: File of the base policy, if there is no checkpoint.

    Raises:
        ZprlError: If they do not fit the spec.
    """
    if checkpoint is not None:
        spec.require_match(checkpoint.spec, f"the checkpoint {checkpoint.path}")
        policy, meta = session.take_over_policy(checkpoint), checkpoint.policy_meta
    else:
        assert base is not None
        policy, meta = load_base(session, base, spec)
    base_policy = make_base_policy(policy, meta, session.device)
    steering = make_steering(session.agent_cfg.steering, base_policy)
    steered = None
    if checkpoint is not None:
        groups = checkpoint.settings["agent"]["obs_groups"]["actor"]
        steered = steered_chunks(steering, load_actor(checkpoint, session.device), groups)
    return LoadedPolicies(base_policy, steering, base_chunks(steering), steered)
