# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Training from the command line: its files, its numbers, and that an interruption changes none of them."""

import json
import math
import os
import shutil
import signal
import time

import pytest
import torch
import yaml

from zprl.rl.checkpoint import load_checkpoint
from zprl.rl.checkpoint_files import checkpoints
from zprl.rl.runner import KIND, VERSION, SteeringRunner
from zprl.runs import find
from zprl.utils.errors import ZprlError
from zprl.utils.files import checksum
from zprl.utils.outputs import LOCK, exclusive
from zprl.utils.tensor_files import load_tensors, save_tensors

from .conftest import (
    EXPERIMENT,
    NUM_ENVS,
    SCRIPTS,
    STEPS_PER_ITERATION,
    TASK,
    TASK_SETTINGS,
    arguments,
    call,
    files_below,
    finish,
    spawn,
)

pytestmark = pytest.mark.sim

WALL_CLOCK = {
    *("tot_time", "collection_seconds", "update_seconds", "evaluation_seconds", "total_seconds", "timers"),
    *("minutes", "evaluation_minutes"),
}
"""Entries of a checkpoint and of a result that a clock decides."""

EVALUATIONS = {"evaluation_steps", "evaluation_successes", "evaluation_episodes"}

RESULT_KEYS = {
    "task", "checkpoint", "episodes", "seed", "success_rate", "success_ci95", "base_success_rate",
    "base_success_ci95", "mean_steps", "base_mean_steps", "env_steps_trained", "velocity", "acceleration", "jerk",
    "joint_jerk", "base_velocity", "base_acceleration", "base_jerk", "base_joint_jerk", "comparison", "backend",
    "device", "physics", "initial_noise", "outcomes", "base_outcomes",
}  # fmt: skip

