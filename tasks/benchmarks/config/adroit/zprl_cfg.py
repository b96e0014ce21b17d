# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings with which the benchmark's hand tasks are learned."""

from zprl.rl.runner_cfg import EvaluationCfg, ZprlRunnerCfg
from zprl.utils.configclass import configclass


@configclass
class BenchmarkRunnerCfg(ZprlRunnerCfg):
    """PPO at 100 Hz, where four actions are planned at a time: 40 ms, as in this project's own hand tasks.

    An iteration is one episode of every world: 50 chunks of the benchmark's 200 steps. All of them begin together,
    since the benchmark's episodes cannot begin with used-up time, and end together, since nothing but time ends them.
    """

    num_steps_per_env = 50
    max_iterations = 60
    save_interval = 10
    evaluation: EvaluationCfg = EvaluationCfg(interval=20)


@configclass
class DoorRunnerCfg(BenchmarkRunnerCfg):
    """A run of the door task."""

    experiment_name = "zprl_bench_adroit_door"


@configclass
class HammerRunnerCfg(BenchmarkRunnerCfg):
    """A run of the hammer task."""

    experiment_name = "zprl_bench_adroit_hammer"


@configclass
class PenRunnerCfg(BenchmarkRunnerCfg):
    """A run of the pen task."""

    experiment_name = "zprl_bench_adroit_pen"
