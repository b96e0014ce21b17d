# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""gpu_driver's own part: errors, rules, lines and statuses, with a GPU that is wrong by as much as a test says."""

import json
import shutil
from pathlib import Path

import pytest
from tests.builds import find_compiler, run

from zprl.policies import FlowPolicyCfg
from zprl.policies.native.blob import pack_policy
from zprl.profiling.accuracy import RULES
from zprl.profiling.shapes import random_policy

CSRC = Path(__file__).resolve().parents[2] / "csrc"
MEASURE = ("--check", "--time", "--batch", "1,7", "--type", "float32,tf32,bfloat16")


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    """A call of the program with a small policy."""
    compiler = find_compiler()
    if compiler is None:
        pytest.skip("a C++ compiler is missing")
    folder = tmp_path_factory.mktemp("gpu_driver")
    policy = random_policy(FlowPolicyCfg(velocity_hidden_dim=33, embed_dim=20, latent_dim=3), 5, 2)
    (folder / "small.blob").write_bytes(pack_policy(policy).numpy().tobytes())
    shutil.copy(folder / "small.blob", folder / "other.blob")

    core, tests = CSRC / "core", CSRC / "tests"
    sources = [tests / "gpu_driver.cpp", tests / "fake_cuda/fake_gpu.cpp", core / "policy_blob.cpp", core / "plan.cpp"]
    sources += [core / f"cuda/{name}.cpp" for name in ("cost_model", "pack", "plan")]
    flags = [
        "-std=c++17",
        "-O0",
        "-Wall",
        "-Wextra",
        "-pthread",
        *(f"-I{p}" for p in (tests / "fake_cuda", core, tests)),
    ]
    result = run(compiler, *flags, *sources, "-o", folder / "gpu_driver")
    assert result.returncode == 0 and "warning" not in result.stderr, result.stderr[:6000]

    def call(*arguments, blobs=("small",), **variables):
        return run(folder / "gpu_driver", *arguments, *(folder / f"{name}.blob" for name in blobs), **variables)

    return call


def cells_of(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_line_for_each_cell(driver):
    result = driver(*MEASURE, blobs=("small", "other"), ZPRL_CUDA_KERNEL="mma")
    assert (result.returncode, result.stderr) == (0, "")
    cells = cells_of(result)
    keys = [(cell["shape"], cell["type"], cell["batch"]) for cell in cells]
    assert keys == [(shape, dtype, batch) for shape in ("small", "other") for dtype in RULES for batch in (1, 7)]
    for cell in cells:
        # Of weights, rows and threads that are mixed up, errors would be of the size of the chunk.
        assert cell["errors"]["max"] < 1e-6 and cell["within_rules"] is True and cell["kernel"] == "mma"
        # Any interval between events is 2 ms: that of ten steps at first, and then that of a graph, which has ten.
        assert cell["steps_in_graph"] == 10 and cell["microseconds"]["median"] == pytest.approx(200.0)
        assert cell["microseconds"]["host"] > 0.0


@pytest.mark.parametrize("dtype", RULES)
@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_the_rules_are_those_of_the_profiler(driver, dtype, factor):
    error = factor * RULES[dtype]["max"]
    result = driver("--check", "--type", dtype, "--batch", "64", FAKE_ERROR=str(error))
    (cell,) = cells_of(result)
    assert cell["errors"]["max"] == pytest.approx(error, rel=0.03)
    assert cell["errors"]["rms"] == pytest.approx(error / (64 * 16) ** 0.5, rel=0.03)
    assert cell["within_rules"] is (factor < 1.0) and result.returncode == (factor > 1.0)
    assert ("wrong beyond the rules" in result.stderr) == (factor > 1.0)
    assert "microseconds" not in cell


def test_a_wrong_cell_does_not_stop_the_others_and_nan_is_wrong(driver):
    result = driver(*MEASURE, FAKE_ERROR="nan")
    assert result.returncode == 1
    cells = cells_of(result)
    assert len(cells) == 6 and {cell["within_rules"] for cell in cells} == {False}
    assert cells[0]["errors"] == {"max": None, "rms": None, "cosine": None}


def test_a_refused_cell_does_not_stop_the_others(driver):
    result = driver(*MEASURE, FAKE_REFUSAL="1")
    assert result.returncode == 1
    cells = cells_of(result)
    assert [(cell["batch"], cell.get("refused")) for cell in cells] == [(1, "too wide."), (7, None)] * 3
    assert all(cell["within_rules"] for cell in cells[1::2])


@pytest.mark.parametrize(
    ("arguments", "variables", "sentence"),
    [
        (("--time",), {"FAKE_REPLAY": "1"}, "small.blob: a replayed graph gives another chunk than a call.\n"),
        (("--check",), {"FAKE_FAULT": ""}, "small.blob: preparing: an illegal memory access was encountered\n"),
        ((), {"FAKE_FAULT": ""}, "small.blob: policy step: an illegal memory access was encountered\n"),
        ((), {"FAKE_ERROR": "nan"}, "small.blob: a chunk has a value that is not finite.\n"),
    ],
)
def test_what_goes_wrong_is_said_in_a_sentence(driver, arguments, variables, sentence):
    result = driver(*arguments, **variables)
    assert (result.returncode, result.stdout) == (1, "") and result.stderr.endswith(sentence)
    assert len(result.stderr.splitlines()) == 1


def test_all_plans_are_measured_with_what_the_planner_expects(driver):
    cells = cells_of(driver("--plans", *MEASURE, "--batch", "7", "--type", "tf32"))
    assert [(cell["shape"], cell["estimate"]) for cell in cells] == [("small", 1.0), ("small", 2.0)]
    assert all(cell["within_rules"] and cell["microseconds"]["median"] > 0.0 for cell in cells)


def test_other_forms(driver):
    lines = driver("--type", "tf32").stdout.splitlines()
    assert [line.split(" rows")[0] for line in lines] == [f"small, tf32, {rows}" for rows in (1, 9, 65)]
    assert all(line.endswith(": ok") for line in lines)
    (cell,) = cells_of(driver("--once", "--batch", "3", "--type", "float32"))
    assert cell["batch"] == 3 and "errors" not in cell and "microseconds" not in cell
    (machine,) = cells_of(driver("--machine", blobs=()))
    assert machine["gpu"] == 'Fake "H100"' and machine["active_clusters"] == {"2": 66, "4": 33, "8": 16, "16": 8}
    assert machine["kernels"][0]["registers"] == 128


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--check",), "there is no BLOB."),
        (("--fast", "x"), "there is no option --fast."),
        (("x", "--batch"), "the value of --batch is missing."),
        (("--batch", "1,0", "x"), "the batch size '0' is no whole number from 1 to 16777216."),
        (("--type", "fp8", "x"), "the precision is 'fp8'; it must be float32, tf32 or bfloat16."),
        (("--once", "--time", "x"), "--once launches nothing but the step"),
        (("--plans", "x"), "--plans measures all plans: it goes with --check, --time or both."),
    ],
)
def test_wrong_arguments_end_in_a_sentence(driver, arguments, sentence):
    result = driver(*arguments, blobs=())
    assert result.returncode == 2 and result.stdout == ""
    assert sentence in result.stderr.splitlines()[0]
