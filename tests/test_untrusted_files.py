# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Files that somebody else made: none runs code while it is read, and none is read silently after a bit has flipped."""

import io
import pickle
import shutil
import sys

import numpy as np
import pytest
import torch
from tests.checkpoints import SPEC, make_checkpoint, make_policy
from tests.crafted import FORMS, Evil, flips, pickled
from torch.utils._python_dispatch import TorchDispatchMode

from zprl.data import load_demonstrations
from zprl.deploy.contract import CONTRACT_FILE, read_contract
from zprl.deploy.golden import read_recording
from zprl.evaluation.report import load_results
from zprl.policies import INFERENCE_FIELDS, load_policy, save_policy
from zprl.policies.io import KIND as BASE_KIND
from zprl.rl.checkpoint import RUN_BASE, base_reference, load_checkpoint
from zprl.rl.runner import KIND, VERSION
from zprl.runs import paths
from zprl.runs.old_files import convert
from zprl.study.manifest import load_manifest
from zprl.tasks.experts import ExpertActor
from zprl.utils.errors import ZprlError
from zprl.utils.files import load_json
from zprl.utils.registry import check_settings, register, resolve_class, trust_overrides
from zprl.utils.tensor_files import load_tensors, save_tensors


@pytest.fixture
def trace(tmp_path):
    """Give the folder that a payload makes."""
    return tmp_path / "the payload ran"


@pytest.mark.parametrize("form", FORMS)
def test_the_payload_is_live(trace, form):
    content = pickled(Evil(trace), form)
    if form == "zip":
        torch.load(io.BytesIO(content), weights_only=False)
    else:
        pickle.loads(content)
    assert trace.is_dir()


def read_latest(path):
    """Look for the newest run of a task as ``--checkpoint latest`` does, with a crafted manifest in its place."""
    run = path.parent / "logs" / "rsl_rl" / "experiment" / "run"
    run.mkdir(parents=True)
    shutil.copy(path, run / "run.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parent)
        paths.latest_checkpoint("Task", "experiment")


def read_in_folder(name, read):
    def read_it(path):
        shutil.copy(path, path.with_name(name))
        read(path.parent)

    return read_it


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "read",
    [
        pytest.param(load_policy, id="base policy"),
        pytest.param(load_checkpoint, id="checkpoint"),
        pytest.param(convert, id="file to convert"),
        pytest.param(load_demonstrations, id="data set"),
        pytest.param(read_recording, id="golden.npz"),
        pytest.param(read_in_folder(CONTRACT_FILE, read_contract), id="contract.json"),
        pytest.param(read_in_folder("study.json", load_manifest), id="study.json"),
        pytest.param(read_in_folder("result.json", lambda folder: load_results([folder])), id="result.json"),
        pytest.param(read_latest, id="run.json"),
        pytest.param(load_json, id="JSON"),
        pytest.param(ExpertActor.load, id="expert"),
    ],
)
def test_a_pickle_in_place_of_a_file_is_refused_unread(tmp_path, trace, form, read):
    path = tmp_path / "crafted"
    path.write_bytes(pickled(Evil(trace), form))
    with pytest.raises(ZprlError) as error:
        read(path)
    assert "\n" not in str(error.value)
    assert not trace.exists()


def test_arrays_of_objects_are_refused_unread(tmp_path, trace):
    np.savez(tmp_path / "golden.npz", obs=np.array([Evil(trace)], dtype=object))
    with pytest.raises(ZprlError, match=r"golden\.npz cannot be read"):
        read_recording(tmp_path / "golden.npz")
    assert not trace.exists()


# -- sizes


class NothingLarge(TorchDispatchMode):
    """Allows no tensor with numbers that has more than a million of them."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        assert not isinstance(made, torch.Tensor) or made.is_meta or made.numel() < 1_000_000
        return made


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("embed_hidden_dims", [3000, 3000], "size mismatch for "),
        ("vib_hidden_dims", [3000, 3000], "size mismatch for "),
        ("velocity_hidden_dim", 3000, "size mismatch for "),
        ("velocity_num_blocks", 10**9, "its settings declare 1000000003 layers, and it holds 41 arrays"),
        ("embed_hidden_dims", [1] * 100, "its settings declare 104 layers, and it holds 41 arrays"),
        ("num_flow_steps", 10**9, "num_flow_steps must be an integer of at least 1 and of at most 1000"),
        ("obs_dim", 10**7, "size mismatch for "),
        ("action_dim", 10**7, "size mismatch for "),
    ],
)
@pytest.mark.parametrize("old", [False, True])
def test_a_base_policy_that_declares_more_than_it_holds_is_not_made(run, name, value, words, old):
    path = run / RUN_BASE
    content = load_tensors(path, BASE_KIND, "base policy")
    (content["cfg"] if name in content["cfg"] else content)[name] = value
    if old:
        path = path.with_suffix(".pt")
        torch.save({**content, "format": BASE_KIND, "version": 1}, path)
        words = "do not fit|num_flow_steps must be"
    else:
        save_tensors(path, content, BASE_KIND, 1)
    with NothingLarge(), pytest.raises(ZprlError, match=words) as refused:
        (convert if old else load_policy)(path)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("model", ["actor", "critic"])
@pytest.mark.parametrize(
    "changes", [{"hidden_dims": [3000, 3000]}, {"hidden_dims": [1] * 10**5}, {"num_members": 10**9}]
)
def test_a_checkpoint_that_declares_more_than_it_holds_makes_no_network(run, model, changes):
    path = run / "model_1.safetensors"
    content = load_tensors(path, KIND, "checkpoint")
    content["critic_state_dict"] = {"weight": torch.zeros(300, 300)}
    content["infos"]["settings"]["agent"][model].update(changes)
    save_tensors(path, content, KIND, VERSION)
    with pytest.raises(ZprlError, match=rf"is damaged \(its {model} has at least \d+ weights by its settings, and it"):
        load_checkpoint(path)


# -- names of classes


@pytest.fixture
def run(tmp_path):
    """Give a run's folder with a checkpoint and its base policy."""
    policy = make_policy()
    base = tmp_path / "run" / RUN_BASE
    save_policy(base, policy, {"spec": SPEC.to_dict(), "latent_statistics": {"latent_mean_rms": 1.0}})
    made = make_checkpoint(base, policy)
    inference = {name: getattr(policy.cfg, name) for name in INFERENCE_FIELDS}
    infos = {"spec": SPEC.to_dict(), "base": base_reference(base), "env_steps": 7}
    infos["settings"] = {**made.settings, "inference": inference}
    save_tensors(tmp_path / "run" / "model_1.safetensors", {**made.content, "infos": infos}, KIND, VERSION)
    return tmp_path / "run"


