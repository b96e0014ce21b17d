# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The door task, without a robot: a door that stands somewhere before the hand, latched.

Sizes, masses, friction and places are those of the door task that is a benchmark (Rajeswaran et al., arXiv 1709.10087),
in which an episode succeeds if the door has been open by 77 degrees for half a second. It opens towards the hand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from isaaclab.assets import ArticulationCfg
from isaaclab.managers import EventTermCfg, SceneEntityCfg
from isaaclab.utils import configclass
from isaaclab.visualizers import VisualizerCfg

from zprl.tasks import mdp
from zprl.tasks.common import (
    HAND_CONTROL_PERIOD,
    HAND_SUBSTEP,
    HandEnvCfg,
    HandEventCfg,
    HandObservationsCfg,
    HandSceneCfg,
    hinged,
    measured,
    randomized_hand,
)

DOOR_USD = Path(__file__).parent / "door.usda"
"""The door, as :mod:`zprl.tasks.door.door_usd` writes it; its frame is between its posts, as the benchmark's is."""

LOW, HIGH = (-0.3, 0.25, 0.252), (-0.2, 0.35, 0.35)
"""Corners of the box that the door's frame is put in [m]."""

OPEN, HOLD = 1.35, 0.5
"""Angle of an open door [rad], and for how long it is to be open [s]."""

HANDLE: dict[str, Any] = {"asset_cfg": SceneEntityCfg("door", body_names=["latch"]), "offset": (0.15, -0.15, 0.0)}
"""The end of the lever, as parameters of observation terms."""


@configclass
class DoorSceneCfg(HandSceneCfg):
    """Hand, table and door."""

    door: ArticulationCfg = hinged(
        "Door", DOOR_USD, {"door_hinge": (2.0, 1.0), "latch": (5.0, 0.05)}, (-0.25, 0.30, 0.30)
    )


@configclass
class ObservationsCfg(HandObservationsCfg):
    """Observations; everything is in the robot's root frame, lengths in [m], angles in [rad]."""

    @configclass
    class PolicyCfg(HandObservationsCfg.PolicyCfg):
        """What the policy sees: the hand, the door's angle and its latch's, and the end of the lever."""

        door_pos = measured(
            mdp.joint_pos_rel, 0.005, asset_cfg=SceneEntityCfg("door", joint_names=["door_hinge", "latch"])
        )
        handle_position = measured(mdp.point_in_root_frame, 0.002, **HANDLE)

    policy: PolicyCfg = PolicyCfg()


@configclass
class EventCfg(HandEventCfg):
    """Initial states, drawn at every reset."""

    reset_door = EventTermCfg(
        func=mdp.reset_fixture_in_box,
        mode="reset",
        params={"low": LOW, "high": HIGH, "asset_cfg": SceneEntityCfg("door")},
    )


@configclass
class DoorEnvCfg(HandEnvCfg):
    """Turn the lever, pull the door open by 77 degrees and keep it so for half a second, within 2 s."""

    scene: DoorSceneCfg = DoorSceneCfg()
    observations: ObservationsCfg = ObservationsCfg()
    events: Any = randomized_hand(EventCfg(), SceneEntityCfg("door", body_names=["door", "latch"]))

    def __post_init__(self) -> None:
        super().__post_init__()
        # From the left: from elsewhere the open door hides the hand.
        self.sim.default_visualizer_cfg = VisualizerCfg(eye=(-0.85, -1.15, 0.95), lookat=(0.0, 0.0, 0.2))
        self.use_physics(HAND_CONTROL_PERIOD, HAND_SUBSTEP, njmax=200, nconmax=48)
        self.use_success(
            HAND_CONTROL_PERIOD,
            mdp.JointHeldBeyond,
            seconds=HOLD,
            position=OPEN,
            asset_cfg=SceneEntityCfg("door", joint_names=["door_hinge"]),
        )
        self.episode_length_s = 2.0
