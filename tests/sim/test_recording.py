# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a recorder keeps of observations of several groups; no simulator runs."""

import io
from types import SimpleNamespace
from typing import Any

import h5py
import pytest
import torch

from isaaclab.utils.datasets import EpisodeData

from zprl.sim.isaaclab.recording import InMemoryHDF5File, ObservationTermsRecorder
from zprl.utils.errors import ZprlError

GROUPS = {"policy": {"joint_pos": 3, "ee_pose": 2}, "critic": {"friction": 1}}


def recorder(images, groups=GROUPS):
    """Return a recorder of vectors that count through their elements, and of images, in two worlds."""
    env = SimpleNamespace(
        cfg=SimpleNamespace(),
        obs_buf={
            **{name: torch.arange(sum(t.values())).float().repeat(2, 1) for name, t in groups.items()},
            "cameras": images,
        },
        observation_manager=SimpleNamespace(
            active_terms={**{name: list(terms) for name, terms in groups.items()}, "cameras": list(images)},
            group_obs_term_dim={name: [(size,) for size in terms.values()] for name, terms in groups.items()},
        ),
    )
    term = ObservationTermsRecorder.__new__(ObservationTermsRecorder)
    term._env = env  # type: ignore[assignment]
    return term


def test_every_term_of_every_group_is_recorded_in_its_own_type(tmp_path):
    image = torch.randint(0, 255, (2, 4, 5, 3), dtype=torch.uint8)
    key, values = recorder({"front": image}).record_pre_step()
    assert key == "obs"
    assert list(values) == ["joint_pos", "ee_pose", "friction", "front"]
    assert values["ee_pose"].tolist() == [[3.0, 4.0]] * 2
    assert values["friction"].tolist() == [[0.0]] * 2
    assert values["front"].dtype == torch.uint8 and torch.equal(values["front"], image)

    episode = EpisodeData()
    for _ in range(3):
        episode.add(key, {name: value[1] for name, value in values.items()})
    episode.pre_export()
    handler = InMemoryHDF5File()
    handler.create(str(tmp_path / "unwritten.hdf5"), "Test")
    handler.write_episode(episode)
    with h5py.File(io.BytesIO(handler.image({}))) as file:
        front = file["data/demo_0/obs/front"]
        assert (front.dtype, front.shape) == ("uint8", (3, 4, 5, 3))  # pyright: ignore
        assert (front[2] == image[1].numpy()).all()  # pyright: ignore
        assert file["data/demo_0/obs/ee_pose"].dtype == "float32"  # pyright: ignore
    handler.close()


def test_next_observations_are_the_following_ones_and_end_with_the_last_of_the_episode(tmp_path):
    image = torch.randint(0, 255, (2, 4, 5, 3), dtype=torch.uint8)
    term, episode = recorder({"front": image}), EpisodeData()
    for _ in range(3):
        term._env.obs_buf["policy"] += 10  # type: ignore[operator]
        key, values = term.record_pre_step()
        episode.add(key, {name: value[1] for name, value in values.items()})
    term._env.obs_buf["policy"] += 5  # type: ignore[operator]
    key, values = term.record_pre_reset([1])
    episode.add(key, {name: value[0] for name, value in values.items()})
    episode.pre_export()
    handler = InMemoryHDF5File()
    handler.create(str(tmp_path / "unwritten.hdf5"), "Test")
    handler.write_episode(episode)
    with h5py.File(io.BytesIO(handler.image({}))) as file:
        demo: Any = file["data/demo_0"]
        assert set(demo) == {"obs", "next_obs"}
        assert demo["obs/ee_pose"][:, 0].tolist() == [13, 23, 33]
        assert demo["next_obs/ee_pose"][:, 0].tolist() == [23, 33, 38]
        assert demo["next_obs/front"].dtype == "uint8" and (demo["next_obs/front"][2] == image[1].numpy()).all()
    handler.close()


def test_two_terms_of_one_name_are_refused():
    with pytest.raises(ZprlError, match=r"group critic has a term ee_pose, and so has another group"):
        recorder({}, {**GROUPS, "critic": {"ee_pose": 2}}).record_pre_step()
