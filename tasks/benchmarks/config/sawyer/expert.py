# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""MetaWorld's scripted policies as experts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from zprl.tasks.experts import Expert
from zprl.tasks.experts.noise import ActionNoise

if TYPE_CHECKING:
    from zprl.sim.workers import WorkerVectorEnv
    from zprl.tasks.benchmarks.config.sawyer.expert_cfg import ScriptedExpertCfg


class ScriptedExpert(Expert):
    """Does what MetaWorld's script of the task does, plus correlated noise for quality "mixed"; see :class:`Expert`.

    Args:
        cfg: The task's expert.
        env: The benchmark's worlds.
        quality: "expert" or "mixed".
        seed: Seed of the noise.
    """

    def __init__(self, cfg: ScriptedExpertCfg, env: WorkerVectorEnv, quality: str = "expert", seed: int = 0) -> None:
        self._env = env
        generator = torch.Generator().manual_seed(seed)
        self._noise = ActionNoise(cfg.noise(quality), (env.num_envs, 4), generator)
        self.reset(torch.arange(env.num_envs))

    def reset(self, env_ids: torch.Tensor) -> None:
        """See :meth:`Expert.reset`."""
        self._noise.restart(env_ids)

    def act(self) -> torch.Tensor:
        """See :meth:`Expert.act`."""
        scripted = torch.from_numpy(np.stack(self._env.call("scripted_action")))
        return (scripted + self._noise.step()).clamp(-1.0, 1.0)
