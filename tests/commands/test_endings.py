# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""However a command has to end, it says so in one sentence or not at all, and leaves nothing half-written."""

import dataclasses
import errno
import importlib
import os
import subprocess
import tempfile

import pytest

from zprl.commands import cli
from zprl.study.scheduler import ZPRL
from zprl.utils.errors import Terminated

from .conftest import TASK, call, files_below

OUTPUTS = [
    ("train", ["--run_dir", "out"]),
    ("train", []),
    ("evaluate", ["--json", "out"]),
    ("play", ["--policy", "expert", "--video", "out.png"]),
    ("play", ["--policy", "expert"]),
    ("pretrain", ["--output", "out"]),
    ("pretrain", []),
    ("collect_demos", ["--dataset_file", "out"]),
    ("collect_demos", []),
    ("export", ["--output", "out"]),
    ("sim2real", ["--bundle", "bundle", "--json", "out"]),
    ("sim2real", ["--bundle", "bundle", "--plot", "out"]),
    ("study", ["--methods", "zprl", "--output", "out"]),
    ("summarize", ["a", "b", "--figure", "out"]),
    ("convert", ["model_4.pt", "--output", "out"]),
    ("profile_kernels", ["--json", "out"]),
    ("profile_kernels", ["--trace", "out"]),
    ("profile_kernels", ["--plot", "out"]),
    ("profile_training", ["--trace", "out"]),
    ("trace_rollout", ["--trace", "out"]),
]
"""Every command that writes, with what names the place."""


def command_line(name, extra):
    takes_task = name not in ("summarize", "convert", "profile_kernels")
    return [*(["--task", TASK] if takes_task else []), *extra]


@pytest.mark.sim
@pytest.mark.parametrize(
    ("number", "words"), [(errno.EROFS, "read-only file system"), (errno.ENOSPC, "no space left on device")]
)
@pytest.mark.parametrize(("name", "extra"), OUTPUTS, ids=lambda value: value if isinstance(value, str) else "")
def test_what_cannot_be_written_is_said_before_the_work(name, extra, number, words, tmp_path, monkeypatch):
    """Root may write to any folder, so making a file is what refuses."""
    from zprl.runs.session import TaskSession

    def refuse(*, dir):
        raise OSError(number, os.strerror(number), os.path.join(dir, "tmpabc"))

    def work(*arguments, **options):
        raise AssertionError("the work has begun")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(TaskSession, "launched", work)
    outcome = call(name, command_line(name, extra), tmp_path)
    (line,) = outcome.error_lines
    assert outcome.status == 2
    assert line.startswith("error: ") and f" cannot be written: {words} (" in line
    if extra and extra[-1].startswith("out"):
        assert f"{extra[-2]} {extra[-1]} " in line
    assert outcome.out == "" and files_below(tmp_path) == {}


@pytest.mark.parametrize(
    ("output", "words"), [(".", "--output . is a folder"), ("base.json", "named for two files, --output and what the")]
)
def test_a_base_policy_is_no_folder_and_not_its_own_report(output, words, tmp_path):
    outcome = call("pretrain", ["--task", TASK, "--output", output], tmp_path)
    (line,) = outcome.error_lines
    assert (outcome.status, files_below(tmp_path)) == (2, {}) and words in line


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (KeyboardInterrupt(), 130, "\ninterrupted: "),
        (Terminated(), 143, "\nterminated: "),
        (
            OSError(errno.EROFS, "Read-only file system", "logs/x"),
            2,
            "error: cannot use logs/x: it lies on a read-only",
        ),
        (OSError(errno.ENOSPC, "No space left on device", "logs/x"), 2, "error: no space left on device while writing"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
@pytest.mark.parametrize("name", cli.NAMES)
def test_every_command_ends_in_one_sentence(name, error, status, said, monkeypatch, tmp_path):
    def fail(*arguments):
        raise error

    module = importlib.import_module(f"zprl.commands.{name}")
    monkeypatch.setattr(module, "COMMAND", dataclasses.replace(module.COMMAND, run=fail))
    positional = {"summarize": ["a"], "convert": ["a"], "benchmark_physics": ["mujoco"]}.get(name, [])
    needed = {"export": ["--output", "out"], "sim2real": ["--bundle", "bundle"]}.get(name, [])
    takes_task = name not in ("summarize", "convert", "profile_kernels", "list_tasks")
    outcome = call(name, [*positional, *(["--task", TASK] if takes_task else []), *needed], tmp_path)
    assert (outcome.status, outcome.err[: len(said)]) == (status, said)
    assert len(outcome.error_lines) == 1
    assert files_below(tmp_path) == {}


@pytest.mark.parametrize(
    ("ending", "status"), [(">&-", 0), ("2>&-", 0), (">&- 2>&- <&-", 0), ("| (exec <&-; sleep 0.5)", 141)]
)
@pytest.mark.parametrize("argv", [["--help"], ["train", "--help"]], ids=" ".join)
def test_a_closed_stream_is_no_traceback(argv, ending, status):
    command = f"set -o pipefail; '{ZPRL[0]}' -m zprl {' '.join(argv)} {ending}"
    # argparse takes no notice of a help that reaches nobody at once.
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (status, "")
