# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Export, evaluation and disturbances of a small trained policy, in the simulator."""

import json

import numpy as np
import pytest
import torch
from tests.commands.conftest import TASK, TASK_SETTINGS, call, finish, spawn

from zprl.deploy.contract import read_contract
from zprl.deploy.golden import read_recording
from zprl.deploy.load import open_bundle

from .conftest import SCRIPTS

pytestmark = pytest.mark.sim

EPISODES = 16


@pytest.fixture(scope="module")
def exported(workshop):
    """Give the bundle of the workshop's policy, and what the script said."""
    argv = ["--task", TASK, "--checkpoint", "latest", "--output", "bundle", "--format", "torchscript", *TASK_SETTINGS]
    outcome = call("export", argv, workshop.folder)
    assert outcome.status == 0, outcome.err
    return workshop.folder / "bundle", outcome


def evaluated(workshop, checkpoint, *extra):
    argv = ["--task", TASK, "--num_envs", "16", "--episodes", str(EPISODES), "--checkpoint", checkpoint]
    outcome = call("evaluate", [*argv, "--json", "r.json", *extra, *TASK_SETTINGS], workshop.folder)
    assert outcome.status == 0, outcome.err
    return json.loads((workshop.folder / "r.json").read_text())


def test_the_contract_knows_the_task(workshop, exported):
    contract = read_contract(exported[0])
    assert contract.task == TASK
    assert contract.policy == "steered"
    terms = {term.name: term for term in contract.state_group.features}
    assert list(terms) == ["joint_pos", "ee_pose", "object_pose", "object_in_ee_frame"]
    assert terms["joint_pos"].elements == [*(f"panda_joint{i}" for i in range(1, 8)), "panda_finger_joint1",
                                           "panda_finger_joint2"]  # fmt: skip
    assert terms["joint_pos"].units == ["rad"] * 7 + ["m"] * 2
    assert terms["ee_pose"].units == ["m"] * 3 + ["1"] * 6
    assert terms["ee_pose"].frame == terms["object_pose"].frame == "root of the robot"
    assert "panda_hand" in str(terms["object_in_ee_frame"].frame)
    action = {dimension.name: dimension for dimension in contract.action}
    assert list(action) == ["dx", "dy", "dz", "rx", "ry", "rz", "gripper"]
    assert (action["dx"].unit, action["dx"].scale) == ("m", 0.04)
    assert (action["rz"].unit, action["rz"].scale) == ("rad", 0.2)
    assert [d.hold for d in contract.action] == [0.0] * 6 + [None]
    joints = {joint.name: joint for joint in contract.joints}
    assert (joints["panda_joint1"].stiffness, joints["panda_joint7"].stiffness) == (2000.0, 600.0)
    assert joints["panda_joint4"].default == pytest.approx(-2.81)
    assert joints["panda_joint4"].low == pytest.approx(-3.0718)
    assert (contract.control.period, contract.control.horizon, contract.control.execute_steps) == (0.05, 8, 4)
    assert contract.observation.range_source == "16 demonstrations and 8 recorded episodes"
    result = workshop.result
    assert contract.latent is not None and contract.latent.residual_scale == pytest.approx(result["residual_scale"])
    assert contract.evaluation is not None
    assert contract.evaluation["steered"] == result["steered"]
    assert contract.provenance.environment_steps == result["environment_steps"]


def test_recorded_episodes_lie_in_the_contracts_ranges_and_are_long_enough(exported):
    recording, contract = read_recording(exported[0] / "golden.npz"), read_contract(exported[0])
    assert recording.num_steps >= 256
    (obs,) = recording.obs.values()
    column = np.concatenate([term.maximum for term in contract.state_group.features])  # type: ignore[arg-type]
    assert (obs <= column.astype(np.float32)).all()
    # What is executed is the chunk, from its beginning, Ta actions at a time.
    for i, step in enumerate(recording.plan_step):
        last = min(step + 4, recording.num_steps)
        same = recording.episode[step:last] == recording.episode[step]
        executed = recording.action[step:last][same]
        np.testing.assert_array_equal(executed, recording.chunk[i][: len(executed)])


def test_a_bundle_succeeds_where_the_python_policy_does(workshop, exported):
    python = evaluated(workshop, "latest")
    torchscript = evaluated(workshop, "bundle", "--format", "torchscript")
    native = evaluated(workshop, "bundle")  # what is no program is the default
    assert (torchscript["backend"], native["backend"]) == ("bundle/torchscript", "bundle/native")
    for key in ("outcomes", "base_outcomes"):
        assert torchscript[key] == python[key]  # bit by bit the same policy
    assert native["outcomes"]["success"] == python["outcomes"]["success"]
    assert native["base_outcomes"] is native["base_success_rate"] is None
    assert python["outcomes"] != python["base_outcomes"], "steering makes no difference"


