# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The base policy's file: configuration, dimensions, weights, normalisers and limits in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from zprl.policies.flow.cfg import cfg_from_dict, cfg_to_dict
from zprl.policies.flow.policy import FlowPolicy
from zprl.utils.errors import ZprlError
from zprl.utils.files import atomic_torch_save, load_torch

if TYPE_CHECKING:
    from _typeshed import StrPath

FORMAT = "zprl-base-policy"
"""Tag that tells a base policy from other checkpoints."""

VERSION = 1
"""Version of the file format. It changes when an older reader would misread a newer file."""


def save_policy(path: StrPath, policy: FlowPolicy, meta: dict[str, Any] | None = None) -> None:
    """Save a policy so that the file is either complete or absent.

    Args:
        path: File to create or to replace.
        policy: Policy to save, on any device.
        meta: Anything worth keeping beside it, such as the task and the training history.

    Raises:
        OSError: If the file cannot be written.
    """
    atomic_torch_save(policy_to_dict(policy, meta), path)


def policy_to_dict(policy: FlowPolicy, meta: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a policy as a dictionary of plain values and tensors on the CPU; see :func:`policy_from_dict`."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "cfg": cfg_to_dict(policy.cfg),
        "obs_dim": policy.obs_dim,
        "action_dim": policy.action_dim,
        "state_dict": {name: value.detach().cpu() for name, value in policy.state_dict().items()},
        "meta": dict(meta or {}),
    }


def load_policy(path: StrPath) -> tuple[FlowPolicy, dict[str, Any]]:
    """Load a policy that :func:`save_policy` wrote.

    Args:
        path: File to load.

    Returns:
        The policy, on the CPU and in evaluation mode, and the ``meta`` that was saved with it.

    Raises:
        ZprlError: If the file is missing, truncated, not a base policy, of a newer version, or damaged.
    """
    return policy_from_dict(load_torch(path, "base policy"), path)


def policy_from_dict(content: Any, path: StrPath) -> tuple[FlowPolicy, dict[str, Any]]:
    """Return the policy and the ``meta`` that :func:`policy_to_dict` turned into a dictionary.

    Args:
        content: The dictionary.
        path: File that it comes from, for error messages.

    Raises:
        ZprlError: If it is not a base policy, of a newer version, or damaged.
    """
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ZprlError(f"{path} is not a ZPRL base policy; give the file that pre-training wrote.")
    if content.get("version") != VERSION:
        raise ZprlError(
            f"the base policy {path} has format version {content.get('version')}, and this ZPRL reads version "
            f"{VERSION}; train it again or install a matching version."
        )
    try:
        # Initial weights are drawn and thrown away: loading must not shift the caller's random numbers.
        with torch.random.fork_rng(devices=[]):
            policy = FlowPolicy(cfg_from_dict(content["cfg"]), content["obs_dim"], content["action_dim"])
        # An export of a double-precision policy loads as such instead of being rounded silently.
        policy.to(content["state_dict"]["fixed_noise"].dtype)
        policy.load_state_dict(content["state_dict"])
        meta = dict(content["meta"])
    except (KeyError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ZprlError(f"the base policy {path} is damaged or does not fit its configuration ({reason}).") from error
    return policy.eval(), meta
