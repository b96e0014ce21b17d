# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Bundles that somebody else made: none runs code of its own while it is read, and no bit of one flips unseen."""

import contextlib
import hashlib
import io
import json
import shutil

import pytest
import torch
from tests.crafted import FORMS, Evil, flips, pickled

from zprl.deploy.contract import CONTRACT_FILE, read_contract, sealed
from zprl.deploy.formats import FORMATS
from zprl.deploy.load import open_bundle
from zprl.utils.errors import ZprlError


@pytest.fixture
def trace(tmp_path):
    """Give the folder that a payload makes."""
    return tmp_path / "the payload ran"


@pytest.fixture(scope="module")
def whole(bundle):
    """Give a bundle with all formats, without the table of its export."""
    return bundle[0]


def replaced(whole, folder, name, content):
    """Return a copy of a bundle with another file, which its contract vouches for."""
    shutil.copytree(whole, folder)
    (folder / name).write_bytes(content)
    values = json.loads((folder / CONTRACT_FILE).read_text())
    del values["sha256"]
    values["files"][name] |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / CONTRACT_FILE).write_bytes(sealed(values))
    return folder


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", FORMATS)
def test_a_pickle_in_place_of_a_policy_is_refused(whole, tmp_path, trace, kind, form):
    folder = replaced(whole, tmp_path / "bundle", FORMATS[kind].file, pickled(Evil(trace), form))
    with pytest.raises(ZprlError, match=r"does not load here|could run code") as error:
        open_bundle(folder, kind)
    assert "\n" not in str(error.value)
    assert not trace.exists()


def without(whole, folder, *kinds):
    """Return a copy of a bundle that lacks some formats."""
    shutil.copytree(whole, folder)
    values = json.loads((folder / CONTRACT_FILE).read_text())
    del values["sha256"]
    for kind in kinds:
        del values["files"][FORMATS[kind].file]
    (folder / CONTRACT_FILE).write_bytes(sealed(values))
    return folder


def test_a_bundles_programs_run_only_if_they_are_named(whole, tmp_path):
    assert open_bundle(whole).kind == "native"
    assert open_bundle(without(whole, tmp_path / "models", "native")).kind == "onnx"
    programs = without(whole, tmp_path / "programs", "native", "onnx")
    with pytest.raises(ZprlError, match=r"holds programs alone \(torchscript, portable, torch_export\).*trust"):
        open_bundle(programs)
    for kind in ("torchscript", "portable", "torch_export"):
        assert open_bundle(programs, kind).kind == kind


