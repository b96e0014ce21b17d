# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Worlds in processes: the same numbers as one after another here, and nothing left behind however they end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from zprl.sim.gymnasium import GymnasiumEnv
from zprl.sim.workers import WorkerVectorEnv
from zprl.utils.errors import ZprlError

from .drifting_world import DIES, EXITS, RAISES, DriftingWorld

SEEDS = [11, 12, 13, 14, 15]


def workers(num_envs=5, count=2, **arguments):
    return WorkerVectorEnv(DriftingWorld, num_envs, count, arguments, "task Drift")


def is_there(pid):
    """Return whether a process is there and is not merely remembered by its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def actions(steps, num_envs=5):
    return np.random.default_rng(0).uniform(-1, 1, (steps, num_envs, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def two():
    """Give five worlds in two processes."""
    worlds = workers()
    yield worlds
    worlds.close()
    worlds.close()
    assert not any(map(is_there, worlds.pids))


def plain_run(number, seed, acts):
    """Return what one world, in this process, answers to its row of actions; it is reset where an episode ends."""
    world, rows = DriftingWorld(), []
    obs, _ = world.reset(seed=seed)
    first = obs["policy"]
    for act in acts[:, number]:
        obs, reward, terminated, truncated, info = world.step(act)
        final = obs["policy"]
        if terminated or truncated:
            obs, _ = world.reset()
        rows.append((obs["policy"], final, reward, terminated, truncated, info["success"]))
    return first, rows


def test_every_world_is_the_one_that_its_seed_and_actions_make_alone(two):
    """Bit for bit, beyond ends of both kinds."""
    acts = actions(30)
    first, _ = two.reset(seed=SEEDS)
    first = {name: value.copy() for name, value in first["policy"].items()}
    found = []
    for act in acts:
        obs, reward, terminated, truncated, info = two.step(act)
        final = info.get("final_obs", obs)["policy"]
        found.append(([{k: v.copy() for k, v in part.items()} for part in (obs["policy"], final)], reward, terminated,
                      truncated, info["success"]))  # fmt: skip
    ends = np.zeros(2, dtype=int)
    for number, seed in enumerate(SEEDS):
        begun, rows = plain_run(number, seed, acts)
        assert all((first[name][number] == begun[name]).all() for name in begun)
        for (seen, reward, terminated, truncated, success), row in zip(found, rows, strict=True):
            over = row[3] or row[4]
            for part, expected in zip(seen[: 1 + over], row[:2], strict=False):
                assert all((part[name][number] == expected[name]).all() for name in expected)
            flags = (reward[number], terminated[number], truncated[number], success[number])
            assert flags == row[2:]
            ends += (row[3], row[4])
    assert (ends > 5).all()


def test_a_start_and_what_follows_depend_on_the_seed_and_not_on_the_number_of_worlds_or_workers(two):
    def run(worlds, seeds):
        env = GymnasiumEnv("Drift", worlds, step_dt=0.1, max_episode_length=9)
        seen = [env.reset_to(seeds)["policy"].clone()]
        for act in actions(12)[:, :2]:
            row = torch.zeros(env.num_envs, 2)
            row[:2] = torch.from_numpy(act)
            seen.append(env.step(row).observations["policy"].clone())
        return torch.stack(seen)[:, :2]

    other = workers(3, 1)
    try:
        assert torch.equal(run(other, SEEDS[:2]), run(two, SEEDS[:2]))
    finally:
        other.close()


def test_worlds_are_divided_among_the_processes_in_order(two):
    names = two.call("name", "!")
    assert names == tuple(f"{pid}!" for pid in [two.pids[0]] * 3 + [two.pids[1]] * 2)
    assert two.knows("name") and not two.knows("idle_action")


def test_a_world_that_says_nothing_of_success_is_refused_when_its_episode_ends():
    env = GymnasiumEnv("Drift", workers(1, 1, says=False), step_dt=0.1, max_episode_length=9)
    try:
        with pytest.raises(ZprlError, match="does not say in info"):
            for _ in range(10):
                env.step(torch.zeros(1, 2))
    finally:
        env.close()


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (RAISES, r"^worlds 3 to 4 of task Drift failed \(step\): FloatingPointError: the world is out of joint\.$"),
        (DIES, r"^the process of worlds 3 to 4 of task Drift was killed \(SIGKILL\), .*; run the command again, "),
        (EXITS, r"^the process of worlds 3 to 4 of task Drift has ended with status 7, "),
    ],
)
def test_a_world_that_breaks_is_one_sentence_and_leaves_no_process(what, words):
    worlds = workers()
    worlds.reset(seed=SEEDS)
    broken = np.zeros((5, 2), dtype=np.float32)
    broken[3, 0] = what
    with pytest.raises(ZprlError, match=words) as error:
        worlds.step(broken)
    assert "\n" not in str(error.value)
    assert not any(map(is_there, worlds.pids))
    worlds.close()


def test_a_world_that_cannot_be_made_is_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        workers(2, 1, colour="red")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_workers_end_with_whoever_they_work_for(number, status):
    """At Ctrl-C, which a terminal sends to all processes of its group, at the end of a job, and without a word."""
    program = [sys.executable, "-m", "tests.sim.drifting_world"]
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        program, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    pids = [int(word) for word in process.stdout.readline().split()]
    assert len(pids) == 2 and all(map(is_there, pids))
    time.sleep(0.2)
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == status
    assert "Traceback" not in said
    deadline = time.monotonic() + 10
    while any(map(is_there, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
