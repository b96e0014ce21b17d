# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Tabletop tasks that policies solve by what cameras see."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from isaaclab.managers import ObservationGroupCfg, ObservationTermCfg
from isaaclab.utils import configclass
from isaaclab_newton.renderers import NewtonWarpRendererCfg
from isaaclab_tasks.utils import preset

from zprl.sim.isaaclab.cameras import NativeRendererCfg, PolicyCameraCfg
from zprl.sim.isaaclab.cameras.appearance import AppearanceCfg
from zprl.sim.isaaclab.cameras.scene_observations import SceneObservationsCfg, drawn_appearance

NEAR_VIEW = PolicyCameraCfg(eye=(1.05, 0.0, 0.50), target=(0.46, 0.0, 0.13), field_of_view=45.2, far=3.0)
"""Across the table from the robot; what is on the table up to 0.65 m from the robot's base is seen."""

FAR_VIEW = PolicyCameraCfg(eye=(1.15, 0.0, 0.65), target=(0.52, 0.0, 0.05), field_of_view=45.2, far=3.0)
"""The same from farther above, for things that stand nearer to the camera."""

WIDE_VIEW = PolicyCameraCfg(eye=(1.35, 0.0, 0.95), target=(0.62, 0.0, 0.0), field_of_view=50.0, far=3.0)
"""For things all over the table."""


@configclass
class VisualTask:
    """A mixin for a task whose policies see through cameras; it calls :meth:`use_cameras` in ``__post_init__``."""

    cameras: dict[str, PolicyCameraCfg] = {}
    """Cameras that policies see through; see :meth:`use_cameras`."""

    renderer: Any = preset(
        default=NativeRendererCfg(newton_on_cuda=True),
        native=NativeRendererCfg(),
        newton_renderer=NewtonWarpRendererCfg(),
    )
    """What draws their images, by default the native one on a CPU and Newton's on a GPU; ``renderer=NAME`` chooses. The
    names are Isaac Lab's, for which "newton" alone is an old one of the physics."""

    any_renderer: bool = False
    """Whether policies and data sets are taken whose images another renderer drew."""

    appearance: Any = preset(
        default=AppearanceCfg(),
        randomize_images=AppearanceCfg(
            light_angle=25.0,
            color=0.08,
            camera_position=0.01,
            camera_angle=1.5,
            brightness=0.08,
            contrast=0.15,
            shift=0.03,
            blur=0.7,
        ),
    )
    """How differently the episodes look; ``presets=randomize_images`` draws it anew at every reset."""

    privileged_groups: list[str] = []
    """Observation groups that only a simulator knows."""

    def __post_init__(self: Any) -> None:
        super().__post_init__()  # type: ignore[misc] - that of the task, which is the next base

    def use_cameras(self: Any, cameras: dict[str, PolicyCameraCfg], measured: Iterable[str]) -> None:
        """Let policies see images, and no longer what no robot measures.

        Args:
            cameras: The cameras by name; their images are observation groups of these names.
            measured: Terms of the group ``policy`` that stay there. The others move to the group ``privileged``, by
                which critics may judge.
        """
        self.cameras = copy.deepcopy(cameras)
        observations: Any = self.observations
        observations.scene = SceneObservationsCfg()
        observations.privileged = ObservationGroupCfg(enable_corruption=False)
        self.privileged_groups = ["privileged"]
        policy, kept = observations.policy, set(measured)
        for name, term in list(vars(policy).items()):
            if isinstance(term, ObservationTermCfg) and name not in kept:
                setattr(observations.privileged, name, term)
                setattr(policy, name, None)  # as Isaac Lab leaves out an inherited term
        for events in self.events_of_presets():
            events.draw_appearance = drawn_appearance()


@configclass
class VisualTabletop(VisualTask):
    """A mixin for a tabletop task with a robot: a fixed camera, those of the robot, and no object's pose.

    .. code-block:: python

        @configclass
        class RobotLiftVisualEnvCfg(VisualTabletop, RobotLiftEnvCfg):
            \"\"\"A robot lifts a cube that it sees.\"\"\"
    """

    front_camera: PolicyCameraCfg = NEAR_VIEW
    """The fixed camera."""

    def __post_init__(self: Any) -> None:
        super().__post_init__()
        self.use_cameras({"front": self.front_camera, **self.robot_cameras}, measured=("joint_pos", "ee_pose"))
