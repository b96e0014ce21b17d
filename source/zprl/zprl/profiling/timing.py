# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Timing of several contenders in turns."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np

MIN_REPETITIONS = 20
MIN_SLOW_REPETITIONS = 5
SLOW = 0.1
"""Duration of a call [s] above which :data:`MIN_SLOW_REPETITIONS` are enough."""
MAX_REPETITIONS = 10_000
COLD = 0.01
"""Duration of a call [s] above which the caches that the contender before has filled no longer matter."""
_WARM_UP_CALLS = 3


@dataclass(frozen=True)
class Timing:
    """Distribution of a call's duration."""

    median: float
    """Median [s]."""
    p10: float
    """10th percentile [s]."""
    p99: float
    """99th percentile [s]."""
    repetitions: int
    """Number of timed calls."""

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        """Summarise durations [s]; percentiles interpolate linearly between neighbours."""
        p10, median, p99 = np.percentile(seconds, [10, 50, 99])
        return cls(float(median), float(p10), float(p99), len(seconds))


@dataclass
class Samples:
    """Timed calls of a contender, in order."""

    starts: list[float] = field(default_factory=list)
    """Start of each call on the clock of ``time.perf_counter`` [s]."""
    seconds: list[float] = field(default_factory=list)
    """Duration of each call [s]."""


def choose_repetitions(call_seconds: Sequence[float], budget: float) -> int:
    """Number of rounds, in which each contender is called once, that fit a time budget.

    Args:
        call_seconds: Duration of a call of each contender [s].
        budget: Time for all of them [s].

    Returns:
        At least 20, or 5 if a call takes more than 0.1 s; at most 10,000.
    """
    least = MIN_SLOW_REPETITIONS if max(call_seconds) > SLOW else MIN_REPETITIONS
    # A quick contender is called twice per round; see take_turns.
    round_seconds = sum(seconds if seconds > COLD else 2.0 * seconds for seconds in call_seconds)
    return max(least, min(int(budget / max(round_seconds, 1e-9)), MAX_REPETITIONS))


def timed_on_host(call: Callable[[], object]) -> tuple[float, float]:
    """Return a call's start on the clock of ``time.perf_counter`` and its duration, both [s]."""
    start = time.perf_counter()
    call()
    return start, time.perf_counter() - start


def take_turns(
    calls: Mapping[str, Callable[[], object]],
    budget: float,
    timed: Callable[[Callable[[], object]], tuple[float, float]] = timed_on_host,
    range_of: Callable[[str], AbstractContextManager[object]] = nullcontext,
) -> dict[str, Samples]:
    """Time contenders in turns: in each round each is called once, so that a machine's slow moments fall on all.

    A quick contender is called once more, untimed, right before: it shall find its own weights in the caches, as in a
    control loop, and not those of the contender before.

    Args:
        calls: What to time, by name.
        budget: Time for all of them [s]; see :func:`choose_repetitions`.
        timed: Runs a call and returns its start and its duration [s].
        range_of: Context around each contender's calls, such as a range for a device's profiler.

    Returns:
        The timed calls of each contender.
    """
    expected = {}
    for name, call in calls.items():
        for _ in range(_WARM_UP_CALLS):
            _, expected[name] = timed(call)
    samples = {name: Samples() for name in calls}
    if not calls:
        return samples
    collects = gc.isenabled()
    gc.disable()
    try:
        for _ in range(choose_repetitions(list(expected.values()), budget)):
            for name, call in calls.items():
                with range_of(name):
                    if expected[name] < COLD:
                        call()
                    start, seconds = timed(call)
                samples[name].starts.append(start)
                samples[name].seconds.append(seconds)
    finally:
        if collects:
            gc.enable()
    return samples
