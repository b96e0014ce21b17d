# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The profiler as a whole, on small policies and with numbers of the machine that are made up."""

import importlib.util
import json
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from zprl.policies import FlowPolicy, FlowPolicyCfg, NativePolicyStep, save_policy
from zprl.profiling import contenders, machine, profiler, roofline, shapes, stages
from zprl.profiling.output import trace_events
from zprl.profiling.profiler import CellResult, ProfileSettings, profile_policy_step
from zprl.profiling.report import figures, report_text, report_to_dict, sums_of_parts
from zprl.profiling.stages import ControlLoop
from zprl.profiling.timing import Samples, Timing

_core = pytest.importorskip("zprl._core", reason="the native libraries are not built")

SCRIPT = Path(__file__).parents[2] / "scripts" / "profile_kernels.py"
STAGES = {"encode": 1e-6, "block_linear": 3e-6, "solver": 1e-6}
SMALL: dict[str, Any] = {
    "horizon": 4,
    "embed_dim": 12,
    "embed_hidden_dims": (),
    "vib_hidden_dims": (9,),
    "latent_dim": 3,
}
SMALL |= {"velocity_hidden_dim": 16, "velocity_num_blocks": 2, "num_flow_steps": 3}


class FakeCore:
    """The native module with made-up measurements."""

    class Policy(_core.Policy):
        def __init__(self, blob):
            assert blob.dtype == np.uint8
            super().__init__(blob)

        def profile(self, rows, repeats):
            return {name: rows * seconds for name, seconds in STAGES.items()}

    @staticmethod
    def cpu_level():
        return "avx512"

    @staticmethod
    def measure_peaks(seconds):
        return {"fp32_gflops": 100.0, "bf16_gflops": 0.0}

    @staticmethod
    def measure_stream(size, seconds):
        return 20.0


@pytest.fixture(autouse=True)
def small_shapes(monkeypatch):
    monkeypatch.setitem(shapes._DEFINITIONS, "A", (7, 5, dict(SMALL)))
    monkeypatch.setattr(machine, "_PEAK_SECONDS", 0.01)  # the limits of the machine are no test's subject


@pytest.fixture
def fake_core(monkeypatch):
    for module in (machine, stages):
        monkeypatch.setattr(module, "native_core", lambda: FakeCore)


def run_script(monkeypatch, *arguments):
    """Run the script in this process and return its exit status."""
    monkeypatch.setattr(sys, "argv", ["profile_kernels.py", "--threads", "1", "--budget", "0", *arguments])
    try:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    except SystemExit as exit_:
        return exit_.code
    return 0


def table_rows(text):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]


# -- what is measured --------------------------------------------------------------------------------------------------


