# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The scripts as the tests call them, and one small training run that the tests share."""

import contextlib
import dataclasses
import io
import json
import os
import runpy
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
from tests.builds import shared_folder

TASK = "Zprl-Lift-Franka"
SCRIPTS = Path(__file__).parents[2] / "scripts"
EXPERIMENT = Path("logs/rsl_rl/zprl_lift_franka")
NUM_ENVS = 16
STEPS_PER_ITERATION = 320
"""5 chunks of 4 environment steps in 16 worlds."""

TASK_SETTINGS = [
    # A lower lift and shorter episodes: a policy that is trained for seconds then succeeds at times, but not always.
    "env.episode_length_s=2.5",
    "env.terminations.success.params.minimal_height=0.05",
    "env.rewards.success.params.minimal_height=0.05",
]
SETTINGS = [
    *TASK_SETTINGS,
    "agent.demonstrations.num_demos=16",
    "agent.demonstrations.quality=expert",
    "agent.policy.embed_hidden_dims=[64]",
    "agent.policy.vib_hidden_dims=[64]",
    "agent.policy.velocity_hidden_dim=64",
    "agent.policy.velocity_num_blocks=2",
    "agent.pretrain.num_steps=600",
    "agent.pretrain.batch_size=128",
    "agent.pretrain.warmup_steps=20",
    "agent.pretrain.learning_rate=2e-3",
    "agent.pretrain.vib_beta=0.0",
    "agent.pretrain.vib_recon=1.0",
    "agent.num_steps_per_env=5",
    "agent.save_interval=2",
    "agent.algorithm.num_learning_epochs=2",
    f"agent.evaluation.episodes={NUM_ENVS}",
]


@dataclass
class Outcome:
    """What a script did."""

    status: int
    out: str
    err: str

    @property
    def error_lines(self):
        """Lines on stderr but the progress that a redirected run prints."""
        lines = [line for line in self.err.replace("\r", "\n").splitlines() if line.strip()]
        return [line for line in lines if "%" not in line or "error" in line]


def arguments(script, *extra, settings=None):
    """Return the command line of a script in the small setting."""
    worlds = [] if script in ("collect_demos", "pretrain") else ["--num_envs", str(NUM_ENVS)]
    return ["--task", TASK, *worlds, *map(str, extra), *(SETTINGS if settings is None else settings)]


def call(script, argv, cwd):
    """Run a script in this process, which has loaded the simulator already."""
    out, err = io.StringIO(), io.StringIO()
    path = str(SCRIPTS / f"{script}.py")
    status = 0
    with (
        contextlib.chdir(cwd),
        mock.patch.object(sys, "argv", [path, *argv]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            runpy.run_path(path, run_name="__main__")
        except SystemExit as stop:
            status = int(stop.code or 0)
    return Outcome(status, out.getvalue(), err.getvalue())


def spawn(command, cwd):
    """Start Python in a process of its own."""
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, timeout=300):
    """Wait for a process and return what it did."""
    out, err = process.communicate(timeout=timeout)
    return Outcome(process.returncode, out, err)


def files_below(folder):
    """Return all files below a folder with their contents, hidden ones included."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@dataclass
class Workshop:
    """A folder in which four iterations were trained.

    Attributes:
        folder: The folder.
        run: The run's folder, relative to it.
        base: The base policy, relative to it.
        dataset: The demonstrations, relative to it.
        outcome: What the script said.
    """

    folder: Path
    run: Path
    base: Path
    dataset: Path
    outcome: Outcome

    @property
    def result(self):
        """The content of result.json."""
        return json.loads((self.folder / self.run / "result.json").read_text())

    def stock(self, folder):
        """Copy the demonstrations and the base policy, but no run."""
        for name in ("datasets", "logs/base_policy"):
            shutil.copytree(self.folder / name, folder / name)
        return folder


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    """Give a workshop of this process, trained by the first process of a test run that asks for one."""
    with shared_folder(tmp_path_factory, "workshop") as shared:
        said = shared / "outcome.json"
        if not said.exists():
            folder = shared / "folder"
            folder.mkdir()
            outcome = call("train", arguments("train", "--max_iterations", 4), folder)
            assert outcome.status == 0, outcome.err
            said.write_text(json.dumps(dataclasses.asdict(outcome)))
        folder = shutil.copytree(shared / "folder", tmp_path_factory.mktemp("workshop") / "folder")
        outcome = Outcome(**json.loads(said.read_text()))
    (run,) = folder.glob(f"{EXPERIMENT}/*")
    (base,) = folder.glob(f"logs/base_policy/{TASK}/*/base_policy.safetensors")
    (dataset,) = folder.glob(f"datasets/{TASK}/*.hdf5")
    return Workshop(folder, run.relative_to(folder), base.relative_to(folder), dataset.relative_to(folder), outcome)
