# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Parts of a tabletop scene; the table's top is the plane z = 0, in which the robots' bases stand."""

from __future__ import annotations

import isaaclab.sim as sim_utils
from isaaclab.assets import AssetBaseCfg
from isaaclab.scene import InteractiveSceneCfg
from isaaclab.utils import configclass
from isaaclab_tasks.utils import preset


@configclass
class TaskSceneCfg(InteractiveSceneCfg):
    """The worlds of a task.

    A family lists its assets in the order in which the engines are to number them: its robots, by the names under
    which :class:`zprl.tasks.robots.RobotCfg` has them, the table, its objects and the light.
    """

    num_envs: int = 256
    # Newton's worlds never touch, so they may share one origin, which makes an episode's outcome independent of the
    # world it runs in to the last bit; PhysX needs them apart.
    env_spacing: float = preset(default=0.0, isaacsim_physx=2.5, ovphysx=2.5, physx=2.5)  # type: ignore[assignment]
    replicate_physics: bool = True


TABLE = AssetBaseCfg(
    prim_path="{ENV_REGEX_NS}/Table",
    init_state=AssetBaseCfg.InitialStateCfg(pos=(0.35, 0.0, -0.02)),
    spawn=sim_utils.CuboidCfg(
        size=(1.1, 1.0, 0.04),
        collision_props=sim_utils.UsdPhysicsCollisionCfg(),
        visual_material=sim_utils.PreviewSurfaceCfg(diffuse_color=(0.46, 0.38, 0.30), roughness=0.8),
    ),
)
"""A table in front of a robot that stands at the origin."""

LIGHT = AssetBaseCfg(prim_path="/World/Light", spawn=sim_utils.DomeLightCfg(intensity=2000.0, color=(0.95, 0.97, 1.0)))
"""Light from all sides."""
