# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Launch Warp's kernels on the CPU without packing the arguments that are the same as last time.

A step of the simulator launches two dozen kernels over a few hundred worlds. On the CPU, Warp takes longer to check and
pack their arguments than the kernels take to run, although nearly all of them are the arrays of the step before.
"""

from __future__ import annotations

import contextlib
import ctypes
import enum
import functools
import logging
import threading
from collections.abc import Iterator
from typing import Any

import torch
import warp as wp

from isaaclab.utils.warp import ProxyArray

logger = logging.getLogger(__name__)

_WARP = "1.17."
"""The version whose compiled kernels are known to be called as :meth:`_Command.launch` does (its ``invoke``)."""

_IMMUTABLE = frozenset((bool, int, float, type(None)))

_MOST_KEPT = 256
"""Number of tensors' layouts, and of dimensions, that are kept for a kernel; worlds are reset in ever other numbers."""


@contextlib.contextmanager
def repeated_launches() -> Iterator[None]:
    """Make :func:`warp.launch` keep each kernel's last launch on the CPU, and pack only what has changed since.

    Isaac Lab and Newton have no seam for that, hence the function itself is replaced within the context. It falls back
    on Warp's own for whatever is not a plain launch on the CPU: other devices and threads, generic kernels, kernels
    with a gradient, which a tape may have to record, captures, and commands to be recorded. What a kernel got last
    stays alive until its next launch, or until the context ends.

    With another version of Warp than was read for this, the function stays Warp's own and a step takes longer.
    """
    original = wp.launch
    if not wp.__version__.startswith(_WARP):
        logger.warning("Warp %s is another version than %sx; the simulation takes longer.", wp.__version__, _WARP)
        yield
        return
    wp.launch = functools.update_wrapper(_Launcher(original), original)
    try:
        yield
    finally:
        wp.launch = original


class _Launcher:
    """Stands in for Warp's function that launches kernels.

    Args:
        original: Warp's function.
    """

    def __init__(self, original: Any) -> None:
        self._original = original
        self._cpu = wp.get_device("cpu")
        self._thread = threading.get_ident()
        self._commands: dict[wp.Kernel, _Command | None] = {}

    def __call__(
        self,
        kernel: wp.Kernel,
        dim: Any,
        inputs: Any = (),
        outputs: Any = (),
        *more: Any,
        device: Any = None,
        **options: Any,
    ) -> Any:
        if more or options or not self._is_ours(device):
            return self._original(kernel, dim, inputs, outputs, *more, device=device, **options)
        arguments = [*inputs, *outputs]
        command = self._commands.get(kernel)
        if command is not None and command.takes(arguments):
            command.launch(dim, arguments)
            return None
        self._original(kernel, dim, inputs, outputs, device=device)
        if kernel not in self._commands:
            self._commands[kernel] = self._recorded(kernel, dim, arguments)
        return None

    def _is_ours(self, device: Any) -> bool:
        cpu = device == "cpu" if type(device) is str else device is self._cpu or wp.get_device(device) is self._cpu
        return cpu and threading.get_ident() == self._thread and not self._cpu.is_capturing

    def _recorded(self, kernel: wp.Kernel, dim: Any, arguments: list[Any]) -> _Command | None:
        if kernel.is_generic:
            return None
        command: Any = self._original(kernel, dim, arguments, device=self._cpu, record_cmd=True)
        if command is None or command.hooks.backward is not None:  # nothing to launch, or something to differentiate
            return None
        return _Command(command, dim, arguments)


class _Command:
    """A launch of a kernel, whose dimensions and arguments can be exchanged.

    Args:
        command: Warp's record of the launch, a :class:`warp.Launch`.
        dim: Its dimensions.
        arguments: Its arguments.
    """

    def __init__(self, command: Any, dim: Any, arguments: list[Any]) -> None:
        self._command, self._dim, self._arguments = command, dim, arguments
        self._packed = command.params  # the dimensions, then the arguments
        self._descriptors: dict[tuple, Any] = {}
        self._bounds: dict[Any, Any] = {}
        self._types = [argument.type for argument in command.kernel.adj.args]
        self._immutable = [_is_immutable(value) for value in arguments]
        # What the compiled kernel is called with, as Warp does.
        self._names = [argument.label for argument in command.kernel.adj.args]
        fields = [(name, type(value)) for name, value in zip(self._names, self._packed[1:], strict=True)]
        self._struct = type("Arguments", (ctypes.Structure,), {"_fields_": fields})(*self._packed[1:])
        self._forward = command.hooks.forward

    def takes(self, arguments: list[Any]) -> bool:
        """Return whether there are as many arguments as the kernel has."""
        return len(arguments) == len(self._arguments)

    def launch(self, dim: Any, arguments: list[Any]) -> None:
        """Launch with other dimensions and arguments."""
        if dim != self._dim:
            self._set_dim(dim)
        for index, value in enumerate(arguments):
            kind = type(value)
            if kind is ProxyArray:
                value, kind = value.warp, wp.array
            # An array that was changed has another descriptor. All else could have been changed without a trace.
            if value is self._arguments[index] and (
                value.ctype is self._packed[index + 1] if kind is wp.array else self._immutable[index]
            ):
                continue
            if kind is torch.Tensor:
                self._pack_tensor(index, value)
            elif kind is wp.array and self._is_of_type(index, value):
                self._packed[index + 1] = value.__ctype__()
            else:
                self._command.set_param_at_index(index, value)
            setattr(self._struct, self._names[index], self._packed[index + 1])
            self._arguments[index], self._immutable[index] = value, _is_immutable(value)
        self._forward(ctypes.byref(self._packed[0]), ctypes.byref(self._struct))

    def _set_dim(self, dim: Any) -> None:
        key = tuple(dim) if isinstance(dim, list) else dim
        bounds = self._bounds.get(key)
        if bounds is None:
            if len(self._bounds) >= _MOST_KEPT:
                self._bounds.clear()
            self._command.set_dim(dim)
            self._bounds[key] = self._packed[0]
        else:
            self._packed[0] = bounds
        self._dim = key

    def _is_of_type(self, index: int, value: wp.array) -> bool:
        """Return whether an array is of the very type that the kernel declares, so that Warp would just describe it."""
        wanted = self._types[index]
        return type(wanted) is wp.array and wanted.dtype is value.dtype and wanted.ndim == value.ndim

    def _pack_tensor(self, index: int, value: torch.Tensor) -> None:
        """Pack a tensor, which usually is like an earlier one but for where it lies."""
        layout = (index, value.dtype, value.device, value.requires_grad, value.shape, value.stride())
        descriptor = self._descriptors.get(layout)
        if descriptor is None:
            if len(self._descriptors) >= _MOST_KEPT:
                self._descriptors.clear()
            self._command.set_param_at_index(index, value)
            descriptor = self._descriptors[layout] = self._packed[index + 1]
            descriptor._ref = None  # or the tensor would live as long as its descriptor
        else:
            descriptor.data = value.data_ptr()
            self._packed[index + 1] = descriptor


def _is_immutable(value: Any) -> bool:
    """Return whether an argument that is the same object as last time is the same value."""
    if type(value) is tuple:
        return all(_is_immutable(item) for item in value)
    return type(value) in _IMMUTABLE or isinstance(value, enum.Enum)
