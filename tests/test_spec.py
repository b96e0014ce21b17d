# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a task's policies see and do: files hold it, and what was made for another task is refused in one sentence."""

import dataclasses
import json
import math
import re

import pytest
import torch

from zprl.spec import ActionTerm, Feature, Group, TaskSpec
from zprl.utils.errors import ZprlError

POLICY = Group.vector("policy", [("joints", 2), ("left_pose", 9), ("right_pose", 9)])
CAMERA = Group("camera", (Feature("camera", (8, 6, 3), "image", "uint8"),))
STATE = Group.vector("truth", [("mass", 1)], "privileged")
ARM = ActionTerm("arm", (-1.0, -2.0), (1.0, math.inf), (0.0, 0.5))
GRIPPER = ActionTerm.uniform("gripper", 1, idle=1.0)
SPEC = TaskSpec("Two-Arms", (POLICY, CAMERA, STATE), (ARM, GRIPPER), 0.05, ("right_pose", "left_pose"))


def but(**changes):
    return dataclasses.replace(SPEC, **changes)


# -- files


def test_json_brings_it_back():
    history = Group("history", (Feature("force", (3,), history=4),))
    spec = but(groups=(*SPEC.groups, history))
    text = json.dumps(spec.to_dict(), allow_nan=False)
    back = TaskSpec.from_dict(json.loads(text))
    assert back == spec
    assert back.to_dict() == spec.to_dict()
    assert back.actions[0].high == (1.0, math.inf)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda values: values.pop("step_dt"), KeyError),
        (lambda values: values["groups"][0]["features"][0].pop("shape"), KeyError),
        (lambda values: values.update(groups=5), TypeError),
        (lambda values: values.update(step_dt="fast"), TypeError),
        (lambda values: values["groups"][0]["features"][0].update(kind="smell"), ZprlError),
        (lambda values: values["actions"][0]["low"].pop(), ZprlError),
    ],
)
def test_a_damaged_one_is_an_error(change, error):
    values = SPEC.to_dict()
    change(values)
    with pytest.raises(error):
        TaskSpec.from_dict(values)


# -- groups and features


def test_sizes_and_places():
    assert POLICY.shape == (20,)
    assert POLICY.slices() == {"joints": slice(0, 2), "left_pose": slice(2, 11), "right_pose": slice(11, 20)}
    assert CAMERA.shape == (8, 6, 3)
    assert Group("camera", (Feature("camera", (8, 6, 3), "image", "uint8", 2),)).shape == (2, 8, 6, 3)
    assert Group("force", (Feature("force", (3,), history=4), Feature("temperature", (1,)))).shape == (13,)
    assert [group.kind for group in SPEC.groups] == ["state", "image", "privileged"]
    assert [group.is_image for group in SPEC.groups] == [False, True, False]
    assert SPEC.find("right_pose") == ("policy", slice(11, 20))
    assert SPEC.find("mass") == ("truth", slice(0, 1))
    assert SPEC.find("camera") is None


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ((), "it holds none"),
        ((Feature("a", (1,)), Feature("b", (1,), "privileged")), "a (state), b (privileged)"),
        ((Feature("a", (1,), "smell"),), "a (smell)"),
        ((Feature("a", (4, 4, 3), "image", "uint8"),) * 2, "a (image), a (image)"),
    ],
)
def test_a_group_of_mixed_or_unknown_kinds_is_refused(features, words):
    with pytest.raises(ZprlError, match=re.escape(words)):
        Group("group", features)


def test_a_policy_that_sees_some_groups():
    assert SPEC.seen_by(["camera", "policy"]).groups == (CAMERA, POLICY)
    with pytest.raises(ZprlError, match="no observation group 'depth', which the policy needs; it has policy, camera"):
        SPEC.seen_by(["depth"])


def test_zeros_have_the_shapes_and_types():
    zeros = SPEC.zeros(4)
    assert {name: (tuple(value.shape), value.dtype) for name, value in zeros.items()} == {
        "policy": ((4, 20), torch.float32),
        "camera": ((4, 8, 6, 3), torch.uint8),
        "truth": ((4, 1), torch.float32),
    }


def test_positions_of_the_tracked_points_in_the_order_of_the_arms():
    obs = SPEC.zeros(2)
    obs["policy"][:] = torch.arange(40.0).view(2, 20)
    positions = SPEC.positions(obs)
    assert positions is not None
    assert positions.tolist() == [[[11, 12, 13], [2, 3, 4]], [[31, 32, 33], [22, 23, 24]]]
    assert but(tracked=()).positions(obs) is None
    with pytest.raises(ZprlError, match="tracks the feature elbow, which it does not observe"):
        but(tracked=("elbow",)).positions(obs)


def test_positions_of_the_joints():
    obs = SPEC.zeros(2)
    obs["policy"][:] = torch.arange(40.0).view(2, 20)
    one, other = SPEC.groups[0].features[0].name, SPEC.groups[0].features[-1].name
    joints = but(joints=(other, one)).joint_positions(obs)
    places = [SPEC.groups[0].slices()[name] for name in (other, one)]
    assert joints is not None
    assert torch.equal(joints, torch.cat([obs["policy"][:, place] for place in places], dim=1))
    assert SPEC.joint_positions(obs) is None
    with pytest.raises(ZprlError, match="tracks the feature knee, which it does not observe"):
        but(joints=("knee",)).joint_positions(obs)


