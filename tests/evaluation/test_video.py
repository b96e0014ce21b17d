# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Videos: files of every format, and pictures of the simulator without a display."""

import numpy as np
import pytest
import torch
from PIL import Image

from zprl.evaluation.video import (
    FORMATS,
    Episode,
    View,
    add_video_camera,
    record_episodes,
    side_by_side,
    single,
    write_video,
)
from zprl.utils.errors import ZprlError


def episode(length, success, size=(48, 64)):
    """Return an episode whose pictures get brighter."""
    return Episode([np.full((*size, 3), 10 * i, dtype=np.uint8) for i in range(length)], success)


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format(tmp_path, suffix):
    path = write_video(tmp_path / "below" / f"video{suffix}", single([episode(12, True)]))
    assert path.stat().st_size > 0
    if suffix == ".mp4":
        from moviepy.editor import VideoFileClip

        with VideoFileClip(str(path)) as clip:
            assert clip.size == [64, 48]
            assert clip.duration == pytest.approx((12 + 8) / 20, abs=0.06)
    else:
        with Image.open(path) as picture:
            assert picture.size == ((6 * 64, 48) if suffix == ".png" else (64, 48))


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


@pytest.mark.sim
def test_recording_shows_robot_and_cube():
    from zprl.sim.isaaclab import configure_runtime, launched, make_env, quiet_simulator, resolve_task

    view = View(width=120, height=90, supersampling=1)
    configure_runtime("cpu")
    env_cfg, _ = resolve_task("Zprl-Lift-Franka", None, ["env.scene.num_envs=1"])
    env_cfg.episode_length_s = 0.4
    env_cfg.seed = 0
    add_video_camera(env_cfg, view)
    with quiet_simulator(), launched(env_cfg, "cpu"):
        env = make_env("Zprl-Lift-Franka", env_cfg)
        chunk = torch.zeros(1, 3, 7)
        chunk[..., 0] = 1.0
        starts = []
        episodes = [
            record_episodes(env, lambda env: chunk, 2, seed=4, view=view, on_reset=lambda: starts.append(None))
            for _ in range(2)
        ]
        env.close()
    assert len(starts) == 4
    first, again = episodes
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
