# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

import pytest

from zprl.study.planning import Budget, common_budget, schedule

PPO, SAC = 10_240, 2_048
"""Environment steps of an iteration with 256 worlds."""


def test_learners_of_different_iterations_meet_at_the_same_marks():
    budget = common_budget(500_000, 10, [PPO, SAC])
    assert budget.env_steps == 49 * PPO  # the first whole iteration of both at or above 500,000
    assert budget.spacing == 5 * PPO
    assert budget.marks == [*range(51_200, 500_000, 51_200), 501_760]
    for per_iteration, interval in ((PPO, 5), (SAC, 25)):
        plan = schedule(budget, per_iteration, interval)
        assert plan.max_iterations * per_iteration == budget.env_steps
        assert plan.evaluation_interval * per_iteration == budget.spacing
        ends = {i for i in range(1, plan.max_iterations + 1) if i % plan.evaluation_interval == 0}
        assert sorted(i * per_iteration for i in ends | {plan.max_iterations}) == budget.marks


def test_iterations_that_are_no_multiples_of_each_other():
    assert common_budget(100, 2, [6, 4]) == Budget(108, 48)  # lcm 12; 9 units, 4 between two evaluations
    assert common_budget(1, 10, [6, 4]) == Budget(12, 12)


@pytest.mark.parametrize(
    ("interval", "default", "expected"),
    [(10, 10, 10), (5, 10, 5), (20, 10, 10), (11, 10, 11), (26, 10, 13), (25, 50, 25)],
)
def test_checkpoints_divide_the_evaluations_and_stay_close_to_the_default(interval, default, expected):
    plan = schedule(Budget(interval * 7 * PPO, interval * PPO), PPO, default)
    assert plan.save_interval == expected
    assert plan.num_segments == 7 * interval // expected
    assert plan.overrides() == [f"agent.evaluation.interval={interval}", f"agent.save_interval={expected}"]
