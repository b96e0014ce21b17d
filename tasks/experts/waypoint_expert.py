# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""An expert that follows waypoints: a task lists them, this drives a gripper from one to the next.

The expert sees the simulator's true state and commands what the policy commands: pose changes of an end effector and
its gripper, which points down. All environments run at once, each at its own waypoint. Imperfect demonstrations come
from :class:`ExpertNoiseCfg`: a wrong grasp place and yaw per episode, a speed per episode, and noise on every action.
"""

from __future__ import annotations

import math
from dataclasses import MISSING
from typing import TYPE_CHECKING

import torch

from isaaclab.utils import configclass
from isaaclab.utils.math import (
    axis_angle_from_quat,
    euler_xyz_from_quat,
    quat_from_euler_xyz,
    quat_inv,
    quat_mul,
    wrap_to_pi,
)

from zprl.tasks.experts.expert import Expert, ExpertCfg
from zprl.tasks.mdp.observations import pose_in_root_frame

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv

    from zprl.tasks.common import TaskEnvCfg
    from zprl.tasks.mdp import DeltaPoseIKAction


@configclass
class WaypointCfg:
    """Where the end effector goes next, and with which gripper."""

    frame: str | None = None
    """Scene entity that the waypoint is given in (its place and yaw), or None for the place where the last waypoint
    was reached."""

    pos: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Position in that frame [m]; the axes stay those of the robot's root."""

    gripper_open: bool = True
    """Whether the gripper is commanded open."""

    tolerance: float = 0.015
    """Distance at which the waypoint counts as reached [m]."""

    hold_steps: int = 0
    """Control steps to stay once it is reached."""

    max_speed: float = 1.0
    """Largest commanded translation, as a share of the action's range."""

    biased: bool = True
    """Whether the episode's grasp bias shifts this waypoint."""


@configclass
class ExpertNoiseCfg:
    """How the expert errs; all zero is the noiseless expert."""

    action_std: float = 0.0
    """Stationary standard deviation of the AR(1) noise on the arm's actions, as a share of the action's range."""

    action_correlation: float = 0.8
    """Correlation of that noise between successive steps."""

    position_bias: float = 0.0
    """Standard deviation of the episode's grasp bias in x and y [m]."""

    yaw_bias: float = 0.0
    """Standard deviation of the episode's yaw bias [rad]."""

    speed_range: tuple[float, float] = (1.0, 1.0)
    """Range of the episode's speed factor."""


@configclass
class WaypointExpertCfg(ExpertCfg):
    """A task's expert: its waypoints and its two qualities."""

    class_type: type[Expert] | str = "{DIR}.waypoint_expert:WaypointExpert"

    waypoints: list[WaypointCfg] = MISSING  # type: ignore[assignment]
    """Waypoints in order; the last one is held until the episode ends."""

    mixed: ExpertNoiseCfg = ExpertNoiseCfg()
    """The noise of quality "mixed"; "expert" has none."""

    yaw_symmetry: float = math.pi / 2
    """Yaw angle after which the grasped object looks the same [rad]."""

    max_yaw_rate: float = 0.5
    """Largest commanded rotation, as a share of the action's range."""

    gain: float = 0.8
    """Share of the remaining way that one action commands."""

    arm_action_name: str = "arm_action"
    """The action term that moves the end effector, a :class:`zprl.tasks.mdp.DeltaPoseIKAction`."""

    gripper_action_name: str = "gripper_action"
    """The action term of the gripper; its upper limit opens, its lower limit closes."""

    def noise(self, quality: str) -> ExpertNoiseCfg:
        """Return the noise of a quality.

        Raises:
            ValueError: If the quality is unknown.
        """
        if quality == "expert":
            return ExpertNoiseCfg()
        if quality == "mixed":
            return self.mixed
        raise ValueError(f"Unknown quality '{quality}'; choose 'mixed' or 'expert'.")


