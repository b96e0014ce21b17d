# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Where a rollout makes the host wait for the GPU, from a trace of torch.profiler."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from zprl.utils.errors import ZprlError
from zprl.utils.files import atomic_write

if TYPE_CHECKING:
    from zprl.envs.chunked_env import ChunkedVecEnv

CHUNK = "zprl.chunk"
PARTS = ("zprl.policy", "zprl.simulation")
"""Names of the ranges of :class:`zprl.utils.stopwatch.Stopwatch` inside a chunk."""
REST = "between them"


@dataclass(frozen=True)
class Range:
    """Something on the host's timeline."""

    name: str
    start: float
    """Start [us]."""
    end: float
    """End [us]."""

    def contains(self, other: Range) -> bool:
        """Whether the other range lies within this one."""
        return self.start <= other.start and other.end <= self.end


def is_wait(name: str) -> bool:
    """Whether a function of CUDA's, by its name, returns only when the GPU has finished something."""
    waits = name.startswith("cu") and name.endswith("Synchronize")
    return waits or name in ("cudaMemcpy", "cuMemcpyDtoH_v2", "cuMemcpyHtoD_v2")


def count_waits(events: Iterable[Range]) -> dict[str, int]:
    """Count the waits within chunks, by the part of the chunk in which they lie.

    Args:
        events: What the host did, in any order.

    Returns:
        Number of waits in each of :data:`PARTS` and in the rest of the chunks.
    """
    events = list(events)
    chunks = [event for event in events if event.name == CHUNK]
    parts = [event for event in events if event.name in PARTS]
    counts: dict[str, int] = {name: 0 for name in (*PARTS, REST)}
    for wait in (event for event in events if is_wait(event.name)):
        if any(chunk.contains(wait) for chunk in chunks):
            counts[next((part.name for part in parts if part.contains(wait)), REST)] += 1
    return counts


def trace_rollout(env: ChunkedVecEnv, chunks: int, path: Path | None = None) -> dict[str, int]:
    """Run some chunks with random outputs of the learner and count where the host waits.

    Args:
        env: The environment.
        chunks: Number of chunks to trace, after two to warm up.
        path: Where to write the trace for chrome://tracing, or None.

    Returns:
        What :func:`count_waits` does.

    Raises:
        ZprlError: If the profiler has recorded nothing.
    """
    on_cuda = torch.device(env.device).type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_cuda else [])]
    generator = torch.Generator(device=env.device).manual_seed(0)

    @torch.inference_mode()
    def run(count: int) -> None:
        for _ in range(count):
            with record_function(CHUNK):
                env.step(torch.randn(env.num_envs, env.num_actions, generator=generator, device=env.device))

    run(2)
    with profile(activities=activities, acc_events=True) as recorded:
        run(chunks)
        if on_cuda:
            torch.cuda.synchronize(env.device)
    if path is not None:
        with tempfile.TemporaryDirectory() as folder:  # torch would leave a part of a file if it were interrupted
            whole = Path(folder) / "trace.json"
            recorded.export_chrome_trace(str(whole))
            with whole.open("rb") as source, atomic_write(path) as target:
                shutil.copyfileobj(source, target)
    events = [Range(e.name, e.time_range.start, e.time_range.end) for e in recorded.events() or []]
    if sum(event.name == CHUNK for event in events) < chunks:
        raise ZprlError("torch's profiler has recorded no rollout; it may be in use by another program.")
    return count_waits(events)
