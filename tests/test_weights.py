# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Weights that are NaN or infinite are not written, read, exported or acted on, and what was there before stays."""

import dataclasses
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.checkpoints import ACTION_DIM, LATENT_STATISTICS, OBS_DIM, SPEC, make_checkpoint, make_policy
from tests.deploy.conftest import make_contract, make_source

from zprl.deploy.load import Bundle
from zprl.policies import INFERENCE_FIELDS, load_policy, save_policy
from zprl.policies.io import KIND as BASE_KIND
from zprl.policies.io import VERSION as BASE_VERSION
from zprl.rl.checkpoint import RUN_BASE, base_reference, load_checkpoint
from zprl.rl.runner import KIND, VERSION, SteeringRunner
from zprl.utils.errors import ZprlError
from zprl.utils.tensor_files import load_tensors, save_tensors

META = {"spec": SPEC.to_dict(), "latent_statistics": LATENT_STATISTICS}


def spoil(state, name, value):
    state[name] = state[name].clone()
    state[name].view(-1)[-1] = value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["obs_normalizer.std", "velocity_field"])
def test_a_base_policy_is_neither_written_nor_read(tmp_path, name, value):
    path, policy = tmp_path / "base_policy.safetensors", make_policy()
    name = next(key for key in policy.state_dict() if key.startswith(name))
    save_policy(path, policy, META)
    before = path.read_bytes()
    policy.state_dict()[name].view(-1)[-1] = value
    with pytest.raises(ZprlError, match=f"base_policy.safetensors would hold NaN or infinity in {name}"):
        save_policy(path, policy, META)
    assert path.read_bytes() == before
    content = load_tensors(path, BASE_KIND, "base policy")
    spoil(content["state_dict"], name, value)
    save_tensors(path, content, BASE_KIND, BASE_VERSION)
    with pytest.raises(ZprlError, match=f"base_policy.safetensors holds NaN or infinity in {name}"):
        load_policy(path)


def test_limits_may_be_infinite_and_not_nan(tmp_path):
    path, policy = tmp_path / "base_policy.safetensors", make_policy()
    policy.action_high.fill_(math.inf)
    save_policy(path, policy, META)
    assert load_policy(path)[0].action_high.tolist() == [math.inf] * ACTION_DIM
    policy.action_high[0] = math.nan
    with pytest.raises(ZprlError, match="action_high"):
        save_policy(path, policy, META)


def test_a_checkpoint_is_neither_written_nor_read(tmp_path):
    policy, base, path = make_policy(), tmp_path / RUN_BASE, tmp_path / "model_1.safetensors"
    save_policy(base, policy, META)
    made = make_checkpoint(base, policy)
    inference = {name: getattr(policy.cfg, name) for name in INFERENCE_FIELDS}
    infos = {"spec": SPEC.to_dict(), "base": base_reference(base), "env_steps": 7}
    infos["settings"] = {**made.settings, "inference": inference}
    content = {"optimizer_state_dict": {"state": {0: {"exp_avg": torch.zeros(3)}}}, **made.content}
    runner: Any = SimpleNamespace(
        alg=SimpleNamespace(save=lambda: content),
        current_learning_iteration=1,
        logger=SimpleNamespace(state=dict),
        kind=SteeringRunner.kind,
    )
    SteeringRunner.save_checkpoint(runner, path, infos)
    assert load_checkpoint(path).env_steps == 7
    before = path.read_bytes()
    for place, name in (
        (content["actor_state_dict"], "mlp.0.weight"),
        (content["optimizer_state_dict"]["state"][0], "exp_avg"),
    ):
        sound = place[name]
        spoil(place, name, math.nan)
        with pytest.raises(ZprlError, match=f"would hold NaN or infinity in .*{name}"):
            SteeringRunner.save_checkpoint(runner, path, infos)
        assert path.read_bytes() == before
        save_tensors(tmp_path / "model_2.safetensors", {**content, "infos": infos}, KIND, VERSION)
        with pytest.raises(ZprlError, match=f"model_2.safetensors holds NaN or infinity in .*{name}"):
            load_checkpoint(tmp_path / "model_2.safetensors")
        place[name] = sound


def test_a_bundle_does_not_act_on_what_is_not_finite(tmp_path):
    contract = make_contract(make_source(tmp_path))

    def model(obs):
        chunk = torch.zeros(len(obs), contract.control.horizon, ACTION_DIM)
        chunk[obs[:, 0] > 0.5] = math.nan
        return chunk

    bundle = Bundle(tmp_path, contract, "onnx", model, model)
    obs = torch.zeros(3, OBS_DIM)
    assert bundle.act(obs).abs().max() == 0.0
    obs[1, 0] = 1.0
    for act in (bundle.act, bundle.act_base, bundle.act_batch):
        with pytest.raises(ZprlError, match=r"the format onnx of the bundle .* puts out NaN or infinity"):
            act(obs)
    with pytest.raises(ZprlError, match=r"puts out the shape \(1, 2, 3\)"):
        dataclasses.replace(bundle, model=lambda obs: torch.zeros(1, 2, 3)).act(obs)
