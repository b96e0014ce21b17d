# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A small random policy with an actor, and the bundle of it, made without a simulator."""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from rsl_rl.models import MLPModel
from tensordict import TensorDict
from tests.commands.conftest import workshop as workshop
from torch import nn

from isaaclab.utils import class_to_dict

from zprl.deploy.bundle import Source, write_bundle
from zprl.deploy.contract import FORMAT, VERSION, Contract
from zprl.deploy.contract_parts import (
    ActionDimension,
    Control,
    InitialNoise,
    Joint,
    Latent,
    Observation,
    ObservationTerm,
    Provenance,
)
from zprl.deploy.golden import Recording
from zprl.envs import EnvLayout
from zprl.policies import FlowPolicy, FlowPolicyCfg
from zprl.rl.checkpoint import SteeringCheckpoint
from zprl.rl.runner_cfg import ZprlRunnerCfg, model_arguments
from zprl.rl.sac_cfg import use_sac

TASK = "Test-Task"
TERMS = (("joint_pos", 4), ("ee_pose", 9))
OBS_DIM, ACTION_DIM, LATENT_DIM = 13, 3, 5
LAYOUT = EnvLayout(TASK, TERMS, (("arm", 2), ("gripper", 1)), 0.05)
SCALE = 0.7
"""Lambda."""

ALL_KINDS = ["torchscript", "onnx", "torch_export", "portable", "native"]


def make_policy(seed=0, std=0.25, **settings):
    """Return a small policy whose every weight is random, gates included, with a standard deviation."""
    sizes = {"horizon": 6, "execute_steps": 2, "embed_dim": 12, "embed_hidden_dims": (20,), "latent_dim": LATENT_DIM}
    sizes |= {"vib_hidden_dims": (18, 16), "velocity_hidden_dim": 24, "velocity_num_blocks": 2, "time_embed_dim": 8}
    generator = torch.Generator().manual_seed(seed)
    policy = FlowPolicy(FlowPolicyCfg(**(sizes | settings)), OBS_DIM, ACTION_DIM)
    for parameter in policy.parameters():
        parameter.data = std * torch.randn(parameter.shape, generator=generator)
    policy.fixed_noise.copy_(torch.randn(policy.fixed_noise.shape, generator=generator))
    policy.set_normalizers(
        2.0 * torch.randn(50, OBS_DIM, generator=generator) + 1.0, torch.randn(50, ACTION_DIM, generator=generator)
    )
    policy.set_action_limits(torch.full((ACTION_DIM,), -1.0), torch.full((ACTION_DIM,), 1.0))
    return policy.eval().requires_grad_(False)


def make_checkpoint(path, policy, seed=0, algorithm="ppo"):
    """Return what a checkpoint file of a run with this policy and a random actor holds."""
    cfg = ZprlRunnerCfg()
    if algorithm == "sac":
        use_sac(cfg)
    cfg.actor.hidden_dims = [17, 11]
    agent = class_to_dict(cfg)
    arguments = model_arguments(dict(agent["actor"]))
    arguments.pop("class_name")
    seen = TensorDict({"policy": torch.zeros(1, OBS_DIM), "latent": torch.zeros(1, LATENT_DIM)}, batch_size=[1])
    actor = MLPModel(seen, agent["obs_groups"], "actor", LATENT_DIM, **arguments)
    generator = torch.Generator().manual_seed(seed + 1)
    for layer in actor.mlp.modules():
        if isinstance(layer, nn.Linear):
            layer.weight.data = 0.6 * torch.randn(layer.weight.shape, generator=generator)
            layer.bias.data = 0.6 * torch.randn(layer.bias.shape, generator=generator)
    width = OBS_DIM + LATENT_DIM
    statistics = {
        "_mean": torch.randn(1, width, generator=generator),
        "_std": 0.5 + torch.rand(1, width, generator=generator),
    }
    actor.obs_normalizer.load_state_dict(statistics, strict=False)
    meta = {"layout": LAYOUT.to_dict(), "latent_statistics": {"latent_mean_rms": 1.0}}
    content = {"actor_state_dict": actor.state_dict()}
    return SteeringCheckpoint(path, content, LAYOUT, policy, meta, {"agent": agent}, 1234)


