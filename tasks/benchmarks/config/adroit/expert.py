# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""An expert of this project's own hand tasks in the benchmark's worlds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

import zprl.tasks
from zprl.tasks.benchmarks.config.adroit.worlds import translated
from zprl.tasks.experts import Expert, ExpertActor
from zprl.tasks.experts.noise import ActionNoise

if TYPE_CHECKING:
    from zprl.sim.workers import WorkerVectorEnv
    from zprl.tasks.benchmarks.config.adroit.expert_cfg import TranslatedExpertCfg


class TranslatedExpert(Expert):
    """Acts anew in every step of the benchmark, plus correlated noise for quality "mixed"; see :class:`Expert`.

    It was made for 50 Hz and acts at the benchmark's 100 Hz; see docs/benchmarks.md.

    Args:
        cfg: The task's expert.
        env: The benchmark's worlds.
        quality: "expert" or "mixed".
        seed: Seed of the noise.

    Raises:
        ZprlError: If the actor's file cannot be read.
    """

    def __init__(self, cfg: TranslatedExpertCfg, env: WorkerVectorEnv, quality: str = "expert", seed: int = 0) -> None:
        self._env = env
        actor = ExpertActor.load(Path(zprl.tasks.__path__[0]) / cfg.actor)
        self._network, self._translation = actor.network(), env.call("translation")[0]
        generator = torch.Generator().manual_seed(seed)
        self._noise = ActionNoise(cfg.noise(quality), (env.num_envs, actor.num_actions), generator)
        self.reset(torch.arange(env.num_envs))

    def reset(self, env_ids: torch.Tensor) -> None:
        """See :meth:`Expert.reset`."""
        self._noise.restart(env_ids)

    @torch.no_grad()
    def act(self) -> torch.Tensor:
        """See :meth:`Expert.act`."""
        seen = torch.from_numpy(np.stack(self._env.call("seen_by_expert"))).float()
        action = self._network(seen) + self._noise.step()
        return torch.from_numpy(translated(action.numpy(), self._translation)).float()
