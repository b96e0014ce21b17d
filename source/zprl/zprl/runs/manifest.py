# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a run's folder says about how it was made, as Isaac Lab lays it out: run.json and params/."""

from __future__ import annotations

import importlib.metadata
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from isaaclab.utils.io import dump_yaml

from zprl.utils import processes
from zprl.utils.files import atomic_json_dump

if TYPE_CHECKING:
    from zprl.runs.session import TaskSession

_PACKAGES = ("zprl", "isaaclab", "newton", "mujoco-warp", "warp-lang", "torch", "rsl-rl-lib")


def write_run_files(run_dir: Path, session: TaskSession) -> None:
    """Write a run's manifest and its configurations.

    Args:
        run_dir: Folder of the run; it is made if it does not exist.
        session: The session.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    dump_yaml(str(run_dir / "params" / "env.yaml"), session.env_cfg)
    dump_yaml(str(run_dir / "params" / "agent.yaml"), session.agent_cfg)
    # Written last: what the manifest's presence promises is there.
    atomic_json_dump(
        {
            "version": 1,
            "library": "rsl_rl",
            "task": session.task,
            "metadata": {"agent": "zprl_cfg_entry_point"},
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "device": session.device,
            "physics": session.physics,
            "num_envs": session.env_cfg.scene.num_envs,
            "num_processes": processes.count(),
            "seed": session.agent_cfg.seed,
            "python": platform.python_version(),
            "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        },
        run_dir / "run.json",
    )
