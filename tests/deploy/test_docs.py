# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The programs in docs/deploy.md run as they are printed."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from zprl.deploy.contract import read_contract
from zprl.deploy.load import open_bundle

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "deploy.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


class Robot:
    """A robot that measures the middle of every term's range, for five control steps."""

    def __init__(self, contract):
        self.contract, self.steps, self.commands = contract, 0, []

    def running(self):
        self.steps += 1
        return self.steps <= 5

    def measure(self):
        return {term.name: torch.tensor([term.mean]) for term in self.contract.state_group.features}

    def command(self, action):
        self.commands.append(np.asarray(action))

    def warn(self, status):
        raise AssertionError(status.flags)


@pytest.fixture
def robot(bundle, tmp_path, monkeypatch):
    (tmp_path / "lift_bundle").symlink_to(bundle[0])
    monkeypatch.chdir(tmp_path)
    return Robot(read_contract(bundle[0]))


def expected(bundle, robot):
    loaded = open_bundle(bundle[0], "native")
    return loaded.act(loaded.observe(**robot.measure()))[0].numpy()


def test_the_loaded_policy(bundle, robot):
    (program,) = [block for block in blocks("python") if "open_bundle" in block]
    names = {"robot": robot}
    exec(program, names)
    np.testing.assert_allclose(names["chunk"][0], expected(bundle, robot), atol=1e-5)  # type: ignore[index]


def test_the_control_loop(bundle, robot):
    (program,) = [block for block in blocks("python") if "ChunkController" in block]
    exec(program, {"robot": robot})
    assert len(robot.commands) == 5
    scale = np.array([dimension.scale for dimension in robot.contract.action])
    np.testing.assert_allclose(robot.commands[0], scale * expected(bundle, robot)[0], atol=1e-5)


def test_onnx_runtime(bundle, robot):
    (program,) = [block for block in blocks("python") if "onnxruntime" in block]
    exec(program, {"robot": robot})
    np.testing.assert_allclose(robot.commands, expected(bundle, robot)[:2], atol=1e-5)


def test_the_cpp_program_is_the_one_that_is_built_and_run():
    built = [line.strip() for line in (ROOT / "tests/runtime/consumer/main.cpp").read_text().splitlines()]
    (program,) = blocks("cpp")
    for line in program.splitlines():
        assert line.strip() in built
