# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The compiled module, which a copy of the sources does not have until it is built."""

from __future__ import annotations

import importlib
from typing import Any

from zprl.utils.errors import NotInstalledError

INSTALL_HINT = "build it with `pip install --no-build-isolation --no-deps -e .` in the ZPRL repository"


def native_core() -> Any:
    """Return the module ``zprl._core``.

    Raises:
        NotInstalledError: If it does not load.
    """
    try:
        return importlib.import_module("zprl._core")
    except ImportError as error:
        raise NotInstalledError(f"the native core module does not load ({error}); {INSTALL_HINT}.") from error
