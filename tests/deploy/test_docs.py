# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The programs in docs/deploy.md run as they are printed."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.builds import find_compiler

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
    program, _ = blocks("cpp")
    for line in program.splitlines():
        assert line.strip() in built


@pytest.mark.skipif(find_compiler() is None, reason="there is no C++ compiler")
def test_the_cpp_program_with_cameras_compiles(tmp_path):
    include, _, body = blocks("cpp")[1].partition("\n\n")
    given = "std::vector<Camera>& camera, std::vector<float>& obs, std::vector<float>& action"
    source = tmp_path / "program.cpp"
    source.write_text(
        f"{include}\n#include <zprl/chunk_controller.h>\n#include <vector>\n"
        "struct Camera { const void* newest_frame(); };\n"
        f"zprl::Status run(const zprl::Bundle& bundle, zprl::ControllerOptions options, {given}) {{\n"
        f"const zprl::Contract& contract = bundle.contract();\n{body}return status;\n}}\n"
    )
    (tmp_path / "zprl").symlink_to(ROOT / "csrc" / "runtime")
    check = [str(find_compiler()), "-std=c++17", "-fsyntax-only", "-Wall", "-Werror", "-I", str(tmp_path), str(source)]
    result = subprocess.run(check, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
