# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The policies that are profiled, and the random data they get.

Shapes A and B have random weights, also where training starts from zero, so that no layer can hide. Their encoder and
decoder are ``obs -> H -> H -> 2z`` and ``z -> H -> H``, with H the width of the velocity field; multiply-accumulates:

=====  =================  ================  =====================  ==========  ===========
shape  core, per step     modulation, once  encode + decode, once  steps K     whole chunk
=====  =================  ================  =====================  ==========  ===========
A      425,984            262,144           153,600                10, Euler   4,675,584
B      2,326,528          1,048,576         569,344                10, Euler   24,883,200
=====  =================  ================  =====================  ==========  ===========
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from zprl.policies import FlowPolicy, FlowPolicyCfg, load_policy
from zprl.policies.flow.cfg import check_cfg
from zprl.utils.errors import ZprlError

TASK_PREFIX = "task:"


@dataclass(frozen=True)
class _Definition:
    obs_dim: int
    action_dim: int
    cfg: dict[str, object] = field(default_factory=dict)


def _mlp_shape(hidden: int, blocks: int, horizon: int) -> dict[str, object]:
    return {
        "horizon": horizon,
        "num_flow_steps": 10,
        "embed_dim": hidden,
        "embed_hidden_dims": (),
        "vib_hidden_dims": (hidden,),
        "velocity_hidden_dim": hidden,
        "velocity_num_blocks": blocks,
    }


_DEFINITIONS = {
    "A": _Definition(obs_dim=40, action_dim=8, cfg=_mlp_shape(hidden=256, blocks=3, horizon=8)),
    "B": _Definition(obs_dim=40, action_dim=14, cfg=_mlp_shape(hidden=512, blocks=4, horizon=16)),
}


@dataclass
class Shape:
    """A policy to profile."""

    name: str
    """What the user called it, "A", "B" or "task:<id>", and the solver and steps that were asked for: "A rk4 K=4"."""

    policy: FlowPolicy
    """The policy in normalised action units and without action limits, where an error has a scale and cannot hide."""

    trained: FlowPolicy | None = None
    """The policy as it acts, with its action normaliser and limits; None for random weights."""


@dataclass
class Inputs:
    """Arguments of one policy step on N rows."""

    obs: Tensor
    """Raw observations (N, obs_dim)."""

    residual: Tensor
    """What is added to the latent's mean (N, latent_dim)."""

    noise: Tensor
    """Start of the flow (N, H, A)."""

    def to(self, device: str | torch.device, dtype: torch.dtype) -> Inputs:
        """Copy to a device and a precision."""
        return Inputs(*(x.to(device, dtype) for x in self.astuple()))

    def astuple(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the arguments in the order of :meth:`zprl.policies.FlowPolicy.act`."""
        return self.obs, self.residual, self.noise


def make_shape(name: str, solver: str | None = None, steps: int | None = None, seed: int = 0) -> Shape:
    """Return the policy of a shape.

    Args:
        name: "A", "B", or "task:<id>" for the task's newest trained base policy.
        solver: Solver of the flow; the policy's own if None.
        steps: Number of solver steps K; the policy's own if None.
        seed: Seed of the random weights of A and B.

    Raises:
        ZprlError: If the shape is unknown, the task has no trained base policy, or solver or steps are not valid.
    """
    given = "".join(f" {x}" for x in (solver, None if steps is None else f"K={steps}") if x is not None)
    if name.startswith(TASK_PREFIX):
        from zprl.runs import paths  # needs the simulator's packages, as trained policies do

        trained, _ = load_policy(paths.latest_base_policy(name.removeprefix(TASK_PREFIX)))
        trained = trained.float()
        _set_solver(trained.cfg, solver, steps)
        return Shape(name + given, _without_action_units(trained), trained)
    if name not in _DEFINITIONS:
        known = ", ".join([*_DEFINITIONS, f"{TASK_PREFIX}ID"])
        raise ZprlError(f"unknown shape '{name}'; choose among {known}.")
    definition = _DEFINITIONS[name]
    cfg = FlowPolicyCfg(**definition.cfg)  # type: ignore[arg-type]
    _set_solver(cfg, solver, steps)
    return Shape(name + given, random_policy(cfg, definition.obs_dim, definition.action_dim, seed))


def random_policy(cfg: FlowPolicyCfg, obs_dim: int, action_dim: int, seed: int = 0) -> FlowPolicy:
    """Return a policy with random weights everywhere, an identity action normaliser and no action limits.

    Signals keep their size from layer to layer; shifts, scales and gates get a size that matters. The caller's random
    numbers are left alone.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        policy = FlowPolicy(cfg, obs_dim, action_dim)
        for name, parameter in policy.named_parameters():
            small = name.endswith("bias") or "modulation" in name or "time_mlp" in name
            nn.init.normal_(parameter, std=0.1 if small else parameter.shape[1] ** -0.5)
        policy.obs_normalizer.mean.normal_()
        policy.obs_normalizer.std.uniform_(0.5, 4.0)
    return policy.eval()


def random_inputs(policy: FlowPolicy, rows: int, seed: int) -> Inputs:
    """Return observations as the policy's normaliser expects them, steering of a usual size, and normal noise."""
    generator = torch.Generator().manual_seed(seed)
    normalizer = policy.obs_normalizer
    obs = torch.randn(rows, policy.obs_dim, generator=generator) * normalizer.std + normalizer.mean
    residual = 0.5 * torch.randn(rows, policy.cfg.latent_dim, generator=generator)
    return Inputs(obs, residual, torch.randn(rows, *policy.chunk_shape, generator=generator))


def _set_solver(cfg: FlowPolicyCfg, solver: str | None, steps: int | None) -> None:
    cfg.solver = cfg.solver if solver is None else solver
    cfg.num_flow_steps = cfg.num_flow_steps if steps is None else steps
    check_cfg(cfg)


def _without_action_units(policy: FlowPolicy) -> FlowPolicy:
    """Return a copy that puts out normalised, unlimited chunks. It does the same work."""
    policy = copy.deepcopy(policy)
    policy.action_normalizer.mean.zero_()
    policy.action_normalizer.std.fill_(1.0)
    policy.action_low.fill_(-torch.inf)
    policy.action_high.fill_(torch.inf)
    return policy
