# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Measuring on a CUDA device: times by events, inputs that no cache holds, and calls as CUDA graphs."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from zprl.policies.native.library import load_torch_library
from zprl.utils.errors import ZprlError, first_line

_MOST_INPUT_SETS = 64
_WARM_UP_CALLS = 3
_MATRIX_SIZE = 8192


def rotating(calls: Sequence[Callable[[], Any]]) -> Callable[[], Any]:
    """Return a call that runs the given ones in turn."""
    turns = itertools.cycle(calls)
    return lambda: next(turns)()


def num_input_sets(set_bytes: int, cache_bytes: int) -> int:
    """Number of sets of inputs to rotate through, so that none is in the level-2 cache when its turn comes.

    Args:
        set_bytes: Size of one set [bytes].
        cache_bytes: Size of the cache [bytes].

    Returns:
        As many as fill the cache twice, but at least 2 and at most 64: the inputs of small batches are a few lines of
        cache, which cost nothing either way.
    """
    return max(2, min(-(-2 * cache_bytes // max(set_bytes, 1)), _MOST_INPUT_SETS))


def event_clock(device: str) -> Callable[[Callable[[], object]], tuple[float, float]]:
    """Return a function that times a call on the device's own timeline.

    It starts on an idle GPU, so that launching counts, as it does in a control loop; what the host does after the last
    launch does not.

    Returns:
        From a call to its start on the clock of ``time.perf_counter`` and its duration, both [s].
    """
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def timed(call: Callable[[], object]) -> tuple[float, float]:
        torch.cuda.synchronize(device)
        host_start = time.perf_counter()
        start.record()
        call()
        end.record()
        end.synchronize()
        return host_start, 1e-3 * start.elapsed_time(end)

    return timed


def graphed(call: Callable[[], torch.Tensor], pool: Any = None) -> Callable[[], torch.Tensor]:
    """Capture a call in a CUDA graph.

    Args:
        call: What to capture; it works on tensors that stay where they are.
        pool: Memory pool to share with other graphs that do not run at the same time.

    Returns:
        A call that replays the graph and returns the tensor that it writes.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_UP_CALLS):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool):
        result = call()

    def replay() -> torch.Tensor:
        graph.replay()
        return result

    return replay


@contextmanager
def matmul_precision(dtype: str) -> Iterator[None]:
    """Let torch multiply float32 matrices in tf32 if ``dtype`` is "tf32", and exactly if it is anything else."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if dtype == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def kernel_lines(device: str) -> list[str]:
    """Registers, spills and shared memory of our kernels as the driver loaded them, a line each."""
    try:
        load_torch_library()
        return torch.ops.zprl.cuda_kernels(torch.zeros(16, dtype=torch.uint8, device=device)).splitlines()
    except (ZprlError, ValueError, RuntimeError) as error:
        return [f"native kernels: {first_line(error)}"]


# -- limits ------------------------------------------------------------------------------------------------------------


def matmul_gflops(device: str, dtype: str) -> float:
    """Rate of a large matrix product of torch's [Gflop/s], on random numbers: zeros would draw less power."""
    torch_dtype = torch.float32 if dtype == "tf32" else getattr(torch, dtype)
    a = torch.randn(_MATRIX_SIZE, _MATRIX_SIZE, device=device, dtype=torch_dtype)
    out = torch.empty_like(a)
    with matmul_precision(dtype):
        return 2e-9 * _MATRIX_SIZE**3 / _seconds(lambda: torch.mm(a, a, out=out), device)


def read_gbytes(device: str, size: int) -> float:
    """Bandwidth [GB/s] of the memory for a buffer of a size [bytes]: the better of a sum and a copy, both counted."""
    buffer = torch.zeros(max(size // 4, 1), device=device)
    target = torch.empty_like(buffer)
    total = torch.empty((), device=device)
    reading = 1e-9 * size / _seconds(lambda: torch.sum(buffer, dim=0, out=total), device)
    return max(reading, 2e-9 * size / _seconds(lambda: target.copy_(buffer), device))


def _seconds(call: Callable[[], object], device: str, repetitions: int = 20) -> float:
    for _ in range(_WARM_UP_CALLS):
        call()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repetitions):
        call()
    end.record()
    torch.cuda.synchronize(device)
    return 1e-3 * start.elapsed_time(end) / repetitions
