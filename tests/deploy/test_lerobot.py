# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A bundle as a checkpoint of LeRobot, and what LeRobot itself does with it, in an environment of its own."""

import dataclasses
import json
import os
import re
import subprocess
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.commands.conftest import call, files_below
from tests.deploy import camera_toy
from tests.deploy.camera_toy import DescribedToyEnv, random_observations

from zprl.deploy import fidelity, lerobot
from zprl.deploy.bundle import export_policy
from zprl.deploy.contract import GOLDEN_FILE
from zprl.deploy.golden import read_recording
from zprl.deploy.load import open_bundle
from zprl.utils.errors import ZprlError

ROOT = Path(__file__).parents[2]
LEROBOT = ROOT / "build/lerobot/bin/python"
"""Python with LeRobot; `make test` makes it."""

FEATURES = {"observation.tip": ["tip"], "observation.state": ["joint_pos"], "observation.images.hand": ["hand_camera"]}


@pytest.fixture(scope="module")
def camera_bundle(tmp_path_factory):
    """Give a bundle of a policy that sees an image and two terms, without history."""
    folder = tmp_path_factory.mktemp("toy")
    with mock.patch.object(fidelity, "measure_in_fresh_process", mock.Mock(return_value=[])):
        source = camera_toy.make_source(folder, seen=("arm", "latent"))
        return export_policy(DescribedToyEnv(), source, folder / "bundle", ["onnx"]).folder


@pytest.fixture(scope="module")
def checkpoints(bundle, camera_bundle, tmp_path_factory):
    """Give a folder with a checkpoint of each bundle."""
    folder = tmp_path_factory.mktemp("lerobot")
    for argv in (
        ["--bundle", str(bundle[0]), "--output", "state"],
        ["--bundle", str(camera_bundle), "--output", "camera", "--features", json.dumps(FEATURES)],
    ):
        outcome = call("export_lerobot", argv, folder)
        assert outcome.status == 0, outcome.err
    return folder


def test_a_checkpoint_holds_the_model_and_says_where_its_inputs_stand(checkpoints, bundle):
    assert {path.name for path in (checkpoints / "state").iterdir()} == {
        *("config.json", "model.safetensors", "policy_preprocessor.json", "policy_postprocessor.json", "README.md")
    }
    tensors = load_file(checkpoints / "state/model.safetensors")
    assert tensors["onnx"].numpy().tobytes() == (bundle[0] / "policy.onnx").read_bytes()
    config = json.loads((checkpoints / "state/config.json").read_text())
    contract = open_bundle(bundle[0]).contract
    size = contract.observation.groups[0].size
    assert config["input_features"] == {"observation.state": {"type": "STATE", "shape": [size]}}
    (parts,) = config["model_inputs"].values()
    assert [part["stop"] - part["start"] for part in parts] == [t.size for t in contract.observation.groups[0].features]
    assert (parts[0]["start"], parts[-1]["stop"]) == (0, size)
    config = json.loads((checkpoints / "camera/config.json").read_text())
    assert config["model_inputs"] == {
        "arm": [
            {"key": "observation.state", "start": 0, "stop": 4},
            {"key": "observation.tip", "start": 0, "stop": 3},
        ],
        "hand_camera": [{"key": "observation.images.hand", "start": 0, "stop": 360}],
    }
    assert config["input_features"]["observation.images.hand"] == {"type": "VISUAL", "shape": [3, 12, 10]}
    assert config["output_features"] == {"action": {"type": "ACTION", "shape": [3]}}


PLAY = """
import json, sys
import numpy as np, torch
from lerobot.configs import PreTrainedConfig
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
import lerobot_policy_zprl

def opened(folder):
    policy = get_policy_class(PreTrainedConfig.from_pretrained(folder).type).from_pretrained(folder)
    return policy, *make_pre_post_processors(policy.config, folder)

policy, before, after = opened("state")
said = np.load("state.npz")
actions, previous = [], None
for obs, episode in zip(said["obs"], said["episode"]):
    if episode != previous:
        policy.reset()
    previous = episode
    actions.append(after(policy.select_action(before({"observation.state": torch.from_numpy(obs)}))))
for part in (policy, before, after):
    part.save_pretrained("again")
again, *_ = opened("again")
chunk = again.predict_action_chunk({"observation.state": torch.from_numpy(said["obs"])})

seeing, before, after = opened("camera")
seen = {key: torch.from_numpy(value) for key, value in np.load("camera.npz").items()}
image = seen["hand_camera"].permute(0, 3, 1, 2)
batch = {"observation.state": seen["arm"][:, :4], "observation.tip": seen["arm"][:, 4:]}
chunks = [
    seeing.predict_action_chunk(before({**batch, "observation.images.hand": pixels}))
    for pixels in (image.float() / 255.0, image)
]

problems = []
for change in (lambda: policy.predict_action_chunk(batch, noise=chunk), lambda: policy.forward(batch)):
    try:
        change()
    except (ValueError, NotImplementedError) as error:
        problems.append(str(error))
again.onnx[100] += 1
try:
    again._session = None
    again.predict_action_chunk({"observation.state": torch.from_numpy(said["obs"])})
except ValueError as error:
    problems.append(str(error))
config = json.load(open("state/config.json"))
config["input_features"]["observation.state"]["shape"] = [1]
json.dump(config, open("again/config.json", "w"))
try:
    opened("again")
except ValueError as error:
    problems.append(str(error))
np.savez("played.npz", actions=torch.cat(actions), chunk=chunk, camera=chunks[0], bytes=chunks[1])
print(json.dumps(problems))
"""


