# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Every command times everything that can end or hinder it, with its long work replaced by a moment's."""

import contextlib
import dataclasses
import errno
import getpass
import importlib
import importlib.abc
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.checkpoints import LATENT_STATISTICS, SPEC, make_policy
from tests.evaluation.test_summary import result
from tests.study.test_report import manifest_of, write_run
from tests.unknown_user import become_stranger

from zprl.commands import cli
from zprl.policies import save_policy
from zprl.utils.files import atomic_json_dump

from .conftest import TASK, call, files_below
from .test_convert import old_base
from .test_endings import command_line

pytestmark = pytest.mark.sim  # commands that run a task import the simulator, and none is started here


@pytest.fixture(autouse=True)
def ctrl_c():
    """Let Ctrl-C raise again, which a command has used up."""
    yield
    signal.signal(signal.SIGINT, signal.default_int_handler)


# -- work that takes a moment ------------------------------------------------------------------------------------------


class Session:
    """Stands for a task's session, with an environment that does nothing."""

    device, physics, env_cfg = "cpu", "none", None

    def __init__(self, *arguments, **options):
        from zprl.rl.runner_cfg import ZprlRunnerCfg

        self.agent_cfg = ZprlRunnerCfg()

    def launched(self, viz=None):
        return contextlib.nullcontext(self)

    def environment(self, *arguments, **options):
        world = {"spec": dataclasses.replace(SPEC, task=TASK), "device": "cpu", "num_envs": 1, "num_actions": 2}
        step = lambda action: action + 1.0  # noqa: E731
        return contextlib.nullcontext(SimpleNamespace(**world, step=step, restart=lambda seed: None, unwrapped=None))

    isaaclab_environment = environment

    def require_isaaclab(self):
        pass


def _finished(*arguments):
    from zprl.evaluation.rollout import EpisodeResults

    return {"base": EpisodeResults(0.05, [True, False], [3, 4])}


def _base(**more):
    values = {
        "noise_shape": None,
        "spec": dataclasses.replace(SPEC, task=TASK),
        "execute_steps": 1,
        "backend": "torch",
        "initial_noise": "zero",
        **more,
    }
    return SimpleNamespace(**values)


def evaluate(patch, folder):
    patch("zprl.runs.find.open_policy", lambda *arguments: (Session(), Path("base.safetensors")))
    patch("zprl.runs.find.load_policies", lambda *arguments: SimpleNamespace(base_policy=_base(), planners={}))
    patch("zprl.evaluation.rollout.Evaluator", lambda *arguments: None)
    patch("zprl.evaluation.rollout.run_all", _finished)
    return [], "success (95% interval)"


def play(patch, folder):
    from zprl.evaluation.video import Episode

    patch("zprl.runs.session.TaskSession", Session)
    frames = [np.zeros((48, 48, 3), np.uint8)] * 3
    patch("zprl.evaluation.video.record_episode", lambda *arguments: Episode(frames, True))
    return ["--policy", "random"], None


def pretrain(patch, folder):
    policy, meta = make_policy(), {"spec": SPEC.to_dict(), "latent_statistics": LATENT_STATISTICS}
    summary = {"rate": 0.5}
    gap = {"gap": 0.0, "gap_low": 0.0, "gap_high": 0.0, "plain": summary, "bottleneck": summary}
    patch("zprl.runs.session.TaskSession", Session)
    patch("zprl.runs.base_policy.find_or_collect", lambda *arguments: Path("demos.hdf5"))
    patch("zprl.runs.base_policy.pretrain_in_simulation", lambda session, data, path: save_policy(path, policy, meta))
    patch("zprl.runs.base_policy.load_base", lambda *arguments: (policy, meta))
    patch("zprl.evaluation.rollout.Evaluator", lambda *arguments: None)
    patch("zprl.evaluation.rollout.bottleneck_gap", lambda *arguments: gap)
    return [], None


def sim2real(patch, folder):
    contract = SimpleNamespace(task=TASK)
    patch(
        "zprl.deploy.load.open_bundle",
        lambda *arguments: SimpleNamespace(contract=contract, spec=None, kind="native", folder="bundle"),
    )
    patch("zprl.runs.session.TaskSession", Session)
    patch("zprl.commands.sim2real._runnable", lambda chosen, *arguments, **options: chosen)
    summary = _finished()["base"].summary()
    row = {
        "name": "none",
        "strength": 0,
        "unit": "1",
        "physics": "none",
        "seed": 0,
        "base": summary,
        "steered": summary,
    }
    patch("zprl.commands.sim2real.run_disturbances", lambda *arguments: [row])
    return ["--disturbances", "friction=2"], "disturbance"


def summarize(patch, folder):
    for name in "ab":
        (folder / name).mkdir()
        (folder / name / "result.json").write_text(json.dumps(result(0)))
    return [], None


