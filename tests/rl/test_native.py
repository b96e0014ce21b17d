# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The native operators' gradient steps against those of autograd, from the same random numbers."""

import copy

import pytest
import torch
from rsl_rl.models import MLPModel
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict

from zprl.rl.critic import EnsembleCritic
from zprl.rl.ppo import PPO
from zprl.rl.replay import ReplayBuffer
from zprl.rl.sac import SAC
from zprl.steering import CriticAction
from zprl.utils import processes
from zprl.utils.errors import ZprlError

pytest.importorskip("zprl._core", reason="the native libraries are not built")

WORLDS, STEPS, DIMS = 12, 5, 3
GROUPS = {"actor": ["policy", "latent"], "critic": ["latent", "state"]}
WIDTHS = {"policy": 5, "latent": DIMS, "state": 18}
GAUSSIAN = {"class_name": "GaussianDistribution", "init_std": 0.5, "std_type": "log"}
NETWORKS = [
    {"hidden_dims": [20, 33], "activation": "elu"},
    {"hidden_dims": [7], "activation": "gelu"},
    {"hidden_dims": [64, 16, 5], "activation": "tanh"},
    {"hidden_dims": [130], "activation": "relu"},
    {"hidden_dims": [3, 40], "activation": "swish"},
]
TOLERANCE = {torch.float64: {"rtol": 1e-6, "atol": 1e-9}, torch.float32: {"rtol": 2e-3, "atol": 2e-6}}


@pytest.fixture(params=TOLERANCE, ids=str, autouse=True)
def dtype(request):
    torch.set_default_dtype(request.param)
    yield request.param
    torch.set_default_dtype(torch.float32)


def observe(scale=1.0):
    seen = {name: scale * torch.randn(WORLDS, width) for name, width in WIDTHS.items()}
    return TensorDict(seen, batch_size=[WORLDS])


def make_ppo(backend, network=NETWORKS[0], distribution=GAUSSIAN, **settings):
    torch.manual_seed(0)
    obs = observe()
    actor = MLPModel(obs, GROUPS, "actor", DIMS, obs_normalization=True, distribution_cfg=dict(distribution), **network)
    critic = MLPModel(obs, GROUPS, "critic", 1, **network)
    storage = RolloutStorage("rl", WORLDS, STEPS, obs, [DIMS], "cpu")
    settings = {"schedule": "fixed", "learning_rate": 3e-3, "num_mini_batches": 3, "entropy_coef": 0.01} | settings
    return PPO(actor, critic, storage, backend=backend, **settings)


def learn_ppo(ppo, seed):
    """Take an iteration in worlds of random observations and rewards."""
    torch.manual_seed(seed)
    ppo.train_mode()
    with torch.inference_mode():
        for _ in range(STEPS):
            obs = observe()
            ppo.act(obs)
            ppo.process_env_step(obs, torch.randn(WORLDS), (torch.rand(WORLDS) < 0.2).long(), {})
        ppo.compute_returns(obs)
    return ppo.update()


LATENT = CriticAction("latent", 0.4, 1.5)


def make_sac(backend, network=NETWORKS[1], action=LATENT, members=3, **settings):
    torch.manual_seed(0)
    obs = observe()
    squashed = {"class_name": "zprl.rl.distribution:SquashedGaussian", "log_std_range": (-3.0, 1.0)}
    actor = MLPModel(obs, GROUPS, "actor", DIMS, obs_normalization=True, distribution_cfg=squashed, **network)
    critic = EnsembleCritic(obs, GROUPS, "critic", DIMS, num_members=members, **network)
    replay = ReplayBuffer(200, WORLDS, dict(obs), DIMS, "cpu")
    sizes = {"batch_size": 37, "updates_per_step": 3, "warmup_transitions": 8}
    rates = {"learning_rate": 3e-3, "critic_learning_rate": 3e-3, "init_alpha": 0.1}
    return SAC(actor, critic, replay, action, num_steps=3, **{"backend": backend, **sizes, **rates, **settings})


