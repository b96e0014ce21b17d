# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A small study by its script, from the runs' processes to the report."""

import itertools
import json
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from tests.checkpoints import make_policy
from tests.study.test_report import write_run

from zprl.policies import save_policy
from zprl.runs import paths
from zprl.runs.base_policy import dataset_path
from zprl.runs.session import TaskSession
from zprl.sim.isaaclab import tasks_of_suite
from zprl.study.grid import Run, method_variants
from zprl.study.options import StudyOptions
from zprl.study.planning import PlannedVariant, Schedule
from zprl.study.study import _training

from .conftest import NUM_ENVS, SETTINGS, STEPS_PER_ITERATION, TASK, call, files_below

pytestmark = pytest.mark.sim

OTHER = "Zprl-Can-Franka"

STUDY_SETTINGS = [text for text in SETTINGS if not text.startswith("agent.save_interval=")]


def study(folder, *extra, settings=STUDY_SETTINGS, tasks=("--task", TASK)):
    argv = [*tasks, "--num_envs", NUM_ENVS, "--jobs", 2, "--output", "report", *extra, *settings]
    return call("study", list(map(str, argv)), folder)


@pytest.mark.slow
def test_a_study_from_its_runs_to_its_report(workshop, tmp_path):
    workshop.stock(tmp_path)
    options = ["--methods", "zprl", "--algos", "ppo", "--seeds", "0,1", "--evaluations", 2]
    options += ["--budget", 3 * STEPS_PER_ITERATION + 1]
    outcome = study(tmp_path, *options)
    assert outcome.status == 0, outcome.err
    assert "base policy of" not in outcome.out  # the one of the settings was there
    folder = tmp_path / "logs" / "studies" / TASK / "methods"
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["pinned"]["budget"] == 4 * STEPS_PER_ITERATION
    assert report["pinned"]["evaluated at"] == [2 * STEPS_PER_ITERATION, 4 * STEPS_PER_ITERATION]
    (variant,) = report["results"]
    for run in variant["runs"]:
        run_dir = folder / f"zprl_ppo_seed{run['seed']}"
        result = json.loads((run_dir / "result.json").read_text())
        assert (result["seed"], result["environment_steps"]) == (run["seed"], 4 * STEPS_PER_ITERATION)
        assert run["rates"][-1] == result["steered"]["rate"]
        assert [path.name for path in run_dir.glob("model_*.safetensors")] == ["model_4.safetensors"]
    # Seed 0 is the run that train.py does by itself, but for the evaluation on the way.
    assert variant["runs"][0]["final"]["rate"] == workshop.result["steered"]["rate"]
    assert [run["residual_scale"] for run in report["latent"]["zprl_ppo"]] == [workshop.result["residual_scale"]] * 2
    for name in ("curves.png", "latent_shift.png", "latent_maps.png"):
        assert (tmp_path / "report" / name).read_bytes().startswith(b"\x89PNG")

    before = files_below(folder).keys()
    again = study(tmp_path, *options)
    assert again.status == 0, again.err
    assert "finished" not in again.out
    assert files_below(folder).keys() == before
    other = study(tmp_path, *options[:-1], 9 * STEPS_PER_ITERATION)
    assert other.status == 2
    assert "was begun with" in other.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ([], ["--methods", "--ablation"]),
        (["--methods", "zprl", "--ablation", "lambda"], ["one of them"]),
        (["--methods", "zprl,nosie"], ["'nosie'", "noise"]),
        (["--ablation", "gamma"], ["'gamma'", "lambda"]),
        (["--ablation", "z_dim", "--base", "base.safetensors"], ["z_dim", "drop --base"]),
        (["--methods", "zprl", "--values", "1,2"], ["--values"]),
        (["--methods", "zprl", "--seeds", "1,1"], ["--seeds"]),
        (["--methods", "zprl", "--name", "../escaped"], ["--name", "'../escaped'", "without slashes"]),
        (["--methods", "zprl", "agent.save_interval=5"], ["agent.save_interval", "--evaluations"]),
        (["--methods", "zprl", "agent.steering.nope=5"], ["agent.steering.nope"]),
        (["--methods", "zprl", "--report_only"], ["study.json", "does not exist"]),
    ],
)
def test_a_wrong_study_is_refused_in_one_sentence(tmp_path, extra, words):
    outcome = study(tmp_path, *extra, settings=[])
    assert outcome.status == 2, outcome.err
    (line,) = outcome.error_lines
    assert all(word in line for word in words), line
    assert files_below(tmp_path) == {}


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ([], ["one of the three", "--suite"]),
        (["--task", TASK, "--suite", "one_arm"], ["one of the three"]),
        (["--task", TASK, "--tasks", f"{TASK},{OTHER}"], ["one of the three"]),
        (["--suite", "three_arms"], ["no suite 'three_arms'", "one_arm"]),
        (["--tasks", f"{TASK},Zprl-Lift-Frank"], ["no task 'Zprl-Lift-Frank'", f"did you mean {TASK}"]),
        (["--tasks", f"{TASK},{OTHER},{TASK}"], [f"names {TASK} twice"]),
        (["--tasks", f"{TASK},{OTHER}", "--base", "base.safetensors"], ["--base", "is of one task", "drop it"]),
        (["--suite", "one_arm", "--dataset_file", "demos.hdf5"], ["--dataset_file", "and the study of 6"]),
        (["--task", TASK, "--launcher_options", "timeout_min=5"], ["--launcher local has no option 'timeout_min'"]),
    ],
)
def test_wrong_tasks_and_launchers_are_refused_in_one_sentence(tmp_path, tasks, words):
    outcome = study(tmp_path, "--methods", "zprl", settings=[], tasks=tasks)
    assert outcome.status == 2, outcome.err
    (line,) = outcome.error_lines
    assert all(word in line for word in words), line
    assert files_below(tmp_path) == {}


