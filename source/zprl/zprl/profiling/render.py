# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""How fast a task's camera images are drawn on the CPU: the project's ray caster beside Newton's, on the same scene."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from prettytable import PrettyTable

from zprl.profiling.timing import Timing, take_turns
from zprl.runs.session import TaskSession
from zprl.sim.render import PinholeCamera, RayCaster, RenderStyle
from zprl.utils.files import atomic_write

SAME = RenderStyle(samples=1, background_depth=0.0)
"""What Newton's renderer draws by default: a ray per pixel and no shadows."""
SMOOTH = RenderStyle(samples=2, shadows=True)
"""Smooth edges and shadows."""
NEWTON = "newton"
_PICTURE_SIZE = 256


@dataclass(frozen=True)
class RenderTimes:
    """Times of one batch of images, by who drew it."""

    num_envs: int
    size: int
    """Sides of the images [px]."""
    times: dict[str, Timing]
    """Wall-clock of a batch."""
    cpu_times: dict[str, Timing]
    """Processor time of a batch, of all threads together; other processes beside this one hardly change it."""

    def rate(self, name: str) -> float:
        """Images per second of wall-clock."""
        return self.num_envs / self.times[name].median

    def cpu_time(self, name: str) -> float:
        """Processor time per image [s]."""
        return self.cpu_times[name].median / self.num_envs


@dataclass(frozen=True)
class Agreement:
    """How far the ray caster's images are from Newton's."""

    inside: float
    """Largest difference in depth [m] of pixels that have the same primitive on all sides."""
    silhouettes: float
    """Share of the other pixels."""
    color: float
    """Mean difference of a colour channel, of 255."""


@dataclass
class RenderReport:
    """All measurements."""

    primitives: int = 0
    times: list[RenderTimes] = field(default_factory=list)
    agreement: Agreement | None = None
    pictures: tuple[NDArray[np.uint8], ...] = ()
    """The same view by Newton and by the ray caster, the latter with smooth edges, both with shadows."""


class NewtonImages:
    """Newton's renderer on a state of its model.

    Args:
        model: Newton's model.
        state: Its state.
        camera: The camera.
        pose: Its pose in every world.
        shadows: Whether things cast shadows.
    """

    def __init__(
        self, model: Any, state: Any, camera: PinholeCamera, pose: NDArray[np.float32], shadows: bool = False
    ) -> None:
        from zprl.sim.isaaclab.cameras.newton_renderer import NewtonRenderer

        self._state, self._renderer = state, NewtonRenderer(model, camera, shadows)
        self._poses = torch.as_tensor(np.tile(pose, (model.world_count, 1)))

    def draw(self, depth: bool = False) -> None:
        """Draw all worlds in colour, and on demand in depth, which takes a kernel of its own."""
        self._renderer.draw(self._state, self._poses, depth)

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """What was drawn last, (N, height, width, 3)."""
        return self._renderer.rgb.numpy()

    @property
    def depth(self) -> NDArray[np.float32]:
        """What was drawn last in depth [m], (N, height, width); 0 where nothing is."""
        return self._renderer.depth.numpy()


class NativeImages:
    """The ray caster on the same model.

    Args:
        model: Newton's model.
        state: Its state.
        camera: The camera.
        pose: Its pose in every world.
        style: How things look.
        threads: Threads to draw on.

    Raises:
        ZprlError: If the model shows what the ray caster cannot draw.
    """

    def __init__(
        self,
        model: Any,
        state: Any,
        camera: PinholeCamera,
        pose: NDArray[np.float32],
        style: RenderStyle,
        threads: int = 1,
    ) -> None:
        from zprl.sim.isaaclab.primitives import visible_primitives, world_bodies

        self.scene, self._bodies = visible_primitives(model), world_bodies(model)
        self._state, self._caster = state, RayCaster(self.scene.primitives, camera, style, threads)
        self._poses = np.tile(pose, (model.world_count, 1))
        self._rgb = np.empty((model.world_count, camera.height, camera.width, 3), np.uint8)

    def draw(self) -> NDArray[np.uint8]:
        """Draw all worlds in colour, (N, height, width, 3), into the images of the call before."""
        return self._render(out={"rgb": self._rgb})["rgb"]

    def draw_all(self) -> dict[str, Any]:
        """Draw colour, depth and segmentation."""
        return self._render(outputs=("rgb", "depth", "segmentation"))

    def _render(self, **options: Any) -> dict[str, Any]:
        poses = self.scene.poses(self._state.body_q.numpy()[self._bodies])
        return self._caster.render(poses, self._poses, colors=self.scene.colors, **options)


