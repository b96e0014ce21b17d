# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a task registers: objects, or where they are. Names come from code that a user starts, never from a file."""

from __future__ import annotations

import importlib
from typing import Any


def load_entry_point(entry_point: Any) -> Any:
    """Return what an entry point stands for.

    Args:
        entry_point: "module:name", which is imported, or anything else, which is returned.

    Raises:
        ImportError: If there is no such module.
        AttributeError: If the module has no such name.
        ValueError: If the text has another form.
    """
    if not isinstance(entry_point, str):
        return entry_point
    module, separator, name = entry_point.partition(":")
    if not (separator and module and name):
        raise ValueError(f"'{entry_point}' should read module:name")
    return getattr(importlib.import_module(module), name)
