# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Two Pandas as one robot: the file, and what a task gets from it; no simulator runs."""

# OpenUSD's stubs declare the results of its constructors as None.
# pyright: reportOptionalMemberAccess=false, reportAttributeAccessIssue=false

import math

import pytest

from zprl.tasks.robots import ArmCfg, GripperCfg, RobotCfg
from zprl.tasks.robots.dual_franka import dual_franka
from zprl.utils.errors import ZprlError

LAYOUTS = ["facing", "side_by_side"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_file_is_what_the_generator_writes(tmp_path, layout):
    from zprl.tasks.robots.assets import DUAL_FRANKA_USDS
    from zprl.tasks.robots.assets.dual_franka import write_dual_franka

    written = write_dual_franka(tmp_path / "dual.usda", layout)
    assert written.read_text() == DUAL_FRANKA_USDS[layout].read_text(), (
        "run `python -m zprl.tasks.robots.assets.dual_franka`"
    )


@pytest.mark.parametrize(
    ("layout", "left", "right"),
    [("facing", (0.0, -0.81, 90.0), (0.0, 0.81, -90.0)), ("side_by_side", (0.0, 0.3, 0.0), (0.0, -0.3, 0.0))],
)
def test_each_base_stands_where_its_layout_says(layout, left, right):
    from pxr import Gf, Usd, UsdGeom

    from zprl.tasks.robots.assets import DUAL_FRANKA_USDS

    stage = Usd.Stage.Open(str(DUAL_FRANKA_USDS[layout]))
    for side, (x, y, yaw) in (("left", left), ("right", right)):
        prim = stage.GetPrimAtPath(f"/DualPanda/{side}_panda_link0")
        pose = UsdGeom.Xformable(prim).ComputeLocalToWorldTransform(Usd.TimeCode.Default())
        assert tuple(pose.ExtractTranslation()) == pytest.approx((x, y, 0.0), abs=1e-6)
        forward = pose.TransformDir(Gf.Vec3d(1.0, 0.0, 0.0))
        assert math.degrees(math.atan2(forward[1], forward[0])) == pytest.approx(yaw, abs=1e-4)


def test_only_the_hands_touch_each_other():
    from pxr import Usd, UsdPhysics

    from zprl.tasks.robots.assets import DUAL_FRANKA_USDS

    stage = Usd.Stage.Open(str(DUAL_FRANKA_USDS["facing"]))
    solid = {prim.GetParent().GetName() for prim in stage.Traverse() if prim.HasAPI(UsdPhysics.CollisionAPI)}
    ends = {f"{side}_panda_{end}" for side in ("left", "right") for end in ("hand", "leftfinger", "rightfinger")}
    assert solid == ends
    apart = {
        frozenset((prim.GetName(), other.name))
        for prim in stage.Traverse()
        if prim.HasAPI(UsdPhysics.FilteredPairsAPI)
        for other in UsdPhysics.FilteredPairsAPI(prim).GetFilteredPairsRel().GetTargets()
    }
    pairs = {frozenset((one, other)) for one in ends for other in ends if one != other}
    assert apart == {pair for pair in pairs if len({name.split("_")[0] for name in pair}) == 1}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_side_is_a_panda_of_its_own(layout):
    from zprl.tasks.robots.franka_panda import FRANKA_PANDA

    robot = dual_franka(layout)
    single = FRANKA_PANDA.only_arm()
    terms = [f"{side}_{part}_action" for side in ("left", "right") for part in ("arm", "gripper")]
    assert list(robot.parts) == terms and list(robot.articulations) == ["robot"]
    assert list(robot.cameras) == ["left_wrist", "right_wrist"]
    for side, arm in robot.arms_by_side().items():
        assert (arm.scale, arm.offset, arm.limits, arm.idle) == (single.scale, single.offset, single.limits, [0.0] * 6)
        assert (arm.body, arm.joints) == (f"{side}_panda_hand", [f"{side}_panda_joint.*"])
        gripper = robot.parts[f"{side}_gripper_action"]
        assert isinstance(gripper, GripperCfg) and gripper.open == {f"{side}_panda_finger_joint.*": 0.04}
        assert robot.cameras[f"{side}_wrist"].body == f"robot/{side}_panda_hand"
    assert robot.fingers() == {"robot": ["left_panda_.*finger", "right_panda_.*finger"]}
    assert robot.arm_joints() == {"robot": ["left_panda_joint.*", "right_panda_joint.*"]}


def arms(**changes):
    """Return a robot with two arms, of which the right one has other settings."""
    both = {"joints": ["j"], "body": "b", "offset": (0.0, 0.0, 0.1), "scale": (1.0,) * 6}
    return RobotCfg(
        articulations={},
        parts={"left_arm_action": ArmCfg(**both), "right_arm_action": ArmCfg(**{**both, **changes})},
    )


def test_robots_that_a_task_for_two_arms_cannot_take_are_refused():
    from zprl.tasks.robots.franka_panda import FRANKA_PANDA

    assert list(arms().arms_by_side()) == ["left", "right"]
    with pytest.raises(ZprlError, match=r"left_arm_action and right_arm_action, and this robot has arm_action\.$"):
        FRANKA_PANDA.arms_by_side()
    with pytest.raises(ZprlError, match=r"of one articulation.* are of robot and other\.$"):
        arms(asset_name="other").arms_by_side()
    with pytest.raises(ZprlError, match=r"at the same place .* at \(0\.0, 0\.0, 0\.1\) and \(0\.0, 0\.0, 0\.2\)\.$"):
        arms(offset=(0.0, 0.0, 0.2)).arms_by_side()
