# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a real robot does to a policy's signals that its simulator did not, with units and default strengths.

A disturbance makes one :class:`Signal` per wave of episodes, which stands between the world and the policy. Everything
random is drawn per episode, from the episode's own seed. What changes the world is in
:mod:`zprl.robustness.disturbed_worlds`, the names of all are in :mod:`zprl.robustness.catalogue`.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from zprl.envs.task_env import TaskEnv, episode_seed
from zprl.spec import TaskSpec
from zprl.utils.errors import ZprlError


class Draws:
    """Random numbers of the episodes of a wave. An episode's numbers depend on its seed and on no other episode.

    Args:
        seed: Seed of the evaluation.
        episodes: Episode numbers.
        num_envs: Number of worlds; rows beyond the episodes are zero.
        steps: Control steps of the longest episode.
        device: Device of the results.
    """

    def __init__(self, seed: int, episodes: range, num_envs: int, steps: int, device: str = "cpu") -> None:
        self.steps = steps
        self.num_envs = num_envs
        self.device = device
        self._generators = [torch.Generator().manual_seed(episode_seed(seed + 2, e)) for e in episodes]

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers (num_envs, *shape)."""
        return self._draw(torch.randn, shape)

    def uniform(self, *shape: int) -> Tensor:
        """Numbers from [0, 1), (num_envs, *shape)."""
        return self._draw(torch.rand, shape)

    def _draw(self, draw: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
        rows = torch.zeros(self.num_envs, *shape)
        for row, generator in enumerate(self._generators):
            rows[row] = draw(shape, generator=generator)
        return rows.to(self.device)


@dataclass
class Signal:
    """What stands between the worlds and the policy during a wave of episodes; nothing by default.

    Attributes:
        observe: Returns what the policy gets of its state groups side by side (N, D); called once per control step.
        act: Returns what the robot gets (N, A) of the actions (N, A); called once per control step.
        disturb: Changes the worlds before a control step; called once per control step.
    """

    observe: Callable[[Tensor], Tensor] = lambda obs: obs
    act: Callable[[Tensor], Tensor] = lambda action: action
    disturb: Callable[[TaskEnv], None] = lambda env: None


class DelayLine:
    """Hands out what was put in some steps ago; before that, what it was filled with.

    Args:
        steps: Delay [control steps].
        fill: What comes out first, or None for the first value that is put in.
    """

    def __init__(self, steps: int, fill: Tensor | None = None) -> None:
        self._steps = steps
        self._fill = fill
        self._values: deque[Tensor] = deque()

    def __call__(self, value: Tensor) -> Tensor:
        """Put a value in and take the delayed one out."""
        if not self._values:
            self._values.extend([value.clone() if self._fill is None else self._fill] * self._steps)
        self._values.append(value.clone())
        return self._values.popleft()


@dataclass(frozen=True)
class Disturbance(ABC):
    """A disturbance. Its first field is its strength, which a command line can set; 0 disturbs nothing."""

    unit: ClassVar[str] = "1"
    """Unit of the strength."""

    physics: ClassVar[str | None] = None
    """Physics engine that it takes, or None for the session's."""

    observes: ClassVar[bool] = False
    """Whether it changes what the policy observes. Only state groups can be disturbed so far, no images."""

    def strength(self) -> float:
        """Return the strength."""
        return getattr(self, dataclasses.fields(self)[0].name)

    def with_strength(self, value: float) -> Disturbance:
        """Return the same disturbance with another strength."""
        return dataclasses.replace(self, **{dataclasses.fields(self)[0].name: value})

    def configure(self, env_cfg: Any) -> None:  # noqa: B027 - most change nothing
        """Change the configuration of an environment of Isaac Lab before it is made."""

    @property
    def changes_world(self) -> bool:
        """Whether it needs an environment of its own."""
        return type(self).configure is not Disturbance.configure

    @abstractmethod
    def start(self, draws: Draws, spec: TaskSpec, targets: Any = None) -> Signal:
        """Return what stands between worlds and policy for a wave of episodes.

        Args:
            draws: Random numbers of the episodes.
            spec: What the policy sees and does.
            targets: What of the task can be disturbed, its configuration's ``disturbance_targets``; None if it does
                not say. See ``DisturbanceTargetsCfg`` in :mod:`zprl.tasks.common`.

        Raises:
            ZprlError: If the task lacks what is disturbed.
        """


# -- signals ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Undisturbed(Disturbance):
    """The reference."""

    amount: float = 0.0
    """Nothing."""

    def start(self, draws: Draws, spec: TaskSpec, targets: Any = None) -> Signal:
        """See :meth:`Disturbance.start`."""
        return Signal()


@dataclass(frozen=True)
class ObservationNoise(Disturbance):
    """White noise on every element of the observation."""

    unit: ClassVar[str] = "of each unit"
    observes: ClassVar[bool] = True

    std: float = 0.005
    """Standard deviation, in each element's unit."""

    def start(self, draws: Draws, spec: TaskSpec, targets: Any = None) -> Signal:
        """See :meth:`Disturbance.start`."""
        noise = iter((self.std * draws.normal(draws.steps + 1, _state_dim(spec))).unbind(dim=1))
        return Signal(observe=lambda obs: obs + next(noise))


