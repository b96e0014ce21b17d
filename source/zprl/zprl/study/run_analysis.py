# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The analysis of the latent for a study's runs, whose policies act in the simulator once more for it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tensordict import TensorDict
from torch import Tensor

from zprl.commands.evaluate import LoadedPolicies
from zprl.data import load_demonstrations
from zprl.evaluation.comparison import noise_shape
from zprl.evaluation.rollout import ChunkPlanner, Evaluator
from zprl.rl.actor import make_actor
from zprl.rl.checkpoint import SteeringCheckpoint, load_checkpoint
from zprl.runs import paths
from zprl.runs.session import TaskSession
from zprl.study.latent_analysis import Demonstrated, analyse
from zprl.study.manifest import StudyManifest, VariantRecord
from zprl.utils.files import atomic_json_dump, load_json
from zprl.utils.progress import Progress

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv

METHOD = "zprl"
"""The method whose residual is on the latent."""

_FILE = "latent_analysis.json"


def analyse_runs(manifest: StudyManifest, folder: Path) -> None:
    """Analyse the finished runs of ZPRL that have not been analysed yet, and leave the results in their folders.

    Args:
        manifest: The study.
        folder: The study's folder.
    """
    records = {record.variant.name: record for record in manifest.variants}
    due = [
        (records[run.variant.name], folder / run.name)
        for run in manifest.runs
        if run.variant.method == METHOD
        and (folder / run.name / "result.json").is_file()
        and not (folder / run.name / _FILE).is_file()
    ]
    if not due:
        return
    launcher = TaskSession(manifest.task, manifest.device, manifest.pinned["overrides"], manifest.num_envs)
    with launcher.launched(), launcher.environment() as env, Progress(len(due), "analysing latents", "run") as progress:
        demonstrated: dict[str, Demonstrated] = {}
        for record, run_dir in due:
            checkpoint = load_checkpoint(paths.checkpoints(run_dir)[-1])
            overrides = (*manifest.pinned["overrides"], *record.variant.overrides)
            session = TaskSession(manifest.task, manifest.device, overrides, manifest.num_envs, checkpoint=checkpoint)
            policies = LoadedPolicies(session, env, checkpoint, None)
            if record.variant.name not in demonstrated:
                demonstrated[record.variant.name] = _demonstrated(record, policies)
            evaluation = session.agent_cfg.evaluation
            visited = visited_observations(env, policies, min(env.num_envs, evaluation.episodes), evaluation.seed)
            scale = checkpoint.steering().residual_scale  # type: ignore[attr-defined]
            result = analyse(demonstrated[record.variant.name], learned_residual(checkpoint), scale, visited.cpu())
            atomic_json_dump(result, run_dir / _FILE)
            progress.advance()


def load_analyses(manifest: StudyManifest, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return what :func:`analyse_runs` left, by the variant's name; variants without it are left out."""
    analyses: dict[str, list[dict[str, Any]]] = {}
    for run in manifest.runs:
        path = folder / run.name / _FILE
        if path.is_file():
            analyses.setdefault(run.variant.name, []).append(load_json(path, "analysis of a run"))
    return analyses


def visited_observations(env: ManagerBasedRLEnv, policies: LoadedPolicies, episodes: int, seed: int) -> Tensor:
    """Return the observations at which the steered policy plans in an evaluation's first episodes.

    Args:
        env: The environment.
        policies: The policies.
        episodes: Number of episodes, at most one per world.
        seed: Seed of the evaluation.

    Returns:
        Raw observations, shape (N, obs_dim).
    """
    assert policies.steered is not None
    steered, seen = policies.steered, list[Tensor]()

    def plan(obs: Tensor, noise: Tensor | None) -> Tensor:
        seen.append(obs.clone())
        return steered(obs, noise)

    execute_steps = policies.policy.cfg.execute_steps
    planner: ChunkPlanner = plan
    results = Evaluator(env, policies.layout, execute_steps).run(planner, episodes, seed, noise_shape(policies.policy))
    return while_running(torch.stack(seen)[:, :episodes], torch.tensor(results.steps), execute_steps)


def while_running(observations: Tensor, steps: Tensor, execute_steps: int) -> Tensor:
    """Pick the observations of episodes that were not over yet.

    Args:
        observations: What was observed at each planning, shape (P, E, obs_dim).
        steps: Environment steps of each episode, shape (E,).
        execute_steps: Environment steps between two plannings.

    Returns:
        Shape (N, obs_dim).
    """
    begins = execute_steps * torch.arange(len(observations))
    return observations[(begins[:, None] < steps).to(observations.device)]


def learned_residual(checkpoint: SteeringCheckpoint) -> Callable[[Tensor], Tensor]:
    """Return what maps observations (N, obs_dim) to a checkpoint's outputs u in [-1, 1], deterministic, on the CPU."""
    steering, actor = checkpoint.steering(), make_actor(checkpoint).eval()

    @torch.inference_mode()
    def learned(obs: Tensor) -> Tensor:
        seen = TensorDict({"policy": obs, **steering.features(obs)}, batch_size=[len(obs)])
        return actor(seen).clamp(-1.0, 1.0).clone()

    return learned


def _demonstrated(record: VariantRecord, policies: LoadedPolicies) -> Demonstrated:
    observations = load_demonstrations(Path(record.dataset)).observations
    return Demonstrated(copy.deepcopy(policies.policy).cpu(), observations)
