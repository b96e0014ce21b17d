# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The files of a bundle do what the policy does, in fresh processes, and say so when they cannot."""

import dataclasses
import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from tests.deploy.conftest import (
    ACTION_DIM,
    ALL_KINDS,
    LATENT_DIM,
    OBS_DIM,
    SCALE,
    SPEC,
    make_bundle,
    make_contract,
    make_policy,
    make_recording,
    make_source,
    run_python,
)

from zprl.deploy import fidelity
from zprl.deploy.bundle import check_output, runnable_kinds, write_bundle
from zprl.deploy.contract import read_contract, sealed
from zprl.deploy.formats import FORMATS, METADATA_KEY, parse_formats
from zprl.deploy.formats.onnx_model import for_onnx_runtime
from zprl.deploy.golden import read_recording
from zprl.deploy.load import is_bundle, open_bundle
from zprl.deploy.steered import PortableSteeredPolicy
from zprl.policies import ObservationEmbedding
from zprl.policies.native import library as native
from zprl.rl.actor import load_actor, make_actor
from zprl.spec import Group
from zprl.steering import base_chunks
from zprl.utils.errors import ZprlError
from zprl.utils.registry import register


def observations(n, seed=5):
    return 1.0 + 2.0 * torch.randn(n, OBS_DIM, generator=torch.Generator().manual_seed(seed))


def truth(source, obs, steered=True):
    """The policy in double precision, written out: nothing of zprl.deploy runs here."""
    assert source.policy.cfg.initial_noise == "zero"
    policy, obs = make_policy().double(), obs.double()
    mean, _ = policy.encode(obs)
    residual = None
    if steered:
        actor = make_actor(source.checkpoint).double()
        seen = (torch.cat([obs, mean], dim=1) - actor.obs_normalizer._mean) / (actor.obs_normalizer._std + 0.01)
        x = actor.mlp(seen)
        # SAC's network gives means and deviations.
        u = torch.tanh(x[:, :LATENT_DIM]) if x.shape[1] == 2 * LATENT_DIM else x.clamp(-1.0, 1.0)
        residual = SCALE * u
    return policy.act(obs, residual)


def relative(result, expected):
    return float((result.double() - expected).abs().max() / expected.square().mean().sqrt())


def test_the_reference_is_the_policy(source):
    obs = observations(50)
    with torch.inference_mode():
        expected = truth(source, obs)
        assert relative(source.reference()(obs.double()), expected) < 1e-12
        assert relative(source.reference().base(obs.double()), truth(source, obs, steered=False)) < 1e-12
    assert relative(truth(source, obs, steered=False), expected) > 1e-2, "steering makes no difference"


def test_what_onnx_runtime_lacks_costs_no_precision(tmp_path):
    """The base policy, whose activations are all GELU, in double precision throughout."""
    source, obs = make_source(tmp_path, steered=False), observations(50).double()
    with torch.inference_mode():
        expected = source.portable().double()(obs)
        assert relative(for_onnx_runtime(source.portable()).double()(obs), expected) < 1e-10


@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
def test_actors_of_an_evaluation_are_double_precision_rounded_once(tmp_path, algorithm):
    source = make_source(tmp_path, algorithm=algorithm)
    assert source.checkpoint is not None
    seen = {"policy": observations(50), "latent": torch.randn(50, LATENT_DIM)}
    result = load_actor(source.checkpoint, "cpu")(TensorDict(seen, batch_size=[50]))
    with torch.inference_mode():
        exact = make_actor(source.checkpoint).double()(TensorDict(seen, batch_size=[50]).double())
    torch.testing.assert_close(result.double(), exact, rtol=2.0**-24 + 1e-12, atol=1e-12)


def test_every_format_is_faithful_in_a_fresh_process(bundle, source):
    folder, _ = bundle
    obs = observations(64)
    with torch.inference_mode():
        expected = truth(source, obs)
    cases = fidelity.Cases({"policy": obs}, expected, expected.float())
    errors = fidelity.measure_in_fresh_process(folder, ALL_KINDS, cases)
    assert [error.kind for error in errors] == ALL_KINDS
    for error in errors:
        assert error.max < 1e-5 * cases.rms, error
        assert error.rows < 1e-5 * cases.rms, error


