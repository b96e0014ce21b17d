# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Classes by the names that settings and files hold."""

from __future__ import annotations

import importlib

from zprl.utils.errors import ZprlError


def resolve_class(path: str) -> type:
    """Import the class that a "module:Class" string names.

    Raises:
        ZprlError: If the string has another form, or the module or the class does not exist.
    """
    module_name, _, class_name = str(path).partition(":")
    try:
        return getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ZprlError(f"cannot import {str(path)!r}, which should read 'module:Class': {error}.") from error
