# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What MuJoCo's CPU engine cannot do is refused in one sentence, and it is the default where it can."""

import pytest

from zprl.utils.errors import ZprlError

from .conftest import TASK, lift_environment, solver_of

pytestmark = pytest.mark.sim


def contact_sensor(env_cfg):
    from isaaclab.sensors import ContactSensorCfg

    env_cfg.scene.contact = ContactSensorCfg(prim_path="{ENV_REGEX_NS}/Robot/panda_leftfinger")


def joint_wrench_sensor(env_cfg):
    from isaaclab.sensors import JointWrenchSensorCfg

    env_cfg.sim.physics.solver_cfg.disable_sensors = False
    env_cfg.scene.wrench = JointWrenchSensorCfg(prim_path="{ENV_REGEX_NS}/Robot")


def imu(env_cfg):
    from isaaclab.sensors import ImuCfg

    env_cfg.sim.physics.solver_cfg.disable_sensors = False
    env_cfg.scene.imu = ImuCfg(prim_path="{ENV_REGEX_NS}/Robot/panda_hand")


def newton_collisions(env_cfg):
    env_cfg.sim.physics.solver_cfg.use_mujoco_contacts = False


@pytest.mark.parametrize(
    ("add", "what"),
    [
        (contact_sensor, "contact sensors"),
        (joint_wrench_sensor, "joint wrench sensors"),
        (imu, "IMU and PVA sensors"),
        (newton_collisions, r"Newton's collision detection \(use_mujoco_contacts=False\)"),
    ],
)
def test_unsupported_is_refused(add, what):
    message = f"^physics=mujoco does not support {what}, which this task uses; choose physics=newton_mjwarp.$"
    with pytest.raises(ZprlError, match=message), lift_environment(configure=add):
        pass


def test_frame_transformer_is_supported():
    import torch

    from isaaclab.sensors import FrameTransformerCfg

    def add(env_cfg):
        env_cfg.scene.frames = FrameTransformerCfg(
            prim_path="{ENV_REGEX_NS}/Robot/panda_link0",
            target_frames=[FrameTransformerCfg.FrameCfg(prim_path="{ENV_REGEX_NS}/Robot/panda_hand")],
        )

    with lift_environment(configure=add) as env:
        env.reset(seed=0)
        env.step(torch.ones(env.num_envs, 7))
        robot = env.scene["robot"].data
        hand = robot.body_pos_w.torch[:, env.scene["robot"].find_bodies("panda_hand")[0][0]]
        torch.testing.assert_close(env.scene["frames"].data.target_pos_w.torch[:, 0], hand)


def test_wrong_number_of_threads():
    with (
        pytest.raises(ZprlError, match="needs 0 threads"),
        lift_environment(overrides=["env.sim.physics.solver_cfg.threads=-1"]),
    ):
        pass


def test_default_number_of_threads_is_that_of_the_cores(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2})
    with lift_environment() as env:
        assert solver_of(env).num_threads == 3


@pytest.mark.parametrize("name", ["_update_mjc_data", "_update_newton_state"])
def test_another_newton_is_refused(name, monkeypatch):
    from newton.solvers import SolverMuJoCo

    monkeypatch.setattr(SolverMuJoCo, name, lambda self, something: None)
    with (
        pytest.raises(ZprlError, match=rf"does not fit newton \S+ with mujoco \S+, whose SolverMuJoCo.{name} has"),
        lift_environment(),
    ):
        pass


def test_another_mujoco_warp_is_refused():
    import mujoco

    from zprl.sim.isaaclab.mujoco.model_properties import read_properties

    class OtherModel:
        qpos0 = None

    model = mujoco.MjModel.from_xml_string("<mujoco/>")  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ZprlError, match=r"does not fit this version of mujoco-warp, whose Model.qpos0 has changed"):
        read_properties(OtherModel(), model)


# -- configuration


def resolved(overrides=(), device="cpu"):
    from zprl.sim.isaaclab import resolve_task
    from zprl.sim.isaaclab.mujoco import choose_engine

    env_cfg, _ = resolve_task(TASK, None, overrides)
    return choose_engine(env_cfg, device), env_cfg.sim.physics


@pytest.mark.parametrize(
    ("overrides", "device", "engine", "solver"),
    [
        ((), "cpu", "mujoco", "MujocoSolverCfg"),
        ((), "cuda:0", "newton_mjwarp", "MJWarpSolverCfg"),
        (("physics=mujoco",), "cpu", "mujoco", "MujocoSolverCfg"),
        (("physics=newton_mjwarp",), "cpu", "newton_mjwarp", "MJWarpSolverCfg"),
        (("physics=newton_mjwarp",), "cuda:0", "newton_mjwarp", "MJWarpSolverCfg"),
    ],
)
def test_device_decides_unless_the_engine_is_chosen(overrides, device, engine, solver):
    name, physics = resolved(overrides, device)
    assert (name, type(physics.solver_cfg).__name__) == (engine, solver)
    assert physics.class_type == physics.solver_cfg.class_type
    assert (physics.num_substeps, physics.solver_cfg.iterations, physics.solver_cfg.integrator) == (
        5,
        20,
        "implicitfast",
    )


