# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The contract of a policy, read off its task, its demonstrations and its recorded episodes."""

from __future__ import annotations

import dataclasses
import math
import platform
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from zprl.data import load_demonstrations
from zprl.deploy.contract import FORMAT, VERSION, Contract
from zprl.deploy.contract_parts import (
    ActionDimension,
    Control,
    InitialNoise,
    Latent,
    Observation,
    ObservationGroup,
    ObservationTerm,
    Provenance,
)
from zprl.envs.description import TaskDescription, TermDescription
from zprl.spec import Group
from zprl.utils.errors import ZprlError
from zprl.utils.files import checksum, load_json
from zprl.utils.provenance import git_commit, package_versions

if TYPE_CHECKING:
    from zprl.deploy.golden import Recording
    from zprl.deploy.source import Source
    from zprl.deploy.steered import SteeredPolicy

_PACKAGES = ("zprl", "isaaclab", "newton", "mujoco", "gymnasium", "torch", "rsl-rl-lib", "numpy")

_ROWS_AT_ONCE = 256


class Experience:
    """What a policy has met: its demonstrations, if they are at hand, and the recorded episodes."""

    def __init__(self, source: Source, recording: Recording) -> None:
        self.groups = [group.name for group in source.spec.groups]
        self.source = f"{recording.num_episodes} recorded episodes"
        actions, dataset = list(recording.episode_actions()), source.meta.get("dataset")
        episodes: list[Mapping[str, np.ndarray]] = []
        try:
            if dataset is None:
                raise ZprlError("the policy does not say what it learned from.")
            demos = load_demonstrations(dataset)
            demos.spec.seen_by(self.groups)
            episodes = [episode.observations for episode in demos.episodes]
            actions += [episode.actions for episode in demos.episodes]
            self.source = f"{demos.num_demos} demonstrations and {self.source}"
        except ZprlError as error:
            print(f"warning: ranges come from recorded episodes alone: {error}", file=sys.stderr, flush=True)
        self._vectors = [recording.obs, *episodes]
        images = any(group.is_image for group in source.spec.groups)
        self._together = [recording.planned_on() if images else recording.obs, *episodes]
        self.max_change = np.max([np.abs(np.diff(a, axis=0)).max(axis=0, initial=0.0) for a in actions], axis=0)

    def vector(self, group: str) -> np.ndarray:
        """Return all that was observed in a group of vectors, (M, D)."""
        return np.concatenate([obs[group] for obs in self._vectors])

    def batches(self) -> Iterator[list[Tensor]]:
        """Yield all that was observed in all groups at once, in their order: (N, ...) each."""
        for obs in self._together:
            for start in range(0, len(obs[self.groups[0]]), _ROWS_AT_ONCE):
                yield [torch.as_tensor(obs[group][start : start + _ROWS_AT_ONCE]) for group in self.groups]


def build_contract(
    source: Source, description: TaskDescription, reference: SteeredPolicy, recording: Recording
) -> Contract:
    """Return the contract of a policy, still without files.

    Args:
        source: The policy.
        description: What the environment knows beside its spec.
        reference: The steered policy in double precision.
        recording: Episodes in which it acted.

    Raises:
        ZprlError: If the contract has no place for the policy's observations.
    """
    cfg, spec, checkpoint = source.policy.cfg, source.spec, source.checkpoint
    experience = Experience(source, recording)
    noise = cfg.initial_noise
    values = reference.noise[0].float().tolist() if noise == "fixed" else None
    result = source.path.with_name("result.json")
    evaluation = load_json(result, "result") if checkpoint is not None and result.is_file() else None
    if evaluation is not None:
        evaluation.pop("history", None)
    return Contract(
        format=FORMAT,
        version=VERSION,
        task=spec.task,
        policy="base" if checkpoint is None else "steered",
        observation=Observation(experience.source, list(_observation_groups(source, description, experience))),
        action=_action_dimensions(source, description, experience),
        control=Control(
            period=spec.step_dt,
            horizon=cfg.horizon,
            execute_steps=cfg.execute_steps,
            replan=f"every {cfg.execute_steps} control steps, on the observation before the step; the rest of "
            "the chunk is dropped",
            initial_noise=InitialNoise(noise, None, values),
        ),
        joints=list(description.joints),
        latent=_latent(source, reference, experience),
        provenance=Provenance(
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            checkpoint=source.path.name,
            checkpoint_sha256=checksum(source.path),
            environment_steps=checkpoint.env_steps if checkpoint else 0,
            physics=checkpoint.settings.get("physics") if checkpoint else None,
            packages={"python": platform.python_version(), **package_versions(_PACKAGES)},
            git_commit=git_commit(),
        ),
        evaluation=evaluation,
        files={},
    )


