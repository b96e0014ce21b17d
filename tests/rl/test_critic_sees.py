# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Critics that see what only a simulator knows, and actors of a base policy with a camera that do without."""

import contextlib
from typing import Any

import pytest
import torch

from zprl.deploy.source import Source
from zprl.envs.task_env import Step
from zprl.evaluation.rollout import Evaluator
from zprl.policies import FlowPolicy, FlowPolicyCfg, load_policy, make_base_policy, save_policy
from zprl.rl.actor import load_actor
from zprl.rl.checkpoint import load_checkpoint
from zprl.rl.checkpoint_files import checkpoint_path
from zprl.rl.methods import ALGORITHMS, METHODS, configure
from zprl.rl.runner_cfg import ZprlRunnerCfg
from zprl.rl.trainer import SteeringTrainer, with_critic_groups
from zprl.spec import ActionTerm, Feature, Group, TaskSpec
from zprl.steering import steered_chunks
from zprl.utils.errors import ZprlError

HAND = Group.vector("policy", [("hand", 2)])
CAMERA = Group("camera", (Feature("camera", (8, 8, 3), "image", "uint8"),))
KNOWN = Group.vector("known", [("target", 2)], "privileged")
MOVE = (ActionTerm.uniform("move", 2),)
SPEC = TaskSpec("Toy", (HAND, KNOWN, CAMERA), MOVE, 0.1)
BLIND = TaskSpec("Toy", (HAND, CAMERA), MOVE, 0.1)
"""The same where nobody knows the target."""


class ToyEnv:
    """A hand goes to a target, a bright pixel of an image, in six steps; an episode may run out of time."""

    num_envs, device, max_episode_length, staggers, tells_final_observations = 4, "cpu", 6, False, True

    def __init__(self, spec=SPEC):
        self.spec = spec
        self.elapsed = torch.zeros(4, dtype=torch.long)

    def reset(self, seed=None):
        if seed is not None:
            torch.manual_seed(seed)
        return self.reset_to([int(torch.randint(2**31, ())) for _ in range(4)])

    def reset_to(self, seeds):
        seeds = [*seeds, *[seeds[-1]] * (4 - len(seeds))]
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.hand, self.target = torch.zeros(4, 2), torch.zeros(4, 2)
        self.begin(torch.ones(4, dtype=torch.bool))
        return self.observe()

    def begin(self, worlds):
        for i in worlds.nonzero().flatten().tolist():
            self.hand[i], self.target[i] = torch.rand(2, 2, generator=self.generators[i])
            self.elapsed[i] = 0

    def observe(self):
        images = torch.zeros(4, 8, 8, 3, dtype=torch.uint8)
        x, y = (self.target * 7.99).long().unbind(dim=1)
        images[torch.arange(4), y, x] = 255
        obs = {"policy": self.hand.clone(), "known": self.target.clone(), "camera": images}
        return {group.name: obs[group.name] for group in self.spec.groups}

    def step(self, action):
        self.hand = self.hand + 0.2 * action
        self.elapsed += 1
        success = (self.hand - self.target).norm(dim=1) < 0.2
        truncated = (self.elapsed >= 6) & ~success
        last = self.observe()
        self.begin(success | truncated)
        no = torch.zeros(4, dtype=torch.bool)
        return Step(self.observe(), success.float(), success, truncated, success, no, last)

    @contextlib.contextmanager
    def noiseless(self):
        yield

    def close(self):
        pass


@pytest.fixture(scope="module")
def base_file(tmp_path_factory):
    """A base policy that nobody has trained."""
    cfg = FlowPolicyCfg(
        observation_groups=("policy", "camera"),
        embedding_class="zprl.policies.flow.encoders:ImageEmbedding",
        horizon=2,
        execute_steps=2,
        embed_dim=6,
        embed_hidden_dims=(8,),
        latent_dim=3,
        vib_hidden_dims=(8,),
        velocity_hidden_dim=8,
        velocity_num_blocks=1,
        time_embed_dim=4,
        num_flow_steps=2,
        backend="torch",
    )
    torch.manual_seed(0)
    policy = FlowPolicy(cfg, 2, 2, {"camera": CAMERA.shape})
    torch.nn.init.normal_(policy.velocity_field.output.weight, std=0.5)  # type: ignore[union-attr]
    policy.set_action_limits(*SPEC.action_limits())
    meta = {"spec": SPEC.seen_by(["policy", "camera"]).to_dict()}
    meta["latent_statistics"] = {"latent_mean_rms": 0.5, "embedding_rms": 0.5}
    path = tmp_path_factory.mktemp("base") / "base_policy.safetensors"
    save_policy(path, policy, meta)
    return path


