# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Isaac Lab as a :class:`zprl.sim.simulator.Simulator`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from zprl.sim import isaaclab
from zprl.sim.isaaclab.task_env import IsaacLabEnv
from zprl.utils.errors import ZprlError


class IsaacLab:
    """Isaac Lab; see :class:`zprl.sim.simulator.Simulator`."""

    packages: tuple[str, ...] = ("isaaclab", "newton", "mujoco-warp", "warp-lang")

    def prepare(self, device: str) -> None:
        """See :meth:`zprl.sim.simulator.Simulator.prepare`."""
        isaaclab.configure_runtime(device)

    def resolve(
        self,
        task: str,
        agent_entry_point: str,
        overrides: Sequence[str],
        configure: Callable[[Any], None] | None = None,
    ) -> tuple[Any, Any]:
        """See :meth:`zprl.sim.simulator.Simulator.resolve`.

        Raises:
            ZprlError: See :func:`zprl.sim.isaaclab.resolve_task`; also if an override would swap the engine and keep
                the other engine's time steps.
        """
        for text in overrides:
            if text.startswith("env.sim.physics="):
                raise ZprlError(f"choose the physics engine by physics={text.partition('=')[2]}, not by {text}.")
        return isaaclab.resolve_task(task, agent_entry_point, overrides, configure=configure)

    def choose_engine(self, env_cfg: Any, device: str) -> str:
        """See :meth:`zprl.sim.simulator.Simulator.choose_engine`."""
        from zprl.sim.isaaclab.cameras import choose_renderer
        from zprl.sim.isaaclab.mujoco import choose_engine

        engine = choose_engine(env_cfg, device)
        choose_renderer(env_cfg, device)
        return engine

    def check(self, env_cfg: Any) -> None:
        """See :meth:`zprl.sim.simulator.Simulator.check`."""
        isaaclab.check_env_values(env_cfg)

    @contextlib.contextmanager
    def launched(self, env_cfg: Any, device: str, viz: str | None) -> Iterator[None]:
        """See :meth:`zprl.sim.simulator.Simulator.launched`; the simulator's chatter is kept from the user."""
        with isaaclab.quiet_simulator(), isaaclab.launched(env_cfg, device, viz):
            yield

    def make(self, task: str, env_cfg: Any, device: str) -> IsaacLabEnv:
        """See :meth:`zprl.sim.simulator.Simulator.make`."""
        return IsaacLabEnv(task, isaaclab.make_env(task, env_cfg))

    def prepare_training(self, env_cfg: Any, algorithm: str) -> None:
        """See :meth:`zprl.sim.simulator.Simulator.prepare_training`."""
        if algorithm == "sac":
            env_cfg.compute_final_obs = True  # what an episode ends with, which a replay buffer stores

    def check_training(self, env: Any) -> None:
        """See :func:`zprl.sim.isaaclab.check_time`."""
        isaaclab.check_time(env.unwrapped)

    def write_settings(self, cfg: Any, path: Path) -> None:
        """See :meth:`zprl.sim.simulator.Simulator.write_settings`."""
        from isaaclab.utils.io import dump_yaml

        dump_yaml(str(path), cfg)