# Runs a script, but is killed when the second checkpoint is written and half of it has reached the disk.
KILLED_IN_THE_MIDDLE = """
import os, runpy, signal, sys
replace = os.replace
def die(source, target):
    if str(target).endswith("model_4.safetensors"):
        os.truncate(source, os.path.getsize(source) // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
os.replace = die
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def differences(a, b, ignored=WALL_CLOCK, where=""):
    """Return where two nested structures of tensors and plain values differ, to the last bit."""
    if isinstance(a, dict) and isinstance(b, dict):
        lacking = [f"{where}/{key}" for key in set(a) ^ set(b)]
        both = [key for key in a if key in b and key not in ignored]
        return lacking + [line for key in both for line in differences(a[key], b[key], ignored, f"{where}/{key}")]
    if isinstance(a, list | tuple) and isinstance(b, list | tuple) and len(a) == len(b):
        pairs = enumerate(zip(a, b, strict=True))
        return [line for i, (x, y) in pairs for line in differences(x, y, ignored, f"{where}/{i}")]
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return [] if a.dtype == b.dtype and torch.equal(a, b) else [where]
    return [] if type(a) is type(b) and a == b else [where]


def only_run(folder):
    (run,) = (folder / EXPERIMENT).glob("*")
    return run


def load(path):
    return load_tensors(path, KIND, "checkpoint", VERSION)


def test_run_folder(workshop):
    run = workshop.folder / workshop.run
    names = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    (events,) = (name for name in names if name.startswith("events.out.tfevents."))
    # rsl_rl adds the state of the repository that it is installed below, if there is one.
    names = {name for name in names if not name.startswith("git/")}
    assert names - {events} == {
        "run.json",
        "params/env.yaml",
        "params/agent.yaml",
        "base/base_policy.safetensors",
        "model_2.safetensors",
        "model_4.safetensors",
        "learning_curve.png",
        "result.json",
    }
    manifest = json.loads((run / "run.json").read_text())
    assert (manifest["task"], manifest["num_envs"], manifest["seed"]) == (TASK, NUM_ENVS, 0)
    assert (manifest["library"], manifest["device"], manifest["physics"]) == ("rsl_rl", "cpu", "mujoco")
    assert (run / "learning_curve.png").read_bytes().startswith(b"\x89PNG")

    def settings(name):
        return yaml.load((run / "params" / name).read_text(), yaml.UnsafeLoader)

    assert settings("agent.yaml")["pretrain"]["num_steps"] == 600
    assert settings("env.yaml")["terminations"]["success"]["params"]["minimal_height"] == 0.05


def test_scalars_are_over_environment_steps(workshop):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(workshop.folder / workshop.run))
    events.Reload()
    (text,) = events.Tensors("Run/text_summary")
    assert text.tensor_proto.string_val[0].decode() == "policy step on native, physics mujoco, device cpu"
    tags = events.Tags()["scalars"]
    assert {"Loss/value", "Steering/lambda", "Evaluation/success_rate", "Perf/total_fps"} <= set(tags)
    iterations = [STEPS_PER_ITERATION * i for i in (1, 2, 3, 4)]
    assert [event.step for event in events.Scalars("Loss/value")] == iterations
    assert all(event.step in iterations for tag in tags for event in events.Scalars(tag))
    (evaluation,) = events.Scalars("Evaluation/success_rate")
    assert evaluation.step == iterations[-1]
    assert evaluation.value == pytest.approx(workshop.result["steered"]["rate"])


def test_result(workshop):
    result = workshop.result
    assert result["environment_steps"] == 4 * STEPS_PER_ITERATION
    assert result["seed"] == 0
    assert result["residual_scale"] == pytest.approx(0.8 * result["latent_rms"])
    assert 0 < result["base"]["successes"] < NUM_ENVS, "the small setting should make the base policy fail at times"
    assert result["history"]["evaluation_successes"] == [result["steered"]["successes"]]
    assert result["history"]["evaluation_steps"] == [4 * STEPS_PER_ITERATION]
    assert sum(result["time_split"].values()) == pytest.approx(1.0)
    checkpoint = load_checkpoint(workshop.folder / workshop.run / "model_2.safetensors")
    assert checkpoint.env_steps == 2 * STEPS_PER_ITERATION
    assert checkpoint.content["iter"] == 2
    # rsl_rl counts a chunk as one step.
    assert checkpoint.content["infos"]["logger"]["tot_timesteps"] == 2 * STEPS_PER_ITERATION // 4


def test_checkpoints_hold_what_training_changed(workshop):
    first, second = (load(workshop.folder / workshop.run / f"model_{i}.safetensors") for i in (2, 4))
    changed = differences(first, second)
    assert any(name.startswith("/actor_state_dict/mlp") for name in changed)
    assert any(name.startswith("/actor_state_dict/obs_normalizer") for name in changed)
    assert any(name.startswith("/optimizer_state_dict") for name in changed)
    assert not any(name.startswith("/infos/base") for name in changed), "the base policy is frozen"
    kept = workshop.folder / workshop.run / "base" / "base_policy.safetensors"
    assert first["infos"]["base"]["sha256"] == checksum(kept) == checksum(workshop.folder / workshop.base)


def test_evaluate_agrees_with_the_training(workshop):
    """The latest checkpoint, the same one by its path, and the base policy alone, on the training's initial states."""
    folder, trained = workshop.folder, workshop.result
    results = {}
    for name, extra in (
        ("latest", ["--checkpoint", "latest"]),
        ("path", ["--checkpoint", workshop.run / "model_4.safetensors"]),
        ("base", ["--checkpoint", "base"]),
    ):
        argv = arguments("evaluate", *extra, "--episodes", NUM_ENVS, "--json", f"{name}.json", settings=TASK_SETTINGS)
        outcome = call("evaluate", argv, folder)
        assert outcome.status == 0, outcome.err
        results[name] = json.loads((folder / f"{name}.json").read_text())
        assert set(results[name]) == RESULT_KEYS
    assert results["path"] == results["latest"]
    latest, base = results["latest"], results["base"]
    assert latest["checkpoint"] == str(workshop.run / "model_4.safetensors")
    assert latest["task"] == TASK
    assert (latest["episodes"], latest["seed"]) == (NUM_ENVS, 100000)
    assert latest["env_steps_trained"] == 4 * STEPS_PER_ITERATION
    for prefix, summary in (("", trained["steered"]), ("base_", trained["base"])):
        assert latest[f"{prefix}success_rate"] == summary["rate"]
        assert latest[f"{prefix}success_ci95"] == [summary["low"], summary["high"]]
        for name in ("mean_steps", "velocity", "acceleration", "jerk", "joint_jerk"):
            assert latest[f"{prefix}{name}"] == summary[name]
    assert latest["comparison"] == trained["comparison"]
    assert latest["success_rate"] == sum(latest["outcomes"]["success"]) / NUM_ENVS
    # Without a checkpoint both halves are the base policy.
    assert base["checkpoint"] == str(workshop.base)
    assert base["env_steps_trained"] == 0
    assert base["comparison"] is None
    assert base["outcomes"] == base["base_outcomes"] == latest["base_outcomes"]
    assert base["jerk"] == base["base_jerk"] == latest["base_jerk"]


