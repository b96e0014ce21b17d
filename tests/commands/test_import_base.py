# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What the import of a policy of LeRobot refuses, each in one sentence; none of it needs LeRobot."""

import importlib.metadata
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.policies.test_imported import FIXTURE

from zprl.commands import import_base
from zprl.policies.imported import lerobot
from zprl.utils.errors import NotInstalledError, ZprlError


@pytest.fixture
def checkpoint(tmp_path):
    """Return a checkpoint's folder, whose weights are of no consequence."""
    folder = tmp_path / "pretrained_model"
    shutil.copytree(FIXTURE / "checkpoint", folder)
    (folder / "model.safetensors").touch()
    return folder


def change(path, edit):
    values = json.loads(path.read_text())
    edit(values)
    path.write_text(json.dumps(values))


def refusal(checkpoint, *, source=None, **options):
    """Return why an import is refused; nothing is written."""
    output = checkpoint.parent / "bases"
    options = {"frequency": 20, **options}
    with pytest.raises(ZprlError) as caught:
        import_base.run(
            import_base.ImportBaseOptions(source=source or f"lerobot:{checkpoint}", output=output, **options)
        )
    assert not output.exists()
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".")
    return message


def test_without_lerobot_it_says_where_to_run_the_command(checkpoint, monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    message = refusal(checkpoint)
    assert message.startswith("LeRobot is not installed in this environment") and "`zprl import-base`" in message
    with pytest.raises(NotInstalledError):
        lerobot.require_lerobot()


def test_another_version_of_lerobot(checkpoint, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.7.0")
    assert re.match(r"LeRobot 0\.7\.0 is installed, .* 0\.6\.1, .*pip install", refusal(checkpoint))


@pytest.mark.parametrize("file", [lerobot.PRE, lerobot.POST])
def test_a_checkpoint_without_its_processors(checkpoint, file):
    (checkpoint / file).unlink()
    assert f"lacks {file}, in which LeRobot keeps what normalises" in refusal(checkpoint)


def test_a_feature_that_is_not_normalised(checkpoint, monkeypatch):
    change(checkpoint / lerobot.PRE, lambda v: v["steps"][3]["config"]["norm_map"].pop("ENV"))
    message = refusal(checkpoint)
    assert "does not normalise observation.environment_state" in message and "--unnormalised" in message
    found = lerobot.Checkpoint(checkpoint).transform("observation.environment_state", unnormalised=True)
    assert found == {"mode": "IDENTITY"}


def test_statistics_that_are_missing(checkpoint):
    file = next(checkpoint.glob("policy_preprocessor_step_3*"))
    save_file({k: v for k, v in load_file(file).items() if k != "observation.state.max"}, file)
    assert "has no observation.state.max among the statistics" in refusal(checkpoint)
    file.unlink()
    assert "lacks the statistics of policy_preprocessor.json" in refusal(checkpoint)


def test_what_processors_do_is_read_as_lerobot_wrote_it(checkpoint):
    found = lerobot.Checkpoint(checkpoint)
    state, environment = (found.transform(f"observation.{name}") for name in ("state", "environment_state"))
    assert (state["mode"], environment["mode"]) == ("MIN_MAX", "MEAN_STD")
    torch.testing.assert_close(state["first"], torch.tensor([-1.0, -2.0, 0.0, -1.5]))
    torch.testing.assert_close(environment["second"], torch.tensor([0.1, 1.0, 2.0]))
    scale = lerobot.Scale(environment, inverse=False)
    torch.testing.assert_close(scale(torch.tensor([[0.6, 0.5, -1.0]])), torch.tensor([[1.0, 0.5, 1.0]]))
    actions = lerobot.Scale(found.transform("action"), inverse=True)
    torch.testing.assert_close(actions(torch.tensor([[-1.0, 1.0]])), torch.tensor([[-0.5, 0.9]]))


@pytest.mark.parametrize(
    ("file", "edit", "words"),
    [
        (
            "config.json",
            lambda v: v.__setitem__("type", "pi0"),
            "is a policy of the type pi0, and imported are diffusion, act",
        ),
        ("config.json", lambda v: v.__setitem__("noise_scheduler_type", "DDPM"), "samples by DDPM.*pass --steps 10"),
        ("config.json", lambda v: v["input_features"].pop("observation.state"), "does not see observation.state"),
        ("config.json", lambda v: v.__setitem__("input_features", []), "configuration of LeRobot"),
        (
            "config.json",
            lambda v: v["input_features"].__setitem__("observation.images.a", {"type": "VISUAL", "shape": [3, 8, 8]}),
            "sees the images observation.images.a",
        ),
        (lerobot.PRE, lambda v: v["steps"].pop(1), "has the steps .* and known are rename_observations_processor"),
        (lerobot.PRE, lambda v: v["steps"][0]["config"].__setitem__("rename_map", {"a": "b"}), "renames observations"),
        (lerobot.PRE, lambda v: v["steps"][3]["config"]["norm_map"].__setitem__("ENV", "QUANTILES"), "by QUANTILES"),
        (lerobot.POST, lambda v: v.pop("steps"), "it lacks steps"),
    ],
)
def test_a_checkpoint_that_is_not_imported(file, edit, words, checkpoint):
    change(checkpoint / file, edit)
    assert re.search(words, refusal(checkpoint))


@pytest.mark.parametrize(
    ("edit", "options", "words"),
    [
        (lambda v: None, {"steps": 4}, "does not sample, so that --steps means nothing"),
        (lambda v: v.__setitem__("temporal_ensemble_coeff", 0.01), {}, "averages overlapping chunks"),
        (
            lambda v: v["input_features"].pop("observation.environment_state"),
            {},
            "does not see observation.environment",
        ),
    ],
)
def test_an_act_that_is_not_imported(edit, options, words, checkpoint):
    change(checkpoint / "config.json", lambda v: v.__setitem__("type", "act"))
    change(checkpoint / "config.json", edit)
    assert words in refusal(checkpoint, **options)


def test_more_steps_than_it_was_trained_with(checkpoint):
    assert "sampled by 1 to 100 steps, not 101" in refusal(checkpoint, steps=101)


def test_what_is_no_checkpoint(checkpoint, tmp_path):
    assert "is no checkpoint of LeRobot" in refusal(checkpoint, source=f"lerobot:{tmp_path / 'bases' / 'x'}")
    assert "write lerobot:" in refusal(checkpoint, source=str(checkpoint))


def test_the_control_frequency_must_be_known(checkpoint):
    assert "pass --dataset_file or --frequency" in refusal(checkpoint, frequency=None)


def test_a_data_set_of_other_sizes_is_not_what_it_was_trained_on(checkpoint, tmp_path):
    (tmp_path / "data" / "meta").mkdir(parents=True)
    info = {"fps": 20, "features": {"observation.state": {"shape": [5]}}}
    (tmp_path / "data" / "meta" / "info.json").write_text(json.dumps(info))
    message = refusal(checkpoint, frequency=None, dataset_file=tmp_path / "data")
    assert "has observation.state of the shape [4], and the data set" in message and "trained on another one" in message


def test_a_data_set_of_this_project_says_what_stands_where(checkpoint, tmp_path):
    shapes = {"observation.state": [4], "observation.environment_state": [3], "action": [2]}
    meta = tmp_path / "data" / "meta"
    meta.mkdir(parents=True)
    features = {name: {"shape": shape} for name, shape in shapes.items()}
    (meta / "info.json").write_text(json.dumps({"fps": 20, "features": features}))
    found = lerobot.TrainingData.of(lerobot.Checkpoint(checkpoint), tmp_path / "data")
    assert found == lerobot.TrainingData(20)
    group = {"features": [{"name": "a", "kind": "state"}, {"name": "b", "kind": "state"}]}
    ours = {"spec": {"task": "Toy-v0", "groups": [group]}, "features": {"observation.state": ["b", "a"]}}
    (meta / "zprl.json").write_text(json.dumps(ours))
    found = lerobot.TrainingData.of(lerobot.Checkpoint(checkpoint), tmp_path / "data")
    assert found == lerobot.TrainingData(20, "Toy-v0", {"observation.state": ["b", "a"]})


def test_the_fixture_is_small():
    assert sum(file.stat().st_size for file in Path(FIXTURE).rglob("*") if file.is_file()) < 300_000
