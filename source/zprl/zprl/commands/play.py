# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Record what a policy does: the scripted expert, random actions, a base policy or a steered one."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from zprl.data.collection import expert_cfg_of
from zprl.evaluation.video import Episode, add_video_camera, check_format, record_episodes, side_by_side, write_video
from zprl.runs.session import TaskSession
from zprl.utils.errors import ZprlError
from zprl.utils.progress import Progress

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv

    from zprl.evaluation.rollout import ChunkPlanner
    from zprl.rl.checkpoint import SteeringCheckpoint

Columns = dict[str, tuple[Callable[["ManagerBasedRLEnv"], torch.Tensor], Callable[[int], None]]]
"""{label: (policy, what to call with the seed of a new episode)}, one entry per column of the video."""


def play(args: argparse.Namespace, overrides: list[str]) -> Path:
    """Record a video and print where it is and how the episodes ended.

    Args:
        args: ``task``, ``device``, ``seed``, ``viz``, ``policy`` (``expert``, ``random`` or None), ``checkpoint``
            (``latest``, ``base`` or a file), ``base``, ``compare``, ``episodes``, ``video``.
        overrides: Hydra overrides.

    Returns:
        The video.

    Raises:
        ZprlError: If the policy does not exist, does not fit the task, or the video's format is unknown.
    """
    name = args.policy or ("base" if args.checkpoint == "base" else "steered")
    path = Path(args.video or Path("videos") / f"{args.task}_{'comparison' if args.compare else name}.mp4")
    check_format(path)
    from zprl.rl.checkpoint import find_checkpoint

    checkpoint = None
    if not args.policy and args.checkpoint != "base":
        checkpoint = find_checkpoint(args.checkpoint, args.task, overrides)
    session = TaskSession(args.task, args.device, overrides, num_envs=1, checkpoint=checkpoint)
    seed = session.agent_cfg.evaluation.seed if args.seed is None else args.seed
    with (
        session.launched(args.viz),
        session.environment(num_envs=1, configure=add_video_camera) as env,
    ):
        columns = _scripted(session, env, args.policy) if args.policy else _learned(session, env, checkpoint, args)
        recorded: dict[str, list[Episode]] = {}
        with Progress(len(columns) * args.episodes, "recording", "episode") as progress:
            for label, (policy, on_reset) in columns.items():
                recorded[label] = []
                for episode in range(args.episodes):
                    restart = functools.partial(on_reset, seed + episode)
                    recorded[label] += record_episodes(env, policy, 1, seed + episode, on_reset=restart)
                    progress.advance()
        write_video(path, side_by_side(*recorded.values(), labels=list(recorded)), fps=1.0 / env.step_dt)
    for label, episodes in recorded.items():
        print(f"{label}: {sum(episode.success for episode in episodes)} of {len(episodes)} episodes succeed")
    print(f"written to {path}")
    return path


def _scripted(session: TaskSession, env: ManagerBasedRLEnv, name: str) -> Columns:
    if name == "random":
        shape = (env.num_envs, env.action_manager.total_action_dim)
        generator = torch.Generator(device=env.device)

        def restart(seed: int) -> None:
            generator.manual_seed(seed)

        return {name: (lambda env: 2 * torch.rand(shape, generator=generator, device=env.device) - 1, restart)}
    from zprl.tasks.experts import WaypointExpert

    expert = WaypointExpert(expert_cfg_of(session.task), env)
    everything = torch.arange(env.num_envs, device=env.device)
    return {name: (lambda env: expert.act(), lambda seed: expert.reset(everything))}


def _learned(
    session: TaskSession, env: ManagerBasedRLEnv, checkpoint: SteeringCheckpoint | None, args: argparse.Namespace
) -> Columns:
    from zprl.commands.evaluate import LoadedPolicies
    from zprl.evaluation.comparison import noise_shape
    from zprl.rl.checkpoint import resolve_base

    base = None
    if args.checkpoint == "base":
        if args.compare:
            raise ZprlError(
                "--compare shows a checkpoint beside its base policy; with --checkpoint base there is none."
            )
        base = resolve_base(args.base, args.task)
    loaded = LoadedPolicies(session, env, checkpoint, base)
    shape, steps = noise_shape(loaded.policy), loaded.policy.cfg.execute_steps
    generator = torch.Generator()

    def restart(seed: int) -> None:
        generator.manual_seed(seed)
        loaded.steering.begin_episodes()

    def chunk_policy(planner: ChunkPlanner) -> Callable[[ManagerBasedRLEnv], torch.Tensor]:
        def act(env: ManagerBasedRLEnv) -> torch.Tensor:
            obs = env.obs_buf["policy"].clone()  # type: ignore[union-attr]
            noise = None if shape is None else torch.randn(env.num_envs, *shape, generator=generator).to(env.device)
            return planner(obs, noise)[:, : getattr(planner, "execute_steps", steps)]

        return act

    columns: Columns = {}
    if loaded.steered is None or args.compare:
        columns["base"] = (chunk_policy(loaded.base), restart)
    if loaded.steered is not None:
        columns["steered"] = (chunk_policy(loaded.steered), restart)
    return columns
