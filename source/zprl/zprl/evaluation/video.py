# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Videos of a policy at work, rendered on the CPU without a display.

A camera sensor with Newton's ray tracer takes the pictures, so nothing but the Python packages is needed. Policies are
compared on the same initial states: every episode is reset with its own seed.

.. code-block:: python

    add_video_camera(env_cfg)  # before the environment is made; one environment is enough
    env = make_env(task, env_cfg)
    base = record_episodes(env, base_policy, num_episodes=3)
    steered = record_episodes(env, steered_policy, num_episodes=3)
    write_video(path, side_by_side(base, steered, labels=("base", "steered")))
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from zprl.utils.errors import ZprlError
from zprl.utils.files import atomic_write

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv, ManagerBasedRLEnvCfg

CAMERA_NAME = "video_camera"
"""Scene entity that :func:`add_video_camera` adds."""

FORMATS = (".mp4", ".gif", ".webp", ".png")
"""File formats by suffix; ``.png`` is a strip of still pictures."""

Frame = np.ndarray
"""A picture, shape (height, width, 3), dtype uint8."""

Policy = Callable[["ManagerBasedRLEnv"], torch.Tensor]
"""Returns the next action, shape (num_envs, action_dim), or a chunk of them, (num_envs, chunk, action_dim)."""


@dataclass(frozen=True)
class View:
    """What the camera sees.

    Attributes:
        width: Width of the pictures [px].
        height: Height of the pictures [px].
        eye: Position of the camera in the environment's frame [m].
        lookat: Point in the middle of the picture [m].
        field_of_view: Horizontal angle [deg].
        supersampling: Rays per pixel along each axis; 2 smooths the edges and takes 4 times as long as 1.
    """

    width: int = 480
    height: int = 360
    # From the side that the ray tracer's only light shines on.
    eye: tuple[float, float, float] = (1.45, -1.05, 0.75)
    lookat: tuple[float, float, float] = (0.26, 0.0, 0.32)
    field_of_view: float = 40.0
    supersampling: int = 2


DEFAULT_VIEW = View()
"""A good view of a tabletop."""


@dataclass
class Episode:
    """One recorded episode.

    Attributes:
        frames: The pictures, the initial state's first.
        success: Whether the task was solved.
    """

    frames: list[Frame] = field(default_factory=list)
    success: bool = False


def add_video_camera(env_cfg: ManagerBasedRLEnvCfg, view: View = DEFAULT_VIEW) -> None:
    """Add a camera to the scene of a configuration from which no environment was made yet.

    Args:
        env_cfg: The environment's configuration.
        view: What the camera sees.
    """
    import isaaclab.sim as sim_utils
    from isaaclab.sensors import CameraCfg
    from isaaclab.utils.math import create_rotation_matrix_from_view, quat_from_matrix
    from isaaclab_newton.renderers import NewtonWarpRendererCfg

    rotation = create_rotation_matrix_from_view(torch.tensor([view.eye]), torch.tensor([view.lookat]), up_axis="Z")
    x, y, z, w = quat_from_matrix(rotation)[0].tolist()
    focal_length, aperture = 24.0, 2 * 24.0 * float(np.tan(np.deg2rad(view.field_of_view) / 2))
    camera = CameraCfg(
        prim_path="{ENV_REGEX_NS}/VideoCamera",
        offset=CameraCfg.OffsetCfg(pos=view.eye, rot=(x, y, z, w), convention="opengl"),
        spawn=sim_utils.PinholeCameraCfg(focal_length=focal_length, horizontal_aperture=aperture),
        width=view.width * view.supersampling,
        height=view.height * view.supersampling,
        data_types=["rgb"],
        background_color=(0.93, 0.94, 0.95),
        renderer_cfg=NewtonWarpRendererCfg(enable_shadows=True),
    )
    setattr(env_cfg.scene, CAMERA_NAME, camera)


def capture(env: ManagerBasedRLEnv, view: View = DEFAULT_VIEW) -> Frame:
    """Take a picture of the first environment.

    Args:
        env: Environment whose configuration :func:`add_video_camera` changed.
        view: The same view as there.

    Returns:
        The picture, shape (view.height, view.width, 3), dtype uint8.
    """
    pixels = env.scene[CAMERA_NAME].data.output["rgb"].torch[0].cpu().numpy()
    return np.asarray(Image.fromarray(pixels).resize((view.width, view.height), Image.Resampling.BOX))