def test_every_task_says_which_suites_it_belongs_to():
    tasks = ["Lift", "Can", "Square", "PushWall", "BoxClose", "PlaceOrange"]
    assert tasks_of_suite("one_arm") == sorted(f"Zprl-{task}-Franka" for task in tasks)
    assert tasks_of_suite("two_arms") == [f"Zprl-{task}-DualFranka" for task in ("InsertBills", "OpenBox", "Transport")]
    assert {"Zprl-FlipEgg-Franka", "Zprl-PlaceOrange-Franka"} <= set(tasks_of_suite("real_twins"))


class MakeBelieve:
    """A launcher whose jobs leave what is asked of them at once, until the study is interrupted."""

    num_parallel = 1
    threads = 3

    def __init__(self, interrupt_after=100):
        self.commands, self._left = [], interrupt_after

    def start(self, job, locks):
        command = list(job.prepare())
        given = {name: value for name, value in itertools.pairwise(command) if name.startswith("--")}
        overrides = [word for word in command if word.startswith(("env.", "agent."))]
        if "train" in command and self._left == 0:
            raise KeyboardInterrupt
        self.commands.append((command[command.index("zprl") + 1], given, overrides))
        if "pretrain" in command:
            session = TaskSession(given["--task"], overrides=overrides)
            dataset = dataset_path(session)
            dataset.parent.mkdir(parents=True)
            dataset.write_text(given["--task"])
            base = paths.base_policy_path(session.task, session.agent_cfg, dataset)
            save_policy(base, make_policy(), {"dataset": str(dataset)})
        else:
            run_dir = Path(given["--run_dir"])
            marks = json.loads((run_dir.parent / "study.json").read_text())["pinned"]["evaluated at"]
            write_run(run_dir, int(given["--seed"]), 7, 9, steps=marks)
            self._left -= 1

    def poll(self, handle):
        return 0

    def stop(self, handles):
        pass


