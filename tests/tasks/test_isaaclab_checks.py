# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Isaac Lab's own environment tests and command line, run on this project's tasks."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

import isaaclab

pytestmark = pytest.mark.sim

TASK = "Zprl-Lift-Franka"
OTHERS = [f"Zprl-{name}-Franka" for name in ("Can", "Square", "PushWall", "BoxClose", "PlaceOrange")]
OTHERS += ["Zprl-Lift-Franka-Visual", "Zprl-Pen-Adroit", "Zprl-Transport-DualFranka", "Zprl-OpenBox-DualFranka"]
OTHERS += ["Zprl-FlipEgg-Franka"]


def isaaclab_test_module(name):
    """Import a test module of Isaac Lab by its path; the wheel carries them, but not as a package."""
    path = Path(isaaclab.__file__).parent / "source" / "isaaclab_tasks" / "test" / name
    spec = importlib.util.spec_from_file_location(f"isaaclab_tests_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def command(*arguments):
    """Run the ``isaaclab`` command in this process, which has loaded the simulator already."""
    from isaaclab.cli import cli

    with mock.patch.object(sys, "argv", ["isaaclab", *arguments]):
        cli()


@pytest.fixture(autouse=True)
def registered():
    import zprl.tasks  # noqa: F401 - registers the tasks
    from zprl.sim.isaaclab import close_env

    yield
    close_env()


@pytest.mark.parametrize(
    ("task", "physics", "num_envs"),
    [
        *((TASK, "mujoco", 1), (TASK, "mujoco", 32), (TASK, "newton_mjwarp", 32)),
        *((task, "mujoco", 32) for task in OTHERS),
        pytest.param("Zprl-FlipEgg-Franka", "newton_mjwarp", 4, marks=pytest.mark.slow),  # its kernels are its own
    ],
)
def test_environment_smoke(task, physics, num_envs):
    module = isaaclab_test_module("env_test_utils.py")
    module._run_environments(task, "cpu", num_envs, physics_preset_name=physics)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "physics", "num_steps"),
    [
        # An episode takes 80 steps; how the next one begins is not the engine's affair.
        *((TASK, "mujoco", 100), (TASK, "newton_mjwarp", 40)),
        *((task, "mujoco", 40) for task in OTHERS),
    ],
)
def test_environment_determinism(task, physics, num_steps, monkeypatch):
    # The module starts Isaac Sim when it is imported; Newton does not need it.
    monkeypatch.setattr("isaaclab.test.utils.launch_test_simulation", lambda *args, **kwargs: None)
    module = isaaclab_test_module("core/test_environment_determinism.py")
    module._test_environment_determinism(task, "cpu", num_steps=num_steps, physics_preset_name=physics)


def test_configuration_module_imports_no_simulator():
    code = (
        "import sys, zprl.tasks.lift.config.franka.env_cfg, zprl.tasks.pen.config.adroit.env_cfg;"
        "import zprl.tasks.door.config.adroit.env_cfg, zprl.tasks.hammer.config.adroit.env_cfg;"
        "import zprl.tasks.transport.config.dual_franka.env_cfg, zprl.tasks.open_box.config.dual_franka.env_cfg;"
        "import zprl.tasks.flip_egg.config.franka.env_cfg, zprl.tasks.flip_egg.disturbances;"
        "bad = {'pxr', 'omni', 'carb', 'isaacsim', 'scipy', 'newton'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_process_of_its_own_lists_the_tasks(tmp_path):
    executable = Path(sys.executable).with_name("isaaclab")
    arguments = ["list_envs", "--keyword", TASK, "--show_presets"]
    listed = subprocess.run([executable, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert listed.returncode == 0, listed.stderr
    assert TASK in listed.stdout
    assert "physics=mujoco" in listed.stdout and "physics=newton_mjwarp" in listed.stdout
    assert "physics=ovphysx presets=nucleus_franka" in listed.stdout


OPTIONS = ("--task", TASK, "--num_envs", "8", "--device", "cpu", "--viz", "none")


def test_random_agent(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command("random_agent", *OPTIONS, "--max_steps", "5")


def test_train_without_a_gpu_needs_no_agent_device(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command("train", *OPTIONS, "--max_iterations", "1")
    assert list(tmp_path.glob("logs/rsl_rl/lift_franka_ppo/*/model_0.pt"))
