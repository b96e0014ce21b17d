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
    assert f"while writing a file below {os.getcwd()};" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ValueError("defect"), PermissionError(errno.EACCES, "denied", "x"), SystemExit(3)])
def test_everything_else_is_passed_on(error):
    with pytest.raises(type(error)) as raised:
        run_cli(fail(error))
    assert raised.value is error


def test_interrupt_signal_ends_a_script_without_a_traceback():
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
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stderr.startswith("\ninterrupted: ")
    assert "Traceback" not in stderr