def test_every_format_holds_the_squashed_actor_of_sac(tmp_path):
    source = make_source(tmp_path, algorithm="sac")
    assert runnable_kinds(source, ALL_KINDS, "float32") == ALL_KINDS
    make_bundle(tmp_path / "bundle", source, verified=False)
    obs = observations(64)
    with torch.inference_mode():
        expected = truth(source, obs)
    for kind in ALL_KINDS:
        exported = open_bundle(tmp_path / "bundle", kind)
        for chunks in (exported.act(obs), exported.act_batch(obs)):
            assert relative(chunks, expected) < 1e-5, kind


def test_the_recorded_episodes_are_replayed_by_the_command(bundle):
    done = run_python("-m", "zprl.deploy.verify", bundle[0])
    assert done.returncode == 0, done.stderr
    assert "2 formats reproduce 12 recorded chunks" in done.stdout
    assert "add --kinds torchscript portable torch_export\n" in done.stdout


@pytest.fixture
def without(tmp_path, monkeypatch):
    """Give a function that hides a package from the processes that the test starts."""

    def hide(package):
        (tmp_path / "hidden").mkdir(exist_ok=True)
        (tmp_path / "hidden" / f"{package}.py").write_text(f"raise ImportError('no {package} here')")
        path = [str(tmp_path / "hidden"), os.environ.get("PYTHONPATH", "")]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))

    return hide


def test_the_command_says_which_formats_it_did_not_check_and_checks_the_rest(bundle, tmp_path, without):
    folder = shutil.copytree(bundle[0], tmp_path / "bundle")
    values = json.loads((folder / "contract.json").read_text())
    del values["sha256"]
    values["files"] = {name: values["files"][name] for name in ("policy.onnx", "policy.zprl", "golden.npz")}
    (folder / "contract.json").write_bytes(sealed(values))
    without("onnxruntime")
    done = run_python("-m", "zprl.deploy.verify", folder)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert line.startswith("warning: the format onnx was not checked: ")
    assert line.endswith("policy.onnx needs ONNX Runtime; install it with `pip install onnxruntime`.")
    assert "1 of 2 formats reproduce 12 recorded chunks" in done.stdout
    assert "native" in done.stdout and "onnx" not in done.stdout


def test_the_command_says_that_it_needs_torch(native_bundle, without):
    without("torch")
    done = run_python("-m", "zprl.deploy.verify", native_bundle)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: this check needs PyTorch, which does not load (no torch here); install it")


def test_a_format_that_cannot_be_checked_is_not_exported(bundle, without):
    without("onnxruntime")
    cases = fidelity.Cases({"policy": observations(2)}, torch.zeros(2, 1, 1), torch.zeros(2, 1, 1))
    with pytest.raises(ZprlError, match=r"format onnx does not run in a fresh process: .* needs ONNX Runtime"):
        fidelity.measure_in_fresh_process(bundle[0], ["onnx"], cases)


def test_the_command_refuses_a_bundle_of_another_policy(bundle, tmp_path):
    """A file that is intact and loads, but does something else."""
    folder = shutil.copytree(bundle[0], tmp_path / "bundle")
    other = tmp_path / "other"
    make_bundle(other, make_source(tmp_path, seed=9), ["portable"], verified=False)
    shutil.copy(other / "policy_portable.pt", folder)
    values = json.loads((folder / "contract.json").read_text())
    del values["sha256"]
    values["files"] = {
        "policy_portable.pt": json.loads((other / "contract.json").read_text())["files"]["policy_portable.pt"],
        "golden.npz": values["files"]["golden.npz"],
    }
    (folder / "contract.json").write_bytes(sealed(values))
    done = run_python("-m", "zprl.deploy.verify", folder, "--kinds", "portable")
    assert done.returncode == 2
    assert "policy_portable.pt is not faithful" in done.stderr


