# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Finding, loading and describing the native libraries.

Two libraries lie in the package's folder: ``libzprl_torch.so`` registers the torch operators ``zprl::policy_step``,
``zprl::encode`` and their like, and the module ``zprl._core`` serves NumPy programs. Nothing is loaded until it is
asked for, and nothing is ever compiled at run time.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zprl.utils.errors import NotInstalledError, ZprlError
from zprl.utils.native import INSTALL_HINT, native_core


def torch_library_path() -> Path:
    """Path of the library with the torch operators, whether it exists or not.

    A program without this package loads it with ``torch.ops.load_library``, or in C++ by linking to it.
    """
    return Path(__file__).parents[2] / "libzprl_torch.so"


def load_torch_library() -> None:
    """Register the operators ``torch.ops.zprl.*`` and their shape functions, once per process.

    Raises:
        NotInstalledError: If the library is missing or does not fit the installed torch.
    """
    path = torch_library_path()
    if not path.is_file():
        raise NotInstalledError(f"the native library {path.name} is missing; {INSTALL_HINT}.")
    _register_operators(path)


@functools.cache
def _register_operators(path: Path) -> None:
    try:
        torch.ops.load_library(str(path))
    except OSError as error:
        raise NotInstalledError(f"the native library {path.name} does not load ({error}); {INSTALL_HINT}.") from error

    # torch.compile and torch.export run these instead of the kernels, on tensors that have a shape and no data.
    @torch.library.register_fake("zprl::policy_step")
    @torch.library.register_fake("zprl::sampled_policy_step")
    def _(obs: Tensor, residual: Tensor, noise: Tensor, *others: Any) -> Tensor:
        return noise.new_empty(noise.shape)

    @torch.library.register_fake("zprl::act")
    @torch.library.register_fake("zprl::act_from_condition")
    @torch.library.register_fake("zprl::integrate")
    def _(start: Tensor, noise: Tensor, *others: Any) -> Tensor:
        return noise.new_empty(noise.shape)

    @torch.library.register_fake("zprl::latent")
    def _(obs: Tensor, blob: Tensor, latent_dim: int, header: Sequence[int] = ()) -> Tensor:
        dtype = torch.float32 if obs.device.type == "cuda" else torch.float64
        return obs.new_empty(obs.shape[0], latent_dim, dtype=dtype)

    @torch.library.register_fake("zprl::encode")
    def _(obs: Tensor, blob: Tensor, latent_dim: int, header: Sequence[int] = ()) -> tuple[Tensor, Tensor]:
        return obs.new_empty(obs.shape[0], latent_dim), obs.new_empty(obs.shape[0], latent_dim)


def cpu_level() -> str:
    """Return the instruction set that runs the policy step: "portable", "avx2", "avx512", "avx512_bf16" or "amx".

    The environment variable ``ZPRL_CPU`` chooses another.

    Raises:
        ZprlError: If the core module does not load, or ``ZPRL_CPU`` names what this processor does not have.
    """
    return _ask_core("cpu_level")


def multiplies_bfloat16() -> bool:
    """Return whether the instruction set of :func:`cpu_level` takes weights in bfloat16; it raises the same errors."""
    return _ask_core("multiplies_bfloat16")


def _ask_core(function: str) -> Any:
    try:
        return getattr(native_core(), function)()
    except ValueError as error:
        raise ZprlError(str(error)) from error


def build_info() -> dict[str, Any]:
    """What this installation is: versions, and what its native libraries were built with.

    Returns:
        ``version`` and ``python``; ``torch_library`` and ``core_module``, "ok" or why they do not load; and, if the
        core module loads, ``build_type``, ``compiler``, ``built_with_torch`` and ``cuda`` (the toolkit's version
        and the GPU architectures, such as "13.0 for 80 80+PTX 90a 100a"; None in a CPU build).
    """
    from zprl import __version__

    info: dict[str, Any] = {"version": __version__, "python": platform.python_version()}
    try:
        load_torch_library()
        info["torch_library"] = "ok"
    except (ZprlError, ImportError) as error:
        info["torch_library"] = str(error)
    try:
        from zprl import _core
    except ImportError as error:
        info["core_module"] = f"{error}; {INSTALL_HINT}"
    else:
        info["core_module"] = "ok"
        info.update(_core.build_info())
    return info
