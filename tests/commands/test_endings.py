# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""However a command has to end, it says so in one sentence or not at all, and leaves nothing half-written."""

import dataclasses
import errno
import importlib
import os
import signal
import subprocess
import sys
import tempfile

import pytest

from zprl.commands import cli
from zprl.study.scheduler import ZPRL
from zprl.utils.errors import Terminated

from .conftest import TASK, call, files_below
from .test_cli import POSITIONAL, required

OUTPUTS = [
    (name, f"--{field.name}")
    for name in cli.NAMES
    for field in dataclasses.fields(cli.find_command(name).options)
    if field.metadata["writes"] is not None
]
"""Every option of a command that names something to write."""

DEFAULTS = [
    ("train", []),
    ("play", ["--policy", "expert"]),
    ("pretrain", []),
    ("collect_demos", []),
    ("document_task", []),
]
"""Every command that writes something without being told where, and what it needs beside the task."""


def command_line(name, option=None, output="out"):
    """Return what a command must be given, and with an option what it is to write."""
    values, argv = required(name)
    if option is not None and (field := option.removeprefix("--")) in POSITIONAL:
        argv[argv.index(str(values[field]))] = output
    elif option in argv:
        argv[argv.index(option) + 1] = output
    elif option is not None:
        argv += [option, output]
    return argv


@pytest.mark.sim
@pytest.mark.parametrize(
    ("number", "words"), [(errno.EROFS, "read-only file system"), (errno.ENOSPC, "no space left on device")]
)
@pytest.mark.parametrize(("name", "output"), OUTPUTS + DEFAULTS, ids=lambda value: value and str(value))
def test_what_cannot_be_written_is_said_before_the_work(name, output, number, words, tmp_path, monkeypatch):
    """Root may write to any folder, so making a file is what refuses."""
    from zprl.runs.session import TaskSession

    def refuse(*, dir):
        raise OSError(number, os.strerror(number), os.path.join(dir, "tmpabc"))

    def work(*arguments, **options):
        raise AssertionError("the work has begun")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(TaskSession, "launched", work)
    named = isinstance(output, str)
    outcome = call(name, command_line(name, output) if named else [*command_line(name), *output], tmp_path)
    (line,) = outcome.error_lines
    assert outcome.status == 2
    assert line.startswith("error: ") and f" cannot be written: {words} (" in line
    if named:
        assert f"{POSITIONAL.get(output.removeprefix('--'), output)} out " in line
    assert outcome.out == "" and files_below(tmp_path) == {}


READING = [
    ("evaluate", "--json", "model_1.safetensors", ["--checkpoint", "model_1.safetensors"]),
    ("evaluate", "--json", "base.safetensors", ["--checkpoint", "base", "--base", "base.safetensors"]),
    ("evaluate", "--json", "bundle/contract.json", ["--checkpoint", "bundle"]),
    ("play", "--video", "model_1.png", ["--checkpoint", "model_1.png"]),
    ("pretrain", "--output", "demos.hdf5", ["--dataset_file", "demos.hdf5"]),
    ("export", "--output", "bundle/model_1.safetensors", ["--checkpoint", "bundle/model_1.safetensors", "--force"]),
    ("sim2real", "--json", "bundle/contract.json", []),
    ("summarize", "--figure", "a/result.json", []),
    ("trace_rollout", "--trace", f"logs/base_policy/{TASK}/new/base_policy.safetensors", []),
    ("profile_training", "--trace", f"logs/base_policy/{TASK}/new/base_policy.safetensors", []),
    ("profile_kernels", "--plot", f"logs/base_policy/{TASK}/new/base_policy.safetensors", ["--shapes", f"task:{TASK}"]),
]
"""A file that a command reads, by what it is given or by itself, and what could name it once more to be written."""


@pytest.mark.sim
@pytest.mark.parametrize("alias", ["itself", "link", "hard link"])
@pytest.mark.parametrize(("name", "option", "read", "extra"), READING, ids=lambda value: value if value else "")
def test_what_a_command_reads_is_not_its_output(name, option, read, extra, alias, tmp_path, monkeypatch):
    from zprl.runs.session import TaskSession

    def work(*arguments, **options):
        raise AssertionError("the work has begun")

    monkeypatch.setattr(TaskSession, "launched", work)
    source = tmp_path / read
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text("{}")
    (source.parent / "contract.json").touch()
    output = read
    if name == "export":
        output = str(source.parent.relative_to(tmp_path))
    if alias != "itself":
        output = "out.png" if name == "play" else "out"
        if alias == "link" or name == "export":  # folders have one name only
            (tmp_path / output).symlink_to(source.parent if name == "export" else source)
        else:
            (tmp_path / output).hardlink_to(source)
    before = files_below(tmp_path)
    outcome = call(name, [*command_line(name, option, output), *extra], tmp_path)
    (line,) = outcome.error_lines
    assert outcome.status == 2
    assert line.startswith(f"error: {option} {output} would replace the ") and f"{read}, which is read; " in line
    assert files_below(tmp_path) == before


def test_help_and_checks_agree_on_what_is_written():
    for name in cli.NAMES:
        for field in dataclasses.fields(cli.find_command(name).options):
            says_so = "to write" in field.metadata["help"]
            assert says_so == (field.metadata["writes"] is not None), f"--{field.name} of {name}"


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
    outcome = call(name, command_line(name), tmp_path)
    assert (outcome.status, outcome.err[: len(said)]) == (status, said)
    assert len(outcome.error_lines) == 1
    assert files_below(tmp_path) == {}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_within_a_callback_is_not_lost(number, status):
    """Python only prints what a weak reference's callback or a __del__ raises, and would go on."""
    program = f"""
import signal, time, weakref
from zprl.utils.errors import run_cli

class Thing: ...

def main():
    thing = Thing()
    reference = weakref.ref(thing, lambda _: signal.raise_signal({int(number)}))
    del thing
    time.sleep(20)

run_cli(main)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    word = {130: "interrupted", 143: "terminated"}[status]
    assert (done.returncode, done.stderr.split(": ")[0]) == (status, f"\n{word}")


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