def test_a_rollout_is_traced(workshop, tmp_path):
    argv = ["--task", TASK, "--num_envs", "4", "--chunks", "2", "--trace", str(tmp_path / "new" / "trace.json")]
    outcome = call("trace_rollout", argv, workshop.folder)
    assert outcome.status == 0, outcome.err
    waits = "waits for the GPU in 2 chunks (8 environment steps): policy 0, simulation 0, between them 0"
    assert outcome.out.splitlines()[-2:] == ["policy step on native, mujoco, cpu", waits]
    names = [event.get("name") for event in json.loads((tmp_path / "new" / "trace.json").read_text())["traceEvents"]]
    assert [names.count(name) for name in ("zprl.chunk", "zprl.simulation", "zprl.policy")] == [2, 2, 4]


def test_a_training_is_profiled_part_by_part(workshop, tmp_path):
    argv = arguments("profile_training", "--iterations", 1, "--trace", tmp_path / "trace.json")
    outcome = call("profile_training", argv, workshop.folder)
    assert outcome.status == 0, outcome.err
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in outcome.out.splitlines() if line.startswith("|")
    ]
    own = [float(row[4]) for row in rows[1:] if row[4]]
    assert sum(own) == pytest.approx(float(rows[-1][2]), abs=0.01 * len(own))
    assert own[-1] < 0.1 * sum(own), "what the parts leave out is little"
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    calls = {name: sum(event["name"] == name for event in events) for name in ("MuJoCo", "environment", "policy step")}
    assert calls == {"MuJoCo": 20, "environment": 20, "policy step": 5}
    named = {event["name"] for event in events}
    assert {"learner's update", "action arm_action", "observation ee_pose", "termination success", "resets"} <= named


def test_evaluation_keeps_the_settings_of_the_checkpoint(workshop, tmp_path):
    """A checkpoint that steers more strongly, in longer chunks, is evaluated so without being told."""
    content = load(workshop.folder / workshop.run / "model_4.safetensors")
    content["infos"]["settings"]["agent"]["steering"]["scale"] = 0.1
    content["infos"]["settings"]["inference"]["execute_steps"] = 8
    content["infos"]["settings"]["inference"]["initial_noise"] = "sampled"
    save_tensors(tmp_path / "model_4.safetensors", content, KIND, VERSION)
    shutil.copytree(workshop.folder / workshop.run / "base", tmp_path / "base")
    options = ("--checkpoint", "model_4.safetensors", "--episodes", 2, "--json", "result.json")
    argv = arguments("evaluate", *options, settings=TASK_SETTINGS)
    with pytest.MonkeyPatch.context() as patch:
        made, load_policies = [], find.load_policies
        patch.setattr(find, "load_policies", lambda *args: made.append(load_policies(*args)) or made[-1])
        assert call("evaluate", argv, tmp_path).status == 0
        assert call("evaluate", [*argv, "policy.execute_steps=2"], tmp_path).status == 0
    told_nothing, told = made
    assert told_nothing.steering.residual_scale == pytest.approx(0.1 * workshop.result["latent_rms"])
    assert told_nothing.base_policy.execute_steps == 8
    assert told_nothing.base_policy.initial_noise == "sampled"
    assert told.base_policy.execute_steps == 2
    assert told.base_policy.initial_noise == "sampled"


def test_kill_during_a_checkpoint_write_costs_nothing_but_time(workshop, tmp_path):
    """A killed run leaves its last complete checkpoint; another process continues it to the same end, bit for bit."""
    workshop.stock(tmp_path)
    argv = arguments("train", "--max_iterations", 4)
    killed = finish(spawn(["-c", KILLED_IN_THE_MIDDLE, SCRIPTS / "train.py", *argv], tmp_path))
    assert killed.status == -signal.SIGKILL, killed.err
    run = only_run(tmp_path)
    assert [path.name for path in checkpoints(run)] == ["model_2.safetensors"]
    assert not (run / "result.json").exists()
    uninterrupted = workshop.folder / workshop.run
    assert differences(load(run / "model_2.safetensors"), load(uninterrupted / "model_2.safetensors")) == []

    continued = call("train", [*argv, "--checkpoint", "latest"], tmp_path)
    assert continued.status == 0, continued.err
    assert f"at {2 * STEPS_PER_ITERATION} env steps" in continued.out
    assert differences(load(run / "model_4.safetensors"), load(uninterrupted / "model_4.safetensors")) == []
    result = json.loads((run / "result.json").read_text())
    timed = {"evaluation_minutes", "time_split", "training_steps_per_second", "bare_steps_per_second", "total_minutes"}
    assert differences(result, workshop.result, WALL_CLOCK | timed) == []
    assert only_run(tmp_path) == run


