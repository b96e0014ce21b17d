# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Gymnasium environments in processes as a :class:`zprl.sim.simulator.Simulator`. Nothing here needs Isaac Lab."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from zprl.sim.gymnasium.settings import require_packages, resolve_task
from zprl.sim.gymnasium.task_env import GymnasiumEnv
from zprl.sim.gymnasium.worlds_cfg import WorldsCfg
from zprl.sim.workers import WorkerVectorEnv
from zprl.sim.workers.vector_env import available_cores
from zprl.utils import processes
from zprl.utils.configclass import class_to_dict
from zprl.utils.constraints import check_values
from zprl.utils.entry_points import load_entry_point
from zprl.utils.errors import ZprlError
from zprl.utils.files import atomic_write

ENGINE = "gymnasium"
"""What stands where Isaac Lab's tasks have their physics engine: the environment's own."""


class GymnasiumSimulator:
    """Worlds that are Gymnasium environments; see :class:`zprl.sim.simulator.Simulator`."""

    packages: tuple[str, ...] = ("gymnasium", "mujoco")

    def prepare(self, device: str) -> None:
        """See :meth:`zprl.sim.simulator.Simulator.prepare`."""
        if device == "cpu":
            torch.set_num_threads(1)  # see zprl.sim.isaaclab.configure_runtime

    def resolve(
        self,
        task: str,
        agent_entry_point: str,
        overrides: Sequence[str],
        configure: Callable[[Any], None] | None = None,
    ) -> tuple[WorldsCfg, Any]:
        """See :meth:`zprl.sim.simulator.Simulator.resolve`.

        Raises:
            ZprlError: See :func:`zprl.sim.gymnasium.settings.resolve_task`; also if something is not installed.
        """
        env_cfg, agent_cfg = resolve_task(task, agent_entry_point, overrides, configure)
        require_packages(task, env_cfg)
        return env_cfg, agent_cfg

    def choose_engine(self, env_cfg: WorldsCfg, device: str) -> str:
        """See :meth:`zprl.sim.simulator.Simulator.choose_engine`."""
        return ENGINE

    def check(self, env_cfg: WorldsCfg) -> None:
        """See :meth:`zprl.sim.simulator.Simulator.check`."""
        check_values(env_cfg, "env")

    @contextlib.contextmanager
    def launched(self, env_cfg: WorldsCfg, device: str, viz: str | None) -> Iterator[None]:
        """See :meth:`zprl.sim.simulator.Simulator.launched`; there is nothing that runs between environments.

        Raises:
            ZprlError: If a visualizer is asked for.
        """
        if viz is not None:
            raise ZprlError(f"--viz {viz} shows scenes of Isaac Lab's, and these worlds are Gymnasium's; drop it.")
        yield

    def make(self, task: str, env_cfg: WorldsCfg, device: str) -> GymnasiumEnv:
        """See :meth:`zprl.sim.simulator.Simulator.make`."""
        workers = env_cfg.workers or max(available_cores() // processes.count(), 1)
        worlds = WorkerVectorEnv(
            load_entry_point(env_cfg.make), env_cfg.scene.num_envs, workers, env_cfg.arguments(), f"task {task}"
        )
        try:
            idle = worlds.call("idle_action")[0] if worlds.knows("idle_action") else None
            return GymnasiumEnv(
                task,
                worlds,
                step_dt=env_cfg.step_dt,
                max_episode_length=env_cfg.max_episode_length,
                tracked=env_cfg.tracked_terms,
                idle_action=idle,
                device=device,
            )
        except BaseException:
            worlds.close()
            raise

    def prepare_training(self, env_cfg: WorldsCfg, algorithm: str) -> None:
        """See :meth:`zprl.sim.simulator.Simulator.prepare_training`; last observations are always there."""

    def check_training(self, env: GymnasiumEnv) -> None:
        """See :meth:`zprl.sim.simulator.Simulator.check_training`; what is observed is the environment's own."""

    def write_settings(self, cfg: Any, path: Path) -> None:
        """See :meth:`zprl.sim.simulator.Simulator.write_settings`; JSON is YAML."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write((json.dumps(class_to_dict(cfg), indent=2, default=str) + "\n").encode())
