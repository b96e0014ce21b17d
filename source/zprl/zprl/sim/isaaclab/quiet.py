# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The simulator's output: what users need of it, and nothing else."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import io
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

_simulator_stream: TextIO | None = None
"""The way through the filter for what Python prints, while :func:`quiet_simulator` lasts."""


@contextlib.contextmanager
def quiet_simulator() -> Iterator[None]:
    """Keep the simulator's banners, tables and repeated messages from the terminal, but none of its warnings.

    Much of it is printed by compiled kernels, which know nothing of Python's streams. So the process's file descriptors
    1 and 2 lead to :mod:`zprl.sim.isaaclab.noise_filter`, while ``sys.stdout`` and ``sys.stderr`` keep their way to the
    terminal: what the script itself prints appears at once and unchanged. With ``ZPRL_VERBOSE=1`` everything is shown.
    """
    global _simulator_stream
    if verbose() or _simulator_stream is not None:
        yield
        return
    _flush()
    streams, saved = (sys.stdout, sys.stderr), (os.dup(1), os.dup(2))
    # Streams that do not write to the descriptors, such as those of a test that captures them, stay as they are.
    sys.stdout, sys.stderr = _follow(sys.stdout, 1, saved[0]), _follow(sys.stderr, 2, saved[1])
    script = Path(__file__).with_name("noise_filter.py")
    process = subprocess.Popen([sys.executable, "-I", "-S", str(script)], stdin=subprocess.PIPE)
    assert process.stdin is not None
    os.dup2(process.stdin.fileno(), 1)
    os.dup2(process.stdin.fileno(), 2)
    process.stdin.close()
    # What Isaac Lab prints from Python takes the same way; see simulator_speaks().
    _simulator_stream = os.fdopen(os.dup(1), "w", buffering=1, errors="replace")
    try:
        with warnings.catch_warnings():
            # Every module that Isaac Lab itself calls in an outdated way; users cannot act on it.
            for category in (FutureWarning, DeprecationWarning):
                warnings.filterwarnings("ignore", category=category, module=r"isaaclab|newton|warp|mujoco")
            # Isaac Lab's recorder imports moviepy, whose strings Python complains of when it first compiles them. Such
            # a warning has the file in place of the module.
            warnings.filterwarnings("ignore", category=SyntaxWarning, module=r".*/moviepy/")
            yield
    finally:
        _simulator_stream.close()
        _simulator_stream = None
        _flush()
        for descriptor, way in zip((1, 2), saved, strict=True):
            os.dup2(way, descriptor)
        for stream, original in zip((sys.stdout, sys.stderr), streams, strict=True):
            if stream is not original:
                stream.flush()
        sys.stdout, sys.stderr = streams
        # Not waited for longer: a child process that still runs holds the descriptors, and the filter, open.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5.0)
        # What was saved stays open: a logging handler may have kept the stream that writes to it.


def _follow(stream: Any, descriptor: int, saved: int) -> Any:
    """Return the stream, or one that writes to ``saved`` if the stream writes to ``descriptor``."""
    try:
        if stream.fileno() != descriptor:
            return stream
    except (AttributeError, OSError, ValueError):
        return stream
    return io.TextIOWrapper(
        os.fdopen(saved, "wb", closefd=False),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=True,
        write_through=True,
    )


@contextlib.contextmanager
def simulator_speaks() -> Iterator[None]:
    """Send what Python prints through the filter too, while the simulator starts or stops."""
    stream = _simulator_stream
    if stream is None:
        yield
        return
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        yield
    stream.flush()


@contextlib.contextmanager
def no_garbage() -> Iterator[None]:
    """Do not look for garbage while the simulator loads: it makes millions of objects, and all of them stay."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    ctypes.CDLL(None).fflush(None)  # the buffers of the C library, which kernels print through


def verbose() -> bool:
    """Return whether the user wants to see all that the simulator prints."""
    return os.environ.get("ZPRL_VERBOSE", "") not in ("", "0")