@pytest.fixture
def module(tmp_path, monkeypatch, trace):
    """Give the name of a class in a module that makes the trace when it is imported."""
    (tmp_path / "crafted_module.py").write_text(f"import os\nos.mkdir({str(trace)!r})\nclass Thing: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "crafted_module", raising=False)
    return "crafted_module:Thing"


@pytest.mark.parametrize("name", ["embedding_class", "velocity_field_class"])
def test_a_base_policy_imports_no_class_that_is_not_registered(run, trace, module, name):
    path = run / RUN_BASE
    content = load_tensors(path, BASE_KIND, "base policy")
    content["cfg"][name] = module
    save_tensors(path, content, BASE_KIND, 1)
    with pytest.raises(ZprlError, match=r"base_policy\.safetensors names the .* 'crafted_module:Thing', which is not"):
        load_policy(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    "place",
    [
        ("class_name",),
        ("steering", "class_type"),
        ("policy", "embedding_class"),
        ("actor", "class_name"),
        ("actor", "distribution_cfg", "class_name"),
        ("critic", "class_name"),
        ("algorithm", "class_name"),
        ("algorithm", "symmetry_cfg", "data_augmentation_func"),
        ("algorithm", "rnd_cfg", "class_name"),
        ("logger",),
        ("logger", "class_name"),
    ],
)
def test_a_checkpoint_imports_no_class_that_is_not_registered(run, trace, module, place):
    path = run / "model_1.safetensors"
    assert load_checkpoint(path).env_steps == 7
    content = load_tensors(path, KIND, "checkpoint")
    group = content["infos"]["settings"]["agent"]
    for name in place[:-1]:
        if not isinstance(group.get(name), dict):
            group[name] = {}
        group = group[name]
    group[place[-1]] = module
    save_tensors(path, content, KIND, VERSION)
    with pytest.raises(ZprlError, match=r"model_1\.safetensors names the .* 'crafted_module:Thing', which is not"):
        load_checkpoint(path)
    assert not trace.exists()


def test_a_checkpoints_base_policy_is_the_one_that_it_was_made_with(run):
    path, base = run / "model_1.safetensors", run / RUN_BASE
    expected = base_reference(base)["sha256"]
    policy, meta = load_policy(base)
    save_policy(base, policy, {**meta, "note": "another"})
    with pytest.raises(ZprlError, match=f"another base policy than .*base_policy.safetensors; .*{expected}"):
        load_checkpoint(path)
    base.unlink()
    with pytest.raises(ZprlError, match=f"base_policy.safetensors, which does not exist; .*{expected}"):
        load_checkpoint(path)


def test_users_register_their_own_classes(trace, module):
    with pytest.raises(ZprlError, match="not registered"):
        resolve_class(module, "steering")
    trust_overrides(
        ["agent.policy.embedding_class=other_module:Other", "agent.steering.class_type=crafted_module:Thing"]
    )
    check_settings({"policy": {"embedding_class": "other_module:Other"}})
    assert not trace.exists(), "a name is imported when it is used"
    assert resolve_class(module, "steering").__name__ == "Thing"
    with pytest.raises(ZprlError, match="not registered"):
        resolve_class(module, "embedding")
    register("embedding", module)
    assert resolve_class(module, "embedding").__name__ == "Thing"
    with pytest.raises(ZprlError, match="no kind of classes called 'robot'"):
        register("robot", module)


# -- bits


def test_no_bit_flips_unseen_in_a_run(run):
    checkpoint, base = run / "model_1.safetensors", run / RUN_BASE
    for _ in flips(checkpoint, 200):
        with pytest.raises(ZprlError):
            load_checkpoint(checkpoint)
    for _ in flips(base, 200):
        with pytest.raises(ZprlError):
            load_policy(base)
        with pytest.raises(ZprlError, match="another base policy"):
            load_checkpoint(checkpoint)
    assert load_checkpoint(checkpoint).env_steps == 7
