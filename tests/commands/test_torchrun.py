# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Training in two processes from the command line: how it ends, and what it refuses."""

import signal
import time

import pytest

from zprl.artifacts import checkpoints
from zprl.rl.checkpoint import load_checkpoint

from .conftest import SCRIPTS, arguments, files_below, finish, spawn
from .test_train import only_run

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


@pytest.mark.slow
def test_ctrl_c_ends_both_processes_with_one_sentence(workshop, tmp_path):
    workshop.stock(tmp_path)
    argv = arguments("train", "--max_iterations", 1000)
    process = spawn([*TWO, SCRIPTS / "train.py", *argv], tmp_path)
    deadline = time.monotonic() + 200
    while process.poll() is None and not list(tmp_path.glob("logs/rsl_rl/*/*/model_2.pt")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    outcome = finish(process)
    assert own_lines(outcome.err) == [
        "interrupted: the last saved checkpoint is safe and complete; continue with --checkpoint latest."
    ]
    assert load_checkpoint(checkpoints(only_run(tmp_path))[-1]).num_processes == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--algo", "sac"], ["--algo sac", "one process"]),
        (["--num_envs", "15"], ["--num_envs is 15", "multiple of 2"]),
        (["--num_envs", "6"], ["15 transitions", "num_mini_batches"]),
    ],
)
def test_what_two_processes_cannot_do_is_refused_in_one_sentence(workshop, extra, words):
    before = files_below(workshop.folder).keys()
    argv = [*arguments("train"), *extra, *(["agent.algorithm.num_mini_batches=4"] if "6" in extra else [])]
    argv = [text for text in argv if "num_learning_epochs" not in text or "sac" not in extra]
    outcome = run_two(workshop.folder, SCRIPTS / "train.py", *argv)
    assert outcome.status == 1
    (line,) = own_lines(outcome.err)
    assert all(word in line for word in words), line
    assert files_below(workshop.folder).keys() == before
