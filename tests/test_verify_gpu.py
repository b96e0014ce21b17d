# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The bookkeeping of scripts/verify_gpu.sh, with interpreters that are a few lines of shell."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "verify_gpu.sh"
STAGES = ["machine", "build", "tests", "profile", "sanitizer", "training", "trace", "profile-compile"]
pytestmark = pytest.mark.skipif(shutil.which("timeout") is None, reason="there is no timeout program")


def verify(tmp_path, interpreter, path=None, **variables):
    """Run the script with an interpreter and return its status and the stages' lines by name."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/bash\n{interpreter}\n")
    python.chmod(0o755)
    env = os.environ | {"PYTHON": str(python)} | ({"PATH": path} if path else {}) | variables
    report = tmp_path / "report"
    result = subprocess.run([SCRIPT, report], capture_output=True, text=True, env=env, timeout=60, check=False)
    lines = (report / "summary.txt").read_text().splitlines()
    assert all(line in result.stdout for line in lines)
    return result.returncode, {line.split()[0]: line.split(maxsplit=4)[1:] for line in lines}


def test_without_a_gpu_it_says_so_in_one_sentence(tmp_path):
    status, stages = verify(tmp_path, "echo False")
    assert status == 2
    assert stages["machine"][::3] == ["fail", "torch finds no CUDA device on this machine, so nothing was verified."]
    assert list(stages) == ["machine"]


def test_without_torch_it_says_so(tmp_path):
    status, stages = verify(tmp_path, "echo \"ModuleNotFoundError: No module named 'torch'\" >&2; exit 1")
    assert status == 2
    assert stages["machine"][3].endswith("cannot import torch: ModuleNotFoundError: No module named 'torch'")


# Finds a GPU and no package: questions about packages and kernels are answered by failing.
BARE = """
case "$*" in
    *cuda.is_available*) echo True ;;
    *find_spec* | *build_info*) exit 1 ;;
    -) cat >/dev/null; echo "some GPU" ;;
    *) echo "unexpected: $*"; exit 9 ;;
esac
"""


def test_each_stage_says_what_it_lacks_and_none_stops_the_others(tmp_path):
    status, stages = verify(tmp_path, BARE)
    assert list(stages) == STAGES
    assert stages["machine"][::3] == ["pass", "some GPU"]
    assert {line[0] for name, line in stages.items() if name != "machine"} == {"skipped"}
    assert stages["tests"][3] == "Python has no module 'pytest'"
    assert stages["profile"][3] == "Python has no module 'prettytable'"
    assert stages["training"][3] == "Python has no module 'isaaclab'"
    assert status == 0


def test_a_failing_stage_is_reported_with_its_last_words_and_the_rest_goes_on(tmp_path):
    answers = "*find_spec* | *build_info*) ;; *-m\\ pytest*) echo; echo it broke; echo; exit 3"
    failing = BARE.replace("*find_spec* | *build_info*) exit 1", answers)
    status, stages = verify(tmp_path, failing)
    assert status == 1
    assert list(stages) == STAGES
    assert stages["tests"][::3] == ["fail", "exit status 1: it broke"]
    assert stages["profile"][0] == "fail" and "unexpected: scripts/profile_kernels.py" in stages["profile"][3]


def test_a_stage_that_hangs_is_stopped_and_what_has_no_time_left_is_skipped(tmp_path):
    hanging = BARE.replace('echo "some GPU"', "sleep 100 & wait")
    status, stages = verify(tmp_path, hanging, ZPRL_VERIFY_SECONDS="15")
    assert status == 1
    # Less than the whole time if a busy machine is slow to start, and none of it if that takes over five seconds.
    assert stages["machine"][0] == "fail" and re.search(r"ran into its limit of 1\d s", stages["machine"][3])
    assert {line[0] for name, line in stages.items() if name != "machine"} == {"skipped"}
    assert "the 15 s for all stages are over" in stages["trace"][3]
