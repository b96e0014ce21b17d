# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The box-close task, without a robot: a box without its lid, which lies on the table.

Sizes, mass, friction and ranges are those of MetaWorld's box-close, whose y axis is this x axis and begins 0.1 m behind
it. Success asks for more: the lid is home, not 5 cm above it in the hand, and at rest.
"""

from __future__ import annotations

from dataclasses import MISSING
from typing import Any

import isaaclab.sim as sim_utils
from isaaclab.assets import RigidObjectCfg
from isaaclab.managers import SceneEntityCfg
from isaaclab.utils import configclass

from zprl.tasks import mdp
from zprl.tasks.common import (
    CONTROL_PERIOD,
    CompoundCfg,
    TabletopEnvCfg,
    TabletopEventCfg,
    TabletopSceneCfg,
    box,
    fixture,
    open_bin,
    placed,
    randomized,
)

LID, RIM, PLATE = 0.23, 0.016, 0.008
"""Edge length of the lid, height of its rim, and thickness of its plate [m]."""

BOX_HEIGHT = 0.06
"""Height of the box [m]."""

HANDLE = (0.0, 0.0, 0.08)
"""Where the lid is held, in its frame [m]; the handle's bar lies along x."""

SUBSTEP = 0.01
"""Physics time step [s]."""


def _lid() -> CompoundCfg:
    """Return a plate with a rim below that goes around the box, and a handle above; its frame is the plate's."""
    look: dict[str, Any] = {"color": (0.15, 0.35, 0.65)}
    side, below = LID / 2 - 0.005, -(PLATE + RIM) / 2
    parts = [box((LID, LID, PLATE), (0.0, 0.0, 0.0), **look)]
    for sign in (-1, 1):
        parts.append(box((0.01, LID, RIM), (sign * side, 0.0, below), **look))
        parts.append(box((LID, 0.01, RIM), (0.0, sign * side, below), **look))
        parts.append(box((0.016, 0.016, 0.07), (sign * 0.042, 0.0, 0.039), **look))
    parts.append(box((0.1, 0.016, 0.016), HANDLE, **look))
    return CompoundCfg(
        parts=parts, rigid_props=sim_utils.UsdPhysicsRigidBodyCfg(), mass_props=sim_utils.MassCfg(mass=0.25)
    )


@configclass
class BoxCloseSceneCfg(TabletopSceneCfg):
    """Robot, table, lid and box."""

    object: RigidObjectCfg = RigidObjectCfg(
        prim_path="{ENV_REGEX_NS}/Object",
        init_state=RigidObjectCfg.InitialStateCfg(pos=(0.42, 0.0, RIM + PLATE / 2)),
        spawn=_lid(),
    )
    box: RigidObjectCfg = fixture(
        "Box",
        open_bin((0.18, 0.18, BOX_HEIGHT - 0.01), 0.01, (0.0, 0.0, 0.01), color=(0.55, 0.40, 0.22)),
        (0.65, 0.0, 0.0),
    )


@configclass
class EventCfg(TabletopEventCfg):
    """Initial states, drawn at every reset; the lid before the box, which keeps away from it."""

    reset_object = placed((0.4, 0.45), (-0.05, 0.05), RIM + PLATE / 2)
    reset_box = placed(
        (0.6, 0.7),
        (-0.1, 0.1),
        0.0,
        asset="box",
        apart_from=SceneEntityCfg("object"),
        least_distance=0.25,
    )


@configclass
class BoxCloseEnvCfg(TabletopEnvCfg):
    """Put the lid on a box, within 10 s."""

    scene: BoxCloseSceneCfg = BoxCloseSceneCfg()
    events: Any = randomized(EventCfg())

    def __post_init__(self) -> None:
        super().__post_init__()
        self.show_place_of("box")
        self.use_physics(CONTROL_PERIOD, SUBSTEP, njmax=300, nconmax=80)
        home = BOX_HEIGHT + PLATE / 2
        self.use_success(
            CONTROL_PERIOD,
            mdp.object_placed,
            low=(-0.02, -0.02, home - 0.006),
            high=(0.02, 0.02, home + 0.006),
            frame_cfg=SceneEntityCfg("box"),
            release_distance=0.0424,
            max_speed=0.05,
            least_upright=0.98,
            grasp_point=HANDLE,
            asset_cfg=MISSING,
            offset=MISSING,
        )
        self.episode_length_s = 10.0
