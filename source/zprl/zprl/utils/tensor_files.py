# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Files of tensors and settings that run no code when they are read, and of which no bit can flip unseen.

A file is a safetensors file, which other programs can open as such, whose header begins with one JSON document::

    {"__metadata__": {"zprl": "{"sha256": "<64 digits>", "kind": "zprl-checkpoint", "version": 1, "content": ...}"}, ...

``content`` is the saved tree; tensors stand in it by their number. The SHA-256 is that of all bytes of the file with
its own 64 digits as zeros. Nothing in such a file names code: there is no pickle.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from zprl.utils.errors import ZprlError, first_line
from zprl.utils.files import atomic_write, existing_file, read_file
from zprl.utils.strict_json import parse_json

if TYPE_CHECKING:
    from _typeshed import StrPath

SUFFIX = ".safetensors"
"""Ending of the files' names."""

_KEY = "zprl"
_OPENING = b'{"__metadata__":{"' + _KEY.encode() + b'":"{\\"sha256\\":\\"'
"""What follows the header's length in every file of this project, up to the digest."""

_DIGEST_START = 8 + len(_OPENING)
_DIGEST_SIZE = 64
_DIGEST_END = _DIGEST_START + _DIGEST_SIZE

_DTYPES = {
    **{torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.bool: "BOOL"},
    **{torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.complex64: "C64"},
    **{torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16", torch.uint8: "U8"},
}
"""Data types by their names in safetensors."""

_PICKLE_PROTOCOLS = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
_ZIP = b"PK"


class OtherKindError(ZprlError):
    """A file that is sound, but of another kind than asked for.

    Attributes:
        kind: Its kind.
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


def save_tensors(path: StrPath, content: Any, kind: str, version: int) -> None:
    """Save a tree so that the file is either complete or absent; see :func:`load_tensors`.

    The same content always makes the same bytes.

    Args:
        path: File to create or to replace.
        content: Nested dictionaries (keys: strings and whole numbers), lists and tuples of tensors, None, booleans,
            numbers and strings. Tensors may be anywhere, of any layout in memory, and may share memory.
        kind: What the file is, such as "zprl-checkpoint".
        version: Version of the kind's form.

    Raises:
        OSError: If the file cannot be written; see :func:`atomic_write`.
        TypeError: If the tree holds anything else.
    """
    tensors: dict[str, Tensor] = {}
    tree = _encode(content, tensors)
    document = {"sha256": "0" * _DIGEST_SIZE, "kind": kind, "version": version, "content": tree}
    # The bytes that safetensors.torch.save makes, but without its copies: a replay buffer is large.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), int(name)))
    header: dict[str, Any] = {"__metadata__": {_KEY: json.dumps(document, separators=(",", ":"), allow_nan=False)}}
    end = 0
    for name in names:
        start, end = end, end + tensors[name].nbytes
        shape = list(tensors[name].shape)
        header[name] = {"dtype": _DTYPES[tensors[name].dtype], "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    opening = len(text).to_bytes(8, "little") + text
    assert opening[8:_DIGEST_START] == _OPENING
    parts = [memoryview(tensors[name].reshape(-1).view(torch.uint8).numpy()) for name in names if tensors[name].nbytes]
    digest = hashlib.sha256(opening)
    for part in parts:
        digest.update(part)
    with atomic_write(path) as file:
        file.write(opening[:_DIGEST_START] + digest.hexdigest().encode() + opening[_DIGEST_END:])
        for part in parts:
            file.write(part)


def load_tensors(path: StrPath, kind: str, what: str, version: int = 1) -> Any:
    """Load what :func:`save_tensors` wrote, with all tensors on the CPU.

    Everything comes back as it was, but tuples as lists, tensors that shared memory as separate ones, and parameters
    as plain tensors.

    Args:
        path: File to load.
        kind: Kind that it must be.
        what: What that is, for error messages, such as "checkpoint".
        version: Version that it must have.

    Raises:
        OtherKindError: If it is a sound file of another kind.
        ZprlError: If it is missing, a folder, unreadable, truncated, damaged, of another version, or no such file.
    """
    path = Path(path)
    data = _read(path, what)
    if _digest(data) != data[_DIGEST_START:_DIGEST_END]:
        problem = "truncated" if len(data) < _expected_size(data) else "damaged: its checksum does not match"
        raise ZprlError(f"the {what} {path} is {problem} ({len(data)} bytes); copy it again or use another one.")
    # From here on the file is, bit by bit, what somebody wrote: not by accident, but perhaps with other intentions.
    try:
        document = parse_json(parse_json(_header(data))["__metadata__"][_KEY])
        theirs, its_version, tree = document["kind"], document["version"], document["content"]
        if theirs != kind:
            words = str(theirs).removeprefix("zprl-").replace("-", " ")
            raise OtherKindError(
                f"{path} is not a ZPRL {what}: it is a file of the kind {words}; point to another file.", str(theirs)
            )
        if its_version != version:
            raise ZprlError(
                f"the {what} {path} has format version {its_version}, and this ZPRL reads version {version}; make it "
                "again or install a matching version."
            )
        return _decode(tree, load(data))
    except (KeyError, TypeError, ValueError, IndexError, AssertionError, RecursionError, SafetensorError) as error:
        raise ZprlError(f"the {what} {path} is not well-formed ({first_line(error)}); use another one.") from error


def kind_of(path: Path) -> str | None:
    """Return the kind that a file says it is of, without reading on, or None if it is no file of this project."""
    try:
        with path.open("rb") as file:
            beginning = file.read(_DIGEST_END + 200)
    except OSError:
        return None
    if beginning[8:_DIGEST_START] != _OPENING:
        return None
    found = re.match(rb'\\",\\"kind\\":\\"([\w-]+)\\"', beginning[_DIGEST_END:])
    return found and found[1].decode("ascii", "replace")


def load_weights(path: StrPath, what: str) -> dict[str, Tensor]:
    """Load the tensors of a safetensors file that another program wrote, by name and on the CPU.

    Args:
        path: File to load.
        what: What it is, for error messages, such as "encoder weights".

    Raises:
        ZprlError: If it is missing, unreadable, no safetensors file, or holds numbers that are not finite.
    """
    try:
        weights = load(read_file(path, what))
    except (SafetensorError, ValueError, KeyError) as error:
        raise ZprlError(
            f"the {what} {path} are no safetensors file ({first_line(error)}); other formats can run code, so convert "
            "them first."
        ) from error
    require_finite(weights, f"the file of {what} {path} holds")
    return weights


def require_finite(content: Any, what: str) -> None:
    """Check that no tensor of a tree holds NaN or infinity, before it is written or used.

    Args:
        content: Nested dictionaries and lists, as :func:`save_tensors` takes them.
        what: What is wrong otherwise, up to the place, such as "the checkpoint FILE holds".

    Raises:
        ZprlError: If one does.
    """
    name = _not_finite(content)
    if name is not None:
        raise ZprlError(
            f"{what} NaN or infinity in {name}: its training diverged; go on from an earlier file, or train again with "
            "a lower learning rate."
        )


def _not_finite(value: Any, name: str = "") -> str | None:
    """Return where a tree's first tensor is that is not finite, or None."""
    if isinstance(value, Tensor):
        return None if torch.isfinite(value).all() else name
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    items = value.items() if isinstance(value, Mapping) else ()
    places = (_not_finite(item, f"{name}/{key}" if name else str(key)) for key, item in items)
    return next(filter(None, places), None)


def _read(path: Path, what: str) -> bytes:
    """Return a file's content. What does not begin as a file of this project does is refused without reading on."""
    try:
        with existing_file(path, what).open("rb") as file:
            beginning = file.read(_DIGEST_END)
    except OSError as error:
        raise ZprlError(f"cannot read the {what} {path}: {error.strerror or error}.") from error
    if beginning[8:_DIGEST_START] == _OPENING and len(beginning) == _DIGEST_END:
        return read_file(path, what)
    if beginning.startswith((_ZIP, *_PICKLE_PROTOCOLS)):
        raise ZprlError(
            f"the {what} {path} was written by an older version of this project or by another program, and is not "
            "read because such a file can run code; convert one of your own with `zprl convert`."
        )
    raise ZprlError(
        f"the {what} {path} is truncated or not a ZPRL file ({path.stat().st_size} bytes); copy it again or point to "
        "another file."
    )


def _digest(data: bytes) -> bytes:
    view = memoryview(data)
    digest = hashlib.sha256(view[:_DIGEST_START])
    digest.update(b"0" * _DIGEST_SIZE)
    digest.update(view[_DIGEST_END:])
    return digest.hexdigest().encode()


def _header(data: bytes) -> bytes:
    return data[8 : 8 + int.from_bytes(data[:8], "little")]


def _expected_size(data: bytes) -> int:
    """Return the size that a file's header announces [bytes], or 0 if it is whole but makes no sense."""
    start = 8 + int.from_bytes(data[:8], "little")
    if start > len(data):
        return start
    try:
        entries = parse_json(_header(data))
        return start + max((e["data_offsets"][1] for name, e in entries.items() if name != "__metadata__"), default=0)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError):
        return 0


# -- the tree as JSON: "$tensor", "$float" and "$items" mark what JSON itself does not have


def _encode(value: Any, tensors: dict[str, Tensor], where: str = "content") -> Any:
    if isinstance(value, Tensor):
        if value.dtype not in _DTYPES or value.layout != torch.strided:
            raise TypeError(f"{where} is a tensor of {value.dtype}, {value.layout}, which a file cannot hold.")
        name = str(len(tensors))
        # On the CPU, with the elements side by side.
        tensors[name] = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
        return {"$tensor": name}
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$float": repr(float(value))}
    if isinstance(value, list | tuple):
        return [_encode(item, tensors, f"{where}/{i}") for i, item in enumerate(value)]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str | int) or isinstance(key, bool):
                raise TypeError(f"{where} has the key {key!r}; keys must be strings or whole numbers.")
        items = [(key, _encode(item, tensors, f"{where}/{key}")) for key, item in value.items()]
        if all(isinstance(key, str) and not key.startswith("$") for key, _ in items):
            return {str(key): item for key, item in items}
        return {"$items": [[key, item] for key, item in items]}
    raise TypeError(f"{where} is of type {type(value).__name__}, which a file of tensors and settings cannot hold.")


def _decode(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "$tensor" in value:
        return tensors[value["$tensor"]]
    if "$float" in value:
        return float(value["$float"])
    if "$items" in value:
        return {key: _decode(item, tensors) for key, item in value["$items"]}
    return {key: _decode(item, tensors) for key, item in value.items()}
