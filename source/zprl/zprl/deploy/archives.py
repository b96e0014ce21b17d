# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Checks of PyTorch's archives before PyTorch reads them: what our exports do not need can run code.

``torch.export.load`` unpickles (weights marked so, and sample inputs if the safe way fails), evaluates expressions by
sympy, looks operators up by any dotted name below ``torch`` (``torch.os.system`` is one), executes guards as Python,
and loads shared libraries from the archive. ``torch.jit.load`` only knows TorchScript's types and operators, of which
a few write files. A bundle's checksums do not help against whoever made it.

These checks leave out what is known to run code; they do not make data of programs, which both forms are. So a bundle's
are loaded only if they are asked for by name (:func:`zprl.deploy.load.open_bundle`).
"""

from __future__ import annotations

import io
import json
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from zprl.utils.errors import ZprlError, first_line

_EXPORT_RECORDS = re.compile(
    r"models/model\.json|data/sample_inputs/model\.pt|data/(weights|constants)/model_\1_config\.json"
    r"|data/weights/weight_\d+|data/constants/tensor_\d+|extra/[\w.]+"
    r"|archive_format|archive_version|byteorder|version|\.data/(version|serialization_id)"
)
"""Records of an archive that :data:`zprl.deploy.formats.torch_files.TORCH_EXPORT` wrote."""

_WORD = re.compile(r"[\w.]*", re.ASCII)
_TORCH_VERSION = re.compile(r"[\w.+]*", re.ASCII)
_OPERATOR = re.compile(
    r"torch\.ops\.aten\.(?!from_file\b|save\b)\w+\.\w+|_operator\.(add|sub|mul|floordiv|mod|neg|getitem)", re.ASCII
)
_SYMBOL = re.compile(r"Symbol\('[su]\d+'(, (positive|integer|nonnegative)=True)*\)|\b[su]\d+\b")
_ARITHMETIC = re.compile(r"[-+*/(), \d]*")
_TREE_TYPES = (None, "builtins.tuple", "builtins.list", "builtins.dict")
_NODE_METADATA = {"stack_trace", "nn_module_stack", "torch_fn"}

_SCRIPT_DENIED = re.compile(r"\b(from_file|save|__setstate__|__getstate__|torch\.classes)\b")
_SCRIPT_NAMESPACES = re.compile(r"\bops\.(?!(prim|aten|zprl)\.)\w+")


def check_torch_export(data: bytes, path: Path) -> None:
    """Check that a torch.export archive holds nothing that could run code of its own.

    Args:
        data: Its content.
        path: Its path, for error messages.

    Raises:
        ZprlError: If it cannot be read, or holds anything but tensors and a graph of PyTorch's own operators.
    """
    records = _records(data, path)
    unknown = [name for name in records if not _EXPORT_RECORDS.fullmatch(name)]
    if unknown:
        raise _refusal(path, f"the record {unknown[0]}")
    try:
        for part in ("weights", "constants"):
            config = json.loads(records[f"data/{part}/model_{part}_config.json"])["config"]
            for name, entry in config.items():
                if entry["use_pickle"] is not False or not _WORD.fullmatch(entry["path_name"]):
                    raise _refusal(path, f"a pickle of {name}")
        try:
            torch.load(io.BytesIO(records["data/sample_inputs/model.pt"]), weights_only=True)
        except pickle.UnpicklingError as error:
            raise _refusal(path, "a pickle of more than tensors") from error
        program = json.loads(records["models/model.json"])
        if program.get("guards_code"):
            raise _refusal(path, "guards that are Python code")
        for what, text in _suspicious(program):
            raise _refusal(path, f"{what} {text[:60]!r}")
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError, EOFError, RecursionError) as error:
        raise ZprlError(f"{path} does not load here (it is damaged: {type(error).__name__}).") from error


def check_torchscript(data: bytes, path: Path) -> None:
    """Check that a TorchScript file only calls operators that compute; its arguments are those above.

    Raises:
        ZprlError: If it cannot be read, or its code may do anything else.
    """
    records = _records(data, path)
    if "data.pkl" not in records or "model.json" in records:
        raise ZprlError(f"{path} does not load here (it is no TorchScript file).")
    for name, content in records.items():
        if not name.startswith("code/") or not name.endswith(".py"):
            continue
        text = content.decode("utf-8", "replace")
        found = _SCRIPT_DENIED.search(text) or _SCRIPT_NAMESPACES.search(text)
        if found:
            raise _refusal(path, f"a call of {found[0]}")


def _records(data: bytes, path: Path) -> dict[str, bytes]:
    """Return an archive's records as PyTorch itself will see them; another reader might see others."""
    try:
        reader = torch._C.PyTorchFileReader(io.BytesIO(data))
        names = reader.get_all_records()
        if len(set(names)) != len(names):
            raise ValueError("a record is there twice")
        return {name: reader.get_record(name) for name in names}
    except (RuntimeError, ValueError) as error:
        reason = first_line(error)
        raise ZprlError(f"{path} does not load here (it is no archive of PyTorch: {reason}).") from error


def _suspicious(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield what a serialized program holds beside names, numbers and PyTorch's own operators."""
    if isinstance(value, list):
        for item in value:
            yield from _suspicious(item, key)
    elif isinstance(value, dict):
        for name, item in value.items():
            if not _WORD.fullmatch(name):
                yield "the name", name
            if name == "metadata" and isinstance(item, dict) and item.keys() <= _NODE_METADATA:
                continue  # for people; PyTorch looks nothing up in these
            yield from _suspicious(item, name)
    elif isinstance(value, str):
        if key in ("in_spec", "out_spec"):
            for kind in _tree_types(json.loads(value)[1]):
                if kind not in _TREE_TYPES:
                    yield "the type", str(kind)
        elif key == "expr_str":
            if not _ARITHMETIC.fullmatch(_SYMBOL.sub("1", value)):
                yield "the expression", value
        elif key == "as_operator" or value.startswith(("torch", "_operator", "math")):
            if not _OPERATOR.fullmatch(value):
                yield "the operator", value
        elif not (_TORCH_VERSION if key == "torch_version" else _WORD).fullmatch(value):
            yield "the text", value


def _tree_types(spec: dict[str, Any]) -> Iterator[Any]:
    yield spec["type"]
    if spec["type"] == "builtins.dict" and not all(isinstance(k, str) for k in json.loads(spec["context"])):
        yield "a dictionary whose keys are no strings"
    for child in spec["children_spec"]:
        yield from _tree_types(child)


def _refusal(path: Path, what: str) -> ZprlError:
    return ZprlError(f"{path} holds {what}, which our exports do not hold and which could run code; it is refused.")
