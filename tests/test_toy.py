# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The whole way without a simulator: a Gymnasium environment with two arms and a camera, from demonstrations to PPO and
SAC on the latent and its export, and a base policy of another framework.

One process does it all, see toy/program.py; no part of Isaac Lab can be imported in it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parent / "toy" / "program.py"
WORLDS, HANDS, LATENT = 64, 6, 8


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=800,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads((folder / "found.json").read_text())


def test_no_simulator_is_in_the_process(found):
    assert found["simulators"] == []


def test_the_base_policy_finds_what_only_the_camera_sees_but_not_always(found):
    # Its demonstrator aims beside the targets. Without the image it would find both in about 1 of 100 episodes.
    assert found["demonstrations"] > 0.9
    assert 0.2 < found["ppo"]["base"] < 0.8
    assert found["sac"]["base"] == found["ppo"]["base"]


@pytest.mark.parametrize("algo", ["ppo", "sac"])
def test_learning_on_the_latent_improves_it(found, algo):
    # Seeds 0 and 2 of the program: PPO 0.46 and 0.14, SAC 0.43 and 0.09, with base policies of 0.41 and 0.77.
    assert found[algo]["difference"] > 0.08
    assert found[algo]["p_value"] < 0.02


@pytest.mark.parametrize("algo", ["ppo", "sac"])
def test_an_image_is_encoded_once_per_chunk_and_world_in_training(found, algo):
    entry = found[algo]
    last = WORLDS  # what follows the last chunk, whose value the learner asks for
    assert entry["chunks"] > 0
    assert entry["timed_out"] > 0
    # An off-policy learner looks at the ends of episodes that ran out of time as well.
    assert entry["encoded"] == entry["chunks"] + last + (entry["timed_out"] if algo == "sac" else 0)


@pytest.mark.parametrize("algo", ["ppo", "sac"])
def test_an_image_is_encoded_once_per_chunk_and_world_in_an_evaluation(found, algo):
    assert found[algo]["evaluation"]["chunks"] >= WORLDS
    assert found[algo]["evaluation"]["encoded"] == found[algo]["evaluation"]["chunks"]


@pytest.mark.parametrize("algo", ["ppo", "sac"])
def test_a_checkpoint_acts_as_the_learner_did(found, algo):
    assert found[algo]["evaluation"]["same"]


@pytest.mark.parametrize("algo", ["ppo", "sac"])
def test_its_export_acts_as_it_does(found, algo):
    entry = found[algo]["export"]
    assert "portable" in entry["verified"]
    assert entry["error"] < 1e-5 < entry["deviation"]


@pytest.mark.parametrize("algo", ["ppo", "sac"])
def test_the_learner_stores_no_images(found, algo):
    assert found[algo]["stored"] == {"policy": [HANDS], "latent": [LATENT]}


def test_smoothness_is_the_mean_over_both_arms(found):
    entry = found["smoothness"]
    taken, expected = entry["steps"]
    assert taken == expected > 2
    assert entry["shape"] == [taken, 2, 3]
    left, right = entry["speeds"]
    assert abs(left - right) > 0.1 * left  # so that one arm's speed alone would be another number
    assert entry["found"]["velocity"] == pytest.approx((left + right) / 2, rel=1e-4)
    assert entry["found"]["acceleration"] == pytest.approx(0.0, abs=1e-3)


def test_final_observations_are_those_before_the_reset(found):
    entry = found["final_observations"]
    assert entry["truncated"] >= 4
    assert entry["error"] < 1e-6
    assert entry["renewed"]


def test_a_start_depends_on_its_seed_alone(found):
    assert found["starts"] == {"same": True, "rest": True, "different": 3}


def test_a_base_policy_without_a_latent_is_refused_for_it(found):
    assert found["foreign"]["refusal"] == (
        "LatentResidual steers a base policy by its latent, and this one (NoiseToChunk) has none; it can be steered by "
        "noise, actions."
    )


def test_it_is_steered_by_its_noise(found):
    entry = found["foreign"]
    assert 0.2 < entry["base"] < 0.8
    assert entry["difference"] > 0.08
    assert entry["p_value"] < 0.01


def test_its_training_continues_exactly(found):
    assert found["foreign"]["learned"]
    assert found["foreign"]["same"]
