# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The controller's Python twin: the same code as in C++, whose sequences csrc/tests/runtime_check.cpp checks."""

import json
import math
import time

import numpy as np
import pytest
from tests.runtime.support import EXECUTE, HORIZON, OBS, seal

from zprl.deploy.controller import ChunkController, ControllerCfg
from zprl.utils.errors import ZprlError

pytest.importorskip("zprl._core", reason="the native libraries are not built")


def unlimited(**settings):
    """Settings without limits on observations, on changes of the action and on time."""
    return ControllerCfg(**{"range_margin": math.inf, "rate_margin": math.inf, "stale_steps": math.inf, **settings})


def test_it_acts_as_recorded(intact_bundle, recording):
    controller = ChunkController(intact_bundle, unlimited())
    assert (controller.period, controller.obs_dim, controller.action_dim) == (0.02, OBS, 3)
    planned = []
    for step, obs in enumerate(recording["obs"]):
        if step == 0 or recording["episode"][step] != recording["episode"][step - 1]:
            controller.reset()
        action, status = controller.step(obs)
        np.testing.assert_allclose(action, recording["action"][step], atol=1e-5)
        if "planned" in status.flags:
            planned.append(step)
            assert status.chunk_index == 0
    assert planned == recording["plan_step"].tolist()


def test_distances_of_the_latent(intact_bundle, recording, models):
    controller = ChunkController(intact_bundle, unlimited())
    mean, std = recording["latent"].mean(0), recording["latent"].std(0)
    obs = recording["obs"][0]
    _, status = controller.step(obs)
    expected = np.sqrt(np.mean(((models[2](obs)[1] - mean) / std) ** 2))
    assert status.latent_distance == pytest.approx(expected, rel=1e-4)
    assert status.decoded_distance != pytest.approx(expected, rel=1e-3)


def test_blending(intact_bundle, models):
    controller = ChunkController(intact_bundle, unlimited(blend_steps=3))
    first, second = np.full(OBS, 0.2, np.float32), np.full(OBS, -0.4, np.float32)
    old, new = models[2](first)[0], models[2](second)[0]
    for step in range(EXECUTE):
        np.testing.assert_allclose(controller.step(first)[0], old[step], atol=1e-5)
    for k, weight in enumerate((0.25, 0.5, 0.75)):
        action, status = controller.step(second)
        assert "blending" in status.flags
        np.testing.assert_allclose(action, (1 - weight) * old[EXECUTE + k] + weight * new[k], atol=1e-5)
    np.testing.assert_allclose(controller.step(second)[0], new[3], atol=1e-5)


def test_a_hold_keeps_the_gripper(intact_bundle, recording):
    controller = ChunkController(intact_bundle, unlimited(on_not_finite="hold"))
    obs = recording["obs"][0].copy()
    last, _ = controller.step(obs)
    obs[3] = np.nan
    action, status = controller.step(obs)
    assert status.flags == ["holding", "observation_not_finite"]
    assert (status.observation_index, status.chunk_index) == (3, -1)
    assert action.tolist() == [0.0, 0.25, last[2]]


def test_out_of_range_holds_by_default(intact_bundle, recording):
    controller = ChunkController(intact_bundle, ControllerCfg(stale_steps=math.inf))
    obs = recording["obs"][0].copy()
    assert controller.step(obs)[1].flags == ["planned"]
    low, high = recording["obs"].min(0)[5], recording["obs"].max(0)[5]
    obs[5] = high + 0.5 * (high - low) + 0.02
    _, status = controller.step(obs)
    assert status.flags == ["holding", "observation_out_of_range"]
    assert status.observation_index == 5
    obs[5] -= 0.02
    assert controller.step(obs)[1].flags == ["planned"]


def test_asynchronous_planning(intact_bundle, models):
    controller = ChunkController(intact_bundle, unlimited(asynchronous=True, lead_steps=2))
    obs = np.zeros(OBS, np.float32)
    chunk = models[2](obs)[0]

    def step():
        result = controller.step(obs)
        deadline = time.monotonic() + 20.0
        while controller.planning and time.monotonic() < deadline:
            time.sleep(0.001)
        return result

    assert step()[1].flags == ["holding", "no_command"]
    indices = []
    for _ in range(14):
        action, status = step()
        indices.append(status.chunk_index)
        np.testing.assert_allclose(action, chunk[status.chunk_index], atol=1e-5)
    assert indices == [1, 2, 3, 4, 5, 2, 3, 4, 5, 2, 3, 4, 5, 2]
    assert controller.last_error == ""