def test_files_of_before_joints_were_named_are_read():
    named = but(joints=(SPEC.groups[0].features[0].name,))
    assert TaskSpec.from_dict(named.to_dict()) == named
    before = SPEC.to_dict()
    del before["joints"]
    assert TaskSpec.from_dict(before) == SPEC


# -- actions


def test_actions():
    assert SPEC.action_dim == 3
    low, high = SPEC.action_limits()
    assert (low.tolist(), high.tolist()) == ([-1.0, -2.0, -1.0], [1.0, math.inf, 1.0])
    assert SPEC.idle_action().tolist() == [0.0, 0.5, 1.0]
    actions = SPEC.random_actions(1000, torch.Generator().manual_seed(0))
    assert actions.shape == (1000, 3)
    for column, bottom, top in zip(actions.T, (-1.0, -2.0, -1.0), (1.0, 1.0, 1.0), strict=True):
        assert bottom <= column.min() < bottom + 0.05
        assert top - 0.05 < column.max() <= top


def test_a_term_of_other_numbers_of_limits_is_refused():
    with pytest.raises(ZprlError, match="2 lower limits, 1 upper limits and 2 idle values"):
        ActionTerm("arm", (0.0, 0.0), (1.0,), (0.0, 0.0))


# -- matching


def test_what_was_made_for_the_same_matches():
    SPEC.require_match(SPEC, "the file")
    SPEC.require_match(TaskSpec.from_dict(json.loads(json.dumps(SPEC.to_dict()))), "the file")
    SPEC.require_match(but(groups=(POLICY,), tracked=()), "the file")  # a task may observe more


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (but(task="One-Arm"), "the file belongs to task One-Arm, not to Two-Arms; pass --task One-Arm."),
        (
            but(groups=(POLICY, Group.vector("touch", [("force", 3)]))),
            "task Two-Arms has no observation group 'touch', which the file needs; it has policy, camera, truth.",
        ),
        (
            but(groups=(Group.vector("policy", [("joints", 2), ("left_pose", 7)]),)),
            "the file was made for observation terms joints[2], left_pose[7] of group policy, but task Two-Arms has "
            "joints[2], left_pose[9], right_pose[9]; use the configuration it was made with or make it anew.",
        ),
        (
            but(groups=(Group("camera", (Feature("camera", (4, 4, 3), "image", "uint8"),)),)),
            "the file was made for observation terms camera[4x4x3 uint8, image] of group camera, but task Two-Arms has "
            "camera[8x6x3 uint8, image]; use the configuration it was made with or make it anew.",
        ),
        (
            but(actions=(ARM,)),
            "the file was made for action terms arm[2], but task Two-Arms has arm[2], gripper[1]; use the "
            "configuration it was made with or make it anew.",
        ),
        (
            but(actions=(ARM, ActionTerm.uniform("gripper", 1, low=0.0, idle=1.0))),
            "the file was made for action terms arm[2] in [[-1.0, -2.0], [1.0, inf]] idling at [0.0, 0.5], gripper[1] "
            "in [[0.0], [1.0]] idling at [1.0], but task Two-Arms has arm[2] in [[-1.0, -2.0], [1.0, inf]] idling at "
            "[0.0, 0.5], gripper[1] in [[-1.0], [1.0]] idling at [1.0]; use the configuration it was made with or make "
            "it anew.",
        ),
        (
            but(step_dt=0.02),
            "the file was made for a control period of 0.02 s, but task Two-Arms runs at 0.05 s; use the configuration "
            "it was made with or make it anew.",
        ),
    ],
)
def test_what_was_made_for_something_else_is_refused_in_one_sentence(other, sentence):
    with pytest.raises(ZprlError) as info:
        SPEC.require_match(other, "the file")
    assert str(info.value) == sentence


def test_images_of_another_renderer_are_refused_unless_any_will_do():
    def drawn(renderer):
        return but(groups=(Group("camera", (Feature("camera", (8, 6, 3), "image", "uint8", renderer=renderer),)),))

    with pytest.raises(ZprlError) as info:
        drawn("native").require_match(drawn("newton_renderer"), "the file")
    assert str(info.value) == (
        "the file was made for images camera by the newton_renderer renderer, and task Two-Arms draws them by the "
        "native one, which look different; choose renderer=newton_renderer, or pass env.any_renderer=True to use it "
        "nevertheless."
    )
    for ours, theirs in (("native", "native"), ("", "native"), ("native", ""), ("", "")):
        drawn(ours).require_match(drawn(theirs), "the file")
    assert TaskSpec.from_dict(drawn("native").to_dict()) == drawn("native")
    before = drawn("").to_dict()  # as files of before hold it
    del before["groups"][0]["features"][0]["renderer"]
    assert TaskSpec.from_dict(before) == drawn("")


@pytest.mark.parametrize(
    "other",
    [
        Feature("b", (1,)),
        Feature("a", (2,)),
        Feature("a", (1,), "privileged"),
        Feature("a", (1,), "image"),
        Feature("a", (1,), dtype="float64"),
        Feature("a", (1,), history=2),
    ],
)
def test_a_refusal_names_what_differs(other):
    """What is printed of both must differ, or nobody would understand it."""
    ours, theirs = (but(groups=(Group("policy", (feature,)),)) for feature in (Feature("a", (1,)), other))
    with pytest.raises(ZprlError) as info:
        ours.require_match(theirs, "the file")
    match = re.search(r"observation terms (.*) of group policy, but task Two-Arms has (.*); use", str(info.value))
    assert match is not None
    assert match[1] != match[2]