def document_task(patch, folder):
    patch("zprl.runs.session.TaskSession", Session)
    patch("zprl.runs.task_page.describe_task", lambda *arguments: {"task": "# The task"})
    return [], None


def study(patch, folder):
    from zprl.study.grid import method_variants

    manifest = manifest_of(method_variants(["zprl"], ["ppo"])[0], [0])
    place = folder / "logs" / "studies" / TASK / "methods"
    write_run(place / "zprl_ppo_seed0", 0, 7, 9)
    manifest.save(place)
    return ["--report_only"], None


def convert(patch, folder):
    torch.save(old_base(make_policy()), folder / "model_4.pt")
    return [], None


def profile_kernels(patch, folder):
    from zprl.profiling.profiler import ProfileReport

    machine = {"cpu": "a processor", "gpu": None, "cores": 2, "versions": {}}
    patch("zprl.profiling.profiler.profile_policy_step", lambda settings, report: ProfileReport(settings, machine))
    patch("zprl.profiling.report.report_text", lambda report: "the table")
    return [], "the table"


def benchmark_render(patch, folder):
    from zprl.profiling.render import RenderReport

    report = RenderReport(pictures=(np.zeros((8, 8, 3), np.uint8),) * 2)
    patch("zprl.profiling.render.benchmark_render", lambda *arguments: report)
    return [], "images/s"


def profile_training(patch, folder):
    def write_trace(path, about):
        atomic_json_dump(about, path)

    recorder = SimpleNamespace(write_trace=write_trace)
    profile = SimpleNamespace(recorder=recorder, report=lambda: "the table")
    (folder / "base.safetensors").touch()
    patch("zprl.runs.session.TaskSession", Session)
    patch("zprl.profiling.training.profile_training", lambda *arguments: profile)
    return ["--base", "base.safetensors"], "the table"


def train_expert(patch, folder):
    from zprl.evaluation.statistics import success_rate
    from zprl.tasks.experts import ExpertActor

    def learn(task, path, *arguments):
        ExpertActor({"seen": 1}, 1, [1], "elu", {}).save(path)
        return success_rate([True, False])

    patch("zprl.runs.expert_training.train_expert", learn)
    return [], None


def trace_rollout(patch, folder):
    (folder / "base.safetensors").touch()
    patch("zprl.runs.session.TaskSession", Session)
    patch("zprl.runs.base_policy.load_base", lambda *arguments: (None, None))
    patch("zprl.policies.make_base_policy", lambda *arguments: _base())
    patch("zprl.steering.make_steering", lambda *arguments: None)
    patch("zprl.envs.chunked_env.ChunkedVecEnv", lambda env, *arguments: env)
    return ["--base", "base.safetensors"], None


def import_base(patch, folder):
    from tests.policies.test_imported import FILE, FIXTURE

    from zprl.policies.imported.policy import load_imported

    shutil.copytree(FIXTURE / "checkpoint", folder / "checkpoint")
    (folder / "checkpoint" / "model.safetensors").touch()
    patch("zprl.policies.imported.lerobot.import_policy", lambda *arguments: load_imported(FILE)[0])
    return ["--frequency", "20"], None


WORK = {
    work.__name__: work
    for work in (
        *(evaluate, play, pretrain, sim2real, summarize, document_task, study, convert),
        *(benchmark_render, profile_kernels, profile_training, train_expert, trace_rollout, import_base),
    )
}
"""What replaces a command's long work; each returns more arguments, and what is printed even if writing fails."""

ELSEWHERE = {
    "train": "tests/commands/test_train.py and test_bad_input.py",
    "collect_demos": "tests/commands/test_bad_input.py",
    "export": "tests/deploy/test_bundle.py",
    "convert_demos": "tests/commands/test_convert_demos.py",
    "export_lerobot": "tests/deploy/test_lerobot.py",
}
"""Commands whose writing is tested where their work is done."""

