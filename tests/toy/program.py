# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""From demonstrations to a steered policy in a toy world, where no Isaac Lab can be imported; run by test_toy.py.

``python program.py FOLDER [SEED]`` writes what it found to ``FOLDER/found.json``.
"""

import importlib.abc
import json
import sys
import time
from pathlib import Path
from typing import Any

SIMULATORS = ("isaaclab", "isaaclab_rl", "isaaclab_tasks", "newton", "warp", "pxr")


class Blocked(importlib.abc.MetaPathFinder):
    """Lets nobody import a simulator."""

    def find_spec(self, fullname, path=None, target=None):
        """Refuse it."""
        if fullname.partition(".")[0] in SIMULATORS:
            raise ImportError(f"{fullname} must not be imported")


sys.meta_path.insert(0, Blocked())

import numpy as np  # noqa: E402
import torch  # noqa: E402
from foreign import NoiseToChunk  # noqa: E402
from two_arms import LENGTH, RADIUS, STEP, TwoArms  # noqa: E402

from zprl.data import Demonstration, save_demonstrations  # noqa: E402
from zprl.deploy.bundle import Source, export_policy  # noqa: E402
from zprl.deploy.load import open_bundle  # noqa: E402
from zprl.evaluation.rollout import Evaluator, compare  # noqa: E402
from zprl.policies import FlowBasePolicy, load_policy, make_base_policy  # noqa: E402
from zprl.rl.actor import load_actor  # noqa: E402
from zprl.rl.checkpoint import SteeringCheckpoint, load_checkpoint  # noqa: E402
from zprl.rl.checkpoint_files import checkpoint_path  # noqa: E402
from zprl.rl.methods import configure  # noqa: E402
from zprl.rl.runner import KIND, VERSION  # noqa: E402
from zprl.rl.runner_cfg import ZprlRunnerCfg  # noqa: E402
from zprl.rl.trainer import SteeringTrainer  # noqa: E402
from zprl.runs.base_policy import pretrain  # noqa: E402
from zprl.sim.gymnasium import GymnasiumEnv  # noqa: E402
from zprl.spec import TaskSpec  # noqa: E402
from zprl.steering import steered_chunks  # noqa: E402
from zprl.utils.errors import ZprlError  # noqa: E402
from zprl.utils.tensor_files import load_tensors  # noqa: E402

TASK = "Toy-Two-Arms"
WORLDS, DEMOS, EPISODES = 64, 250, 192
BIAS = np.array([[[0.065, 0.0], [0.0, -0.065]]])
"""How far beside each target the demonstrator aims [m]; both within RADIUS."""
TRACKED = ("left_hand", "right_hand")


def make_env(num_envs):
    """Return the worlds, and them as a task's environment."""
    arms = TwoArms(num_envs)
    return arms, GymnasiumEnv(TASK, arms, max_episode_length=LENGTH, tracked=TRACKED)


def config(method, algo, seed):
    """Return the settings of a small run."""
    cfg = ZprlRunnerCfg()
    configure(cfg, method, algo)
    policy, training = cfg.policy, cfg.pretrain
    policy.observation_groups = ("policy", "camera")
    policy.embedding_class = "zprl.policies.flow.encoders:ImageEmbedding"
    policy.images.crop = 1.0  # nothing in the image but the targets says where it was cut
    policy.horizon = policy.execute_steps = 4
    policy.num_flow_steps, policy.backend = 3, "torch"
    policy.embed_dim, policy.embed_hidden_dims, policy.latent_dim, policy.vib_hidden_dims = 32, (64,), 8, (64,)
    policy.velocity_hidden_dim, policy.velocity_num_blocks, policy.time_embed_dim = 64, 2, 16
    training.num_steps, training.batch_size, training.learning_rate, training.warmup_steps = 500, 96, 2e-3, 30
    cfg.seed = training.seed = seed
    cfg.evaluation.episodes = EPISODES
    if algo == "ppo":
        cfg.num_steps_per_env, cfg.max_iterations = 8, 26
        cfg.algorithm.num_learning_epochs, cfg.algorithm.num_mini_batches = 5, 4
        cfg.algorithm.learning_rate = 1e-3
        cfg.actor.hidden_dims = cfg.critic.hidden_dims = [64, 64]
    else:
        cfg.num_steps_per_env, cfg.max_iterations = 8, 32
        sac = cfg.algorithm
        sac.updates_per_step, sac.warmup_transitions, sac.warmup_std = 12, 1024, 0.5  # type: ignore[attr-defined]
        sac.replay_capacity, sac.batch_size, sac.target_rate = 20_000, 128, 0.02  # type: ignore[attr-defined]
        sac.learning_rate = sac.critic_learning_rate = 1e-3  # type: ignore[attr-defined]
        cfg.actor.hidden_dims = cfg.critic.hidden_dims = [64, 64]
        cfg.actor.distribution_cfg.log_std_range = (-5.0, 2.0)  # type: ignore[union-attr]
    cfg.save_interval = cfg.evaluation.interval = cfg.max_iterations
    return cfg


