# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The whole pipeline learns: from demonstrations to a policy that beats its base policy clearly."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TRAIN = Path(__file__).parents[1] / "scripts" / "train.py"
SETTINGS = [
    # A fifth of the default training, on a base policy of half the width, which pretrains in a fifth of the time.
    *("agent.policy.embed_hidden_dims=[128,128]", "agent.policy.vib_hidden_dims=[128,128]"),
    *("agent.policy.velocity_hidden_dim=128", "agent.pretrain.batch_size=128", "agent.pretrain.learning_rate=2e-3"),
    *("agent.max_iterations=20", "agent.evaluation.interval=20"),
]


@pytest.mark.slow
@pytest.mark.sim
@pytest.mark.timeout(1500)
def test_steering_improves_on_the_base_policy(tmp_path):
    command = [sys.executable, str(TRAIN), "--task", "Zprl-Lift-Franka", *SETTINGS]
    subprocess.run(command, cwd=tmp_path, check=True)
    (run,) = (tmp_path / "logs" / "rsl_rl" / "zprl_lift_franka").iterdir()
    (check,) = (tmp_path / "logs" / "base_policy").glob("*/*/base_policy.json")
    result, base = json.loads((run / "result.json").read_text()), json.loads(check.read_text())

    # Seeds 0 to 3: base 0.42 to 0.54, gap_low -0.13 to 0.02, difference 0.29 to 0.42, p < 1e-9.
    assert 0.35 <= result["base"]["rate"] <= 0.65
    assert base["gap_low"] <= 0.05  # rounding, which differs between processors, moves it by some points
    # The evaluation is paired, so that a false alarm or a false pass is far less likely than the intervals suggest.
    assert result["comparison"]["difference"] >= 0.10
    assert result["comparison"]["p_value"] < 0.01
    assert result["steered"]["jerk"] <= 2.0 * result["base"]["jerk"]
