# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The comparison of physics engines measures what it says."""

import pytest

from zprl.profiling.physics import EngineRates, benchmark_physics, benchmark_table
from zprl.utils.errors import ZprlError

pytestmark = pytest.mark.sim


def test_table_shows_medians_and_ratios_to_the_last():
    fast = EngineRates("mujoco:2", [900.0, 1000.0, 5000.0], [0.003, 0.001, 0.002], [300.0, 310.0, 290.0])
    slow = EngineRates("newton_mjwarp", [400.0, 100.0, 500.0], [0.02, 0.03, 0.04], [100.0, 90.0, 200.0])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in benchmark_table([fast, slow]).splitlines()]
    assert ["mujoco:2", "1,000", "2.50", "2.0", "300", "3.00"] in rows
    assert ["newton_mjwarp", "400", "1.00", "30.0", "100", "1.00"] in rows


def test_engines_take_turns():
    lines = []
    results = benchmark_physics(
        "Zprl-Lift-Franka", ["mujoco:2", "mujoco:1"], num_envs=4, rounds=2, num_steps=5, report=lines.append
    )
    assert [line.split(":")[0] + line.split(":")[1][0] for line in lines] == [
        f"round {i} of 2, mujoco{n}" for i in (1, 2) for n in (2, 1)
    ]
    for result in results:
        assert len(result.bare) == len(result.physics) == 2 and not result.training
        # The physics is a part of the whole step, and 4 worlds take one call of it.
        for bare, physics in zip(result.bare, result.physics, strict=True):
            assert 0 < physics < 4 / bare


@pytest.mark.parametrize("engine", ["newton_mjwarp:2", "mujoco:two"])
def test_wrong_engine(engine):
    with pytest.raises(ZprlError, match=f"'{engine}' is no engine to measure"):
        benchmark_physics("Zprl-Lift-Franka", [engine], num_envs=4)