def test_a_finished_run_can_be_extended(workshop, tmp_path):
    """Two iterations and then two more are four, and the evaluation in between has left no trace in the training."""
    workshop.stock(tmp_path)
    first = call("train", arguments("train", "--max_iterations", 2), tmp_path)
    assert first.status == 0, first.err
    # The second training finds what the first one made.
    assert "demonstrations: found datasets/" in first.out
    assert "base policy: found logs/" in first.out
    run = only_run(tmp_path)
    checkpoint = run / "model_2.safetensors"
    result = json.loads((run / "result.json").read_text())
    minutes_before, total_before = result["minutes"], load(checkpoint)["infos"]["total_seconds"] / 60.0
    assert result["total_minutes"] > total_before > minutes_before
    second = call("train", arguments("train", "--max_iterations", 4, "--checkpoint", checkpoint), tmp_path)
    assert second.status == 0, second.err
    uninterrupted = workshop.folder / workshop.run
    ignored = WALL_CLOCK | EVALUATIONS
    assert differences(load(run / "model_4.safetensors"), load(uninterrupted / "model_4.safetensors"), ignored) == []
    result = json.loads((run / "result.json").read_text())
    assert result["total_minutes"] > total_before + result["minutes"] - minutes_before
    history = result["history"]
    assert history["evaluation_steps"] == [2 * STEPS_PER_ITERATION, 4 * STEPS_PER_ITERATION]
    assert history["evaluation_successes"][-1:] == workshop.result["history"]["evaluation_successes"]


def test_a_run_in_a_folder_of_its_own(workshop, tmp_path):
    """The folder may hold something, such as a run that was killed before its first checkpoint, but no other run."""
    workshop.stock(tmp_path)
    shutil.copytree(workshop.folder / workshop.run, tmp_path / "mine", ignore=shutil.ignore_patterns("model_*"))
    (tmp_path / "mine" / "train.log").write_text("begun")
    (tmp_path / "mine" / ".model_2.safetensors.abc.tmp").touch()
    argv = arguments("train", "--max_iterations", 2, "--run_dir", "mine")
    before = files_below(tmp_path)
    with exclusive(tmp_path / "mine", "a test", "wait"):
        second = call("train", argv, tmp_path)
    assert (second.status, second.error_lines) == (
        2,
        ["error: another training is writing to mine; wait for it or stop it, or choose another folder."],
    )
    (tmp_path / "mine" / LOCK).unlink()
    assert files_below(tmp_path) == before
    outcome = call("train", argv, tmp_path)
    assert not list((tmp_path / "mine").glob(".*"))
    assert outcome.status == 0, outcome.err
    assert "run: mine" in outcome.out
    assert not (tmp_path / EXPERIMENT).exists()
    result = json.loads((tmp_path / "mine" / "result.json").read_text())
    assert result["environment_steps"] == 2 * STEPS_PER_ITERATION
    assert len(result["history"]["evaluation_minutes"]) == len(result["history"]["evaluation_steps"]) == 1
    assert result["history"]["evaluation_minutes"] == [pytest.approx(result["minutes"])]
    before = files_below(tmp_path)
    again = call("train", argv, tmp_path)
    elsewhere = call("train", [*argv, "--checkpoint", "mine/model_2.safetensors", "--run_dir", "other"], tmp_path)
    for outcome, words in ((again, "--run_dir mine holds a run already"), (elsewhere, "run in mine, not in other")):
        assert outcome.status == 2
        (line,) = outcome.error_lines
        assert words in line
    assert files_below(tmp_path) == before


