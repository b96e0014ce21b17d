# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A policy with a camera, exported from an environment that is no simulator's."""

import dataclasses

import numpy as np
import pytest
import torch
from tests.deploy.camera_toy import (
    CAMERA,
    GROUPS,
    SPEC,
    TOUCH,
    DescribedToyEnv,
    ToyEnv,
    make_policy,
    make_source,
    random_observations,
)
from tests.deploy.conftest import run_python

from zprl.deploy import fidelity, verify
from zprl.deploy.bundle import Source, export_policy
from zprl.deploy.contract import GOLDEN_FILE, read_contract
from zprl.deploy.golden import read_recording
from zprl.deploy.load import open_bundle
from zprl.policies import FlowPolicy, make_base_policy
from zprl.rl.runner_cfg import ZprlRunnerCfg
from zprl.spec import Feature, Group
from zprl.utils.errors import ZprlError


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    source = make_source(folder)
    kinds = ["torchscript", "portable", "onnx", "torch_export", "native"]
    return source, export_policy(DescribedToyEnv(), source, folder / "bundle", kinds)


@pytest.mark.parametrize("kind", ["portable", "onnx", "torch_export"])
def test_the_portable_formats_hold_the_policy_that_sees(exported, kind):
    source, result = exported
    obs = random_observations(7)
    expected = source.python(obs).double()  # what an evaluation runs
    bundle = open_bundle(result.folder, kind)
    chunk = bundle.act(obs)
    scale = float(expected.square().mean().sqrt())
    assert float((chunk - expected).abs().max()) < 2e-5 * scale
    assert float((bundle.act_batch(obs) - expected).abs().max()) < 2e-5 * scale
    for name in GROUPS:  # each input makes a difference
        other = {**obs, name: random_observations(7, seed=9)[name]}
        assert float((bundle.act(other) - chunk).abs().max()) > 1e-3 * scale, name
    if kind == "portable":
        base = bundle.act_base(obs)
        torch.testing.assert_close(base, source.base.act(source.base.encode(obs)), atol=2e-5 * scale, rtol=0.0)
        assert float((base - chunk).abs().max()) > 1e-2 * scale, "steering makes no difference"


def test_what_our_core_cannot_run_is_left_out_with_a_reason(exported, tmp_path, capsys):
    assert sorted(exported[1].folder.iterdir()) == sorted(
        exported[1].folder / name
        for name in ("contract.json", "golden.npz", "policy_portable.pt", "policy.onnx", "policy.pt2")
    )
    with pytest.raises(ZprlError, match="no format is left: the native core has no encoder of images compiled in"):
        export_policy(ToyEnv(), exported[0], tmp_path / "b", ["native"])
    blind = make_source(tmp_path, seen=("touch 1", "latent"))
    with pytest.raises(ZprlError, match="no encoder of images compiled in, and the policy sees hand_camera"):
        blind.blob("float32")


def test_the_contract_lists_the_groups(exported):
    contract = read_contract(exported[1].folder)
    groups = {group.name: group for group in contract.observation.groups}
    assert tuple(groups) == GROUPS
    assert contract.input_names == ["arm", "hand_camera", "touch_1"]
    image, touch, arm = groups["hand_camera"], groups["touch 1"], groups["arm"]
    assert (image.kind, image.dtype, image.shape, image.history) == ("image", "uint8", [12, 10, 3], 1)
    assert (touch.kind, touch.dtype, touch.shape, touch.history) == ("state", "float32", [6], 3)
    assert [(term.name, term.start, term.size) for term in arm.features] == [("joint_pos", 0, 4), ("tip", 4, 3)]
    tip, (force,) = arm.features[1], touch.features
    assert (tip.elements, tip.units, tip.frame) == (["x", "y", "z"], ["m"] * 3, "base")
    assert tip.mean == exported[0].policy.obs_normalizer.mean[4:].tolist()
    assert force.mean is None and force.std is None  # only the actor sees it
    assert force.minimum is not None and force.maximum is not None
    assert [(d.name, d.low, d.high, d.hold) for d in contract.action] == [
        ("move_0", -1.0, 1.0, 0.0), ("move_1", -1.0, 0.7, 0.1), ("grip", None, None, None),
    ]  # fmt: skip
    assert [joint.name for joint in contract.joints] == ["joint"]
    assert contract.latent is not None and contract.latent.rms == 0.8
    assert contract.latent.residual_scale == pytest.approx(0.8 * ZprlRunnerCfg().steering.scale)  # type: ignore[attr-defined]