FILES = [
    (name, f"--{field.name}", field.metadata["writes"])
    for name in cli.NAMES
    for field in dataclasses.fields(cli.find_command(name).options)
    if field.metadata["writes"] is not None and name not in ELSEWHERE
]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Give a function that prepares a command and an output; it returns the call, and what is said in any case."""

    def prepare(name, option, output):
        folder = tmp_path / "here"
        folder.mkdir()
        argv, said = WORK[name](monkeypatch.setattr, folder)
        return lambda: call(name, [*command_line(name, option, str(output)), *argv], folder), said

    return prepare


def test_every_command_that_writes_is_here_or_elsewhere():
    writing = {
        name
        for name in cli.NAMES
        if any(f.metadata["writes"] for f in dataclasses.fields(cli.find_command(name).options))
    }
    assert writing == WORK.keys() | ELSEWHERE.keys() and not WORK.keys() & ELSEWHERE.keys()


@pytest.mark.parametrize(("name", "option", "kind"), FILES)
def test_a_link_stays_and_what_it_leads_to_is_written(name, option, kind, place, tmp_path):
    (tmp_path / "disk").mkdir()
    target, link = tmp_path / "disk" / "out.png", tmp_path / "out.png"
    link.symlink_to("disk/out.png")
    if kind == "folder":
        target.mkdir()
    run, _ = place(name, option, link)
    outcome = run()
    assert (outcome.status, outcome.error_lines) == (0, [])
    assert link.is_symlink() and not target.is_symlink()
    assert any(target.iterdir()) if kind == "folder" else target.stat().st_size > 0
    assert not list(tmp_path.rglob("*.tmp"))


FAULTS = {
    "full disk": ("fsync", errno.ENOSPC, "error: no space left on device while writing "),
    "read-only": ("replace", errno.EROFS, "error: cannot use "),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("name", "option", "kind"), FILES)
def test_what_cannot_be_written_costs_neither_a_sentence_nor_the_work(
    name, option, kind, fault, place, tmp_path, monkeypatch
):
    run, said = place(name, option, output := tmp_path / "out.png")
    function, number, words = FAULTS[fault]
    before = files_below(tmp_path)

    def fail(*arguments):
        raise OSError(number, os.strerror(number), *(arguments[:1] if function == "replace" else ()))

    monkeypatch.setattr(os, function, fail)
    outcome = run()
    (line,) = outcome.error_lines
    assert outcome.status == 2 and line.startswith(words) and str(output) in line
    assert files_below(tmp_path) == before
    if said is not None:
        assert said in outcome.out


@pytest.mark.parametrize(("name", "option", "kind"), FILES)
def test_who_reads_may_go_and_the_file_is_written(name, option, kind, place, tmp_path, monkeypatch):
    output = tmp_path / "out.png"
    run, _ = place(name, option, output)
    read, write = os.pipe()
    os.close(read)
    with open(write, "w", buffering=1) as gone, monkeypatch.context() as patch:
        patch.setattr(contextlib, "redirect_stdout", lambda stream: _stdout(gone))
        assert run().status == 141
        with contextlib.suppress(BrokenPipeError):
            gone.close()
    assert any(output.iterdir()) if kind == "folder" else output.stat().st_size > 0


@contextlib.contextmanager
def _stdout(stream):
    before, sys.stdout = sys.stdout, stream
    try:
        yield
    finally:
        sys.stdout = before


# -- what does not depend on the work ----------------------------------------------------------------------------------


class Interrupting(importlib.abc.MetaPathFinder):
    """Presses Ctrl-C while a module is being imported."""

    def __init__(self, module):
        self.module = module

    def find_spec(self, name, path=None, target=None):
        if name == self.module:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("moment", ["import", "set-up", "work"])
@pytest.mark.parametrize("name", cli.NAMES)
def test_ctrl_c_is_one_sentence_at_any_moment(name, moment, tmp_path, monkeypatch):
    module = importlib.import_module(f"zprl.commands.{name}")

    def press(*arguments):
        signal.raise_signal(signal.SIGINT)

    if moment == "import":
        monkeypatch.delitem(sys.modules, module.__name__)
        monkeypatch.setattr(sys, "meta_path", [Interrupting(module.__name__), *sys.meta_path])
    elif moment == "set-up":
        monkeypatch.setattr("zprl.utils.home.provide_home", press)
    else:
        monkeypatch.setattr(module, "COMMAND", dataclasses.replace(module.COMMAND, run=press))
    outcome = call(name, command_line(name), tmp_path)
    assert (outcome.status, outcome.out, files_below(tmp_path)) == (130, "", {})
    (line,) = outcome.error_lines
    assert line.startswith("interrupted: ")


@pytest.mark.parametrize("name", cli.NAMES)
def test_an_unknown_user_has_a_name_and_a_home_by_the_time_that_the_work_begins(name, tmp_path, monkeypatch):
    become_stranger(monkeypatch, tmp_path)

    def work(*arguments):
        assert os.access(Path.home(), os.W_OK)
        print(getpass.getuser())

    module = importlib.import_module(f"zprl.commands.{name}")
    monkeypatch.setattr(module, "COMMAND", dataclasses.replace(module.COMMAND, run=work))
    outcome = call(name, command_line(name), tmp_path)
    assert (outcome.status, outcome.out, outcome.err) == (0, f"user{os.getuid()}\n", "")


@pytest.mark.parametrize("name", cli.NAMES)
def test_a_full_standard_output_is_one_sentence(name, tmp_path, monkeypatch):
    module = importlib.import_module(f"zprl.commands.{name}")
    monkeypatch.setattr(module, "COMMAND", dataclasses.replace(module.COMMAND, run=lambda *arguments: print("result")))
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(contextlib, "redirect_stdout", lambda stream: _stdout(full))
        outcome = call(name, command_line(name), tmp_path)
        with contextlib.suppress(OSError):
            full.close()
    assert outcome.status == 2
    (line,) = outcome.error_lines
    assert line.startswith("error: no space left on device while writing standard output; ")
