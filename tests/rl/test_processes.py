# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Two real processes learn what one learns from the worlds of both; see toy_training.py."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from zprl.utils import processes
from zprl.utils.errors import ZprlError

PROGRAM = Path(__file__).with_name("toy_training.py")


def start(arguments, count):
    """Start Python ``count`` times, with the variables that torchrun sets."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [
        subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            env={**os.environ, **{k: str(v) for k, v in {**common, "RANK": rank, "LOCAL_RANK": rank}.items()}},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


def finish(started):
    """Wait for the processes; return (status, stdout, stderr) of each."""
    ended = []
    for process in started:
        out, err = process.communicate(timeout=300)
        ended.append((process.returncode, out, err))
    return ended


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return run_toy(tmp_path_factory.mktemp("alone"), 1)[0]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return run_toy(tmp_path_factory.mktemp("both"), 2)


def run_toy(folder, count):
    for status, _, err in finish(start([PROGRAM, folder], count)):
        assert status == 0, err
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(count)]


def test_the_processes_agree_to_the_last_bit(both):
    first, second = both
    for moment in ("state", "learned"):
        assert first[moment].keys() == second[moment].keys()
        assert all(torch.equal(first[moment][name], second[moment][name]) for name in first[moment])
    assert any(not torch.equal(first["state"][name], first["learned"][name]) for name in first["state"])


def test_the_gradient_is_that_of_one_process_on_all_worlds(alone, both):
    assert (alone["class"], both[0]["class"]) == ("PPO", "PPO")
    for name, expected in alone["gradients"].items():
        assert expected.abs().max() > 1e-5, name
        torch.testing.assert_close(both[0]["gradients"][name], expected, rtol=1e-4, atol=1e-6, msg=name)


def test_advantages_are_normalised_over_all_worlds(alone, both):
    together = torch.cat([part["advantages"] for part in both], dim=1)
    torch.testing.assert_close(together, alone["advantages"], rtol=1e-5, atol=1e-6)
    assert together.double().mean().abs() < 1e-6
    assert together.double().std() == pytest.approx(1.0, abs=1e-5)
    # By itself neither half has these moments.
    assert both[1]["advantages"].mean() > 0.5


def test_statistics_of_observations_are_those_of_all_worlds(alone, both):
    from .toy_training import OBSERVATIONS, STEPS

    seen = OBSERVATIONS[:STEPS].flatten(0, 1).double()
    for model in ("actor", "critic"):
        state = both[1]["state"]
        assert state[f"{model}.obs_normalizer.count"] == len(seen)
        torch.testing.assert_close(state[f"{model}.obs_normalizer._mean"][0].double(), seen.mean(0))
        expected = seen.var(0, unbiased=False)
        torch.testing.assert_close(state[f"{model}.obs_normalizer._var"][0].double(), expected, rtol=1e-5, atol=1e-6)
        assert torch.equal(alone["state"][f"{model}.obs_normalizer.count"], state[f"{model}.obs_normalizer.count"])


def test_logs_are_about_all_worlds(alone, both):
    first = both[0]
    assert len(alone["rewards"]) > 20
    assert sorted(first["rewards"]) == pytest.approx(sorted(alone["rewards"]))
    assert sorted(first["lengths"]) == sorted(alone["lengths"])
    assert first["env_steps"] == alone["env_steps"] == 3 * 6 * 8 * 4  # iterations, steps, worlds, actions of a chunk
    assert first["tot_timesteps"] == alone["tot_timesteps"] == 3 * 6 * 8
    assert first["scalars"]["Steering/world"] == alone["scalars"]["Steering/world"] == [3.5] * 3
    assert first["counts"] == both[1]["counts"] == (1 + 2, 2 + 4, 3 + 6)
    assert both[1]["scalars"] == {}, "the second process writes nothing"


def test_worlds_and_random_numbers_differ_between_the_processes_and_are_reproducible(both, tmp_path):
    first, second = both
    assert first["worlds"] + second["worlds"] == list(range(8))
    assert len(set(first["seeds"] + second["seeds"])) < len(first["seeds"] + second["seeds"])  # made, then restarted
    assert not set(first["seeds"]) & set(second["seeds"])
    assert not torch.equal(first["random"], second["random"])
    again = run_toy(tmp_path, 2)
    for before, after in zip(both, again, strict=True):
        assert after["seeds"] == before["seeds"]
        assert torch.equal(after["random"], before["random"])
        assert all(torch.equal(after["learned"][name], before["learned"][name]) for name in before["learned"])


def test_what_the_first_process_makes_the_others_find(both):
    assert [part["order"] for part in both] == [[0, 1], [0, 1]]
    assert [part["made"] for part in both] == ["1", "0"]  # characters written; what the first wrote


# The first process fails, or dies, while the second waits for it.
ENDING = """
import os, signal, sys, time
from zprl.utils import processes
from zprl.utils.errors import ZprlError, run_cli

