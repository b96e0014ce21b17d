# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a task's policies see and do: named observations and actions, by which files, policies and tasks are matched.

At run time an observation is a mapping from the groups' names to tensors, :data:`Observations`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from zprl.utils.errors import ZprlError

Observations = Mapping[str, Tensor]
"""Observations by the names of a spec's groups: (N, D) float32 of features side by side, or an image (N, ...)."""

KINDS = ("state", "image", "privileged")
"""Kinds of features: what a robot measures, what its cameras see, and what only a simulator knows."""

DTYPES = ("float32", "float64", "float16", "uint8", "int8", "int16", "int32", "int64", "bool")
"""Types of a feature's numbers, by their names in NumPy and PyTorch."""


@dataclass(frozen=True)
class Feature:
    """A named part of an observation.

    Attributes:
        name: Name.
        shape: Shape of one value, without batch and history.
        kind: One of :data:`KINDS`.
        dtype: Type of its numbers, such as "float32", or "uint8" for an image.
        history: Number of values, oldest first, that an observation holds.
        renderer: What draws it, of an image that is drawn; "" for one of a real camera, or of whatever renderer.
    """

    name: str
    shape: tuple[int, ...]
    kind: str = "state"
    dtype: str = "float32"
    history: int = 1
    renderer: str = ""

    def __post_init__(self) -> None:
        if min((*self.shape, self.history)) < 1:
            raise ZprlError(
                f"the feature {self.name} has the shape {list(self.shape)} and a history of {self.history}; both "
                "are of positive numbers."
            )
        if self.dtype not in DTYPES:
            raise ZprlError(f"the feature {self.name} has the dtype {self.dtype!r}; choose one of {', '.join(DTYPES)}.")

    @property
    def size(self) -> int:
        """Number of its numbers in an observation."""
        return math.prod(self.shape) * self.history

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape))
        dtype = "" if self.dtype == "float32" else f" {self.dtype}"
        history = f", {self.history} steps" if self.history > 1 else ""
        return f"{self.name}[{shape}{dtype}{history}{'' if self.kind == 'state' else f', {self.kind}'}]"


@dataclass(frozen=True)
class Group:
    """What stands under one name in an observation: state features side by side in one vector, or one image.

    Attributes:
        name: Name of the group.
        features: Its features, in order; those of a group are of one kind, and an image is alone.
    """

    name: str
    features: tuple[Feature, ...]

    def __post_init__(self) -> None:
        kinds = {feature.kind for feature in self.features}
        if len(kinds) != 1 or not kinds <= set(KINDS) or (self.is_image and len(self.features) > 1):
            raise ZprlError(
                f"the observation group {self.name} must hold one image or features that are all of kind state or "
                f"privileged; it holds {', '.join(f'{f.name} ({f.kind})' for f in self.features) or 'none'}."
            )

    @classmethod
    def vector(cls, name: str, terms: Iterable[tuple[str, int]], kind: str = "state") -> Group:
        """Return a group of flat features, given by name and size."""
        return cls(name, tuple(Feature(term, (int(size),), kind) for term, size in terms))

    @property
    def kind(self) -> str:
        """Kind of its features."""
        return self.features[0].kind

    @property
    def is_image(self) -> bool:
        """Whether it holds an image."""
        return bool(self.features) and self.kind == "image"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of its tensors without the batch; an image of several steps has the steps in front."""
        if not self.is_image:
            return (sum(feature.size for feature in self.features),)
        (feature,) = self.features
        return (feature.history, *feature.shape) if feature.history > 1 else feature.shape

    def slices(self) -> dict[str, slice]:
        """Return where each feature lies in the group's vector."""
        places, start = {}, 0
        for feature in self.features:
            places[feature.name] = slice(start, start + feature.size)
            start += feature.size
        return places


@dataclass(frozen=True)
class ActionTerm:
    """A named part of the action vector.

    Attributes:
        name: Name.
        low: Lower limit of each element; -inf for none.
        high: Upper limit of each element; inf for none.
        idle: What keeps the robot as it is when no policy acts.
    """

    name: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    idle: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.low) == len(self.high) == len(self.idle):
            raise ZprlError(
                f"the action term {self.name} has {len(self.low)} lower limits, {len(self.high)} upper limits and "
                f"{len(self.idle)} idle values; give one of each per element."
            )
        if not all(low <= high for low, high in zip(self.low, self.high, strict=True)):  # NaN is neither
            raise ZprlError(
                f"the action term {self.name} has lower limits {list(self.low)} that are not below the upper limits "
                f"{list(self.high)}."
            )
        if not all(map(math.isfinite, self.idle)):
            raise ZprlError(f"the action term {self.name} has an idle value that is not finite: {list(self.idle)}.")

    @classmethod
    def uniform(cls, name: str, size: int, low: float = -1.0, high: float = 1.0, idle: float = 0.0) -> ActionTerm:
        """Return a term whose elements have the same limits and idle value."""
        return cls(name, (low,) * size, (high,) * size, (idle,) * size)

    @property
    def size(self) -> int:
        """Number of elements."""
        return len(self.idle)

    def __str__(self) -> str:
        return f"{self.name}[{self.size}]"