def test_json_holds_what_the_table_says(monkeypatch, capsys, tmp_path, fake_core):
    files = {kind: tmp_path / "new" / f"profile.{kind}" for kind in ("json", "trace", "plot")}
    options = [text for kind, path in files.items() for text in (f"--{kind}", str(path))]
    arguments = ("--shapes", "A", "--batch", "1,3", "--dtype", "float32", "--rivals", "eager,jit")
    assert run_script(monkeypatch, *arguments, *options) == 0
    printed = capsys.readouterr().out
    rows = table_rows(printed)
    result = json.loads(files["json"].read_text())

    macs = 7 * 12 + 12 * 9 + 9 * 6 + 3 * 9 + 9 * 12 + 12 * 64 + 3 * (20 * 16 + 4 * 16 * 16 + 16 * 20)
    assert result["shapes"][0]["macs"] == macs
    assert f"{macs:,} multiply-accumulates" in printed
    assert result["machine"]["threads"] == 1 and result["machine"]["cpu_level"] == "avx512"
    assert result["machine"]["versions"]["torch"] == torch.__version__.split("+")[0]
    assert {"cpu", "cpu_flags"} <= set(result["machine"])
    assert result["limits"]["gflops"] == {"float32": 100.0}
    assert [(cell["dtype"], cell["batch"]) for cell in result["cells"]] == [("float32", 1), ("float32", 3)]
    for cell in result["cells"]:
        assert [c["name"] for c in cell["contenders"]] == ["native", "eager", "jit"]
        for contender in cell["contenders"]:
            timing, errors = contender["timing"], contender["errors"]
            assert 0.0 < timing["p10"] <= timing["median"] <= timing["p99"] and timing["repetitions"] >= 20
            assert 0.0 < errors["rms"] <= errors["max"] < 1e-5
            gflops = 2e-9 * macs * cell["batch"] / timing["median"]
            assert contender["gflops"] == pytest.approx(gflops)
            assert contender["percent_of_peak"] == pytest.approx(gflops)  # of 100 Gflop/s
            row = next(r for r in rows if r[:2] == [str(cell["batch"]), contender["name"]])
            assert row[2:5] == [f"{errors[name]:.1e}" for name in ("max", "rms", "cosine")]
            assert row[5] == ("ok" if contender["name"] == "native" else "-")
            assert row[6:9] == [f"{1e3 * timing[name]:,.3f}" for name in ("median", "p10", "p99")]
            assert row[12] == f"{gflops:.1f} %"
            if cell["batch"] == 1:
                rate = 1e-9 * result["shapes"][0]["weight_bytes"]["float32"] / timing["median"]
                assert contender["percent_of_stream"] == pytest.approx(100 * rate / 20.0)
            else:
                assert contender["percent_of_stream"] is None and row[13] == "-"

    assert [(split["batch"], split["seconds"]) for split in result["stages"]] == [
        (1, STAGES),
        (3, {name: 3 * seconds for name, seconds in STAGES.items()}),
    ]
    assert ["block_linear", "3.0", "60", "9.0", "60"] in rows
    (loop,) = result["control_loops"]
    assert (loop["shape"], loop["dtype"]) == ("A", "float32")
    assert all(loop[name]["repetitions"] >= 20 for name in ("step", "machine"))
    assert next(r for r in rows if r[0] == "float32")[1] == f"{1e3 * loop['step']['median']:,.3f}"
    assert ["sum", "5.0", "100", "15.0", "100"] in rows
    assert files["plot"].read_bytes().startswith(b"\x89PNG")
    trace = json.loads(files["trace"].read_text())["traceEvents"]
    assert {"native A float32 batch 1", "jit A float32 batch 3", "encode"} <= {event["name"] for event in trace}


def test_ratios_and_percentages_by_hand():
    settings = ProfileSettings(shapes=["A"], batches=[1], dtypes=["float32"], rivals=["eager"], budget=0.0)
    report = profile_policy_step(settings)
    cell, work = report.cells[0], report.facts("A").work
    report.limits.gflops, report.limits.gbytes = {"float32": 8.0}, {work.core_bytes("float32"): 5.0}
    seconds = work.flops(1) / 4e9  # 4 Gflop/s
    cell.contender("native").timing = Timing(seconds, seconds, seconds, 20)
    cell.contender("eager").timing = Timing(2.5 * seconds, seconds, seconds, 20)
    ours = figures(report, cell, cell.contender("native"))
    assert (ours.gflops, ours.percent_of_peak, ours.time_over_native) == pytest.approx((4.0, 50.0, 1.0))
    assert ours.percent_of_stream == pytest.approx(100 * work.weight_bytes("float32") / seconds / 5e9)
    assert figures(report, cell, cell.contender("eager")).time_over_native == pytest.approx(2.5)


def test_steadiness_stands_beside_the_machines(monkeypatch):
    step, machine_alone = Timing(2e-4, 1.9e-4, 3e-4, 500), Timing(2e-4, 2e-4, 2.5e-4, 500)
    monkeypatch.setattr(profiler, "measure_control_loop", lambda *args: ControlLoop(step, machine_alone))
    report = profile_policy_step(ProfileSettings(["A"], [1, 2], ["float32"], [], budget=0.0))
    work = report.facts("A").work
    report.limits.gbytes = {work.core_bytes("float32"): work.weight_bytes("float32") / 2e-4 / 1e9 * 2.0}
    rows = [re.findall(r"[^|]+", line) for line in report_text(report).splitlines()]
    row = next([cell.strip() for cell in row] for row in rows if row and row[0].strip() == "float32")
    assert row == ["float32", "0.200", "0.190", "0.300", "500", "1.50", "1.25", "50.0 %"]


