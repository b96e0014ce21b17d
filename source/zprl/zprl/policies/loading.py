# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""From a base policy's file to a base policy that acts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from zprl.policies.flow.base_policy import FlowBasePolicy
from zprl.policies.flow.policy import FlowPolicy
from zprl.policies.native.step import make_policy_step_on
from zprl.spec import TaskSpec
from zprl.utils.errors import ZprlError


def spec_of(meta: Mapping[str, Any], what: str) -> TaskSpec:
    """Return the spec that was saved with a policy.

    Args:
        meta: What was saved with it.
        what: What it is, for the error message, such as "the base policy FILE".

    Raises:
        ZprlError: If there is none, or it is damaged.
    """
    try:
        return TaskSpec.from_dict(meta["spec"])
    except (KeyError, TypeError, ValueError) as error:
        raise ZprlError(
            f"{what} does not say what it sees and does ({error}); convert it or train it again."
        ) from error


def make_base_policy(policy: FlowPolicy, meta: Mapping[str, Any], device: str | torch.device = "cpu") -> FlowBasePolicy:
    """Return a loaded policy, frozen, run by its own ``backend``, or by torch where that cannot.

    Args:
        policy: The policy; it is moved to the device.
        meta: What was saved with it: ``spec`` and ``latent_statistics``.
        device: Device to act on.
    """
    policy = policy.to(device).eval().requires_grad_(False)
    step = make_policy_step_on(policy, device)
    return FlowBasePolicy(step, spec_of(meta, "the base policy"), meta["latent_statistics"])
