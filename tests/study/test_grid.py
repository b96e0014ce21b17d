# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

import pytest

from zprl.study.grid import ABLATIONS, ablation_variants, expand, method_variants
from zprl.utils.errors import ZprlError


def test_pairs_that_make_no_sense_are_left_out_with_a_line():
    variants, left_out = method_variants(["zprl", "finetune", "scratch"], ["ppo", "sac"])
    assert [variant.name for variant in variants] == ["zprl_ppo", "zprl_sac", "finetune_ppo", "scratch_ppo"]
    assert [(line.split()[2], line.split()[4]) for line in left_out] == [("finetune", "SAC,"), ("scratch", "SAC,")]
    assert "chain of the flow's states" in left_out[0]


def test_a_learner_that_does_none_of_the_methods_is_refused():
    with pytest.raises(ZprlError, match="none of the methods"):
        method_variants(["scratch"], ["sac"])


@pytest.mark.parametrize(
    ("methods", "algorithms", "words"),
    [
        (["zprl", "nosie"], ["ppo"], "--methods does not know 'nosie'"),
        (["zprl"], ["td3"], "--algos does not know 'td3'"),
        (["zprl", "zprl"], ["ppo"], "--methods needs .* only once"),
    ],
)
def test_wrong_names_are_refused(methods, algorithms, words):
    with pytest.raises(ZprlError, match=words):
        method_variants(methods, algorithms)


def test_an_ablation_sets_its_option_to_each_value():
    variants = ablation_variants("beta", [2e-5, 1e-3], ["sac"])
    assert [(v.name, v.method, v.algorithm, v.overrides, v.value) for v in variants] == [
        ("beta_2e-05_sac", "zprl", "sac", ("agent.pretrain.vib_beta=2e-05",), 2e-5),
        ("beta_0.001_sac", "zprl", "sac", ("agent.pretrain.vib_beta=0.001",), 1e-3),
    ]


def test_whole_numbers_stay_whole():
    (variant,) = ablation_variants("num_demos", [100.0], ["ppo"])
    assert variant.overrides == ("agent.demonstrations.num_demos=100",)


def test_the_ablation_of_the_bottleneck_has_zprl_to_compare_with():
    variants = ablation_variants("bottleneck", [0.1], ["sac"])
    assert [(v.method, v.value) for v in variants] == [("zprl", None), ("embedding_residual", 0.1)]


def test_a_setting_that_is_no_number_is_given_by_words():
    variants = ablation_variants("critic", None, ["ppo"])
    assert [v.overrides for v in variants] == [("agent.critic_sees=policy",), ("agent.critic_sees=privileged",)]
    assert variants[1].label == "the critic sees = privileged, PPO" and variants[1].value == 1
    with pytest.raises(ZprlError, match=r"are 0 \(policy\), 1 \(privileged\); 2 is none of them"):
        ablation_variants("critic", [2], ["ppo"])


@pytest.mark.parametrize(("name", "values"), [("gamma", None), ("beta", [1.0, 1.0])])
def test_wrong_ablations_are_refused(name, values):
    with pytest.raises(ZprlError):
        ablation_variants(name, values, ["sac"])


def test_the_default_settings_are_among_the_values():
    from zprl.rl.runner_cfg import ZprlRunnerCfg

    cfg = ZprlRunnerCfg()
    assert cfg.steering.scale in ABLATIONS["lambda"].values  # type: ignore[attr-defined]
    assert cfg.policy.latent_dim in ABLATIONS["z_dim"].values
    assert cfg.pretrain.vib_beta in ABLATIONS["beta"].values
    assert cfg.demonstrations.num_demos in ABLATIONS["num_demos"].values


def test_every_variant_gets_its_first_seed_before_any_gets_its_second():
    variants, _ = method_variants(["zprl", "noise"], ["ppo"])
    assert [run.name for run in expand(variants, [3, 5])] == [
        "zprl_ppo_seed3",
        "noise_ppo_seed3",
        "zprl_ppo_seed5",
        "noise_ppo_seed5",
    ]
    for seeds in ([], [1, 1]):
        with pytest.raises(ZprlError, match="--seeds"):
            expand(variants, seeds)
