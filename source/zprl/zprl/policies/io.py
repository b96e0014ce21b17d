# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The base policy's file, with configuration, dimensions, weights, normalisers and limits; and how to make it act."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import torch
from torch import Tensor

from zprl.policies.base import BasePolicy
from zprl.policies.flow.base_policy import FlowBasePolicy
from zprl.policies.flow.cfg import FlowPolicyCfg, cfg_from_dict, check_cfg
from zprl.policies.flow.policy import FlowPolicy
from zprl.policies.imported.base_policy import make_imported
from zprl.policies.imported.policy import KIND as IMPORTED_KIND
from zprl.policies.imported.policy import ImportedPolicy, load_imported
from zprl.policies.native.step import make_policy_step
from zprl.spec import TaskSpec
from zprl.utils.configclass import class_to_dict
from zprl.utils.errors import ZprlError, first_line
from zprl.utils.modules import require_shapes
from zprl.utils.registry import check_settings
from zprl.utils.tensor_files import OtherKindError, load_tensors, require_finite, save_tensors

if TYPE_CHECKING:
    from _typeshed import StrPath

KIND = "zprl-base-policy"
"""Kind of file; see :mod:`zprl.utils.tensor_files`."""

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
        ZprlError: If a weight is not finite.
    """
    _require_finite(policy, f"the base policy {path} would hold")
    content = {
        "cfg": class_to_dict(policy.cfg),
        "obs_dim": policy.obs_dim,
        "action_dim": policy.action_dim,
        "image_shapes": policy.image_shapes,
        "state_dict": policy.state_dict(),
        "meta": dict(meta or {}),
    }
    save_tensors(path, content, KIND, VERSION)


def load_policy(path: StrPath) -> tuple[FlowPolicy, dict[str, Any]]:
    """Load a policy that :func:`save_policy` wrote.

    Returns:
        The policy, on the CPU and in evaluation mode, and the ``meta`` that was saved with it.

    Raises:
        ZprlError: If the file is missing, truncated, damaged, not a base policy, of another version, names a class
            that is not registered, or holds weights that are not finite.
    """
    content = load_tensors(path, KIND, "base policy", VERSION)
    try:
        check_settings(content["cfg"], f"the base policy {path}")
        cfg = cfg_from_dict(content["cfg"])
        dims = content["obs_dim"], content["action_dim"], content["image_shapes"]
        policy = restore_policy(cfg, *dims, content["state_dict"])
        meta = dict(content["meta"])
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = first_line(error)
        raise ZprlError(f"the base policy {path} is damaged or does not fit its configuration ({reason}).") from error
    _require_finite(policy, f"the base policy {path} holds")
    return policy.eval(), meta


def load_any_policy(path: StrPath) -> tuple[FlowPolicy | ImportedPolicy, dict[str, Any]]:
    """Load a policy of this project or an imported one; see :func:`load_policy` and :func:`load_imported`."""
    try:
        return load_policy(path)
    except OtherKindError as error:
        if error.kind != IMPORTED_KIND:
            raise
    return load_imported(path)


def restore_policy(
    cfg: FlowPolicyCfg,
    obs_dim: int,
    action_dim: int,
    image_shapes: Mapping[str, Sequence[int]] | None,
    weights: Mapping[str, Tensor],
) -> FlowPolicy:
    """Return the policy that a file declares, with the weights that it holds.

    Args:
        cfg: See :class:`FlowPolicy`, as the two that follow.
        obs_dim: Width of the state.
        action_dim: Width of an action.
        image_shapes: Shapes of the images.
        weights: State dictionary, whose precision the policy gets.

    Raises:
        ValueError: If the settings declare other weights than there are.
        ZprlError: If the configuration is not valid.
    """
    check_cfg(cfg)
    layers = len(cfg.embed_hidden_dims) + len(cfg.vib_hidden_dims) + cfg.velocity_num_blocks + len(image_shapes or {})
    layers += len(cfg.images.channels) if image_shapes else 0
    if layers > len(weights):
        raise ValueError(f"its settings declare {layers} layers, and it holds {len(weights)} arrays")

    def make() -> FlowPolicy:
        return FlowPolicy(cfg, obs_dim, action_dim, image_shapes)

    # Initial weights are drawn and thrown away: loading must not shift the caller's random numbers.
    with torch.random.fork_rng(devices=[]):
        require_shapes(make, weights)
        policy = make()
    # A policy in double precision loads as such instead of being rounded silently.
    policy.to(weights["fixed_noise"].dtype)
    policy.load_state_dict(weights)
    return policy


def _require_finite(policy: FlowPolicy, what: str) -> None:
    """Check all that a policy computes with; where an action has no limit, that is infinite."""
    limits = {name: getattr(policy, name) for name in ("action_low", "action_high")}
    require_finite({name: limit[~limit.isinf()] for name, limit in limits.items()}, what)
    require_finite({name: value for name, value in policy.state_dict().items() if name not in limits}, what)


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
    except (KeyError, TypeError, ValueError, ZprlError) as error:
        raise ZprlError(
            f"{what} does not say what it sees and does ({error}); convert it or train it again."
        ) from error


@overload
def make_base_policy(
    policy: FlowPolicy, meta: Mapping[str, Any], device: str | torch.device = "cpu"
) -> FlowBasePolicy: ...


@overload
def make_base_policy(
    policy: FlowPolicy | ImportedPolicy, meta: Mapping[str, Any], device: str | torch.device = "cpu"
) -> BasePolicy: ...


def make_base_policy(
    policy: FlowPolicy | ImportedPolicy, meta: Mapping[str, Any], device: str | torch.device = "cpu"
) -> BasePolicy:
    """Return a loaded policy, frozen, run by its own ``backend``, or by torch where that cannot.

    Args:
        policy: The policy; it is moved to the device.
        meta: What was saved with it: ``spec``, and ``latent_statistics`` or, of an imported one, what
            :func:`zprl.policies.imported.base_policy.make_imported` takes.
        device: Device to act on.
    """
    policy = policy.to(device).eval().requires_grad_(False)
    if isinstance(policy, ImportedPolicy):
        return make_imported(policy, meta, spec_of(meta, "the imported base policy"))
    step = make_policy_step(policy, device=device)
    return FlowBasePolicy(step, spec_of(meta, "the base policy"), meta["latent_statistics"])