@dataclass(frozen=True)
class ObservationBias(Disturbance):
    """A constant error of every element, uniform over both signs."""

    unit: ClassVar[str] = "of each unit"
    observes: ClassVar[bool] = True

    limit: float = 0.01
    """Largest error, in each element's unit."""

    def start(self, draws: Draws, spec: TaskSpec, targets: Any = None) -> Signal:
        """See :meth:`Disturbance.start`."""
        bias = self.limit * (2.0 * draws.uniform(_state_dim(spec)) - 1.0)
        return Signal(observe=lambda obs: obs + bias)


@dataclass(frozen=True)
class ObservationDelay(Disturbance):
    """The policy sees the past; until there is one, the first observation."""

    unit: ClassVar[str] = "control steps"
    observes: ClassVar[bool] = True

    steps: float = 1
    """Delay [control steps]."""

    def start(self, draws: Draws, spec: TaskSpec, targets: Any = None) -> Signal:
        """See :meth:`Disturbance.start`."""
        return Signal(observe=DelayLine(_whole(self, self.steps)))


@dataclass(frozen=True)
class DroppedObservations(Disturbance):
    """An observation does not arrive, and the last one that did is used again. The first one always arrives."""

    observes: ClassVar[bool] = True

    probability: float = 0.2
    """Probability that an observation is lost."""

    def start(self, draws: Draws, spec: TaskSpec, targets: Any = None) -> Signal:
        """See :meth:`Disturbance.start`."""
        lost = iter((draws.uniform(draws.steps + 1, 1) < self.probability).unbind(dim=1))
        last: list[Tensor] = []

        def observe(obs: Tensor) -> Tensor:
            missing = next(lost)
            last[:] = [torch.where(missing, last[0], obs) if last else obs.clone()]
            return last[0]

        return Signal(observe=observe)


@dataclass(frozen=True)
class ActionDelay(Disturbance):
    """The robot does what it was told in the past; until then, it idles."""

    unit: ClassVar[str] = "control steps"

    steps: float = 1
    """Delay [control steps]."""

    def start(self, draws: Draws, spec: TaskSpec, targets: Any = None) -> Signal:
        """See :meth:`Disturbance.start`."""
        idle = spec.idle_action(draws.device).expand(draws.num_envs, -1)
        return Signal(act=DelayLine(_whole(self, self.steps), idle))


@dataclass(frozen=True)
class ObjectPoseError(Disturbance):
    """A constant error of the estimated object pose: of its position in a random direction, and of its yaw.

    All terms that tell where the object is get the same error.
    """

    unit: ClassVar[str] = "m"
    observes: ClassVar[bool] = True

    position: float = 0.01
    """Error of the position [m]."""

    yaw: float = 0.1
    """Largest error of the angle about the vertical, of either sign [rad]."""

    def start(self, draws: Draws, spec: TaskSpec, targets: Any = None) -> Signal:
        """See :meth:`Disturbance.start`."""
        places = state_places(spec)
        pose_terms = list(getattr(targets, "object_pose_terms", ()))
        position_terms = dict(getattr(targets, "object_position_terms", {}))
        if not any(name in pose_terms for name, _ in places):
            raise ZprlError(
                f"task {spec.task} has no observation term {' or '.join(pose_terms) or 'with an object pose'}, whose "
                "error is asked for."
            )
        frames = dict(places)
        lacking = [frame for name, _ in places if (frame := position_terms.get(name)) and frame not in frames]
        if lacking:
            raise ZprlError(
                f"the policy of task {spec.task} does not see {lacking[0]}, in whose frame it sees the object; no "
                "error of the object's pose can be told to it."
            )
        direction = draws.normal(3)
        shift = self.position * direction / direction.norm(dim=1, keepdim=True).clamp(min=1e-9)
        turn = _about_vertical((self.yaw if self.position else 0.0) * (2.0 * draws.uniform() - 1.0))

        def observe(obs: Tensor) -> Tensor:
            obs, true = obs.clone(), obs
            for name, place in places:
                if name in pose_terms:
                    pose = true[:, place]
                    columns = pose[:, 3:9].unflatten(1, (2, 3))
                    obs[:, place] = torch.cat(
                        [pose[:, :3] + shift, torch.einsum("nij,nkj->nki", turn, columns).flatten(1)], dim=1
                    )
                elif name in position_terms:
                    x, y = true[:, frames[position_terms[name]]][:, 3:9].unflatten(1, (2, 3)).unbind(dim=1)
                    axes = torch.stack([x, y, torch.linalg.cross(x, y)], dim=1)  # the frame's axes in the root frame
                    obs[:, place] += torch.einsum("nij,nj->ni", axes, shift)
            return obs

        return Signal(observe=observe)


