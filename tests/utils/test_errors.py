# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

import errno
import os
import signal
import subprocess
import sys

import pytest

from zprl.utils.errors import ZprlError, run_cli


def fail(error):
    def main():
        raise error

    return main


def test_success_returns_without_a_word(capsys):
    run_cli(lambda: 7)
    assert capsys.readouterr() == ("", "")


def test_user_error_is_one_line_and_status_2(capsys):
    with pytest.raises(SystemExit) as exit_:
        run_cli(fail(ZprlError("the dataset x.hdf5 holds no demonstration; record some with scripts/record.py.")))
    assert exit_.value.code == 2
    assert capsys.readouterr() == (
        "",
        "error: the dataset x.hdf5 holds no demonstration; record some with scripts/record.py.\n",
    )


def test_a_name_out_of_a_file_neither_begins_a_line_nor_moves_the_cursor():
    assert (
        str(ZprlError("it holds \n a \x1b[2J and \udcff, \u00e4 'b'.")) == r"it holds \n a \x1b[2J and \udcff, ä 'b'."
    )


def test_interrupt_says_how_to_continue(capsys):
    with pytest.raises(SystemExit) as exit_:
        run_cli(fail(KeyboardInterrupt()), after_interrupt="continue with --resume")
    assert exit_.value.code == 130
    line = "\ninterrupted: the last saved checkpoint is safe and complete; continue with --resume.\n"
    assert capsys.readouterr().err == line


@pytest.mark.parametrize(
    ("number", "problem"), [(errno.ENOSPC, "no space left on device"), (errno.EDQUOT, "disk quota exceeded")]
)
def test_full_disk_is_one_sentence(capsys, number, problem):
    with pytest.raises(SystemExit) as exit_:
        run_cli(fail(OSError(number, os.strerror(number), "/logs/model.safetensors")))
    assert exit_.value.code == 2
    line = f"error: {problem} while writing /logs/model.safetensors; free some space and run the command again.\n"
    assert capsys.readouterr().err == line


def test_full_disk_without_a_file_name(capsys):
    with pytest.raises(SystemExit):
        run_cli(fail(OSError(errno.ENOSPC, "No space left on device")))
    assert f"while writing a file below {os.getcwd()}, or standard output;" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "problem"),
    [
        (errno.EACCES, "permission denied"),
        (errno.EROFS, "it lies on a read-only file system"),
        (errno.EBUSY, "it is in use, perhaps as a mount point"),
        (errno.ENOTDIR, "a part of its path is no folder"),
    ],
)
def test_a_place_that_cannot_be_used_is_one_sentence(capsys, number, problem):
    with pytest.raises(SystemExit) as exit_:
        run_cli(fail(OSError(number, os.strerror(number), "/logs/model.safetensors")))
    assert exit_.value.code == 2
    line = f"error: cannot use /logs/model.safetensors: {problem}; change that, or name another place.\n"
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("error", [ValueError("defect"), PermissionError(errno.EACCES, "denied"), SystemExit(3)])
def test_everything_else_is_passed_on(error):
    with pytest.raises(type(error)) as raised:
        run_cli(fail(error))
    assert raised.value is error


@pytest.mark.parametrize(
    ("number", "status", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_ends_a_script_without_a_traceback(number, status, word):
    code = (
        "import time; from zprl.utils.errors import run_cli\n"
        "def main(): print('ready', flush=True); time.sleep(60)\n"
        "run_cli(main)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == status
    assert stderr.startswith(f"\n{word}: ")
    assert "Traceback" not in stderr


SPEAKS = (
    "import sys; from zprl.utils.errors import ZprlError, run_cli\n"
    "def main():\n"
    "    print('result')\n"
    "    file = open(sys.argv[1], 'w')\n"
    "    assert file.fileno() > 2\n"
    "    file.write('whole'); file.close()\n"
    "    if len(sys.argv) > 2: raise ZprlError('it is wrong.')\n"
    "run_cli(main)\n"
)


@pytest.mark.parametrize(
    ("redirection", "status", "error"),
    [
        (">&-", 0, ""),
        (">&- <&-", 0, ""),
        (">/dev/full", 2, "error: no space left on device while writing standard output; "),
        ("2>&-", 0, ""),
        (">&- wrong", 2, "error: it is wrong.\n"),
        (">/dev/full wrong", 2, "error: "),
        ("2>&- wrong", 2, ""),
        ("| true", 141, ""),
    ],
)
def test_a_closed_or_full_stream_costs_no_file_and_no_traceback(tmp_path, redirection, status, error):
    wrong = redirection.endswith(" wrong")
    redirection = redirection.removesuffix(" wrong")
    command = f"set -o pipefail; '{sys.executable}' -c \"$CODE\" {tmp_path / 'file'} {'wrong' * wrong} {redirection}"
    if redirection == "| true":
        command = command.replace("| true", "| (exec <&-; sleep 0.3)")
    done = subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, "CODE": SPEAKS, "PYTHONUNBUFFERED": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stderr
    assert done.stderr.startswith(error) and done.stderr.count("\n") == (1 if error else 0), done.stderr
