# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Policies that ZPRL steered and exported, as policies of LeRobot, which imports this package by its name."""

from lerobot_policy_zprl.configuration_zprl import ZprlConfig
from lerobot_policy_zprl.modeling_zprl import ZprlPolicy
from lerobot_policy_zprl.processor_zprl import make_zprl_pre_post_processors

__all__ = ["ZprlConfig", "ZprlPolicy", "make_zprl_pre_post_processors"]
