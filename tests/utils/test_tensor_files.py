# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Files of tensors and settings: exact round trips, and no damage, other file or old file that is read silently."""

import hashlib
import math
import pickle
import random
import re
import subprocess
import sys
import time

import pytest
import safetensors.torch
import torch

from zprl.utils.errors import ZprlError
from zprl.utils.tensor_files import OtherKindError, load_tensors, save_tensors

KIND = "zprl-checkpoint"


def save(path, content):
    save_tensors(path, content, KIND, 1)


def load(path, what="checkpoint"):
    return load_tensors(path, KIND, what)


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def test_round_trip(path):
    save(path, {"weights": torch.arange(3.0), "settings": {"beta": 1e-3}})
    loaded = load(path)
    assert torch.equal(loaded["weights"], torch.tensor([0.0, 1.0, 2.0]))
    assert loaded["settings"] == {"beta": 1e-3}


def test_other_programs_read_the_tensors(path):
    save(path, {"weights": torch.arange(3.0), "more": [torch.tensor(True), torch.arange(5, dtype=torch.int16)]})
    tensors = safetensors.torch.load_file(path)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32, torch.bool, torch.int16}
    with safetensors.safe_open(path, "pt") as file:
        assert f'"kind":"{KIND}"' in file.metadata()["zprl"]


def test_leaves_come_back_exactly(path):
    leaves = {
        "none": None,
        "flags": [True, False, 1, 0, 1.0, 0.0],
        "whole": [0, -1, 2**63, -(2**80)],
        "floats": [0.1, 1 / 3, 1e308, 5e-324, -0.0, math.pi, 1e22, math.inf, -math.inf],
        "texts": ["", "\u00e4\u20ac\U0001f916", "\ud800", '\x00\n"\\\\', "$tensor", 'sha256":"'],
        "empty": [{}, [], {"a": {}}],
        "$tensor": "0",
        "marks": {"$float": "nan", "$items": [], "$": 1},
        "numbered": {0: "a", 1: {2: None}, -1: "b"},
        "mixed": {0: "number", "0": "text"},
    }
    save(path, leaves)
    loaded = load(path)
    assert repr(loaded) == repr(leaves)  # tells 1 from 1.0 and True, and 0.0 from -0.0
    save(path, [math.nan])
    assert math.isnan(load(path)[0])
    save(path, ((1, 2), [(3,)]))
    assert load(path) == [[1, 2], [[3]]]


def test_tensors_come_back_exactly(path):
    torch.manual_seed(0)
    types = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16)
    tensors = [(100 * torch.randn(3, 4)).to(dtype) for dtype in types]
    tensors += [torch.randint(0, 2, (5,)).to(dtype) for dtype in (torch.bool, torch.uint8, torch.int8, torch.uint16)]
    tensors += [torch.tensor(3.0), torch.tensor(7), torch.tensor(True), torch.empty(0), torch.empty(0, 3)]
    tensors += [torch.empty(2, 0, dtype=torch.int64), torch.tensor([math.nan, -0.0, math.inf])]
    tensors += [torch.randn(2, 3, dtype=torch.complex64).conj()]
    whole = torch.arange(24.0).reshape(4, 6)
    tensors += [whole, whole, whole.t(), whole[1], whole[:, ::2], whole.expand(2, 4, 6), torch.nn.Parameter(whole)]
    save(path, tensors)
    loaded = load(path)
    for before, after in zip(tensors, loaded, strict=True):
        assert type(after) is torch.Tensor
        assert (after.dtype, after.shape, after.requires_grad) == (before.dtype, before.shape, False)
        assert (
            after.numpy(force=True).tobytes() == before.detach().contiguous().numpy(force=True).tobytes()
            if (before.dtype != torch.bfloat16)
            else torch.equal(before, after)
        )
    loaded[-7][0, 0] = 99.0
    assert loaded[-6][0, 0] == 0.0, "tensors that shared memory come back as separate ones"


def test_an_optimizer_continues_exactly(path):
    def make():
        torch.manual_seed(0)
        module = torch.nn.Linear(3, 2)
        return module, torch.optim.AdamW(module.parameters(), lr=0.1, betas=(0.8, 0.99))

    def step(module, optimizer):
        optimizer.zero_grad()
        module(torch.ones(1, 3)).square().sum().backward()
        optimizer.step()

    module, optimizer = make()
    step(module, optimizer)
    save(path, {"module": module.state_dict(), "optimizer": optimizer.state_dict()})
    step(module, optimizer)
    again, continued = make()
    loaded = load(path)
    assert list(loaded["optimizer"]["state"]) == [0, 1]
    again.load_state_dict(loaded["module"])
    continued.load_state_dict(loaded["optimizer"])
    step(again, continued)
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), again.parameters(), strict=True))


def test_equal_contents_are_equal_files(path):
    content = {"b": torch.arange(9.0), "a": [torch.zeros(2, dtype=torch.bool), 0.1]}
    save(path, content)
    first = path.read_bytes()
    save(path, content)
    assert path.read_bytes() == first


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"a": {"b": {1, 2}}}, "content/a/b is of type set"),
        ({"a": [print]}, "content/a/0 is of type builtin"),
        ({1.5: 0}, "key 1.5"),
        ({True: 0}, "key True"),
        ([torch.zeros(2).to_sparse()], "content/0 is a tensor"),
        ([torch.zeros(2, dtype=torch.complex128)], "complex128"),
    ],
)
def test_what_a_file_cannot_hold_is_refused_before_the_old_file_is_touched(path, content, words):
    save(path, 1)
    with pytest.raises(TypeError, match=words):
        save(path, content)
    assert load(path) == 1


