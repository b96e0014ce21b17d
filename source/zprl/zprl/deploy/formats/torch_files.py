# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The formats of PyTorch: TorchScript, on this project's operators and on PyTorch's own, and ``torch.export``."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zprl.deploy.archives import check_torch_export, check_torchscript
from zprl.deploy.contract import CONTRACT_FILE, Contract
from zprl.deploy.formats.base import (
    Format,
    Model,
    Models,
    contract_text,
    example_inputs,
    quiet,
    unloadable,
    with_named_inputs,
)
from zprl.policies.native.library import load_torch_library

if TYPE_CHECKING:
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


def _write_portable(source: Source, precision: str, contract: Contract) -> bytes:
    return write_torchscript(source.portable(), example_inputs(source), contract)


def _load_portable(content: bytes, path: Path, contract: Contract) -> Models:
    check_torchscript(content, path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript, which C++ programs still want
            module = torch.jit.load(io.BytesIO(content), map_location="cpu")
    except RuntimeError as error:
        raise unloadable(path, error) from error
    return _inference(module), _inference(module.base)


def _write_ours(source: Source, precision: str, contract: Contract) -> bytes:
    return write_torchscript(source.native(precision), example_inputs(source), contract)


def _load_ours(content: bytes, path: Path, contract: Contract) -> Models:
    load_torch_library()
    return _load_portable(content, path, contract)


def _write_export(source: Source, precision: str, contract: Contract) -> bytes:
    module, example = with_named_inputs(source.portable(), contract.input_names), example_inputs(source)
    file = io.BytesIO()
    with torch.no_grad(), quiet("torch.export"):
        batch = torch.export.Dim("batch")
        program = torch.export.export(module, example, dynamic_shapes=tuple({0: batch} for _ in example))
        # Python code that would check the inputs while they are read; whoever reads the file checks them.
        program._guards_code = []
        torch.export.save(program, file, extra_files={CONTRACT_FILE: contract_text(contract)})
    return file.getvalue()


def _load_export(content: bytes, path: Path, contract: Contract) -> Models:
    from torch.export.pt2_archive._package import load_pt2

    check_torch_export(content, path)
    try:
        # Not torch.export.load, which would go on with an older, pickled form where this one fails.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of tensors on bytes that are not writable
            module = load_pt2(io.BytesIO(content)).exported_programs["model"].module()
    except Exception as error:  # unpacking arbitrary bytes can raise anything
        raise unloadable(path, error) from error
    return _inference(module), None


def _inference(model: Any) -> Model:
    return torch.inference_mode()(lambda *inputs: model(*inputs))


TORCHSCRIPT = Format(
    "torchscript",
    "policy.pt",
    "PyTorch 2.11 and libzprl_torch.so",
    _write_ours,
    _load_ours,
    is_program=True,
    has_base=True,
    native=True,
)
"""TorchScript on this project's operators."""

PORTABLE = Format(
    "portable", "policy_portable.pt", "PyTorch", _write_portable, _load_portable, is_program=True, has_base=True
)
"""TorchScript that runs wherever PyTorch does."""

TORCH_EXPORT = Format("torch_export", "policy.pt2", "PyTorch 2.11", _write_export, _load_export, is_program=True)
"""An archive of ``torch.export``, with a free batch."""
