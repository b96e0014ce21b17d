# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The robots: what they are, which actions move them, and what a task has to know of them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zprl.tasks.robots.robot import ArmCfg as ArmCfg
    from zprl.tasks.robots.robot import GripperCfg as GripperCfg
    from zprl.tasks.robots.robot import HandCfg as HandCfg
    from zprl.tasks.robots.robot import JointTargetsCfg as JointTargetsCfg
    from zprl.tasks.robots.robot import PartCfg as PartCfg
    from zprl.tasks.robots.robot import RobotCfg as RobotCfg

_NAMES = ("ArmCfg", "GripperCfg", "HandCfg", "JointTargetsCfg", "PartCfg", "RobotCfg")


def __getattr__(name: str) -> Any:
    # They need Isaac Lab, and what is known of a robot beside them does not.
    if name in _NAMES:
        from zprl.tasks.robots import robot

        return getattr(robot, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
