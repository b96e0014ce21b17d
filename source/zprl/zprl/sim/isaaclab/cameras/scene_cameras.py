# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The cameras of an environment, and the drawing of their images."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
import warp as wp
from newton import Model
from numpy.typing import NDArray
from torch import Tensor

from isaaclab_newton.physics import NewtonManager

from zprl.envs.description import CameraDescription
from zprl.sim.isaaclab.cameras.appearance import Appearance, AppearanceCfg
from zprl.sim.isaaclab.cameras.cameras_cfg import NativeRendererCfg, PolicyCameraCfg
from zprl.sim.isaaclab.cameras.newton_renderer import NewtonRenderer
from zprl.sim.isaaclab.primitives import visible_primitives, world_bodies
from zprl.sim.render import RayCaster, RenderStyle, composed, looking
from zprl.spec import Feature, Group, Observations
from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedEnv


class SceneCameras:
    """Draws what the cameras of an environment's configuration see.

    Args:
        env: The environment.

    Raises:
        ZprlError: If the scene holds what the renderer cannot draw, or a camera rides on a body that is not there.
    """

    def __init__(self, env: ManagerBasedEnv) -> None:
        cfg: Any = env.cfg
        self.cfgs: dict[str, PolicyCameraCfg] = dict(cfg.cameras)
        self._any_renderer = bool(cfg.any_renderer)
        self.device = str(env.device)
        self._looks: AppearanceCfg = cfg.appearance
        model = NewtonManager.get_model()
        self._origins = env.scene.env_origins.cpu().numpy().astype(np.float32)
        self._mounts = [_Mount(name, camera, model) for name, camera in self.cfgs.items()]
        if isinstance(cfg.renderer, NativeRendererCfg):
            self._draws: _NativeDraws | _NewtonDraws = _NativeDraws(model, self.cfgs, cfg.renderer)
        else:
            self._draws = _NewtonDraws(model, self.cfgs, cfg.renderer, self._looks)
        size = Appearance.size(self._draws.num_primitives, len(self.cfgs))
        self.drawn = torch.zeros(env.num_envs, 0 if self._looks.changes_nothing() else size, device=env.device)
        """What was drawn for the look of the running episodes (N, K); see :class:`Appearance`."""
        self._last: tuple[Tensor, Observations] | None = None

    @property
    def renderer(self) -> str:
        """Name of what draws the images, as ``renderer=NAME`` chooses it."""
        return self._draws.name

    @property
    def groups(self) -> list[Group]:
        """The images as observation groups."""
        groups, renderer = [], "" if self._any_renderer else self.renderer
        for name, camera in self.cfgs.items():
            shape = (camera.height, camera.width)
            rgb = Feature(name, (*shape, 3), "image", "uint8", renderer=renderer)
            groups.append(Group(name, (rgb,)))
            if camera.depth:
                depth = Feature(f"{name}_depth", (*shape, 1), "image", renderer=renderer)
                groups.append(Group(depth.name, (depth,)))
        return groups

    def describe(self) -> dict[str, CameraDescription]:
        """Return what a robot has to know of the cameras, by the names of :attr:`groups`."""
        described = {}
        for (name, cfg), mount in zip(self.cfgs.items(), self._mounts, strict=True):
            lens, pose = cfg.pinhole(), mount.pose.tolist()
            rgb = CameraDescription(
                content="rgb",
                minimum=0.0,
                maximum=255.0,
                fx=lens.fx,
                fy=lens.fy,
                cx=lens.cx,
                cy=lens.cy,
                body=cfg.body,
                position=pose[:3],
                quaternion=pose[3:],
                renderer=self.renderer,
            )
            described[name] = rgb
            if cfg.depth:
                depth = dataclasses.replace(rgb, content="depth", minimum=cfg.near, maximum=cfg.far)
                described[f"{name}_depth"] = depth
        return described

    def draw(self, scene: Mapping[str, Tensor], rows: Tensor | None = None) -> Observations:
        """Draw all images of an observation.

        The images of the last call are kept: who records looks at the same observation as who acts.

        Args:
            scene: The observation group :data:`zprl.sim.isaaclab.task_env.SCENE_GROUP`.
            rows: Indices of the worlds to draw (n,), or None for all.

        Returns:
            Images by the names of :attr:`groups`, (n, height, width, channels).
        """
        poses, draws = scene["body_poses"], scene["appearance"]
        if self._last is not None and self._last[0] is poses:
            return self._last[1] if rows is None else {name: image[rows] for name, image in self._last[1].items()}
        if rows is not None:
            return self._drawn(poses[rows], draws[rows], rows)
        images = self._drawn(poses, draws, torch.arange(len(poses)))
        self._last = poses, images
        return images

    def _drawn(self, poses: Tensor, draws: Tensor, rows: Tensor) -> Observations:
        worlds = rows.cpu().numpy()
        bodies = poses.cpu().numpy()
        looks = Appearance(self._looks, draws, self._draws.num_primitives, len(self.cfgs)) if draws.shape[1] else None
        at = [mount.poses(bodies, self._origins[worlds]) for mount in self._mounts]
        if looks is not None:
            at = [looks.camera_poses(pose, number) for number, pose in enumerate(at)]
        images: dict[str, Tensor] = {}
        drawn = self._draws.draw(bodies, at, worlds, looks)
        for number, ((name, camera), seen) in enumerate(zip(self.cfgs.items(), drawn, strict=True)):
            rgb = torch.as_tensor(seen["rgb"])
            images[name] = (rgb if looks is None else looks.images(rgb, number)).to(self.device)
            if camera.depth:
                depth = torch.as_tensor(seen["depth"])[..., None]
                images[f"{name}_depth"] = (depth if looks is None else looks.depths(depth, number)).to(self.device)
        return images


