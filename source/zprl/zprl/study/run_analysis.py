# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The analysis of the latent for a study's runs, whose policies act in the simulator once more for it."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zprl.data import load_demonstrations
from zprl.envs.task_env import TaskEnv
from zprl.evaluation.rollout import Evaluator
from zprl.policies import FlowPolicy, ImportedPolicy
from zprl.policies.base import BasePolicy
from zprl.policies.flow.base_policy import FlowBasePolicy
from zprl.rl.actor import make_actor
from zprl.rl.checkpoint import SteeringCheckpoint, load_checkpoint
from zprl.rl.checkpoint_files import checkpoints
from zprl.runs.find import LoadedPolicies, load_policies
from zprl.runs.session import TaskSession
from zprl.spec import Observations
from zprl.steering import ChunkPolicy
from zprl.study.latent_analysis import SPACES, Demonstrated, analyse
from zprl.study.manifest import StudyManifest, VariantRecord
from zprl.utils.errors import ZprlError
from zprl.utils.files import atomic_json_dump, load_json
from zprl.utils.progress import Progress
from zprl.utils.strict_json import NUMBER

_FILE = "latent_analysis.json"

_MOVED = {measure: dict.fromkeys(SPACES, NUMBER) for measure in ("change", "distance")}

_FORM = {
    "residual_scale": NUMBER,
    "latent_rms": NUMBER,
    "random": [_MOVED],
    "steered_visited": _MOVED,
    "base_visited": _MOVED,
    "maps": {
        space: {"explained": NUMBER, **{kind: [(NUMBER, NUMBER)] for kind in ("demonstrations", "before", "after")}}
        for space in ("features", "actions")
    },
}
"""What a report takes from :func:`zprl.study.latent_analysis.analyse`'s result."""


def analyse_runs(manifest: StudyManifest, folder: Path) -> None:
    """Analyse a study's finished runs of ZPRL that were not analysed yet, and leave the results in their folders.

    Runs whose policies see images are left out: the analysis compares states.
    """
    records = {record.variant.name: record for record in manifest.variants}
    due = [
        (records[run.variant.name], folder / run.name)
        for run in manifest.runs
        if run.variant.method == "zprl"  # whose residual is on the latent
        and (folder / run.name / "result.json").is_file()
        and not (folder / run.name / _FILE).is_file()
    ]
    due = [(record, run_dir) for record, run_dir in due if _sees_states_alone(_last_checkpoint(run_dir).policy)]
    if not due:
        return
    pinned = manifest.pinned
    session_of = functools.partial(TaskSession, manifest.task, pinned["device"], num_envs=pinned["number of worlds"])
    launcher = session_of(pinned["overrides"])
    with launcher.launched(), launcher.environment() as env, Progress(len(due), "analysing latents", "run") as progress:
        demonstrated: dict[str, Demonstrated] = {}
        for record, run_dir in due:
            checkpoint = _last_checkpoint(run_dir)
            session = session_of((*pinned["overrides"], *record.variant.overrides), checkpoint=checkpoint)
            policies = load_policies(session, env.spec, checkpoint)
            if record.variant.name not in demonstrated:
                demonstrated[record.variant.name] = _demonstrated(record, policies)
            evaluation = session.agent_cfg.evaluation
            visited = _visited_states(env, policies, min(env.num_envs, evaluation.episodes), evaluation.seed)
            scale = checkpoint.steering().residual_scale  # type: ignore[attr-defined]
            result = analyse(demonstrated[record.variant.name], _learned_residual(checkpoint), scale, visited.cpu())
            atomic_json_dump(result, run_dir / _FILE)
            progress.advance()


def _sees_states_alone(policy: FlowPolicy | ImportedPolicy) -> bool:
    return isinstance(policy, FlowPolicy) and not policy.image_shapes


def _last_checkpoint(run_dir: Path) -> SteeringCheckpoint:
    return load_checkpoint(checkpoints(run_dir)[-1])


def load_analyses(manifest: StudyManifest, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return what :func:`analyse_runs` left, by the variant's name; variants without it are left out.

    Raises:
        ZprlError: If a file is incomplete.
    """
    analyses: dict[str, list[dict[str, Any]]] = {}
    for run in manifest.runs:
        path = folder / run.name / _FILE
        if path.is_file():
            analyses.setdefault(run.variant.name, []).append(load_json(path, "analysis of a run", _FORM))
    return analyses


def _visited_states(env: TaskEnv, policies: LoadedPolicies, episodes: int, seed: int) -> Tensor:
    """Return the states (N, obs_dim) at which the steered policy plans in an evaluation's first episodes."""
    watching = _Watching(policies.planners["steered"])
    evaluator = Evaluator(env, watching.execute_steps)
    results = evaluator.run(watching, episodes, seed, policies.base_policy.noise_shape)
    seen = torch.stack([_state(policies.base_policy, obs) for obs in watching.seen])
    return while_running(seen[:, :episodes], torch.tensor(results.steps), watching.execute_steps)


class _Watching:
    """A policy that remembers what it was given."""

    def __init__(self, policy: ChunkPolicy) -> None:
        self.execute_steps, self.begin_episodes = policy.execute_steps, policy.begin_episodes
        self.seen: list[Observations] = []
        self._policy = policy

    def __call__(self, obs: Observations, noise: Tensor | None = None) -> Tensor:
        self.seen.append(obs)
        return self._policy(obs, noise)


def _state(base: BasePolicy, obs: Observations) -> Tensor:
    """Return what a flow policy without cameras takes of observations."""
    inputs = base.policy.inputs(obs) if isinstance(base, FlowBasePolicy) else None
    if not isinstance(inputs, Tensor):
        raise ZprlError("the latent of a study is analysed for flow policies of this project without cameras only.")
    return inputs


def while_running(observations: Tensor, steps: Tensor, execute_steps: int) -> Tensor:
    """Pick the observations, shape (N, obs_dim), of episodes that were not over yet.

    Args:
        observations: What was observed at each planning, shape (P, E, obs_dim).
        steps: Environment steps of each episode, shape (E,).
        execute_steps: Environment steps between two plannings.
    """
    begins = execute_steps * torch.arange(len(observations))
    return observations[(begins[:, None] < steps).to(observations.device)]


def _learned_residual(checkpoint: SteeringCheckpoint) -> Callable[[Tensor], Tensor]:
    """Return what maps states (N, obs_dim) to a checkpoint's outputs u in [-1, 1], deterministic, on the CPU."""
    steering, actor = checkpoint.steering(), make_actor(checkpoint).eval()
    groups = checkpoint.settings["agent"]["obs_groups"]["actor"]
    assert isinstance(checkpoint.policy, FlowPolicy)
    (group,) = checkpoint.spec.seen_by(checkpoint.policy.cfg.observation_groups).groups

    @torch.inference_mode()
    def learned(obs: Tensor) -> Tensor:
        seen = steering.observe(steering.policy.encode({group.name: obs}), groups)
        return actor(seen).clamp(-1.0, 1.0).clone()

    return learned


def _demonstrated(record: VariantRecord, policies: LoadedPolicies) -> Demonstrated:
    base = policies.base_policy
    demos = load_demonstrations(Path(record.dataset))
    states = [
        _state(base, {name: torch.as_tensor(value) for name, value in episode.observations.items()}).numpy()
        for episode in demos.episodes
    ]
    assert isinstance(base, FlowBasePolicy)
    return Demonstrated(copy.deepcopy(base.policy).cpu(), states)