def test_an_onnx_model_with_weights_in_another_file_is_refused(whole, tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string((whole / "policy.onnx").read_bytes())
    onnx.save_model(model, tmp_path / "m.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    folder = replaced(whole, tmp_path / "bundle", "policy.onnx", (tmp_path / "m.onnx").read_bytes())
    shutil.copy(tmp_path / "weights.bin", folder / "weights.bin")
    with pytest.raises(ZprlError, match=r"policy\.onnx does not load here"):
        open_bundle(folder, "onnx")


# -- archives of PyTorch, which hold more than weights


def rewritten(content, **changes):
    """Return an archive in which some records are others; ``None`` leaves one out."""
    reader = torch._C.PyTorchFileReader(io.BytesIO(content))
    records = {name: reader.get_record(name) for name in reader.get_all_records() if not name.startswith(".data/")}
    file = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(file)
    for name, record in {**records, **{name.replace("__", "/"): value for name, value in changes.items()}}.items():
        if name not in ("version", "byteorder"):
            writer.write_record(name, record, len(record))
    writer.write_end_of_file()
    return file.getvalue()


def json_record(content, name):
    return json.loads(torch._C.PyTorchFileReader(io.BytesIO(content)).get_record(name))


def program_of(content):
    return json_record(content, "models/model.json")


def saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def crafted_archives(content, trace):
    """Yield the ways that ``torch.export.load`` leaves to run code, as archives."""
    command = f"__import__('os').mkdir({str(trace)!r})"
    yield "sample inputs", rewritten(content, **{"data__sample_inputs__model.pt": saved(((Evil(trace),), {}))})
    config = json.loads(
        torch._C.PyTorchFileReader(io.BytesIO(content)).get_record("data/weights/model_weights_config.json")
    )
    first = next(iter(config["config"].values()))
    first["use_pickle"] = True
    weights = {"data__weights__model_weights_config.json": json.dumps(config).encode()}
    weights["data/weights/" + first["path_name"]] = saved(Evil(trace))
    yield "weights", rewritten(content, **weights)
    text = json.dumps(program_of(content))
    symbol = json.dumps(next(iter(_values(program_of(content), "expr_str"))))
    yield "expression", rewritten(content, **{"models__model.json": text.replace(symbol, json.dumps(command)).encode()})
    program = program_of(content)
    program["guards_code"] = [command]
    yield "guards", rewritten(content, **{"models__model.json": json.dumps(program).encode()})
    program = program_of(content)
    program["graph_module"]["graph"]["nodes"][0]["target"] = "torch.os.mkdir"
    yield "operator", rewritten(content, **{"models__model.json": json.dumps(program).encode()})
    operator = text.replace("torch.ops.aten.linear.default", "torch.ops.aten.from_file.default")
    yield "operator that writes files", rewritten(content, **{"models__model.json": operator.encode()})
    program = program_of(content)
    program["graph_module"]["graph"]["inputs"][0]["as_tensor"]["name"] = f"x={command}"
    yield "name", rewritten(content, **{"models__model.json": json.dumps(program).encode()})
    yield "shared library", rewritten(content, **{"data__aotinductor__model__model.so": b"\x7fELF"})
    yield "older form", rewritten(content, **{"serialized_exported_program.json": b"{}"})
    kind = text.replace('\\"type\\": \\"builtins.tuple\\"', '\\"type\\": \\"collections.defaultdict\\"')
    yield "type", rewritten(content, **{"models__model.json": kind.encode()})


def _values(value, key):
    if isinstance(value, dict):
        for name, item in value.items():
            if name == key:
                yield item
            yield from _values(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from _values(item, key)


def test_torch_export_itself_would_run_crafted_archives(whole, trace):
    """Else the next test would say nothing."""
    content = (whole / "policy.pt2").read_bytes()
    ran = set()
    for name, archive in crafted_archives(content, trace):
        if name in ("sample inputs", "weights", "expression"):
            with contextlib.suppress(Exception):  # it fails after the payload ran
                torch.export.load(io.BytesIO(archive)).module()
            if trace.exists():
                ran.add(name)
                trace.rmdir()
    assert ran == {"sample inputs", "weights", "expression"}


def test_crafted_archives_of_torch_export_are_refused(whole, tmp_path, trace):
    content = (whole / "policy.pt2").read_bytes()
    same = replaced(whole, tmp_path / "same", "policy.pt2", rewritten(content))
    obs = torch.randn(2, 13)
    assert torch.equal(open_bundle(same, "torch_export").act(obs), open_bundle(whole, "torch_export").act(obs))
    names = []
    for name, archive in crafted_archives(content, trace):
        folder = replaced(whole, tmp_path / name, "policy.pt2", archive)
        with pytest.raises(ZprlError, match="which could run code") as error:
            open_bundle(folder, "torch_export")
        assert "\n" not in str(error.value)
        assert not trace.exists(), name
        names.append(name)
    assert len(names) == 10


def test_torchscript_that_touches_files_is_refused(whole, tmp_path, trace):
    class Writer(torch.nn.Module):
        def __init__(self, path: str):
            super().__init__()
            self.path = path

        def forward(self, obs: torch.Tensor) -> torch.Tensor:
            return obs + torch.from_file(self.path, True, 4)[0]

    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(Writer(str(trace))), buffer)
    for kind in ("portable", "torchscript"):
        folder = replaced(whole, tmp_path / kind, FORMATS[kind].file, buffer.getvalue())
        with pytest.raises(ZprlError, match="from_file"):
            open_bundle(folder, kind)
    assert not trace.exists()


def test_no_bit_flips_unseen_in_a_bundle(whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "bundle")
    files = sorted(path for path in folder.iterdir())
    assert {path.name for path in files} >= {CONTRACT_FILE, "golden.npz", *(form.file for form in FORMATS.values())}
    for path in files:
        for _ in flips(path, 1 + 200 // len(files)):
            with pytest.raises(ZprlError):
                read_contract(folder)
    read_contract(folder)
