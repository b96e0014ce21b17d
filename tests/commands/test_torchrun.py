# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Training in two processes from the command line: one run, whose numbers an interruption does not change."""

import json
import shutil
import signal
import time

import pytest
import torch

from zprl.rl.checkpoint import load_checkpoint
from zprl.rl.checkpoint_files import checkpoints

from .conftest import NUM_ENVS, SCRIPTS, STEPS_PER_ITERATION, TASK, arguments, call, files_below, finish, spawn
from .test_train import EVALUATIONS, WALL_CLOCK, differences, load, only_run

pytestmark = pytest.mark.sim

TWO = ["-m", "torch.distributed.run", "--nproc_per_node=2", "--rdzv_backend=c10d", "--rdzv_endpoint=localhost:0"]
"""torchrun with two processes and a free port."""


def run_two(folder, *command):
    """Run a script with its arguments in two processes, which takes minutes on cores that are busy with other tests."""
    process = spawn([*TWO, *command], folder)
    try:
        return finish(process, timeout=800)
    finally:
        process.terminate()  # torchrun then ends what it has started


def own_lines(text):
    """Return the lines that the training printed, without the report that torchrun adds to every failure."""
    return [line for line in text.splitlines() if line.startswith(("error:", "interrupted:"))]


@pytest.fixture(scope="module")
def two(workshop, tmp_path_factory):
    """Four iterations in two processes, from the workshop's base policy."""
    folder = workshop.stock(tmp_path_factory.mktemp("two"))
    outcome = run_two(folder, SCRIPTS / "train.py", *arguments("train", "--max_iterations", 4))
    assert outcome.status == 0, outcome.err
    return folder, outcome


@pytest.mark.slow
def test_two_processes_make_one_run(workshop, two):
    folder, outcome = two
    run = only_run(folder)
    assert [path.name for path in checkpoints(run)] == ["model_2.safetensors", "model_4.safetensors"]
    assert outcome.out.count("run: ") == outcome.out.count("files: ") == 1
    result = json.loads((run / "result.json").read_text())
    # The base policy meets the same episodes, half of them in each process, and does the same in every one.
    assert result["base"] == workshop.result["base"]
    assert result["num_processes"] == 2
    assert result["environment_steps"] == 4 * STEPS_PER_ITERATION
    assert result["history"]["evaluation_episodes"] == [NUM_ENVS]
    manifest = json.loads((run / "run.json").read_text())
    assert (manifest["num_envs"], manifest["num_processes"]) == (NUM_ENVS, 2)
    checkpoint = load_checkpoint(run / "model_4.safetensors")
    assert checkpoint.num_processes == 2
    assert checkpoint.settings["num_envs"] == NUM_ENVS
    assert checkpoint.content["infos"]["logger"]["tot_timesteps"] == 4 * STEPS_PER_ITERATION // 4
    # Each process counts its own 5 steps in 8 worlds; the statistics are those of both.
    assert checkpoint.content["actor_state_dict"]["obs_normalizer.count"] == 4 * STEPS_PER_ITERATION // 4
    other = load_checkpoint(workshop.folder / workshop.run / "model_4.safetensors")
    weights = [c.content["actor_state_dict"]["mlp.0.weight"] for c in (checkpoint, other)]
    assert not torch.equal(*weights), "the worlds are others than those of one process"


@pytest.mark.slow
def test_ctrl_c_ends_both_processes_of_a_run_that_continues_bit_for_bit(two, tmp_path):
    folder, _ = two
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    run = only_run(tmp_path)
    (run / "model_4.safetensors").unlink()  # as if the run had been killed before it

    argv = arguments("train", "--max_iterations", 1000, "--checkpoint", "latest")
    process = spawn([*TWO, SCRIPTS / "train.py", *argv], tmp_path)
    deadline = time.monotonic() + 400
    while process.poll() is None and not (run / "model_4.safetensors").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    interrupted = finish(process)
    assert own_lines(interrupted.err) == [
        "interrupted: the last saved checkpoint is safe and complete; continue with --checkpoint latest."
    ], interrupted.err
    # The one that was to stop there has been evaluated.
    ignored = WALL_CLOCK | EVALUATIONS | {"max_iterations"}
    assert differences(load(run / "model_4.safetensors"), load(only_run(folder) / "model_4.safetensors"), ignored) == []
    assert load_checkpoint(checkpoints(run)[-1]).num_processes == 2


@pytest.mark.slow
def test_one_process_does_not_continue_the_run_of_two(two):
    folder, _ = two
    outcome = call("train", arguments("train", "--checkpoint", "latest"), folder)
    assert outcome.status == 2
    (line,) = outcome.error_lines
    assert "2 processes made the checkpoint" in line
    assert "torchrun --nproc_per_node=2" in line


def test_a_refusal_is_said_once(workshop, monkeypatch):
    before = files_below(workshop.folder).keys()
    monkeypatch.setenv("WORLD_SIZE", "2")
    said = []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        outcome = call("train", ["--task", TASK, "--algo", "sac"], workshop.folder)
        assert (outcome.status, outcome.out) == (2, "")
        said += outcome.error_lines
    (line,) = said
    assert "--algo sac" in line and "one process" in line
    assert files_below(workshop.folder).keys() == before


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--num_envs", "15"], ["--num_envs is 15", "multiple of 2"]),
        (["--num_envs", "6", "agent.algorithm.num_mini_batches=4"], ["15 transitions", "num_mini_batches"]),
        (["agent.algorithm.normalize_advantage_per_mini_batch=true"], ["normalize_advantage_per_mini_batch"]),
        (["--checkpoint", "latest"], ["1 process made the checkpoint", "no torchrun"]),
    ],
)
def test_what_two_processes_cannot_do_is_refused_in_one_sentence(workshop, monkeypatch, extra, words):
    monkeypatch.setenv("WORLD_SIZE", "2")
    outcome = call("train", arguments("train", *extra), workshop.folder)
    assert outcome.status == 2
    (line,) = outcome.error_lines
    assert all(word in line for word in words), line
