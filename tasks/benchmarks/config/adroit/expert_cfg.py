# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The experts of the benchmark's hand tasks: those of this project's own, in the benchmark's worlds."""

from __future__ import annotations

from dataclasses import MISSING

from zprl.tasks.experts import ExpertNoiseCfg, NoisyExpertCfg
from zprl.utils.configclass import configclass


@configclass
class TranslatedExpertCfg(NoisyExpertCfg):
    """An expert of one of this project's tasks."""

    class_type = "zprl.tasks.benchmarks.config.adroit.expert:TranslatedExpert"

    actor: str = MISSING  # type: ignore[assignment]
    """Its file, below the folder of all tasks."""

    mixed = ExpertNoiseCfg(action_std=0.1, action_correlation=0.9)
    """At 100 Hz 0.9 is what 0.8 is at the 50 Hz of this project's tasks."""


@configclass
class DoorExpertCfg(TranslatedExpertCfg):
    """Turns the lever and pulls."""

    actor = "door/config/adroit/door_expert.safetensors"
    noise_scale = 2.6


@configclass
class HammerExpertCfg(TranslatedExpertCfg):
    """Lifts the hammer and pushes its head against the nail."""

    actor = "hammer/config/adroit/hammer_expert.safetensors"
    noise_scale = 2.6


@configclass
class PenExpertCfg(TranslatedExpertCfg):
    """Turns the pen with its fingers."""

    actor = "pen/config/adroit/pen_expert.safetensors"
    noise_scale = 3.8