def benchmark_render(
    task: str,
    overrides: Sequence[str],
    num_envs: Sequence[int],
    sizes: Sequence[int],
    threads: Sequence[int],
    budget: float,
    picture: bool = False,
    report: Callable[[str], None] = print,
) -> RenderReport:
    """Draw the start of a task's episodes in turns.

    The ray caster's time includes where the primitives are, from the poses of the bodies, and Newton's the refit of its
    bounding boxes.

    Args:
        task: Task id.
        overrides: Hydra overrides.
        num_envs: Numbers of worlds.
        sizes: Sides of the images [px].
        threads: Numbers of threads of the ray caster. Newton draws on one.
        budget: Time of each measurement [s].
        picture: Whether to draw pictures to be looked at as well.
        report: Prints a line.

    Raises:
        ZprlError: If the task does not exist, or the ray caster cannot draw it.
    """
    from zprl.sim.isaaclab.camera import View, add_video_camera, viewpoint

    result = RenderReport()
    session = TaskSession(task, "cpu", overrides)
    session.require_isaaclab()
    pose = np.concatenate(viewpoint(session.env_cfg)).astype(np.float32)
    for count in num_envs:
        # Without a camera, Isaac Lab leaves out of the model what does not collide.
        with session.launched(), session.isaaclab_environment(count, add_video_camera) as env:
            from isaaclab_newton.physics import NewtonManager

            env.reset(0)
            world = NewtonManager.get_model(), NewtonManager.get_state_0()
            for size in sizes:
                camera = _camera(size, View().field_of_view)
                calls: dict[str, Callable[[], object]] = {NEWTON: NewtonImages(*world, camera, pose).draw}
                for number in threads:
                    name = f"native, {number} thread{'s' if number > 1 else ''}"
                    calls[name] = NativeImages(*world, camera, pose, SAME, number).draw
                    calls[f"{name}, smooth"] = NativeImages(*world, camera, pose, SMOOTH, number).draw
                result.times.append(_measure(count, size, calls, budget))
                report(f"measured {count} worlds, {size} x {size}")
            if result.agreement is None:
                camera = _camera(sizes[0], View().field_of_view)
                newton, native = NewtonImages(*world, camera, pose), NativeImages(*world, camera, pose, SAME)
                newton.draw(depth=True)
                result.agreement = compare(newton, native.draw_all())
                result.primitives = len(native.scene.primitives)
            if picture and not result.pictures:
                camera = _camera(_PICTURE_SIZE, View().field_of_view)
                newton = NewtonImages(*world, camera, pose, shadows=True)
                newton.draw()
                native = NativeImages(*world, camera, pose, SMOOTH)
                result.pictures = (newton.rgb[0].copy(), native.draw()[0])
    return result


def _measure(num_envs: int, size: int, calls: Mapping[str, Callable[[], object]], budget: float) -> RenderTimes:
    cpu: dict[str, list[float]] = {name: [] for name in calls}

    def metered(name: str) -> Callable[[], None]:
        def call() -> None:
            start = time.process_time()
            calls[name]()
            cpu[name].append(time.process_time() - start)

        return call

    samples = take_turns({name: metered(name) for name in calls}, budget)
    return RenderTimes(
        num_envs,
        size,
        {name: Timing.of(each.seconds) for name, each in samples.items()},
        {name: Timing.of(seconds) for name, seconds in cpu.items()},
    )


def render_table(report: RenderReport) -> str:
    """Return speeds, their ratios to Newton's (more is faster), and how far the images are apart."""
    columns = ["worlds", "image", "renderer", "images/s", "ratio", "CPU [us/image]", "CPU ratio"]
    table = PrettyTable(columns, align="r")
    table.align["renderer"] = "l"
    for times in report.times:
        for name in times.times:
            rate, cpu = times.rate(name), times.cpu_time(name)
            cells = [times.num_envs, f"{times.size} x {times.size}", name]
            cells += [f"{rate:,.0f}", f"{rate / times.rate(NEWTON):.1f}"]
            cells += [f"{1e6 * cpu:,.1f}", f"{times.cpu_time(NEWTON) / cpu:.1f}"]
            table.add_row(cells, divider=name == list(times.times)[-1])
    lines = [f"{report.primitives} primitives; smooth: four rays per pixel and shadows, else one and none", str(table)]
    if report.agreement is not None:
        lines.append(
            f"depth differs by {1e3 * report.agreement.inside:.3f} mm at most, but for the"
            f" {report.agreement.silhouettes:.1%} of pixels at silhouettes; colours by {report.agreement.color:.2f} of"
            " 255 in the mean"
        )
    return "\n".join(lines)


def write_picture(path: Path, pictures: Sequence[NDArray[np.uint8]]) -> None:
    """Write pictures side by side as PNG."""
    with atomic_write(path) as file:
        Image.fromarray(np.concatenate(pictures, axis=1)).save(file, format="PNG", optimize=True)


def compare(newton: NewtonImages, images: dict[str, Any]) -> Agreement:
    """Compare what both have drawn: Newton in depth too, and the ray caster in all that it draws."""
    ids = np.pad(images["segmentation"], ((0, 0), (1, 1), (1, 1)), mode="edge")
    height, width = images["segmentation"].shape[1:]
    around = [ids[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    inside = np.all([other == images["segmentation"] for other in around], axis=0)
    depth = np.abs(newton.depth - images["depth"])[inside].max(initial=0.0)
    color = np.abs(newton.rgb.astype(int) - images["rgb"]).mean()
    return Agreement(float(depth), float(1 - inside.mean()), float(color))


def _camera(size: int, field_of_view: float) -> PinholeCamera:
    focal = size / 2 / math.tan(math.radians(field_of_view) / 2)
    return PinholeCamera(width=size, height=size, fx=focal, fy=focal, cx=size / 2, cy=size / 2, near=0.01, far=1000.0)
