# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Videos: files of every format, and pictures of the simulator without a display."""

import resource
import tempfile

import numpy as np
import pytest
import torch
from PIL import Image
from tests.fakes import CountingPolicy, ScriptedEnv, world

from zprl.evaluation.video import (
    FORMATS,
    Episode,
    record_episode,
    side_by_side,
    write_video,
)
from zprl.steering import ChunkPolicy
from zprl.utils.errors import ZprlError


def episode(length, success, size=(48, 64)):
    """Return an episode whose pictures get brighter."""
    return Episode([np.full((*size, 3), 10 * i, dtype=np.uint8) for i in range(length)], success)


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format(tmp_path, suffix):
    path = write_video(tmp_path / "below" / f"video{suffix}", side_by_side([episode(12, True)], labels=[""]))
    assert path.stat().st_size > 0
    if suffix == ".mp4":
        from moviepy.editor import VideoFileClip

        with VideoFileClip(str(path)) as clip:
            assert clip.size == [64, 48]
            assert clip.duration == pytest.approx((12 + 8) / 20, abs=0.06)
    else:
        with Image.open(path) as picture:
            assert picture.size == ((6 * 64, 48) if suffix == ".png" else (64, 48))


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_a_picture_that_would_be_too_large_is_made_of_smaller_ones(tmp_path, suffix):
    noise = list(np.random.default_rng(0).integers(0, 255, (8, 48, 64, 3), dtype=np.uint8))
    whole = write_video(tmp_path / f"whole{suffix}", noise).stat().st_size
    for share, size in ((1.0, (64, 48)), (0.7, (48, 36)), (1e-3, (16, 12))):
        path = write_video(tmp_path / f"small{suffix}", noise, most_bytes=int(share * whole))
        with Image.open(path) as picture:
            assert picture.size == size


def test_a_full_folder_for_temporary_files_leaves_no_half_video(tmp_path, monkeypatch):
    """The encoder needs one to go back in its file; a limit of the file's size stands for the full disk."""
    frames = list(np.random.default_rng(0).integers(0, 255, (4, 240, 320, 3), dtype=np.uint8))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(ZprlError, match=rf"could not be encoded in {tmp_path}/tmp \(.*\); free some space there"):
            write_video(tmp_path / "video.mp4", frames)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.rglob("*")] == ["tmp"]


def test_unknown_format(tmp_path):
    with pytest.raises(ZprlError, match="must end in"):
        write_video(tmp_path / "video.avi", [])


def test_the_shorter_episode_waits():
    frames = side_by_side([episode(3, True)], [episode(5, False)], labels=["base", "steered"], pause=2)
    assert len(frames) == 5 + 2
    assert frames[0].shape == (48, 2 * 64, 3)
    bottom = [frame[-1, 5] for frame in frames]  # left column, below the text
    assert [int(pixel[0]) for pixel in bottom] == [0, 10, 20, 20, 20, 20, 20]


def test_columns_must_match():
    with pytest.raises(ValueError, match="zip"):
        side_by_side([episode(3, True)], [], labels=["base", "steered"])


def test_an_episode_is_recorded_until_the_state_before_its_end():
    """The first world's episodes: one that succeeds with its fourth step, and one that runs out of time with its first.

    A chunk has three actions; what the rest of the chunk does belongs to no episode.
    """
    nothing, end = [world(), world(success=True)], [world(success=True), world()]
    env = ScriptedEnv(nothing, nothing, nothing, end, nothing, nothing, [world(time_out=True), world()], end)
    policy = CountingPolicy()
    pictures = (np.full((1, 1, 3), i, dtype=np.uint8) for i in range(100))
    seeds = []
    planner = ChunkPolicy(policy, policy.act)
    first, second = (record_episode(env, planner, lambda: next(pictures), seed, seeds.append) for seed in (4, 5))
    assert (len(first.frames), first.success) == (1 + 3, True)
    assert (len(second.frames), second.success) == (1, False)
    assert [int(frame[0, 0, 0]) for frame in first.frames + second.frames] == list(range(5))
    assert env.seeds == seeds == [4, 5]


@pytest.mark.sim
def test_recording_shows_robot_and_cube():
    from zprl.runs.session import TaskSession
    from zprl.sim.isaaclab.camera import View, add_video_camera, capture

    view = View(width=120, height=90, supersampling=1)
    session = TaskSession("Zprl-Lift-Franka", overrides=["env.episode_length_s=0.4"])
    with session.launched(), session.isaaclab_environment(1, lambda cfg: add_video_camera(cfg, view)) as env:
        right = torch.zeros(1, 3, 7)
        right[..., 0] = 1.0
        planner = ChunkPolicy(CountingPolicy(env.spec), lambda plan: right)
        starts = []
        first, again = (
            [record_episode(env, planner, lambda: capture(env.unwrapped, view), seed, starts.append) for seed in (4, 5)]
            for _ in range(2)
        )
    assert starts == [4, 5, 4, 5]
    assert [len(e.frames) for e in first] == [8, 8]  # the initial state and 7 steps; the 8th ends the episode
    assert not any(e.success for e in first)
    frame = first[0].frames[0]
    assert frame.shape == (90, 120, 3)
    red, green, blue = (frame[..., i].astype(int) for i in range(3))
    assert 20 < ((red > green + 60) & (red > blue + 60)).sum() < 400  # the cube
    assert ((red > 150) & (abs(red - blue) < 20)).sum() > 1000  # the robot before the background
    assert not np.array_equal(first[0].frames[0], first[0].frames[-1])
    assert not np.array_equal(first[0].frames[0], first[1].frames[0])  # another seed, another place of the cube
    # The same seed shows the same episode, whichever policy acted before.
    np.testing.assert_array_equal(first[1].frames, again[1].frames)