def make_source(folder, steered=True, algorithm="ppo", **settings):
    """Return something to export, and the file that it is said to come from."""
    path = folder / "model_7.pt"
    path.write_bytes(b"weights")
    policy = make_policy(**settings)
    meta = {"layout": LAYOUT.to_dict(), "latent_statistics": {"latent_mean_rms": 1.0}}
    checkpoint = make_checkpoint(path, policy, algorithm=algorithm) if steered else None
    return Source(path, policy, meta, SCALE if steered else 0.0, checkpoint)


@torch.inference_mode()
def make_recording(source, episodes=3, length=7):
    """Return episodes of a make-believe world, in which the policy acted as a chunked controller does."""
    reference, ta = source.reference(), source.policy.cfg.execute_steps
    rng = np.random.default_rng(0)
    rows = []
    for episode in range(episodes):
        obs = rng.normal(1.0, 2.0, (length, OBS_DIM)).astype(np.float32)
        plans = np.arange(0, length, ta)
        chunk = reference(torch.from_numpy(obs[plans]).double()).float().numpy()
        latent = reference.latent(torch.from_numpy(obs[plans]).double()).float().numpy()
        action = np.stack([chunk[t // ta, t % ta] for t in range(length)])
        rows.append((obs, np.full(length, episode, np.int32), action, plans + episode * length, chunk, latent))
    obs, number, action, plans, chunk, latent = (np.concatenate(column) for column in zip(*rows, strict=True))
    return Recording(obs, number, action, plans.astype(np.int32), chunk, latent)


def make_contract(source, **changes):
    """Return a contract of the source, without files."""
    policy = source.policy
    terms, start = [], 0
    for name, size in TERMS:
        part = slice(start, start + size)
        mean, std = policy.obs_normalizer.mean[part].tolist(), policy.obs_normalizer.std[part].tolist()
        names = [f"{name}{i}" for i in range(size)]
        bounds = [-9.0] * size, [9.0] * size
        terms.append(ObservationTerm(name, start, size, names, ["rad"] * size, None, "a term", *bounds, mean, std))
        start += size
    action = [
        ActionDimension(n, t, "m", "root", "moves", 0.04, -1.0, 1.0, 0.5, 0.0)
        for n, t in (("dx", "arm"), ("dy", "arm"), ("gripper", "gripper"))
    ]
    rule = policy.cfg.initial_noise
    values = policy.fixed_noise.tolist() if rule == "fixed" else None
    fields = {
        "format": FORMAT,
        "version": VERSION,
        "task": TASK,
        "policy": "steered" if source.checkpoint else "base",
        "observation": Observation(OBS_DIM, "the test", terms),
        "action": action,
        "control": Control(0.05, policy.cfg.horizon, 2, "every 2 steps", InitialNoise(rule, None, values)),
        "joints": [Joint("joint1", "rad", 0.0, -1.0, 1.0, 100.0, 10.0, 5.0)],
        "latent": Latent(LATENT_DIM, source.residual_scale, 1.0, [0.0] * LATENT_DIM, [1.0] * LATENT_DIM, "the test"),
        "provenance": Provenance("2026-01-01T00:00:00+00:00", "model_7.pt", "0" * 64, 1234, "mujoco", {}, None),
        "evaluation": {"success_rate": 0.9},
        "files": {},
    }
    return Contract(**(fields | changes))


def make_bundle(folder, source, kinds=None, precision="float32"):
    """Write a bundle and return the table of errors."""
    recording = make_recording(source)
    return write_bundle(folder, source, make_contract(source), recording, kinds or ALL_KINDS, precision)


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    return make_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="session")
def bundle(tmp_path_factory, source):
    """Give a bundle with all formats, and the table that its export would print."""
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    return folder, make_bundle(folder, source)


def run_python(*arguments, cwd=None, isolated=False):
    """Run Python in a process of its own; isolated, it sees neither this project nor its environment."""
    command = [sys.executable, *(["-I"] if isolated else []), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240)


def export_arguments(task, checkpoint, output, **changes):
    """Return the arguments of scripts/export.py."""
    values = {"device": "cpu", "seed": None, "viz": None, "base": None, "format": "torchscript", "portable": False}
    values |= {"precision": "float32", "force": False, "task": task, "checkpoint": str(checkpoint)}
    return argparse.Namespace(**(values | {"output": str(output)} | changes))


SCRIPTS = Path(__file__).parents[2] / "scripts"
