# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What policies see of a task, on the visual lift task: when it is drawn, of which moment, and from where."""

import numpy as np
import pytest
import torch

from zprl.envs.chunk_loop import ChunkLoop
from zprl.envs.lazy_observations import rows_of
from zprl.sim.render import composed
from zprl.utils.errors import ZprlError

from .conftest import VISUAL_TASK, random_actions, visual

pytest.importorskip("zprl._core", reason="the native libraries are not built")
pytestmark = pytest.mark.sim

WORLDS = 6


@pytest.fixture(scope="module")
def env():
    """Give worlds whose front camera tells depth, and whose final observations are told."""

    def configure(cfg):
        cfg.compute_final_obs = True

    overrides = ("env.cameras.front.depth=True", "presets=randomize_images")
    with visual(*overrides, num_envs=WORLDS, configure=configure) as env:
        yield env


@pytest.fixture
def drawn(env, monkeypatch):
    """Give the list of worlds that are drawn in a test."""
    cameras, asked = env._cameras, []
    original = type(cameras)._drawn

    def counted(self, poses, draws, rows):
        asked.append(rows.tolist())
        return original(self, poses, draws, rows)

    monkeypatch.setattr(type(cameras), "_drawn", counted)
    return asked


def test_policies_see_images_and_no_object(env):
    spec = env.spec
    assert {group.name: group.kind for group in spec.groups} == {
        "policy": "state", "privileged": "privileged", "front": "image", "front_depth": "image", "wrist": "image",
    }  # fmt: skip
    assert [str(feature) for feature in spec.group("policy").features] == ["joint_pos[9]", "ee_pose[9]"]
    assert [feature.name for feature in spec.group("privileged").features] == ["object_pose", "object_in_ee_frame"]
    assert spec.group("front").shape == (64, 64, 3) and spec.group("front_depth").shape == (64, 64, 1)
    obs = env.reset(0)
    for group in spec.groups:
        assert obs[group.name].shape == (WORLDS, *group.shape)
        assert str(obs[group.name].dtype) == f"torch.{group.features[0].dtype}"
    depth = obs["front_depth"]
    assert 0.3 < depth.min() < 1.0 and depth.max() == 3.0  # the hand is near, and nothing is as far as the camera sees


def test_images_are_drawn_once_per_chunk(env, drawn):
    loop = ChunkLoop(env)
    loop.begin(env.reset(1))
    assert drawn == [list(range(WORLDS))]
    for _ in range(3):
        for _ in loop.execute(random_actions(env, 4)):
            pass
    assert len(drawn) == 4


def test_the_last_moment_of_an_episode_is_drawn_after_the_reset(env, drawn):
    env.reset(2)
    env.elapsed = torch.tensor([0, 79, 0, 0, 79, 0])  # of 80 steps
    action = random_actions(env, 1)[:, 0]
    step = env.step(action)
    assert step.truncated.tolist() == [False, True, False, False, True, False] and drawn == []
    assert step.final_observations is not None
    last = rows_of(step.final_observations, torch.tensor([1, 4]))
    assert drawn == [[1, 4]]
    fresh = step.observations
    assert (fresh["front"][1] != last["front"][0]).any()
    # The same without an end, from the same states: what was seen before the reset.
    env.reset(2)
    unended = env.step(action).observations
    for name in ("front", "wrist", "front_depth"):
        assert torch.equal(last[name], unended[name][[1, 4]])
        assert torch.equal(fresh[name][[0, 2, 3, 5]], unended[name][[0, 2, 3, 5]])


def test_the_wrist_camera_rides_on_the_hand(env):
    env.reset(3)
    cameras, scene = env._cameras, env.unwrapped.scene
    for _ in range(3):
        env.step(random_actions(env, 1)[:, 0])
    robot = scene["robot"]
    hand = robot.data.body_link_pose_w.torch[:, robot.body_names.index("panda_hand")].numpy()
    mount = cameras._mounts[list(cameras.cfgs).index("wrist")]
    poses = env.unwrapped.obs_buf["scene"]["body_poses"].numpy()
    at = mount.poses(poses, np.zeros((WORLDS, 3), np.float32))
    np.testing.assert_allclose(at, composed(hand, mount.pose), atol=1e-6)


