# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The flip-egg task, without a robot: a fried egg in a pan on a hob.

A twin of one of the paper's real tasks, whose sizes are not published: a pan of 26 cm with a sloped rim, and an egg of
9 cm that bends, of three plates on two hinges. Success: the egg lies in the pan upside down, flat and still, and what
has turned it over has gone.
"""

from __future__ import annotations

import math
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import isaaclab.sim as sim_utils
from isaaclab.actuators import ImplicitActuatorCfg
from isaaclab.assets import ArticulationCfg, AssetBaseCfg
from isaaclab.managers import EventTermCfg, SceneEntityCfg
from isaaclab.utils import configclass
from isaaclab.visualizers import VisualizerCfg

from zprl.tasks import mdp
from zprl.tasks.common import (
    CompoundCfg,
    CompoundPartCfg,
    TabletopEnvCfg,
    TabletopEventCfg,
    TabletopObservationsCfg,
    TabletopSceneCfg,
    box,
    measured,
    placed,
)
from zprl.tasks.common.randomized import PhysicsRanges, randomized_physics
from zprl.tasks.flip_egg.mdp import EggTurnedOver

CONTROL_PERIOD = 0.1
"""Time between two actions [s]: 10 Hz, as the paper acts."""

SUBSTEP = 0.005
"""Physics time step [s]."""

EDGE, THICKNESS, MASS = 0.09, 0.008, 0.06
"""Edge length and thickness of the egg [m], and its mass [kg]."""

EGG_FRICTION = 0.4
"""Coefficient of sliding friction of egg and pan; the blade's is larger."""

EGG_USD = Path(__file__).parent / "egg.usda"
"""The egg, as :mod:`zprl.tasks.flip_egg.egg_usd` writes it; its frame is in its middle, z out of the upper side."""

PAN = (0.5, 0.15, 0.12)
"""Middle of the pan's floor [m]."""

PAN_RADIUS, RIM_HEIGHT, RIM_SLOPE = 0.13, 0.025, math.radians(70.0)
"""Radius of the pan's floor, height of its rim [m], and the rim's angle to the floor [rad]."""

RIM_RADIUS = PAN_RADIUS + RIM_HEIGHT / math.tan(RIM_SLOPE)
"""Radius of the rim's upper edge [m]."""

_RIM_BOXES, _RIM_THICKNESS = 12, 0.006
_IRON = (0.10, 0.10, 0.11)


def _rim(number: int) -> CompoundPartCfg:
    """Return a box of the rim, whose inner face leans outwards."""
    turn, lean = 2 * math.pi * number / _RIM_BOXES, -RIM_SLOPE / 2
    cos, sin = math.cos(RIM_SLOPE), math.sin(RIM_SLOPE)
    half, back = RIM_HEIGHT / sin / 2, _RIM_THICKNESS / 2
    radius, height = PAN_RADIUS + half * cos + back * sin, half * sin - back * cos
    width = 2 * (RIM_RADIUS + _RIM_THICKNESS) * math.tan(math.pi / _RIM_BOXES)
    size = (2 * half, width, _RIM_THICKNESS)
    part = box(size, (radius * math.cos(turn), radius * math.sin(turn), height), color=_IRON, friction=EGG_FRICTION)
    z, w = math.sin(turn / 2), math.cos(turn / 2)
    part.rot = (-z * math.sin(lean), w * math.sin(lean), z * math.cos(lean), w * math.cos(lean))
    return part


def _pan() -> CompoundCfg:
    """Return the hob, whose top is the pan's floor, and the rim; the disc is there to be seen."""
    disc = CompoundPartCfg(
        spawn=sim_utils.CylinderCfg(
            radius=PAN_RADIUS + 0.004,
            height=0.0004,
            visual_material=sim_utils.PreviewSurfaceCfg(diffuse_color=_IRON, roughness=0.5),
        )
    )
    hob = box((0.36, 0.36, PAN[2]), (0.0, 0.0, -PAN[2] / 2), color=(0.55, 0.56, 0.58), friction=EGG_FRICTION)
    return CompoundCfg(parts=[hob, disc, *(_rim(number) for number in range(_RIM_BOXES))])


