# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The robots: what they are, which actions move them, and what a task has to know of them."""

from zprl.tasks.robots.robot import ArmCfg as ArmCfg
from zprl.tasks.robots.robot import GripperCfg as GripperCfg
from zprl.tasks.robots.robot import HandCfg as HandCfg
from zprl.tasks.robots.robot import JointTargetsCfg as JointTargetsCfg
from zprl.tasks.robots.robot import PartCfg as PartCfg
from zprl.tasks.robots.robot import RobotCfg as RobotCfg