def test_episodes_look_alike_by_their_seeds(env):
    first = env.reset_to([7, 8, 9])
    images = {name: first[name].clone() for name in ("front", "wrist")}
    env.step(random_actions(env, 1)[:, 0])
    again = env.reset_to([7, 8, 9])
    for name, image in images.items():
        assert torch.equal(again[name], image)
    other = env.reset(4)["front"]
    assert (other[0] != other[1]).float().mean() > 0.9  # light, colours and camera differ, not only the cube


def test_looks_are_what_they_say(env):
    from zprl.sim.isaaclab.cameras.appearance import Appearance, AppearanceCfg

    images = torch.zeros(2, 8, 8, 3, dtype=torch.uint8)
    images[:, 3, 4] = 200
    size = Appearance.size(2, 1)

    def changed(part, value, **cfg):
        draws = torch.zeros(2, size)
        draws[1, part] = value
        return Appearance(AppearanceCfg(**cfg), draws, 2, 1)

    start = 3 + 3 * 2 + 6
    brighter = changed(start, 1.0, brightness=0.2).images(images, 0)
    assert torch.equal(brighter[0], images[0]) and brighter[1, 0, 0, 0] == 51 and brighter[1, 3, 4, 0] == 251
    flat = changed(start + 1, -1.0, contrast=1.0).images(images, 0)
    assert torch.equal(flat[0], images[0]) and (flat[1] == round(200 / 64)).all()
    moved = changed(slice(start + 2, start + 4), torch.tensor([1.0, -1.0]), shift=0.25).images(images, 0)
    assert torch.equal(moved[0], images[0]) and moved[1, 1, 6, 0] == 200 and moved[1].sum() == 600
    blurred = changed(start + 4, 1.0, blur=1.0).images(images, 0)[1, :, :, 0].double()
    assert abs(blurred.sum() - 200) < 8 and blurred[3, 4] == pytest.approx(200 / (2 * np.pi), rel=0.05)
    colors = changed(slice(3, 9), 1.0, color=0.1).colors(np.full((2, 3), 0.95, np.float32))
    np.testing.assert_allclose(colors, [[[0.95] * 3] * 2, [[1.0] * 3] * 2])
    lights = changed(slice(0, 3), torch.tensor([0.0, 0.0, 1.0]), light_angle=90.0).lights()
    np.testing.assert_allclose(lights, [[-1, 1, -1], [-1, -1, -1]], atol=1e-6)
    pose = np.array([[1, 2, 3, 0, 0, 0, 1]] * 2, np.float32)
    there = changed(slice(9, 15), torch.tensor([1.0, 0, 0, 0, 0, 1.0]), camera_position=0.1, camera_angle=90.0)
    np.testing.assert_allclose(there.camera_poses(pose, 0), [pose[0], [1.1, 2, 3, 0, 0, 0.5**0.5, 0.5**0.5]], atol=1e-6)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["env.cameras.front.width=0"], "camera front has images of 0 x 64 pixels; set env.cameras.front.width"),
        (["env.cameras.wrist.field_of_view=180.0"], "env.cameras.wrist.field_of_view is 180.0; it is an angle"),
        (["env.cameras.front.near=9.0"], "the camera front sees from 9.0 to 3.0 m"),
        (["env.renderer.samples=3"], "env.renderer.samples is 1 or 2"),
        (["physics=ovphysx"], "the chosen physics has none; choose physics=mujoco"),
        (["renderer=rtx"], "its presets are .*native, .*newton_renderer"),
    ],
)
def test_cameras_that_are_refused(overrides, message):
    from zprl.runs.session import TaskSession

    with pytest.raises(ZprlError, match=message):
        TaskSession(VISUAL_TASK, "cpu", overrides)
