# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a format of an exported policy is."""

from __future__ import annotations

import contextlib
import inspect
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from zprl.deploy.contract import Contract
    from zprl.deploy.source import Source
    from zprl.deploy.steered import SteeredPolicy

Model = Callable[..., Tensor]
"""Maps raw observations, one tensor per group in the contract's order, to chunks (N, H, A), float32 on the CPU."""

Models = tuple[Model, Model | None]
"""The steered policy, and the base policy if the format holds it."""


class Format(ABC):
    """A format: how it is written, and what loads it."""

    kind: str
    """Name of the format."""

    file: str
    """Name of the file in a bundle."""

    needs: str
    """What a program needs to load it."""

    has_base: bool = False
    """Whether it can also run the base policy."""

    native: bool = False
    """Whether it runs on this project's own core, and so in the chosen precision."""

    @abstractmethod
    def write(self, source: Source, precision: str, contract: Contract) -> bytes:
        """Return the content of a file.

        Args:
            source: The policy.
            precision: Type of the velocity field's weights, for the native formats.
            contract: The contract, which the file carries where it can.
        """

    @abstractmethod
    def load(self, path: Path, contract: Contract) -> Models:
        """Load a file.

        Args:
            path: The file.
            contract: The contract of its bundle.

        Raises:
            ZprlError: If it does not load, or what loads it is not installed.
        """


class _NamedInputs(nn.Module):
    def __init__(self, policy: SteeredPolicy) -> None:
        super().__init__()
        self.policy = policy


def with_named_inputs(policy: SteeredPolicy, names: list[str]) -> nn.Module:
    """Return a policy whose methods take one argument per observation group, by name, as exporters read it off them.

    Args:
        policy: The policy.
        names: Names of the inputs, in order.
    """
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(name, kind) for name in ("self", *names)])

    def method(name: str) -> Callable[..., Tensor]:
        def call(self: _NamedInputs, *args: Tensor, **kwargs: Tensor) -> Tensor:
            return getattr(self.policy, name)(*signature.bind(self, *args, **kwargs).args[1:])

        call.__signature__ = signature  # type: ignore[attr-defined]
        return call

    methods = {name: method(name) for name in ("forward", "base", "latent")}
    return type("NamedInputs", (_NamedInputs,), methods)(policy)


def example_inputs(source: Source) -> tuple[Tensor, ...]:
    """Return observations of two rows to trace with; the batch stays free."""
    spec = source.spec.zeros(2)
    mean, start = source.policy.obs_normalizer.mean, 0
    for name in source.policy.cfg.observation_groups:
        if name not in source.policy.image_shapes:
            width = spec[name].shape[1]
            spec[name] = spec[name] + mean[start : start + width].cpu()
            start += width
    return tuple(spec[name] for name in source.groups)


def contract_text(contract: Contract) -> str:
    """Return the contract as the files carry it, without the list of files, whose checksums come after them."""
    return json.dumps({**contract.to_dict(), "files": {}}, allow_nan=False)


def unloadable(path: Path, error: Exception) -> ZprlError:
    """Return what to say of a file that does not load."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ZprlError(f"{path} does not load here ({json.dumps(lines[0] if lines else type(error).__name__)[1:-1]}).")


def inference(model: Any) -> Model:
    """Return a model that records no gradients."""

    @torch.inference_mode()
    def run(*inputs: Tensor) -> Tensor:
        return model(*inputs)

    return run


@contextlib.contextmanager
def quiet(name: str) -> Iterator[None]:
    """Keep a library's loggers down to errors for a while."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