@pytest.fixture
def several(tmp_path, monkeypatch):
    """Give a function that begins or continues a study of two tasks whose work is only made believe."""
    monkeypatch.setattr("zprl.study.study.analyse_runs", lambda manifest, folder: None)

    def run(launcher, *extra, tasks=("--tasks", f"{TASK},{OTHER}")):
        monkeypatch.setattr("zprl.study.study.make_launcher", lambda *arguments: launcher)
        options = ["--methods", "zprl", "--algos", "ppo", "--seeds", "0,1", "--evaluations", 2, "--budget", 640, *extra]
        outcome = study(tmp_path, *options, settings=["agent.num_steps_per_env=5"], tasks=tasks)
        return outcome, [(name, given["--task"], given.get("--seed")) for name, given, _ in launcher.commands]

    return run


def test_a_study_takes_its_tasks_in_turn_and_goes_on_with_the_rest(several, tmp_path):
    begun = MakeBelieve(interrupt_after=3)
    outcome, did = several(begun)
    assert outcome.status == 130, outcome.err
    assert did[:2] == [("pretrain", TASK, None), ("pretrain", OTHER, None)]
    assert did[2:] == [("train", TASK, "0"), ("train", OTHER, "0"), ("train", TASK, "1")]
    bases = {given["--task"]: given["--base"] for _, given, _ in begun.commands[2:]}
    assert all(f"base_policy/{task}/" in base for task, base in bases.items()), "each task has its own"
    iterations = {given["--max_iterations"] for _, given, _ in begun.commands[2:]}
    assert iterations == {"2"}, "the same environment steps on every task"
    assert all("env.sim.physics.solver_cfg.threads=3" in overrides for _, _, overrides in begun.commands[2:])

    outcome, did = several(MakeBelieve())
    assert (outcome.status, did) == (0, [("train", OTHER, "1")]), outcome.err
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["tasks"] == [TASK, OTHER] and report["missing"] == {}
    assert report["summary"][0]["num_runs"] == {TASK: 2, OTHER: 2}
    assert report["summary"][0]["final_success"]["mean"] == pytest.approx(0.9)

    # The study of one of the tasks is the same one, and reads what is there.
    alone, did = several(MakeBelieve(), "--seeds", "0,1,2", tasks=("--task", OTHER))
    assert (alone.status, did) == (0, [("train", OTHER, "2")]), alone.err
    assert json.loads((tmp_path / "report" / "report.json").read_text())["pinned"]["task"] == OTHER

    for folder in (TASK, OTHER):  # a summary over different budgets would compare nothing
        path = tmp_path / "logs" / "studies" / folder / "methods" / "study.json"
        values = json.loads(path.read_text())
        values["pinned"]["budget"] += folder == OTHER
        path.write_text(json.dumps(values))
    outcome, _ = several(MakeBelieve(), "--report_only")
    assert (outcome.status, len(outcome.error_lines)) == (2, 1)
    assert f"{TASK} and {OTHER} differ in budget" in outcome.error_lines[0]


def test_a_run_is_prepared_where_it_starts_without_the_libraries_of_the_learner(tmp_path):
    """What waits for a run on another machine is small, and sees the checkpoint that is there by then."""
    cloudpickle = pytest.importorskip("cloudpickle")
    (variant,), _ = method_variants(["zprl"], ["ppo"])
    session = mock.Mock(task=TASK, physics="newton_mjwarp")
    plan = PlannedVariant(variant, session, ("agent.x=1",), STEPS_PER_ITERATION, Schedule(8, 4, 2))
    run = Run(variant, 3)
    job = _training(run, plan, Path("base.safetensors"), StudyOptions(task=TASK), tmp_path, 1)
    code = (
        "import json, pickle, sys; command = pickle.load(sys.stdin.buffer)();"
        "print(json.dumps([command, 'torch' in sys.modules]))"
    )

    def prepared():
        done = subprocess.run([sys.executable, "-c", code], input=cloudpickle.dumps(job.prepare), capture_output=True)
        command, loads_torch = json.loads(done.stdout)
        assert not loads_torch
        return command

    assert prepared()[-4:] == ["--run_dir", str(tmp_path / run.name), "--base", "base.safetensors"]
    (tmp_path / run.name).mkdir()
    for iteration in (2, 10):
        (tmp_path / run.name / f"model_{iteration}.safetensors").touch()
    assert prepared()[-2:] == ["--checkpoint", str(tmp_path / run.name / "model_10.safetensors")]