def test_disturbances_in_the_simulator(workshop, exported):
    names = "observation_delay=3,object_mass,friction,gains,object_push"
    argv = ["--task", TASK, "--bundle", "bundle", "--episodes", "12", "--disturbances", names, "--json", "s.json"]
    argv += ["--format", "torchscript"]
    outcome = call("sim2real", [*argv, "--plot", "s.png", *TASK_SETTINGS], workshop.folder)
    assert outcome.status == 0, outcome.err
    rows = {row["name"]: row for row in json.loads((workshop.folder / "s.json").read_text())["rows"]}
    assert list(rows) == ["none", *names.split(",")]
    plain = evaluated(workshop, "bundle", "--format", "torchscript")
    assert rows["none"]["steered"]["successes"] == sum(plain["outcomes"]["success"][:12])
    # Every disturbance reaches the world or the policy: no trajectory stays the same.
    for name, row in rows.items():
        same = [row[k]["velocity"] == rows["none"][k]["velocity"] for k in ("base", "steered")]
        assert all(same) if name == "none" else not all(same), name
    assert (workshop.folder / "s.png").read_bytes().startswith(b"\x89PNG")

    # The same in two waves: an episode's disturbance depends on its own seed alone.
    argv = ["--task", TASK, "--bundle", "bundle", "--episodes", "12", "--num_envs", "7", "--json", "t.json"]
    argv += ["--format", "torchscript"]
    outcome = call("sim2real", [*argv, "--disturbances", "object_mass,object_push", *TASK_SETTINGS], workshop.folder)
    assert outcome.status == 0, outcome.err
    for row in json.loads((workshop.folder / "t.json").read_text())["rows"]:
        for policy in ("base", "steered"):
            here, there = row[policy], rows[row["name"]][policy]
            assert here["successes"] == there["successes"], row["name"]
            assert here["velocity"] == there["velocity"], row["name"]


@pytest.mark.parametrize(
    ("script", "argv", "words"),
    [
        ("export", ["--checkpoint", "latest", "--output", "bundle"], "not empty"),
        ("export", ["--checkpoint", "missing.safetensors", "--output", "b"], "missing.safetensors"),
        ("export", ["--checkpoint", "latest", "--output", "b", "--format", "tflite"], "'tflite' is unknown"),
        ("export", ["--checkpoint", "latest", "--output", "b", "policy.initial_noise=sampled"], "initial noise"),
        ("evaluate", ["--checkpoint", "latest", "--format", "onnx"], "--format chooses a file of a bundle"),
        ("evaluate", ["--checkpoint", "bundle", "--format", "onnx"], "has no format onnx"),
        ("evaluate", ["--checkpoint", "bundle", "env.decimation=2"], "control period"),
        ("sim2real", ["--bundle", "missing"], "there is no bundle missing"),
        ("sim2real", ["--bundle", "bundle", "--disturbances", "wind"], "'wind' is unknown"),
        ("sim2real", ["--bundle", "bundle", "--json", "."], "--json ."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_mistakes_are_refused_in_one_line(workshop, exported, script, argv, words):
    outcome = call(script, ["--task", TASK, *argv], workshop.folder)
    assert outcome.status == 2, outcome.err
    (line,) = outcome.error_lines
    assert line.startswith("error: ")
    assert words in line
    assert not (workshop.folder / "b").exists()


def test_a_killed_export_leaves_no_bundle(workshop, exported, tmp_path):
    output = tmp_path / "place" / "bundle"
    argv = ["--task", TASK, "--checkpoint", "latest", "--output", output, "--format", "torchscript", *TASK_SETTINGS]
    process = spawn([SCRIPTS / "export.py", *argv], workshop.folder)
    try:
        while not list(output.parent.glob(".bundle.*")) and process.poll() is None:
            pass
        process.kill()
    finally:
        finish(process)
    assert not output.exists()


def test_randomised_physics_is_drawn_at_every_reset_and_trains(workshop):
    from tests.sim.mujoco.conftest import lift_environment

    with lift_environment(num_envs=8, overrides=["presets=randomize_train"]) as env:
        cube, robot = env.scene["object"].data, env.scene["robot"].data
        env.reset(seed=0)
        first = cube.body_mass.torch.clone().flatten(), robot.joint_stiffness.torch.clone()[:, :7]
        env.reset()
        second = cube.body_mass.torch.clone().flatten(), robot.joint_stiffness.torch.clone()[:, :7]
        for before, after, nominal, low, high in zip(
            first, second, (0.1, torch.tensor([2000.0] * 4 + [600.0] * 3)), (0.33, 0.67), (3.0, 1.5), strict=True
        ):
            assert not torch.isclose(before, after).any()
            for values in (before / nominal, after / nominal):
                assert float(values.min()) >= low - 1e-4
                assert float(values.max()) <= high + 1e-4
            assert len(before.unique()) > 6
        with torch.inference_mode():
            env.step(torch.zeros(8, 7))
        assert torch.isfinite(cube.root_pos_w.torch).all()

    argv = ["--task", TASK, "--num_envs", "16", "--base", str(workshop.base), "--max_iterations", "1"]
    small = [*TASK_SETTINGS, "agent.num_steps_per_env=5", "agent.save_interval=1", "agent.evaluation.interval=1",
             "agent.evaluation.episodes=16"]  # fmt: skip
    outcome = call("train", [*argv, "presets=randomize_heavy", *small], workshop.folder)
    assert outcome.status == 0, outcome.err


def test_a_bundle_opens_without_the_simulator(exported):
    bundle = open_bundle(exported[0])
    assert bundle.act(torch.zeros(2, 30)).shape == (2, 8, 7)