def test_export_refuses_a_file_that_does_something_else_and_leaves_nothing(source, tmp_path, monkeypatch):
    wrong = make_source(tmp_path, seed=9)
    original = FORMATS["portable"].write
    monkeypatch.setattr(FORMATS["portable"], "write", lambda source, *rest: original(wrong, *rest))
    (tmp_path / "place").mkdir()
    with pytest.raises(ZprlError, match="the exported format portable does not reproduce the policy"):
        make_bundle(tmp_path / "place" / "bundle", source, ["portable"])
    assert list((tmp_path / "place").iterdir()) == []


def test_a_failed_export_keeps_the_bundle_that_was_there(source, native_bundle, tmp_path, monkeypatch):
    from zprl.deploy import bundle as export

    folder = shutil.copytree(native_bundle, tmp_path / "bundle")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "write_contract", fail)
    with pytest.raises(KeyboardInterrupt):
        make_bundle(folder, source, ["native"])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert list(tmp_path.iterdir()) == [folder]
    monkeypatch.undo()
    make_bundle(folder, source, ["native", "portable"], verified=False)
    assert (folder / "policy_portable.pt").is_file()
    assert list(tmp_path.iterdir()) == [folder]


def test_the_torchscript_on_our_operators_is_the_evaluated_policy_bit_by_bit(bundle, source):
    obs = observations(40)
    loaded = open_bundle(bundle[0], "torchscript")
    expected = source.python({"policy": obs})
    base = base_chunks(source.steering)({"policy": obs})
    assert source.base.backend == "native"
    assert torch.equal(loaded.act(obs), expected)
    assert torch.equal(loaded.act_base(obs), base)


@pytest.mark.parametrize("kind", ["torchscript", "portable"])
def test_the_base_policy_is_in_the_torchscript_files(bundle, source, kind):
    loaded = open_bundle(bundle[0], kind)
    obs = observations(20)
    with torch.inference_mode():
        assert relative(loaded.act_base(obs), truth(source, obs, steered=False)) < 1e-5


def test_formats_without_the_base_policy_say_so(bundle):
    loaded = open_bundle(bundle[0], "native")
    assert not loaded.has_base
    with pytest.raises(ZprlError, match=r"native .* does not hold the base policy; torchscript or portable does"):
        loaded.act_base(observations(1))


def test_portable_files_need_neither_our_package_nor_our_library(bundle, source, tmp_path):
    obs = observations(9)
    np.save(tmp_path / "obs.npy", obs.numpy())
    program = f"""
import sys, numpy, torch
sys.meta_path.insert(0, type("Never", (), {{"find_spec": staticmethod(
    lambda name, *_: sys.exit("imported " + name) if name.split(".")[0] == "zprl" else None)}}))
obs = torch.from_numpy(numpy.load({str(tmp_path / "obs.npy")!r}))
extra = {{"contract.json": ""}}
script = torch.jit.load({str(bundle[0] / "policy_portable.pt")!r}, _extra_files=extra)
assert b'"zprl-bundle"' in extra["contract.json"]
archive = torch.export.load({str(bundle[0] / "policy.pt2")!r}).module()
with torch.no_grad():
    numpy.save({str(tmp_path / "a.npy")!r}, script(obs).numpy())
    numpy.save({str(tmp_path / "b.npy")!r}, archive(obs).numpy())
"""
    done = run_python("-c", program, isolated=True)
    assert done.returncode == 0, done.stderr
    with torch.inference_mode():
        expected = truth(source, obs)
    for name in "ab":
        assert relative(torch.from_numpy(np.load(tmp_path / f"{name}.npy")), expected) < 1e-5