def fail():
    raise ZprlError("there is no base policy; train one.")

def die():
    os.kill(os.getpid(), signal.SIGKILL)

@processes.only_first_process_prints()
def main():
    with processes.joined("cpu"):
        print("speaks")
        if sys.argv[1] == "second" and processes.is_first():
            processes.gather(0)
        elif sys.argv[1] == "second":
            die()
        processes.first_then_others({"fail": fail, "die": die}[sys.argv[1]])

run_cli(main)
"""


def test_one_process_speaks_and_all_end_with_the_one_that_fails():
    first, second = finish(start(["-c", ENDING, "fail"], 2))
    assert first == (2, "speaks\n", "error: there is no base policy; train one.\n")
    assert second == (1, "", "")


@pytest.mark.parametrize(("killed", "survivor"), [("die", 1), ("second", 0)])
def test_who_loses_another_process_says_so_in_one_sentence(killed, survivor):
    ended = finish(start(["-c", ENDING, killed], 2))
    assert ended[1 - survivor][0] == -signal.SIGKILL
    status, out, err = ended[survivor]
    assert status == 2, err
    assert out == ("speaks\n" if survivor == 0 else "")
    (line,) = [line for line in err.splitlines() if line.startswith("error:")]  # beside torch's own warnings
    assert "Traceback" not in err
    assert line.startswith(f"error: process {survivor} has lost another process")
    assert "--checkpoint latest" in line


def test_ctrl_c_is_answered_by_the_first_process_alone():
    waiting = "import time; from zprl.utils import processes; from zprl.utils.errors import run_cli\n"
    waiting += "@processes.only_first_process_prints()\ndef main():\n    print('ready', flush=True)\n"
    waiting += "    time.sleep(100)\nrun_cli(main)"
    started = start(["-c", waiting], 2)
    assert started[0].stdout is not None
    started[0].stdout.readline()
    time.sleep(1.0)
    for process in started:
        process.send_signal(signal.SIGINT)
    first, second = finish(started)
    assert (first[0], second[0]) == (130, 130)
    assert first[2].startswith("\ninterrupted:")
    assert second[1:] == ("", "")


@pytest.fixture
def third_of_four(monkeypatch):
    for name, value in (("WORLD_SIZE", 4), ("RANK", 2), ("LOCAL_RANK", 0), ("LOCAL_WORLD_SIZE", 2)):
        monkeypatch.setenv(name, str(value))


def test_shares(third_of_four, monkeypatch):
    assert processes.share(256, "--num_envs") == 64
    with pytest.raises(ZprlError, match=r"^--num_envs is 30, which 4 processes cannot share evenly; .* multiple of 4"):
        processes.share(30, "--num_envs")
    assert processes.share_of(range(10)) == range(5, 7)
    for total in (0, 1, 3, 4, 10, 200):
        parts = []
        for rank in range(4):
            monkeypatch.setenv("RANK", str(rank))
            parts += processes.share_of(range(total))
        assert parts == list(range(total))


def test_cores_are_shared_by_the_processes_of_a_machine(third_of_four, monkeypatch):
    for cores, expected in ((8, 4), (3, 1), (1, 1)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid, cores=cores: set(range(cores)))
        assert processes.num_cores() == expected


def test_every_process_takes_a_gpu_of_its_own(third_of_four, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert processes.own_device("cpu") == "cpu"
    assert processes.own_device("cuda") == "cuda:1"
    with pytest.raises(ZprlError, match="--device cuda instead of cuda:0"):
        processes.own_device("cuda:0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ZprlError, match="2 processes need as many GPUs, and PyTorch finds 1"):
        processes.own_device("cuda")
    monkeypatch.delenv("WORLD_SIZE")
    assert processes.own_device("cuda:0") == "cuda:0"


@pytest.mark.parametrize(
    ("asked", "share", "expected"),
    [(None, 1, 8), ("3", 1, 3), ("99", 1, 8), ("0", 1, 8), ("2,4", 1, 8), (None, 4, 2), ("3", 4, 2), (None, 16, 1)],
)
def test_threads_are_the_cores_of_this_process_or_as_few_as_the_user_asks_for(asked, share, expected, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(share))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert processes.num_threads() == expected


def test_all_threads_are_taken_while_the_block_lasts_and_given_back_after_an_error(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(processes, "num_threads", lambda: before + 2)
    with pytest.raises(KeyError), processes.all_threads():
        assert torch.get_num_threads() == before + 2
        raise KeyError
    assert torch.get_num_threads() == before