def test_recorded_episodes_hold_images_as_they_were_planned_on(exported):
    folder = exported[1].folder
    with np.load(folder / GOLDEN_FILE) as arrays:
        names = {name: (arrays[name].dtype, arrays[name].shape[1:]) for name in arrays.files if name.startswith("obs")}
    assert names == {
        "obs.arm": (np.float32, (7,)), "obs.hand_camera": (np.uint8, (12, 10, 3)), "obs.touch 1": (np.float32, (6,)),
    }  # fmt: skip
    recording = read_recording(folder / GOLDEN_FILE, read_contract(folder))
    lengths = [len(actions) for actions in recording.episode_actions()]
    assert set(lengths) == {5, 9} and sum(lengths) >= 256
    assert len(recording.obs["arm"]) == recording.num_steps == sum(lengths)
    assert len(recording.obs["hand_camera"]) == len(recording.plan_step)
    planned = {name: torch.from_numpy(value) for name, value in recording.planned_on().items()}
    torch.testing.assert_close(
        torch.from_numpy(recording.chunk), open_bundle(folder, "portable").act(planned), atol=1e-4, rtol=0.0
    )
    for i, step in enumerate(recording.plan_step):
        same = recording.episode[step : step + 2] == recording.episode[step]
        executed = recording.action[step : step + 2][same]
        np.testing.assert_array_equal(executed, recording.chunk[i][: len(executed)])


def test_the_recorded_episodes_are_replayed_by_the_command(exported, tmp_path):
    kinds = ("--kinds", "onnx", "portable", "torch_export")
    done = run_python("-m", "zprl.deploy.verify", exported[1].folder, *kinds, "--samples", "20")
    assert done.returncode == 0, done.stderr
    assert "3 formats reproduce" in done.stdout
    assert "on 20 random observations they are at most " in done.stdout and "RMS from onnx" in done.stdout
    assert "Error" not in exported[1].errors and "portable" in exported[1].errors


def test_formats_that_differ_on_random_observations_are_named(exported, monkeypatch):
    folder = exported[1].folder
    (limit, *_) = read_contract(folder).files["policy.onnx"].tolerance or [0.0]
    monkeypatch.setattr("sys.argv", ["verify", str(folder), "--kinds", "portable", "onnx", "--samples", "5"])
    seen = []

    def measure(folder, kinds, cases, not_installed=None):
        seen.append(cases)
        worst = 2.1 * limit if len(seen) == 2 else 0.5 * limit
        return [fidelity.FormatError(kind, worst, 0.0, 0.0, 0.0) for kind in kinds]

    monkeypatch.setattr(fidelity, "measure_in_fresh_process", measure)
    with pytest.raises(ZprlError, match="apart on random observations, and "):
        verify.main()
    images = [cases.obs["hand_camera"] for cases in seen]
    assert images[1].shape == (5, *CAMERA.shape) and images[1].dtype == torch.uint8
    monkeypatch.setattr("sys.argv", ["verify", str(folder), "--kinds", "onnx", "--samples", "5"])
    with pytest.raises(ZprlError, match="onnx alone was checked; name more kinds"):
        verify.main()


