# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What an enemy or an accident makes of a file."""

import io
import os
import pickle
import random

import torch


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, trace):
        self.trace = str(trace)

    def __reduce__(self):
        return os.mkdir, (self.trace,)


def pickled(evil, form):
    """Return a crafted file: a pickle of some protocol, or the zip file that torch.save makes of one."""
    if form == "zip":
        buffer = io.BytesIO()
        torch.save({"format": "zprl-base-policy", "weights": evil}, buffer)
        return buffer.getvalue()
    return pickle.dumps(evil, form)


FORMS = [0, 2, 4, 5, "zip"]
"""Forms of :func:`pickled`: protocols of pickle, and torch.save."""


def spoilt(value):
    """Yield where and how decoded JSON can be wrong: each of its members missing, and each value of another type."""
    members = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for name, inner in members:
        if isinstance(value, dict):
            yield f"without {name}", {key: item for key, item in value.items() if key != name}
        for where, changed in spoilt(inner):
            copied = value.copy()
            copied[name] = changed
            yield f"{name}/{where}", copied
    yield "a text", "?"
    yield "an array", [["?"]]


def flips(path, count, seed=0):
    """Flip random bits of a file, one at a time, and restore it."""
    content, rng = path.read_bytes(), random.Random(seed)
    try:
        for bit in rng.sample(range(8 * len(content)), count):
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
            yield bit
    finally:
        path.write_bytes(content)