def test_onnx_is_one_file_with_the_contract_inside(bundle):
    import onnx

    model = onnx.load(str(bundle[0] / "policy.onnx"), load_external_data=False)
    onnx.checker.check_model(model)
    # What ONNX Runtime 1.17 reads; a newer IR version is refused by runtimes that have the opset.
    assert model.ir_version == 8 and [opset.version for opset in model.opset_import if not opset.domain] == [18]
    assert not any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer)
    inside = json.loads({entry.key: entry.value for entry in model.metadata_props}[METADATA_KEY])
    assert inside == {**read_contract(bundle[0]).to_dict(), "files": {}}
    (shape,) = [[dim.dim_param or dim.dim_value for dim in i.type.tensor_type.shape.dim] for i in model.graph.input]
    assert isinstance(shape[0], str)
    assert shape[1] == OBS_DIM


def test_a_fixed_start_of_the_flow_is_exported(tmp_path):
    source = make_source(tmp_path, initial_noise="fixed")
    folder, kinds = tmp_path / "bundle", ["torchscript", "onnx", "native"]
    make_bundle(folder, source, kinds, verified=False)
    noise = torch.tensor(read_contract(folder).control.initial_noise.values)
    assert torch.equal(noise, source.policy.fixed_noise)
    obs = observations(8)
    policy = source.policy
    with torch.inference_mode():
        mean, _ = policy.encode(obs)
        assert source.actor is not None
        u = source.actor(torch.cat([obs, mean], dim=1)).clamp(-1.0, 1.0)
        expected = policy.act(obs, SCALE * u, noise.expand(8, -1, -1))
        zero = policy.act(obs, SCALE * u, torch.zeros(8, *noise.shape))
    for kind in kinds:
        assert relative(open_bundle(folder, kind).act(obs), expected.double()) < 3e-5, kind
    assert relative(zero, expected.double()) > 1e-2, "the start makes no difference"


def test_a_sampled_start_is_refused(tmp_path):
    with pytest.raises(ZprlError, match=r"samples its initial noise .* policy\.initial_noise=zero"):
        PortableSteeredPolicy(make_source(tmp_path, initial_noise="sampled").policy, None, 0.0)


def test_a_base_policy_is_exported_as_such(tmp_path):
    source = make_source(tmp_path, steered=False)
    folder = tmp_path / "bundle"
    make_bundle(folder, source, ["torchscript", "native"], verified=False)
    assert read_contract(folder).policy == "base"
    latent = read_contract(folder).latent
    assert latent is not None and latent.residual_scale == 0.0
    obs = observations(10)
    with torch.inference_mode():
        expected = source.policy.double().act(obs.double())
    for kind in ("torchscript", "native"):
        assert relative(open_bundle(folder, kind).act(obs), expected) < 1e-5


@pytest.mark.skipif(not native.multiplies_bfloat16(), reason="this processor does not multiply bfloat16")
def test_bfloat16_is_within_its_rule_and_is_said(tmp_path):
    source = make_source(tmp_path, std=0.15, num_flow_steps=6)  # over which rounding averages out
    folder = tmp_path / "bundle"
    make_bundle(folder, source, ["torchscript", "native", "portable"], "bfloat16")
    contract = read_contract(folder)
    precisions = {name: file.precision for name, file in contract.files.items()}
    assert precisions == {
        "policy.pt": "bfloat16",
        "policy.zprl": "bfloat16",
        "policy_portable.pt": "float32",
        "golden.npz": "float32",
    }
    obs = observations(200)
    with torch.inference_mode():
        expected = source.reference()(obs.double())
    for kind in ("torchscript", "native"):
        error = open_bundle(folder, kind).act(obs).double() - expected
        assert 1e-6 < float(error.square().mean().sqrt()) < 1e-3 * 2.0


def test_rules_catch_what_they_should(source):
    contract = make_contract(source)
    good = fidelity.FormatError("onnx", max=0.9e-5, rms=1e-6, rows=0.0, python=0.0)
    limit = fidelity.tolerance(contract, "float32", rms=1.0)
    assert limit == [1e-5] * ACTION_DIM
    assert fidelity.tolerance(contract, "float32", rms=3.0) == [pytest.approx(3e-5)] * ACTION_DIM
    assert fidelity.broken_rule(good, contract, limit, "float32") is None
    for value in (1.1e-5, float("nan")):
        assert fidelity.broken_rule(dataclasses.replace(good, max=value), contract, limit, "float32")
    wide = fidelity.tolerance(contract, "bfloat16", rms=1.0)
    assert wide == [0.05] * ACTION_DIM
    assert fidelity.broken_rule(dataclasses.replace(good, rms=1.9e-3), contract, wide, "bfloat16") is None
    assert fidelity.broken_rule(dataclasses.replace(good, rms=2.1e-3), contract, wide, "bfloat16")


