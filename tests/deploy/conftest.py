# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A small random policy with an actor, and the bundle of it, made without a simulator."""

import contextlib
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from tests.builds import shared_folder
from tests.checkpoints import ACTION_DIM as ACTION_DIM
from tests.checkpoints import LATENT_DIM, LATENT_STATISTICS, OBS_DIM, SPEC, TASK, TERMS, make_checkpoint, make_policy
from tests.commands.conftest import workshop as workshop

from zprl.deploy import fidelity
from zprl.deploy.bundle import Source, write_bundle
from zprl.deploy.contract import FORMAT, VERSION, Contract
from zprl.deploy.contract_parts import (
    ActionDimension,
    Control,
    InitialNoise,
    Latent,
    Observation,
    ObservationGroup,
    ObservationTerm,
    Provenance,
)
from zprl.deploy.golden import Recording
from zprl.envs.description import JointDescription
from zprl.policies import make_base_policy

SCALE = 0.7
"""Lambda, with RMS(z) 1."""
META = {"spec": SPEC.to_dict(), "latent_statistics": LATENT_STATISTICS}
"""What is saved with the policy."""

ALL_KINDS = ["torchscript", "onnx", "torch_export", "portable", "native"]


def make_source(folder, steered=True, algorithm="ppo", **settings):
    """Return something to export, and the file that it is said to come from."""
    path = folder / "model_7.safetensors"
    path.write_bytes(b"weights")
    policy = make_policy(**settings)
    if steered:
        checkpoint = make_checkpoint(path, policy, algorithm=algorithm)
        checkpoint.settings["agent"]["steering"]["scale"] = SCALE
        return Source.of_checkpoint(checkpoint)
    return Source(path, make_base_policy(policy, META), META)


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
    return Recording({"policy": obs}, number, action, plans.astype(np.int32), chunk, latent)


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
        "observation": Observation("the test", [ObservationGroup("policy", "state", "float32", [OBS_DIM], 1, terms)]),
        "action": action,
        "control": Control(0.05, policy.cfg.horizon, 2, "every 2 steps", InitialNoise(rule, None, values)),
        "joints": [JointDescription("joint1", "rad", 0.0, -1.0, 1.0, 100.0, 10.0, 5.0)],
        "latent": Latent(LATENT_DIM, source.residual_scale, 1.0, [0.0] * LATENT_DIM, [1.0] * LATENT_DIM, "the test"),
        "provenance": Provenance("2026-01-01T00:00:00+00:00", "model_7", "0" * 64, 1234, "mujoco", {}, None),
        "evaluation": {"success_rate": 0.9},
        "files": {},
    }
    return Contract(**(fields | changes))


def make_bundle(folder, source, kinds=None, precision="float32", verified=True):
    """Write a bundle and return the table of errors.

    One that is not verified comes without the process, of seconds, that loads and measures its files.
    """
    contract, recording, unmeasured = make_contract(source), make_recording(source), mock.Mock(return_value=[])
    with contextlib.nullcontext() if verified else mock.patch.object(fidelity, "measure_in_fresh_process", unmeasured):
        return write_bundle(folder, source, contract, recording, kinds or ALL_KINDS, precision)


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    return make_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="session")
def bundle(tmp_path_factory, source):
    """Give a bundle with all formats, and the table that its export would print."""
    with shared_folder(tmp_path_factory, "bundle") as shared:
        folder, table = shared / "bundle", shared / "table.txt"
        if not table.exists():
            table.write_text(make_bundle(folder, source))
        return folder, table.read_text()


@pytest.fixture(scope="session")
def native_bundle(tmp_path_factory, source):
    """Give a bundle with the native blob alone, whose export takes no time."""
    folder = tmp_path_factory.mktemp("native") / "bundle"
    make_bundle(folder, source, ["native"], verified=False)
    return folder


def run_python(*arguments, cwd=None, isolated=False):
    """Run Python in a process of its own; isolated, it sees neither this project nor its environment."""
    command = [sys.executable, *(["-I"] if isolated else []), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240)


SCRIPTS = Path(__file__).parents[2] / "scripts"