class _Mount:
    """Where a camera is.

    Args:
        name: Name of the camera.
        cfg: The camera.
        model: Newton's model.

    Raises:
        ZprlError: If there is no such body, or it looks nowhere.
    """

    def __init__(self, name: str, cfg: PolicyCameraCfg, model: Model) -> None:
        try:
            self.pose = looking(cfg.eye, cfg.target, cfg.up)
            """In the frame of the body that it rides on, or of its world (7,)."""
        except ValueError as error:
            raise ZprlError(f"the camera {name} makes no sense: {error}") from error
        self._body: int | None = None
        if cfg.body is not None:
            labels = [model.body_label[row] for row in world_bodies(model)[0]]
            # Labels are paths of prims, such as /World/envs/env_0/Robot/hand, in which an articulation has its name in
            # the scene but for the case of the letters.
            articulation, _, body = cfg.body.rpartition("/")
            ending = f"/{articulation}/{body}".lower() if articulation else f"/{body}".lower()
            found = [number for number, label in enumerate(labels) if label.lower().endswith(ending)]
            if len(found) != 1:
                known = ", ".join(label.rpartition("/")[2] for label in labels)
                raise ZprlError(
                    f"the camera {name} rides on the body {cfg.body}, of which the scene has {len(found)}; its bodies"
                    f" are {known}."
                )
            (self._body,) = found

    def poses(self, bodies: NDArray[np.float32], origins: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the camera's poses (n, 7), given bodies' poses (n, B, 7) and worlds' origins (n, 3)."""
        if self._body is not None:
            return composed(bodies[:, self._body], self.pose)
        poses = np.tile(self.pose, (len(origins), 1))
        poses[:, :3] += origins
        return poses


class _NativeDraws:
    """Images by the ray caster of :mod:`zprl.sim.render`."""

    name = "native"

    def __init__(self, model: Model, cameras: Mapping[str, PolicyCameraCfg], cfg: NativeRendererCfg) -> None:
        self._scene = visible_primitives(model)
        self.num_primitives = len(self._scene.primitives)
        self._outputs = [("rgb", "depth") if camera.depth else ("rgb",) for camera in cameras.values()]
        self._casters = [
            RayCaster(
                self._scene.primitives,
                camera.pinhole(),
                RenderStyle(samples=cfg.samples, shadows=cfg.shadows, background_depth=camera.far),
                cfg.threads or None,
            )
            for camera in cameras.values()
        ]

    def draw(
        self,
        bodies: NDArray[np.float32],
        cameras: list[NDArray[np.float32]],
        worlds: NDArray[np.int64],
        looks: Appearance | None,
    ) -> list[dict[str, Any]]:
        """Return each camera's images of some worlds."""
        poses = self._scene.poses(bodies, worlds)
        colors = None if self._scene.colors is None else np.ascontiguousarray(self._scene.colors[worlds])
        lights = None
        if looks is not None:
            lights, colors = looks.lights(), looks.colors(self._scene.primitives.colors if colors is None else colors)
        return [
            caster.render(poses, pose, lights=lights, colors=colors, outputs=outputs)
            for caster, pose, outputs in zip(self._casters, cameras, self._outputs, strict=True)
        ]


class _NewtonDraws:
    """Images by Newton's renderer, which draws all worlds at once.

    Raises:
        ZprlError: If light or colours are to change, which it takes from the model.
    """

    name = "newton_renderer"
    num_primitives = 0

    def __init__(self, model: Model, cameras: Mapping[str, PolicyCameraCfg], cfg: Any, looks: AppearanceCfg) -> None:
        if looks.light_angle or looks.color:
            raise ZprlError(
                "renderer=newton_renderer draws with the light and the colours of the model; set"
                " env.appearance.light_angle and env.appearance.color to 0 or choose renderer=native."
            )
        self._state = model.state()
        assert self._state.body_q is not None
        self._poses = wp.to_torch(self._state.body_q)
        self._bodies = torch.as_tensor(world_bodies(model)).to(wp.device_to_torch(model.device))
        self._far = [camera.far if camera.depth else None for camera in cameras.values()]
        self._renderers = [
            NewtonRenderer(model, camera.pinhole(), bool(cfg.enable_shadows)) for camera in cameras.values()
        ]

    def draw(
        self,
        bodies: NDArray[np.float32],
        cameras: list[NDArray[np.float32]],
        worlds: NDArray[np.int64],
        looks: Appearance | None,
    ) -> list[dict[str, Any]]:
        """Return each camera's images of some worlds."""
        device, drawn = self._bodies.device, []
        rows = torch.as_tensor(worlds, device=device)
        self._poses[self._bodies[rows]] = torch.as_tensor(bodies, device=device)
        for renderer, pose, far in zip(self._renderers, cameras, self._far, strict=True):
            poses = torch.zeros(len(self._bodies), 7, device=device)
            poses[:, 6] = 1.0
            poses[rows] = torch.as_tensor(pose, device=device)
            renderer.draw(self._state, poses, depth=far is not None)
            images = {"rgb": renderer.rgb[rows]}
            if far is not None:
                depth = renderer.depth[rows]
                images["depth"] = torch.where(depth > 0.0, depth, far)
            drawn.append(images)
        return drawn


_CAMERAS: WeakKeyDictionary[Any, SceneCameras] = WeakKeyDictionary()


def cameras_of(env: ManagerBasedEnv) -> SceneCameras | None:
    """Return the cameras of an environment, made when first asked for, or None if it has none."""
    if not getattr(env.cfg, "cameras", None):
        return None
    if env not in _CAMERAS:
        _CAMERAS[env] = SceneCameras(env)
    return _CAMERAS[env]