@pytest.mark.skipif(not LEROBOT.exists(), reason="LeRobot is not in build/lerobot; `make test` installs it")
def test_lerobot_acts_as_the_bundle_does(checkpoints, bundle, camera_bundle):
    recording = read_recording(bundle[0] / GOLDEN_FILE, open_bundle(bundle[0]).contract)
    (obs,) = recording.obs.values()
    np.savez(checkpoints / "state.npz", obs=obs, episode=recording.episode)
    seen = {name: value for name, value in random_observations(5).items() if name in ("arm", "hand_camera")}
    np.savez(checkpoints / "camera.npz", **seen)  # type: ignore[arg-type]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "source/lerobot_policy_zprl"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [LEROBOT, "-c", PLAY], cwd=checkpoints, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    played = np.load(checkpoints / "played.npz")
    np.testing.assert_allclose(played["actions"], recording.action, atol=2e-5)
    np.testing.assert_allclose(played["chunk"], open_bundle(bundle[0], "onnx").act(torch.from_numpy(obs)), atol=2e-6)
    expected = open_bundle(camera_bundle, "onnx").act(seen)
    np.testing.assert_allclose(played["camera"], expected, atol=2e-6)
    np.testing.assert_array_equal(played["bytes"], played["camera"])
    assert json.loads(done.stdout.splitlines()[-1]) == [
        "this policy begins its flow where it was exported to begin; it takes no noise.",
        "policies of type zprl are trained by ZPRL; here they act.",
        "model.safetensors does not hold the model that config.json names; export it again.",
        f"the policy reads {obs.shape[1]} numbers of observation.state, which has 1.",
    ]


@pytest.mark.parametrize(
    ("bundle_name", "argv", "words"),
    [
        ("none", [], "none"),
        ("NATIVE", [], "has no format onnx, which LeRobot runs; export it with --format onnx."),
        (
            "CAMERA",
            ["--features", '{"observation.a": ["tip"], "observation.b": ["tip"]}'],
            "--features names a term in two places; name each",
        ),
        (
            "CAMERA",
            ["--features", '{"observation.a": ["mass"]}'],
            "--features puts mass under observation.a, and the policy",
        ),
        ("CAMERA", ["--features", '{"observation.a": ["tip", "hand_camera"]}'], "give it a key of its own."),
        (
            "CAMERA",
            ["--features", '{"observation.state": ["tip"]}'],
            "and joint_pos is not among it; add it",
        ),
        ("CAMERA", ["--features", '{"a": "tip"}'], "--features is not as in the help (a is no array)"),
        ("CAMERA", ["--features", "tip"], "--features is not as in the help ("),
        (
            "CAMERA",
            ["--features", '{"tip": ["tip"]}'],
            "--features has the key tip, and LeRobot's begin with observation.",
        ),
        ("CAMERA", ["--output", "full"], "--output full is not empty; name another folder or pass --force"),
        ("CAMERA", ["--output", "full", "--force"], "--output full holds no policy of this kind, and --force only"),
    ],
)
def test_what_cannot_be_written_is_refused(bundle_name, argv, words, tmp_path, native_bundle, camera_bundle):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").touch()
    before = files_below(tmp_path)
    known = {"NATIVE": str(native_bundle), "CAMERA": str(camera_bundle)}
    bundle = known.get(bundle_name, bundle_name)
    outcome = call("export_lerobot", ["--bundle", bundle, "--output", "out", *argv], tmp_path)
    (line,) = outcome.error_lines
    assert outcome.status == 2 and words in line
    assert files_below(tmp_path) == before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"history": 3}, "sees hand_camera as 3 control steps at once, where it is given the present alone"),
        (
            {"dtype": "float32", "shape": [12, 10, 1]},
            "sees hand_camera as float32 1 times a pixel, and LeRobot's",
        ),
        ({"shape": [12, 10, 4]}, "sees hand_camera as uint8 4 times a pixel, and LeRobot's images are of 1 or 3 bytes"),
    ],
)
def test_history_and_depth_have_no_place(changes, words, camera_bundle):
    contract = open_bundle(camera_bundle).contract
    index = [group.name for group in contract.observation.groups].index("hand_camera")
    contract.observation.groups[index] = dataclasses.replace(contract.observation.groups[index], **changes)
    with pytest.raises(ZprlError, match=re.escape(words)):
        lerobot.policy_config(camera_bundle, contract, {})


def test_a_checkpoint_is_replaced_by_force(camera_bundle, checkpoints):
    before = (checkpoints / "camera/config.json").read_text()
    argv = ["--bundle", str(camera_bundle), "--output", "camera"]
    assert call("export_lerobot", argv, checkpoints).status == 2
    assert (checkpoints / "camera/config.json").read_text() == before
    outcome = call("export_lerobot", [*argv, "--force", "--features", json.dumps(FEATURES)], checkpoints)
    assert outcome.status == 0, outcome.err
    assert (checkpoints / "camera/config.json").read_text() == before
