# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Fine-tuning of the flow policy itself: the learner outputs the states that the flow passes through."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from zprl.policies.base import BasePolicy, Plan
from zprl.policies.flow.base_policy import FlowBasePolicy
from zprl.steering.steering import Steering, SteeringCfg
from zprl.utils.configclass import configclass
from zprl.utils.constraints import Name
from zprl.utils.errors import ZprlError


@configclass
class FlowChainCfg(SteeringCfg):
    """Settings of :class:`FlowChain`."""

    class_type: Name = "zprl.steering.flow_chain:FlowChain"


class FlowChain(Steering):
    """Executes the last of the states x_1 .. x_K that an actor's own flow passed through.

    The actor is :class:`zprl.rl.flow_actor.FlowActor`, a trainable copy of the base policy. Its output is the whole
    chain, because the chain's likelihood is a product of Gaussians while that of its end alone has no closed form.
    There is no ``u`` that is the base policy; the actor's deterministic output is, until it has learned.

    Raises:
        ZprlError: If it is no flow policy, or its flow is not integrated by Euler steps from a fixed start.
    """

    knob = "actions"

    def __init__(self, cfg: FlowChainCfg, base: BasePolicy) -> None:
        super().__init__(cfg, base)
        if not isinstance(base, FlowBasePolicy):
            raise ZprlError(f"fine-tuning needs a flow policy of this project, not a {type(base).__name__}.")
        policy = base.policy
        if policy.image_shapes:
            raise ZprlError(
                f"fine-tuning would train the encoder too, and the images {', '.join(policy.image_shapes)} that it "
                "needs are not stored; choose another --method for a policy that sees."
            )
        if policy.cfg.solver != "euler":
            raise ZprlError(f"a flow is fine-tuned in Euler steps, not with policy.solver={policy.cfg.solver}.")
        if policy.cfg.initial_noise == "sampled":
            raise ZprlError(
                "a flow is fine-tuned from a start that is not drawn anew; choose policy.initial_noise=zero or fixed."
            )
        self._flow = policy
        self.chain_shape = (policy.cfg.num_flow_steps, *policy.chunk_shape)
        self.num_dims = math.prod(self.chain_shape)

    def apply(self, plan: Plan, u: Tensor) -> dict[str, Tensor]:
        """See :meth:`Steering.apply`; ``u`` is the chain in normalised actions, from the first step's end."""
        return {"actions": self._flow.action_normalizer.inverse(u.unflatten(1, self.chain_shape)[:, -1])}

    def model_arguments(self, model: str) -> dict[str, Any]:
        """Give the actor the policy that it fine-tunes."""
        return {"policy": self._flow} if model == "actor" else {}

    def describe(self) -> str:
        """See :meth:`Steering.describe`."""
        return f"the base policy's own weights, through {self.chain_shape[0]} steps of its flow"
