# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""How many control steps a benchmark's worlds take in a second, under random actions and with all that surrounds them.

``python -m tests.tasks.benchmark_speed Zprl-Bench-AdroitDoor 1 2`` says it of one process and of two: the median of
five rounds, which take turns, and how many they take in a second of the workers' processor time, which hardly depends
on what else the machine does.
"""

import contextlib
import os
import statistics
import sys
import time
from pathlib import Path

import torch

from zprl.runs.session import TaskSession

WORLDS, STEPS, ROUNDS = 32, 50, 5


def processor_time(pids):
    """Return the processor time that processes have taken [s]."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(user) + int(system) for *_, user, system in (row[:13] for row in fields)) / os.sysconf("SC_CLK_TCK")


def main(task, counts):
    """Measure, and print."""
    generator = torch.Generator().manual_seed(0)
    with contextlib.ExitStack() as stack:
        envs = {}
        for count in counts:
            session = TaskSession(task, num_envs=WORLDS, overrides=[f"env.workers={count}"])
            envs[count] = stack.enter_context(session.environment())
            envs[count].reset(0)
        rates, begun_at = {count: [] for count in counts}, {n: processor_time(env.env.pids) for n, env in envs.items()}
        for _ in range(ROUNDS):
            for count, env in envs.items():
                begun = time.perf_counter()
                for _ in range(STEPS):
                    env.step(env.spec.random_actions(WORLDS, generator))
                rates[count].append(WORLDS * STEPS / (time.perf_counter() - begun))
        taken = {n: processor_time(env.env.pids) - begun_at[n] for n, env in envs.items()}
    for count, found in rates.items():
        print(
            f"{task}, {WORLDS} worlds, {count} workers: {statistics.median(found):,.0f} control steps/s, "
            f"{ROUNDS * STEPS * WORLDS / taken[count]:,.0f} per second of processor time"
        )


if __name__ == "__main__":
    main(sys.argv[1], [int(text) for text in sys.argv[2:]])
