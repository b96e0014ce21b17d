# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The search for the scale of an expert's noise, on curves of success that are known."""

import contextlib
import dataclasses
import math
import re
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from tests.checkpoints import ACTION_DIM, LATENT_DIM, OBS_DIM, SPEC

from zprl.data import Demonstration, save_demonstrations
from zprl.evaluation.statistics import SuccessRate, success_rate
from zprl.rl.runner_cfg import ZprlRunnerCfg
from zprl.runs import calibration
from zprl.runs.base_policy import TRIAL_SEED_OFFSET
from zprl.runs.calibration import bisect_scale, calibrate, closest, noisy_expert
from zprl.utils.errors import ZprlError


def rate(share: float) -> SuccessRate:
    return SuccessRate(round(200 * share), 200, share, share, share)


def falling(half):
    """Return a curve that falls from 1 and is at one half where the scale is ``half``."""
    return lambda scale: rate(1.0 / (1.0 + (scale / half) ** 3))


@pytest.mark.parametrize("half", [0.07, 0.4, 1.0, 1.7, 5.0])
@pytest.mark.parametrize("target", [0.3, 0.5, 0.8])
def test_the_scale_is_found(half, target):
    trials = bisect_scale(falling(half), target, 0.02, 1.0, 12)
    assert abs(trials[-1].success.rate - target) <= 0.02
    expected = half * (1 / target - 1) ** (1 / 3)
    assert trials[-1].scale == pytest.approx(expected, rel=0.1)
    assert all(abs(trial.success.rate - target) > 0.02 for trial in trials[:-1])  # it stops at once


@pytest.mark.parametrize(("curve", "scale"), [(lambda s: rate(0.9), 8.0), (lambda s: rate(0.2), 0.0)])
def test_a_share_out_of_reach_ends_at_the_end_of_the_range(curve, scale):
    trials = bisect_scale(curve, 0.5, 0.05, 1.0, 20)
    assert trials[-1].scale == scale
    assert len(trials) <= 5


def test_the_scale_grows_as_asked_until_one_is_too_much():
    trials = bisect_scale(falling(2.0), 0.5, 0.05, 1.0, 12, growth=1.5)
    assert [trial.scale for trial in trials[:3]] == [1.0, 1.5, 2.25]
    assert trials[3].scale == pytest.approx(1.875)


def test_no_more_scales_are_tried_than_asked_for():
    trials = bisect_scale(falling(0.3), 0.5, 1e-9, 1.0, 4)
    assert len(trials) == 4
    assert closest(trials, 0.5).scale == pytest.approx(0.25)


@pytest.fixture
def curves(monkeypatch):
    """Give the scales that are tried, where half of the demonstrations succeed at 0.8 and of base policies at 0.5."""
    tried = {"demonstrations": [], "base": []}

    def collect(session, scale, episodes, path):
        tried["demonstrations"].append((scale, episodes))
        return falling(0.8)(scale)

    def train(session, scale, episodes, folder):
        assert folder.is_dir()
        tried["base"].append(scale)
        return falling(0.5)(scale)

    monkeypatch.setattr(calibration, "_collect", collect)
    monkeypatch.setattr(calibration, "_train_base", train)
    return tried


class Session:
    task = "Zprl-Lift-Franka"


def test_base_policies_are_trained_from_where_demonstrations_succeed_as_often(curves, capsys):
    found = calibrate(Session(), 0.5, 0.05)  # type: ignore[arg-type]
    assert abs(found.success.rate - 0.5) <= 0.05
    first = curves["base"][0]
    assert abs(falling(0.8)(first).rate - 0.5) <= 0.05
    assert found.scale == curves["base"][-1] == pytest.approx(0.5, rel=0.1)
    assert {episodes for _, episodes in curves["demonstrations"]} == {200}
    assert capsys.readouterr().out.count("\n") == len(curves["demonstrations"]) + len(curves["base"])


