# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The benchmarks' own environments: their numbers are the benchmark's, and commands run there without Isaac Lab."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

import zprl.tasks  # noqa: F401 - registers the tasks
from zprl.data import load_demonstrations
from zprl.runs.session import TaskSession
from zprl.utils.errors import ZprlError, run_cli

TASKS = ("Zprl-Bench-AdroitDoor", "Zprl-Bench-AdroitHammer", "Zprl-Bench-AdroitPen")
METAWORLD_TASKS = {"Zprl-Bench-BoxClose": "box-close", "Zprl-Bench-PushWall": "push-wall"}
PROGRAM = Path(__file__).with_name("benchmark_program.py")

installed = pytest.mark.skipif(
    importlib.util.find_spec("gymnasium_robotics") is None, reason="the extra 'benchmarks' is not installed"
)


metaworld_installed = pytest.mark.skipif(
    importlib.util.find_spec("metaworld") is None, reason="MetaWorld, of the extra 'benchmarks', is not installed"
)


def plain(task):
    """Return the benchmark's environment as it is."""
    import gymnasium_robotics

    gymnasium.register_envs(gymnasium_robotics)
    name = task.removeprefix("Zprl-Bench-Adroit")
    return gymnasium.make(f"AdroitHand{name}-v1", reward_type="sparse", disable_env_checker=True)


@installed
@pytest.mark.parametrize("task", TASKS)
def test_worlds_are_the_benchmarks_step_by_step(task):
    """Bit for bit over an episode and into the next one, though its experts look on."""
    session = TaskSession(task, num_envs=2, overrides=["env.workers=1"])
    assert session.env_cfg.max_episode_length == 200
    low = np.random.default_rng(0).uniform(-1.2, 1.2, (203, 2, 28)).astype(np.float32)
    with session.environment() as env:
        theirs, size = plain(task), env.spec.action_dim
        # 10 ms, five steps of 2 ms.
        assert env.spec.step_dt == pytest.approx(theirs.unwrapped.dt) == 0.01  # type: ignore[attr-defined]
        seen = [env.reset_to([5, 6])["policy"][1].numpy().copy()]
        steps = []
        for action in low[:, :, :size]:
            env.env.call("seen_by_expert")  # type: ignore[attr-defined]
            steps.append(env.step(torch.from_numpy(action)))
            seen.append(steps[-1].observations["policy"][1].numpy().copy())
        obs, _ = theirs.reset(seed=6)
        assert (seen[0] == obs.astype(np.float32)).all()
        for number, (action, step) in enumerate(zip(low[:, 1, :size], steps, strict=True), start=1):
            obs, reward, terminated, truncated, _ = theirs.step(action)
            assert step.reward[1].item() == pytest.approx(float(reward) / 1000)
            ends = bool(step.terminated[1]), bool(step.truncated[1])
            assert ends == (terminated, truncated) == (False, number == 200)
            if truncated:
                assert step.final_observations is not None
                assert (step.final_observations["policy"][1].numpy() == obs.astype(np.float32)).all()
                obs, _ = theirs.reset()
            assert (seen[number] == obs.astype(np.float32)).all()


@metaworld_installed
@pytest.mark.parametrize("task", METAWORLD_TASKS)
def test_worlds_are_metaworlds_step_by_step_whatever_was_before(task):
    """Bit for bit, under its script, until its success, which ends an episode; beside a world that is begun anew."""
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE  # type: ignore[import-not-found]

    theirs = ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE[f"{METAWORLD_TASKS[task]}-v3-goal-observable"](seed=3)  # type: ignore[call-arg]
    theirs._freeze_rand_vec, theirs.seeded_rand_vec = False, True
    theirs.seed(6)
    obs, _ = theirs.reset()
    session = TaskSession(task, num_envs=2, overrides=["env.workers=1"])
    with session.environment() as env:
        # Five steps of 2.5 ms.
        assert env.spec.step_dt == pytest.approx(theirs.dt) == 0.0125
        seen = env.reset_to([5, 6])["policy"][1].clone()
        success, steps = False, 0
        while not success:
            assert (seen.numpy() == obs.astype(np.float32)).all()
            action = env.env.call("scripted_action")[1]  # type: ignore[attr-defined]
            obs, _, _, _, info = theirs.step(action)
            step = env.step(torch.from_numpy(np.stack([np.zeros(4, dtype=np.float32), action])))
            seen, success, steps = step.observations["policy"][1].clone(), bool(info["success"]), steps + 1
            assert (bool(step.success[1]), bool(step.terminated[1]), bool(step.truncated[1])) == (
                success,
                success,
                False,
            )
            assert step.reward[1].item() == float(success)
            assert steps < 250  # MetaWorld's script succeeds before
        assert steps > 40
        assert step.final_observations is not None
        assert (step.final_observations["policy"][1].numpy() == obs.astype(np.float32)).all()


class Goals(gymnasium.Env):
    """Is at its goal in the steps that it is told."""

    def __init__(self, steps):
        self.observation_space = gymnasium.spaces.Box(-1, 1, (3,))
        self.action_space = gymnasium.spaces.Box(-1, 1, (1,))
        self.steps = steps

    def reset(self, *, seed=None, options=None):
        """Begin."""
        self.time = 0
        return np.zeros(3, dtype=np.float32), {}

    def step(self, action):
        """Go on."""
        self.time += 1
        return np.full(3, 0.1 * self.time, dtype=np.float32), 4.0, False, False, {"success": self.time in self.steps}