def test_full_disk_keeps_the_old_file(tmp_path, path):
    """The limit on the size of a file makes a real write fail half-way, as a full disk does."""
    save(path, {"iteration": 1})
    code = (
        "import resource, signal, sys, torch\n"
        "from zprl.utils.errors import run_cli; from zprl.utils.tensor_files import save_tensors\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "run_cli(lambda: save_tensors(sys.argv[1], torch.zeros(1_000_000), 'zprl-checkpoint', 1))\n"
    )
    process = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
    assert process.returncode == 2
    assert process.stderr.startswith(f"error: file size limit reached while writing {path};")
    assert process.stderr.count("\n") == 1
    assert load(path) == {"iteration": 1}
    assert names(tmp_path) == ["model.safetensors"]


def test_a_kill_in_the_middle_of_a_write_leaves_a_whole_file(path):
    code = (
        "import sys, torch\n"
        "from zprl.utils.tensor_files import save_tensors\n"
        "i = 0\n"
        "while True:\n"
        "    save_tensors(sys.argv[1], torch.full((3_000_000,), i), 'zprl-checkpoint', 1)\n"
        "    print(i, flush=True)\n"
        "    i += 1\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        for _ in range(2):
            time.sleep(random.uniform(0.0, 0.05))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    content = load(path)
    assert content.shape == (3_000_000,)
    assert (content == content[0]).all()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_truncated_file(path, share):
    save(path, {"weights": torch.zeros(1000)})
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ZprlError, match=rf"the policy {path} is truncated"):
        load(path, "policy")


@pytest.mark.parametrize("content", [b"hello\n", b"\x89HDF\r\n\x1a\n" + bytes(99), bytes(1000), b"\xff" * 1000])
def test_other_kind_of_file(path, content):
    path.write_bytes(content)
    with pytest.raises(ZprlError, match="not a ZPRL file"):
        load(path)


def test_safetensors_of_other_programs(path):
    safetensors.torch.save_file({"weights": torch.zeros(3)}, path, {"format": "pt"})
    with pytest.raises(ZprlError, match="not a ZPRL file"):
        load(path)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_old_files_are_refused_unread(path, protocol):
    path.write_bytes(pickle.dumps({"weights": 1}, protocol))
    with pytest.raises(ZprlError, match=r"older version.*zprl convert"):
        load(path)
    torch.save({"weights": 1}, path)
    with pytest.raises(ZprlError, match=r"older version.*zprl convert"):
        load(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ZprlError, match=r"the checkpoint .*/no\.safetensors does not exist"):
        load(tmp_path / "no.safetensors")
    with pytest.raises(ZprlError, match="is a folder; give the file inside it"):
        load(tmp_path)


def test_other_kind_and_version(path):
    save_tensors(path, 1, "zprl-base-policy", 1)
    with pytest.raises(OtherKindError, match="is not a ZPRL checkpoint: it is a file of the kind base policy") as error:
        load(path)
    assert error.value.kind == "zprl-base-policy"
    save_tensors(path, 1, KIND, 2)
    with pytest.raises(ZprlError, match="has format version 2, and this ZPRL reads version 1"):
        load(path)


def test_no_bit_of_a_file_flips_unseen(path):
    save(path, {"weights": torch.randn(50), "settings": {"scale": 0.8, "steps": [1, 2]}})
    content = path.read_bytes()
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(ZprlError, match=r"damaged: its checksum|truncated|not a ZPRL file"):
            load(path)
    for wrong in (content + b"\0", content[:-1], content + content):
        path.write_bytes(wrong)
        with pytest.raises(ZprlError):
            load(path)


def forge(content, before, after):
    """Return a file in which some bytes are others and the checksum is right: what an enemy would make."""
    content = content.replace(before, after)
    checksum = re.search(rb"[0-9a-f]{64}", content)
    assert checksum is not None
    start = checksum.start()
    blank = content[:start] + b"0" * 64 + content[start + 64 :]
    return content[:start] + hashlib.sha256(blank).hexdigest().encode() + content[start + 64 :]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{\\"$tensor\\":\\"0\\"}', b'{\\"$tensor\\":\\"7\\"}'),
        (b'{\\"$tensor\\":\\"0\\"}', b'{\\"$tensor\\": [ ]}'),
        (b'{\\"$float\\":\\"nan\\"}', b'{\\"$float\\":\\"abc\\"}'),
        (b"[[1,2],[3,4]]", b"[[1,2,[3,4]]]"),
        (b'"F32"', b'"F99"'),
        (b'"data_offsets":[0,', b'"data_offsets":[4,'),
        (b'"shape":[3]', b'"shape":[4]'),
        (b"[[[[[[[[]]]]]]]]", b"[[[[[[[[{]]]]]]]"),
    ],
)
def test_a_forged_file_ends_in_one_sentence(path, before, after):
    save(path, {"t": torch.zeros(3), "n": math.nan, "i": {1: 2, 3: 4}, "deep": [[[[[[[[]]]]]]]]})
    content = path.read_bytes()
    assert before in content
    path.write_bytes(forge(content, before, after))
    with pytest.raises(ZprlError, match="not well-formed"):
        load(path)
    path.write_bytes(forge(content, b"zprl", b"zprl"))
    assert load(path)["i"] == {1: 2, 3: 4}, "the forger does nothing else"


def test_absurdly_nested_file(path):
    nested = []
    for _ in range(700):
        nested = [nested]
    save(path, nested)
    depth = 100_000
    content = path.read_bytes()
    head, tail = content.index(b'content\\":') + len(b'content\\":'), content.rindex(b'}"')
    body = content[8:head] + b"[" * depth + b"]" * depth + content[tail:].rstrip()
    body += b" " * (-len(body) % 8)
    path.write_bytes(forge(len(body).to_bytes(8, "little") + body, b"", b""))
    with pytest.raises(ZprlError, match="not well-formed"):
        load(path)
