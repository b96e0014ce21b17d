# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What the profiler does on a GPU, as far as it can be checked without one."""

from types import SimpleNamespace

import pytest
import torch

from zprl.profiling import contenders, cuda
from zprl.profiling.accuracy import Errors, quantised_copy
from zprl.profiling.machine import Limits
from zprl.profiling.parts import random_inputs
from zprl.profiling.profiler import DRAM_BYTES, CellResult, ContenderResult, ProfileReport, ProfileSettings, ShapeFacts
from zprl.profiling.report import figures, report_text, report_to_dict
from zprl.profiling.shapes import count_work, make_shape
from zprl.profiling.timing import Timing


def test_inputs_take_turns():
    log = []
    call = cuda.rotating([lambda: log.append("a") or 1, lambda: log.append("b") or 2, lambda: log.append("c") or 3])
    assert [call() for _ in range(7)] == [1, 2, 3, 1, 2, 3, 1]
    assert "".join(log) == "abcabca"


@pytest.mark.parametrize(
    ("set_bytes", "cache_bytes", "expected"),
    [
        (10 * 2**20, 50 * 2**20, 10),  # twice the cache
        (11 * 2**20, 50 * 2**20, 10),  # whole sets
        (200 * 2**20, 50 * 2**20, 2),
        (1000, 50 * 2**20, 64),
        (0, 0, 2),
    ],
)
def test_number_of_input_sets(set_bytes, cache_bytes, expected):
    assert cuda.num_input_sets(set_bytes, cache_bytes) == expected


def test_matmul_precision_is_that_of_the_cell_and_restored():
    before = torch.get_float32_matmul_precision()
    with cuda.matmul_precision("tf32"):
        assert torch.get_float32_matmul_precision() == "high"
        with cuda.matmul_precision("float32"):
            assert torch.get_float32_matmul_precision() == "highest"
    assert torch.get_float32_matmul_precision() == before


def test_the_clock_is_the_devices_and_starts_on_an_idle_one(monkeypatch):
    log = []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            log.append("record")

        def synchronize(self):
            log.append("wait for event")

        def elapsed_time(self, end):
            return 3.0

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: log.append("wait for device"))
    _, seconds = cuda.event_clock("cuda")(lambda: log.append("call"))
    assert seconds == pytest.approx(3e-3)
    assert log == ["wait for device", "record", "call", "record", "wait for event"]


def test_rules_of_tf32():
    assert Errors(4.9e-3, 0.9e-3, 1.0).broken_rules("tf32") == []
    assert Errors(1.1e-2, 1.1e-3, 0.0).broken_rules("tf32") == ["rms", "max"]
    policy = make_shape("A").policy
    for value, other in zip(policy.parameters(), quantised_copy(policy, "tf32").parameters(), strict=True):
        assert torch.equal(value, other)  # the truth has the weights as they are: rounding operands is part of tf32


def test_compulsory_bytes_count_every_weight_once():
    policy = make_shape("A").policy
    work = count_work(policy)
    weights = work.encode_macs + work.condition_macs + work.core_macs
    vectors = work.core_vectors + work.once_vectors
    assert work.compulsory_bytes(1, "float32") == 4 * (weights + vectors + work.io_values)
    assert work.compulsory_bytes(9, "bfloat16") == 2 * weights + 4 * (vectors + 9 * work.io_values)


def test_figures_and_table_of_a_gpu():
    """100 Tflop/s and 1000 GB/s: a batch of 1 is bound by the memory, one of 10,000 by the arithmetic."""
    work = count_work(make_shape("A").policy)
    limits = Limits(gflops={"tf32": 100_000.0}, gbytes={DRAM_BYTES: 1000.0})
    machine = {"cpu": "C", "cores": 1, "threads": 1, "cpu_flags": {"avx512_bf16": False}, "cpu_level": None}
    machine |= {"gpu": "G 100", "versions": {}, "kernels": ["tile: sm_90, 168 registers"]}
    settings = ProfileSettings(("A",), (1, 10_000), ("tf32",), ("graph",), device="cuda")
    report = ProfileReport(settings, machine, limits, [ShapeFacts("A", work, "euler", 10)])
    for batch in settings.batches:
        ours = ContenderResult("native", description="cluster: 1 x 8 blocks", timing=Timing(1e-3, 1e-3, 2e-3, 20))
        graph = ContenderResult("native_graph", timing=Timing(0.5e-3, 0.4e-3, 1e-3, 20))
        ours.errors = graph.errors = Errors(1e-3, 1e-4, 1e-9)
        report.cells.append(CellResult("A", "tf32", batch, [ours, graph, ContenderResult("graph", "does not run")]))
    report.check()
    one, many = ([figures(report, cell, result) for result in cell.contenders] for cell in report.cells)
    assert one[0].percent_of_roof == pytest.approx(100 * work.compulsory_bytes(1, "tf32") / 1e12 / 1e-3)
    assert many[0].percent_of_roof == pytest.approx(100 * work.flops(10_000) / 1e14 / 1e-3)
    assert many[1].percent_of_roof == pytest.approx(2 * 100 * work.flops(10_000) / 1e14 / 1e-3)
    assert (one[0].time_over_native, one[1].time_over_native) == (1.0, 0.5)
    assert one[0].percent_of_stream is None and one[2].percent_of_roof is None
    text = report_text(report)
    assert "168 registers" in text and "cluster: 1 x 8 blocks" in text
    columns = [name.strip() for name in next(line for line in text.splitlines() if "runs on" in line).split("|")]
    assert "roof" in columns and "stream" not in columns
    contender = report_to_dict(report)["cells"][1]["contenders"][0]
    assert contender["description"] == "cluster: 1 x 8 blocks"
    assert contender["percent_of_roof"] == many[0].percent_of_roof

    report.cells[0].contenders[1].note = "does not run: out of order"
    with pytest.raises(Exception, match=r"in 1 cells \(first: A tf32 batch 1: does not run: out of order\)"):
        report.check()


def test_cuda_graphs_are_not_a_rival_on_the_cpu():
    policy = make_shape("A").policy
    conditions = contenders.Conditions(policy, random_inputs(policy, 2, 0), "float32", "cpu", 1)
    with pytest.raises(contenders.UnavailableError, match="need a GPU"):
        contenders.build("graph", conditions)
    assert contenders.Conditions(policy, conditions.example, "tf32", "cuda:0", 1).torch_dtype == torch.float32


def test_kernel_lines_say_why_there_are_none(monkeypatch):
    def refuse(blob):
        raise ValueError("zprl: this build has no CUDA kernels.\nmore")

    monkeypatch.setattr(cuda, "load_torch_library", lambda: None)
    monkeypatch.setattr(torch, "ops", SimpleNamespace(zprl=SimpleNamespace(cuda_kernels=refuse)))
    monkeypatch.setattr(torch, "zeros", lambda *size, **options: None)
    assert cuda.kernel_lines("cuda") == ["native kernels: zprl: this build has no CUDA kernels."]
