# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Videos of a policy at work. Policies are compared on the same initial states: every episode has its own seed.

.. code-block:: python

    base = [record_episode(env, base_policy, camera, seed) for seed in range(3)]
    steered = [record_episode(env, steered_policy, camera, seed) for seed in range(3)]
    write_video(path, side_by_side(base, steered, labels=("base", "steered")))
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from zprl.envs.chunk_loop import ChunkLoop
from zprl.envs.task_env import TaskEnv
from zprl.evaluation.rollout import ChunkPlanner
from zprl.utils.errors import ZprlError
from zprl.utils.files import atomic_write

FORMATS = (".mp4", ".gif", ".webp", ".png")
"""File formats by suffix; ``.png`` is a strip of still pictures."""

Frame = np.ndarray
"""A picture, shape (height, width, 3), dtype uint8."""


@dataclass
class Episode:
    """One recorded episode: its pictures, the initial state's first, and whether the task was solved."""

    frames: list[Frame]
    success: bool


@torch.inference_mode()
def record_episode(
    env: TaskEnv,
    planner: ChunkPlanner,
    capture: Callable[[], Frame],
    seed: int,
    on_reset: Callable[[int], object] | None = None,
) -> Episode:
    """Run a policy for an episode and take a picture after every control step.

    Args:
        env: Environment; the first of its worlds is recorded.
        planner: The policy.
        capture: Takes a picture of that world.
        seed: Seed of the initial state, which is the same whatever the policy.
        on_reset: Called with the seed when the episode begins, for a policy that draws numbers.
    """
    loop = ChunkLoop(env)
    loop.begin(env.reset(seed))
    planner.begin_episodes()
    if on_reset is not None:
        on_reset(seed)
    frames = [capture()]
    while loop.running[0]:
        for _, _, ended in loop.execute(planner(loop.obs)[:, : planner.execute_steps]):
            # With its end the environment has reset itself, so the last state cannot be seen any more.
            if loop.running[0] and not ended[0]:
                frames.append(capture())
    return Episode(frames, success=bool(loop.succeeded[0]))


def beside(picture: Frame, images: Sequence[np.ndarray]) -> Frame:
    """Put what cameras see, one below the other, beside a picture of the scene.

    Args:
        picture: The picture.
        images: Images (height, width, 3) uint8, or of depth (height, width, 1), which is shown from near, bright, to
            far, dark; none leave the picture as it is.
    """
    if not images:
        return picture
    size = picture.shape[0] // len(images)
    column = np.full((picture.shape[0], size, 3), 255, dtype=np.uint8)
    for number, image in enumerate(images):
        if image.shape[2] == 1:
            shade = 255.0 * (1.0 - image / image.max())
            image = shade.clip(0.0, 255.0).astype(np.uint8).repeat(3, axis=2)
        side = size * min(1.0, image.shape[1] / image.shape[0])
        shown = Image.fromarray(image).resize((int(side), int(side * image.shape[0] / image.shape[1])))
        column[number * size : number * size + shown.height, : shown.width] = np.asarray(shown)
    return np.concatenate([picture, column], axis=1)


def side_by_side(*columns: Sequence[Episode], labels: Sequence[str], pause: int = 8) -> list[Frame]:
    """Join the episodes of several policies into one video, each in its own column.

    An episode that ends earlier than its neighbour waits for it.

    Args:
        columns: The episodes of every policy, the same number of each.
        labels: A name for every policy, which may be empty.
        pause: Number of frames for which an episode's end stays on screen, with its outcome.

    Raises:
        ValueError: If the columns differ in length, or there is not one label for each.
    """
    video = []
    for row in zip(*columns, strict=True):
        length = max(len(episode.frames) for episode in row) + pause
        for time in range(length):
            pictures = []
            for episode, label in zip(row, labels, strict=True):
                ended = time >= len(episode.frames)
                outcome = ("success" if episode.success else "failure") if ended else ""
                pictures.append(_annotate(episode.frames[min(time, len(episode.frames) - 1)], label, outcome))
            video.append(np.concatenate(pictures, axis=1))
    return video


