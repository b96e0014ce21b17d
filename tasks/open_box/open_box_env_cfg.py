# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The open-box task, without a robot: a light box that stands freely on a table, shut.

A twin of the paper's real task, of which neither sizes nor margins are published. The hinge is stiff: what opens the
lid tips the box over its rear edge, or drags it along, unless another hand holds it down on the shelf beside the lid.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from isaaclab.assets import ArticulationCfg, AssetBaseCfg
from isaaclab.managers import EventTermCfg, SceneEntityCfg
from isaaclab.utils import configclass
from isaaclab.visualizers import VisualizerCfg

from zprl.tasks import mdp
from zprl.tasks.common import (
    CONTROL_PERIOD,
    TabletopEventCfg,
    TabletopSceneCfg,
    TwoArmEnvCfg,
    hinged,
    measured,
    placed,
    randomized,
)
from zprl.tasks.common.tabletop import table_top
from zprl.tasks.common.two_arms import TwoArmObservationsCfg
from zprl.tasks.open_box.mdp import LidHeldOpen

BOX_USD = Path(__file__).parent / "box.usda"
"""The box, as :mod:`zprl.tasks.open_box.box_usd` writes it; its frame is in the middle of its lower side."""

DEPTH, WIDTH, HEIGHT, WALL = 0.16, 0.22, 0.09, 0.008
"""Edge lengths of the base along x, y and z, and thickness of its walls [m]."""

SHELF = 0.05
"""Width of the part of the top that is fixed, at positive y [m]."""

LID_WIDTH, PLATE = WIDTH - SHELF, 0.006
"""Width and thickness of the lid [m]."""

TAB, TAB_PLACE = (0.03, 0.03, 0.04), (-0.145, -0.035)
"""Edge lengths of the tab that stands on the lid at its front edge, and its centre in x and y, seen from the middle of
the hinge [m]."""

BASE_MASS, LID_MASS, TAB_MASS = 0.4, 0.15, 0.02
"""Masses of the base, of the lid with its tab, and of the tab [kg]."""

FRICTION = 0.4
"""Coefficient of sliding friction of the box and of the table."""

HINGE_FRICTION, HINGE_DAMPING, HINGE_LIMIT = 0.6, 0.02, 1.9
"""Friction loss [N m] and damping [N m s/rad] of the hinge, and its upper limit [rad]."""

OPEN = 1.2
"""Angle of an open lid [rad]."""

MAX_SHIFT, MAX_TILT = 0.04, 0.2
"""How far the base may have been moved [m] and how far it may be tilted [rad]."""

HOLD = 0.25
"""For how long the box is to be open [s]."""

SUBSTEP = 0.005
"""Physics time step [s]."""

HINGE = SceneEntityCfg("object", joint_names=["lid_hinge"])


@configclass
class OpenBoxSceneCfg(TabletopSceneCfg):
    """Robot, table and box."""

    table: AssetBaseCfg = table_top((0.35, 0.0), (1.1, 1.0, 0.04), FRICTION)
    object: ArticulationCfg = hinged(  # type: ignore[assignment]
        "Box", BOX_USD, {"lid_hinge": (HINGE_FRICTION, HINGE_DAMPING)}, (0.45, 0.0, 0.0)
    )


@configclass
class ObservationsCfg(TwoArmObservationsCfg):
    """Observations; everything is in the robot's root frame, lengths in [m], angles in [rad]."""

    @configclass
    class PolicyCfg(TwoArmObservationsCfg.PolicyCfg):
        """What the policy sees; a real robot measures all of it. The object is the box's base."""

        lid_pos = measured(mdp.joint_pos_rel, 0.005, asset_cfg=HINGE)

    policy: PolicyCfg = PolicyCfg()


@configclass
class EventCfg(TabletopEventCfg):
    """Initial states, drawn at every reset."""

    reset_object = placed((0.36, 0.50), (-0.08, 0.08), 0.0, (-0.35, 0.35))
    reset_lid = EventTermCfg(
        func=mdp.reset_joints_around_default, mode="reset", params={"spread": 0.0, "asset_cfg": HINGE}
    )


@configclass
class OpenBoxEnvCfg(TwoArmEnvCfg):
    """Hold a box with one hand and open its lid with the other, within 8 s."""

    scene: OpenBoxSceneCfg = OpenBoxSceneCfg()
    observations: ObservationsCfg = ObservationsCfg()
    events: Any = randomized(EventCfg())

    def __post_init__(self) -> None:
        super().__post_init__()
        # From the side of the hand that opens, across the box.
        self.sim.default_visualizer_cfg = VisualizerCfg(eye=(1.55, -1.1, 0.85), lookat=(0.3, 0.0, 0.2))
        self.use_physics(CONTROL_PERIOD, SUBSTEP, njmax=300, nconmax=80)
        self.use_success(
            CONTROL_PERIOD,
            LidHeldOpen,
            seconds=HOLD,
            angle=OPEN,
            max_turn=0.5,
            max_speed=0.05,
            max_shift=MAX_SHIFT,
            max_tilt=MAX_TILT,
            lid_cfg=HINGE,
        )
        self.episode_length_s = 8.0
