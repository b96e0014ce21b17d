# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The contract of a policy, read off its task, its demonstrations and its checkpoint."""

from __future__ import annotations

import importlib.metadata
import math
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from zprl.data import load_demonstrations
from zprl.deploy.contract import FORMAT, VERSION, Contract
from zprl.deploy.contract_parts import (
    ActionDimension,
    Control,
    InitialNoise,
    Joint,
    Latent,
    Observation,
    ObservationTerm,
    Provenance,
)
from zprl.utils.errors import ZprlError
from zprl.utils.files import checksum
from zprl.utils.provenance import git_commit

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv

    from zprl.deploy.golden import Recording
    from zprl.deploy.steered import SteeredPolicy
    from zprl.envs import EnvLayout
    from zprl.policies import FlowPolicy

_PACKAGES = ("zprl", "isaaclab", "newton", "mujoco", "torch", "rsl-rl-lib", "numpy")


class Experience:
    """What a policy has met: its demonstrations, if they are at hand, and the recorded episodes.

    Args:
        dataset: Data set of the base policy, as its file says; None if it does not.
        recording: The recorded episodes.
    """

    def __init__(self, dataset: str | None, recording: Recording) -> None:
        observations, actions = [recording.obs], list(recording.episode_actions())
        self.source = f"{recording.num_episodes} recorded episodes"
        self.demonstrations = False
        try:
            if dataset is None:
                raise ZprlError("the policy does not say what it learned from.")
            demos = load_demonstrations(dataset)
            observations += demos.observations
            actions += demos.actions
            self.source = f"{demos.num_demos} demonstrations and {self.source}"
            self.demonstrations = True
        except ZprlError as error:
            print(f"warning: ranges come from recorded episodes alone: {error}", file=sys.stderr, flush=True)
        self.obs = np.concatenate(observations)
        self.max_change = np.max([np.abs(np.diff(a, axis=0)).max(axis=0, initial=0.0) for a in actions], axis=0)


def build_contract(
    env: ManagerBasedRLEnv,
    layout: EnvLayout,
    policy: FlowPolicy,
    reference: SteeredPolicy,
    experience: Experience,
    latent_rms: float,
    provenance: Provenance,
    evaluation: dict[str, Any] | None,
) -> Contract:
    """Describe a policy.

    Args:
        env: An environment of its task.
        layout: The task's layout.
        policy: The base policy.
        reference: The steered policy in double precision.
        experience: What it has met.
        latent_rms: RMS of the latent over the demonstrations.
        provenance: How it was made.
        evaluation: The run's evaluation, or None.

    Returns:
        The contract, still without files.
    """
    noise = policy.cfg.initial_noise
    values = reference.noise[0].float().tolist() if noise == "fixed" else None
    return Contract(
        format=FORMAT,
        version=VERSION,
        task=layout.task,
        policy="base" if reference.actor is None else "steered",
        observation=Observation(layout.obs_dim, experience.source, _observation_terms(env, layout, policy, experience)),
        action=_action_dimensions(env, layout, policy, experience),
        control=Control(
            period=layout.step_dt,
            horizon=policy.cfg.horizon,
            execute_steps=policy.cfg.execute_steps,
            replan=f"every {policy.cfg.execute_steps} control steps, on the observation before the step; the rest of "
            "the chunk is dropped",
            initial_noise=InitialNoise(noise, None, values),
        ),
        joints=_joints(env),
        latent=_latent(reference, experience, latent_rms),
        provenance=provenance,
        evaluation=evaluation,
        files={},
    )


def describe_origin(path: Path, environment_steps: int, physics: str | None) -> Provenance:
    """Describe how a policy was made.

    Args:
        path: File of the checkpoint or base policy.
        environment_steps: Environment steps of reinforcement learning.
        physics: Physics engine of the training.
    """
    packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return Provenance(
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        checkpoint=path.name,
        checkpoint_sha256=checksum(path),
        environment_steps=environment_steps,
        physics=physics,
        packages={"python": platform.python_version(), **packages},
        git_commit=git_commit(),
    )


def _observation_terms(
    env: ManagerBasedRLEnv, layout: EnvLayout, policy: FlowPolicy, experience: Experience
) -> list[ObservationTerm]:
    from zprl.tasks.mdp.descriptions import describe_observation

    configs = env.observation_manager._group_obs_term_cfgs["policy"]
    terms, start = [], 0
    for (name, size), cfg in zip(layout.observation_terms, configs, strict=True):
        description = _fitting(describe_observation(env, cfg.func, cfg.params), name, size)
        columns = slice(start, start + size)
        terms.append(
            ObservationTerm(
                name=name,
                start=start,
                size=size,
                elements=description and description.elements,
                units=description and description.units,
                frame=description and description.frame,
                description=description and description.text,
                minimum=experience.obs[:, columns].min(axis=0).tolist(),
                maximum=experience.obs[:, columns].max(axis=0).tolist(),
                mean=policy.obs_normalizer.mean[columns].tolist(),
                std=policy.obs_normalizer.std[columns].tolist(),
            )
        )
        start += size
    return terms


def _action_dimensions(
    env: ManagerBasedRLEnv, layout: EnvLayout, policy: FlowPolicy, experience: Experience
) -> list[ActionDimension]:
    from zprl.tasks.mdp.descriptions import describe_action

    limits = [_finite_or_none(values.tolist()) for values in (policy.action_low, policy.action_high)]
    dimensions: list[ActionDimension] = []
    for term, size in layout.action_terms:
        description = _fitting(describe_action(env.action_manager.get_term(term)), term, size)
        for i in range(size):
            index = len(dimensions)
            dimensions.append(
                ActionDimension(
                    name=description.elements[i] if description else f"{term}_{i}",
                    term=term,
                    unit=description and description.units[i],
                    frame=description and description.frame,
                    description=description and description.text,
                    scale=description.scale[i] if description and description.scale else None,
                    low=limits[0][index],
                    high=limits[1][index],
                    max_change=float(experience.max_change[index]),
                    hold=description.hold[i] if description and description.hold else None,
                )
            )
    return dimensions


def _fitting(description: Any, name: str, size: int) -> Any:
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


def _joints(env: ManagerBasedRLEnv) -> list[Joint]:
    from zprl.tasks.mdp.descriptions import joint_units

    if "robot" not in env.scene.articulations:
        return []
    asset = env.scene["robot"]
    data, units = asset.data, joint_units(env, "robot")
    limits = data.joint_pos_limits.torch[0]
    columns = (data.default_joint_pos, data.joint_stiffness, data.joint_damping, data.joint_effort_limits)
    rows = torch.stack([column.torch[0] for column in columns], dim=1).tolist()
    return [
        Joint(name, units.get(name), row[0], float(limit[0]), float(limit[1]), *row[1:])
        for name, row, limit in zip(asset.joint_names, rows, limits, strict=True)
    ]


@torch.no_grad()
def _latent(reference: SteeredPolicy, experience: Experience, rms: float) -> Latent:
    z: Tensor = reference.latent(torch.as_tensor(experience.obs).double())
    return Latent(
        size=z.shape[1],
        residual_scale=reference.residual_scale,
        rms=rms,
        mean=z.mean(dim=0).tolist(),
        std=z.std(dim=0, correction=0).tolist(),
        source=experience.source,
    )


def _finite_or_none(values: list[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]
