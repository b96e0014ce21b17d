# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What counts as success, in states that are placed by hand; no simulator runs."""

import math
from types import SimpleNamespace

import pytest
import torch

from zprl.tasks import mdp

DOWN = [1.0, 0.0, 0.0, 0.0]


class Ripe(mdp.HeldTerm):
    """What has been ripe for 0.06 s."""

    def __call__(self, env, now):
        return self.held(torch.tensor(now), 0.06)


def test_what_has_been_so_for_a_while_without_a_break():
    term = Ripe(SimpleNamespace(params={}), SimpleNamespace(num_envs=3, device="cpu", step_dt=0.02))  # type: ignore
    with torch.inference_mode():
        found = [term(None, now).tolist() for now in ([1, 1, 1], [1, 1, 0], [1, 1, 1], [1, 0, 1], [1, 1, 1])]
    assert found == [[False] * 3, [False] * 3, [True, True, False], [True, False, False], [True, False, True]]
    term.reset(torch.tensor([0]))  # outside of inference mode, as an environment may be reset
    assert term(None, [1, 1, 1]).tolist() == [False, False, True]
    term.reset()
    assert not term(None, [1, 1, 1]).any()


def world(pos, hand, velocity, quat):
    """Return a world with an object, a hand whose finger tips are 0.1 m below it, and a cup."""

    def data(**fields):
        values = {name: SimpleNamespace(torch=torch.tensor(value)) for name, value in fields.items()}
        return SimpleNamespace(data=SimpleNamespace(**values))

    class Scene(dict):
        env_origins = torch.tensor([[0.0, 0.0, 0.0]])

    above = [hand[0], hand[1], hand[2] + 0.1]
    turned = [0.0, 0.0, math.sin(0.5), math.cos(0.5)]  # 1 rad about the z axis
    scene = Scene(
        object=data(root_pos_w=[list(pos)], root_lin_vel_w=[list(velocity)], root_quat_w=[quat]),
        robot=data(body_link_pos_w=[[above]], body_link_quat_w=[[DOWN]]),
        cup=data(root_pos_w=[[0.5, 0.2, 0.1]], root_quat_w=[turned]),
    )
    return SimpleNamespace(scene=scene, device="cpu", num_envs=1)


def placed(pos, hand, velocity=(0.0, 0.0, 0.0), quat=DOWN, **params):
    """Return whether an object counts as placed."""
    result = mdp.object_placed(
        world(pos, hand, velocity, quat),  # type: ignore[arg-type]
        low=(0.6, 0.38, -0.112),
        high=(0.795, 0.625, -0.012),
        release_distance=0.0424,
        max_speed=0.05,
        asset_cfg=SimpleNamespace(name="robot", body_ids=[0]),  # type: ignore[arg-type]
        offset=(0.0, 0.0, 0.1),
        **params,
    )
    return result.item()


@pytest.mark.parametrize(
    ("pos", "hand", "velocity", "expected"),
    [
        ((0.66, 0.45, -0.052), (0.66, 0.45, 0.1), (0.0, 0.0, 0.0), True),
        ((0.601, 0.381, -0.1119), (0.66, 0.45, 0.1), (0.02, 0.0, -0.04), True),
        ((0.599, 0.45, -0.052), (0.66, 0.45, 0.1), (0.0, 0.0, 0.0), False),  # just short, at each face
        ((0.66, 0.379, -0.052), (0.66, 0.45, 0.1), (0.0, 0.0, 0.0), False),
        ((0.66, 0.45, -0.011), (0.66, 0.45, 0.1), (0.0, 0.0, 0.0), False),
        ((0.796, 0.45, -0.052), (0.66, 0.45, 0.1), (0.0, 0.0, 0.0), False),
        ((0.66, 0.45, -0.052), (0.66, 0.45, -0.052), (0.0, 0.0, 0.0), False),  # still in the hand
        ((0.66, 0.45, -0.052), (0.66, 0.45, -0.01), (0.0, 0.0, 0.0), False),
        ((0.66, 0.45, -0.052), (0.66, 0.45, -0.009), (0.0, 0.0, 0.0), True),
        ((0.66, 0.45, -0.052), (0.66, 0.45, 0.1), (0.0, 0.06, 0.0), False),  # thrown through
        ((0.66, 0.45, -0.052), (0.66, 0.45, 0.1), (0.0, 0.04, -0.04), False),
        ((float("nan"), 0.45, -0.052), (0.66, 0.45, 0.1), (0.0, 0.0, 0.0), False),
    ],
)
def test_an_object_is_placed(pos, hand, velocity, expected):
    assert placed(pos, hand, velocity) is expected


def test_an_object_is_placed_in_the_frame_of_a_fixture():
    # (0.7, 0.5, -0.05) in the frame of the cup, which stands at (0.5, 0.2, 0.1) and is turned by 1 rad.
    x = 0.5 + 0.7 * math.cos(1) - 0.5 * math.sin(1)
    y = 0.2 + 0.7 * math.sin(1) + 0.5 * math.cos(1)
    cup = SimpleNamespace(name="cup")
    assert placed((x, y, 0.05), (x, y, 0.5), frame_cfg=cup)
    assert not placed((x - 0.2, y, 0.05), (x, y, 0.5), frame_cfg=cup)
    assert not placed((0.7, 0.5, -0.05), (x, y, 0.5), frame_cfg=cup)


def test_an_object_may_be_held_elsewhere_than_at_its_centre():
    handle = (0.66 + 0.06, 0.45, -0.052)
    assert placed((0.66, 0.45, -0.052), handle)
    assert not placed((0.66, 0.45, -0.052), handle, grasp_point=(0.06, 0.0, 0.0))


def test_an_object_that_has_toppled_is_not_placed():
    pos, hand = (0.66, 0.45, -0.052), (0.66, 0.45, 0.1)
    for angle, expected in ((0.0, True), (0.19, True), (0.21, False), (math.pi / 2, False), (math.pi, False)):
        tilted = [math.sin(angle / 2) * 0.6, math.sin(angle / 2) * 0.8, 0.0, math.cos(angle / 2)]
        assert placed(pos, hand, quat=tilted, least_upright=0.98) is expected  # acos(0.98) = 0.2003
        assert placed(pos, hand, quat=tilted)


@pytest.mark.parametrize(
    ("pos", "hand", "velocity", "expected"),
    [
        ((0.5, 0.2, 0.02), (0.5, 0.2, 0.1), (0.0, 0.0, 0.0), True),
        ((0.542, 0.256, 0.02), (0.5, 0.2, 0.1), (0.0, 0.0, 0.0), True),  # 0.07 m away
        ((0.543, 0.257, 0.02), (0.5, 0.2, 0.1), (0.0, 0.0, 0.0), False),
        ((0.5, 0.2, 0.02), (0.5, 0.2, 0.06), (0.0, 0.0, 0.0), False),  # in the hand
        ((0.5, 0.2, 0.02), (0.5, 0.2, 0.1), (0.06, 0.0, 0.0), False),  # pushed past it
    ],
)
def test_an_object_is_near_its_target(pos, hand, velocity, expected):
    env = world(pos, hand, velocity, DOWN)
    found = mdp.object_within(
        env,  # type: ignore[arg-type]
        distance=0.07001,
        target_cfg=SimpleNamespace(name="cup"),  # type: ignore[arg-type]
        release_distance=0.0424,
        max_speed=0.05,
        asset_cfg=SimpleNamespace(name="robot", body_ids=[0]),  # type: ignore[arg-type]
        offset=(0.0, 0.0, 0.1),
    )
    assert found.item() is expected