def contract_group(group: Group) -> ObservationGroup:
    """Return what a contract says of an observation group, without descriptions and ranges.

    Raises:
        ZprlError: If its features hold different numbers of steps, for which a contract has no place.
    """
    history = {feature.history for feature in group.features}
    if len(history) > 1:
        raise ZprlError(
            f"the features of the observation group {group.name} hold different numbers of control steps; put those of "
            "different history into groups of their own."
        )
    places = group.slices().items()
    terms = [ObservationTerm(name, place.start, place.stop - place.start, *[None] * 8) for name, place in places]
    shape = list(group.features[0].shape if group.is_image else group.shape)
    return ObservationGroup(group.name, group.kind, group.features[0].dtype, shape, history.pop(), terms)


def _observation_groups(
    source: Source, description: TaskDescription, experience: Experience
) -> Iterator[ObservationGroup]:
    normalizer = source.policy.obs_normalizer
    means, stds = source.by_group(normalizer.mean), source.by_group(normalizer.std)
    for group in source.spec.groups:
        plain = contract_group(group)
        if group.is_image:
            yield plain
            continue
        observed, terms = experience.vector(group.name), []
        for term in plain.features:
            found = _fitting(description.observations.get((group.name, term.name)), term.name, term.size)
            place = slice(term.start, term.start + term.size)
            terms.append(
                dataclasses.replace(
                    term,
                    elements=found and found.elements,
                    units=found and found.units,
                    frame=found and found.frame,
                    description=found and found.text,
                    minimum=observed[:, place].min(axis=0).tolist(),
                    maximum=observed[:, place].max(axis=0).tolist(),
                    mean=means[group.name][place].tolist() if group.name in means else None,
                    std=stds[group.name][place].tolist() if group.name in stds else None,
                )
            )
        yield dataclasses.replace(plain, features=terms)


def _action_dimensions(source: Source, description: TaskDescription, experience: Experience) -> list[ActionDimension]:
    dimensions: list[ActionDimension] = []
    for term in source.spec.actions:
        found = _fitting(description.actions.get(term.name), term.name, term.size)
        for i in range(term.size):
            dimensions.append(
                ActionDimension(
                    name=found.elements[i] if found else f"{term.name}_{i}",
                    term=term.name,
                    unit=found and found.units[i],
                    frame=found and found.frame,
                    description=found and found.text,
                    scale=found.scale[i] if found and found.scale else None,
                    low=_finite_or_none(term.low[i]),
                    high=_finite_or_none(term.high[i]),
                    max_change=float(experience.max_change[len(dimensions)]),
                    hold=None if found and found.repeats else term.idle[i],
                )
            )
    return dimensions


def _fitting(description: TermDescription | None, name: str, size: int) -> TermDescription | None:
    """Return a term's description if there is one and it fits, or None and one line on stderr."""
    if description is not None and len(description.elements) == len(description.units) == size:
        return description
    why = "is not described" if description is None else f"is described with {len(description.elements)} elements"
    print(
        f"warning: the term {name} of {size} elements {why}; its units and frame are null in the contract (describe it "
        "as zprl/tasks/mdp/descriptions.py does)",
        file=sys.stderr,
        flush=True,
    )
    return None


@torch.no_grad()
def _latent(source: Source, reference: SteeredPolicy, experience: Experience) -> Latent | None:
    if not reference.has_latent:
        return None
    z = torch.cat([reference.latent(*rows) for rows in experience.batches()])
    return Latent(
        size=z.shape[1],
        residual_scale=source.residual_scale,
        rms=source.base.knobs["latent"].rms,
        mean=z.mean(dim=0).tolist(),
        std=z.std(dim=0, correction=0).tolist(),
        source=experience.source,
    )


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
