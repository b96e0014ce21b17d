# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Trace some chunks of a training rollout and count where the host waits for the GPU.

Example: python scripts/trace_rollout.py --task Zprl-Lift-Franka --device cuda:0 --num_envs 2048 --trace rollout.json
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zprl.commands.options import Command, TaskOptions
from zprl.utils.arguments import option, positive_int
from zprl.utils.errors import ZprlError


@dataclass(frozen=True, kw_only=True)
class TraceRolloutOptions(TaskOptions):
    """Options of the command."""

    num_envs: int | None = option("number of parallel worlds", None, type=positive_int)
    base: Path | None = option("base policy (default: the task's newest)", None, metavar="PATH")
    chunks: int = option("chunks to trace (default: %(default)s)", 8, type=positive_int)
    trace: Path | None = option("file to write a trace for chrome://tracing to", None, writes="file", metavar="FILE")


def run(options: TraceRolloutOptions, overrides: list[str]) -> dict[str, int]:
    """Trace, and print the number of waits by part of a chunk; return it.

    Raises:
        ZprlError: If the host waits outside of the simulator.
    """
    from zprl.envs.chunked_env import ChunkedVecEnv
    from zprl.envs.windows import with_windows
    from zprl.policies import make_base_policy
    from zprl.profiling.waits import trace_rollout
    from zprl.runs import paths
    from zprl.runs.base_policy import load_base
    from zprl.runs.session import TaskSession
    from zprl.steering import make_steering
    from zprl.utils.files import existing_file

    session = TaskSession(options.task, options.device, overrides, options.num_envs, options.seed)
    path = existing_file(options.base or paths.latest_base_policy(options.task), "base policy")
    with session.launched(options.viz), session.environment() as env:
        base = make_base_policy(*load_base(session, path, env.spec), session.device)
        steering = make_steering(session.agent_cfg.steering, base)
        chunked = ChunkedVecEnv(with_windows(env, base.spec), steering, ["policy"], session.agent_cfg.step_discount)
        chunked.restart(session.agent_cfg.seed)
        waits = trace_rollout(chunked, options.chunks, options.trace)
    steps = options.chunks * base.execute_steps
    where = ", ".join(f"{name.removeprefix('zprl.')} {count}" for name, count in waits.items())
    print(f"policy step on {base.backend}, {session.physics}, {session.device}")
    print(f"waits for the GPU in {options.chunks} chunks ({steps} environment steps): {where}")
    if sum(waits.values()) > waits["zprl.simulation"]:
        raise ZprlError("the host waits for the GPU outside of the simulator; the trace shows where.")
    return waits


COMMAND = Command(__doc__, TraceRolloutOptions, run)
