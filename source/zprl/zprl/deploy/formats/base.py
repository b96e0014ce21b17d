# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a format of an exported policy is."""

from __future__ import annotations

import contextlib
import inspect
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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


@dataclass
class Format:
    """A format: how it is written, and what loads it.

    Attributes:
        kind: Name of the format.
        file: Name of the file in a bundle.
        needs: What a program needs to load it.
        write: Returns the content of a file: of a policy, the type of the velocity field's weights for the native
            formats, and the contract, which the file carries where it can.
        load: Loads the content of a file, whose path error messages name, by the contract of its bundle. Raises a
            ZprlError if it does not load, or what loads it is not installed.
        is_program: Whether a file is a program, which can do more than compute: one of somebody else's is loaded only
            if it is asked for.
        has_base: Whether it can also run the base policy.
        native: Whether it runs on this project's own core, and so in the chosen precision.
    """

    kind: str
    file: str
    needs: str
    write: Callable[[Source, str, Contract], bytes]
    load: Callable[[bytes, Path, Contract], Models]
    is_program: bool
    has_base: bool = False
    native: bool = False


def with_named_inputs(policy: SteeredPolicy, names: list[str]) -> nn.Module:
    """Return a policy whose methods take one argument per observation group, by name, as exporters read it off them."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(name, kind) for name in ("self", *names)])

    def method(name: str) -> Callable[..., Tensor]:
        def call(self: nn.Module, *args: Tensor, **kwargs: Tensor) -> Tensor:
            return getattr(self.policy, name)(*signature.bind(self, *args, **kwargs).args[1:])

        call.__signature__ = signature  # type: ignore[attr-defined]
        return call

    named = type("NamedInputs", (nn.Module,), {name: method(name) for name in ("forward", "base", "latent")})()
    named.policy = policy
    return named


def example_inputs(source: Source) -> tuple[Tensor, ...]:
    """Return observations of two rows to trace with; the batch stays free."""
    obs, means = source.spec.zeros(2), source.by_group(source.policy.obs_normalizer.mean.cpu())
    return tuple(obs[name] + means[name] if name in means else obs[name] for name in source.groups)


def contract_text(contract: Contract) -> str:
    """Return the contract as the files carry it, without the list of files, whose checksums come after them."""
    return json.dumps({**contract.to_dict(), "files": {}}, allow_nan=False)


def unloadable(path: Path, error: Exception) -> ZprlError:
    """Return what to say of a file that does not load."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ZprlError(f"{path} does not load here ({json.dumps(lines[0] if lines else type(error).__name__)[1:-1]}).")


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
