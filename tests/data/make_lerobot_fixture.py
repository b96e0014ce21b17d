# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Write ``lerobot_fixture`` by LeRobot's own class, in an environment that has LeRobot 0.6.1 and not this project.

::

    uv venv lerobot && uv pip install --python lerobot/bin/python "lerobot[dataset]==0.6.1" torch==2.11.0
    rm -r tests/data/lerobot_fixture
    lerobot/bin/python tests/data/make_lerobot_fixture.py tests/data/lerobot_fixture

LeRobot asks for an older version of NumPy than this project does, and for gigabytes, so that it is not installed for
the tests, which compare what it wrote with the formulas below.
"""

import sys

import numpy as np

FPS = 10
LENGTHS = (5, 3, 6)
HEIGHT, WIDTH = 32, 48
FAILED = 1
"""The episode that has no success."""


def state(episode, step):
    """Return three joints and two coordinates of a cube (5,)."""
    return np.float32(100 * episode + step) + np.arange(5, dtype=np.float32) / 8


def mass(episode):
    return np.array([episode + 0.5], np.float32)


def action(episode, step):
    return np.array([step / 8, -step / 8, episode / 4], np.float32)


def image(episode, step, camera):
    """Return what camera 0, a video, or 1, of files, sees (height, width, 3)."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    flat = np.full_like(x, (60 * episode + 12 * step + 100 * camera) % 256)
    return np.stack([5 * x, 7 * y, flat], axis=-1).astype(np.uint8)


def main():
    from lerobot.datasets.lerobot_dataset import LeRobotDataset  # pyright: ignore[reportMissingImports]

    picture = {"shape": (HEIGHT, WIDTH, 3), "names": ["height", "width", "channels"]}
    features = {
        "observation.state": {"dtype": "float32", "shape": (5,), "names": ["j0", "j1", "j2", "cube_x", "cube_y"]},
        "observation.environment_state": {"dtype": "float32", "shape": (1,), "names": ["mass"]},
        "action": {"dtype": "float32", "shape": (3,), "names": ["x", "y", "gripper"]},
        "observation.images.front": {"dtype": "video", **picture},
        "observation.images.wrist": {"dtype": "image", **picture},
        "next.reward": {"dtype": "float32", "shape": (1,), "names": None},
        "next.done": {"dtype": "bool", "shape": (1,), "names": None},
        "next.success": {"dtype": "bool", "shape": (1,), "names": None},
    }
    dataset = LeRobotDataset.create("zprl/fixture", FPS, features, root=sys.argv[1], use_videos=True)
    for episode, length in enumerate(LENGTHS):
        for step in range(length):
            last = step == length - 1
            succeeded = last and episode != FAILED
            dataset.add_frame(
                {
                    "observation.state": state(episode, step),
                    "observation.environment_state": mass(episode),
                    "action": action(episode, step),
                    "observation.images.front": image(episode, step, 0),
                    "observation.images.wrist": image(episode, step, 1),
                    "next.reward": np.array([float(succeeded)], np.float32),
                    "next.done": np.array([last]),
                    "next.success": np.array([succeeded]),
                    "task": "lift the cube",
                }
            )
        dataset.save_episode()
    dataset.finalize()


if __name__ == "__main__":
    main()