def learn_sac(sac, seed):
    torch.manual_seed(seed)
    sac.train_mode()
    obs = observe()
    with torch.inference_mode():
        for _ in range(3):
            sac.act(obs)
            obs = observe()
            dones = (torch.rand(WORLDS) < 0.2).long()
            sac.process_env_step(obs, torch.rand(WORLDS), dones, {"time_outs": torch.zeros(WORLDS, dtype=torch.bool)})
    return sac.update()


def flat(value):
    if isinstance(value, dict):
        return {f"{key}.{name}": leaf for key, entry in value.items() for name, leaf in flat(entry).items()}
    if isinstance(value, list | tuple):
        return flat(dict(enumerate(value)))
    return {} if value is None else {"": torch.as_tensor(value)}


def assert_same(first, second, **tolerance):
    """Everything that two learners would save is equal."""
    first, second = flat(first.save()), flat(second.save())
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], msg=lambda text, name=name: f"{name}: {text}", **tolerance)


def assert_learns_alike(make, learn, dtype, iterations=2, **settings):
    native, reference = make("native", **settings), make("torch", **settings)
    assert native.native is not None
    assert reference.native is None
    for iteration in range(iterations):
        figures, expected = learn(native, iteration), learn(reference, iteration)
        assert figures == pytest.approx(expected, rel=TOLERANCE[dtype]["rtol"], abs=1e-5)
        assert figures.keys() == expected.keys()
    assert_same(native, reference, **TOLERANCE[dtype])


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network["activation"])
def test_ppo_learns_as_by_autograd(network, dtype):
    assert_learns_alike(make_ppo, learn_ppo, dtype, network=network)


@pytest.mark.parametrize(
    "settings",
    [
        {"distribution": {**GAUSSIAN, "std_type": "scalar"}, "max_grad_norm": 0.01},
        {"distribution": {**GAUSSIAN, "std_range": (0.4999, 0.5001)}},
        {"use_clipped_value_loss": False, "clip_param": 0.02, "value_loss_coef": 0.3},
        {"normalize_advantage_per_mini_batch": True, "num_mini_batches": 7, "clip_param": 0.01},
        {"critic_warmup_iterations": 1},
    ],
    ids=["scalar deviation", "bounded deviation", "plain values", "minibatches", "warm-up"],
)
def test_ppo_learns_as_by_autograd_with_other_settings(settings, dtype):
    assert_learns_alike(make_ppo, learn_ppo, dtype, **settings)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network["activation"])
def test_sac_learns_as_by_autograd(network, dtype):
    assert_learns_alike(make_sac, learn_sac, dtype, network=network)


@pytest.mark.parametrize(
    "settings",
    [
        {"action": CriticAction(), "members": 1, "subset_size": 1, "max_grad_norm": 0.01},
        {"entropy_in_target": True, "actor_interval": 1, "target_rate": 0.7},
        {"actor_interval": 4, "updates_per_step": 1, "members": 5, "subset_size": 3},
    ],
    ids=["one critic", "entropy in the target", "many critics"],
)
def test_sac_learns_as_by_autograd_with_other_settings(settings, dtype):
    assert_learns_alike(make_sac, learn_sac, dtype, **settings)


def test_critics_that_are_not_bounded_learn_as_by_autograd(dtype):
    def make(backend):
        return make_sac(backend, network={"hidden_dims": [16]})

    native, reference = make("torch"), make("torch")
    for sac in (native, reference):
        sac.critic.members.bounded = sac.target_members.bounded = False
    from zprl.rl.sac_native import NativeSac

    native.native = NativeSac(native)
    assert learn_sac(native, 1) == pytest.approx(learn_sac(reference, 1), rel=1e-3)
    assert_same(native, reference, **TOLERANCE[dtype])


LEARNERS = {"ppo": (make_ppo, learn_ppo), "sac": (make_sac, learn_sac)}


