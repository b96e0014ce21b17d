# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A mistake at the command line: one line on stderr, exit code 2, and nothing half-written."""

import resource
import shutil

import h5py
import pytest
import safetensors.torch
import torch

from zprl.policies import load_policy, save_policy
from zprl.rl.runner import KIND, VERSION
from zprl.utils.tensor_files import load_tensors, save_tensors

from .conftest import SCRIPTS, TASK_SETTINGS, arguments, call, files_below, finish, spawn

pytestmark = pytest.mark.sim


def assert_refused(outcome, *words):
    """Check that a script reported one problem in one line that holds the words."""
    assert outcome.status == 2, (outcome.status, outcome.err)
    assert "Traceback" not in outcome.err
    lines = outcome.error_lines
    if lines[0].startswith("usage:"):
        lines = lines[-1:]
        lines[0] = lines[0][lines[0].index("error: ") :]
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    for word in words:
        assert str(word) in lines[0]


def refused_training(place, *extra):
    """Train briefly, in case that the mistake is not noticed."""
    return call("train", [*arguments("train"), "--max_iterations", "1", *map(str, extra)], place)


@pytest.fixture
def place(workshop, tmp_path):
    """Give a folder with demonstrations and a base policy, which a refused command must leave as it is."""
    workshop.stock(tmp_path)
    before = files_below(tmp_path)
    yield tmp_path
    assert files_below(tmp_path) == before


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--task", "Zprl-Lift-Frank"], ["'Zprl-Lift-Frank'", "did you mean Zprl-Lift-Franka"]),
        (["env.nope=1"], ["env.nope=1", "nope"]),
        (["agent.pretrain.num_stesp=1"], ["num_stesp", "did you mean num_steps"]),
        (["agent.max_iterations=many"], ["agent.max_iterations", "integer"]),
        (["env.episode_length_s=long"], ["env.episode_length_s", "number"]),
        (["physics=bullet"], ["bullet", "newton_mjwarp"]),
        (["policy.backend=foo"], ["backend", "'foo'", "native", "torch"]),
        (["policy.solver=foo"], ["solver", "'foo'", "euler", "rk4"]),
        (["policy.initial_noise=foo"], ["initial_noise", "'foo'", "zero"]),
        (["policy.execute_steps=9"], ["execute_steps", "9", "8"]),
        (["policy.execute_steps=0"], ["execute_steps", "0"]),
        (["--device", "tpu"], ["'tpu'", "cpu"]),
        (["--num_envs", "0"], ["--num_envs", "0"]),
        (["--num_envs", "a"], ["--num_envs", "a"]),
        (["--num_envs", "1", "agent.num_steps_per_env=1"], ["--num_envs", "mini_batches"]),
        (["--max_iterations", "-1"], ["--max_iterations", "-1"]),
        (["agent.max_iterations=-1"], ["max_iterations", "-1"]),
        (["--seed", "-2"], ["--seed", "-2"]),
        (["--iterations", "5"], ["--iterations"]),
        (["agent.demonstrations.quality=good"], ["quality", "mixed"]),
        (["agent.step_discount=1.5"], ["step_discount", "1.5"]),
        (["policy.latent_dim=null"], ["agent.policy.latent_dim", "an integer of at least 1, such as 16, not null"]),
        (["env.decimation=0"], ["env.decimation", "at least 1", "not 0"]),
        (["env.sim=null"], ["env.sim must be set option by option"]),
        (["agent.device=cuda"], ["--device cuda"]),
        (["agent.experiment_name=../../escaped"], ["agent.experiment_name", "'../../escaped'", "without slashes"]),
        (["agent.run_name=a/b"], ["agent.run_name", "'a/b'", "without slashes"]),
        (["--checkpoint", "latest", "agent.experiment_name=.."], ["agent.experiment_name", "'..'"]),
        (["--dataset_file", "missing.hdf5"], ["missing.hdf5"]),
        (["--base", "missing.safetensors"], ["missing.safetensors"]),
        (["--checkpoint", "missing.safetensors"], ["missing.safetensors"]),
        (["--checkpoint", "latest"], ["no checkpoint", "scripts/train.py"]),
        (["--checkpoint", "latest", "--base", "base.safetensors"], ["no checkpoint"]),
    ],
    ids=" ".join,
)
def test_train_refuses(place, extra, words):
    assert_refused(refused_training(place, *extra), *words)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device")
