# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Configuration of the cameras that policies see through, and of what draws their images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from isaaclab.renderers import RendererCfg
from isaaclab.utils import configclass
from isaaclab_newton.renderers import NewtonWarpRendererCfg

from zprl.sim.render import PinholeCamera
from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnvCfg

MAX_SIZE = 1024
"""Largest width and height of a policy's image [px]."""


@configclass
class PolicyCameraCfg:
    """A camera that policies see through, at rest in its world or riding on a body.

    Positions are in the frame of the body, or else of the world [m].
    """

    body: str | None = None
    """Body that it rides on: "ARTICULATION/BODY", such as "robot/hand", or None if it is at rest."""

    eye: tuple[float, float, float] = (1.0, 0.0, 0.5)
    """Where it is [m]."""

    target: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """What is in the middle of its image [m]."""

    up: tuple[float, float, float] = (0.0, 0.0, 1.0)
    """Direction that is up in its image."""

    field_of_view: float = 45.0
    """Horizontal angle that it sees [deg]."""

    width: int = 64
    """Width of its images [px]."""

    height: int = 64
    """Height of its images [px]."""

    near: float = 0.01
    """Depth before which it sees nothing [m]."""

    far: float = 5.0
    """Depth from which on it sees nothing, and what a depth image shows there [m]."""

    depth: bool = False
    """Whether policies see depth [m] beside colours, as one more image, NAME_depth."""

    def pinhole(self) -> PinholeCamera:
        """Return its image and focal lengths; pixels are square."""
        focal = self.width / 2 / math.tan(math.radians(self.field_of_view) / 2)
        return PinholeCamera(
            width=self.width,
            height=self.height,
            fx=focal,
            fy=focal,
            cx=self.width / 2,
            cy=self.height / 2,
            near=self.near,
            far=self.far,
        )


@configclass
class NativeRendererCfg(RendererCfg):
    """The ray caster of :mod:`zprl.sim.render`: boxes, spheres, capsules, cylinders and planes, on the CPU."""

    class_type: Any = None
    renderer_type: str = "zprl_native"

    samples: int = 2
    """Rays per pixel along each axis, 1 or 2."""

    shadows: bool = True
    """Whether things cast shadows."""

    threads: int = 0
    """Threads to draw on; 0 for as many as large work may take."""

    newton_on_cuda: bool = False
    """Whether Newton's renderer takes its place where the simulation is on a GPU."""


def choose_renderer(env_cfg: ManagerBasedRLEnvCfg, device: str) -> None:
    """Settle on a renderer where a task has cameras, and let the simulation know that it is looked at.

    Args:
        env_cfg: The environment's configuration; renderer and physics may be changed.
        device: "cpu" or "cuda[:N]".

    Raises:
        ZprlError: If a camera makes no sense, or the engine has nothing that could be drawn.
    """
    cfg: Any = env_cfg
    if not getattr(cfg, "cameras", None):
        return
    for name, camera in cfg.cameras.items():
        _check(name, camera)
    if not hasattr(cfg.sim.physics, "load_visual_shapes"):
        raise ZprlError(
            f"the cameras {', '.join(cfg.cameras)} are drawn from Newton's model, and the chosen physics has none;"
            " choose physics=mujoco or physics=newton_mjwarp."
        )
    # Without a reason to keep them, Isaac Lab leaves shapes that do not collide out of the model.
    cfg.sim.physics.load_visual_shapes = True
    renderer = cfg.renderer
    if isinstance(renderer, NativeRendererCfg):
        if renderer.newton_on_cuda and device != "cpu":
            cfg.renderer = NewtonWarpRendererCfg()
        elif renderer.samples not in (1, 2) or renderer.threads < 0:
            raise ZprlError("env.renderer.samples is 1 or 2, and env.renderer.threads is not negative.")
    elif not isinstance(renderer, NewtonWarpRendererCfg):
        raise ZprlError(
            f"the renderer {getattr(renderer, 'renderer_type', renderer)!r} cannot draw what policies see; choose"
            " renderer=native or renderer=newton_renderer."
        )


def _check(name: str, camera: PolicyCameraCfg) -> None:
    if not (1 <= camera.width <= MAX_SIZE and 1 <= camera.height <= MAX_SIZE):
        raise ZprlError(
            f"the camera {name} has images of {camera.width} x {camera.height} pixels; set env.cameras.{name}.width and"
            f" height to 1 to {MAX_SIZE}."
        )
    if not 0.0 < camera.field_of_view < 180.0:
        raise ZprlError(
            f"env.cameras.{name}.field_of_view is {camera.field_of_view}; it is an angle between 0 and 180 degrees."
        )
    if not (0.0 < camera.near < camera.far and math.isfinite(camera.far)):
        raise ZprlError(
            f"the camera {name} sees from {camera.near} to {camera.far} m; env.cameras.{name}.near is positive and"
            " below far, which is finite."
        )
