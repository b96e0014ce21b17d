# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a data set of others calls what a task observes and does, and what can be told from its numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, NoReturn

import numpy as np
import torch

from zprl.data.demonstrations import BEYOND_LIMITS, Demonstration
from zprl.spec import Feature, Group, TaskSpec
from zprl.utils.configclass import configclass
from zprl.utils.constraints import Name, NotEmpty
from zprl.utils.errors import ZprlError

SETTING = "agent.dataset_names"
"""Where a task's configuration has its :class:`DatasetNamesCfg`."""


@configclass
class DatasetNamesCfg:
    """How data sets of others name what the task observes and does; this project's own say so themselves."""

    features: dict[str, Annotated[list[Name], NotEmpty()]] = {}
    """The data set's key, such as "observation.state", and the observation terms that stand there side by side. A term
    that is named nowhere has its format's usual place: in LeRobot's, all states that the policy sees are
    "observation.state", privileged terms "observation.environment_state" and an image "observation.images.<term>", in
    the task's order; in robomimic's, each is a key of its own name."""

    action: str = ""
    """The data set's key of the actions; "" for its format's usual one."""

    filter_key: str = ""
    """Subset of the demonstrations, one of robomimic's filter keys; "" for all."""

    refuse_absolute_actions: bool = True
    """Whether to refuse actions that follow a quantity which is observed, as absolute targets do, for an action term
    that idles at zero, as that of a change does."""


@dataclass(frozen=True)
class NameMap:
    """Where in a data set of others each observation of a task stands.

    Attributes:
        spec: The task's spec, with the groups that the data set has.
        keys: The features that stand side by side under each key.
        action: Key of the actions.
        notes: The same for the user, a line each.
    """

    spec: TaskSpec
    keys: Mapping[str, tuple[Feature, ...]]
    action: str
    notes: tuple[str, ...]

    def observations(self, read: Callable[[str, tuple[Feature, ...]], np.ndarray]) -> dict[str, np.ndarray]:
        """Return an episode's observations by group.

        Args:
            read: Returns what stands under a key for some features: (T, size) float32, or images (T, ...).
        """
        values: dict[str, np.ndarray] = {}
        for key, features in self.keys.items():
            array = read(key, features)
            if features[0].kind == "image":
                values[features[0].name] = array
            else:
                ends = itertools.accumulate(feature.size for feature in features)  # of whatever kinds they are
                values |= {f.name: array[:, end - f.size : end] for f, end in zip(features, ends, strict=True)}
        observations = {}
        for group in self.spec.groups:
            parts = [values[feature.name] for feature in group.features]
            observations[group.name] = parts[0] if group.is_image else np.concatenate(parts, axis=1)
        return observations


