# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Record a video of a policy, without a display or a GPU.

Example: python scripts/play.py --task Zprl-Lift-Franka --checkpoint latest --compare --video lift.mp4
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zprl.commands.options import Command, TaskOptions
from zprl.utils.arguments import option, positive_int
from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from zprl.envs.task_env import TaskEnv
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

    policy: str | None = option("play this instead of a checkpoint", None, choices=("expert", "random"), group="policy")
    checkpoint: str = option(
        "what to play (default: %(default)s)", "latest", metavar="latest|base|PATH", group="policy"
    )
    base: Path | None = option("with --checkpoint base: which (default: the newest)", None, metavar="PATH")
    compare: bool = option("show the checkpoint's base policy beside it", False)
    episodes: int = option("episodes (default: %(default)s)", 3, type=positive_int)
    video: Path | None = option(
        "file to write: .mp4, .gif, .webp or .png (default: below videos/)", None, writes="file", metavar="F"
    )


def run(options: PlayOptions, overrides: list[str]) -> Path:
    """Record a video and print where it is and how the episodes ended.

    Returns:
        The video.

    Raises:
        ZprlError: If the policy does not exist, does not fit the task, or the video's format is unknown.
    """
    from zprl.evaluation.video import check_format, side_by_side, write_video
    from zprl.runs.find import open_policy
    from zprl.runs.session import TaskSession
    from zprl.sim.isaaclab.camera import add_video_camera
    from zprl.utils.outputs import check_files

    name = options.policy or ("base" if options.checkpoint == "base" else "steered")
    path = options.video or Path("videos") / f"{options.task}_{'comparison' if options.compare else name}.mp4"
    check_format(path)
    check_files({"--video": path})
    if options.compare and name == "base":
        raise ZprlError("--compare shows a checkpoint beside its base policy; with --checkpoint base there is none.")
    source = None
    if options.policy:
        session = TaskSession(options.task, options.device, overrides, num_envs=1)
    else:
        session, source = open_policy(
            options.checkpoint, options.base, options.task, options.device, overrides, num_envs=1
        )
    seed = session.agent_cfg.evaluation.seed if options.seed is None else options.seed
    with session.launched(options.viz), session.isaaclab_environment(configure=add_video_camera) as env:
        if source is None:
            recorded = record(env, env, _scripted(env, name), options.episodes, seed)
        else:
            recorded = record(env, *learned(session, env, source, options.compare), options.episodes, seed)
        write_video(path, side_by_side(*recorded.values(), labels=list(recorded)), fps=1.0 / env.spec.step_dt)
    for label, episodes in recorded.items():
        print(f"{label}: {sum(episode.success for episode in episodes)} of {len(episodes)} episodes succeed")
    print(f"written to {path}")
    return path


def record(env: IsaacLabEnv, worlds: TaskEnv, columns: Columns, episodes: int, seed: int) -> dict[str, list[Episode]]:
    """Record policies on the same initial states; beside the scene, what the cameras of the task see.

    Args:
        env: An environment with the camera of :func:`zprl.sim.isaaclab.camera.add_video_camera`.
        worlds: The same as the policies see it.
        columns: The policies by label.
        episodes: Number of episodes of each.
        seed: Seed of the first.

    Returns:
        The episodes by label.
    """
    from zprl.evaluation.video import beside, record_episode
    from zprl.sim.isaaclab.camera import capture
    from zprl.utils.progress import Progress

    def picture() -> np.ndarray:
        return beside(capture(env.unwrapped), [image[0].cpu().numpy() for image in env.look(0).values()])

    recorded: dict[str, list[Episode]] = {}
    with Progress(len(columns) * episodes, "recording", "episode") as progress:
        for label, (planner, on_reset) in columns.items():
            recorded[label] = []
            for episode in range(episodes):
                recorded[label].append(record_episode(worlds, planner, picture, seed + episode, on_reset))
                progress.advance()
    return recorded


@dataclass
class _Planner:
    """What acts, as a :class:`zprl.evaluation.rollout.ChunkPlanner` that chooses its noise itself, if it takes any."""

    execute_steps: int
    act: Callable[[Observations], torch.Tensor]
    """Maps observations to chunks (N, T, A)."""
    begin_episodes: Callable[[], None] = lambda: None

    def __call__(self, obs: Observations, noise: torch.Tensor | None = None) -> torch.Tensor:
        return self.act(obs)


def _scripted(env: IsaacLabEnv, name: str) -> Columns:
    """Return what acts at random or by the task's expert, in every control step anew."""
    import torch

    from zprl.tasks.experts import make_expert

    if name == "random":
        generator = torch.Generator(device=env.device)

        def draw(obs: Observations) -> torch.Tensor:
            return env.spec.random_actions(env.num_envs, generator)[:, None]

        return {name: (_Planner(1, draw), lambda seed: generator.manual_seed(seed))}
    expert = make_expert(env.spec.task, env.unwrapped)
    everything = torch.arange(env.num_envs, device=env.device)
    return {name: (_Planner(1, lambda obs: expert.act()[:, None]), lambda seed: expert.reset(everything))}


def learned(
    session: TaskSession, env: IsaacLabEnv, source: SteeringCheckpoint | Path, compare: bool
) -> tuple[TaskEnv, Columns]:
    """Return the environment as a policy sees it, and a checkpoint's steered policy or a base policy.

    Args:
        session: The task.
        env: Its environment.
        source: The checkpoint, or the base policy's file.
        compare: Whether a checkpoint's base policy is beside it.
    """
    import torch

    from zprl.envs.windows import with_windows
    from zprl.runs.find import load_policies

    loaded = load_policies(session, env.spec, source)
    shape, generator = loaded.base_policy.noise_shape, torch.Generator()

    def with_noise(planner: ChunkPlanner) -> ChunkPlanner:
        def act(obs: Observations) -> torch.Tensor:
            if shape is None:
                return planner(obs)
            first = next(iter(obs.values()))
            return planner(obs, torch.randn(len(first), *shape, generator=generator).to(first.device))

        return _Planner(planner.execute_steps, act, planner.begin_episodes)

    shown = list(loaded.planners) if compare else list(loaded.planners)[-1:]
    columns: Columns = {
        name: (with_noise(loaded.planners[name]), lambda seed: generator.manual_seed(seed)) for name in shown
    }
    return with_windows(env, loaded.base_policy.spec), columns


COMMAND = Command(__doc__, PlayOptions, run)
