# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""rsl_rl's on-policy runner, learning in segments that each end in a checkpoint."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rsl_rl.runners import OnPolicyRunner

from zprl.rl.logger import SteeringLogger
from zprl.utils import processes
from zprl.utils.constraints import NUM_SEEDS
from zprl.utils.tensor_files import require_finite, save_tensors

if TYPE_CHECKING:
    from zprl.envs.chunked_env import ChunkedVecEnv


KIND, VERSION = "zprl-checkpoint", 1
"""Kind and version of a checkpoint's file; see :mod:`zprl.utils.tensor_files`."""


class SteeringRunner(OnPolicyRunner):
    """Runs rsl_rl's own learning loop and PPO between checkpoints.

    At every checkpoint all environments restart from a seed made of the run's seed and the iteration. No hidden state
    of the simulator crosses a checkpoint, so a run that is killed and continued is, number for number, the run that
    was not.

    Several processes learn by rsl_rl's own way for several GPUs, each in its share of the worlds; see
    :mod:`zprl.utils.processes`, which has joined them.

    The arguments are those of :class:`rsl_rl.runners.OnPolicyRunner`, and the seed of the run.
    """

    kind = KIND
    """Kind of the checkpoints' files."""

    def __init__(
        self, env: ChunkedVecEnv, train_cfg: dict[str, Any], log_dir: str | None, device: str, seed: int
    ) -> None:
        self.seed = seed
        self.env: ChunkedVecEnv = env
        env.restart(self.segment_seed(0))
        with contextlib.redirect_stdout(io.StringIO()):  # rsl_rl prints the networks
            super().__init__(env, train_cfg, log_dir, device)
        self.logger = SteeringLogger(
            self.env_steps_per_iteration,
            log_dir=log_dir,
            cfg=self.cfg,
            env_cfg=env.cfg,
            num_envs=env.num_envs,
            is_distributed=self.is_distributed,
            gpu_world_size=self.gpu_world_size,
            gpu_global_rank=self.gpu_global_rank,
            device=self.device,
        )
        self.logger.pop_counts = env.pop_counts

    def _configure_multi_gpu(self) -> None:
        """Take the processes as they are joined; rsl_rl's own method insists on a GPU for each."""
        self.gpu_world_size, self.is_distributed = processes.count(), processes.count() > 1
        self.gpu_global_rank, self.gpu_local_rank = processes.rank(), processes.local_rank()
        ranks = {"global_rank": self.gpu_global_rank, "local_rank": self.gpu_local_rank}
        self.cfg["multi_gpu"] = {**ranks, "world_size": self.gpu_world_size} if self.is_distributed else None

    @property
    def env_steps_per_iteration(self) -> int:
        """Environment steps that one iteration takes, in all processes."""
        return self.cfg["num_steps_per_env"] * self.env.total_envs * self.env.execute_steps

    @property
    def env_steps(self) -> int:
        """Environment steps taken so far."""
        return self.current_learning_iteration * self.env_steps_per_iteration

    def segment_seed(self, iteration: int) -> int:
        """Return this process's seed of the segment that starts at an iteration."""
        if processes.is_first():
            return (self.seed * 1_000_003 + iteration) % NUM_SEEDS
        sequence = np.random.SeedSequence((self.seed, iteration, processes.rank()))
        return int(sequence.generate_state(1)[0] % NUM_SEEDS)

    def learn_segment(self, num_iterations: int) -> None:
        """Learn from freshly reset environments; ``current_learning_iteration`` counts the completed iterations."""
        start = self.current_learning_iteration
        self.env.restart(self.segment_seed(start))
        self.env.env_steps = self.env_steps
        self.logger.begin_segment()
        with contextlib.redirect_stdout(io.StringIO()) if self.is_distributed else contextlib.nullcontext():
            # Of several processes each says that it synchronises its parameters.
            self.learn(num_iterations, init_at_random_ep_len=self.cfg["init_at_random_ep_len"])
        # rsl_rl leaves the index of the last iteration here, and would do it once more.
        self.current_learning_iteration = start + num_iterations

    def save(self, path: str, infos: dict | None = None) -> None:
        """Do nothing: rsl_rl saves in the middle of a segment, :meth:`save_checkpoint` at its end."""

    def save_checkpoint(self, path: Path, infos: dict[str, Any]) -> None:
        """Write a checkpoint, which holds ``infos`` as well, that is complete or absent, never partial.

        Raises:
            OSError: If it cannot be written.
            ZprlError: If a number that was learned is not finite.
        """
        content = self.alg.save()
        require_finite(content, f"the checkpoint {path} would hold")
        content["iter"] = self.current_learning_iteration
        content["infos"] = {"logger": self.logger.state(), **infos}
        save_tensors(path, content, self.kind, VERSION)

    def load_checkpoint(self, content: dict[str, Any]) -> None:
        """Continue from what :meth:`save_checkpoint` wrote."""
        self.alg.load(content, None, True)
        self.current_learning_iteration = content["iter"]
        if isinstance(self.cfg["logger"], dict):
            self.cfg["logger"]["env_steps"] = self.env_steps
        self.logger.load_state(content["infos"]["logger"])
