# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""An expert that follows waypoints: a task lists them, this drives the arms from one to the next.

The expert sees the simulator's true state and commands what the policy commands: pose changes of the end effectors and
their grippers. All environments run at once, each arm of each at its own waypoint. Imperfect demonstrations come from
:class:`ExpertNoiseCfg`: a wrong grasp place and yaw per episode, a speed per episode, and noise on every action.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from isaaclab.utils.math import (
    axis_angle_from_quat,
    euler_xyz_from_quat,
    quat_apply,
    quat_from_angle_axis,
    quat_from_euler_xyz,
    quat_inv,
    quat_mul,
    wrap_to_pi,
)

from zprl.tasks.experts.expert import Expert
from zprl.tasks.experts.noise import ActionNoise
from zprl.tasks.experts.waypoint_expert_cfg import ArmWaypointsCfg, WaypointExpertCfg
from zprl.tasks.mdp.observations import pose_in_root_frame
from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv

    from zprl.tasks.common import TaskEnvCfg
    from zprl.tasks.mdp import DeltaPoseIKAction


class WaypointExpert(Expert):
    """Drives the arms of every environment along the task's waypoints; what else the robot has idles.

    Args:
        cfg: The task's expert.
        env: The environment; its configuration is a :class:`zprl.tasks.common.TaskEnvCfg`.
        quality: "expert" or "mixed".
        seed: Seed of the expert's own noise, which draws from no other generator.

    Raises:
        ZprlError: If the waypoints do not fit together.
    """

    def __init__(self, cfg: WaypointExpertCfg, env: ManagerBasedRLEnv, quality: str = "expert", seed: int = 0) -> None:
        self._barriers = cfg.barriers()
        generator = torch.Generator(device=env.device).manual_seed(seed)
        self._arms = [_Arm(arm, cfg, env, quality, self._barriers, generator) for arm in cfg.arms]
        task: TaskEnvCfg = env.cfg  # type: ignore[assignment]
        self._idle = {
            name: torch.tensor(task.idle_action[name], dtype=torch.float, device=env.device)
            for name in env.action_manager.active_terms
        }
        self._num_envs = env.num_envs
        self.reset(torch.arange(env.num_envs, device=env.device))

    def reset(self, env_ids: torch.Tensor) -> None:
        """See :meth:`Expert.reset`."""
        for arm in self._arms:
            arm.reset(env_ids)

    def act(self) -> torch.Tensor:
        """Return the next action, shape (num_envs, action_dim), and advance from the waypoints that were reached."""
        for arm in self._arms:
            arm.look()
        # A meeting is complete where every arm that comes to it has come, or has left it already.
        met = [torch.stack([arm.has_come_to(i) for arm in self._arms]).all(dim=0) for i in range(len(self._barriers))]
        commanded: dict[str, torch.Tensor] = {}
        for arm in self._arms:
            arm.advance(met)
            commanded |= arm.command()
        n = self._num_envs
        parts = [commanded.get(name, idle).expand(n, len(idle)) for name, idle in self._idle.items()]
        return torch.cat(parts, dim=1)