@dataclass(frozen=True)
class ObjectPush(Disturbance):
    """The object is pushed once, horizontally in a random direction, between 0.25 and 1 s after the start."""

    unit: ClassVar[str] = "m/s"

    speed: float = 0.3
    """Change of the object's velocity [m/s]."""

    def start(self, draws: Draws, spec: TaskSpec, targets: Any = None) -> Signal:
        """See :meth:`Disturbance.start`."""
        when = ((0.25 + 0.75 * draws.uniform()) / spec.step_dt).long()
        angle = 2.0 * math.pi * draws.uniform()
        if not getattr(targets, "object_name", None):
            raise ZprlError(f"task {spec.task} does not say which object could be pushed.")
        velocity = self.speed * torch.stack([angle.cos(), angle.sin()], dim=1)
        steps = itertools.count()

        def push(env: TaskEnv) -> None:
            from isaaclab.envs.mdp import push_by_setting_velocity
            from isaaclab.managers import SceneEntityCfg

            world: Any = env.unwrapped  # type: ignore[attr-defined]
            for row in torch.nonzero(when == next(steps)).flatten().tolist():
                x, y = velocity[row].tolist()
                ids = torch.tensor([row], device=env.device, dtype=torch.int32)
                push_by_setting_velocity(world, ids, {"x": (x, x), "y": (y, y)}, SceneEntityCfg(targets.object_name))

        return Signal(disturb=push)


@dataclass(frozen=True)
class KickOrShift(Disturbance):
    """Once, at a random step of the middle third of the time limit, the object is kicked or a fixture is shifted.

    Either is as likely, if there is a fixture, and horizontal in a random direction. An episode that has ended before
    is not disturbed.
    """

    scale: float = 1.0
    """Factor on both ranges."""

    fixture: str = ""
    """The fixture, by its name in the scene; none: the object is always kicked."""

    kick: tuple[float, float] = (0.2, 0.4)
    """Range of the change of the object's velocity [m/s]."""

    shift: tuple[float, float] = (0.02, 0.04)
    """Range of the change of the fixture's place [m]."""

    def start(self, draws: Draws, spec: TaskSpec, targets: Any = None) -> Signal:
        """See :meth:`Disturbance.start`."""
        object_name = getattr(targets, "object_name", None)
        if not object_name:
            raise ZprlError(f"task {spec.task} does not say which object could be kicked.")
        when, share, size, angle = draws.uniform(4).unbind(dim=1)
        kicked = (share < 0.5) | (not self.fixture)
        direction = self.scale * torch.stack([(2.0 * math.pi * angle).cos(), (2.0 * math.pi * angle).sin()], dim=1)
        steps = itertools.count()

        def disturb(env: TaskEnv) -> None:
            scene = env.unwrapped.scene  # type: ignore[attr-defined]
            now = ((1.0 + when) / 3.0 * env.max_episode_length).long() == next(steps)
            for chosen, (low, high), name in (
                (kicked, self.kick, object_name),
                (~kicked, self.shift, self.fixture),
            ):
                rows = torch.nonzero(now & chosen).flatten()
                if len(rows):
                    change = (low + (high - low) * size[rows])[:, None] * direction[rows]
                    (_kick if name == object_name else _shift)(scene[name], rows, change)

        return Signal(disturb=disturb)


def _kick(asset: Any, rows: Tensor, change: Tensor) -> None:
    """Change the horizontal velocity of an asset in some worlds by (n, 2) [m/s]."""
    velocity = asset.data.root_vel_w.torch[rows].clone()
    velocity[:, :2] += change
    asset.write_root_velocity_to_sim_index(root_velocity=velocity, env_ids=rows.tolist())


def _shift(asset: Any, rows: Tensor, change: Tensor) -> None:
    """Move an asset in some worlds by (n, 2) [m]."""
    pose = asset.data.root_link_pose_w.torch[rows].clone()
    pose[:, :2] += change
    asset.write_root_pose_to_sim_index(root_pose=pose, env_ids=rows.tolist())


def state_places(spec: TaskSpec) -> list[tuple[str, slice]]:
    """Return each feature and its place in a vector of all groups but the images, side by side."""
    places, start = [], 0
    for group in spec.vectors:
        places += [(name, slice(start + p.start, start + p.stop)) for name, p in group.slices().items()]
        start += group.shape[0]
    return places


def _state_dim(spec: TaskSpec) -> int:
    return sum(group.shape[0] for group in spec.vectors)


def require_disturbable(disturbance: Disturbance, spec: TaskSpec) -> None:
    """Check that a disturbance reaches all that a policy observes.

    Raises:
        ZprlError: If it changes observations and the policy sees an image.
    """
    images = [group.name for group in spec.groups if group.is_image]
    if disturbance.observes and images:
        raise ZprlError(
            f"{type(disturbance).__name__} disturbs observations, and images such as {images[0]}, which this policy "
            "sees, cannot be disturbed yet; choose a disturbance of the actions or of the world."
        )


def _about_vertical(angle: Tensor) -> Tensor:
    """Rotation matrices (N, 3, 3) about z by angles (N,) [rad]."""
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], dim=1).unflatten(1, (3, 3))


def _whole(disturbance: Disturbance, value: float) -> int:
    if value != int(value):
        raise ZprlError(f"the strength {value} of {type(disturbance).__name__} is no whole number of control steps.")
    return int(value)
