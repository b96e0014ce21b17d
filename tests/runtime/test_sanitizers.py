# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The runtime under AddressSanitizer and UndefinedBehaviorSanitizer; see csrc/tests/runtime_check.cpp."""

import pytest
from tests.builds import run

pytestmark = pytest.mark.slow

DAMAGED_BUNDLES = 2_000


def assert_clean(result):
    assert result.returncode == 0, f"exit status {result.returncode}\n{result.stdout}\n{result.stderr[:6000]}"
    assert result.stderr == ""


@pytest.mark.parametrize("part", ["controller", "faults", "readers"])
def test_checks(sanitized_check, part):
    assert_clean(run(sanitized_check, part))


def test_the_loop(sanitized_check, intact_bundle):
    assert_clean(run(sanitized_check, "allocations", intact_bundle))


def test_damaged_bundles(sanitized_check, intact_bundle, tmp_path):
    """Each ends in one sentence, or runs."""
    result = run(sanitized_check, "fuzz", intact_bundle, tmp_path, "1", str(DAMAGED_BUNDLES))
    assert_clean(result)
    refused, ran = (int(result.stdout.split(word)[0].split()[-1]) for word in (" refused", " run\n"))
    assert refused + ran == DAMAGED_BUNDLES
    assert min(refused, ran) > DAMAGED_BUNDLES // 50  # both ends were reached