class Steps(list):
    """What a demonstrator saw and did in one episode."""

    def demonstration(self):
        """Return it as a demonstration."""
        observations, actions, rewards, ends, successes = zip(*self, strict=True)
        groups = {name: np.stack([obs[name] for obs in observations]) for name in observations[0]}
        return Demonstration(groups, np.stack(actions), np.array(rewards), np.array(ends), bool(successes[-1]))


def demonstrate(env, arms, count, seed):
    """Return episodes of a demonstrator that knows the targets, aims beside them and trembles."""
    rng = np.random.default_rng(seed)
    obs, running, done = env.reset(seed), [Steps() for _ in range(env.num_envs)], []
    while len(done) < count:
        aim = ((arms.targets + BIAS - arms.hands) / STEP).clip(-1.0, 1.0).reshape(-1, 4)
        action = (aim + 0.2 * rng.standard_normal(aim.shape)).clip(-1.0, 1.0).astype(np.float32)
        before = {name: value.numpy().copy() for name, value in obs.items()}
        step = env.step(torch.from_numpy(action))
        obs, ended = step.observations, (step.terminated | step.truncated).tolist()
        for world, end in enumerate(ended):
            seen = {name: value[world] for name, value in before.items()}
            running[world].append((seen, action[world], float(step.reward[world]), end, bool(step.success[world])))
            if end:
                done.append(running[world].demonstration())
                running[world] = Steps()
    return done[:count]


class Rows:
    """Counts the observations that a base policy's image encoder sees."""

    def __init__(self, base):
        self.count = 0
        base.policy.embedding.register_forward_hook(self._add)

    def _add(self, module, inputs, output):
        self.count += len(output)

    def of(self, act):
        """Return how many it sees while something is done, and what that returned."""
        before = self.count
        result = act()
        return self.count - before, result


class Counted:
    """A policy of which an evaluation's chunks are counted."""

    def __init__(self, chunks):
        self.chunks, self.execute_steps, self.begin_episodes = chunks, chunks.execute_steps, chunks.begin_episodes
        self.calls = 0

    def __call__(self, obs, noise=None):
        self.calls += 1
        return self.chunks(obs, noise)


def load_base(path) -> FlowBasePolicy:
    """Return the base policy of a file."""
    return make_base_policy(*load_policy(path))


