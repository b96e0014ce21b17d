# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Tabletop tasks that policies solve by what cameras see."""

from __future__ import annotations

from typing import Any

from isaaclab.utils import configclass

from zprl.sim.isaaclab.cameras import PolicyCameraCfg

NEAR_VIEW = PolicyCameraCfg(eye=(1.05, 0.0, 0.50), target=(0.46, 0.0, 0.13), field_of_view=45.2, far=3.0)
"""Across the table from the robot; what is on the table up to 0.65 m from the robot's base is seen."""

FAR_VIEW = PolicyCameraCfg(eye=(1.15, 0.0, 0.65), target=(0.52, 0.0, 0.05), field_of_view=45.2, far=3.0)
"""The same from farther above, for things that stand nearer to the camera."""

WIDE_VIEW = PolicyCameraCfg(eye=(1.35, 0.0, 0.95), target=(0.62, 0.0, 0.0), field_of_view=50.0, far=3.0)
"""For things all over the table."""


@configclass
class VisualTabletop:
    """A mixin for a tabletop task with a robot: a fixed camera, those of the robot, and no object's pose.

    .. code-block:: python

        @configclass
        class RobotLiftVisualEnvCfg(VisualTabletop, RobotLiftEnvCfg):
            \"\"\"A robot lifts a cube that it sees.\"\"\"
    """

    front_camera: PolicyCameraCfg = NEAR_VIEW
    """The fixed camera."""

    def __post_init__(self: Any) -> None:
        super().__post_init__()  # type: ignore[misc] - that of the task, which is the next base
        self.use_cameras({"front": self.front_camera, **self.robot_cameras}, measured=("joint_pos", "ee_pose"))
