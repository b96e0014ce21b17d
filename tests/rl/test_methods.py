# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The catalogue of methods."""

import pytest

from zprl.rl.methods import ALGORITHMS, METHODS, configure, steering_cfg
from zprl.rl.runner_cfg import ZprlRunnerCfg
from zprl.utils.configclass import class_to_dict, configclass
from zprl.utils.errors import ZprlError


def test_the_default_changes_nothing():
    cfg = ZprlRunnerCfg()
    configure(cfg, "zprl", "ppo")
    assert class_to_dict(cfg) == class_to_dict(ZprlRunnerCfg())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("method", METHODS)
def test_every_pair_is_configured_or_refused_in_one_sentence(method, algorithm):
    cfg = ZprlRunnerCfg()
    if algorithm in METHODS[method].refusals:
        with pytest.raises(ZprlError, match=rf"--method {method} .*--algo {algorithm}.*; choose --algo "):
            configure(cfg, method, algorithm)
        return
    configure(cfg, method, algorithm)
    assert (cfg.method, cfg.algo) == (method, algorithm)
    assert isinstance(cfg.steering, METHODS[method].steering)
    assert cfg.evaluation.interval % cfg.save_interval == 0
    assert cfg.max_iterations % cfg.save_interval == 0
    # A checkpoint's settings make the same steering again.
    values = class_to_dict(cfg.steering)
    if "scale" in values:
        values["scale"] = 0.123
    assert class_to_dict(steering_cfg(method, values)) == values


def test_noise_under_sac_begins_with_noise_as_the_flow_was_trained_from():
    cfg = ZprlRunnerCfg()
    configure(cfg, "noise", "sac")
    algorithm, steering = class_to_dict(cfg.algorithm), class_to_dict(cfg.steering)
    assert algorithm["warmup_std"] * steering["scale"] == pytest.approx(1.0)
    configure(cfg, "action_residual", "sac")
    assert class_to_dict(cfg.algorithm)["warmup_std"] == 0.0


def test_runs_do_not_share_settings():
    first, second = ZprlRunnerCfg(), ZprlRunnerCfg()
    configure(first, "action_residual", "sac")
    configure(second, "zprl", "ppo")
    assert second.obs_groups == ZprlRunnerCfg().obs_groups
    assert second.run_name == ""
    assert first.run_name == "action_residual_sac"


@configclass
class _TaskRunnerCfg(ZprlRunnerCfg):
    algo = "sac"
    num_steps_per_env = 7

    def tune(self) -> None:
        if self.method == "zprl":
            self.steering.scale = 0.25  # type: ignore[attr-defined]
        if self.algo == "sac":
            self.algorithm.batch_size = 77  # type: ignore[attr-defined]


def test_a_task_has_its_own_learner_and_settings_for_it():
    cfg = _TaskRunnerCfg()
    configure(cfg)
    assert (cfg.method, cfg.algo, cfg.run_name) == ("zprl", "sac", "zprl_sac")
    assert (class_to_dict(cfg.steering)["scale"], class_to_dict(cfg.algorithm)["batch_size"]) == (0.25, 77)
    cfg = _TaskRunnerCfg()
    configure(cfg, "action_residual", "ppo")
    assert class_to_dict(cfg.steering)["scale"] == 0.3, "the task says nothing of this method"
    assert "batch_size" not in class_to_dict(cfg.algorithm) and cfg.num_steps_per_env == 7
    cfg = _TaskRunnerCfg()
    configure(cfg, "finetune")
    assert cfg.algo == "ppo", "the task's learner cannot do it"


def test_unknown_names_are_refused():
    with pytest.raises(ZprlError, match="there is no --method resiudal; choose one of zprl, "):
        configure(ZprlRunnerCfg(), "resiudal", "ppo")
    with pytest.raises(ZprlError, match="there is no --algo td3; choose one of ppo, sac"):
        configure(ZprlRunnerCfg(), "zprl", "td3")
    with pytest.raises(ZprlError, match="does not know the method nonsense"):
        steering_cfg("nonsense", {})
