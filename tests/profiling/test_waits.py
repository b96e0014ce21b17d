# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Counting where the host waits for a GPU, on a timeline made by hand and on a real trace of a CPU."""

import json

import pytest
import torch
from tests.fakes import CountingSteering, ScriptedEnv

from zprl.envs.chunked_env import ChunkedVecEnv
from zprl.profiling.waits import Range, count_waits, is_wait, trace_rollout


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cudaStreamSynchronize", True),
        ("cudaDeviceSynchronize", True),
        ("cudaEventSynchronize", True),
        ("cuCtxSynchronize", True),
        ("cudaMemcpy", True),
        ("cudaMemcpyAsync", False),
        ("cudaLaunchKernel", False),
        ("cudaStreamWaitEvent", False),
        ("aten::item", False),
    ],
)
def test_what_waits(name, expected):
    assert is_wait(name) == expected


def test_waits_are_counted_where_they_are():
    wait = "cudaStreamSynchronize"
    events = [
        Range(wait, 1, 2),  # before the first chunk
        Range("zprl.chunk", 10, 100),
        Range("zprl.policy", 11, 30),
        Range("cudaLaunchKernel", 12, 13),
        Range("zprl.simulation", 31, 80),
        *(Range(wait, 40 + i, 40.5 + i) for i in range(3)),
        Range(wait, 81, 82),
        Range("zprl.policy", 83, 90),
        Range(wait, 84, 85),
        Range(wait, 99, 101),  # ends after the chunk
    ]
    expected = {"zprl.policy": 1, "zprl.simulation": 3, "between them": 1}
    assert count_waits(events) == count_waits(reversed(events)) == expected
    assert count_waits([]) == dict.fromkeys(expected, 0)


def test_a_rollout_on_the_cpu_is_traced_and_waits_for_nothing(tmp_path):
    env = ChunkedVecEnv(ScriptedEnv(), CountingSteering(), ["policy"], 0.99)
    waits = trace_rollout(env, chunks=3, path=tmp_path / "trace.json")
    assert waits == {"zprl.policy": 0, "zprl.simulation": 0, "between them": 0}
    names = [event.get("name") for event in json.loads((tmp_path / "trace.json").read_text())["traceEvents"]]
    assert [names.count(name) for name in ("zprl.chunk", "zprl.simulation", "zprl.policy")] == [3, 3, 6]
    assert torch.is_inference_mode_enabled() is False
