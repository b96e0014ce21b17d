# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What cameras see by either renderer and in a recording, each in worlds of its own."""

from typing import Any

import h5py
import numpy as np
import pytest

from zprl.utils.errors import ZprlError

from .conftest import VISUAL_TASK, random_actions, visual

pytest.importorskip("zprl._core", reason="the native libraries are not built")
pytestmark = pytest.mark.sim


def test_newton_sees_the_same():
    """Depth within a millimetre but for silhouettes, and colours alike, by both cameras of the task."""
    shown = ("env.cameras.front.depth=True", "env.cameras.wrist.depth=True")
    images = {}
    for renderer in ("native", "newton_renderer"):
        plain = ("env.renderer.samples=1", "env.renderer.shadows=False") if renderer == "native" else ()
        with visual(f"renderer={renderer}", *shown, *plain, num_envs=2) as other:
            other.reset(5)
            obs = other.step(random_actions(other, 1)[:, 0]).observations
            images[renderer] = {name: obs[name].float() for name in ("front", "front_depth", "wrist", "wrist_depth")}
    for camera in ("front", "wrist"):
        native, newton = (images[name][f"{camera}_depth"][..., 0] for name in images)
        near = (native - newton).abs() < 1e-3
        assert near.float().mean() > 0.97
        assert (images["native"][camera] - images["newton_renderer"][camera]).abs().mean() < 2.0


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Give a data set of two episodes, what its worlds saw (image, whether they ended) per step, and their spec."""
    from zprl.sim.isaaclab.recording import collect_demonstrations, record_into_memory
    from zprl.tasks.experts import make_expert

    path, seen = tmp_path_factory.mktemp("recording") / "demos.hdf5", []
    with visual(num_envs=2, configure=lambda cfg: record_into_memory(cfg, VISUAL_TASK)) as env:
        expert = make_expert(VISUAL_TASK, env.unwrapped, "expert", 0)
        original = env.step

        def watched(action):
            step = original(action)
            seen.append((step.observations["front"].clone(), (step.terminated | step.truncated).clone()))
            return step

        env.step = watched
        collect_demonstrations(env, expert, path, 2, "expert", 0)
        spec = env.spec
    return path, seen, spec


def test_a_recording_holds_what_was_seen(recording):
    from zprl.data import load_demonstrations

    path, seen, spec = recording
    demos = load_demonstrations(path)
    assert demos.spec == spec and [demo.success for demo in demos.episodes] == [True, True]
    for world, demo in enumerate(demos.episodes):
        frames, steps = demo.observations["front"], len(demo.actions)
        assert frames.dtype == np.uint8 and frames.shape == (steps, 64, 64, 3)
        for step in range(1, steps):
            np.testing.assert_array_equal(frames[step], seen[step - 1][0][world])
        assert seen[steps - 1][1][world]
    with h5py.File(path) as file:
        group: Any = file["data/demo_0"]
        images, following = group["obs/front"], group["next_obs/front"]
        assert images.chunks == (1, 64, 64, 3) and images.compression == "gzip"
        np.testing.assert_array_equal(following[:-1], images[1:])
        assert (following[-1] != images[-1]).any()


def test_robomimic_reads_a_recording(recording):
    """By its own class, where it is installed."""
    pytest.importorskip("robomimic", reason="robomimic is not installed")
    from robomimic.utils import obs_utils  # type: ignore[import-not-found]
    from robomimic.utils.dataset import SequenceDataset  # type: ignore[import-not-found]

    from zprl.data import load_demonstrations

    modalities = {"low_dim": ["joint_pos", "ee_pose"], "rgb": ["front", "wrist"]}
    obs_utils.initialize_obs_utils_with_obs_specs([{"obs": modalities}])
    keys = [name for names in modalities.values() for name in names]
    sequences = SequenceDataset(
        str(recording[0]), obs_keys=keys, dataset_keys=("actions", "rewards", "dones"), frame_stack=2, seq_length=3
    )
    demos = load_demonstrations(recording[0])
    assert len(sequences) == sum(len(demo.actions) for demo in demos.episodes)
    first, start = demos.episodes[0], 5
    read, steps = sequences[start], slice(start - 1, start + 3)  # the stacked frame comes before
    np.testing.assert_array_equal(read["actions"], first.actions[steps])
    state = np.concatenate([read["obs"][name] for name in modalities["low_dim"]], axis=1)
    np.testing.assert_array_equal(state, first.observations["policy"][steps])
    for name in modalities["rgb"]:
        assert read["obs"][name].dtype == np.uint8
        np.testing.assert_array_equal(read["obs"][name], first.observations[name][steps])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["env.cameras.wrist.body=robot/panda_foot"], "rides on the body robot/panda_foot, of which the scene has 0"),
        (["env.cameras.front.eye=[0.46,0.0,0.13]"], "the camera front makes no sense: a camera at .* cannot look at"),
        (["renderer=newton_renderer", "env.appearance.color=0.1"], "draws with the light and the colours of the model"),
    ],
)
def test_scenes_that_are_refused(overrides, message):
    with pytest.raises(ZprlError, match=message), visual(*overrides, num_envs=1):
        pass


@pytest.mark.parametrize("family", ["Can", "Square", "PushWall", "BoxClose", "PlaceOrange"])
def test_the_object_is_seen_where_episodes_begin(family):
    """Without a look at it, nobody could find it: some pixels differ where it alone stands elsewhere."""
    with visual(num_envs=2, task=f"Zprl-{family}-Franka-Visual") as env:
        env.reset(0)
        scene, before = env.unwrapped.scene, dict(env.look(0))
        pose = scene["object"].data.root_link_pose_w.torch.clone()
        pose[0, :2] += 0.03
        scene["object"].write_root_pose_to_sim_index(root_pose=pose)
        env.unwrapped.obs_buf = env.unwrapped.observation_manager.compute()
        after = env.look(0)
        assert (after["front"] != before["front"]).any(dim=-1).sum() > 8
        assert [group.name for group in env.spec.groups] == ["policy", "privileged", "front", "wrist"]
