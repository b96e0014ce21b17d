# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The formats of an exported policy, each with how it is written and what loads it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from zprl.deploy.contract import Contract
from zprl.deploy.formats.base import Format as Format
from zprl.deploy.formats.base import Model as Model
from zprl.deploy.formats.base import Models, unloadable
from zprl.deploy.formats.onnx_model import METADATA_KEY as METADATA_KEY
from zprl.deploy.formats.onnx_model import ONNX
from zprl.deploy.formats.torch_files import PORTABLE, TORCH_EXPORT, TORCHSCRIPT
from zprl.deploy.formats.torch_files import write_torchscript as write_torchscript
from zprl.utils.errors import ZprlError
from zprl.utils.native import native_core

if TYPE_CHECKING:
    from zprl.deploy.source import Source


def _write_native(source: Source, precision: str, contract: Contract) -> bytes:
    return source.blob(precision).numpy().tobytes()


def _load_native(content: bytes, path: Path, contract: Contract) -> Models:
    try:
        policy = native_core().Policy(content)
    except ValueError as error:
        raise unloadable(path, error) from error
    values = contract.control.initial_noise.values
    start = None if values is None else np.asarray(values, dtype=np.float32)

    def run(*inputs: Tensor) -> Tensor:
        obs = inputs[0] if len(inputs) == 1 else torch.cat(inputs, dim=-1)
        noise = None if start is None else np.repeat(start[None], obs.shape[0], axis=0)
        return torch.from_numpy(policy.act(obs.numpy(), noise=noise))

    return run, None


NATIVE = Format(
    "native", "policy.zprl", "zprl_runtime or zprl._core", _write_native, _load_native, is_program=False, native=True
)
"""The blob of this project's own core, actor included."""

FORMATS: dict[str, Format] = {form.kind: form for form in (NATIVE, ONNX, TORCHSCRIPT, PORTABLE, TORCH_EXPORT)}
"""Formats by kind; of those that a bundle has, the first that is no program is the default."""

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