def test_default_and_explicit_choice_are_the_same_on_a_cpu():
    from isaaclab.utils import class_to_dict

    assert class_to_dict(resolved()[1]) == class_to_dict(resolved(["physics=mujoco"])[1])


def test_mujoco_on_a_gpu_is_refused():
    with pytest.raises(ZprlError, match="runs on the CPU only, but the device is cuda:0; choose physics=newton_mjwarp"):
        resolved(["physics=mujoco"], "cuda:0")


def test_the_number_of_threads_makes_no_other_data_set():
    from zprl.runs.paths import env_settings
    from zprl.sim.isaaclab import resolve_task

    settings = [env_settings(resolve_task(TASK, None, [f"env.sim.physics.solver_cfg.threads={n}"])[0]) for n in (1, 2)]
    assert settings[0] == settings[1]


def test_isaaclabs_own_tasks_have_the_preset():
    from zprl.sim.isaaclab import resolve_task

    newton, _ = resolve_task("Isaac-Lift-Franka", None, ["physics=newton_mjwarp"])
    mujoco, _ = resolve_task("Isaac-Lift-Franka", None, ["physics=mujoco"])
    ours, theirs = mujoco.sim.physics, newton.sim.physics
    assert type(ours.solver_cfg).__name__ == "MujocoSolverCfg"
    for name in ("num_substeps", "default_shape_cfg"):
        assert getattr(ours, name) == getattr(theirs, name)
    for name in ("iterations", "cone", "impratio", "integrator", "njmax"):
        assert getattr(ours.solver_cfg, name) == getattr(theirs.solver_cfg, name)
    default, _ = resolve_task("Isaac-Lift-Franka", None)
    assert type(default.sim.physics).__name__ == type(newton.sim.physics).__name__
    assert type(default.sim.physics.solver_cfg).__name__ == "MJWarpSolverCfg"


def test_somebody_elses_task_runs_on_it():
    """A task that knows nothing of this engine: its Newton preset's values are taken, and worlds stand apart."""
    import gymnasium
    import torch

    from isaaclab.physics import PhysicsCfg
    from isaaclab.utils import configclass
    from isaaclab_newton.physics import MJWarpSolverCfg, NewtonCfg
    from isaaclab_ov.physics import OvPhysxCfg
    from isaaclab_tasks.utils import PresetCfg, preset

    from zprl.sim.isaaclab import close_env, configure_runtime, launched, make_env, quiet_simulator, resolve_task
    from zprl.tasks.lift.config.franka.env_cfg import FrankaLiftEnvCfg

    @configclass
    class TheirPhysicsCfg(PresetCfg):
        default: PhysicsCfg = OvPhysxCfg()
        newton_mjwarp: PhysicsCfg = NewtonCfg(solver_cfg=MJWarpSolverCfg(integrator="implicitfast", iterations=17))

    @configclass
    class TheirEnvCfg(FrankaLiftEnvCfg):
        def __post_init__(self):
            super().__post_init__()
            self.sim.physics = TheirPhysicsCfg()  # pyright: ignore[reportAttributeAccessIssue]
            self.sim.dt = 0.01
            self.decimation = preset(default=7, newton_mjwarp=5)  # pyright: ignore[reportAttributeAccessIssue]
            self.scene.env_spacing = 2.5

    gymnasium.register(
        "Their-Task",
        entry_point="isaaclab.envs:ManagerBasedRLEnv",
        disable_env_checker=True,
        kwargs={"env_cfg_entry_point": TheirEnvCfg},
    )
    try:
        configure_runtime("cpu")
        with quiet_simulator():
            env_cfg, _ = resolve_task("Their-Task", None, ["physics=mujoco", "env.scene.num_envs=4"])
            assert (env_cfg.decimation, env_cfg.sim.physics.solver_cfg.iterations) == (5, 17)
            with launched(env_cfg, "cpu"):
                env = make_env("Their-Task", env_cfg)
                try:
                    env.reset(seed=0)
                    for _ in range(5):
                        env.step(torch.zeros(4, 7))
                    assert type(solver_of(env)).__name__ == "MujocoSolver"
                    assert solver_of(env)._models.num_models == 1
                    height = env.scene["object"].data.root_pos_w.torch[:, 2]
                    torch.testing.assert_close(height, torch.full((4,), 0.0275), atol=1e-3, rtol=0)
                finally:
                    close_env(env)
    finally:
        del gymnasium.registry["Their-Task"]
