# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Starting the simulator: devices, configurations, and what reaches the terminal."""

import gc
import os
import subprocess
import sys
import warnings
import weakref
from typing import Any

import pytest

from zprl.sim.isaaclab import check_device, list_tasks, resolve_task
from zprl.sim.isaaclab.noise_filter import NoiseFilter
from zprl.utils.errors import ZprlError

TASK = "Zprl-Lift-Franka"


# -- device


def test_cpu_is_always_there():
    assert check_device("cpu") == "cpu"


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:-1", "CPU", "", "cpu:0"])
def test_unknown_device(device):
    with pytest.raises(ZprlError, match="choose cpu, cuda or cuda:N"):
        check_device(device)


def test_missing_gpu(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ZprlError, match="no usable NVIDIA GPU"):
        check_device("cuda:0")


def test_gpu_beyond_the_last(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert check_device("cuda:1") == "cuda:1"
    with pytest.raises(ZprlError, match="only 2 GPUs"):
        check_device("cuda:2")


# -- configuration


@pytest.mark.sim
@pytest.mark.parametrize(
    ("preset", "engine", "dt", "decimation", "spacing"),
    [
        ("mujoco", "NewtonCfg", 0.05, 1, 0.0),
        ("newton_mjwarp", "NewtonCfg", 0.05, 1, 0.0),
        ("isaacsim_physx", "PhysxCfg", 0.01, 5, 2.5),
        ("ovphysx", "OvPhysxCfg", 0.01, 5, 2.5),
        ("physx", "PhysxAutoCfg", 0.01, 5, 2.5),
    ],
)
def test_physics_presets(preset, engine, dt, decimation, spacing):
    env_cfg, _ = resolve_task(TASK, None, [f"physics={preset}"])
    assert type(env_cfg.sim.physics).__name__ == engine
    assert env_cfg.sim.dt == pytest.approx(dt)
    assert env_cfg.decimation == decimation
    assert env_cfg.scene.env_spacing == spacing


@pytest.mark.sim
@pytest.mark.parametrize(
    ("physics", "variant"), [("mujoco", "mujoco"), ("newton_mjwarp", "mujoco"), ("ovphysx", "physx")]
)
def test_official_franka_can_be_chosen(physics, variant):
    env_cfg, _ = resolve_task(TASK, None, ["presets=nucleus_franka", f"physics={physics}"])
    robot = env_cfg.scene.robot
    assert robot.spawn.usd_path.endswith("Robots/FrankaEmika/franka_panda.usda")
    assert robot.spawn.variants["Physics"] == variant
    own = resolve_task(TASK, None)[0].scene.robot
    assert robot.init_state.joint_pos == own.init_state.joint_pos
    assert robot.actuators["panda_shoulder"].stiffness == own.actuators["panda_shoulder"].stiffness


@pytest.mark.sim
def test_overrides_reach_both_configurations_and_stay_there():
    overrides = ["env.scene.num_envs=7", "agent.max_iterations=3", "env.sim.physics.solver_cfg.njmax=99"]
    env_cfg, agent_cfg = resolve_task(TASK, "rsl_rl_cfg_entry_point", overrides)
    assert (env_cfg.scene.num_envs, agent_cfg.max_iterations) == (7, 3)
    env_cfg, _ = resolve_task(TASK, None)
    assert env_cfg.scene.num_envs == 256
    assert env_cfg.sim.physics.solver_cfg.njmax != 99


@pytest.mark.sim
def test_play_mode():
    env_cfg, _ = resolve_task(TASK, None, play_mode=True)
    assert env_cfg.scene.num_envs == 50
    assert not env_cfg.observations.policy.enable_corruption


@pytest.mark.sim
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("env.scene.num_env=7", r"env\.scene has no option 'num_env' \(did you mean num_envs\?\)"),
        ("env.scn.num_envs=7", r"env has no option 'scn' \(did you mean scene\?\)"),
        ("env.scene.num_envs=abc", "must be an integer of at least 1, such as 256"),
        ("env.episode_length_s=long", "must be a number above 0, such as 4.0"),
        ("env.observations.policy.enable_corruption=3", "must be true or false"),
        ("env.scene.robot.init_state.pos=5", "must be a list"),
        ("env.scene=5", "must be set option by option"),
        ("agent.max_iterations=5", "no learner"),
        ("foo", "is no override"),
        ("++env.x=3", "is no override"),
        ("env.sim.dt=", "is no override"),
        ("physics=bullet", r"bullet; its presets are isaacsim_physx, mujoco, newton_mjwarp"),
        ("presets=nothing", "its presets are"),
        ("renderer=rtx", "its presets are"),
        ("env.sim.physics=bullet", "Unknown preset 'bullet'"),
    ],
)
def test_wrong_override_is_one_sentence(override, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ZprlError, match=message) as info:
        resolve_task(TASK, None, [override])
    assert "\n" not in str(info.value)
    assert not list(tmp_path.iterdir()), "Hydra left a folder behind"


@pytest.mark.sim
def test_unknown_task():
    with pytest.raises(ZprlError, match=r"did you mean Zprl-Lift-Franka"):
        resolve_task("Zprl-Lift-Frank", None)


@pytest.mark.sim
def test_unknown_agent():
    with pytest.raises(ZprlError, match="it has rsl_rl_cfg_entry_point, zprl_cfg_entry_point"):
        resolve_task(TASK, "sac_cfg_entry_point")


