# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The converter of older files: every number comes over, and nothing else than numbers and names."""

import json
import math
import sys
from unittest import mock

import pytest
import torch
from tests.checkpoints import LATENT_STATISTICS, SPEC, TERMS, make_checkpoint, make_policy
from tests.crafted import Evil

from zprl.commands.cli import main
from zprl.policies import FlowPolicy, load_policy
from zprl.rl.actor import load_actor
from zprl.rl.checkpoint import load_checkpoint
from zprl.rl.runner_cfg import ZprlRunnerCfg
from zprl.runs import paths
from zprl.runs.old_files import convert
from zprl.spec import TaskSpec
from zprl.steering import steered_chunks
from zprl.utils.configclass import class_to_dict
from zprl.utils.errors import ZprlError
from zprl.utils.files import checksum
from zprl.utils.tensor_files import load_tensors, save_tensors

LAYOUT = {
    "task": SPEC.task,
    "observation_terms": [list(term) for term in TERMS],
    "action_terms": [["arm", 2], ["gripper", 1]],
    "step_dt": 0.05,
}
"""What older versions wrote of the task."""

OUTDATED = {"stochastic": {}, "init_noise_std": {}, "noise_std_type": "scalar", "state_dependent_std": False}
"""Fields of Isaac Lab's configuration of a network, without effect, as older versions wrote them."""


def old_base(policy):
    """Return what version 1 of the base policy's file held, with the names of its time."""
    cfg = json.loads(json.dumps(class_to_dict(policy.cfg)))  # tuples as lists
    del cfg["observation_groups"]
    cfg["embedding_class"] = "zprl.policy.embedding:ObservationEmbedding"
    cfg["velocity_field_class"] = "zprl.policy.velocity_field:ResidualMLPVelocityField"
    meta = {"layout": LAYOUT, "latent_statistics": LATENT_STATISTICS, "pretrain": {"betas": (0.9, 1)}}
    content = {"format": "zprl-base-policy", "version": 1, "cfg": cfg, "obs_dim": policy.obs_dim}
    return {**content, "action_dim": policy.action_dim, "state_dict": dict(policy.state_dict()), "meta": meta}


@pytest.fixture
def old_run(tmp_path):
    """Give the folder of an old run with two checkpoints."""
    folder = tmp_path / "run"
    folder.mkdir()
    policy = make_policy(initial_noise="fixed")
    policy.cfg.execute_steps = 3
    made = make_checkpoint(folder, policy)
    agent = made.settings["agent"]
    agent["policy"]["embedding_class"] = "zprl.policy.embedding:ObservationEmbedding"
    agent |= {"empirical_normalization": {}, "resume": False, "load_run": ".*", "load_checkpoint": "model_.*.pt"}
    agent["actor"] |= OUTDATED
    agent["critic"] |= OUTDATED
    agent["algorithm"]["share_cnn_encoders"] = False
    optimizer = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"betas": (0.9, 0.999), "lr": 5e-4}]}
    for i in (1, 2):
        infos = {"format": "zprl-steering-checkpoint", "layout": LAYOUT, "base_policy": old_base(policy)}
        infos |= {"settings": made.settings, "env_steps": i, "logger": {"recent": [(1, 2)]}}
        content = {**made.content, "optimizer_state_dict": optimizer, "iter": i, "infos": infos}
        torch.save(content, folder / f"model_{i}.pt")
    return folder


def test_checkpoints_of_a_run_share_their_base_policy(old_run, capsys):
    old = torch.load(old_run / "model_1.pt", weights_only=True)
    target, base = convert(old_run / "model_1.pt")
    assert (target, base) == (old_run / "model_1.safetensors", old_run / "base" / "base_policy.safetensors")
    first = checksum(base)
    assert convert(old_run / "model_2.pt")[1] == base
    assert checksum(base) == first
    out = capsys.readouterr().out
    assert f"base policy: {old_run}/model_1.pt -> {base} (SHA-256 {first})" in out
    assert f"checkpoint: {old_run}/model_2.pt -> {old_run}/model_2.safetensors (method zprl, PPO, 2 env steps)" in out

    checkpoint = load_checkpoint(target)
    assert (checkpoint.env_steps, checkpoint.method, checkpoint.spec) == (1, "zprl", SPEC)
    assert TaskSpec.from_dict(checkpoint.policy_meta["spec"]) == SPEC
    assert isinstance(checkpoint.policy, FlowPolicy)
    assert checkpoint.policy.cfg.observation_groups == ("policy",)
    assert checkpoint.policy.cfg.execute_steps == 3
    assert checkpoint.policy.cfg.initial_noise == "fixed"
    assert checkpoint.policy_meta["pretrain"] == {"betas": [0.9, 1]}
    assert checkpoint.content["optimizer_state_dict"]["state"] == {0: {"step": torch.tensor(3.0)}}
    assert checkpoint.content["optimizer_state_dict"]["param_groups"] == [{"betas": [0.9, 0.999], "lr": 5e-4}]
    assert checkpoint.content["infos"]["logger"] == {"recent": [[1, 2]]}
    for now, before in (
        (checkpoint.policy.state_dict(), old["infos"]["base_policy"]["state_dict"]),
        (checkpoint.content["actor_state_dict"], old["actor_state_dict"]),
    ):
        assert now.keys() == before.keys()
        assert all(torch.equal(now[name], before[name]) for name in now)
    agent = checkpoint.settings["agent"]
    assert agent["policy"]["embedding_class"] == "zprl.policies.flow.encoders:ObservationEmbedding"
    # What is left of the settings is what this version's run would have written, and so its learner continues from it.
    assert agent == load_tensors_again(ZprlRunnerCfg(), agent["actor"]["hidden_dims"], old_run)
    assert "layout" not in checkpoint.content["infos"] and "layout" not in checkpoint.policy_meta