def test_a_runs_folder_selects_its_newest_checkpoint(workshop, tmp_path):
    run = workshop.folder / workshop.run
    assert find.find_checkpoint(str(run), TASK, []).path == checkpoints(run)[-1]
    with pytest.raises(
        ZprlError, match=r"^the folder .* holds no checkpoint; pass a run's folder, a file, or 'latest'\.$"
    ):
        find.find_checkpoint(str(tmp_path), TASK, [])


def test_changed_pretraining_makes_a_new_base_policy(workshop, tmp_path):
    workshop.stock(tmp_path)
    argv = [*arguments("train", "--max_iterations", 1), "agent.pretrain.num_steps=20", "agent.num_steps_per_env=1"]
    outcome = call("train", argv, tmp_path)
    assert outcome.status == 0, outcome.err
    assert "demonstrations: found datasets/" in outcome.out
    assert "base policy: 20 steps in" in outcome.out
    assert len(list(tmp_path.glob(f"logs/base_policy/{TASK}/*/base_policy.safetensors"))) == 2


def test_ctrl_c_leaves_a_checkpoint_to_continue_from(workshop, tmp_path):
    workshop.stock(tmp_path)
    process = spawn([SCRIPTS / "train.py", *arguments("train", "--max_iterations", 1000)], tmp_path)
    deadline = time.monotonic() + 200
    while process.poll() is None and not list(tmp_path.glob(f"{EXPERIMENT}/*/model_2.safetensors")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    outcome = finish(process)
    assert outcome.status == 130, outcome.err
    assert "Traceback" not in outcome.err
    lines = [line for line in outcome.error_lines if not line.startswith("reinforcement learning")]
    assert lines[-1] == (
        "interrupted: the last saved checkpoint is safe and complete; continue with --checkpoint latest."
    )
    latest = checkpoints(only_run(tmp_path))[-1]
    done = load_checkpoint(latest).content["iter"]
    argv = arguments("train", "--max_iterations", done + 1, "--checkpoint", "latest")
    continued = call("train", argv, tmp_path)
    assert continued.status == 0, continued.err
    extended = load_checkpoint(latest.with_name(f"model_{done + 1}.safetensors"))
    assert extended.env_steps == (done + 1) * STEPS_PER_ITERATION
    assert math.isfinite(extended.content["actor_state_dict"]["mlp.0.weight"].sum().item())


def test_sigterm_lets_a_run_write_its_next_checkpoint(workshop, tmp_path, monkeypatch):
    """As a scheduler sends it before the time is over; it comes in the middle of the first segment."""
    workshop.stock(tmp_path)
    learn = SteeringRunner.learn_segment

    def interrupted(runner, num_iterations):
        os.kill(os.getpid(), signal.SIGTERM)
        learn(runner, num_iterations)

    monkeypatch.setattr(SteeringRunner, "learn_segment", interrupted)
    outcome = call("train", arguments("train", "--max_iterations", 4), tmp_path)
    assert outcome.status == 143
    assert outcome.error_lines[-1].startswith("terminated: the last saved checkpoint is safe and complete; continue")
    (checkpoint,) = checkpoints(only_run(tmp_path))
    uninterrupted = workshop.folder / workshop.run / checkpoint.name
    assert checkpoint.name == "model_2.safetensors" and differences(load(checkpoint), load(uninterrupted)) == []


SAC = ["agent.algorithm.updates_per_step=2", "agent.algorithm.batch_size=32", "agent.algorithm.warmup_transitions=64"]
"""Small enough to learn within seconds, after the first of two segments."""


def sac_arguments(script, *extra):
    settings = [text for text in arguments(script, *extra) if "num_learning_epochs" not in text]
    return [*settings, *SAC, "agent.evaluation.interval=2"] if script == "train" else settings


def test_a_continued_off_policy_run_ends_bit_for_bit_the_same(workshop, tmp_path):
    """The checkpoint holds the replay buffer: a run that goes on from it draws and learns the same."""
    workshop.stock(tmp_path)
    uninterrupted = call("train", sac_arguments("train", "--algo", "sac", "--max_iterations", 4), tmp_path)
    assert uninterrupted.status == 0, uninterrupted.err
    run = only_run(tmp_path)
    assert run.name.endswith("_zprl_sac")
    assert [path.name for path in checkpoints(run)] == ["model_2.safetensors", "model_4.safetensors"]
    theirs = load(run / "model_4.safetensors")
    (run / "model_4.safetensors").unlink()
    # The method and the learner are those of the checkpoint; nobody has to name them.
    continued = call("train", [*sac_arguments("train", "--max_iterations", 4), "--checkpoint", "latest"], tmp_path)
    assert continued.status == 0, continued.err
    ours = load(run / "model_4.safetensors")
    assert differences(ours, theirs) == []
    assert ours["replay"]["total"] == 4 * STEPS_PER_ITERATION // 4
    assert ours["num_updates"] > load(run / "model_2.safetensors")["num_updates"] > 0


@pytest.mark.parametrize(
    ("method", "algorithm", "extra"),
    [
        ("action_residual", "sac", []),
        ("embedding_residual", "sac", []),
        ("noise", "ppo", ["agent.steering.repeat=false"]),
        ("finetune", "ppo", ["agent.actor.learn_std=false"]),
        ("step_residual", "ppo", ["agent.steering.scale=0.1", "agent.num_steps_per_env=20"]),
        ("scratch", "ppo", ["agent.num_steps_per_env=20"]),
    ],
)
def test_every_method_trains_and_is_evaluated_as_itself(workshop, tmp_path, method, algorithm, extra):
    workshop.stock(tmp_path)
    chosen = ["--method", method, "--algo", algorithm, "--max_iterations", 2]
    make = sac_arguments if algorithm == "sac" else arguments
    trained = call("train", [*make("train", *chosen), *extra], tmp_path)
    assert trained.status == 0, trained.err
    run = only_run(tmp_path)
    assert run.name.endswith(f"_{method}_{algorithm}")
    result = json.loads((run / "result.json").read_text())
    assert (result["method"], result["algo"], result["environment_steps"]) == (
        method,
        algorithm,
        2 * STEPS_PER_ITERATION,
    )
    checkpoint = load_checkpoint(run / "model_2.safetensors")
    assert (checkpoint.method, checkpoint.algorithm) == (method, algorithm)
    name, _, value = (extra or ["agent.steering.=None"])[0].removeprefix("agent.steering.").partition("=")
    if name in checkpoint.settings["agent"]["steering"]:
        assert checkpoint.settings["agent"]["steering"][name] == json.loads(value)
    argv = arguments(
        "evaluate", "--checkpoint", "latest", "--episodes", NUM_ENVS, "--json", "result.json", settings=TASK_SETTINGS
    )
    evaluated = call("evaluate", argv, tmp_path)
    assert evaluated.status == 0, evaluated.err
    again = json.loads((tmp_path / "result.json").read_text())
    assert again["success_rate"] == result["steered"]["rate"]
    assert again["jerk"] == result["steered"]["jerk"]
    assert again["base_jerk"] == result["base"]["jerk"]
    refused = call("export", ["--task", TASK, "--checkpoint", "latest", "--output", "bundle"], tmp_path)
    assert refused.status == 2
    assert f"is of --method {method}, and only policies of --method zprl are exported" in refused.err


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--method", "resiudal"], ["--method resiudal", "zprl", "action_residual"]),
        (["--algo", "td3"], ["--algo td3", "ppo", "sac"]),
        (["--method", "finetune", "--algo", "sac"], ["--method finetune", "chain", "choose --algo ppo"]),
        (["agent.method=noise"], ["--method noise"]),
        (["--algo", "sac", "agent.algorithm.subset_size=3"], ["subset_size is 3", "2 critics", "num_members"]),
        (["--algo", "sac", "agent.algorithm.replay_capacity=8"], ["replay_capacity=8", "16 worlds", "raise it"]),
        (["--method", "noise", "agent.steering.residual=1"], ["agent.steering.residual", "residual"]),
        (["--method", "finetune", "policy.initial_noise=sampled"], ["policy.initial_noise=zero or fixed"]),
        (["--checkpoint", "latest", "--method", "noise"], ["--method zprl", "not noise"]),
    ],
)
def test_a_wrong_method_is_refused_in_one_sentence(workshop, extra, words):
    base = [] if "--checkpoint" in extra else ["--base", workshop.base]
    make = sac_arguments if "sac" in extra else arguments
    before = files_below(workshop.folder).keys()
    outcome = call("train", make("train", "--max_iterations", 1, *base, *extra), workshop.folder)
    assert files_below(workshop.folder).keys() == before
    assert outcome.status == 2, outcome.err
    (line,) = outcome.error_lines
    assert all(word in line for word in words), line