def config(base_file, method="zprl", algo="sac", **settings: Any):
    cfg = ZprlRunnerCfg()
    cfg.policy.embedding_class = load_policy(base_file)[0].cfg.embedding_class
    configure(cfg, method, algo)
    cfg.max_iterations, cfg.save_interval, cfg.num_steps_per_env = 4, 2, 4
    cfg.evaluation.episodes, cfg.evaluation.interval = 8, 4
    cfg.actor.hidden_dims = cfg.critic.hidden_dims = [8]
    algorithm: Any = cfg.algorithm
    if algo == "sac":
        algorithm.updates_per_step, algorithm.batch_size, algorithm.warmup_transitions = 2, 8, 16
        algorithm.replay_capacity = 64
    else:
        algorithm.num_learning_epochs, algorithm.num_mini_batches = 2, 2
    for name, value in settings.items():
        setattr(algorithm if name == "backend" else cfg, name, value)
    return cfg


def trainer_of(base_file, folder, spec=SPEC, **settings):
    base = make_base_policy(*load_policy(base_file))
    return SteeringTrainer(ToyEnv(spec), base, base_file, config(base_file, **settings), folder)


@pytest.fixture(scope="module", params=ALGORITHMS)
def run(request, base_file, tmp_path_factory):
    """A finished run with a privileged critic: its learner and its folder."""
    folder = tmp_path_factory.mktemp("run")
    trainer = trainer_of(base_file, folder, algo=request.param)
    return request.param, trainer, trainer.train(), folder


def test_the_critic_sees_what_the_actor_does_not_and_no_image_is_stored(run):
    algo, trainer, _, folder = run
    learner: Any = trainer.runner.alg
    actor = ["policy", "embedding", "latent"]
    assert trainer.cfg.obs_groups == {"actor": actor, "critic": [*actor, "known"]}
    assert trainer.learner_backend == "native"
    assert learner.actor.mlp[0].in_features == 2 + 6 + 3
    if algo == "sac":
        assert learner.critic.members.hidden[0].weight.shape[1] == 2 + 6 + 3 + 2 + 3
        assert {name: value.shape[1] for name, value in learner.replay.observations.items()} == {
            "policy": 2, "embedding": 6, "latent": 3, "known": 2,
        }  # fmt: skip
        # What an episode that ran out of time ended with holds it as well, as it was before the reset.
        following = learner.replay.next_observations
        held = learner.replay.discounts > 0.0
        assert torch.equal(following["known"][held], learner.replay.observations["known"][held])
    else:
        assert learner.critic.mlp[0].in_features == 2 + 6 + 3 + 2
        assert "camera" not in learner.storage.observations
    agent = load_checkpoint(checkpoint_path(folder, 4)).settings["agent"]
    assert agent["critic_sees"] == "privileged" and agent["obs_groups"]["critic"][-1] == "known"


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_what_the_critic_sees_makes_a_difference_and_the_backend_none(algo, base_file, tmp_path):
    critics = []
    for number, (backend, sees) in enumerate((("native", "auto"), ("torch", "privileged"), ("native", "policy"))):
        trainer = trainer_of(base_file, tmp_path / str(number), algo=algo, backend=backend, critic_sees=sees)
        trainer.runner.learn_segment(1)
        learner: Any = trainer.runner.alg
        critics.append(learner.actor.state_dict() | {f"critic.{n}": v for n, v in learner.critic.state_dict().items()})
    native, autograd, blind = critics
    torch.testing.assert_close(native, autograd, atol=2e-5, rtol=1e-4)
    assert any(native[name].shape != value.shape for name, value in blind.items())
    if algo == "sac":  # whose actor learns from the critics alone
        assert not torch.allclose(native["mlp.0.weight"], blind["mlp.0.weight"], atol=2e-5)


def test_it_continues_exactly_and_only_with_the_same_critic(run, base_file, tmp_path):
    algo, whole, _, folder = run
    checkpoint = load_checkpoint(checkpoint_path(folder, 2))
    continued = trainer_of(base_file, tmp_path / "continued", algo=algo)
    continued.resume(checkpoint)
    continued.train()
    first, second = whole.runner.alg.save(), continued.runner.alg.save()
    for model in ("actor_state_dict", "critic_state_dict"):
        for name, value in first[model].items():
            assert torch.equal(second[model][name], value), name
    other = trainer_of(base_file, tmp_path / "other", algo=algo, critic_sees="policy")
    with pytest.raises(ZprlError, match=r"^the critic of .*model_2.* sees policy, .*, known, .*continue with") as error:
        other.resume(checkpoint)
    assert "\n" not in str(error.value)