def test_train_refuses_a_gpu_that_is_not_there(place):
    assert_refused(refused_training(place, "--device", "cuda:0"), "'cuda:0'", "use device cpu")


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--checkpoint", "latest"], ["no checkpoint"]),
        (["--checkpoint", "missing.safetensors"], ["missing.safetensors"]),
        (["--checkpoint", "base", "--base", "missing.safetensors"], ["missing.safetensors"]),
        (["--episodes", "0"], ["--episodes"]),
        (["--seed", "-2"], ["--seed", "-2"]),
    ],
    ids=" ".join,
)
def test_evaluate_refuses(place, extra, words):
    assert_refused(call("evaluate", arguments("evaluate", *extra, settings=TASK_SETTINGS), place), *words)


def test_pretrain_refuses_a_dataset_that_is_not_there(place):
    assert_refused(call("pretrain", arguments("pretrain", "--dataset_file", "missing.hdf5"), place), "missing.hdf5")


@pytest.fixture
def bad_dataset(workshop, tmp_path, request):
    """Make a data set that is spoilt in one way; return the words that the message should hold."""
    path = tmp_path / "bad.hdf5"
    original = workshop.folder / workshop.dataset
    if request.param == "truncated":
        path.write_bytes(original.read_bytes()[: original.stat().st_size // 2])
        return ["bad.hdf5", "truncated"]
    if request.param == "text":
        path.write_text("not a data set\n")
        return ["bad.hdf5", "not HDF5"]
    shutil.copy(original, path)
    with h5py.File(path, "r+") as file:
        attributes = file["data"].attrs
        attributes["zprl"] = str(attributes["zprl"]).replace("Zprl-Lift-Franka", "Zprl-Push-Franka")
    return ["bad.hdf5", "Zprl-Push-Franka", "Zprl-Lift-Franka"]


@pytest.mark.parametrize("bad_dataset", ["truncated", "text", "another task"], indirect=True)
@pytest.mark.parametrize("script", ["train", "pretrain"])
def test_bad_dataset(script, bad_dataset, tmp_path):
    before = files_below(tmp_path)
    outcome = call(script, arguments(script, "--dataset_file", "bad.hdf5"), tmp_path)
    assert_refused(outcome, *bad_dataset)
    assert files_below(tmp_path) == before


@pytest.fixture
def bad_checkpoint(workshop, tmp_path, request):
    """Make a checkpoint that is spoilt in one way; return the words that the message should hold."""
    path = tmp_path / "bad.safetensors"
    original = workshop.folder / workshop.run / "model_4.safetensors"
    if request.param == "truncated":
        path.write_bytes(original.read_bytes()[: original.stat().st_size // 2])
        return ["bad.safetensors", "truncated"]
    if request.param == "base policy":
        shutil.copy(workshop.folder / workshop.base, path)
        return ["bad.safetensors", "base policy", "--base"]
    content = load_tensors(original, KIND, "checkpoint", VERSION)
    if request.param == "random":
        safetensors.torch.save_file({"weights": torch.zeros(3)}, path)
        return ["bad.safetensors", "not a ZPRL file"]
    shutil.copytree(original.parent / "base", tmp_path / "base")
    if request.param == "no base policy":
        (tmp_path / "base" / "base_policy.safetensors").unlink()
        words = ["bad.safetensors", "base_policy.safetensors", "does not exist", content["infos"]["base"]["sha256"]]
    elif request.param == "another base policy":
        policy, meta = load_policy(workshop.folder / workshop.base)
        save_policy(tmp_path / "base" / "base_policy.safetensors", policy, {**meta, "dataset": "another"})
        words = ["bad.safetensors", "another base policy", content["infos"]["base"]["sha256"]]
    elif request.param == "another class":
        content["infos"]["settings"]["agent"]["critic"]["class_name"] = "os:system"
        words = ["bad.safetensors", "'os:system'", "not registered"]
    elif request.param == "another task":
        content["infos"]["spec"]["task"] = "Zprl-Push-Franka"
        words = ["bad.safetensors", "Zprl-Push-Franka", "--task"]
    elif request.param == "another shape":
        content["infos"]["spec"]["groups"][0]["features"][0]["shape"] = [8]
        words = ["bad.safetensors", "joint_pos[8]", "joint_pos[9]"]
    elif request.param == "another group":
        content["infos"]["spec"]["groups"][0]["name"] = "proprio"
        words = ["bad.safetensors", "no observation group 'proprio'", "policy"]
    elif request.param == "other limits":
        content["infos"]["spec"]["actions"][1]["high"] = [0.04]
        words = ["bad.safetensors", "gripper_action", "0.04", "1.0"]
    else:
        content["actor_state_dict"]["mlp.0.weight"] = torch.zeros(3, 3)
        words = ["bad.safetensors"]
    save_tensors(path, content, KIND, VERSION)
    return words


@pytest.mark.parametrize(
    "bad_checkpoint",
    [
        *("truncated", "base policy", "random", "another task", "another shape", "wrong weights"),
        *("another group", "other limits", "no base policy", "another base policy", "another class"),
    ],
    indirect=True,
)
@pytest.mark.parametrize("script", ["train", "evaluate"])
def test_bad_checkpoint(script, bad_checkpoint, tmp_path):
    before = files_below(tmp_path)
    settings = None if script == "train" else TASK_SETTINGS
    outcome = call(script, arguments(script, "--checkpoint", "bad.safetensors", settings=settings), tmp_path)
    assert_refused(outcome, *bad_checkpoint)
    assert files_below(tmp_path) == before


def test_a_checkpoint_is_no_base_policy(workshop, place):
    checkpoint = workshop.folder / workshop.run / "model_4.safetensors"
    assert_refused(refused_training(place, "--base", checkpoint), "model_4.safetensors", "not a ZPRL base policy")


def test_a_run_is_continued_with_its_number_of_worlds(workshop, place):
    checkpoint = workshop.folder / workshop.run / "model_4.safetensors"
    outcome = refused_training(place, "--checkpoint", checkpoint, "--num_envs", 8)
    assert_refused(outcome, "num_envs=16", "8")


@pytest.fixture
def file_size_limit():
    """Give a function that limits the size of the files that this process writes, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_space_for_a_checkpoint(workshop, tmp_path, file_size_limit):
    workshop.stock(tmp_path)
    (tmp_path / "mine" / "base").mkdir(parents=True)
    shutil.copy(workshop.folder / workshop.base, tmp_path / "mine" / "base")
    file_size_limit(100_000)
    outcome = call("train", arguments("train", "--max_iterations", 1, "--run_dir", "mine"), tmp_path)
    assert_refused(outcome, "file size limit", "mine/model_1.safetensors")
    assert not list(tmp_path.rglob("model_*")) + list(tmp_path.rglob(".model_*"))


def test_no_space_for_the_copy_of_the_base_policy(workshop, tmp_path, file_size_limit):
    workshop.stock(tmp_path)
    file_size_limit(100_000)
    outcome = call("train", arguments("train", "--max_iterations", 1, "--run_dir", "mine"), tmp_path)
    assert_refused(outcome, "file size limit", "mine/base/base_policy.safetensors")
    assert [path.name for path in (tmp_path / "mine" / "base").iterdir()] == []


def test_no_space_for_the_base_policy(workshop, tmp_path, file_size_limit):
    shutil.copytree(workshop.folder / "datasets", tmp_path / "datasets")
    file_size_limit(50_000)
    outcome = call("train", [*arguments("train"), "agent.pretrain.num_steps=5"], tmp_path)
    assert_refused(outcome, "file size limit", "base_policy.safetensors")
    assert not list(tmp_path.rglob("*base_policy.safetensors*"))


def test_no_space_for_the_demonstrations(workshop, tmp_path, file_size_limit):
    file_size_limit(20_000)
    outcome = call("collect_demos", ["--task", "Zprl-Lift-Franka", "--num_demos", "4", *TASK_SETTINGS], tmp_path)
    assert_refused(outcome, "file size limit", ".hdf5")
    assert files_below(tmp_path) == {}


def test_in_a_process_of_its_own(tmp_path):
    """The simulator and the interpreter add nothing of their own to the one line."""
    outcome = finish(spawn([SCRIPTS / "train.py", *arguments("train", "env.nope=1")], tmp_path))
    assert_refused(outcome, "nope")
    assert outcome.out == ""
    assert files_below(tmp_path) == {}
