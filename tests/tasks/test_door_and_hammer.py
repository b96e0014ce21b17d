# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The door and hammer tasks: experts succeed, nothing else does, doors are latched and nails stay where they are."""

import pytest
import torch

from .conftest import share_that_succeeds

pytestmark = pytest.mark.sim

WORLDS = 32
HOLD = 25
"""Control steps of 0.02 s that a door has to be open and a nail home."""

JOINTS = {"Door": ("door", "door_hinge", 1.36, 1.34), "Hammer": ("board", "nail_dir", 0.0815, 0.0805)}
"""Thing, joint, a position beyond that of success, and one just short of it, by task."""


@pytest.fixture(params=["Door", "Hammer"], scope="module")
def env(request):
    """Give noiseless worlds on the CPU."""
    from zprl.runs.session import TaskSession

    task = f"Zprl-{request.param}-Adroit"
    session = TaskSession(task, "cpu", ["env.observations.policy.enable_corruption=False"], WORLDS, seed=0)
    with session.launched(), session.isaaclab_environment() as env:
        env.unwrapped.task, env.unwrapped.name = task, request.param  # type: ignore[attr-defined]
        yield env.unwrapped


def idle(env):
    return torch.tensor([number for part in env.cfg.idle_action.values() for number in part]).repeat(WORLDS, 1)


def place(env, name, **joints):
    """Put joints of a thing where they should be, at rest; each position is a number or one per world."""
    thing = env.scene[name]
    position = thing.data.joint_pos.torch.clone()
    for joint, value in joints.items():
        position[:, thing.joint_names.index(joint)] = value
    thing.write_joint_state_to_sim_index(position=position, velocity=torch.zeros_like(position))


def test_the_expert_succeeds(env):
    # Of 200 either succeeds in 188 and more; of 32, fewer than 26 would be one chance in a thousand.
    assert share_that_succeeds(env, env.task) >= 0.8


def test_nobody_succeeds_by_doing_nothing(env):
    env.reset(seed=1)
    for _ in range(40):
        env.step(idle(env))
        assert not env.termination_manager.get_term("success").any()
    name, joint, *_ = JOINTS[env.name]
    thing = env.scene[name]
    # Friction holds what nobody touches, a hammer lies on the table, and the hand does not sag by much.
    assert thing.data.joint_pos.torch[:, thing.joint_names.index(joint)].abs().max() < 1e-3
    if env.name == "Hammer":
        heights = env.scene["object"].data.root_pos_w.torch[:, 2]
        assert heights.min() > 0.02 and heights.max() < 0.03
        assert env.scene["object"].data.root_lin_vel_w.torch.norm(dim=1).max() < 1e-2
    assert env.scene["robot"].data.joint_pos.torch.abs().max() < 0.1


def test_success_is_a_joint_that_has_been_there_for_as_long_as_it_takes(env):
    """In worlds 0 and 1 it is; in 2 it is interrupted once, and in all others it is just short."""
    name, joint, beyond, short = JOINTS[env.name]
    env.reset(seed=2)
    position = torch.full((WORLDS,), short)
    for step in range(1, HOLD + 1):
        position[:3] = beyond
        position[2] = short if step == 12 else beyond
        place(env, name, **{joint: position, **({"latch": 1.7} if name == "door" else {})})
        _, reward, _, _, _ = env.step(idle(env))
        succeeded = env.termination_manager.get_term("success")
        expected = [0, 1] if step == HOLD else []
        assert succeeded.nonzero().flatten().tolist() == expected, step
        assert reward[succeeded].tolist() == pytest.approx([1.0] * len(expected)) and not reward[~succeeded].any()


def test_things_are_put_where_the_task_says(env):
    from zprl.tasks.door import door_env_cfg
    from zprl.tasks.hammer import hammer_env_cfg

    cfg = door_env_cfg if env.name == "Door" else hammer_env_cfg
    low, high = torch.tensor([cfg.LOW, cfg.HIGH])
    places = []
    for seed in range(8):
        env.reset(seed=seed)
        places.append(env.scene[JOINTS[env.name][0]].data.root_pos_w.torch.clone())
        for _ in range(2):
            env.step(idle(env))
        moved = env.scene[JOINTS[env.name][0]].data.root_pos_w.torch - places[-1]
        assert moved.abs().max() < 1e-6
    found = torch.cat(places)
    assert (found >= low - 1e-6).all() and (found <= high + 1e-6).all()
    # Of 256 uniform draws the least and the greatest are within a tenth of the range of its ends.
    assert ((found.amin(0) - low) <= 0.1 * (high - low) + 1e-6).all()
    assert ((high - found.amax(0)) <= 0.1 * (high - low) + 1e-6).all()


def test_a_door_is_shut_until_its_lever_is_turned(env):
    if env.name != "Door":
        pytest.skip("of the door task")
    door = env.scene["door"]
    hinge, latch = (door.joint_names.index(name) for name in ("door_hinge", "latch"))
    env.reset(seed=3)
    turned = torch.arange(WORLDS) % 2 == 0
    place(env, "door", latch=torch.where(turned, 1.7, 0.0))
    for _ in range(25):  # half a second of a pull that friction of 2 N m and damping of 1 N m s yield to
        velocity = door.data.joint_vel.torch.clone()
        velocity[:, hinge] = 1.0
        velocity[:, latch] = 0.0
        door.write_joint_velocity_to_sim_index(velocity=velocity)
        env.step(idle(env))
    angle = door.data.joint_pos.torch[:, hinge]
    assert (angle[turned] > 0.25).all() and (angle[~turned] < 0.12).all()


def test_a_nail_goes_in_by_force_and_stays(env):
    if env.name != "Hammer":
        pytest.skip("of the hammer task")
    board = env.scene["board"]
    env.reset(seed=4)
    place(env, "board", nail_dir=0.03)
    for _ in range(40):
        env.step(idle(env))
    # 2.5 N of friction hold 70 g, whichever way the board looks.
    assert (board.data.joint_pos.torch[:, 0] - 0.03).abs().max() < 1e-3


@pytest.mark.parametrize("name", ["door", "nail board"])
def test_files_are_what_the_generators_write(name, tmp_path):
    from zprl.tasks.door.door_env_cfg import DOOR_USD
    from zprl.tasks.door.door_usd import write_door
    from zprl.tasks.hammer.hammer_env_cfg import NAIL_BOARD_USD
    from zprl.tasks.hammer.nail_board_usd import write_nail_board

    file, write = (DOOR_USD, write_door) if name == "door" else (NAIL_BOARD_USD, write_nail_board)
    assert write(tmp_path / "thing.usda").read_text() == file.read_text(), f"run the module that writes {file.name}"