def load_tensors_again(cfg, hidden_dims, folder):
    """Return settings as they come back from a file."""
    cfg.actor.hidden_dims = hidden_dims
    save_tensors(folder / "settings", class_to_dict(cfg), "settings", 1)
    return load_tensors(folder / "settings", "settings", "file")


def test_the_converted_checkpoint_acts_as_the_old_one(old_run):
    policy = make_policy(initial_noise="fixed")
    made = make_checkpoint(old_run, policy)
    converted = load_checkpoint(convert(old_run / "model_1.pt")[0])
    obs = {"policy": torch.randn(3, policy.obs_dim, generator=torch.Generator().manual_seed(0))}
    ours, expected = (
        steered_chunks(c.steering(), load_actor(c, "cpu"), ["policy", "latent"]) for c in (converted, made)
    )
    chunk = ours(obs)
    assert torch.equal(chunk, expected(obs))
    assert not torch.equal(chunk, policy.act(obs["policy"]))


def test_a_base_policy_is_converted(old_run, tmp_path):
    policy = make_policy()
    torch.save(old_base(policy), tmp_path / "base_policy.pt")
    (written,) = convert(tmp_path / "base_policy.pt", tmp_path / "new")
    assert written == tmp_path / "new" / "base_policy.safetensors"
    loaded, meta = load_policy(written)
    assert meta["spec"] == SPEC.to_dict()
    assert "layout" not in meta
    assert class_to_dict(loaded.cfg) == class_to_dict(policy.cfg)
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in policy.state_dict().items())


def test_nothing_is_overwritten(old_run):
    convert(old_run / "model_1.pt")
    with pytest.raises(ZprlError, match=r"model_1\.safetensors is already there"):
        convert(old_run / "model_1.pt")
    content = torch.load(old_run / "model_2.pt", weights_only=True)
    content["infos"]["base_policy"]["state_dict"]["fixed_noise"] += 1.0
    torch.save(content, old_run / "model_2.pt")
    with pytest.raises(ZprlError, match="already there and another base policy"):
        convert(old_run / "model_2.pt")
    assert not (old_run / "model_2.safetensors").exists()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path, content: path.write_bytes(path.read_bytes()[:-100]), "truncated"),
        (lambda path, content: path.write_bytes(b"hello"), "truncated or no file of an older version"),
        (lambda path, content: path.unlink(), "does not exist"),
        (lambda path, content: torch.save([1], path), "neither a checkpoint nor a base policy"),
        (lambda path, content: torch.save({"weights": 1}, path), "neither a checkpoint nor a base policy"),
        (lambda path, content: torch.save({**content, "version": 2}, path), "version 2"),
        (lambda path, content: torch.save({**content, "obs_dim": 3}, path), "do not fit"),
        (lambda path, content: torch.save({**content, "meta": Evil(path.parent / "ran")}, path), "could run code"),
        (lambda path, content: torch.save({"format": "zprl-base-policy", "version": 1}, path), "cannot be converted"),
    ],
)
def test_bad_files_end_in_one_sentence(tmp_path, spoil, words):
    path, content = tmp_path / "base_policy.pt", old_base(make_policy())
    torch.save(content, path)
    spoil(path, content)
    with pytest.raises(ZprlError, match=words) as error:
        convert(path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "ran").exists()
    assert not list(tmp_path.glob("*.safetensors"))


def test_who_looks_for_the_latest_is_sent_here(old_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "logs" / "rsl_rl" / "experiment"
    folder.mkdir(parents=True)
    with pytest.raises(ZprlError, match=r"train one with scripts/train\.py"):
        paths.latest_checkpoint("Task", "experiment")
    old_run.rename(folder / "run")
    with pytest.raises(ZprlError, match=r"convert that of an older version with scripts/convert\.py .*run/model_2\.pt"):
        paths.latest_checkpoint("Task", "experiment")


def test_without_an_end_effector_nothing_is_tracked(tmp_path):
    content = old_base(make_policy())
    content["meta"]["layout"] = LAYOUT | {"observation_terms": [["joint_pos", 4], ["object_pose", 9]]}
    torch.save(content, tmp_path / "base_policy.pt")
    _, meta = load_policy(convert(tmp_path / "base_policy.pt")[0])
    assert TaskSpec.from_dict(meta["spec"]).tracked == ()


def test_a_policy_without_limits_is_made_for_actions_without_limits(tmp_path):
    content = old_base(make_policy())
    content["state_dict"]["action_high"] = torch.tensor([0.5, torch.inf, 1.0])
    torch.save(content, tmp_path / "base_policy.pt")
    _, meta = load_policy(convert(tmp_path / "base_policy.pt")[0])
    arm, gripper = TaskSpec.from_dict(meta["spec"]).actions
    assert (arm.low, arm.high, arm.idle) == ((-1.0, -1.0), (0.5, math.inf), (0.0, 0.0))
    assert gripper == SPEC.actions[1]


def test_the_command(old_run, tmp_path, capsys):
    argv = ["convert", *(str(old_run / f"model_{i}.pt") for i in (1, 2)), "--output", str(tmp_path / "new")]
    with mock.patch.object(sys, "argv", ["zprl", *argv]):
        main()
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        *("base", "model_1.safetensors", "model_2.safetensors")
    ]
    assert not list(old_run.rglob("*.safetensors"))
    with mock.patch.object(sys, "argv", ["zprl", "convert", "missing.pt"]), pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: the file missing.pt does not exist; check the path.\n"
