# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The runtime's own checks, under AddressSanitizer and UndefinedBehaviorSanitizer where they run.

See csrc/tests/runtime_check.cpp.
"""

import pytest
from tests.builds import run

pytestmark = pytest.mark.slow


def assert_clean(result):
    assert result.returncode == 0, f"exit status {result.returncode}\n{result.stdout}\n{result.stderr[:6000]}"
    assert result.stderr == ""


@pytest.mark.parametrize("part", ["controller", "faults", "readers"])
def test_checks(runtime_check, part):
    result = run(runtime_check, part)
    assert_clean(result)
    assert result.stdout == f"runtime_check: {part}: ok\n"


@pytest.mark.parametrize("kind", ["intact_bundle", "visual_bundle"])
def test_the_loop_does_not_allocate(runtime_check, kind, request):
    result = run(runtime_check, "allocations", request.getfixturevalue(kind))
    assert_clean(result)
    assert "no allocations in 10000 steps" in result.stdout


@pytest.mark.parametrize(("kind", "count"), [("intact_bundle", 2000), ("visual_bundle", 60)])
def test_damaged_bundles(runtime_check, kind, count, request, tmp_path):
    """Each ends in one sentence, or runs."""
    result = run(runtime_check, "fuzz", request.getfixturevalue(kind), tmp_path, "1", str(count))
    assert_clean(result)
    refused, ran = (int(result.stdout.split(word)[0].split()[-1]) for word in (" refused", " run\n"))
    assert refused + ran == count
    assert min(refused, ran) > count // 50  # both ends were reached