@torch.inference_mode()
def record_episodes(
    env: ManagerBasedRLEnv,
    policy: Policy,
    num_episodes: int,
    seed: int = 0,
    view: View = DEFAULT_VIEW,
    on_reset: Callable[[], None] | None = None,
) -> list[Episode]:
    """Run a policy and take a picture after every control step.

    Args:
        env: Environment with a camera; the first of its worlds is recorded.
        policy: The policy. What it returns beyond the end of the episode is not carried out.
        num_episodes: Number of episodes.
        seed: The i-th episode's initial state is that of seed + i, whatever the policy.
        view: The view that the camera was added with.
        on_reset: Called at the start of every episode, for a policy with a state.
    """
    episodes = []
    for index in range(num_episodes):
        env.reset(seed=seed + index)
        if on_reset is not None:
            on_reset()
        episode = Episode([capture(env, view)])
        for action in _actions(env, policy):
            _, _, terminated, truncated, _ = env.step(action)
            if (terminated | truncated)[0]:
                # The environment has reset itself, so a picture of the last state cannot be taken any more.
                episode.success = bool(env.termination_manager.get_term("success")[0])
                break
            episode.frames.append(capture(env, view))
        episodes.append(episode)
    return episodes


def single(episodes: Sequence[Episode], label: str = "", pause: int = 8) -> list[Frame]:
    """Join episodes into one video.

    Args:
        episodes: The episodes.
        label: What to write at the top, if anything.
        pause: Number of frames for which an episode's end stays on screen, with its outcome.
    """
    return side_by_side(episodes, labels=[label] if label else [""], pause=pause)


def side_by_side(*columns: Sequence[Episode], labels: Sequence[str], pause: int = 8) -> list[Frame]:
    """Join the episodes of several policies into one video, each in its own column.

    An episode that ends earlier than its neighbour waits for it.

    Args:
        columns: The episodes of every policy, the same number of each.
        labels: A name for every policy.
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


def write_video(path: Path, frames: Sequence[Frame], fps: float = 20.0) -> Path:
    """Write a video, an animated picture or a strip of still pictures; the suffix decides.

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

    Returns:
        ``path``.

    Raises:
        ZprlError: If the suffix is none of :data:`FORMATS`.
    """
    check_format(path)
    with atomic_write(path) as file:
        if path.suffix == ".mp4":
            file.write(_encode_mp4(frames, fps))
        elif path.suffix == ".png":
            chosen = np.linspace(0, len(frames) - 1, num=min(6, len(frames))).round().astype(int)
            Image.fromarray(np.concatenate([frames[i] for i in chosen], axis=1)).save(file, format="PNG", optimize=True)
        else:
            # Browsers do not show animated pictures faster than this reliably, and it halves their size.
            pictures = [Image.fromarray(frame) for frame in frames[::2]]
            if path.suffix == ".gif":
                # One palette for all frames: parts that do not move then stay the same, and cost nothing.
                palette = pictures[len(pictures) // 2].quantize(64)
                pictures = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
            options = {"quality": 70, "method": 4} if path.suffix == ".webp" else {"optimize": True}
            pictures[0].save(
                file,
                format=path.suffix[1:].upper(),
                save_all=True,
                append_images=pictures[1:],
                duration=round(2000 / fps),
                loop=0,
                **options,
            )
    return path


def check_format(path: Path) -> None:
    """Raise a :class:`ZprlError` if no video can be written to a file of this name."""
    if path.suffix not in FORMATS:
        raise ZprlError(f"cannot write a video to '{path}'; its name must end in {', '.join(FORMATS)}.")


def _actions(env: ManagerBasedRLEnv, policy: Policy) -> Iterator[torch.Tensor]:
    """Yield one action after the other, each of shape (num_envs, action_dim), for ever."""
    while True:
        chunk = policy(env)
        yield from chunk.unbind(dim=1) if chunk.ndim == 3 else (chunk,)


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


def _encode_mp4(frames: Sequence[Frame], fps: float) -> bytes:
    # Isaac Lab's own recorder writes with moviepy as well; its wheel brings the encoder along.
    from moviepy.editor import ImageSequenceClip

    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / "video.mp4"
        # yuv420p is what browsers and presentation software play.
        ImageSequenceClip(list(frames), fps=fps).write_videofile(
            str(temporary),
            codec="libx264",
            audio=False,
            preset="slow",
            ffmpeg_params=["-crf", "24", "-pix_fmt", "yuv420p", "-movflags", "+faststart"],
            logger=None,
        )
        return temporary.read_bytes()
