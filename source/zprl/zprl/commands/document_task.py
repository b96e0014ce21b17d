# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Write a task's page: what it is, its expert, and what its finished runs have reached.

What is written by hand beside the generated sections stays, and so do results if no run is found.

Example: python scripts/document_task.py --task Zprl-Lift-Franka
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zprl.commands.options import Command, TaskOptions
from zprl.utils.arguments import option
from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from zprl.rl.checkpoint import SteeringCheckpoint
    from zprl.runs.session import TaskSession
    from zprl.sim.isaaclab.task_env import IsaacLabEnv

LARGEST_VIDEO = 1_000_000
"""Size that a page's video may have [bytes]."""


@dataclass(frozen=True, kw_only=True)
class DocumentTaskOptions(TaskOptions):
    """Options of the command."""

    checkpoint: str = option(
        "checkpoint to show beside its base policy (default: that of the run that began last)",
        "latest",
        metavar="latest|none|PATH",
    )
    output: Path | None = option(
        "page to write (default: docs/tasks/TASK.md); pictures lie in images/ beside it",
        None,
        writes="file",
        metavar="MD",
    )


def run(options: DocumentTaskOptions, overrides: list[str]) -> Path:
    """Write the page and its pictures; return the page.

    Raises:
        ZprlError: If the task or the checkpoint does not exist, or the page is none that this command has made.
    """
    from zprl.rl.checkpoint_files import checkpoints
    from zprl.runs.find import open_policy
    from zprl.runs.session import TaskSession
    from zprl.runs.task_page import PAGES, describe_runs, describe_task, finished_runs
    from zprl.sim.isaaclab.camera import add_video_camera
    from zprl.utils.files import atomic_write
    from zprl.utils.marked_text import section_places, write_sections
    from zprl.utils.outputs import check_files

    page = options.output or PAGES / f"{options.task}.md"
    figure, video = (page.parent / "images" / f"{options.task}{end}" for end in ("_learning_curves.png", ".gif"))
    check_files({"--output": page, "the figure": figure, "the video": video})
    before = _read(page)
    session, source = TaskSession(options.task, options.device, overrides, num_envs=1), None
    learner = session.agent_cfg
    runs = finished_runs(options.task, learner)
    checkpoint = options.checkpoint
    if checkpoint == "latest":
        newest = checkpoints(max(runs, key=lambda folder: folder.name)) if runs else []
        checkpoint = str(newest[-1]) if newest else "none"
    if checkpoint != "none":
        session, source = open_policy(checkpoint, None, options.task, options.device, overrides, num_envs=1)
    with (
        session.launched(options.viz),
        session.isaaclab_environment(configure=None if source is None else add_video_camera) as env,
    ):
        sections = describe_task(session, env)
        if source is not None:
            _record(session, env, source, video, options.seed)
    if not runs and before is not None and "results" in section_places(before):
        print(f"no finished run of {options.task} is here; the page keeps the results that it has")
    else:
        sections["results"] = describe_runs(options.task, learner, runs, figure, video, page)
    content = write_sections(before, sections)
    with atomic_write(page) as file:
        file.write(content.encode())
    print(f"written to {page}, with the results of {len(runs)} runs")
    return page


def _record(
    session: TaskSession, env: IsaacLabEnv, source: SteeringCheckpoint | Path, video: Path, seed: int | None
) -> None:
    """Record an episode of the base policy beside the steered one."""
    from zprl.commands.play import learned, record
    from zprl.evaluation.video import side_by_side, write_video

    seed = session.agent_cfg.evaluation.seed if seed is None else seed
    recorded = record(env, *learned(session, env, source, compare=True), 1, seed)
    frames = side_by_side(*recorded.values(), labels=list(recorded))
    write_video(video, frames, 1.0 / env.spec.step_dt, LARGEST_VIDEO)


def _read(page: Path) -> str | None:
    """Return the page as it is, or None if there is none yet."""
    from zprl.utils.marked_text import section_places

    if not page.is_file():
        return None
    try:
        text = page.read_text(encoding="utf-8")
        if not section_places(text):
            raise ValueError("it holds no generated section")
    except (OSError, ValueError) as error:
        raise ZprlError(
            f"{page} is no page that this command can go on with ({error}); name another file by --output."
        ) from error
    return text


COMMAND = Command(__doc__, DocumentTaskOptions, run)