class Namer:
    """Finds the names of a data set; every refusal names it.

    Args:
        what: What the data set is, for the error messages, such as "the LeRobot data set demos".
        spec: The task's spec.
        cfg: Names that the task's configuration gives.
        groups: Groups that must be there, or None for all of the spec's. What the data set does not have of the others
            is left out.
    """

    def __init__(
        self, what: str, spec: TaskSpec, cfg: DatasetNamesCfg | None = None, groups: Iterable[str] | None = None
    ) -> None:
        self.what = what
        self.spec = spec
        self.cfg = cfg or DatasetNamesCfg()
        self.needed = {group.name for group in spec.groups} if groups is None else set(groups)
        for name in sorted(self.needed):
            spec.group(name, who="the policy")

    def resolve(
        self, usual: Callable[[Group, Feature], str], available: Mapping[str, tuple[int, ...]], usual_action: str
    ) -> NameMap:
        """Find where everything stands.

        Args:
            usual: Returns the key under which a format usually has a feature of a group.
            available: Shape of one step's value by the data set's keys.
            usual_action: The key under which the format usually has the actions.

        Raises:
            ZprlError: If the configuration names a term that the task does not have, or the data set lacks a key or has
                another size under one.
        """
        places, groups, left_out = self._given(), list(self.spec.groups), []
        while True:
            keys = self._keys(groups, places, usual)
            misfits = (self._misfit(key, under, available) for key, under in keys.items())
            features, problem = next(filter(None, misfits), ((), ""))
            if not problem:
                break
            owners = [group for group in groups if set(group.features) & set(features)]
            if any(group.name in self.needed for group in owners):
                self._refuse(problem)
            groups = [group for group in groups if group not in owners]
            left_out += [f"without the group {group.name}: it {problem.partition(';')[0]}" for group in owners]
        action = self.cfg.action or usual_action
        if action not in available:
            self._refuse(f"has no {action}, its actions; it has {_some(available)}: say which by {SETTING}.action")
        size = math.prod(available[action])
        if size != self.spec.action_dim:
            self._refuse(
                f"has {size} numbers in {action}, and task {self.spec.task} acts by {self.spec.action_dim}: "
                f"{', '.join(map(str, self.spec.actions))}; convert the actions to those"
            )
        used = {*keys, action}
        notes = [f"{key} is {', '.join(map(str, under))}" for key, under in keys.items()]
        notes.append(f"{action} is {', '.join(map(str, self.spec.actions))}")
        if unused := [key for key in available if key not in used]:
            notes.append(f"not used: {_some(unused)}")
        return NameMap(replace(self.spec, groups=tuple(groups)), keys, action, (*notes, *left_out))

    def check_period(self, frequency: float) -> None:
        """Refuse a data set of another control frequency [Hz] than the task's.

        Raises:
            ZprlError: If it is.
        """
        if abs(frequency * self.spec.step_dt - 1.0) > 1e-6:
            self._refuse(
                f"was recorded at {frequency:g} Hz, and task {self.spec.task} runs at {1.0 / self.spec.step_dt:g} Hz; "
                "resample it, or change the task's control period"
            )

    def check_actions(self, episodes: Sequence[Demonstration]) -> None:
        """Refuse actions that are absolute where the task's are changes, as far as that can be told.

        Raises:
            ZprlError: If they are, or if they go beyond the task's limits.
        """
        follows = self._followed(episodes) if self.cfg.refuse_absolute_actions else ""
        if follows:
            self._refuse(
                f"has actions that look like absolute targets: {follows} at the next step, and that term idles at "
                f"zero, as changes do; convert them, or pass {SETTING}.refuse_absolute_actions=false if they are right"
            )
        for index, episode in enumerate(episodes):
            if beyond := self.spec.beyond_limits(torch.from_numpy(episode.actions)):
                self._refuse(f"holds {beyond}, in episode {index}; {BEYOND_LIMITS}")

    def _followed(self, episodes: Sequence[Demonstration]) -> str:
        """Return which action term follows which observed quantity, or "".

        A term does if most of its elements differ from what is observed one step later by less than a tenth of their
        own standard deviation. Not counted are copies of the action, which some tasks observe, and velocities, which a
        velocity command is followed by.
        """
        episodes = [episode for episode in episodes if len(episode.actions) > 1]
        if not episodes:
            return ""
        actions = np.concatenate([episode.actions[:-1] for episode in episodes])
        seen: list[tuple[str, np.ndarray]] = []
        for group in self.spec.groups:
            if group.kind == "state" and group.name in episodes[0].observations:
                after = np.concatenate([episode.observations[group.name][1:] for episode in episodes])
                places = group.slices().items()
                seen += [(name, after[:, i]) for name, at in places for i in range(at.start, at.stop)]
        start = 0
        for term in self.spec.actions:
            columns = actions[:, start : start + term.size].T
            start += term.size
            followed = [name for column in columns if (name := _followed_by(column, seen))]
            if not any(term.idle) and 2 * len(followed) > term.size:
                return f"{len(followed)} of the {term.size} elements of {term.name} are close to {followed[0]}"
        return ""

    def _given(self) -> dict[str, str]:
        """Return the key of every feature that the configuration names."""
        known = {feature.name: feature for group in self.spec.groups for feature in group.features}
        places: dict[str, str] = {}
        for key, names in self.cfg.features.items():
            for name in names:
                if name not in known:
                    raise ZprlError(
                        f"{SETTING}.features names the term {name} for {key}, which task {self.spec.task} does not "
                        f"observe; it observes {_some(known)}."
                    )
                if name in places:
                    raise ZprlError(f"{SETTING}.features names the term {name} twice; give it one place.")
                places[name] = key
            if len(names) > 1 and any(known[name].kind == "image" for name in names):
                raise ZprlError(f"{SETTING}.features puts an image beside another term in {key}; it stands alone.")
        return places

    def _keys(
        self, groups: Sequence[Group], places: Mapping[str, str], usual: Callable[[Group, Feature], str]
    ) -> dict[str, tuple[Feature, ...]]:
        """Return the features of some groups by key; those that the configuration puts beside them are there too."""
        known = {feature.name: feature for group in self.spec.groups for feature in group.features}
        here = {feature.name for group in groups for feature in group.features}
        keys: dict[str, tuple[Feature, ...]] = {}
        for key, names in self.cfg.features.items():
            if here & set(names):
                keys[key] = tuple(known[name] for name in names)
        for group in groups:
            for feature in group.features:
                if feature.name not in places:
                    keys[usual(group, feature)] = (*keys.get(usual(group, feature), ()), feature)
        return keys

    def _misfit(
        self, key: str, features: tuple[Feature, ...], available: Mapping[str, tuple[int, ...]]
    ) -> tuple[tuple[Feature, ...], str] | None:
        """Return which features do not stand under a key and why, as the end of a sentence, or None if all do."""
        task = self.spec.task
        given = self.cfg.features.get(key)
        if given is not None and (more := tuple(feature for feature in features if feature.name not in given)):
            return more, (
                f"has {', '.join(given)} in {key}, as {SETTING}.features says, and so no usual place for "
                f"{', '.join(map(str, more))} of task {task}; say there where that is"
            )
        terms = ", ".join(map(str, features))
        if key not in available:
            return features, (
                f"has no {key}, where {terms} of task {task} would be; it has {_some(available)}: say by "
                f"{SETTING}.features which it is"
            )
        shape = available[key]
        if features[0].kind == "image":
            wanted = Group(key, features).shape
        else:
            shape, wanted = (math.prod(shape),), (sum(feature.size for feature in features),)
        if shape == wanted:
            return None
        return features, (
            f"has {_sized(shape)} a step in {key}, and task {task} has {_sized(wanted)} there, {terms}; convert it, or "
            f"say by {SETTING}.features what stands where"
        )

    def _refuse(self, problem: str) -> NoReturn:
        raise ZprlError(f"{self.what} {problem}.")


def _followed_by(action: np.ndarray, seen: Sequence[tuple[str, np.ndarray]]) -> str:
    """Return the observed quantity that an action's element is close to, or ""."""
    scale = float(action.std())
    for name, values in seen:
        if scale > 1e-6 and values.std() > 0.5 * scale and "vel" not in name:
            error = np.abs(action - values)
            if error.max() > 1e-6 and np.sqrt(np.square(error).mean()) < 0.1 * scale:
                return name
    return ""


def _sized(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} numbers" if len(shape) == 1 else f"images of {'x'.join(map(str, shape))}"


def _some(names: Iterable[str], limit: int = 12) -> str:
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(name[:60] for name in names[:limit]) + more or "nothing"