@configclass
class FlipEggSceneCfg(TabletopSceneCfg):
    """Robot, table, egg and pan."""

    object: ArticulationCfg = ArticulationCfg(  # type: ignore[assignment]
        prim_path="{ENV_REGEX_NS}/Object",
        spawn=sim_utils.UsdFileCfg(usd_path=str(EGG_USD)),
        init_state=ArticulationCfg.InitialStateCfg(pos=(PAN[0], PAN[1], PAN[2] + THICKNESS / 2), joint_pos={".*": 0.0}),
        actuators={
            # What is between the plates: a spring [N m/rad] and a damper [N m s/rad].
            "hinges": ImplicitActuatorCfg(
                joint_names_expr=[".*_hinge"], stiffness=0.02, damping=0.002, armature=1e-5, friction=0.0
            )
        },
    )
    pan: AssetBaseCfg = AssetBaseCfg(
        prim_path="{ENV_REGEX_NS}/Pan", init_state=AssetBaseCfg.InitialStateCfg(pos=PAN), spawn=_pan()
    )


@configclass
class ObservationsCfg(TabletopObservationsCfg):
    """Observations; everything is in the robot's root frame, lengths in [m], angles in [rad]."""

    @configclass
    class PolicyCfg(TabletopObservationsCfg.PolicyCfg):
        """What the policy sees; of the egg also how far it is bent."""

        object_bend = measured(mdp.joint_pos_rel, 0.02, asset_cfg=SceneEntityCfg("object"))

    policy: PolicyCfg = PolicyCfg()


@configclass
class EventCfg(TabletopEventCfg):
    """Initial states, drawn at every reset; the egg lies flat, near the pan's middle."""

    reset_bend = EventTermCfg(
        func=mdp.reset_joints_around_default,
        mode="reset",
        params={"spread": 0.0, "asset_cfg": SceneEntityCfg("object")},
    )
    reset_object = placed(
        (PAN[0] - 0.02, PAN[0] + 0.02),
        (PAN[1] - 0.02, PAN[1] + 0.02),
        PAN[2] + THICKNESS / 2,
        yaw_range=(-math.pi, math.pi),
    )


_TRAIN = PhysicsRanges(mass=(0.67, 1.5), friction=(0.3, 0.5), fingers=(0.5, 0.7), gains=(0.8, 1.25))
_HEAVY = PhysicsRanges(mass=(0.5, 2.0), friction=(0.2, 0.6), fingers=(0.4, 0.8), gains=(0.67, 1.5))


@configclass
class FlipEggEnvCfg(TabletopEnvCfg):
    """Turn a fried egg over in its pan, within 15 s."""

    scene: FlipEggSceneCfg = FlipEggSceneCfg()
    observations: ObservationsCfg = ObservationsCfg()
    events: Any = randomized_physics(EventCfg(), SceneEntityCfg("object"), _TRAIN, _HEAVY)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sim.default_visualizer_cfg = VisualizerCfg(eye=(1.25, 0.45, 0.65), lookat=(0.42, 0.0, 0.18))
        self.use_physics(CONTROL_PERIOD, SUBSTEP, njmax=400, nconmax=100)
        self.use_success(
            CONTROL_PERIOD,
            EggTurnedOver,
            seconds=0.5,
            size=EDGE,
            pan=PAN,
            radius=RIM_RADIUS,
            height=RIM_HEIGHT,
            least_turned=0.9,
            max_speed=0.05,
            max_turn=0.5,
            release_distance=0.12,
            asset_cfg=MISSING,
            offset=MISSING,
        )
        self.episode_length_s = 15.0