def change_actions(bundle, **changes):
    contract = json.loads((bundle / "contract.json").read_text())
    for dimension in contract["action"]:
        dimension.update(changes)
    seal(bundle, contract)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_never_moved_in_training_leaves_a_hold_within_20_steps(bundle, recording, asynchronous):
    change_actions(bundle, max_change=1e-4, low=None, high=None, hold=5.0)
    settings = {"asynchronous": asynchronous, "execute_steps": 1, "on_not_finite": "hold"}
    limited = ChunkController(bundle, unlimited(rate_margin=2.0, **settings))
    free = ChunkController(bundle, unlimited(**settings))

    def run(controller, obs, steps):
        for _ in range(steps):
            action, status = controller.step(obs)
            while controller.planning:
                time.sleep(0.001)
        return action, status.flags

    for obs in (recording["obs"][0], np.full(OBS, np.nan, np.float32), recording["obs"][0]):
        wanted, _ = run(free, obs, 2)
        # Planning on a thread holds for a step more.
        action, flags = run(limited, obs, 10)
        assert "rate_limited" in flags
        assert np.abs(action - wanted).min() > 1.0
        action, flags = run(limited, obs, 11 if asynchronous else 10)
        assert "rate_limited" not in flags
        np.testing.assert_array_equal(action, wanted)


def test_the_limit_on_the_change_crosses_the_range_of_an_action_in_20_steps(bundle, recording):
    """However little it moved in training: outside of a hold as well."""
    change_actions(bundle, max_change=1e-4, low=-4.0, high=4.0)
    controller = ChunkController(bundle, unlimited(rate_margin=2.0, on_not_finite="hold"))
    controller.reset(np.full(3, 4.0, np.float32))
    controller.step(np.full(OBS, np.nan, np.float32))
    before, _ = controller.step(recording["obs"][0])
    after, status = controller.step(recording["obs"][0])
    assert "rate_limited" in status.flags
    assert np.abs(after - before).max() == pytest.approx(8.0 / 20, rel=1e-5)


def test_the_last_action_outlives_a_reset(intact_bundle, recording):
    controller = ChunkController(intact_bundle, unlimited(on_not_finite="hold"))
    last, _ = controller.step(recording["obs"][0])
    controller.reset()
    missing = np.full(OBS, np.nan, np.float32)
    assert controller.step(missing)[0].tolist() == [0.0, 0.25, last[2]]
    controller.reset(np.array([0.5, 0.5, -1.0], np.float32))
    assert controller.step(missing)[0].tolist() == [0.0, 0.25, -1.0]
    with pytest.raises(ZprlError, match=r"last_action must have the shape \(3\)"):
        controller.reset(np.zeros(2, np.float32))


def test_a_gripper_of_which_nothing_is_known_is_not_commanded(intact_bundle):
    controller = ChunkController(intact_bundle, unlimited(asynchronous=True))
    action, status = controller.step(np.zeros(OBS, np.float32))
    assert status.flags == ["holding", "no_command"]
    np.testing.assert_array_equal(action, np.array([0.0, 0.25, np.nan], np.float32))


def test_a_stall_of_the_loop_holds(intact_bundle, recording):
    controller = ChunkController(intact_bundle, unlimited(stale_steps=50.0))  # 1 s
    obs = recording["obs"][0]
    last, _ = controller.step(obs)
    assert controller.step(obs)[1].flags == []
    time.sleep(1.05)
    action, status = controller.step(obs)
    assert status.flags == ["holding", "stale"]
    assert action[:2].tolist() == [0.0, 0.25]
    action, status = controller.step(obs)
    assert status.flags == ["planned"]
    np.testing.assert_array_equal(action, last)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"execute_steps": HORIZON + 1}, "execute_steps is 9; choose 0 to 8"),
        ({"blend_steps": -1}, "blend_steps is -1; choose 0 to 4"),
        ({"asynchronous": True, "lead_steps": 5}, "lead_steps is 5; choose 0 to 4"),
        ({"stale_steps": 0.0}, "stale_steps must be 1 or more"),
        ({"on_not_finite": "panic"}, "on_not_finite is 'panic'; choose report, continue, hold or stop"),
    ],
)
def test_settings_that_do_not_fit(intact_bundle, settings, message):
    with pytest.raises(ZprlError, match=message):
        ChunkController(intact_bundle, ControllerCfg(**settings))


def test_a_bundle_that_is_none(tmp_path):
    with pytest.raises(ZprlError, match="the contract of the bundle, cannot be read"):
        ChunkController(tmp_path)


@pytest.mark.parametrize(
    ("obs", "message"),
    [
        (np.zeros(OBS), "obs must have the dtype float32"),
        (np.zeros(OBS + 1, np.float32), r"obs must have the shape \(6\)"),
        (np.zeros((1, OBS), np.float32), r"obs must have the shape \(6\)"),
    ],
)
def test_observations_that_do_not_fit(intact_bundle, obs, message):
    with pytest.raises(ZprlError, match=message):
        ChunkController(intact_bundle).step(obs)
