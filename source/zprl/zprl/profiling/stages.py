# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The native step without torch and without rivals beside it: how steady it is at batch 1, and where its time goes.

In turns with rivals a step finds its weights evicted and the clock changed. Here only plain arithmetic of about the
same length takes turns with it, as in a control loop: what that varies by is the machine's doing (interrupts, other
guests of a shared one), and no program on it can be steadier.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from zprl.policies import FlowPolicy
from zprl.profiling.contenders import native_step
from zprl.profiling.machine import native_core
from zprl.profiling.parts import random_inputs
from zprl.profiling.timing import Timing, take_turns

_SIZE = 64  # of a matrix product that stays in the level-1 cache
_STAGE_SECONDS = 0.3
_MIN_REPEATS, _MAX_REPEATS = 5, 2000


@dataclass(frozen=True)
class ControlLoop:
    """Durations at batch 1 without rivals."""

    step: Timing
    """Of the native step."""
    machine: Timing
    """Of arithmetic without memory traffic that takes about as long."""


def measure_control_loop(
    policy: FlowPolicy, dtype: str, call_seconds: float, budget: float, seed: int = 0
) -> ControlLoop | None:
    """Measure the native step at batch 1 on the CPU, called as a robot's program would, in turns with plain arithmetic.

    Args:
        policy: Policy to run.
        dtype: Precision.
        call_seconds: About how long a call takes [s]; sets the length of the arithmetic.
        budget: Time for both [s].
        seed: Seed of the data.

    Returns:
        The durations, or None without the NumPy module.
    """
    core = native_core()
    if core is None:
        return None
    obs, residual, noise = (x.numpy() for x in random_inputs(policy, 1, seed + 1))
    step = core.Policy(native_step(policy, dtype).blob.numpy())
    samples = take_turns(
        {"step": lambda: step.act(obs, residual, noise), "machine": _arithmetic(call_seconds)},
        budget,
    )
    return ControlLoop(**{name: Timing.of(timed.seconds) for name, timed in samples.items()})


def _arithmetic(seconds: float) -> Callable[[], None]:
    """Return a call that multiplies small matrices for about some time [s]."""
    a = np.full((_SIZE, _SIZE), 1.0 / _SIZE, dtype=np.float32)
    out = np.empty_like(a)

    def multiply(times: int) -> None:
        for _ in range(times):
            np.matmul(a, a, out=out)

    samples = take_turns({"once": lambda: multiply(1)}, budget=0.01)
    times = max(1, round(seconds / Timing.of(samples["once"].seconds).median))
    return lambda: multiply(times)


def split_stages(policy: FlowPolicy, dtype: str, batch: int, call_seconds: float) -> dict[str, float] | None:
    """Measure the stages of the native step on one thread.

    Args:
        policy: Policy to run.
        dtype: Precision.
        batch: Number of rows.
        call_seconds: About how long a call takes [s]; sets the number of repetitions.

    Returns:
        Median duration of each stage per call [s], all evaluations together, in the order of the step; None if this
        build cannot measure them.
    """
    core = native_core()
    if core is None or not hasattr(core.Policy, "profile"):
        return None
    native = core.Policy(native_step(policy, dtype).blob.numpy())
    repeats = max(_MIN_REPEATS, min(int(_STAGE_SECONDS / max(call_seconds, 1e-6)), _MAX_REPEATS))
    return dict(native.profile(batch, repeats))