def test_what_a_build_cannot_measure_is_said(monkeypatch):
    for module in (machine, stages):
        monkeypatch.setattr(module, "native_core", lambda: None)
    report = profile_policy_step(ProfileSettings(["A"], [2], ["float32"], [], budget=0.0))
    text = report_text(report)
    assert "cannot measure them" in text and "stages were not measured" in text
    assert report_to_dict(report)["cells"][0]["contenders"][0]["percent_of_peak"] is None


def test_solvers_and_steps():
    settings = ProfileSettings(["A"], [2], ["float32"], [], solvers=["rk4", "heun"], steps=[1, 2], budget=0.0)
    report = profile_policy_step(settings)
    assert [facts.name for facts in report.shapes] == ["A rk4 K=1", "A rk4 K=2", "A heun K=1", "A heun K=2"]
    facts = report.facts("A rk4 K=2")
    assert (facts.solver, facts.steps, facts.work.evaluations) == ("rk4", 2, 8)
    report.check()


def test_threads_are_given_back():
    before = torch.get_num_threads()
    seen = []
    profile_policy_step(
        ProfileSettings(["A"], [1], ["float32"], [], threads=before + 1, budget=0.0),
        report=lambda line: seen.append(torch.get_num_threads()),
    )
    assert seen == [before + 1] and torch.get_num_threads() == before