def steer(env, base_file, folder, algo, seed):
    """Train on the latent, and return what was found."""
    base = load_base(base_file)
    rows = Rows(base)
    trainer = SteeringTrainer(env, base, base_file, config("zprl", algo, seed), folder)
    found = {"base": trainer.evaluate_base().summary()["rate"]}

    # Two iterations by hand, to count what is encoded in them.
    timed_out, step = [], env.step

    def counting(action):
        outcome = step(action)
        timed_out.append(int((outcome.truncated & ~outcome.terminated).sum()))
        return outcome

    env.step = counting
    found["encoded"], _ = rows.of(lambda: trainer.runner.learn_segment(2))
    env.step = step
    found["chunks"] = 2 * trainer.cfg.num_steps_per_env * WORLDS
    found["timed_out"] = sum(timed_out)

    steered = trainer.train()
    found |= compare(trainer.evaluate_base(), steered)["comparison"]
    algorithm: Any = trainer.runner.alg
    stored = algorithm.storage.observations if algo == "ppo" else algorithm.replay.observations
    found["stored"] = {name: list(value.shape[2 if algo == "ppo" else 1 :]) for name, value in stored.items()}

    # What the run has left behind acts as it did.
    checkpoint = load_checkpoint(checkpoint_path(folder, trainer.cfg.max_iterations))
    base = make_base_policy(checkpoint.policy, checkpoint.policy_meta)
    rows, groups = Rows(base), trainer.cfg.obs_groups["actor"]
    chunks = Counted(steered_chunks(checkpoint.steering(base), load_actor(checkpoint, "cpu"), groups))
    evaluator = Evaluator(env, base.execute_steps)
    encoded, again = rows.of(lambda: evaluator.run(chunks, WORLDS, trainer.cfg.evaluation.seed))
    found["evaluation"] = {
        "encoded": encoded,
        "chunks": chunks.calls * WORLDS,
        "same": again.successes == steered.successes[:WORLDS] and again.steps == steered.steps[:WORLDS],
    }
    found["export"] = export(env, checkpoint, chunks.chunks, folder / "bundle")
    return found


def export(env, checkpoint, chunks, folder):
    """Export a checkpoint; return what the verification says and how far the file is from it on other observations."""
    done = export_policy(env, Source.of_checkpoint(checkpoint), folder, ["portable"])
    obs = env.reset(7)
    chunks.begin_episodes()
    expected = chunks(obs)
    error = float((open_bundle(folder, "portable").act(obs) - expected).abs().max())
    return {"verified": done.errors, "error": error, "deviation": float(expected.std())}


def steer_foreign(env, folder, seed):
    """Steer a base policy that somebody else has made."""
    base_file = folder / "foreign.bin"
    base_file.write_bytes(b"weights of another framework")
    base = NoiseToChunk(env.spec)
    found = {}
    try:
        SteeringTrainer(env, base, base_file, config("zprl", "ppo", seed), folder / "refused")
    except ZprlError as error:
        found["refusal"] = str(error)

    def trainer(run):
        cfg = config("noise", "ppo", seed)
        cfg.max_iterations, cfg.save_interval, cfg.evaluation.interval = 16, 8, 16
        return SteeringTrainer(env, base, base_file, cfg, folder / run)

    def content(run, iteration):
        return load_tensors(checkpoint_path(folder / run, iteration), KIND, "checkpoint", VERSION)

    whole = trainer("whole")
    found |= compare(whole.evaluate_base(), whole.train())["comparison"]
    found["base"] = whole.evaluate_base().summary()["rate"]
    kept = content("whole", 8)
    infos = kept["infos"]
    no_flow_policy: Any = None
    checkpoint = SteeringCheckpoint(
        checkpoint_path(folder / "whole", 8), kept, TaskSpec.from_dict(infos["spec"]), no_flow_policy, policy_meta={},
        settings=infos["settings"], env_steps=infos["env_steps"], base=base_file,
    )  # fmt: skip
    continued = trainer("continued")
    continued.resume(checkpoint)
    continued.train()
    names = ("actor_state_dict", "critic_state_dict", "optimizer_state_dict")
    first, second = content("whole", 16), content("continued", 16)
    found["same"] = all(equal(first[name], second[name]) for name in names)
    found["learned"] = not equal(kept["actor_state_dict"], first["actor_state_dict"])
    return found


