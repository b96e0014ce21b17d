# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Builds of the runtime, and bundles."""

import shutil
from pathlib import Path
from unittest import mock

import pytest
from tests.builds import build, build_check, shared_folder
from tests.runtime.support import SCALE, make_models, record, write_bundle


@pytest.fixture(scope="session")
def release(tmp_path_factory):
    """The runtime and its program, as a robot would build them, but compiled faster."""
    # One instruction set is enough here: tests/native runs all of them.
    options = {"CMAKE_BUILD_TYPE": "Quick", "CMAKE_CXX_FLAGS_QUICK": "-O1", "ZPRL_AVX512": "OFF"}
    with shared_folder(tmp_path_factory, "runtime") as folder:
        return build(folder / "build", **options)


@pytest.fixture(scope="session")
def zprl_run(release):
    return release / "csrc" / "runtime" / "zprl_run"


@pytest.fixture(scope="session")
def runtime_check(tmp_path_factory):
    """The test program of the runtime, built with the sanitizers where they run."""
    return build_check(tmp_path_factory, "runtime_check")


@pytest.fixture(scope="session")
def models():
    return make_models()


@pytest.fixture(scope="session")
def recording(models):
    return record(models[2])


@pytest.fixture(scope="session")
def intact_bundle(tmp_path_factory, models, recording):
    """A bundle that no test changes."""
    from zprl.rl.actor import pack_actor

    policy, actor, _ = models
    folder = tmp_path_factory.mktemp("bundle")
    write_bundle(folder, policy, pack_actor(actor, SCALE), recording)
    return folder


@pytest.fixture(scope="session")
def visual_bundle(tmp_path_factory):
    """A bundle of a policy of two state groups, a camera, and one that measures depth, over two steps.

    It lacks the process, of seconds, that verifies it.
    """
    from tests.deploy.camera_toy import DEPTH_SPEC, DepthToyEnv, make_source

    from zprl.deploy import bundle, fidelity

    folder = tmp_path_factory.mktemp("visual")
    with (
        mock.patch.object(fidelity, "measure_in_fresh_process", return_value=[]),
        mock.patch.object(bundle, "RANDOM_CASES", 8),
    ):
        bundle.export_policy(DepthToyEnv(), make_source(folder, spec=DEPTH_SPEC), folder / "bundle", ["portable"])
    return folder / "bundle"


@pytest.fixture
def bundle(intact_bundle, tmp_path):
    """A copy to damage."""
    return Path(shutil.copytree(intact_bundle, tmp_path / "bundle"))
