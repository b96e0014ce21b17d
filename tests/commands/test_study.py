# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A small study by its script, from the runs' processes to the report."""

import json

import pytest

from .conftest import NUM_ENVS, SETTINGS, STEPS_PER_ITERATION, TASK, call, files_below

pytestmark = pytest.mark.sim

STUDY_SETTINGS = [text for text in SETTINGS if not text.startswith("agent.save_interval=")]


def study(folder, *extra, settings=STUDY_SETTINGS):
    argv = ["--task", TASK, "--num_envs", NUM_ENVS, "--jobs", 2, "--output", "report", *extra, *settings]
    return call("study", list(map(str, argv)), folder)


@pytest.mark.slow
def test_a_study_from_its_runs_to_its_report(workshop, tmp_path):
    workshop.stock(tmp_path)
    options = ["--methods", "zprl", "--algos", "ppo", "--seeds", "0,1", "--evaluations", 2]
    options += ["--budget", 3 * STEPS_PER_ITERATION + 1]
    outcome = study(tmp_path, *options)
    assert outcome.status == 0, outcome.err
    assert "base policy of" not in outcome.out  # the one of the settings was there
    folder = tmp_path / "logs" / "studies" / TASK / "methods"
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["pinned"]["budget"] == 4 * STEPS_PER_ITERATION
    assert report["pinned"]["evaluated at"] == [2 * STEPS_PER_ITERATION, 4 * STEPS_PER_ITERATION]
    (variant,) = report["results"]
    for run in variant["runs"]:
        run_dir = folder / f"zprl_ppo_seed{run['seed']}"
        result = json.loads((run_dir / "result.json").read_text())
        assert (result["seed"], result["environment_steps"]) == (run["seed"], 4 * STEPS_PER_ITERATION)
        assert run["rates"][-1] == result["steered"]["rate"]
        assert [path.name for path in run_dir.glob("model_*.safetensors")] == ["model_4.safetensors"]
    # Seed 0 is the run that train.py does by itself, but for the evaluation on the way.
    assert variant["runs"][0]["final"]["rate"] == workshop.result["steered"]["rate"]
    assert [run["residual_scale"] for run in report["latent"]["zprl_ppo"]] == [workshop.result["residual_scale"]] * 2
    for name in ("curves.png", "latent_shift.png", "latent_maps.png"):
        assert (tmp_path / "report" / name).read_bytes().startswith(b"\x89PNG")

    before = files_below(folder).keys()
    again = study(tmp_path, *options)
    assert again.status == 0, again.err
    assert "finished" not in again.out
    assert files_below(folder).keys() == before
    other = study(tmp_path, *options[:-1], 9 * STEPS_PER_ITERATION)
    assert other.status == 2
    assert "was begun with" in other.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ([], ["--methods", "--ablation"]),
        (["--methods", "zprl", "--ablation", "lambda"], ["one of them"]),
        (["--methods", "zprl,nosie"], ["'nosie'", "noise"]),
        (["--ablation", "gamma"], ["'gamma'", "lambda"]),
        (["--ablation", "z_dim", "--base", "base.safetensors"], ["z_dim", "drop --base"]),
        (["--methods", "zprl", "--values", "1,2"], ["--values"]),
        (["--methods", "zprl", "--seeds", "1,1"], ["--seeds"]),
        (["--methods", "zprl", "--name", "../escaped"], ["--name", "'../escaped'", "without slashes"]),
        (["--methods", "zprl", "agent.save_interval=5"], ["agent.save_interval", "--evaluations"]),
        (["--methods", "zprl", "agent.steering.nope=5"], ["agent.steering.nope"]),
        (["--methods", "zprl", "--report_only"], ["study.json", "does not exist"]),
    ],
)
def test_a_wrong_study_is_refused_in_one_sentence(tmp_path, extra, words):
    outcome = study(tmp_path, *extra, settings=[])
    assert outcome.status == 2, outcome.err
    (line,) = outcome.error_lines
    assert all(word in line for word in words), line
    assert files_below(tmp_path) == {}
