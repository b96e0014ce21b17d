# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The formats of an exported policy, each with how it is written and what loads it."""

from __future__ import annotations

import importlib.util

from zprl.deploy.formats.base import Format as Format
from zprl.deploy.formats.base import Model as Model
from zprl.deploy.formats.native import Native
from zprl.deploy.formats.onnx_model import METADATA_KEY as METADATA_KEY
from zprl.deploy.formats.onnx_model import Onnx
from zprl.deploy.formats.torch_export import TorchExport
from zprl.deploy.formats.torchscript import Portable, TorchScript
from zprl.deploy.formats.torchscript import write_torchscript as write_torchscript
from zprl.utils.errors import ZprlError

FORMATS: dict[str, Format] = {form.kind: form for form in (TorchScript(), Portable(), Onnx(), TorchExport(), Native())}
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