def test_success_is_counted_over_the_episode_and_stays():
    """The benchmark's authors count "more than 25" of the steps, in a row or not."""
    from zprl.tasks.benchmarks.world import NamedWorld

    world = NamedWorld(Goals({2, 3, 5}), {"a": 2, "b": 1}, steps_at_goal=3, reward_scale=0.5)
    for _ in range(2):
        world.reset()
        answers = [world.step(np.zeros(1, dtype=np.float32)) for _ in range(7)]
        assert [answer[4]["success"] for answer in answers] == [False] * 4 + [True] * 3
        assert [answer[1] for answer in answers] == [2.0] * 7
        assert [answer[2] for answer in answers] == [False] * 7
        assert answers[1][0]["policy"]["b"] == pytest.approx([0.2])


@installed
def test_what_an_expert_commands_is_where_the_actuators_of_the_benchmark_go():
    """The ends of our ranges are those of the joints, up to rounding; the arm's commands count 2.5 times as much."""
    from zprl.tasks.benchmarks.config.adroit.worlds import make_world, translated
    from zprl.tasks.robots.assets.adroit_joints import HAND_RANGES

    world = make_world("door", "sparse", 0.001, 26)
    model = world.unwrapped.model  # type: ignore[attr-defined]
    centre, half = world.unwrapped.act_mean, world.unwrapped.act_rng  # type: ignore[attr-defined]
    joints = ["ARTz", "ARRx", "ARRy", "ARRz", *HAND_RANGES]
    for limit in (0, 1):
        action = np.full(28, 2.0 * limit - 1.0)
        controls = centre + half * translated(action, world.translation())
        for name in joints:
            joint, actuator = model.joint(name), model.actuator(f"A_{name}")
            target = controls[actuator.id] * (2.5 if name.startswith("AR") else 1.0)
            assert target == pytest.approx(joint.range[limit], abs=0.05), name
    np.testing.assert_allclose(centre + half * np.array(world.idle_action), 0.0, atol=1e-9)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run every command on the door, without Isaac Lab."""
    folder = tmp_path_factory.mktemp("benchmark")
    done = subprocess.run(
        [sys.executable, str(PROGRAM), TASKS[0], str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=800,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@installed
def test_no_command_needs_isaac_lab(run):
    assert json.loads((run / "found.json").read_text())["simulators"] == []
    assert (run / "bundle" / "contract.json").is_file()


@installed
def test_the_expert_opens_the_benchmarks_doors(run):
    demos = load_demonstrations(run / "demos.hdf5")
    assert demos.num_successes >= 3  # 93 %
    assert [len(episode.actions) for episode in demos.episodes] == [200] * 4
    assert all(episode.dones.tolist() == [False] * 199 + [True] for episode in demos.episodes)
    for episode in demos.episodes:  # 0.01 for a step at the goal, -0.0001 for any other
        at_goal = (episode.rewards.sum() + 200 * 0.0001) / 0.0101
        assert at_goal == pytest.approx(round(at_goal), abs=0.01)
        assert (round(at_goal) > 25) == episode.success


@pytest.mark.parametrize(("task", "package"), [(TASKS[0], "gymnasium_robotics"), ("Zprl-Bench-PushWall", "metaworld")])
def test_without_the_extra_a_command_names_it(task, package, monkeypatch, capsys):
    from zprl.commands.cli import find_command

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == package else found(name, *rest)
    )
    with pytest.raises(SystemExit) as end:
        run_cli(lambda: find_command("train")(["--task", task]))
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        f"error: task {task} needs the package {package}, which is not installed; install this project's extra "
        "'benchmarks'.\n"
    )


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("physics=mujoco", r"^'physics=mujoco' chooses among presets of Isaac Lab's, .*; drop it\.$"),
        ("env.reward=shaped", r"env\.reward must be one of sparse, dense, not 'shaped'\.$"),
        ("env.scene.num_envs=0", r"env\.scene\.num_envs must be an integer of at least 1"),
        ("env.worker=2", r"env has no option 'worker' \(did you mean workers or reward\?\)\.$"),
    ],
)
@installed
def test_a_wrong_setting_is_refused_in_a_sentence(override, words):
    with pytest.raises(ZprlError, match=words) as error:
        TaskSession(TASKS[0], overrides=[override])
    assert "\n" not in str(error.value)


@installed
def test_what_needs_a_scene_of_isaac_lab_says_so():
    session = TaskSession(TASKS[2])
    with pytest.raises(ZprlError, match="looks into a scene of Isaac Lab's"), session.isaaclab_environment():
        pass


@pytest.mark.sim
def test_they_are_listed_and_are_a_suite(monkeypatch):
    from zprl.sim.isaaclab import list_tasks, tasks_of_suite

    assert tasks_of_suite("benchmarks") == sorted([*TASKS, *METAWORLD_TASKS])
    table = list_tasks("Bench")
    for task in TASKS:
        assert any(task in line and "2 s at 100 Hz" in line for line in table.splitlines())
    assert any("Zprl-Bench-PushWall" in line and "6.25 s at 80 Hz" in line for line in table.splitlines())
