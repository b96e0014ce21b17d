# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The ray caster of csrc/core/render: a camera in every world.

.. code-block:: python

    caster = RayCaster(primitives, PinholeCamera(width=64, height=64, fx=77.0, fy=77.0, cx=32.0, cy=32.0))
    images = caster.render(poses, camera_poses, outputs=("rgb", "depth"))
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zprl.sim.render.scene import Primitives
from zprl.utils.errors import ZprlError
from zprl.utils.native import native_core
from zprl.utils.processes import num_threads

Array = NDArray[Any] | torch.Tensor
"""NumPy array, or tensor on the CPU, whose memory is used as it is."""

OUTPUTS = {"rgb": np.uint8, "depth": np.float32, "segmentation": np.int32}
"""Images that can be asked for, with their dtypes."""


@dataclass(frozen=True, kw_only=True)
class PinholeCamera:
    """Camera without distortion, which looks along -z with +y up (Isaac Lab's convention "opengl").

    Attributes:
        width: Width of the images [px].
        height: Height of the images [px].
        fx: Focal length along the rows [px].
        fy: Focal length along the columns [px].
        cx: Column of the optical axis [px]; the centre of the first pixel is at 0.5.
        cy: Row of the optical axis [px].
        near: Depth before which nothing is seen [m].
        far: Depth from which on nothing is seen [m]; may be infinite.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    near: float = 0.01
    far: float = math.inf

    @classmethod
    def from_aperture(
        cls, width: int, height: int, focal_length: float, horizontal_aperture: float, near: float, far: float
    ) -> PinholeCamera:
        """Return the camera of Isaac Lab's ``PinholeCameraCfg``: square pixels, and the optical axis in the middle.

        Args:
            width: Width of the images [px].
            height: Height of the images [px].
            focal_length: In the unit of the aperture.
            horizontal_aperture: Width of the sensor.
            near: Depth before which nothing is seen [m].
            far: Depth from which on nothing is seen [m].
        """
        focal = width * focal_length / horizontal_aperture
        return cls(width=width, height=height, fx=focal, fy=focal, cx=width / 2, cy=height / 2, near=near, far=far)


@dataclass(frozen=True, kw_only=True)
class RenderStyle:
    """How things look; by default as Newton's ray tracer shows them, with smooth edges.

    Attributes:
        samples: Rays per pixel along each axis, 1 or 2. Their mean is taken in linear light.
        shadows: Whether things cast shadows.
        shadow_light: Share of the light that reaches what is in shadow.
        ambient: Share of the light from all around, which is brighter from above.
        background: Colour where nothing is, sRGB, 0 to 1.
        background_depth: Depth where nothing is [m].
        background_id: Segmentation where nothing is.
    """

    samples: int = 2
    shadows: bool = False
    shadow_light: float = 0.3
    ambient: float = 0.5
    background: tuple[float, float, float] = (0.933, 0.933, 0.933)
    background_depth: float = math.inf
    background_id: int = -1


class RayCaster:
    """Draws the same primitives in many worlds, each at its own poses, by a camera at its own pose.

    An image depends on its own world alone, bit for bit: not on the worlds beside it, on the number of threads, or on
    the processor's instruction set.

    Args:
        primitives: What there is to see. Where surfaces coincide, the first primitive is seen.
        camera: The camera of all worlds.
        style: How things look.
        threads: Threads to draw on, or None for all that large work of this process may take.

    Raises:
        ZprlError: If camera, style or number of threads make no sense.
        NotInstalledError: If the native library is not built.
    """

    def __init__(
        self,
        primitives: Primitives,
        camera: PinholeCamera,
        style: RenderStyle = RenderStyle(),
        threads: int | None = None,
    ) -> None:
        self.primitives, self.camera, self.style = primitives, camera, style
        self.threads = num_threads() if threads is None else threads
        try:
            self._core = native_core().RayCaster(
                shapes=primitives.shapes,
                sizes=primitives.sizes,
                colors=primitives.colors,
                ids=primitives.ids,
                **vars(camera),
                **vars(style),
                threads=self.threads,
            )
        except (TypeError, ValueError) as error:
            raise ZprlError(f"the ray caster cannot be made: {_sentence(error)}") from error

    def render(
        self,
        poses: Array,
        camera_poses: Array,
        *,
        lights: Array | None = None,
        colors: Array | None = None,
        outputs: Sequence[str] = ("rgb",),
        out: Mapping[str, Array] | None = None,
    ) -> dict[str, Any]:
        """Draw all worlds.

        A pose is a position [m] and a quaternion (x, y, z, w), as Isaac Lab has it. A primitive whose pose is not
        finite, or whose quaternion is zero, is not there, and a camera with such a pose sees nothing.

        Args:
            poses: Poses of the primitives, (N, P, 7), dtype float32.
            camera_poses: Poses of the cameras, (N, 7), dtype float32.
            lights: Direction in which each world's light travels, (N, 3), dtype float32; by default (-1, 1, -1). A
                direction that is zero or not finite stands for no light but that from all around.
            colors: Colours in place of the primitives' own, (N, P, 3), dtype float32.
            outputs: Names of the images to draw, unless ``out`` says it.
            out: Where to write them, by name, contiguous.

        Returns:
            The images by name: those of ``out``, or new ones. "rgb" of shape (N, height, width, 3) and dtype uint8;
            "depth", the distance along the optical axis [m] at the pixels' centres, (N, height, width), float32;
            "segmentation", the id of what is seen there, (N, height, width), int32.

        Raises:
            ZprlError: If an array has another shape or dtype, or an image is not known.
        """
        unknown = [name for name in (outputs if out is None else out) if name not in OUTPUTS]
        if unknown:
            raise ZprlError(f"there is no image '{unknown[0]}' to draw; choose from {', '.join(OUTPUTS)}.")
        if out is None:
            shape = (len(poses), self.camera.height, self.camera.width)
            out = {name: np.empty((*shape, 3) if name == "rgb" else shape, OUTPUTS[name]) for name in outputs}
        given = {"lights": lights, "colors": colors, **out}
        arrays = {name: _as_numpy(name, array) for name, array in given.items() if array is not None}
        try:
            self._core.render(_as_numpy("poses", poses), _as_numpy("camera_poses", camera_poses), **arrays)
        except (TypeError, ValueError) as error:
            raise ZprlError(f"the images cannot be drawn: {_sentence(error)}") from error
        return dict(out)


def _as_numpy(name: str, array: Array) -> NDArray[Any]:
    if isinstance(array, torch.Tensor):
        if array.device.type != "cpu":
            raise ZprlError(f"{name} of the ray caster is on {array.device}; it draws on the CPU.")
        return array.detach().numpy()
    return array


def _sentence(error: Exception) -> str:
    return str(error).removeprefix("zprl: ").splitlines()[0]