def test_acting_needs_nothing_of_what_the_critic_sees(run):
    _, trainer, steered, folder = run
    checkpoint = load_checkpoint(checkpoint_path(folder, 4))
    with pytest.raises(ZprlError, match="no observation group 'known'"):
        BLIND.require_match(checkpoint.spec, "the checkpoint")
    BLIND.require_match(checkpoint.acting_spec, "the checkpoint")
    assert [group.name for group in checkpoint.acting_spec.groups] == ["policy", "camera"]
    base = make_base_policy(checkpoint.policy, checkpoint.policy_meta)
    chunks = steered_chunks(checkpoint.steering(base), load_actor(checkpoint, "cpu"), trainer.cfg.obs_groups["actor"])
    env, cfg = ToyEnv(BLIND), trainer.cfg.evaluation
    again = Evaluator(env, base.execute_steps).run(chunks, cfg.episodes, cfg.seed)
    assert (again.successes, again.steps) == (steered.successes, steered.steps)

    obs = env.reset(3)
    u = load_actor(checkpoint, "cpu")(
        checkpoint.steering(base).observe(base.encode(obs), trainer.cfg.obs_groups["actor"])
    )
    assert u.abs().max() > 1e-4, "the actor does nothing"
    source = Source.of_checkpoint(checkpoint)
    BLIND.require_match(source.spec, "what is exported")
    torch.testing.assert_close(source.portable()(obs["policy"], obs["camera"]), chunks(obs), atol=1e-5, rtol=1e-5)


def test_what_the_critic_sees_is_decided_by_the_task_and_can_be_chosen(base_file):
    def groups(sees, spec, critic=("policy", "latent")):
        cfg = ZprlRunnerCfg(critic_sees=sees)
        cfg.obs_groups = {"actor": ["policy", "latent"], "critic": list(critic)}
        decided = with_critic_groups(cfg, spec)
        assert decided.obs_groups["actor"] == ["policy", "latent"]
        assert cfg.critic_sees == sees and cfg.obs_groups["critic"] == list(critic), "the settings stay"
        return decided.critic_sees, decided.obs_groups["critic"]

    with_it, without = ["policy", "latent", "known"], ["policy", "latent"]
    assert groups("auto", SPEC) == ("privileged", with_it)
    assert groups("auto", BLIND) == ("policy", without)
    assert groups("policy", SPEC) == ("policy", without)
    # What a checkpoint says is decided as it was.
    assert groups("privileged", SPEC, with_it) == ("privileged", with_it)
    assert groups("policy", SPEC, with_it) == ("policy", without)
    with pytest.raises(ZprlError, match=r"critic_sees=privileged .*task Toy has none .*; choose policy\.$"):
        groups("privileged", BLIND)


@pytest.mark.parametrize("algo", ALGORITHMS)
@pytest.mark.parametrize("method", METHODS)
def test_a_learner_sees_the_embedding_of_a_base_policy_with_cameras_alone(method, algo, base_file):
    if algo in METHODS[method].refusals:
        return
    seeing, blind = config(base_file, method, algo), ZprlRunnerCfg()
    configure(blind, method, algo)
    for model in ("actor", "critic"):
        assert seeing.obs_groups[model] == [
            "policy", "embedding", *(name for name in blind.obs_groups[model] if name not in ("policy", "embedding"))
        ]  # fmt: skip
    assert ("embedding" in blind.obs_groups["actor"]) == (method == "embedding_residual")


@pytest.mark.parametrize("method", ["step_residual", "scratch", "noise", "action_residual", "embedding_residual"])
def test_every_method_can_learn_from_the_embedding(method, base_file, tmp_path):
    trainer = trainer_of(base_file, tmp_path, method=method, algo="ppo")
    trainer.runner.learn_segment(1)
    assert "embedding" in trainer.env.get_observations()


def test_the_weights_of_a_policy_with_cameras_are_not_fine_tuned(base_file, tmp_path):
    with pytest.raises(ZprlError, match=r"^fine-tuning would train the encoder too, and the images camera") as error:
        trainer_of(base_file, tmp_path, method="finetune", algo="ppo")
    assert "\n" not in str(error.value)


def test_the_encoder_runs_once_for_the_embedding_and_the_latent(base_file):
    for backend in ("torch", "native"):
        policy, meta = load_policy(base_file)
        policy.cfg.backend = backend
        base, calls = make_base_policy(policy, meta), []
        assert base.backend == backend
        base.policy.embedding.register_forward_hook(lambda *args, calls=calls: calls.append(1))
        plan = base.encode(ToyEnv().reset(0))
        expected = base.policy.latent(base.policy.inputs(plan.obs))
        calls.clear()
        assert torch.equal(plan.latent, expected)
        assert plan.embedding.shape == (4, 6) and plan.actions.shape == (4, 2, 2)
        assert len(calls) == 1
