# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a learned expert is told: its actor, and where that was learned."""

from __future__ import annotations

from dataclasses import MISSING

from zprl.tasks.experts.expert import Expert
from zprl.tasks.experts.noise import NoisyExpertCfg
from zprl.utils.configclass import configclass


@configclass
class LearnedExpertCfg(NoisyExpertCfg):
    """A task's expert that ``scripts/train_expert.py`` makes."""

    class_type: type[Expert] | str = "zprl.tasks.experts.learned_expert:LearnedExpert"

    actor_file: str = MISSING  # type: ignore[assignment]
    """The actor, a file that the command wrote."""

    training_task: str = MISSING  # type: ignore[assignment]
    """Id of the task that it is learned in, with the same observations and actions, and a dense reward."""
