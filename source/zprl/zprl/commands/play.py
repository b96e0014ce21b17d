# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Record a video of a policy, without a display or a GPU.

Example: python scripts/play.py --task Zprl-Lift-Franka --checkpoint latest --compare --video lift.mp4
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zprl.commands.options import Command, TaskOptions, add_task_arguments, positive_int
from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    import torch

    from zprl.evaluation.rollout import ChunkPlanner
    from zprl.evaluation.video import Episode
    from zprl.rl.checkpoint import SteeringCheckpoint
    from zprl.runs.session import TaskSession
    from zprl.sim.isaaclab.task_env import IsaacLabEnv
    from zprl.spec import Observations

    Columns = dict[str, tuple[ChunkPlanner, Callable[[int], object]]]
    """{label: (policy, what to call with the seed of a new episode)}, one entry per column of the video."""


@dataclass(frozen=True, kw_only=True)
class PlayOptions(TaskOptions):
    """Options of the command."""

    policy: str | None = None
    """"expert" or "random" instead of a checkpoint, or None."""
    checkpoint: str = "latest"
    """What to play: "latest", "base", or a checkpoint."""
    base: Path | None = None
    """With checkpoint "base": which one, or None for the newest."""
    compare: bool = False
    """Whether to show the checkpoint's base policy beside it."""
    episodes: int = 3
    """Number of episodes."""
    video: Path | None = None
    """File to write (.mp4, .gif, .webp or .png), or None for one below videos/."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an argument for each of :class:`PlayOptions`."""
    add_task_arguments(parser)
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--policy", choices=("expert", "random"), help="play this instead of a checkpoint")
    who.add_argument("--checkpoint", metavar="latest|base|PATH", help="what to play (default: %(default)s)")
    parser.add_argument("--base", type=Path, metavar="PATH", help="with --checkpoint base: which (default: the newest)")
    parser.add_argument("--compare", action="store_true", help="show the checkpoint's base policy beside it")
    parser.add_argument("--episodes", type=positive_int, help="episodes (default: %(default)s)")
    parser.add_argument(
        "--video", type=Path, metavar="F", help="file to write: .mp4, .gif, .webp or .png (default: below videos/)"
    )


def run(options: PlayOptions, overrides: list[str]) -> Path:
    """Record a video and print where it is and how the episodes ended.

    Returns:
        The video.

    Raises:
        ZprlError: If the policy does not exist, does not fit the task, or the video's format is unknown.
    """
    from zprl.evaluation.video import check_format, record_episodes, side_by_side, write_video
    from zprl.runs.find import find_checkpoint
    from zprl.runs.session import TaskSession
    from zprl.sim.isaaclab.camera import add_video_camera, capture
    from zprl.utils.progress import Progress

    name = options.policy or ("base" if options.checkpoint == "base" else "steered")
    path = options.video or Path("videos") / f"{options.task}_{'comparison' if options.compare else name}.mp4"
    check_format(path)
    checkpoint = None
    if not options.policy and options.checkpoint != "base":
        checkpoint = find_checkpoint(options.checkpoint, options.task, overrides)
    session = TaskSession(options.task, options.device, overrides, num_envs=1, checkpoint=checkpoint)
    seed = session.agent_cfg.evaluation.seed if options.seed is None else options.seed
    with (
        session.launched(options.viz),
        session.environment(num_envs=1, configure=add_video_camera) as env,
    ):
        columns = (
            _scripted(env, options.task, options.policy)
            if options.policy
            else _learned(session, env, checkpoint, options)
        )
        recorded: dict[str, list[Episode]] = {}
        with Progress(len(columns) * options.episodes, "recording", "episode") as progress:
            for label, (planner, on_reset) in columns.items():
                recorded[label] = []
                for episode in range(options.episodes):
                    recorded[label] += record_episodes(
                        env, planner, lambda: capture(env.unwrapped), 1, seed + episode, on_reset
                    )
                    progress.advance()
        write_video(path, side_by_side(*recorded.values(), labels=list(recorded)), fps=1.0 / env.spec.step_dt)
    for label, episodes in recorded.items():
        print(f"{label}: {sum(episode.success for episode in episodes)} of {len(episodes)} episodes succeed")
    print(f"written to {path}")
    return path


def _scripted(env: IsaacLabEnv, task: str, name: str) -> Columns:
    import torch

    from zprl.tasks.experts import make_expert

    if name == "random":
        low, high = (limit.to(env.device) for limit in env.spec.action_limits())
        generator = torch.Generator(device=env.device)

        def draw(obs: Observations) -> torch.Tensor:
            share = torch.rand(env.num_envs, len(low), generator=generator, device=env.device)
            return low + (high - low) * share

        return {name: (StepPlanner(draw), lambda seed: generator.manual_seed(seed))}
    expert = make_expert(task, env.unwrapped)
    everything = torch.arange(env.num_envs, device=env.device)
    return {name: (StepPlanner(lambda obs: expert.act()), lambda seed: expert.reset(everything))}


def _learned(
    session: TaskSession, env: IsaacLabEnv, checkpoint: SteeringCheckpoint | None, options: PlayOptions
) -> Columns:
    import torch

    from zprl.runs.find import resolve_base
    from zprl.runs.steered import load_policies

    base = None
    if options.checkpoint == "base":
        if options.compare:
            raise ZprlError(
                "--compare shows a checkpoint beside its base policy; with --checkpoint base there is none."
            )
        base = resolve_base(options.base, options.task)
    loaded = load_policies(session, env.spec, checkpoint, base)
    generator = torch.Generator()

    def with_noise(planner: ChunkPlanner) -> ChunkPlanner:
        return NoisyPlanner(planner, loaded.noise_shape, generator) if loaded.noise_shape else planner

    def restart(seed: int) -> None:
        generator.manual_seed(seed)

    columns: Columns = {}
    if loaded.steered is None or options.compare:
        columns["base"] = (with_noise(loaded.base), restart)
    if loaded.steered is not None:
        columns["steered"] = (with_noise(loaded.steered), restart)
    return columns


class StepPlanner:
    """What acts in every control step, as a :class:`zprl.evaluation.rollout.ChunkPlanner`.

    Args:
        act: Maps observations to actions (N, A).
    """

    execute_steps = 1

    def __init__(self, act: Callable[[Observations], torch.Tensor]) -> None:
        self._act = act

    def __call__(self, obs: Observations, noise: torch.Tensor | None = None) -> torch.Tensor:
        """Return chunks of one action (N, 1, A)."""
        return self._act(obs)[:, None]

    def begin_episodes(self) -> None:
        """Do nothing: there is no chunk to forget."""


class NoisyPlanner:
    """A planner whose chunks start from noise that an episode's generator draws.

    Args:
        planner: The planner.
        shape: Shape (H, A) of the noise.
        generator: The generator.
    """

    def __init__(self, planner: ChunkPlanner, shape: tuple[int, int], generator: torch.Generator) -> None:
        self.execute_steps = planner.execute_steps
        self.begin_episodes = planner.begin_episodes
        self._planner, self._shape, self._generator = planner, shape, generator

    def __call__(self, obs: Observations, noise: torch.Tensor | None = None) -> torch.Tensor:
        """Return chunks (N, T, A)."""
        import torch

        first = next(iter(obs.values()))
        drawn = torch.randn(len(first), *self._shape, generator=self._generator)
        return self._planner(obs, drawn.to(first.device))


COMMAND = Command(__doc__, PlayOptions, add_arguments, run)