def test_trained_policy(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    settings: dict[str, Any] = {**SMALL, "num_flow_steps": 5}
    policy = shapes.random_policy(FlowPolicyCfg(**settings), 7, 5)
    policy.set_normalizers(torch.randn(50, 7), 100.0 * torch.randn(50, 5))
    policy.set_action_limits(torch.full((5,), -50.0), torch.full((5,), 50.0))
    save_policy(tmp_path / "logs/base_policy/Some-Task/key/base_policy.safetensors", policy)
    report = profile_policy_step(ProfileSettings(["task:Some-Task"], [16], ["float32"], ["eager"], budget=0.0))
    facts, cell = report.facts("task:Some-Task"), report.cells[0]
    assert facts.steps == 5
    # The cell measures in normalised units, where a standard deviation of 100 does not show; the action error does.
    ours = cell.contender("native").errors
    assert ours is not None and ours.max < 1e-5
    errors = facts.action_errors["float32"]
    assert len(errors) == 5 and ours.max < max(errors) < 1e-2
    assert f"with the weights as trained: {errors[0]:.1e}, " in report_text(report)
    # Neither normaliser nor limits of the policy itself are touched.
    shape = shapes.make_shape("task:Some-Task")
    assert shape.trained is not None and shape.trained.action_high.max() == 50.0
    assert torch.isinf(shape.policy.action_high).all()


def test_a_policy_that_sees_is_measured_in_two_parts(monkeypatch):
    settings = {"embedding_class": shapes.IMAGE_EMBEDDING, "observation_groups": ("policy", "front", "wrist")}
    monkeypatch.setitem(shapes._DEFINITIONS, "V", (7, 5, {**SMALL, **settings}))
    dtypes = ["float32", "bfloat16"]
    report = profile_policy_step(ProfileSettings(["V"], [2], dtypes, ["eager", "jit", "onnx", "once"], budget=0.0))
    report.check()
    by_name = {cell.name: cell for cell in report.cells}
    assert list(by_name) == ["V encoder float32 batch 2", *(f"V flow {dtype} batch 2" for dtype in dtypes)]
    encoder, flow = by_name["V encoder float32 batch 2"], by_name["V flow float32 batch 2"]
    assert [c.name for c in encoder.contenders] == ["eager", "jit", "onnx", "once"]  # nothing of it is compiled
    assert [c.name for c in flow.contenders] == ["native", "eager", "jit", "onnx", "once"]
    for cell in (encoder, flow):
        assert cell.contender("once").note == "runs whole steps only"
        for result in cell.contenders[:-1]:
            assert result.errors is not None and 0.0 < result.errors.max < 1e-5, (cell.name, result)
    sums = sums_of_parts(report)["V"]
    assert [(s.dtype, s.runs_on) for s in sums][:4] == [
        ("float32", ("eager", "native")), *(("float32", (name, name)) for name in ("eager", "jit", "onnx")),
    ]  # fmt: skip
    times = [cell.contender(name).timing for cell, name in ((encoder, "eager"), (flow, "native"))]
    assert [sums[0].encoder, sums[0].flow] == [timing and timing.median for timing in times]
    assert sums[0].encoder_share == pytest.approx(sums[0].encoder / (sums[0].encoder + sums[0].flow))
    text = report_text(report)
    assert "V encoder, float32: " in text and "V encoder, bfloat16" not in text
    assert "V: a chunk, from the medians of its parts" in text
    assert len(report_to_dict(report)["sums"]) == len(sums)


@pytest.mark.parametrize(("load", "busy"), [(0.4, False), (1.9, True)])
def test_a_busy_machine_is_said(monkeypatch, load, busy):
    monkeypatch.setattr(machine.os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda pid: {0, 1})
    report = profile_policy_step(ProfileSettings(["A"], [1], ["float32"], [], budget=0.0))
    assert ("other programs are running" in report_text(report)) == busy


# -- wrong results -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [1e-4, float("nan")])
def test_a_wrong_result_ends_in_an_error_after_the_table(monkeypatch, capsys, tmp_path, error):
    act = NativePolicyStep.act

    def wrong(self, obs, residual=None, noise=None):
        chunk = act(self, obs, residual, noise)
        chunk[-1, -1, -1] += error
        return chunk

    monkeypatch.setattr(NativePolicyStep, "act", wrong)
    path = tmp_path / "profile.json"
    status = run_script(
        monkeypatch, "--shapes", "A", "--batch", "2", "--dtype", "float32", "--rivals", "eager", "--json", str(path)
    )
    captured = capsys.readouterr()
    assert status == 2
    assert captured.err.splitlines() == [
        "error: the native step is wrong beyond the rules in 1 of 1 cells (A float32 batch 2); its times mean nothing."
    ]
    assert next(row for row in table_rows(captured.out) if row[1] == "native")[5] == "BROKEN: max"
    result = json.loads(path.read_text())["cells"][0]["contenders"][0]
    assert result["broken_rules"] == ["max"]
    assert (result["errors"]["max"] is None) == (error != error)


def test_an_inexact_rival_breaks_no_rule(monkeypatch):
    monkeypatch.setitem(contenders.RIVALS, "eager", lambda conditions: _constant_rival())
    report = profile_policy_step(ProfileSettings(["A"], [2], ["float32"], ["eager"], budget=0.0))
    report.check()
    errors = report.cells[0].contender("eager").errors
    assert errors is not None and errors.max > 0.1


def _constant_rival():
    return lambda inputs: lambda: torch.ones_like(inputs.tensors["noise"])


# -- contenders --------------------------------------------------------------------------------------------------------


def test_a_missing_rival_is_a_note(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else find_spec(name))
    report = profile_policy_step(ProfileSettings(["A"], [1], ["float32"], ["onnx"], budget=0.0))
    result = report.cells[0].contender("onnx")
    assert result.timing is None and result.errors is None
    assert result.note.startswith("not installed: pip install") and "onnxruntime" in result.note
    assert result.note in report_text(report)


def test_a_rival_that_fails_is_a_note(monkeypatch):
    def fail(conditions):
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setitem(contenders.RIVALS, "jit", fail)
    report = profile_policy_step(ProfileSettings(["A"], [1], ["float32"], ["jit", "eager"], budget=0.0))
    assert report.cells[0].contender("jit").note == "does not run: first line"
    assert report.cells[0].contender("eager").timing is not None


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["eager", "jit", "onnx", "once", "twice"])
def test_rivals_compute_the_same(name, dtype):
    if name == "onnx":
        pytest.importorskip("onnxruntime")
    report = profile_policy_step(ProfileSettings(["A"], [1, 5], [dtype], [name], budget=0.0))
    for cell in report.cells:
        result = cell.contender(name)
        if (name, dtype) == ("onnx", "bfloat16"):
            assert "no bfloat16 kernels" in result.note
        else:
            assert result.errors is not None
            assert result.errors.max < (1e-5 if dtype == "float32" else 0.2)


def test_a_native_step_without_bfloat16_is_a_note(monkeypatch):
    def only_single(policy, dtype, device="cpu"):
        if dtype != "float32":
            raise contenders.UnavailableError("this build has no bfloat16 step")
        return NativePolicyStep(policy)

    for module in (contenders, profiler):
        monkeypatch.setattr(module, "native_step", only_single)
    report = profile_policy_step(ProfileSettings(["A"], [1], ["float32", "bfloat16"], ["eager"], budget=0.0))
    single, half = report.cells
    assert single.contender("native").timing is not None
    assert half.contender("native").note == "this build has no bfloat16 step"
    assert half.contender("eager").timing is not None
    report.check()


