# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Values of options: one rule for seeds."""

import argparse

import pytest

from zprl.utils.arguments import seed_int, seed_or_random
from zprl.utils.constraints import Seed, fits


def test_a_random_seed_is_drawn_and_said_and_then_is_a_seed_like_any_other(capsys):
    seeds = {seed_or_random("-1") for _ in range(3)}
    assert len(seeds) == 3
    said = capsys.readouterr().err.splitlines()
    assert {f"seed: {seed}, drawn at random" for seed in seeds} == set(said)
    assert all(seed_int(str(seed)) == seed for seed in seeds)
    assert seed_or_random("7") == 7
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("text", ["-2", str(2**31)])
def test_no_other_seed_is_taken_than_a_setting_takes(text):
    assert not fits(Seed, int(text))
    with pytest.raises(argparse.ArgumentTypeError, match="is not an integer of at least 0 and"):
        seed_or_random(text)


def test_several_processes_must_be_given_a_seed(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(argparse.ArgumentTypeError, match="another seed in each process"):
        seed_or_random("-1")
    with pytest.raises(argparse.ArgumentTypeError, match="is not an integer of at least 0 and"):
        seed_int("-1")  # such as one of a study's seeds, which goes on where it was stopped