class _Arm:
    """One arm of every environment, each at its own waypoint.

    Args:
        script: What the arm does.
        cfg: The expert.
        env: The environment.
        quality: "expert" or "mixed".
        barriers: Names of all meetings.
        generator: Draws the noise.
    """

    def __init__(
        self,
        script: ArmWaypointsCfg,
        cfg: WaypointExpertCfg,
        env: ManagerBasedRLEnv,
        quality: str,
        barriers: list[str],
        generator: torch.Generator,
    ) -> None:
        self._script, self._cfg, self._env, self._generator = script, cfg, env, generator
        self._noise = cfg.noise(quality)
        self._arm: DeltaPoseIKAction = env.action_manager.get_term(script.arm_action_name)  # type: ignore[assignment]
        self._robot = env.scene[self._arm.cfg.asset_name]
        limits = env.cfg.action_limits  # type: ignore[attr-defined]
        self._limits = limits[script.arm_action_name]
        gripper = script.gripper_action_name
        closed, opened = (0.0, 0.0) if gripper is None else limits[gripper]
        n, device, points = env.num_envs, env.device, script.waypoints

        # The waypoints, each quantity of all of them in one tensor, and scene entities by their index.
        named = {name for p in points for name in (p.frame, p.carried, p.grasped) if name is not None}
        self._entities = sorted(named)

        def index(names: list[str | None], among: list[str]) -> torch.Tensor:
            return torch.tensor([-1 if name is None else among.index(name) for name in names], device=device)

        def numbers(values: list) -> torch.Tensor:
            return torch.tensor(values, dtype=torch.float, device=device)

        self._frame = index([p.frame for p in points], self._entities)
        self._carried = index([p.carried for p in points], self._entities)
        self._grasped = index([p.grasped for p in points], self._entities)
        self._barrier = index([p.barrier for p in points], barriers)
        self._pos, self._tilt = numbers([p.pos for p in points]), numbers([p.tilt for p in points])
        arcs = numbers([p.arc or (0.0, 0.0, 0.0) for p in points])
        self._arc_angle = arcs.norm(dim=1)
        self._arc_from = numbers([p.arc_from for p in points])
        self._arc_axis = arcs / self._arc_angle.clamp(min=1e-6)[:, None]
        self._yaw = numbers([math.nan if p.yaw is None or p.frame is None else p.yaw for p in points])
        symmetries = [cfg.yaw_symmetry if p.yaw_symmetry is None else p.yaw_symmetry for p in points]
        self._yaw_symmetry = numbers(symmetries)
        self._open = numbers([opened if p.gripper_open else closed for p in points])
        self._tolerance = numbers([p.tolerance for p in points])
        self._yaw_tolerance = numbers([math.inf if p.yaw_tolerance is None else p.yaw_tolerance for p in points])
        self._hold = torch.tensor([p.hold_steps for p in points], device=device)
        self._max_steps = numbers([math.inf if p.max_steps is None else p.max_steps for p in points])
        self._max_speed, self._max_turn = numbers([p.max_speed for p in points]), numbers([p.max_turn for p in points])
        self._in_root_axes = torch.tensor([p.in_root_axes for p in points], device=device)
        self._biased = numbers([float(p.biased) for p in points])
        self._retry_from = torch.tensor([p.retry_from for p in points], device=device)

        # Where each environment's arm is on its way.
        self._index = torch.zeros(n, dtype=torch.long, device=device)
        self._steps = torch.zeros(n, dtype=torch.long, device=device)
        self._held = torch.zeros(n, dtype=torch.long, device=device)
        self._anchor = torch.zeros(n, 3, device=device)
        self._arc_start = torch.zeros(n, 3, device=device)  # seen from the centre of the waypoint's arc
        self._bias = torch.zeros(n, 3, device=device)
        self._speed = torch.ones(n, device=device)
        self._action_noise = ActionNoise(self._noise, (n, 6), generator)

    def _randn(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self._generator, device=self._env.device)

    def reset(self, env_ids: torch.Tensor) -> None:
        """Start anew in some environments."""
        # Every environment draws, so that an episode's noise does not depend on which others end with it.
        n, noise = self._env.num_envs, self._noise
        bias = torch.cat([self._randn(n, 2) * noise.position_bias, self._randn(n, 1) * noise.yaw_bias], dim=1)
        low, high = noise.speed_range
        speed = low + (high - low) * torch.rand(n, generator=self._generator, device=self._env.device)
        self._action_noise.restart(env_ids)
        self._index[env_ids] = 0
        self._steps[env_ids] = 0
        self._held[env_ids] = 0
        self._bias[env_ids] = bias[env_ids]
        self._speed[env_ids] = speed[env_ids]
        self._anchor[env_ids] = self._arm._compute_frame_pose()[0][env_ids]

    def look(self) -> None:
        """Read the state, go back where something has slipped away, and note which waypoints are reached."""
        self._ee_pos, self._ee_quat = self._arm._compute_frame_pose()
        self._ee_yaw = euler_xyz_from_quat(self._ee_quat)[2]
        places, yaws = [], []
        for name in self._entities:
            data, body = _thing(self._env, name)
            pos, quat = pose_in_root_frame(self._robot.data, data, body)
            places.append(pos)
            yaws.append(euler_xyz_from_quat(quat)[2])
        # Entity -1, none, is the last one.
        self._places = torch.stack([*places, self._anchor])
        self._yaws = torch.stack([*yaws, torch.full_like(self._speed, math.nan)])
        self._worlds = torch.arange(len(self._speed), device=self._speed.device)

        grasped = self._grasped[self._index]
        away = (self._places[grasped, self._worlds] - self._ee_pos).norm(dim=1) > self._cfg.slip_distance
        self._go_to(self._retry_from[self._index], (grasped >= 0) & away)

        self._steps = self._steps + 1
        error, offset = self._error()
        reached = error.norm(dim=1) < self._tolerance[self._index]
        reached &= torch.nan_to_num(offset).abs() < self._yaw_tolerance[self._index]
        reached |= self._steps > self._max_steps[self._index]
        # What has been reached once stays so, whatever the noise does while the arm waits.
        self._held = torch.where(reached | (self._held > 0), self._held + 1, self._held)

    def has_come_to(self, barrier: int) -> torch.Tensor:
        """Return in which environments the arm is at a meeting, has left it, or has none, shape (num_envs,)."""
        (own,) = torch.nonzero(self._barrier == barrier, as_tuple=True)
        if len(own) == 0:
            return torch.ones_like(self._held, dtype=torch.bool)
        return (self._index > own) | ((self._index == own) & self._is_done())

    def _is_done(self) -> torch.Tensor:
        return self._held > self._hold[self._index]

    def advance(self, met: list[torch.Tensor]) -> None:
        """Go on from the waypoints that are reached, before the action is computed: no step is lost at a waypoint.

        Args:
            met: For each meeting, in which environments it is complete, shape (num_envs,).
        """
        advance = self._is_done() & (self._index < len(self._pos) - 1)
        if met:
            barrier = self._barrier[self._index]
            advance &= (barrier < 0) | torch.stack(met)[barrier.clamp(min=0), self._worlds]
        self._anchor = torch.where(advance[:, None], self._ee_pos, self._anchor)
        self._places[-1] = self._anchor
        self._go_to(self._index + 1, advance)

    def _go_to(self, index: torch.Tensor, where: torch.Tensor) -> None:
        self._index = torch.where(where, index, self._index)
        self._steps = self._steps.masked_fill(where, 0)
        self._held = self._held.masked_fill(where, 0)
        start = self._seen_from_frame(self._ee_pos) - self._pos[self._index]
        self._arc_start = torch.where(where[:, None], start, self._arc_start)

    def _error(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is missing to the waypoint: translation (num_envs, 3) [m] and yaw (num_envs,) [rad] or NaN."""
        frame, carried = self._frame[self._index], self._carried[self._index]
        frame_yaw = self._yaws[frame, self._worlds]
        bias = self._bias * self._biased[self._index, None]
        pos = self._pos[self._index] + self._along_arc()[0]
        target = self._places[frame, self._worlds] + _turned(pos, self._axes_yaw())
        target[:, :2] += bias[:, :2]
        carries = carried >= 0
        pos = torch.where(carries[:, None], self._places[carried, self._worlds], self._ee_pos)
        yaw = torch.where(carries, self._yaws[carried, self._worlds], self._ee_yaw)
        # Among the yaws that look the same, the one nearest to where it is.
        symmetry = self._yaw_symmetry[self._index]
        offset = wrap_to_pi(frame_yaw + self._yaw[self._index] + bias[:, 2] - yaw)
        return target - pos, offset - symmetry * torch.round(offset / symmetry)

    def _seen_from_frame(self, pos: torch.Tensor) -> torch.Tensor:
        """Return positions (num_envs, 3) in the frames of the waypoints."""
        return _turned(pos - self._places[self._frame[self._index], self._worlds], -self._axes_yaw())

    def _axes_yaw(self) -> torch.Tensor:
        """Return how far the axes of the waypoints' positions are turned from those of the root (num_envs,) [rad]."""
        yaw = self._yaws[self._frame[self._index], self._worlds]
        return torch.where(self._in_root_axes[self._index], 0.0, torch.nan_to_num(yaw))

    def _along_arc(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the target on the waypoint's arc, seen from its centre (num_envs, 3) [m], and its share of the angle.

        Where there is no arc, the target is the centre itself, and the share is 1.
        """
        axis, angle = self._arc_axis[self._index], self._arc_angle[self._index]
        now = self._seen_from_frame(self._ee_pos) - self._pos[self._index]
        origin = self._arc_from[self._index]
        begun, gone = _angle(axis, origin, self._arc_start), _angle(axis, origin, now)
        ahead = torch.minimum(gone.clamp(min=0.0) + self._cfg.arc_lead, angle)
        turns = angle > 0
        target = quat_apply(quat_from_angle_axis(ahead - begun, axis), self._arc_start)
        return torch.where(turns[:, None], target, 0.0), torch.where(turns, ahead / angle.clamp(min=1e-6), 1.0)

    def command(self) -> dict[str, torch.Tensor]:
        """Return the actions of arm and gripper, if it has one, by their terms, shape (num_envs, size)."""
        error, offset = self._error()
        scale = self._arm._scale[:, :6]
        yaw = self._ee_yaw + torch.nan_to_num(offset)
        roll, pitch = (self._tilt[self._index] * self._along_arc()[1][:, None]).unbind(dim=1)
        # An action changes the pose that has been reached, or the one that was commanded last.
        pos, quat = self._arm.reference_pose()
        error = error + self._ee_pos - pos
        rotation = axis_angle_from_quat(quat_mul(quat_from_euler_xyz(math.pi + roll, pitch, yaw), quat_inv(quat)))
        translation = self._cfg.gain * error / scale[:, :3]
        limit = (self._max_speed[self._index] * self._speed)[:, None]
        size = translation.norm(dim=1, keepdim=True)
        translation = translation * (limit / size.clamp(min=1e-6)).clamp(max=1.0)
        turn = self._max_turn[self._index, None]
        rotation = (self._cfg.gain * rotation / scale[:, 3:]).clamp(-turn, turn)
        arm = torch.cat([translation, rotation], dim=1) + self._action_noise.step()
        actions = {self._script.arm_action_name: arm.clamp(*self._limits)}
        if self._script.gripper_action_name is not None:
            actions[self._script.gripper_action_name] = self._open[self._index, None]
        return actions


def _thing(env: ManagerBasedRLEnv, name: str) -> tuple[Any, int | None]:
    """Return the data of a scene entity and the body of it, or None for its root, that a waypoint names.

    Raises:
        ZprlError: If the entity has no such body.
    """
    entity, _, body = name.partition("/")
    asset = env.scene[entity]
    if body and body not in asset.body_names:
        raise ZprlError(f"a waypoint names the body '{name}', and those of {entity} are {', '.join(asset.body_names)}.")
    return asset.data, asset.body_names.index(body) if body else None


def _angle(axis: torch.Tensor, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return the angles (n,) about axes (n, 3), unit vectors, by which one vector (n, 3) is turned to another [rad]."""
    normal = torch.linalg.cross(axis, one)
    across = one - (one * axis).sum(dim=1, keepdim=True) * axis
    return torch.atan2((other * normal).sum(dim=1), (other * across).sum(dim=1))


def _turned(vector: torch.Tensor, yaw: torch.Tensor) -> torch.Tensor:
    """Return vectors (n, 3) turned about the z axis by angles (n,) [rad]."""
    x, y, z = vector.unbind(dim=1)
    cos, sin = yaw.cos(), yaw.sin()
    return torch.stack([cos * x - sin * y, sin * x + cos * y, z], dim=1)