def write_video(path: Path, frames: Sequence[Frame], fps: float = 20.0, most_bytes: int | None = None) -> Path:
    """Write a video, an animated picture or a strip of still pictures, and return the path; the suffix decides.

    ==========  ==========================================================================
    suffix      written
    ==========  ==========================================================================
    ``.mp4``    H.264
    ``.gif``    animated picture at half the frame rate and 64 colours, for a README
    ``.webp``   animated picture at half the frame rate, smaller than the same ``.gif``
    ``.png``    strip of 6 pictures, evenly spread over time
    ==========  ==========================================================================

    Args:
        path: File to write; it appears only once it is complete.
        frames: The pictures, all of one size.
        fps: Frames per second; the control rate, so that the video runs in real time.
        most_bytes: Size of an animated picture above which it is made of smaller pictures, or None.

    Raises:
        ZprlError: If the suffix is none of :data:`FORMATS`, or the encoder fails, as in a full folder of temporary
            files.
    """
    check_format(path)
    with atomic_write(path) as file:
        if path.suffix == ".mp4":
            file.write(_encode_mp4(frames, fps))
        elif path.suffix == ".png":
            chosen = np.linspace(0, len(frames) - 1, num=min(6, len(frames))).round().astype(int)
            Image.fromarray(np.concatenate([frames[i] for i in chosen], axis=1)).save(file, format="PNG", optimize=True)
        else:
            file.write(_encode_animation(frames, fps, path.suffix, most_bytes))
    return path


def check_format(path: Path) -> None:
    """Raise a :class:`ZprlError` if no video can be written to a file of this name."""
    if path.suffix not in FORMATS:
        raise ZprlError(f"cannot write a video to '{path}'; its name must end in {', '.join(FORMATS)}.")


def _annotate(frame: Frame, label: str, outcome: str) -> Frame:
    if not label and not outcome:
        return frame
    picture = Image.fromarray(frame)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=max(12, picture.height // 18))
    margin = picture.height // 36
    if label:
        draw.text((margin, margin), label, font=font, fill=(40, 44, 52))
    if outcome:
        color = (20, 130, 60) if outcome == "success" else (190, 40, 30)
        draw.text((picture.width - margin, margin), outcome, font=font, fill=color, anchor="ra")
    return np.asarray(picture)


def _encode_animation(frames: Sequence[Frame], fps: float, suffix: str, most_bytes: int | None) -> bytes:
    # Browsers do not show animated pictures faster than this reliably, and it halves their size.
    pictures = [Image.fromarray(frame) for frame in frames[::2]]
    width, height = pictures[0].size
    for parts in range(4, 0, -1):  # quarters of the width and of the height
        shown = [picture.resize((width * parts // 4, height * parts // 4)) for picture in pictures]
        if suffix == ".gif":
            # One palette for all frames: parts that do not move then stay the same, and cost nothing.
            palette = shown[len(shown) // 2].quantize(64)
            shown = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in shown]
        options = {"quality": 70, "method": 4} if suffix == ".webp" else {"optimize": True}
        content = io.BytesIO()
        shown[0].save(
            content,
            format=suffix[1:].upper(),
            save_all=True,
            append_images=shown[1:],
            duration=round(2000 / fps),
            loop=0,
            **options,
        )
        if most_bytes is None or content.tell() <= most_bytes:
            break
    return content.getvalue()


def _encode_mp4(frames: Sequence[Frame], fps: float) -> bytes:
    # Isaac Lab's own recorder writes with moviepy as well; its wheel brings the encoder along.
    from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter

    height, width = frames[0].shape[:2]
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / "video.mp4"
        # yuv420p is what browsers and presentation software play.
        params = ["-crf", "24", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
        process: Any = FFMPEG_VideoWriter(
            str(temporary), (width, height), fps, preset="slow", ffmpeg_params=params
        ).proc
        with process as encoder:
            with contextlib.suppress(BrokenPipeError):  # it has ended before, and says why
                for frame in frames:
                    encoder.stdin.write(frame.tobytes())
            said = encoder.communicate()[1].decode(errors="replace").strip()
        if encoder.returncode != 0:  # which moviepy does not look at
            reason = said.splitlines()[-1] if said else f"status {encoder.returncode}"
            raise ZprlError(
                f"the video could not be encoded in {Path(folder).parent} ({reason}); free some space there, or name "
                "another folder by the environment variable TMPDIR."
            )
        return temporary.read_bytes()
