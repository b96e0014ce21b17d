# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a command needs of whatever simulates its task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from zprl.envs.task_env import TaskEnv


class Simulator(Protocol):
    """Configurations and environments of a kind of tasks."""

    packages: tuple[str, ...]
    """Packages whose versions say what simulated a run."""

    def prepare(self, device: str) -> None:
        """Choose what cannot be changed later, before anything is simulated."""
        ...

    def resolve(
        self,
        task: str,
        agent_entry_point: str,
        overrides: Sequence[str],
        configure: Callable[[Any], None] | None = None,
    ) -> tuple[Any, Any]:
        """Return a task's environment's and learner's configuration; see :func:`zprl.sim.isaaclab.resolve_task`."""
        ...

    def choose_engine(self, env_cfg: Any, device: str) -> str:
        """Settle on what the device decides, and return the name of the physics engine."""
        ...

    def check(self, env_cfg: Any) -> None:
        """Refuse values of an environment's configuration that are out of range."""
        ...

    def launched(self, env_cfg: Any, device: str, viz: str | None) -> AbstractContextManager[None]:
        """Run the simulator while a block lasts."""
        ...

    def make(self, task: str, env_cfg: Any, device: str) -> TaskEnv:
        """Return a new environment."""
        ...

    def prepare_training(self, env_cfg: Any, algorithm: str) -> None:
        """Change the configuration to what a learner needs, "ppo" or "sac"."""
        ...

    def check_training(self, env: Any) -> None:
        """Refuse an environment in which nothing can be learned."""
        ...

    def write_settings(self, cfg: Any, path: Path) -> None:
        """Write a configuration as YAML."""
        ...
