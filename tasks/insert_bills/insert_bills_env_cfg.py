# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The insert-bills task, without a robot: a bill in a rack, and a wallet on a stand whose flap a spring keeps shut.

A twin of the paper's real task, of which neither sizes nor margins are published; the bill bends at four folds.
"""

from __future__ import annotations

from dataclasses import MISSING
from pathlib import Path
from typing import Any

import isaaclab.sim as sim_utils
from isaaclab.actuators import ImplicitActuatorCfg
from isaaclab.assets import ArticulationCfg, RigidObjectCfg
from isaaclab.managers import EventTermCfg, SceneEntityCfg
from isaaclab.utils import configclass
from isaaclab.visualizers import VisualizerCfg

from zprl.tasks import mdp
from zprl.tasks.common import (
    CONTROL_PERIOD,
    TabletopEventCfg,
    TabletopSceneCfg,
    TwoArmEnvCfg,
    box,
    fixture,
    measured,
    placed,
    randomized,
)
from zprl.tasks.common.two_arms import TwoArmObservationsCfg
from zprl.tasks.insert_bills.mdp import BillHeldIn

WALLET_USD = Path(__file__).parent / "wallet.usda"
"""The wallet; its frame is in the middle of the lower side of its stand, below the slot."""

WIDTH, HEIGHT, STAND = 0.10, 0.08, 0.06
"""Width and height of back plate and flap, and height of the stand that they are on [m]."""

SLOT, BACK, FLAP = 0.004, 0.012, 0.003
"""Width of the slot between them while it is shut, and their thicknesses [m]."""

TAB, TAB_PLACE = (0.012, 0.035, 0.03), (0.0, WIDTH / 2 + 0.0175, 0.065)
"""Edge lengths of the tab beside the flap, and its centre seen from the middle of the hinge [m]."""

FLAP_MASS, MAX_ANGLE = 0.03, 0.6
"""Mass [kg] of the flap with its tab, and the upper limit of its hinge [rad]."""

STIFFNESS, DAMPING = 0.15, 0.005
"""Of the spring that shuts the flap [N m/rad, N m s/rad]."""

BILL_USD = Path(__file__).parent / "bill.usda"
"""The bill; its frame is in the middle of its first strip."""

STRIPS, STRIP, BILL_MASS = 5, (0.002, 0.06, 0.013), 0.005
"""Number of strips of the bill, their edge lengths [m], and the bill's mass [kg]."""

LENGTH = STRIPS * STRIP[2]
"""Length of the bill [m]."""

BENDING = 0.004
"""Stiffness of its folds [N m/rad]."""

RACK = 0.03
"""Height of the rack that the bill stands in [m]."""

SUBSTEP = 0.005
"""Physics time step [s]."""

FOLDS = SceneEntityCfg("object", joint_names=["fold_.*"])
HINGE = SceneEntityCfg("wallet", joint_names=["flap_hinge"])


def _rack() -> list:
    color = (0.30, 0.33, 0.38)
    gap = 0.004
    walls = [box((0.012, 0.08, RACK), (side * (gap + 0.012) / 2, 0.0, RACK / 2), color=color) for side in (-1, 1)]
    ends = [box((gap, 0.008, RACK), (0.0, side * 0.036, RACK / 2), color=color) for side in (-1, 1)]
    return [*walls, *ends]