def equal(a, b):
    """Return whether nested tensors are equal."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


class Straight:
    """Moves every hand straight to its target in eight steps."""

    execute_steps = 4

    def __init__(self, arms):
        self.arms = arms

    def begin_episodes(self):
        """Look where the targets are."""
        self.moves = (self.arms.targets - self.arms.hands) / 8

    def __call__(self, obs, noise=None):
        action = torch.from_numpy((self.moves / STEP).astype(np.float32)).flatten(1)
        return action[:, None].expand(-1, 4, -1)


def smoothness():
    """Return the mean speed of both hands that an evaluation finds in one episode, and that by hand."""
    arms, env = make_env(1)
    planner = Straight(arms)
    results = Evaluator(env, 4).run(planner, 1, seed=4)
    left, right = np.linalg.norm(planner.moves[0], axis=-1) / 0.1
    # Before each action that was taken; the last one brought success, when both were within the radius.
    lengths = results.steps[0]
    remaining = [np.linalg.norm(planner.moves[0] * (8 - k), axis=-1) for k in range(9)]
    first = next(k for k in range(1, 9) if (remaining[k] < RADIUS).all())
    shape = list(results.positions[0].shape)
    summary = results.summary()
    return {"found": summary, "speeds": [left, right], "steps": [lengths, first], "shape": shape}


def final_observations():
    """Return the largest error of the observations that episodes end with, of hands and of images."""
    _, env = make_env(8)
    obs = env.reset_to([21, 22, 23])
    hands = obs["policy"].numpy().reshape(-1, 2, 3).copy()
    image = obs["camera"].clone()
    generator = torch.Generator().manual_seed(0)
    low, high = torch.tensor([[0.0, 0.0], [0.5, 0.0]]).numpy(), torch.tensor([[0.5, 1.0], [1.0, 1.0]]).numpy()
    counted, error, renewed = 0, 0.0, True
    alive = np.ones(8, dtype=bool)
    for _ in range(LENGTH):
        action = env.spec.random_actions(8, generator)
        step = env.step(action)
        hands[..., :2] = (hands[..., :2] + STEP * action.numpy().reshape(-1, 2, 2)).clip(low, high)
        ended = (step.truncated | step.terminated).numpy()
        for world in np.flatnonzero(ended & alive):
            last = step.final_observations
            assert last is not None
            counted += int(step.truncated[world])
            error = max(error, float(np.abs(last["policy"][world].numpy() - hands[world].ravel()).max()))
            error = max(error, float((last["camera"][world].float() - image[world].float()).abs().max()))
            renewed &= not torch.equal(step.observations["camera"][world], image[world])
        alive &= ~ended
    return {"truncated": counted, "error": error, "renewed": bool(renewed)}


def starts():
    """Return whether three seeds begin the same episodes in three worlds and in eight."""
    seeds = [31, 32, 33]
    few, many = make_env(3)[1].reset_to(seeds), make_env(8)[1].reset_to(seeds)
    rest = {name: value[2:3].expand_as(value[3:]) for name, value in many.items()}
    return {
        "same": all(torch.equal(few[name], many[name][:3]) for name in few),
        "rest": all(torch.equal(rest[name], many[name][3:]) for name in few),
        "different": len({tuple(row) for row in few["policy"].tolist()}),
    }


def main(folder, seed):
    begun = time.process_time()
    times = {}

    def timed(name, act):
        start = time.process_time()
        result = act()
        times[name] = time.process_time() - start
        return result

    arms, env = make_env(WORLDS)
    demos = demonstrate(env, arms, DEMOS, seed)
    data, base_file = folder / "demonstrations.hdf5", folder / "base.safetensors"
    save_demonstrations(data, env.spec, demos, "toy", seed)
    timed("pretraining", lambda: pretrain(TASK, config("zprl", "ppo", seed), data, base_file))
    found = {
        "demonstrations": sum(demo.success for demo in demos) / DEMOS,
        "ppo": timed("ppo", lambda: steer(env, base_file, folder / "ppo", "ppo", seed)),
        "sac": timed("sac", lambda: steer(env, base_file, folder / "sac", "sac", seed)),
        "foreign": timed("foreign", lambda: steer_foreign(env, folder, seed)),
        "smoothness": smoothness(),
        "final_observations": final_observations(),
        "starts": starts(),
        "simulators": [name for name in sys.modules if name.partition(".")[0] in SIMULATORS],
        "times": times,
        "seconds": time.process_time() - begun,
    }
    (folder / "found.json").write_text(json.dumps(found, indent=1))
    print(f"{found['seconds']:.0f} s of processor time: {times}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
