# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Time the learners' gradient steps, native against autograd, in turns and without a simulator.

Example: python scripts/profile_learner.py --budget 20
"""

from __future__ import annotations

from dataclasses import dataclass

from zprl.commands.options import Command
from zprl.utils.arguments import option
from zprl.utils.constraints import PositiveFloat, PositiveInt


@dataclass(frozen=True, kw_only=True)
class ProfileLearnerOptions:
    """Options of the command; the defaults are the sizes of Zprl-Lift-Franka."""

    num_envs: PositiveInt = option("number of parallel worlds", 256)
    obs_dim: PositiveInt = option("numbers that the learner sees beside the latent", 44)
    latent_dim: PositiveInt = option("numbers of the latent and of an output", 16)
    budget: PositiveFloat = option("time of each learner [s]", 20.0)


def run(options: ProfileLearnerOptions) -> None:
    """Measure and print the table.

    Raises:
        ZprlError: If the native operators are not installed.
    """
    from zprl.profiling.learner import learner_table

    print(learner_table(options.num_envs, options.obs_dim, options.latent_dim, options.budget))


COMMAND = Command(__doc__, ProfileLearnerOptions, run, takes_overrides=False)