@pytest.mark.sim
def test_list_of_tasks():
    *table, presets, agents = list_tasks("lift").splitlines()
    rows = {cells[1]: cells for line in table if len(cells := [cell.strip() for cell in line.split("|")]) > 1}
    assert rows[TASK][2:6] == ["franka_panda", "4 s at 20 Hz", "one_arm", ""]
    assert rows[f"{TASK}-Visual"][5] == "native, newton_renderer, randomize_images"
    assert presets.startswith("presets of all: ") and "randomize_train" in presets and "native" not in presets
    assert agents == "agents of all (--agent): rsl_rl_cfg_entry_point, zprl_cfg_entry_point"
    assert "presets of all: isaacsim_physx" in (alone := list_tasks("lift-franka-visual")) and ", native" in alone
    with pytest.raises(ZprlError, match="no task"):
        list_tasks("juggle")


# -- output


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[INFO]: Base environment:",
        "\tEnvironment device    : cpu",
        "+-------+------+-------+",
        "|   0   | success |   20.0 |",
        "Initialize solver took: Last: 1.202396 s, Mean: 1.202396 s, Std: 0.000000 s, N: 1",
        "linesearch iterations limit reached - please increase ls_iterations to 50",
        "Warp CUDA warning: Could not find or load the NVIDIA CUDA driver. GPU execution will not be available.",
    ],
)
def test_noise(line):
    assert not NoiseFilter().passes(line)


def test_warnings_are_shown_once_and_counted():
    noise_filter = NoiseFilter()
    shown = [noise_filter.passes(f"nefc overflow - please increase njmax to {n}") for n in (107, 108, 120)]
    assert shown == [True, False, False]
    assert noise_filter.summary() == ["2 more like: nefc overflow - please increase njmax to #"]


def test_errors_and_their_stacks_are_always_shown():
    noise_filter = NoiseFilter()
    lines = ["Traceback (most recent call last):", '  File "a.py", line 1', "ValueError: x"]
    assert all(noise_filter.passes(line) for line in lines * 2)
    assert not noise_filter.passes("[INFO] back to normal")


def run_quietly(body, **environment):
    """Run Python code inside quiet_simulator(); return its exit status, stdout and stderr."""
    code = "import os, sys\nfrom zprl.sim.isaaclab import quiet_simulator\nwith quiet_simulator():\n" + "".join(
        f"    {line}\n" for line in body
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env={**os.environ, **environment}
    )
    return result.returncode, result.stdout, result.stderr


KERNEL_OUTPUT = [
    r"os.write(1, b'linesearch iterations limit reached\n' * 5000)",
    r"os.write(1, b'nefc overflow - please increase njmax to 107\n' * 5000)",
]


def test_own_output_passes_and_kernel_output_is_filtered():
    status, stdout, stderr = run_quietly(["print('result')", *KERNEL_OUTPUT, "print('progress', file=sys.stderr)"])
    assert (status, stdout) == (0, "result\n")
    assert sorted(stderr.splitlines()) == [
        "4999 more like: nefc overflow - please increase njmax to #",
        "nefc overflow - please increase njmax to 107",
        "progress",
    ]


@pytest.mark.parametrize(
    ("crash", "status", "words"),
    [
        ("raise ValueError('broken')", 1, "ValueError: broken"),
        ("sys.exit('gone')", 1, "gone"),
        (r"os.write(2, b'terminate called after throwing\n'); os.abort()", -6, "terminate called"),
        (r"os.write(2, b'last words\n'); os._exit(3)", 3, "last words"),
    ],
)
def test_a_crash_loses_no_output(crash, status, words):
    got, stdout, stderr = run_quietly(["print('result')", *KERNEL_OUTPUT, crash])
    assert got == status
    assert stdout == "result\n"
    assert "nefc overflow" in stderr
    assert words in stderr


def test_verbose_shows_everything():
    _, stdout, stderr = run_quietly(KERNEL_OUTPUT[:1], ZPRL_VERBOSE="1")
    assert stdout.count("linesearch") == 5000
    assert not stderr


def test_works_under_captured_output(capfd):
    from zprl.sim.isaaclab import quiet_simulator

    with quiet_simulator(), quiet_simulator():
        os.write(1, b"linesearch iterations limit reached\nnefc overflow\n")
        print("result")
    print("afterwards")
    out, err = capfd.readouterr()
    assert out == "result\nafterwards\n"
    assert err == "nefc overflow\n"


def test_of_what_is_compiled_for_the_first_time_moviepy_alone_is_quiet():
    from zprl.sim.isaaclab import quiet_simulator

    folder = "/env/lib/python3.12/site-packages"
    with quiet_simulator(), warnings.catch_warnings(record=True) as said:
        for file in ("moviepy/config_defaults.py", "moviepy/video/io/ffmpeg_reader.py", "mine/moviepy.py"):
            compile(r"pattern = '\d+'", f"{folder}/{file}", "exec")
    assert [warning.filename for warning in said] == [f"{folder}/mine/moviepy.py"]


@pytest.mark.sim
def test_no_garbage_is_looked_for_among_modules_and_every_closed_environment_goes(monkeypatch):
    import gymnasium

    from zprl.sim.isaaclab import close_env, launch, make_env

    class Environment:
        def __init__(self):
            self.unwrapped = self  # only the garbage collector frees it

    def make(task, cfg):
        assert not gc.isenabled()
        if task == "broken":
            raise RuntimeError("broken")
        return Environment()

    monkeypatch.setattr(gymnasium, "make", make)
    monkeypatch.setattr(launch, "_ignored", "")
    gc.unfreeze()
    cfg: Any = None
    with pytest.raises(RuntimeError, match="broken"):
        make_env("broken", cfg)
    assert gc.isenabled()
    closed = []
    for number in range(3):
        closed.append(weakref.ref(make_env("whole", cfg)))
        assert gc.isenabled()
        assert gc.get_freeze_count() > 100_000
        close_env()
        gc.collect()
        # The first one stays until there is a second.
        assert [ref() is not None for ref in closed] == [number == 0] + [False] * number
