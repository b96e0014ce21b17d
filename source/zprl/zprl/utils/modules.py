# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Small helpers around torch's modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def make_mlp(input_dim: int, hidden_dims: Sequence[int], output_dim: int) -> nn.Sequential:
    """Return Linear layers with GELU (the exact one, through the error function) between them."""
    layers: list[nn.Module] = []
    for width in hidden_dims:
        layers += [nn.Linear(input_dim, width), nn.GELU()]
        input_dim = width
    return nn.Sequential(*layers, nn.Linear(input_dim, output_dim))


def require_shapes(make: Callable[[], nn.Module], weights: Mapping[str, Tensor]) -> None:
    """Check that weights out of a file fit the module that its settings declare, whose size nothing has by then.

    Args:
        make: Makes the module.
        weights: Its state dictionary.

    Raises:
        ValueError: If they do not fit; the message says which does not.
    """
    with torch.device("meta"):  # shapes without numbers
        module = make()
    try:
        module.load_state_dict({name: value.to("meta") for name, value in weights.items()})
    except RuntimeError as error:
        raise ValueError(str(error).splitlines()[-1].strip(" \t.")) from error


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Gradients pass through what a module computes in this context, and its parameters get none.

    Autograd decides when an operation runs, so the backward pass may come after the context.
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def rms(x: Tensor) -> Tensor:
    """Root mean square over all entries, of shape ()."""
    return x.square().mean().sqrt()