# -- opening -----------------------------------------------------------------------------------------------------------


def gripper(**changes):
    """The spec with another gripper."""
    arm, term = SPEC.actions
    return dataclasses.replace(SPEC, actions=(arm, dataclasses.replace(term, **changes)))


def test_the_spec_is_the_tasks(bundle):
    loaded = open_bundle(bundle[0], "native")
    assert loaded.spec == dataclasses.replace(SPEC, tracked=())
    loaded.require_match(SPEC)
    # What a contract does not tell: how a feature's numbers are arranged, and which points are tracked.
    joints, pose = SPEC.groups[0].features
    arranged = Group("policy", (joints, dataclasses.replace(pose, shape=(3, 3))))
    loaded.require_match(dataclasses.replace(SPEC, groups=(arranged,), tracked=("ee_pose",)))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (dataclasses.replace(SPEC, groups=(Group("policy", SPEC.groups[0].features[::-1]),)), "observation terms"),
        (dataclasses.replace(SPEC, groups=(Group("state", SPEC.groups[0].features),)), "no observation group 'policy'"),
        (dataclasses.replace(SPEC, actions=SPEC.actions[::-1]), "action terms"),
        (gripper(high=(2.0,)), "action terms"),
        (gripper(idle=(0.5,)), "idling at"),
        (dataclasses.replace(SPEC, step_dt=0.02), "control period"),
        (dataclasses.replace(SPEC, task="Other"), "belongs to task Test-Task"),
    ],
)
def test_a_task_of_another_spec_is_refused(bundle, spec, words):
    with pytest.raises(ZprlError, match=words):
        open_bundle(bundle[0], "native").planners(spec)


def test_an_idle_value_that_the_contract_does_not_have_is_the_tasks(source, tmp_path):
    contract = make_contract(source)
    action = [*contract.action[:2], dataclasses.replace(contract.action[2], hold=None)]
    write_bundle(tmp_path / "b", source, dataclasses.replace(contract, action=action), make_recording(source),
                 ["native"], "float32")  # fmt: skip
    loaded = open_bundle(tmp_path / "b")
    assert loaded.contract.action[2].hold is None
    for idle in (0.0, 1.0):
        loaded.require_match(gripper(idle=(idle,)))
    with pytest.raises(ZprlError, match="action terms"):
        loaded.require_match(gripper(low=(-0.5,)))


def test_planners_are_the_policies_and_fit_an_evaluation(bundle):
    obs = {"policy": observations(3), "critic": torch.zeros(3, 1)}
    loaded = open_bundle(bundle[0], "torchscript")
    planners = loaded.planners(SPEC)
    assert list(planners) == ["base", "steered"]
    assert torch.equal(planners["steered"](obs), loaded.act(obs["policy"]))
    assert torch.equal(planners["base"](obs, torch.ones(3, 6, 3)), loaded.act_base(obs))
    assert [planner.execute_steps for planner in planners.values()] == [2, 2]
    for planner in planners.values():
        planner.begin_episodes()
    assert list(open_bundle(bundle[0], "native").planners(SPEC)) == ["steered"]


@pytest.mark.parametrize("shape", [(OBS_DIM,), (2, OBS_DIM + 1), (2, 1, OBS_DIM), (0, OBS_DIM)])
def test_observations_of_another_shape_are_refused(bundle, shape):
    with pytest.raises(ZprlError, match=r"instead of \(N, 13\); it consists of joint_pos\[4\], ee_pose\[9\]"):
        open_bundle(bundle[0], "native").act(torch.zeros(shape))