def gradients(learner):
    """What a learner's first gradient step went by: Adam keeps a tenth of it."""
    return {name: 10 * value for name, value in flat(learner.save()).items() if name.endswith("exp_avg.")}


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network["activation"])
@pytest.mark.parametrize(
    ("make", "learn", "once"),
    [
        (make_ppo, learn_ppo, {"num_learning_epochs": 1, "num_mini_batches": 1}),
        (make_sac, learn_sac, {"updates_per_step": 1, "actor_interval": 1}),
    ],
    ids=LEARNERS,
)
def test_gradients_are_those_of_autograd(make, learn, once, network, dtype):
    native, reference = make("native", network=network, **once), make("torch", network=network, **once)
    for learner in (native, reference):
        learn(learner, 0)
    found, expected = gradients(native), gradients(reference)
    assert found.keys() == expected.keys()
    assert len(found) >= 2 * len(network["hidden_dims"]) + 2
    for name, gradient in expected.items():
        assert gradient.norm() > 0, name
        error = (found[name] - gradient).norm() / gradient.norm()
        assert error < {torch.float64: 1e-10, torch.float32: 1e-4}[dtype], f"{name}: {error}"


@pytest.mark.parametrize(("make", "learn"), LEARNERS.values(), ids=LEARNERS)
def test_the_number_of_threads_changes_no_bit(make, learn, monkeypatch):
    learners = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(processes, "num_threads", lambda threads=threads: threads)
        learners.append(make("native"))
        learn(learners[-1], 3)
    for other in learners[1:]:
        assert_same(learners[0], other, rtol=0, atol=0)


@pytest.mark.parametrize(("make", "learn"), LEARNERS.values(), ids=LEARNERS)
def test_either_continues_from_the_others_checkpoint(make, learn, dtype):
    first = {backend: make(backend) for backend in ("native", "torch")}
    for learner in first.values():
        learn(learner, 1)
    reference = copy.deepcopy(first["torch"].save())
    for backend in first:
        for content in (first["native"].save(), reference):
            learner = make(backend)
            learn(learner, 5)  # what it has learned and remembers is replaced
            learner.load(copy.deepcopy(content), None, True)
            learn(learner, 2)
            if learner.native is not None:
                views = learner.native.learned if make is make_ppo else learner.native.actor
                assert torch.equal(torch.cat([p.detach().flatten() for p in views.parameters]), views.state[0])
                kept = [views.optimizer.state[p]["exp_avg"].flatten() for p in views.parameters]
                assert torch.equal(torch.cat(kept), views.state[1])
            expected = make("torch")
            expected.load(copy.deepcopy(content), None, True)
            learn(expected, 2)
            assert_same(learner, expected, **TOLERANCE[dtype])


@pytest.mark.parametrize(("make", "learn"), LEARNERS.values(), ids=LEARNERS)
def test_a_learner_that_was_restored_goes_on_bit_by_bit(make, learn):
    first, second = make("native"), make("native")
    learn(first, 1)
    second.load(copy.deepcopy(first.save()), None, True)
    for learner in (first, second):
        learn(learner, 2)
    assert_same(first, second, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("make", "settings", "sentence"),
    [
        (make_ppo, {"network": {"activation": "mish"}}, "the actor's activation is Mish"),
        (make_ppo, {"schedule": "adaptive"}, "its schedule is adaptive"),
        (make_ppo, {"optimizer": "sgd"}, "its optimizer is SGD"),
        (
            make_ppo,
            {"distribution": {"class_name": "HeteroscedasticGaussianDistribution"}},
            "the actor's distribution is a HeteroscedasticGaussianDistribution",
        ),
        (make_sac, {"action": lambda seen, u: u}, "what the critics are told of an output is not a CriticAction"),
        (make_sac, {"network": {"activation": "softplus"}}, "the critics' activation is Softplus"),
    ],
    ids=["activation", "schedule", "optimizer", "distribution", "action", "critics"],
)
def test_what_the_native_operator_does_not_know_is_refused_in_a_sentence(make, settings, sentence):
    with pytest.raises(ZprlError) as error:
        make("native", **settings)
    assert str(error.value) == f"agent.algorithm.backend=native does not go: {sentence}; choose auto or torch."
    assert make("auto", **settings).native is None