@dataclass(frozen=True)
class TaskSpec:
    """What the policies of a task see and do.

    Attributes:
        task: Task id.
        groups: Observation groups.
        actions: Action terms, in the order of the action vector.
        step_dt: Control period [s].
        tracked: Names of the features whose first three numbers are the position [m] of a point whose smoothness is
            measured: one end effector per arm.
        joints: Names of the features that are joints' positions, whose smoothness is measured as well.
    """

    task: str
    groups: tuple[Group, ...]
    actions: tuple[ActionTerm, ...]
    step_dt: float
    tracked: tuple[str, ...] = ()
    joints: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.step_dt) and self.step_dt > 0.0):
            raise ZprlError(
                f"the task {self.task} has a control period of {self.step_dt} s; it is a positive number of seconds."
            )
        if not self.groups or not self.actions:
            raise ZprlError(f"the task {self.task} has no {'action term' if self.groups else 'observation group'}.")

    # -- observations

    def group(self, name: str, who: str = "") -> Group:
        """Return a group.

        Args:
            name: Its name.
            who: Who needs it, for the error message.

        Raises:
            ZprlError: If there is none of that name.
        """
        for group in self.groups:
            if group.name == name:
                return group
        known = ", ".join(group.name for group in self.groups) or "none"
        raise ZprlError(
            f"task {self.task} has no observation group '{name}'{who and f', which {who} needs'}; it has {known}."
        )

    def seen_by(self, groups: Iterable[str]) -> TaskSpec:
        """Return the spec of a policy that sees only some groups.

        Raises:
            ZprlError: If there is none of a name.
        """
        return replace(self, groups=tuple(self.group(name, who="the policy") for name in groups))

    @property
    def vectors(self) -> tuple[Group, ...]:
        """All groups but the images."""
        return tuple(group for group in self.groups if not group.is_image)

    @property
    def privileged(self) -> tuple[Group, ...]:
        """All groups that only a simulator knows."""
        return tuple(group for group in self.groups if group.kind == "privileged")

    def find(self, feature: str) -> tuple[str, slice] | None:
        """Return the group that holds a state or privileged feature and its place there, or None."""
        for group in self.vectors:
            if feature in (places := group.slices()):
                return group.name, places[feature]
        return None

    def positions(self, obs: Mapping[str, Tensor]) -> Tensor | None:
        """Return the positions of the tracked points [m], shape (N, P, 3), or None if there are none."""
        points = [values[:, :3] for values in self._observed(obs, self.tracked)]
        return torch.stack(points, dim=1) if points else None

    def joint_positions(self, obs: Observations) -> Tensor | None:
        """Return the positions of the joints that are measured, shape (N, J), or None if there are none."""
        values = self._observed(obs, self.joints)
        return torch.cat(values, dim=1) if values else None

    def _observed(self, obs: Observations, names: Sequence[str]) -> list[Tensor]:
        found = []
        for name in names:
            place = self.find(name)
            if place is None:
                raise ZprlError(f"task {self.task} tracks the feature {name}, which it does not observe.")
            found.append(obs[place[0]][:, place[1]])
        return found

    def zeros(self, num_envs: int = 1) -> Observations:
        """Return observations that are all zero, to try something out on their shapes."""
        return {
            group.name: torch.zeros(num_envs, *group.shape, dtype=getattr(torch, group.features[0].dtype))
            for group in self.groups
        }

    # -- actions

    @property
    def action_dim(self) -> int:
        """Length of the action vector A."""
        return sum(term.size for term in self.actions)

    def action_limits(self) -> tuple[Tensor, Tensor]:
        """Return the lower and the upper limits of the action vector, (A,) each."""
        return self._over_actions("low"), self._over_actions("high")

    def beyond_limits(self, actions: Tensor) -> str:
        """Return which term's limits float32 actions (T, A) leave and how far, for an error message; "" if none."""
        low, high = self.action_limits()
        start = 0
        for term in self.actions:
            place = slice(start, start + term.size)
            start += term.size
            beyond = (actions[:, place] < low[place]) | (actions[:, place] > high[place])
            if beyond.any():
                i = int(beyond.any(dim=0).nonzero()[0])
                values = actions[:, place][:, i]
                return (
                    f"actions from {values.min():g} to {values.max():g} in element {i} of the action term {term.name}, "
                    f"whose limits are {term.low[i]:g} and {term.high[i]:g}"
                )
        return ""

    def idle_action(self, device: str | torch.device = "cpu") -> Tensor:
        """Return the action that keeps the robot as it is (A,)."""
        return self._over_actions("idle").to(device)

    def random_actions(self, num_envs: int, generator: torch.Generator) -> Tensor:
        """Draw actions (N, A) uniformly within the limits, on the generator's device; within [-1, 1] where none are."""
        low, high = (limit.to(generator.device) for limit in self.action_limits())
        low, high = torch.where(low.isinf(), -1.0, low), torch.where(high.isinf(), 1.0, high)
        share = torch.rand(num_envs, self.action_dim, generator=generator, device=generator.device)
        return low + (high - low) * share

    def _over_actions(self, name: str) -> Tensor:
        return torch.tensor([value for term in self.actions for value in getattr(term, name)], dtype=torch.float32)

    # -- files

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them; a limit that does not exist is None."""
        return _plain(asdict(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TaskSpec:
        """Read what :meth:`to_dict` returned.

        Raises:
            KeyError: If an entry is missing.
            TypeError: If an entry has a wrong type.
            ValueError: If an entry has a wrong value.
        """
        groups = []
        for group in typed(values, "groups", list):
            features = (
                Feature(
                    typed(f, "name", str),
                    tuple(_whole(size, "shape") for size in typed(f, "shape", list)),
                    typed(f, "kind", str),
                    typed(f, "dtype", str),
                    typed(f, "history", int),
                    typed(f, "renderer", str) if "renderer" in f else "",
                )
                for f in typed(group, "features", list)
            )
            groups.append(Group(typed(group, "name", str), tuple(features)))
        actions = tuple(
            ActionTerm(
                typed(term, "name", str),
                tuple(-math.inf if value is None else _number(value, "low") for value in typed(term, "low", list)),
                tuple(math.inf if value is None else _number(value, "high") for value in typed(term, "high", list)),
                tuple(_number(value, "idle") for value in typed(term, "idle", list)),
            )
            for term in typed(values, "actions", list)
        )
        tracked = tuple(str(name) for name in typed(values, "tracked", list))
        joints = tuple(str(name) for name in typed(values, "joints", list)) if "joints" in values else ()
        step_dt = _number(values["step_dt"], "step_dt")
        return cls(typed(values, "task", str), tuple(groups), actions, step_dt, tracked, joints)

    # -- matching

    def require_match(self, other: TaskSpec, what: str) -> None:
        """Check that something made for another spec fits this one.

        Only the groups that it was made for have to be there: a task may observe more.

        Args:
            other: The spec that ``what`` was made for.
            what: What it is, for the error message, such as "the checkpoint run/model_10.safetensors".

        Raises:
            ZprlError: If the tasks, the observations, the actions or the control periods differ.
        """
        require_task(self.task, other.task, what)
        hint = "use the configuration it was made with or make it anew."
        for theirs in other.groups:
            ours = self.group(theirs.name, who=what)
            drawn = {f.renderer for group in (ours, theirs) for f in group.features if f.renderer}
            if len(drawn) > 1:
                (mine,), (other_one,) = ours.features, theirs.features
                raise ZprlError(
                    f"{what} was made for images {theirs.name} by the {other_one.renderer} renderer, and task "
                    f"{self.task} draws them by the {mine.renderer} one, which look different; choose "
                    f"renderer={other_one.renderer}, or pass env.any_renderer=True to use it nevertheless."
                )
            if _undrawn(ours) != _undrawn(theirs):
                raise ZprlError(
                    f"{what} was made for observation terms {_listed(theirs.features)} of group {theirs.name}, but "
                    f"task {self.task} has {_listed(ours.features)}; {hint}"
                )
        if other.actions != self.actions:
            alike = [str(term) for term in other.actions] == [str(term) for term in self.actions]
            describe = _limits if alike else _listed
            raise ZprlError(
                f"{what} was made for action terms {describe(other.actions)}, but task {self.task} has "
                f"{describe(self.actions)}; {hint}"
            )
        if abs(other.step_dt - self.step_dt) > 1e-9:
            raise ZprlError(
                f"{what} was made for a control period of {other.step_dt} s, but task {self.task} runs at "
                f"{self.step_dt} s; {hint}"
            )


def _undrawn(group: Group) -> Group:
    """Return a group of images as if no renderer drew them."""
    return Group(group.name, tuple(replace(feature, renderer="") for feature in group.features))


def require_task(task: str, theirs: str, what: str) -> None:
    """Check that something made for a task is to be used in that one.

    Args:
        task: The task in which it is to be used.
        theirs: The task that it was made for.
        what: What it is, for the error message.

    Raises:
        ZprlError: If the tasks differ.
    """
    if theirs != task:
        raise ZprlError(f"{what} belongs to task {theirs}, not to {task}; pass --task {theirs}.")


def typed[Value](values: Mapping[str, Any], name: str, kind: type[Value]) -> Value:
    """Return an entry of a decoded file.

    Raises:
        KeyError: If it is missing.
        TypeError: If it is of another type; a truth value is no number.
    """
    value = values[name]
    if not isinstance(value, kind) or isinstance(value, bool) is not (kind is bool):
        raise TypeError(f"{name} is {str(value)[:40]!r}")
    return value


def _whole(value: Any, name: str) -> int:
    return typed({name: value}, name, int)


def _number(value: Any, name: str) -> float:
    return float(value) if isinstance(value, float) else float(_whole(value, name))


def _listed(parts: Iterable[Feature | ActionTerm]) -> str:
    return ", ".join(map(str, parts))


def _limits(terms: Iterable[ActionTerm]) -> str:
    return ", ".join(f"{t} in [{list(t.low)}, {list(t.high)}] idling at {list(t.idle)}" for t in terms)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
