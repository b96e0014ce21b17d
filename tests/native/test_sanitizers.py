# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The checks of core, learner and ray caster, under AddressSanitizer and UndefinedBehaviorSanitizer where they run.

See csrc/tests/core_check.cpp, learner_check.cpp and render_check.cpp there.
"""

import pytest
from tests.builds import build_check, run

_core = pytest.importorskip("zprl._core", reason="the native libraries are not built")

pytestmark = pytest.mark.slow

DAMAGED_BLOBS = 10_000


@pytest.fixture(scope="session")
def core_check(tmp_path_factory):
    """The check program, built with the sanitizers where they run."""
    return build_check(tmp_path_factory, "core_check")


def assert_clean(result):
    assert result.returncode == 0, f"exit status {result.returncode}\n{result.stdout}\n{result.stderr[:6000]}"
    assert result.stderr == ""


@pytest.mark.parametrize("level", _core.cpu_levels())
def test_odd_shapes(core_check, level):
    """Bounds, finite results, rows that do not depend on their batch, and a reference in double precision."""
    result = run(core_check, ZPRL_CPU=level)
    assert_clean(result)
    assert result.stdout.startswith(f"core_check: {level}: ")


@pytest.mark.parametrize("level", _core.cpu_levels()[-1:])
def test_damaged_blobs(core_check, level):
    result = run(core_check, "fuzz", "1", str(DAMAGED_BLOBS), ZPRL_CPU=level)
    assert_clean(result)
    assert f"{DAMAGED_BLOBS} damaged blobs" in result.stdout


def test_an_unknown_instruction_set_ends_in_a_sentence(core_check):
    result = run(core_check, ZPRL_CPU="abacus")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "ZPRL_CPU is 'abacus'" in result.stderr


@pytest.mark.parametrize("level", [level for level in _core.cpu_levels() if level in ("portable", "avx2", "avx512")])
def test_gradient_steps(tmp_path_factory, level):
    """Bounds, finite results, and the same bits on any number of threads; tests/rl/test_native.py has the numbers."""
    result = run(build_check(tmp_path_factory, "learner_check"), ZPRL_CPU=level)
    assert_clean(result)
    assert result.stdout.startswith(f"learner_check: {level}: ")


@pytest.mark.parametrize("level", [level for level in _core.cpu_levels() if level in ("portable", "avx2", "avx512")])
def test_images(tmp_path_factory, level):
    """Bounds, no memory taken twice, and the same bits on any number of threads, for poses that may be anything."""
    result = run(build_check(tmp_path_factory, "render_check"), ZPRL_CPU=level)
    assert_clean(result)
    assert result.stdout.startswith(f"render_check: {level}: ")
