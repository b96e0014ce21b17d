# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The machine that measures: what it is, and how fast it can be at best."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from zprl.profiling import cuda
from zprl.utils.provenance import package_versions

_PEAK_SECONDS = 0.2
_PACKAGES = ("zprl", "torch", "numpy", "onnx", "onnxruntime")


@dataclass
class Limits:
    """Measured limits of the machine."""

    gflops: dict[str, float] = field(default_factory=dict)
    """Peak of the arithmetic on all threads that are used [Gflop/s], by precision; without those it does not have."""

    gbytes: dict[int, float] = field(default_factory=dict)
    """Bandwidth of one thread, or of a whole GPU [GB/s] that reads a buffer over and over, by its size [bytes]."""

    notes: list[str] = field(default_factory=list)
    """What could not be measured, and why."""

    def note(self, text: str) -> None:
        """Note something once."""
        if text not in self.notes:
            self.notes.append(text)


def native_core() -> ModuleType | None:
    """Return ``zprl._core``, or None if it is not built."""
    try:
        from zprl import _core
    except ImportError:
        return None
    return _core  # type: ignore[return-value]


def measure_peaks(limits: Limits, device: str, threads: int) -> None:
    """Measure the peak of the arithmetic and keep the larger of this and an earlier measurement.

    On a CPU it is the peak of one thread, in multiply-adds (float32) and dot products (bfloat16) on registers, times
    the number of threads. Matrix units such as Intel's AMX are not in it, so a library that uses them may exceed it.
    On a GPU it is the rate of a large matrix product.
    """
    if device.startswith("cuda"):
        measured = {dtype: cuda.matmul_gflops(device, dtype) for dtype in ("float32", "tf32", "bfloat16")}
    elif hasattr(core := native_core(), "measure_peaks"):
        peaks = core.measure_peaks(_PEAK_SECONDS)  # type: ignore[union-attr]
        measured = {"float32": threads * peaks["fp32_gflops"], "bfloat16": threads * peaks["bf16_gflops"]}
    else:
        measured = {}
        limits.note("peaks: this build of zprl._core cannot measure them")
    for dtype, value in measured.items():
        if value > 0.0:
            limits.gflops[dtype] = max(value, limits.gflops.get(dtype, 0.0))


def measure_stream(limits: Limits, device: str, size: int) -> None:
    """Measure how fast a buffer of a size [bytes] can be read, once per size.

    Weights of that size come from the same level of the memory as the buffer, so it is the limit of a step that reads
    them anew at every evaluation.
    """
    if size in limits.gbytes:
        return
    if device.startswith("cuda"):
        limits.gbytes[size] = cuda.read_gbytes(device, size)
    elif hasattr(core := native_core(), "measure_stream"):
        limits.gbytes[size] = core.measure_stream(size, _PEAK_SECONDS)  # type: ignore[union-attr]
    else:
        limits.note("bandwidth: this build of zprl._core cannot measure it")


def note_load(limits: Limits, threads: int) -> None:
    """Note if other programs leave fewer cores than there are threads: all times are then too long."""
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    if load + threads > cores + 0.5:
        limits.note(
            f"other programs are running (load {load:.1f} on {cores} cores before the start): expect times too long"
        )


def describe_machine(device: str, threads: int) -> dict[str, Any]:
    """Return the machine and the software as plain values: names, instruction sets, versions and threads."""
    cpuinfo = Path("/proc/cpuinfo")
    name, flags = parse_cpuinfo(cpuinfo.read_text(errors="replace") if cpuinfo.exists() else "")
    core, on_cuda = native_core(), device.startswith("cuda")
    return {
        "cpu": name or platform.processor() or platform.machine(),
        "cpu_flags": {flag: flag in flags for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16")},
        "cpu_level": core.cpu_level() if hasattr(core, "cpu_level") else None,  # type: ignore[union-attr]
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads,
        "device": device,
        "gpu": torch.cuda.get_device_name(device) if on_cuda else None,
        "kernels": cuda.kernel_lines(device) if on_cuda else [],
        "system": platform.platform(),
        "versions": {"python": platform.python_version(), **dict.fromkeys(_PACKAGES), **package_versions(_PACKAGES)},
    }


def parse_cpuinfo(text: str) -> tuple[str, set[str]]:
    """Return name and flags of the first CPU in the text of /proc/cpuinfo; empty where they are missing."""
    entries: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        entries.setdefault(key.strip(), value.strip())
    return entries.get("model name", ""), set(entries.get("flags", "").split())