def test_terms_are_put_in_order_by_name(bundle):
    loaded = open_bundle(bundle[0], "native")
    obs = observations(3)
    together = loaded.observe(ee_pose=obs[:, 4:], joint_pos=obs[:, :4])
    assert list(together) == ["policy"]
    assert torch.equal(together["policy"], obs)
    with pytest.raises(ZprlError, match="lacks ee_pose"):
        loaded.observe(joint_pos=obs[:, :4])
    with pytest.raises(ZprlError, match="unknown term speed"):
        loaded.observe(joint_pos=obs[:, :4], ee_pose=obs[:, 4:], speed=obs)
    with pytest.raises(ZprlError, match=r"ee_pose has the shape \(3, 8\)"):
        loaded.observe(joint_pos=obs[:, :4], ee_pose=obs[:, 5:])


def test_a_missing_operator_library_is_named(bundle, monkeypatch, tmp_path):
    monkeypatch.setattr(native, "torch_library_path", lambda: tmp_path / "libzprl_torch.so")
    with pytest.raises(ZprlError, match=r"libzprl_torch\.so is missing; build it"):
        open_bundle(bundle[0], "torchscript")
    open_bundle(bundle[0], "portable").act(observations(1))


def test_without_the_operators_torch_itself_names_what_is_missing(bundle):
    program = f"import torch; torch.jit.load({str(bundle[0] / 'policy.pt')!r})"
    done = run_python("-c", program, isolated=True)
    assert done.returncode != 0
    assert "zprl::" in done.stderr


@pytest.mark.parametrize(("kind", "words"), [("tensorrt", "unknown"), ("onnx", "has no format onnx; it has native")])
def test_formats_that_are_not_there_are_refused(native_bundle, tmp_path, kind, words):
    with pytest.raises(ZprlError, match=words):
        open_bundle(native_bundle, kind)
    assert is_bundle(native_bundle)
    assert not is_bundle(tmp_path)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_file_with_the_right_checksum_and_no_policy_inside_is_refused(bundle, tmp_path, kind):
    folder = shutil.copytree(bundle[0], tmp_path / "bundle")
    name = FORMATS[kind].file
    content = (folder / name).read_bytes()[:1000]
    (folder / name).write_bytes(content)
    values = json.loads((folder / "contract.json").read_text())
    del values["sha256"]
    import hashlib

    values["files"][name] |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "contract.json").write_bytes(sealed(values))
    with pytest.raises(ZprlError, match=f"{name} does not load here"):
        open_bundle(folder, kind)


def test_recordings_are_read_back_and_refused(source, tmp_path):
    recording = make_recording(source)
    (tmp_path / "golden.npz").write_bytes(recording.to_bytes())
    again = read_recording(tmp_path / "golden.npz", make_contract(source))
    for field in dataclasses.fields(recording)[1:]:
        np.testing.assert_array_equal(getattr(again, field.name), getattr(recording, field.name))
    assert list(again.obs) == ["policy"]
    np.testing.assert_array_equal(again.obs["policy"], recording.obs["policy"])
    assert list(read_recording(tmp_path / "golden.npz").obs) == ["obs"]  # as a robot without a contract reads it
    assert recording.num_episodes == 3
    assert [len(actions) for actions in recording.episode_actions()] == [7, 7, 7]
    np.savez(tmp_path / "other.npz", obs=recording.obs["policy"])
    for name in ("other.npz", "missing.npz"):
        with pytest.raises(ZprlError, match=f"{name} (cannot be read|does not exist)"):
            read_recording(tmp_path / name)


# -- refusals of the export --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"), [("tflite", "'tflite' is unknown"), ("onnx,,x", "'x'"), (" , ", "no format")]
)
def test_unknown_formats_are_refused(text, words):
    with pytest.raises(ZprlError, match=words):
        parse_formats(text)
    assert parse_formats("onnx, torchscript,onnx") == ["onnx", "torchscript"]


class OwnEmbedding(ObservationEmbedding):
    """An embedding that our core knows nothing about."""

    def forward(self, obs):
        return super().forward(torch.tanh(obs))


