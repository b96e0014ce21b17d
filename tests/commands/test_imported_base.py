# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""An imported base policy from the command line: evaluated, steered, continued, and refused where it cannot be."""

import json

import pytest
import torch
from tests.imported_policies import linear_policy

from zprl.policies.imported.policy import FILE, save_imported
from zprl.rl.checkpoint_files import checkpoints

from .conftest import TASK, TASK_SETTINGS, call

pytestmark = pytest.mark.sim

FEATURES = {
    "observation.state": ["joint_pos", "ee_pose"],
    "observation.environment_state": ["object_pose", "object_in_ee_frame"],
}
SETTINGS = [
    *(*TASK_SETTINGS, "agent.num_steps_per_env=5", "agent.save_interval=1", "agent.evaluation.interval=1"),
    *("agent.evaluation.episodes=3", "agent.algorithm.num_learning_epochs=1"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Give a folder with a policy that moves as its observations say, and one step of learning on its noise."""
    folder = tmp_path_factory.mktemp("imported")
    (folder / "bases").mkdir()
    gain = 0.3 * torch.randn(60, 7, generator=torch.Generator().manual_seed(0))
    save_imported(folder / "bases" / FILE, linear_policy(gain, (18, 12), 20, TASK, FEATURES))
    outcome = call("train", train("--method", "action_residual", "--max_iterations", "1"), folder)
    assert (outcome.status, outcome.error_lines) == (0, []), outcome.err
    return folder


def train(*extra):
    return ["--task", TASK, "--num_envs", "4", "--base", "bases", "--run_dir", "run", *extra, *SETTINGS]


def evaluated(place, *extra):
    argv = ["--task", TASK, "--num_envs", "3", "--episodes", "3", "--json", "r.json", *extra, *TASK_SETTINGS]
    outcome = call("evaluate", argv, place)
    assert (outcome.status, outcome.error_lines) == (0, []), outcome.err
    return json.loads((place / "r.json").read_text())


def test_it_is_evaluated_by_itself_and_as_the_base_of_a_checkpoint_alike(place):
    (checkpoint,) = checkpoints(place / "run")
    alone = evaluated(place, "--checkpoint", "base", "--base", "bases")
    steered = evaluated(place, "--checkpoint", str(checkpoint))
    assert steered["base_outcomes"] == alone["outcomes"]
    assert [steered[name] for name in ("base_velocity", "base_jerk")] == [alone[name] for name in ("velocity", "jerk")]
    assert alone["initial_noise"] == "zero" and alone["outcomes"]["steps"][0] > 8


def test_a_run_continues_without_the_folder_that_it_began_with(place):
    (place / "bases").rename(place / "away")
    try:
        argv = ["--task", TASK, "--num_envs", "4", "--checkpoint", "run/model_1.safetensors", "--max_iterations", "2"]
        outcome = call("train", [*argv, *SETTINGS], place)
    finally:
        (place / "away").rename(place / "bases")
    assert (outcome.status, outcome.error_lines) == (0, []), outcome.err
    assert len(checkpoints(place / "run")) == 2
    (place / "run" / "model_2.safetensors").unlink()


@pytest.mark.parametrize(
    ("script", "argv", "words"),
    [
        ("train", ["--base", "bases", "--run_dir", "other"], "has no bottleneck.safetensors beside it; train one with"),
        ("train", ["--base", "bases", "--method", "finetune"], "fine-tuning needs a flow policy of this project"),
        ("export", ["--checkpoint", "run/model_1.safetensors", "--output", "b"], "those are not exported yet"),
        ("export", ["--checkpoint", "base", "--base", "bases", "--output", "b"], "a policy of another framework"),
        ("pretrain", ["--base", "bases"], "learns from the policy's own data; pass --dataset_file"),
        ("pretrain", ["--base", "run", "--dataset_file", "x"], "is no folder that `zprl import-base` wrote"),
    ],
)
def test_what_it_cannot_is_refused_in_a_sentence(script, argv, words, place):
    outcome = call(script, ["--task", TASK, *argv], place)
    (line,) = outcome.error_lines
    assert outcome.status == 2 and words in line
    assert not (place / "other").exists() and not (place / "b").exists()


def test_a_flipped_bit_is_refused(place, tmp_path):
    data = bytearray((place / "bases" / FILE).read_bytes())
    data[-1] ^= 1
    (tmp_path / FILE).write_bytes(data)
    outcome = call("evaluate", ["--task", TASK, "--checkpoint", "base", "--base", str(tmp_path)], tmp_path)
    assert outcome.status == 2 and "checksum does not match" in outcome.err
