# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Search how much a task's expert has to err for a base policy that succeeds as often as wanted.

Example: python scripts/calibrate_task.py --task Zprl-Can-Franka --target 0.5
"""

from __future__ import annotations

from dataclasses import dataclass

from zprl.commands.options import Command, TaskOptions
from zprl.utils.arguments import option, positive_int, share


@dataclass(frozen=True, kw_only=True)
class CalibrateTaskOptions(TaskOptions):
    """Options of the command."""

    target: float = option("share of episodes to succeed in (default: %(default)s)", 0.5, type=share)
    tolerance: float = option("largest distance from it (default: %(default)s)", 0.05, type=share)
    trials: int = option("most base policies to train (default: %(default)s)", 5, type=positive_int)
    episodes: int = option("episodes that judge each (default: %(default)s)", 200, type=positive_int)


def run(options: CalibrateTaskOptions, overrides: list[str]) -> float:
    """Search; return the scale of the expert's noise."""
    from zprl.runs.calibration import calibrate, noisy_expert
    from zprl.runs.session import TaskSession

    session = TaskSession(options.task, options.device, overrides, seed=options.seed)
    if options.seed is not None:
        session.agent_cfg.demonstrations.seed = session.agent_cfg.pretrain.seed = options.seed
    expert = noisy_expert(options.task)
    with session.launched(options.viz):
        found = calibrate(session, options.target, options.tolerance, options.trials, options.episodes)
    print(
        f"the base policy succeeds in {found.describe()}; write into {type(expert).__name__}:\n\n"
        f"    noise_scale = {found.scale:.3f}"
    )
    return found.scale


COMMAND = Command(__doc__, CalibrateTaskOptions, run)
