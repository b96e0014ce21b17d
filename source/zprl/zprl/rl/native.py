# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Gradient steps by the native operators: the choice between them and autograd, and what both share.

``zprl::sac_update`` and ``zprl::ppo_update`` take all gradient steps of an iteration in one call, on the CPU. They know
the usual networks, and autograd everything else; both compute the same from the same random numbers, up to rounding.
Learned numbers stay where modules and optimisers have them, as views of one buffer, so that checkpoints look the same
and either can continue from the other's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from rsl_rl.models import MLPModel
from rsl_rl.modules import MLP, EmpiricalNormalization
from torch import Tensor, nn

from zprl.policies.native.blob import ACTIVATIONS
from zprl.policies.native.library import load_torch_library
from zprl.utils.constraints import OneOf
from zprl.utils.errors import NotInstalledError, ZprlError

Backend = Annotated[str, OneOf("auto", "native", "torch")]
"""What takes gradient steps: "native" operators, "torch" autograd, or "auto", the first that can."""


def runs_natively(backend: str, obstacle: str | None) -> bool:
    """Choose what takes a learner's gradient steps.

    Args:
        backend: A :data:`Backend`.
        obstacle: Why the native operators cannot, as a clause, or None.

    Raises:
        ZprlError: If they are asked for and cannot, or are not installed.
    """
    if backend == "torch":
        return False
    if obstacle is None:
        try:
            load_torch_library()
        except NotInstalledError:
            if backend == "native":
                raise
            return False
        return True
    if backend == "native":
        raise ZprlError(f"agent.algorithm.backend=native does not go: {obstacle}; choose auto or torch.")
    return False


@dataclass(frozen=True)
class NetworkShape:
    """What the native operators need to know of a network."""

    widths: list[int]
    """Widths of the input, the hidden layers and the output."""

    activation: int
    """Index of the activation between them in :data:`zprl.policies.native.blob.ACTIVATIONS`."""


def activation_index(module: nn.Module) -> int | None:
    """Return the index of an activation with its default settings among the native ones, or None."""
    for i, kind in enumerate(ACTIVATIONS):
        if type(module) is kind and repr(module) == repr(kind()):
            return i
    return None


def model_obstacle(model: nn.Module, who: str) -> str | None:
    """Return why the native operators do not know a model of rsl_rl, as a clause, or None.

    Args:
        model: The model.
        who: "actor" or "critic".
    """
    if type(model) is not MLPModel:
        return f"the {who} is a {type(model).__name__}"
    hidden = list(model.mlp)[1::2]
    if type(model.mlp) is not MLP or type(model.mlp[-1]) is not nn.Linear:
        return f"the {who}'s network is no plain MLP"
    if any(activation_index(module) is None for module in hidden):
        return f"the {who}'s activation is {type(hidden[0]).__name__}"
    return tensors_obstacle(model.parameters(), who)


def tensors_obstacle(parameters: Iterable[Tensor], who: str) -> str | None:
    """Return why the native operators do not take parameters, as a clause, or None."""
    for parameter in parameters:
        if parameter.device.type != "cpu":
            return f"the {who} is on {parameter.device}"
        if parameter.dtype not in (torch.float32, torch.float64):
            return f"the {who} is of the type {parameter.dtype}"
        if not parameter.requires_grad:
            return f"some of the {who} is not learned"
    return None


def network_shape(mlp: nn.Sequential) -> NetworkShape:
    """Return the shape of an MLP without an obstacle."""
    layers = [module for module in mlp if isinstance(module, nn.Linear)]
    # Without a hidden layer there is no activation, and any will do.
    activation = activation_index(mlp[1]) if len(layers) > 1 else 0
    assert activation is not None
    return NetworkShape([layers[0].in_features, *(layer.out_features for layer in layers)], activation)


def normalizer_rows(normalizer: nn.Module, like: Tensor, width: int) -> Tensor:
    """Return what a model takes its input by: mean and divisor (2, width)."""
    if isinstance(normalizer, EmpiricalNormalization):
        return torch.cat([normalizer._mean, normalizer._std + normalizer.eps]).to(like)  # type: ignore[list-item]
    return torch.stack([like.new_zeros(width), like.new_ones(width)])


def flattened(parameters: Sequence[Tensor]) -> Tensor:
    """Let parameters become views of one new buffer, and return that, of shape (P,)."""
    first = parameters[0]
    flat = torch.empty(sum(parameter.numel() for parameter in parameters), dtype=first.dtype, device=first.device)
    _become_views(parameters, flat)
    return flat


@torch.no_grad()
def _become_views(parameters: Sequence[Tensor], flat: Tensor) -> None:
    """Move parameters into a buffer (P,), of which they are views from now on."""
    for parameter, part in zip(parameters, _parts(flat, parameters), strict=True):
        part.copy_(parameter)
        parameter.data = part


def _parts(flat: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    sizes = [parameter.numel() for parameter in parameters]
    return [part.view_as(p) for part, p in zip(flat.split(sizes), parameters, strict=True)]


class LearnedNumbers:
    """Parameters that one Adam optimiser learns, side by side in one buffer with what it keeps of them.

    Args:
        optimizer: Their optimiser, with torch's default betas and epsilon.
        parameters: The parameters, in the order of the buffer.
    """

    AVERAGES = ("exp_avg", "exp_avg_sq")

    def __init__(self, optimizer: torch.optim.Adam, parameters: Iterable[Tensor]) -> None:
        self.optimizer = optimizer
        self.parameters = list(parameters)
        first = self.parameters[0]
        self.state = torch.zeros(3, sum(p.numel() for p in self.parameters), dtype=first.dtype)
        """Parameters, and averages of their gradients and of the squares of these (3, P)."""
        _become_views(self.parameters, self.state[0])
        self.adopt()

    @torch.no_grad()
    def adopt(self) -> None:
        """Take over what the optimiser keeps, which loading replaces by tensors of its own."""
        fused = self.optimizer.defaults["fused"]
        for name, row in zip(self.AVERAGES, self.state[1:], strict=True):
            for parameter, part in zip(self.parameters, _parts(row, self.parameters), strict=True):
                kept = self.optimizer.state[parameter]
                part.copy_(kept.get(name, torch.zeros(())))
                kept[name] = part
                kept.setdefault("step", torch.tensor(0.0, dtype=torch.float32 if fused else None))

    def steps(self, parameter: Tensor) -> int:
        """Number of steps that the optimiser has taken with a parameter."""
        return int(self.optimizer.state[parameter]["step"])

    def count_steps(self, parameters: Iterable[Tensor], steps: int) -> None:
        """Note steps that were taken with some of the parameters."""
        for parameter in parameters:
            self.optimizer.state[parameter]["step"] += steps
