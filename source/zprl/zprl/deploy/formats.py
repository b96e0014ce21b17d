# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The formats of an exported policy: how each is written, and what loads it."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from zprl.deploy.contract import CONTRACT_FILE, NATIVE_FILE, Contract
from zprl.deploy.steered import PortableSteeredPolicy, SteeredPolicy
from zprl.utils.errors import ZprlError

METADATA_KEY = "zprl_contract"
"""Key of the contract, without its list of files, in the metadata of an ONNX model."""

_OPSET = 18


@dataclass(frozen=True)
class Format:
    """A format.

    Attributes:
        file: Name of the file in a bundle.
        needs: What a program needs to load it.
        has_base: Whether it can also run the base policy.
        native: Whether it runs on this project's own core, and so in the chosen precision.
    """

    file: str
    needs: str
    has_base: bool
    native: bool


FORMATS: dict[str, Format] = {
    "torchscript": Format("policy.pt", "PyTorch 2.11 and libzprl_torch.so", True, True),
    "portable": Format("policy_portable.pt", "PyTorch", True, False),
    "onnx": Format("policy.onnx", "an ONNX runtime with opset 18", False, False),
    "torch_export": Format("policy.pt2", "PyTorch 2.11", False, False),
    "native": Format(NATIVE_FILE, "zprl_runtime or zprl._core", False, True),
}
"""Formats by kind."""

CHOICES = ("torchscript", "onnx", "torch_export")
"""Kinds that ``--format`` chooses from; "portable" has a switch of its own, and "native" is always there."""


def parse_formats(text: str) -> list[str]:
    """Return the kinds of a list such as "torchscript,onnx".

    Raises:
        ZprlError: If a kind is unknown or there is none.
    """
    kinds = [kind.strip() for kind in text.split(",") if kind.strip()]
    unknown = [kind for kind in kinds if kind not in CHOICES]
    if unknown or not kinds:
        what = f"format {unknown[0]!r} is unknown" if unknown else "--format names no format"
        raise ZprlError(f"{what}; choose from {', '.join(CHOICES)}, separated by commas.")
    return list(dict.fromkeys(kinds))


def require_packages(kinds: list[str]) -> None:
    """Check that the packages that write and check the formats are there.

    Raises:
        ZprlError: If one is missing.
    """
    if "onnx" in kinds:
        missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
        if missing:
            raise ZprlError(
                f"the format onnx needs {', '.join(missing)}; install them with `pip install 'zprl[export]'`, or leave "
                "onnx out of --format."
            )


def write_torchscript(module: SteeredPolicy, example: torch.Tensor, contract: Contract) -> bytes:
    """Return a TorchScript file with the methods ``forward``, ``base`` and ``latent``, and the contract inside.

    Args:
        module: The policy in either form.
        example: Observations (2, D) to trace with; the batch stays free.
        contract: The contract.
    """
    methods = {"forward": example, "base": example, "latent": example}
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch would rather see torch.export; C++ programs still want TorchScript
        traced = torch.jit.trace_module(module, methods, check_trace=False)
        torch.jit.save(traced, file, _extra_files={CONTRACT_FILE: contract_text(contract)})
    return file.getvalue()


def write_torch_export(module: PortableSteeredPolicy, example: torch.Tensor, contract: Contract) -> bytes:
    """Return a torch.export archive; see :func:`write_torchscript`."""
    file = io.BytesIO()
    with torch.no_grad(), _quiet("torch.export"):
        program = torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        torch.export.save(program, file, extra_files={CONTRACT_FILE: contract_text(contract)})
    return file.getvalue()


def write_onnx(module: PortableSteeredPolicy, example: torch.Tensor, contract: Contract) -> bytes:
    """Return an ONNX model with its weights, a free batch, and the contract in its metadata."""
    import onnx

    file = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings(), _quiet("torch.onnx"), _quiet("onnxscript"):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (example,),
            file,  # type: ignore[arg-type]  # its annotation forgets files
            input_names=["obs"],
            output_names=["chunk"],
            opset_version=_OPSET,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    model = onnx.load_from_string(file.getvalue())
    onnx.helper.set_model_props(model, {METADATA_KEY: contract_text(contract)})
    return model.SerializeToString()


def contract_text(contract: Contract) -> str:
    """Return the contract as the files carry it, without the list of files, whose checksums come after them."""
    return json.dumps({**contract.to_dict(), "files": {}}, allow_nan=False)


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Keep a library's loggers down to errors for a while."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