@pytest.mark.sim  # whose registry knows the expert; none is started
def test_no_line_names_a_file_that_is_gone(monkeypatch, capsys):
    """What is collected and trained on the way is real, but for the worlds, which half of the episodes succeed in."""
    cfg = ZprlRunnerCfg()
    cfg.demonstrations.num_demos = 4
    cfg.pretrain.num_steps = cfg.pretrain.warmup_steps = cfg.pretrain.batch_size = 2
    cfg.pretrain.log_interval = cfg.pretrain.eval_interval = 1
    cfg.pretrain.eval_episodes, cfg.pretrain.bottleneck_steps = 6, 1
    evaluated = []
    cfg.policy.latent_dim = LATENT_DIM
    spec = dataclasses.replace(SPEC, task=Session.task)
    env = SimpleNamespace(spec=spec, device="cpu", unwrapped=None)

    def record(env, expert, path, count, *arguments):
        rng = np.random.default_rng(0)

        def episode(success):
            obs = {"policy": rng.normal(size=(9, OBS_DIM)).astype(np.float32)}
            actions = rng.uniform(-1, 1, (9, ACTION_DIM)).astype(np.float32)
            return Demonstration(obs, actions, np.zeros(9, np.float32), np.zeros(9, bool), success)

        save_demonstrations(path, spec, [episode(i % 2 == 0) for i in range(count)])
        return {"successes": count // 2, "env_steps": 9 * count}

    class Evaluator:
        def __init__(self, *arguments):
            pass

        def run(self, policy, episodes, seed, *arguments):
            evaluated.append(episodes)
            assert seed == cfg.evaluation.seed + TRIAL_SEED_OFFSET
            return SimpleNamespace(successes=[i % 2 == 0 for i in range(episodes)])

    session: Any = SimpleNamespace(
        task=Session.task,
        agent_cfg=cfg,
        env_cfg=SimpleNamespace(scene=SimpleNamespace(num_envs=4)),
        device="cpu",
        apply_inference_settings=lambda policy: None,
        environment=lambda *arguments: contextlib.nullcontext(env),
    )
    monkeypatch.setattr("zprl.sim.isaaclab.recording.collect_demonstrations", record)
    monkeypatch.setattr("zprl.tasks.experts.make_expert", lambda *arguments: None)
    monkeypatch.setattr("zprl.evaluation.rollout.Evaluator", Evaluator)
    assert calibrate(session, 0.5, episodes=8).success.successes == 4
    assert evaluated == [6, 6, 6, 8]  # after each step of pre-training, and at the end
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("base policy: 2 steps and 1 of the bottleneck alone in ") for line in lines)
    assert [line.partition(":")[0] for line in lines] == [*["demonstrations"] * 3, *["base policy"] * 2]
    assert not [line for line in lines if re.search(r"/|written|hdf5|safetensors", line)]


def test_a_target_out_of_reach_is_refused_with_the_closest(curves, monkeypatch):
    monkeypatch.setattr(calibration, "_train_base", lambda *arguments: rate(0.1))
    with pytest.raises(ZprlError, match=r"within 5 points; the closest is 10.0% .* at noise_scale 0") as error:
        calibrate(Session(), 0.5, 0.05)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_an_expert_whose_noise_has_no_scale_is_refused():
    gymnasium.register(
        "Zprl-Test-Scale", entry_point="no:thing", kwargs={"expert_entry_point": "zprl.tasks.experts:ExpertCfg"}
    )
    try:
        with pytest.raises(ZprlError, match="the expert of task Zprl-Test-Scale has no noise_scale"):
            noisy_expert("Zprl-Test-Scale")
    finally:
        del gymnasium.registry["Zprl-Test-Scale"]


def test_the_interval_is_that_of_the_episodes():
    found = success_rate([True] * 100 + [False] * 100)
    text = calibration.Trial(0.5, found).describe()
    assert text == "50.0% [43.1, 56.9] at noise_scale 0.500" and not math.isnan(found.low)