class WaypointExpert(Expert):
    """Drives an arm of every environment along the task's waypoints; what else the robot has idles.

    Args:
        cfg: The task's expert.
        env: The environment; its configuration is a :class:`zprl.tasks.common.TaskEnvCfg`.
        quality: "expert" or "mixed".
        seed: Seed of the expert's own noise, which draws from no other generator.
    """

    def __init__(self, cfg: WaypointExpertCfg, env: ManagerBasedRLEnv, quality: str = "expert", seed: int = 0) -> None:
        self.cfg = cfg
        self.noise = cfg.noise(quality)
        self._env = env
        self._arm: DeltaPoseIKAction = env.action_manager.get_term(cfg.arm_action_name)  # type: ignore[assignment]
        self._robot = env.scene[self._arm.cfg.asset_name]
        task: TaskEnvCfg = env.cfg  # type: ignore[assignment]
        self._limits = task.action_limits[cfg.arm_action_name]
        closed, opened = task.action_limits[cfg.gripper_action_name]
        self._idle = {
            name: torch.tensor(task.idle_action[name], dtype=torch.float, device=env.device)
            for name in env.action_manager.active_terms
        }
        self._generator = torch.Generator(device=env.device).manual_seed(seed)
        n, device = env.num_envs, env.device
        self._index = torch.zeros(n, dtype=torch.long, device=device)
        self._held = torch.zeros(n, dtype=torch.long, device=device)
        self._anchor = torch.zeros(n, 3, device=device)
        self._bias = torch.zeros(n, 3, device=device)
        self._speed = torch.ones(n, device=device)
        self._action_noise = torch.zeros(n, 6, device=device)
        points = cfg.waypoints
        self._frames = sorted({p.frame for p in points if p.frame is not None})
        self._frame = torch.tensor([self._frames.index(p.frame) if p.frame else -1 for p in points], device=device)
        self._pos = torch.tensor([p.pos for p in points], device=device)
        self._open = torch.tensor([opened if p.gripper_open else closed for p in points], device=device)
        self._tolerance = torch.tensor([p.tolerance for p in points], device=device)
        self._hold = torch.tensor([p.hold_steps for p in points], device=device)
        self._max_speed = torch.tensor([p.max_speed for p in points], device=device)
        self._biased = torch.tensor([float(p.biased) for p in points], device=device)
        self.reset(torch.arange(n, device=device))

    def _randn(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self._generator, device=self._env.device)

    def reset(self, env_ids: torch.Tensor) -> None:
        """See :meth:`Expert.reset`."""
        # Every environment draws, so that an episode's noise does not depend on which others end with it.
        n = self._env.num_envs
        bias = torch.cat([self._randn(n, 2) * self.noise.position_bias, self._randn(n, 1) * self.noise.yaw_bias], dim=1)
        low, high = self.noise.speed_range
        speed = low + (high - low) * torch.rand(n, generator=self._generator, device=self._env.device)
        start = self._randn(n, 6) * self.noise.action_std
        self._index[env_ids] = 0
        self._held[env_ids] = 0
        self._bias[env_ids] = bias[env_ids]
        self._speed[env_ids] = speed[env_ids]
        self._action_noise[env_ids] = start[env_ids]
        self._anchor[env_ids] = self._arm._compute_frame_pose()[0][env_ids]

    def act(self) -> torch.Tensor:
        """Return the next action, shape (num_envs, action_dim), and advance from the waypoints that were reached."""
        ee_pos, ee_quat = self._arm._compute_frame_pose()
        frames = []
        for name in self._frames:
            pos, quat = pose_in_root_frame(self._robot.data, self._env.scene[name].data)
            frames.append((pos, euler_xyz_from_quat(quat)[2]))
        error = self._target(frames)[0] - ee_pos
        # Reached waypoints advance before the action is computed, so that no step is lost at a waypoint.
        reached = error.norm(dim=1) < self._tolerance[self._index]
        self._held = torch.where(reached | (self._held > 0), self._held + 1, self._held)
        advance = (self._held > self._hold[self._index]) & (self._index < len(self._pos) - 1)
        self._anchor = torch.where(advance[:, None], ee_pos, self._anchor)
        self._held = torch.where(advance, torch.zeros_like(self._held), self._held)
        self._index = self._index + advance.long()
        target, yaw = self._target(frames)
        return self._action(target - ee_pos, yaw, ee_quat)

    def _target(self, frames: list[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the current waypoint's position (num_envs, 3) [m] and gripper yaw (num_envs,) [rad]."""
        frame = self._frame[self._index]
        origin, yaw = self._anchor, torch.full_like(self._speed, float("nan"))
        for i, (pos, frame_yaw) in enumerate(frames):
            here = frame == i
            origin = torch.where(here[:, None], pos, origin)
            yaw = torch.where(here, frame_yaw, yaw)
        shift = self._bias.clone()
        shift[:, 2] = 0.0
        return origin + self._pos[self._index] + shift * self._biased[self._index, None], yaw

    def _action(self, error: torch.Tensor, frame_yaw: torch.Tensor, ee_quat: torch.Tensor) -> torch.Tensor:
        scale = self._arm._scale[:, :6]
        # The gripper looks down; among the yaws that look the same it takes the one nearest to where it is.
        ee_yaw = euler_xyz_from_quat(ee_quat)[2]
        offset = wrap_to_pi(frame_yaw + self._bias[:, 2] - ee_yaw)
        offset = offset - self.cfg.yaw_symmetry * torch.round(offset / self.cfg.yaw_symmetry)
        yaw = torch.where(torch.isnan(frame_yaw), ee_yaw, ee_yaw + offset)
        down = quat_from_euler_xyz(torch.full_like(yaw, math.pi), torch.zeros_like(yaw), yaw)
        rotation = axis_angle_from_quat(quat_mul(down, quat_inv(ee_quat)))
        translation = self.cfg.gain * error / scale[:, :3]
        limit = (self._max_speed[self._index] * self._speed)[:, None]
        size = translation.norm(dim=1, keepdim=True)
        translation = translation * (limit / size.clamp(min=1e-6)).clamp(max=1.0)
        rotation = (self.cfg.gain * rotation / scale[:, 3:]).clamp(-self.cfg.max_yaw_rate, self.cfg.max_yaw_rate)
        rho = self.noise.action_correlation
        fresh = self._randn(*self._action_noise.shape) * self.noise.action_std * math.sqrt(1 - rho * rho)
        self._action_noise = rho * self._action_noise + fresh
        arm = torch.cat([translation, rotation], dim=1) + self._action_noise
        gripper = self._open[self._index, None]
        commanded = {self.cfg.arm_action_name: arm.clamp(*self._limits), self.cfg.gripper_action_name: gripper}
        parts = [commanded.get(name, idle).expand(len(arm), len(idle)) for name, idle in self._idle.items()]
        return torch.cat(parts, dim=1)
