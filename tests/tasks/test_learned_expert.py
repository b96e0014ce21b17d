# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Experts that were learned: their files, their actions and noise, and the command that makes them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.crafted import flips

from isaaclab.managers import ObservationTermCfg

from zprl.tasks.experts import ExpertActor, ExpertNoiseCfg, LearnedExpert, LearnedExpertCfg
from zprl.tasks.experts.learned_expert import KIND, VERSION
from zprl.utils.errors import ZprlError
from zprl.utils.tensor_files import load_tensors, save_tensors

pytestmark = pytest.mark.sim

WORLDS = 3


def make_actor(**changes):
    """Return an actor with two terms, three actions and random weights."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"mlp.0.weight": (5, 4), "mlp.0.bias": (5,), "mlp.2.weight": (3, 5), "mlp.2.bias": (3,)}
    weights = {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    weights["obs_normalizer._mean"] = torch.tensor([[0.1, -0.2, 0.3, 0.0]])
    weights["obs_normalizer._std"] = torch.tensor([[1.5, 0.5, 2.0, 1.0]])
    weights["obs_normalizer._var"] = weights["obs_normalizer._std"] ** 2
    weights["obs_normalizer.count"] = torch.tensor(7)
    return ExpertActor(
        **{"terms": {"joints": 3, "place": 1}, "num_actions": 3, "hidden_dims": [5], "activation": "elu", **changes},
        weights=weights,
        provenance={"seed": 5},
    )


def environment(obs, size=3):
    """Return worlds that show observations (n, 4), and take as many actions."""
    terms = [
        ObservationTermCfg(func=lambda env: obs[:, :3]),
        ObservationTermCfg(func=lambda env, column: obs[:, column : column + 1], params={"column": 3}),
    ]
    manager = SimpleNamespace(
        active_terms={"policy": ["joints", "place"]},
        group_obs_term_dim={"policy": [(3,), (1,)]},
        _group_obs_term_cfgs={"policy": terms},
    )
    return SimpleNamespace(
        num_envs=len(obs),
        device="cpu",
        observation_manager=manager,
        action_manager=SimpleNamespace(total_action_dim=size),
    )


def expert(path, env, quality="expert", **settings):
    return LearnedExpert(LearnedExpertCfg(actor_file=str(path), training_task="", **settings), env, quality)


def test_the_action_is_the_networks(tmp_path):
    actor, path = make_actor(), tmp_path / "expert.safetensors"
    actor.save(path)
    obs = torch.randn(WORLDS, 4, generator=torch.Generator().manual_seed(1))
    found = expert(path, environment(obs)).act()
    w = {name: value.double().numpy() for name, value in actor.weights.items()}
    seen = (obs.double().numpy() - w["obs_normalizer._mean"]) / (w["obs_normalizer._std"] + 1e-2)
    hidden = seen @ w["mlp.0.weight"].T + w["mlp.0.bias"]
    hidden = np.where(hidden > 0, hidden, np.expm1(hidden))
    expected = np.clip(hidden @ w["mlp.2.weight"].T + w["mlp.2.bias"], -1, 1)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_noise_has_the_deviation_and_the_correlation_that_were_asked_for(tmp_path):
    path = tmp_path / "expert.safetensors"
    make_actor().save(path)
    env = environment(torch.zeros(4000, 4))
    noiseless = expert(path, env).act()
    mixed = expert(path, env, "mixed", mixed=ExpertNoiseCfg(action_std=0.1, action_correlation=0.6), noise_scale=0.5)
    steps = torch.stack([mixed.act() - noiseless for _ in range(20)])
    assert steps.std(dim=1) == pytest.approx(0.05, rel=0.05)  # in every step, from the first on
    assert (steps[0] * steps[1]).mean() / 0.05**2 == pytest.approx(0.6, abs=0.05)
    mixed.reset(torch.tensor([0, 2]))
    after = mixed.act() - noiseless
    kept = torch.tensor([1, *range(3, 4000)])
    assert (steps[-1][kept] * after[kept]).mean() / 0.05**2 == pytest.approx(0.6, abs=0.05)
    with pytest.raises(ValueError, match="Unknown quality 'good'"):
        expert(path, env, "good")


def test_an_expert_of_other_observations_or_actions_is_refused(tmp_path):
    path = tmp_path / "expert.safetensors"
    make_actor(terms={"joints": 2, "place": 2}).save(path)
    with pytest.raises(ZprlError, match=r"was made for other observations or actions than the task has now; make"):
        expert(path, environment(torch.zeros(WORLDS, 4)))
    make_actor().save(path)
    with pytest.raises(ZprlError, match="other observations or actions"):
        expert(path, environment(torch.zeros(WORLDS, 4), size=2))


def test_a_file_comes_back_as_it_was_or_not_at_all(tmp_path):
    actor, path = make_actor(), tmp_path / "expert.safetensors"
    actor.save(path)
    found = ExpertActor.load(path)
    assert (found.terms, found.num_actions, found.provenance) == (actor.terms, 3, {"seed": 5})
    assert list(found.terms) == list(actor.terms)
    for name, value in actor.weights.items():
        assert torch.equal(found.weights[name], value)
    for _ in flips(path, 100):
        with pytest.raises(ZprlError):
            ExpertActor.load(path)
    broken = make_actor()
    broken.weights["mlp.0.bias"][2] = torch.nan
    with pytest.raises(ZprlError, match=r"holds? NaN or infinity in mlp\.0\.bias"):
        broken.save(path)
    ExpertActor.load(path)  # the one that was there before


@pytest.mark.parametrize(
    "changes", [{"hidden_dims": [10**9]}, {"num_actions": 2}, {"terms": [["joints", 10**9]]}, {"activation": "os"}]
)
def test_a_file_that_declares_other_than_it_holds_is_refused(tmp_path, changes):
    path = tmp_path / "expert.safetensors"
    make_actor().save(path)
    save_tensors(path, {**load_tensors(path, KIND, "expert"), **changes}, KIND, VERSION)
    with pytest.raises(ZprlError, match=r"expert\.safetensors is not well-formed \(.*\); make it again\.$"):
        ExpertActor.load(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_steps_per_env": 0}, r"^agent\.num_steps_per_env is 0; it must be at least 1\.$"),
        ({"save_interval": -1}, r"^agent\.save_interval is -1; it must be"),
        ({"num_steps_per_env": 1}, r"^4 transitions per iteration are fewer than agent\.algorithm\.num_mini_batches=6"),
    ],
)
def test_counts_with_which_nothing_is_learned_are_refused(changes, words):
    from zprl.runs.expert_training import check_learner
    from zprl.tasks.common.expert_runner_cfg import ExpertRunnerCfg

    check_learner(ExpertRunnerCfg(), 4)
    with pytest.raises(ZprlError, match=words):
        check_learner(ExpertRunnerCfg(**changes), 4)
    with pytest.raises(ZprlError, match=r"^agent\.algorithm\.num_mini_batches is 0; "):
        cfg = ExpertRunnerCfg()
        cfg.algorithm.num_mini_batches = 0
        check_learner(cfg, 4)


def test_a_scripted_expert_is_not_learned():
    import zprl.tasks  # noqa: F401 - registers the tasks
    from zprl.runs.expert_training import learned_expert_cfg

    assert learned_expert_cfg("Zprl-Pen-Adroit").training_task == "Zprl-Pen-Adroit-Dense"
    with pytest.raises(ZprlError, match=r"the expert of task Zprl-Lift-Franka is scripted, LiftExpertCfg; there is"):
        learned_expert_cfg("Zprl-Lift-Franka")


def test_the_same_seed_makes_the_same_expert_interrupted_or_not(tmp_path, monkeypatch, capsys):
    from zprl.runs import expert_training
    from zprl.runs.expert_training import ExpertRunner, learner_path, train_expert

    monkeypatch.chdir(tmp_path)
    overrides = ["agent.max_iterations=3", "agent.num_steps_per_env=12", "agent.save_interval=2"]
    whole, parts = (tmp_path / f"{name}.safetensors" for name in ("whole", "parts"))

    def train(path, seed=3):
        return train_expert("Zprl-Pen-Adroit", path, "cpu", overrides, num_envs=8, seed=seed, episodes=8)

    assert train(whole).episodes == 8
    monkeypatch.setattr(expert_training, "_judge", lambda *arguments: None)  # once is enough
    with monkeypatch.context() as patch:
        learn = ExpertRunner.learn_segment

        def interrupted(runner, num_iterations):
            if runner.current_learning_iteration:
                raise KeyboardInterrupt
            learn(runner, num_iterations)

        patch.setattr(ExpertRunner, "learn_segment", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(parts)
    assert ExpertActor.load(parts).provenance["env_steps"] == 2 * 12 * 8
    with pytest.raises(ZprlError, match=r"parts\.learner\.safetensors is of a learner with other settings, which has"):
        train(parts, seed=4)
    capsys.readouterr()
    train(parts)
    assert "which has done 2 iterations" in capsys.readouterr().out
    assert parts.read_bytes() == whole.read_bytes()
    assert not learner_path(parts).exists() and not learner_path(whole).exists()
    actor = ExpertActor.load(whole)
    assert actor.provenance["env_steps"] == 3 * 12 * 8
    assert actor.provenance["overrides"] == overrides
    assert sum(actor.terms.values()) == 48 and actor.num_actions == 24
