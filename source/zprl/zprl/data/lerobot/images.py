# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Images of LeRobot's data sets: files in a table, PNG or of depths TIFF, and videos."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zprl.data.lerobot.layout import import_extra
from zprl.spec import Feature
from zprl.utils.errors import ZprlError, one_sentence
from zprl.utils.files import existing_file

_MODES = {"RGB": (3, "uint8"), "L": (1, "uint8"), "F": (1, "float32")}
"""Channels and type of Pillow's modes."""


@dataclass(frozen=True)
class Encoding:
    """How images are written.

    Attributes:
        video: Whether they become a video, or files in the table.
        codec: FFmpeg's encoder of a video.
        options: Its options.
        lossless: Whether the images come back as they were.
    """

    video: bool
    codec: str = ""
    options: Mapping[str, str] | None = None
    lossless: bool = True


# A key frame every two frames, as LeRobot's own videos have: any image is asked for at random. No frame refers to a
# later one, and none to one before a key frame, so that an episode's first images owe nothing to the episode before.
_VIDEO = {"g": "2", "bf": "0", "forced-idr": "1"}

ENCODINGS = {
    "png": Encoding(False),
    "mp4": Encoding(True, "libx264", {**_VIDEO, "crf": "20"}, lossless=False),
    "mp4-lossless": Encoding(True, "libx264rgb", {**_VIDEO, "qp": "0"}),
}
"""Encodings by name."""


def is_depth(feature: Feature) -> bool:
    """Return whether an image is one of float32 depths."""
    return feature.dtype == "float32"


def writable(feature: Feature) -> bool:
    """Return whether LeRobot has a place for an image: 1 or 3 channels of bytes, or one of float32, of one moment."""
    channels = {"uint8": (1, 3), "float32": (1,)}.get(feature.dtype, ())
    return len(feature.shape) == 3 and feature.shape[2] in channels and feature.history == 1


def encode_file(image: np.ndarray) -> bytes:
    """Return an image (height, width, channels) as PNG, or one of float32 as TIFF, without loss."""
    content = io.BytesIO()
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    if image.dtype == np.float32:
        picture.save(content, format="TIFF")
    else:
        picture.save(content, format="PNG", compress_level=1)
    return content.getvalue()


def decode_file(content: bytes, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Return what :func:`encode_file` encoded, or a JPEG, once it is clear that it has the expected shape.

    Raises:
        ValueError: If it is damaged, or another image.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "TIFF", "JPEG")) as picture:
            channels, kind = _MODES.get(picture.mode, (0, picture.mode))
            found = (picture.height, picture.width, channels)
            if (found, kind) != (shape, dtype):
                raise ValueError(f"is an image of {_by(found)} {kind}, and {_by(shape)} {dtype} was expected")
            return np.asarray(picture).reshape(shape)
    except (OSError, EOFError, SyntaxError, Image.DecompressionBombError, ValueError) as error:  # as Pillow raises them
        raise ValueError(one_sentence(error)) from error


class VideoWriter:
    """Writes a video in memory; :meth:`close` returns it.

    Args:
        fps: Frames per second.
        shape: Height, width and channels.
        encoding: How.
    """

    def __init__(self, fps: int, shape: tuple[int, ...], encoding: Encoding) -> None:
        self._av = import_extra("av")
        self._content = io.BytesIO()
        self._container = self._av.open(self._content, "w", format="mp4")
        self._stream = self._container.add_stream(encoding.codec, rate=fps, options=dict(encoding.options or {}))
        self._stream.height, self._stream.width = shape[:2]
        even = not (shape[0] % 2 or shape[1] % 2)  # which halved colours need
        self._stream.pix_fmt = "rgb24" if encoding.lossless else "yuv420p" if even else "yuv444p"
        self._stream.codec_context.time_base = self._time_base = Fraction(1, fps)
        self._stream.codec_context.thread_count = 1  # the same file on every machine
        self.frames = 0

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._content.tell()

    def add(self, images: np.ndarray) -> None:
        """Add an episode's images (T, height, width, 3), the first of which will need no other one."""
        for index, image in enumerate(images):
            frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
            frame.pts, frame.time_base = self.frames, self._time_base
            if index == 0:
                frame.pict_type = self._av.video.frame.PictureType.I
            self._container.mux(self._stream.encode(frame))
            self.frames += 1

    def close(self) -> bytes:
        """End the video and return the file."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._content.getvalue()


def read_video(path: Path, fps: int, shape: tuple[int, ...], wanted: Mapping[int, Any]) -> Iterator[tuple[int, Any]]:
    """Decode frames of a video.

    Args:
        path: The file.
        fps: Frames per second.
        shape: Height, width and channels, which are 3.
        wanted: By number, those that are needed.

    Yields:
        Number and image (height, width, 3) of each, in order of their times.

    Raises:
        ZprlError: If the file is damaged, has images of another size, or ends before all that are wanted.
    """
    av = import_extra("av")
    path = existing_file(path, "video")
    found, last = 0, max(wanted)
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            size = (stream.height, stream.width, 3)
            if size != shape:
                raise ZprlError(f"the video {path} has images of {_by(size)}, and its data set says {_by(shape)}.")
            for frame in container.decode(stream):
                number = -1 if frame.pts is None else round(frame.pts * stream.time_base * fps)
                if number in wanted:
                    if (frame.height, frame.width) != shape[:2]:
                        raise ZprlError(f"the video {path} has images of several sizes.")
                    found += 1
                    yield number, frame.to_ndarray(format="rgb24")
                if number >= last:
                    break
    except (av.error.FFmpegError, OSError, ValueError, IndexError) as error:  # those of FFmpeg are any of the others
        raise ZprlError(
            f"the video {path} is truncated or damaged ({one_sentence(error)}); copy the data set again."
        ) from error
    if found < len(wanted):
        raise ZprlError(
            f"the video {path} holds {found} of {len(wanted)} images that its episodes need; copy the data set again."
        )


def _by(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape))


def num_bytes(shape: Iterable[int], dtype: str) -> int:
    """Return the size of an image [bytes]."""
    return math.prod(shape) * np.dtype(dtype).itemsize