@configclass
class InsertBillsSceneCfg(TabletopSceneCfg):
    """Robot, table, bill, rack and wallet."""

    object: ArticulationCfg = ArticulationCfg(  # type: ignore[assignment]
        prim_path="{ENV_REGEX_NS}/Bill",
        spawn=sim_utils.UsdFileCfg(usd_path=str(BILL_USD)),
        init_state=ArticulationCfg.InitialStateCfg(pos=(0.43, -0.18, LENGTH - STRIP[2] / 2), joint_pos={".*": 0.0}),
        actuators={
            "folds": ImplicitActuatorCfg(joint_names_expr=["fold_.*"], stiffness=BENDING, damping=2e-5, armature=1e-5)
        },
    )
    rack: RigidObjectCfg = fixture("Rack", _rack(), (0.43, -0.18, 0.0))
    wallet: ArticulationCfg = ArticulationCfg(
        prim_path="{ENV_REGEX_NS}/Wallet",
        spawn=sim_utils.UsdFileCfg(usd_path=str(WALLET_USD)),
        init_state=ArticulationCfg.InitialStateCfg(pos=(0.45, 0.05, 0.0), joint_pos={".*": 0.0}),
        actuators={
            "flap": ImplicitActuatorCfg(
                joint_names_expr=["flap_hinge"], stiffness=STIFFNESS, damping=DAMPING, armature=1e-4
            )
        },
    )


@configclass
class ObservationsCfg(TwoArmObservationsCfg):
    """Observations; everything is in the robot's root frame, lengths in [m], angles in [rad]."""

    @configclass
    class PolicyCfg(TwoArmObservationsCfg.PolicyCfg):
        """What the policy sees; a real robot measures all of it. The object is the bill."""

        wallet_position = measured(mdp.object_position_in_root_frame, 0.002, object_cfg=SceneEntityCfg("wallet"))
        flap_pos = measured(mdp.joint_pos_rel, 0.005, asset_cfg=HINGE)

    policy: PolicyCfg = PolicyCfg()


@configclass
class EventCfg(TabletopEventCfg):
    """Initial states, drawn at every reset; the bill stands in its rack."""

    reset_wallet = EventTermCfg(
        func=mdp.reset_fixture_in_box,
        mode="reset",
        params={"low": (0.40, 0.0, 0.0), "high": (0.50, 0.10, 0.0), "asset_cfg": SceneEntityCfg("wallet")},
    )
    reset_rack = placed((0.38, 0.48), (-0.22, -0.14), 0.0, asset="rack")
    reset_object = EventTermCfg(
        func=mdp.reset_object_beside,
        mode="reset",
        params={"offset": (0.0, 0.0, LENGTH - STRIP[2] / 2), "frame_cfg": SceneEntityCfg("rack")},
    )
    reset_folds = EventTermCfg(
        func=mdp.reset_joints_around_default, mode="reset", params={"spread": 0.0, "asset_cfg": FOLDS}
    )


@configclass
class InsertBillsEnvCfg(TwoArmEnvCfg):
    """Hold a wallet open with one hand and put a bill into it with the other, and let go of both, within 15 s."""

    scene: InsertBillsSceneCfg = InsertBillsSceneCfg()
    observations: ObservationsCfg = ObservationsCfg()
    events: Any = randomized(EventCfg())

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sim.default_visualizer_cfg = VisualizerCfg(eye=(1.55, -1.1, 0.85), lookat=(0.3, 0.0, 0.2))
        self.use_physics(CONTROL_PERIOD, SUBSTEP, njmax=400, nconmax=120)
        self.use_success(
            CONTROL_PERIOD,
            BillHeldIn,
            seconds=0.25,
            # The last strip's frame is at its upper edge; the lower one is below 0.7 of the slot's depth.
            low=(-0.02, -0.008, STAND + 0.5 * STRIP[2]),
            high=(0.01, 0.008, STAND + 0.3 * HEIGHT + STRIP[2]),
            max_angle=0.15,
            max_speed=0.05,
            release_distance=0.03,
            tab_place=(TAB_PLACE[0] - (SLOT + FLAP) / 2, TAB_PLACE[1], TAB_PLACE[2] + STAND),
            bill_cfg=SceneEntityCfg("object", body_names=[f"strip_{STRIPS - 1}"]),
            flap_cfg=HINGE,
            asset_cfg=MISSING,
            offset=MISSING,
        )
        self.episode_length_s = 15.0
