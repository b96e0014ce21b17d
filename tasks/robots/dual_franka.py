# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Two Franka Pandas with their parallel grippers, as one robot."""

from __future__ import annotations

from isaaclab.assets import ArticulationCfg
from isaaclab.utils import replace
from isaaclab_newton.sim.schemas import NewtonArticulationCfg
from isaaclab_physx.sim.schemas import PhysxArticulationCfg

from zprl.tasks.robots.assets import DUAL_FRANKA_USDS
from zprl.tasks.robots.franka_panda import FRANKA_PANDA_CFG, panda_parts, wrist_camera
from zprl.tasks.robots.robot import SIDES, PartCfg, RobotCfg


def dual_franka(layout: str = "facing", squeeze: float = 0.0) -> RobotCfg:
    """Return two Pandas that have one root frame, in which everything is observed and commanded.

    Args:
        layout: How they stand; "facing": the left one at negative y, the right one at positive y, each with its x axis
            towards the other; "side_by_side": both along x, the left one at positive y.
        squeeze: How far beyond closed their closing fingers strive; see :func:`franka_panda`.
    """
    parts: dict[str, PartCfg] = {}
    for side in SIDES:
        parts |= panda_parts(f"{side}_", squeeze)
    return RobotCfg(
        articulations={"robot": _articulation(layout)},
        parts=parts,
        cameras={f"{side}_wrist": wrist_camera(f"{side}_") for side in SIDES},
    )


def _articulation(layout: str) -> ArticulationCfg:
    single = FRANKA_PANDA_CFG
    return replace(
        single,
        spawn=replace(
            single.spawn,
            usd_path=str(DUAL_FRANKA_USDS[layout]),
            articulation_props=[
                NewtonArticulationCfg(self_collision_enabled=True),  # of the pairs that the file leaves: the hands
                PhysxArticulationCfg(enabled_self_collisions=True),
            ],
        ),
        init_state=replace(
            single.init_state, joint_pos={f".*_{name}": value for name, value in single.init_state.joint_pos.items()}
        ),
        actuators={
            name: replace(actuator, joint_names_expr=[f".*_{joints}" for joints in actuator.joint_names_expr])
            for name, actuator in single.actuators.items()
        },
    )