def test_a_wrong_image_is_noticed(exported):
    folder = exported[1].folder
    contract = read_contract(folder)
    assert fidelity.tolerance(contract, "float32", rms=2.0) == [1e-4] * 3
    recording = read_recording(folder / GOLDEN_FILE, contract)
    cases = fidelity.Cases(
        {name: torch.from_numpy(value.copy()) for name, value in recording.planned_on().items()},
        torch.from_numpy(recording.chunk).double(),
        torch.from_numpy(recording.chunk),
    )
    bundle = open_bundle(folder, "portable")

    def largest_error():
        return cases.compare("portable", bundle.act(cases.obs), bundle.act_batch(cases.obs)).max

    assert largest_error() < 1e-5 * cases.rms
    cases = dataclasses.replace(cases, obs={**cases.obs, "hand_camera": cases.obs["hand_camera"].flip(1)})
    assert largest_error() > 1e-3 * cases.rms


def test_observations_are_put_together_and_checked_by_group(exported):
    bundle = open_bundle(exported[1].folder, "portable")
    bundle.require_match(SPEC)
    assert bundle.spec.group("touch 1").features[0] == TOUCH.features[0]
    assert bundle.spec.group("hand_camera") == CAMERA
    obs = random_observations(2)
    parts = {"joint_pos": obs["arm"][:, :4], "tip": obs["arm"][:, 4:], "force": obs["touch 1"]}
    together = bundle.observe(**parts, **{"hand_camera": obs["hand_camera"]})
    assert torch.equal(bundle.act(together), bundle.act(obs))
    assert torch.equal(bundle.planners(SPEC)["steered"](obs), bundle.act(obs))
    for change, words in (
        ({"hand_camera": obs["hand_camera"].float()}, "the image hand_camera holds torch.float32 instead of uint8"),
        ({"hand_camera": obs["hand_camera"][:, :9]}, r"\(2, 9, 10, 3\) instead of \(N, 12, 10, 3\)"),
        ({"arm": obs["arm"].where(obs["arm"] != obs["arm"][1, 6], torch.nan)}, "the observation group arm holds NaN"),
        ({"touch 1": obs["touch 1"][:1]}, r"instead of \(N, 6\); it consists of force\[6\]"),
    ):
        with pytest.raises(ZprlError, match=words):
            bundle.act({**obs, **change})
    del obs["touch 1"]
    with pytest.raises(ZprlError, match="lacks the group touch 1"):
        bundle.act(obs)
    with pytest.raises(ZprlError, match="arm, hand_camera, touch 1; give a dictionary"):
        bundle.act(torch.zeros(2, 7))


def test_a_base_policy_is_exported_by_itself(tmp_path):
    policy = make_policy(0, observation_groups=["hand_camera"])
    meta = {"spec": SPEC.seen_by(["hand_camera"]).to_dict()}
    meta["latent_statistics"] = {"latent_mean_rms": 0.8, "embedding_rms": 1.0}
    path = tmp_path / "base_policy.safetensors"
    path.write_bytes(b"weights")
    export_policy(ToyEnv(), Source(path, make_base_policy(policy, meta), meta), tmp_path / "bundle", ["portable"])
    untrained = FlowPolicy(policy.cfg, 0, 3, {"hand_camera": CAMERA.shape})
    with pytest.raises(ZprlError, match="puts out zeros alone"):
        export_policy(ToyEnv(), Source(path, make_base_policy(untrained, meta), meta), tmp_path / "b", ["portable"])
    bundle = open_bundle(tmp_path / "bundle", "portable")
    obs = random_observations(2)
    assert bundle.contract.input_names == ["hand_camera"]
    torch.testing.assert_close(bundle.act(obs["hand_camera"]), bundle.planners(SPEC)["base"](obs), atol=0.0, rtol=0.0)


def test_features_of_different_history_have_no_place_in_a_contract(tmp_path):
    from zprl.deploy.describe import contract_group

    with pytest.raises(ZprlError, match="touch 1 hold different numbers of control steps"):
        contract_group(Group("touch 1", (TOUCH.features[0], Feature("now", (1,)))))
