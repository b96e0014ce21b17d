# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""TorchScript, on this project's operators and on PyTorch's own."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zprl.deploy.archives import check_torchscript
from zprl.deploy.contract import CONTRACT_FILE
from zprl.deploy.formats.base import (
    Format,
    Models,
    contract_text,
    example_inputs,
    inference,
    unloadable,
    with_named_inputs,
)
from zprl.policies.native.library import load_torch_library

if TYPE_CHECKING:
    from zprl.deploy.contract import Contract
    from zprl.deploy.source import Source
    from zprl.deploy.steered import SteeredPolicy


def write_torchscript(module: SteeredPolicy, example: Sequence[Tensor], contract: Contract) -> bytes:
    """Return a TorchScript file with the methods ``forward``, ``base`` and ``latent``, and the contract inside.

    Args:
        module: The policy in either form.
        example: Observations of two rows to trace with, one tensor per group; the batch stays free.
        contract: The contract.
    """
    methods = ("forward", "base", "latent") if module.has_latent else ("forward", "base")
    named = with_named_inputs(module, contract.input_names)
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch would rather see torch.export; C++ programs still want TorchScript
        traced = torch.jit.trace_module(named, {name: tuple(example) for name in methods}, check_trace=False)
        torch.jit.save(traced, file, _extra_files={CONTRACT_FILE: contract_text(contract)})
    return file.getvalue()


class Portable(Format):
    """TorchScript that runs wherever PyTorch does."""

    kind, file, needs, has_base = "portable", "policy_portable.pt", "PyTorch", True

    def write(self, source: Source, precision: str, contract: Contract) -> bytes:
        """See :meth:`Format.write`."""
        return write_torchscript(source.portable(), example_inputs(source), contract)

    def load(self, path: Path, contract: Contract) -> Models:
        """See :meth:`Format.load`."""
        check_torchscript(path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript, which C++ programs still want
                module = torch.jit.load(str(path), map_location="cpu")
        except RuntimeError as error:
            raise unloadable(path, error) from error
        return inference(module), inference(module.base)


class TorchScript(Portable):
    """TorchScript on this project's operators."""

    kind, file, needs, native = "torchscript", "policy.pt", "PyTorch 2.11 and libzprl_torch.so", True

    def write(self, source: Source, precision: str, contract: Contract) -> bytes:
        """See :meth:`Format.write`."""
        return write_torchscript(source.native(precision), example_inputs(source), contract)

    def load(self, path: Path, contract: Contract) -> Models:
        """See :meth:`Format.load`."""
        load_torch_library()
        return super().load(path, contract)