def test_every_contender_has_a_marker_in_the_plot():
    assert set(roofline._RIVAL_MARKERS) == {*contenders.RIVALS, contenders.NATIVE_GRAPH}


# -- trace -------------------------------------------------------------------------------------------------------------


def test_trace_events_by_hand():
    samples = {
        "native": Samples([10.0, 11.0, 12.0, 13.0], [0.4, 0.4, 0.4, 0.4]),
        "eager": Samples([10.5, 11.5, 12.5, 13.5], [0.1, 0.2, 0.3, 0.4]),
    }
    stages = {"encode": 0.1, "block_linear": 0.25, "solver": 0.2}
    events = trace_events([CellResult("A", "float32", 1, samples=samples, stages=stages)])
    calls = [event for event in events if event["ph"] == "X"]
    times = [(e["name"], pytest.approx(e["ts"]), pytest.approx(e["dur"])) for e in calls if e["tid"] == 1]
    assert times == [
        ("eager A float32 batch 1", 1e6 * start, 1e6 * s) for start, s in ((1.5, 0.2), (2.5, 0.3), (3.5, 0.4))
    ]
    native = [event for event in calls if event["tid"] == 0 and event["ts"] < 1.9e6]
    assert [(e["name"], round(e["ts"]), round(e["dur"])) for e in native] == [
        ("native A float32 batch 1", 1_000_000, 400_000),
        ("encode", 1_000_000, 100_000),
        ("block_linear", 1_100_000, 250_000),
        ("solver", 1_350_000, 50_000),  # cut where the call ends
    ]
    assert {e["args"]["name"] for e in events if e["name"] == "thread_name"} == {"native", "eager"}
    assert trace_events([])


# -- wrong input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--shapes", "C"), "unknown shape 'C'; choose among A, B, U, V, task:ID."),
        (("--shapes", ""), "there is no shape to measure"),
        (("--shapes", "A,A"), "a shape is listed twice"),
        (("--shapes", "task:None-Such"), "no base policy of task None-Such"),
        (("--batch", "0"), "the batch size is 0; it must be at least 1."),
        (("--batch", "1,x"), "the batch size 'x' is no whole number"),
        (("--dtype", "float16"), "unknown precision 'float16'"),
        (("--dtype", "tf32"), "tf32 products exist on GPUs only"),
        (
            ("--rivals", "eager,tensorrt"),
            "unknown rival 'tensorrt'; choose among eager, graph, jit, onnx, compile, once, twice.",
        ),
        (("--threads", "0"), "the number of threads is 0"),
        (("--budget", "-1"), "the budget is -1.0 s"),
        (("--steps", "0"), "num_flow_steps must be an integer of at least 1 and of at most 1000, not 0"),
        (("--steps", "2.5"), "the number of steps '2.5' is no whole number"),
        (("--solver", "rk4,rk4"), "a solver is listed twice"),
        (("--solver", "adams"), "solver must be one of euler, midpoint, heun, rk4, not 'adams'"),
        (("--device", "tpu"), "unknown device 'tpu'"),
        (("--device", "meta"), "unknown device 'meta'"),
        (("--json", "/dev/null/x.json"), "--json /dev/null/x.json cannot be written: not a directory"),
        (("--plot", "/"), "--plot / is a folder"),
        (("--json", "x", "--trace", "x"), "x is named for two files"),
    ],
)
def test_bad_input_ends_in_one_sentence(monkeypatch, capsys, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert run_script(monkeypatch, *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ") and message in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu(monkeypatch, capsys):
    assert run_script(monkeypatch, "--device", "cuda") == 2
    assert "finds none; use --device cpu." in capsys.readouterr().err


def test_a_policy_that_ours_does_not_run_is_refused_in_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(contenders, "NativePolicyStep", _refuse)
    assert run_script(monkeypatch, "--shapes", "A", "--batch", "1", "--dtype", "float32", "--rivals", "") == 2
    assert capsys.readouterr().err == "error: the native library is missing.\n"


def _refuse(policy: FlowPolicy, *options: str) -> NativePolicyStep:
    from zprl.utils.errors import ZprlError

    raise ZprlError("the native library is missing.")
