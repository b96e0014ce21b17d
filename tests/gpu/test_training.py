# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Training on a GPU: the whole pipeline once, small, and a chunk of the environment that nothing waits for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from zprl.policies import FlowPolicy, FlowPolicyCfg, NativePolicyStep

SCRIPTS = Path(__file__).parents[2] / "scripts"
DEVICE = "cuda:0"
SETTINGS = [
    "agent.demonstrations.num_demos=32",
    "agent.demonstrations.quality=expert",
    "agent.pretrain.num_steps=300",
    "agent.max_iterations=4",
    "agent.save_interval=2",
    "agent.num_steps_per_env=6",
    "agent.evaluation.episodes=32",
    "agent.evaluation.interval=4",
]


@pytest.mark.parametrize("step_of", [NativePolicyStep, lambda policy: policy], ids=["native", "torch"])
def test_a_chunk_of_the_environment_does_not_wait(step_of):
    for package in ("isaaclab", "rsl_rl"):
        pytest.importorskip(package, reason="training needs Isaac Lab and RSL-RL")
    from tests.envs.test_no_synchronisation import WORLDS, FakeEnv
    from tests.fakes import STATISTICS, make_spec

    from zprl.envs.chunked_env import ChunkedVecEnv
    from zprl.policies import FlowBasePolicy
    from zprl.steering import LatentResidual, LatentResidualCfg

    policy, spec = FlowPolicy(FlowPolicyCfg(execute_steps=3), 40, 7).to(DEVICE), make_spec(40, 7)
    steering = LatentResidual(LatentResidualCfg(), FlowBasePolicy(step_of(policy), spec, STATISTICS))
    env = ChunkedVecEnv(FakeEnv(spec, True), steering, ["policy"], 0.99)  # pyright: ignore[reportArgumentType]
    env.restart(0)
    actions = torch.randn(WORLDS, env.num_actions, device=DEVICE)
    with torch.inference_mode():
        env.step(actions)
        torch.cuda.set_sync_debug_mode("error")
        try:
            env.step(actions)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert env.planning_time.seconds > 0.0 and env.simulation_time.seconds > 0.0
    assert env.pop_counts()[0] >= 0


@pytest.mark.sim
@pytest.mark.timeout(900)
@pytest.mark.parametrize("backend", ["native", "native_bf16"])
def test_training_runs_and_says_what_ran_it(tmp_path, backend):
    command = [sys.executable, str(SCRIPTS / "train.py"), "--task", "Zprl-Lift-Franka", "--device", DEVICE]
    command += ["--num_envs", "64", *SETTINGS, f"policy.backend={backend}"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-4000:]
    assert "the policy runs on torch" not in result.stderr
    (run,) = (tmp_path / "logs" / "rsl_rl" / "zprl_lift_franka").iterdir()
    report = json.loads((run / "result.json").read_text())
    assert (report["backend"], report["device"]) == (backend, DEVICE)
    assert report["environment_steps"] == 4 * 6 * 64 * 4
    assert report["physics"] == "newton_mjwarp"
    assert sum(report["time_split"].values()) == pytest.approx(1.0, abs=0.05)
    assert report["time_split"]["policy"] > 0.0
