# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Builds of the runtime, and bundles."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.runtime.support import SANITIZERS, SCALE, build, make_contract, make_models, record, run, seal


@pytest.fixture(scope="session")
def release(tmp_path_factory):
    """The runtime, its programs and its tests, as a robot would build them, but compiled faster."""
    options = {"CMAKE_BUILD_TYPE": "Quick", "CMAKE_CXX_FLAGS_QUICK": "-O1"}
    return build(tmp_path_factory.mktemp("runtime"), **options)


@pytest.fixture(scope="session")
def zprl_run(release):
    return release / "csrc" / "runtime" / "zprl_run"


@pytest.fixture(scope="session")
def sanitized_check(tmp_path_factory):
    """The test program of the runtime, built with the sanitizers."""
    folder = tmp_path_factory.mktemp("sanitized")
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    # A compiler can know the option without having the library, and a container can forbid what the library does.
    (folder / "probe.cpp").write_text("int main() { return 0; }\n")
    flags = (f"-fsanitize={SANITIZERS}", folder / "probe.cpp", "-o", folder / "probe")
    if compiler is None or run(compiler, *flags).returncode != 0 or run(folder / "probe").returncode != 0:
        pytest.skip(f"{compiler} has no runtime library for -fsanitize={SANITIZERS}, or it does not run here")
    options = {"CMAKE_BUILD_TYPE": "Sanitize", "CMAKE_CXX_FLAGS_SANITIZE": "-O1", "ZPRL_SANITIZE": SANITIZERS}
    return build(folder / "build", "runtime_check", **options) / "runtime_check"


@pytest.fixture(scope="session")
def models():
    return make_models()


@pytest.fixture(scope="session")
def recording(models):
    return record(models[2])


@pytest.fixture(scope="session")
def intact_bundle(tmp_path_factory, models, recording):
    """A bundle that no test changes."""
    from zprl.policy.native import PackedActor, pack_policy

    policy, actor, _ = models
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "policy.zprl").write_bytes(
        pack_policy(policy, actor=PackedActor.from_model(actor, SCALE)).numpy().tobytes()
    )
    np.savez(folder / "golden.npz", **recording)
    seal(folder, make_contract(policy, recording))
    return folder


@pytest.fixture
def bundle(intact_bundle, tmp_path):
    """A copy to damage."""
    return Path(shutil.copytree(intact_bundle, tmp_path / "bundle"))
