# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The contract of a policy, read off its task, its demonstrations and its recorded episodes."""

from __future__ import annotations

import dataclasses
import math
import platform
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import torch

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
from zprl.policies import Experience
from zprl.spec import Group, TaskSpec
from zprl.utils.errors import ZprlError
from zprl.utils.files import checksum, load_json
from zprl.utils.provenance import git_commit, package_versions

if TYPE_CHECKING:
    from zprl.deploy.golden import Recording
    from zprl.deploy.source import Source
    from zprl.deploy.steered import SteeredPolicy

_PACKAGES = ("zprl", "isaaclab", "newton", "mujoco", "gymnasium", "torch", "rsl-rl-lib", "numpy")

_ROWS_AT_ONCE = 256

MIN_CHANGE = 0.025
"""Least ``max_change`` of an action with limits, of their width; csrc/runtime/bundle.cpp reads no less."""


@torch.no_grad()
def experience_of(source: Source, reference: SteeredPolicy, recording: Recording) -> tuple[Experience, str]:
    """Return what a policy has met in recorded episodes and, if its file says so, in its demonstrations; and where.

    The demonstrations themselves are not looked for: nobody knows what has become of the file that they were read from.

    Raises:
        ZprlError: If the policy's file holds numbers that do not fit it.
    """
    groups = [group.name for group in source.spec.groups]
    images = any(group.is_image for group in source.spec.groups)
    seen = recording.planned_on() if images else recording.obs
    count = len(seen[groups[0]])
    batches = [
        [torch.as_tensor(seen[group][start : start + _ROWS_AT_ONCE]) for group in groups]
        for start in range(0, count, _ROWS_AT_ONCE)
    ]
    z = torch.cat([reference.latent(*rows) for rows in batches])
    mean, std = z.mean(dim=0).tolist(), z.std(dim=0, correction=0).tolist()
    recorded = Experience.of([recording.obs], list(recording.episode_actions()), count, mean, std)
    where = f"{recording.num_episodes} recorded episodes"
    demonstrations: Any = source.meta.get("demonstrations")
    try:
        if reason := _why_unknown(demonstrations, source.spec):
            print(f"warning: ranges come from recorded episodes alone: {reason}", file=sys.stderr, flush=True)
            return recorded, where
        demonstrated = Experience.from_dict(demonstrations["experience"], source.spec, z.shape[1])
        where = f"{int(demonstrations['num_demos'])} demonstrations and {where}"
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ZprlError(
            f"what the base policy of {source.path} says of its demonstrations does not fit it ({error}); train it "
            "again."
        ) from error
    return recorded.merged(demonstrated), where


def _why_unknown(demonstrations: Any, spec: TaskSpec) -> str:
    """Return why what a base policy says of its demonstrations, or None, lacks their ranges; "" if it does not."""
    if demonstrations is None:
        return "its file, of an older version, does not hold those of its demonstrations"
    known = demonstrations["experience"]["minimum"]
    unseen = [group.name for group in spec.vectors if group.name not in known]
    return f"its demonstrations hold no observations {unseen[0]}" if unseen else ""


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
    experience, where = experience_of(source, reference, recording)
    noise = cfg.initial_noise
    values = reference.noise[0].float().tolist() if noise == "fixed" else None
    result = source.path.with_name("result.json")
    evaluation = load_json(result, "result", {}) if checkpoint is not None and result.is_file() else None
    if evaluation is not None:
        evaluation.pop("history", None)
    return Contract(
        format=FORMAT,
        version=VERSION,
        task=spec.task,
        policy="base" if checkpoint is None else "steered",
        observation=Observation(where, list(_observation_groups(source, description, experience))),
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
        latent=_latent(source, reference, experience, where),
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
    shape = list(group.features[0].shape if group.is_image else group.shape)
    places = group.slices()
    if group.is_image:  # of which a contract counts the elements of one control step
        places = {name: slice(0, math.prod(shape)) for name in places}
    terms = [ObservationTerm(name, p.start, p.stop - p.start, *[None] * 8) for name, p in places.items()]
    return ObservationGroup(group.name, group.kind, group.features[0].dtype, shape, history.pop(), terms)


def _observation_groups(
    source: Source, description: TaskDescription, experience: Experience
) -> Iterator[ObservationGroup]:
    normalizer = source.policy.obs_normalizer
    means, stds = source.by_group(normalizer.mean), source.by_group(normalizer.std)
    for group in source.spec.groups:
        plain = contract_group(group)
        if group.is_image:
            yield dataclasses.replace(plain, camera=description.cameras.get(group.name))
            continue
        minimum, maximum, terms = experience.minimum[group.name], experience.maximum[group.name], []
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
                    minimum=minimum[place],
                    maximum=maximum[place],
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
                    max_change=named_change(float(experience.max_change[len(dimensions)]), term.low[i], term.high[i]),
                    hold=None if found and found.repeats else term.idle[i],
                    offset=found.offset[i] if found and found.offset else 0.0,
                )
            )
    return dimensions


def named_change(seen: float, low: float, high: float) -> float | None:
    """Return the largest change of an action that a contract names, or None for unknown.

    What hardly moved in training may still cross its limits' width in 1 / :data:`MIN_CHANGE` steps; of what never moved
    and has no limits nothing is known.

    Args:
        seen: Largest change in training, from one control step to the next.
        low: Lower limit, or -inf.
        high: Upper limit, or inf.
    """
    width = high - low
    return max(seen, MIN_CHANGE * width) if math.isfinite(width) else seen or None


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


def _latent(source: Source, reference: SteeredPolicy, experience: Experience, where: str) -> Latent | None:
    if not reference.has_latent:
        return None
    return Latent(
        size=len(experience.latent_mean),
        residual_scale=source.residual_scale,
        rms=source.base.knobs["latent"].rms,
        mean=experience.latent_mean,
        std=experience.latent_std,
        source=where,
    )


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