def test_a_policy_with_parts_of_its_own_is_exported_in_portable_formats(tmp_path, capsys):
    register("embedding", f"{__name__}:OwnEmbedding")
    source = make_source(tmp_path, embedding_class=f"{__name__}:OwnEmbedding")
    kinds = runnable_kinds(source, ["torchscript", "portable", "native"], "float32")
    assert kinds == ["portable"]
    assert "only portable can be exported: the native backend runs ObservationEmbedding" in capsys.readouterr().err
    with pytest.raises(ZprlError, match=r"no format is left.*--portable"):
        runnable_kinds(source, ["torchscript", "native"], "float32")
    make_bundle(tmp_path / "bundle", source, kinds, verified=False)
    obs = observations(10)
    with torch.inference_mode():
        expected = source.reference()(obs.double())
    assert relative(open_bundle(tmp_path / "bundle", "portable").act(obs), expected) < 1e-5
    plain = make_source(tmp_path).reference()
    assert relative(plain(obs.double()), expected) > 1e-2, "the embedding makes no difference"


def test_outputs_that_cannot_be_written_are_refused(tmp_path, native_bundle, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(ZprlError, match="is a file"):
        check_output(tmp_path / "file", force=False)
    with pytest.raises(ZprlError, match="cannot be written: not a directory"):
        check_output(tmp_path / "file" / "bundle", force=False)
    full = tmp_path / "full"
    full.mkdir()
    check_output(full, force=False)
    (full / "thesis.tex").write_text("")
    with pytest.raises(ZprlError, match="not empty"):
        check_output(full, force=False)
    with pytest.raises(ZprlError, match="holds no bundle"):
        check_output(full, force=True)
    check_output(native_bundle, force=True)
    killed = shutil.copytree(native_bundle, tmp_path / ".bundle.x.old")  # between its two renames
    with pytest.raises(ZprlError, match="bundle is not empty"):
        check_output(tmp_path / "bundle", force=False)
    assert open_bundle(tmp_path / "bundle") and not killed.exists()
    monkeypatch.setattr(os.path, "ismount", lambda path: path == full)
    (full / "thesis.tex").unlink()
    with pytest.raises(ZprlError, match="is a mount point, which cannot be replaced; name a folder below it"):
        check_output(full, force=False)


def test_an_export_follows_a_link_and_never_deletes_what_is_verified(source, tmp_path, monkeypatch):
    (tmp_path / "disk" / "bundle").mkdir(parents=True)
    (tmp_path / "link").symlink_to("disk/bundle")
    make_bundle(tmp_path / "link", source, ["native"], verified=False)
    assert (tmp_path / "link").is_symlink() and [p.name for p in (tmp_path / "disk").iterdir()] == ["bundle"]
    before = {path.name: path.read_bytes() for path in (tmp_path / "disk" / "bundle").iterdir()}
    replace = os.replace

    def busy(old, new):
        if str(old).endswith(".tmp") and Path(old).is_dir():
            raise OSError(errno.EBUSY, "Device or resource busy")
        replace(old, new)

    monkeypatch.setattr(os, "replace", busy)
    with pytest.raises(
        ZprlError, match=r"is complete and verified, but .*bundle cannot be replaced \(Device or"
    ) as error:
        make_bundle(tmp_path / "link", source, ["native"], verified=False)
    (kept,) = (tmp_path / "disk").glob(".bundle.*.tmp")
    assert f"it lies in {kept}: move it yourself." in str(error.value)
    assert open_bundle(kept).contract == open_bundle(tmp_path / "link").contract
    assert {path.name: path.read_bytes() for path in (tmp_path / "disk" / "bundle").iterdir()} == before


def test_a_full_disk_names_the_bundle_and_not_a_temporary_folder(source, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError) as error:
        make_bundle(tmp_path / "bundle", source, ["native"])
    assert error.value.filename == str(tmp_path / "bundle")
    assert list(tmp_path.glob("*bundle*")) == []


def test_a_table_says_how_large_the_errors_are(bundle):
    lines = bundle[1].splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["Python", *ALL_KINDS]
