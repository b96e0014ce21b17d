# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Damaged arguments to the native operators and to ``zprl._core``: each call returns the right shapes or a sentence.

The calls run in a process of their own, so that a crash is a failed test and not the end of all tests.
"""

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("zprl._core", reason="the native libraries are not built")

COUNT = 10_000
ROWS = (0, 1, 2, 3, 7, 17)

# What a call may raise.
REFUSALS = (RuntimeError, ValueError, TypeError)


def test_damaged_arguments_end_in_a_result_or_a_sentence():
    result = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), "1", str(COUNT)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, f"exit status {result.returncode}\n{result.stdout[-2000:]}\n{result.stderr[-4000:]}"
    done = dict(line.split() for line in result.stdout.splitlines())
    assert sum(map(int, done.values())) == COUNT
    # Both ends of every function were reached, or this test tests nothing.
    for name in CALLS:
        assert int(done[f"{name}:result"]) > 50
        assert int(done[f"{name}:refusal"]) > 50


# -- in the other process ----------------------------------------------------------------------------------------------


class Target:
    """A small policy, its blob and arguments that fit it."""

    def __init__(self, dtype, parts=("encoder", "bottleneck", "flow")):
        from zprl import _core
        from zprl.policies import FlowPolicy, FlowPolicyCfg
        from zprl.policies.native.blob import pack_policy

        torch.manual_seed(0)
        cfg = FlowPolicyCfg(
            horizon=2,
            execute_steps=1,
            num_flow_steps=2,
            embed_dim=5,
            embed_hidden_dims=(6,),
            latent_dim=3,
            vib_hidden_dims=(4,),
            velocity_hidden_dim=9,
            velocity_num_blocks=1,
        )
        policy = FlowPolicy(cfg, 4, 3)
        if "encoder" not in parts:
            policy.embedding = torch.nn.Identity()
        if "bottleneck" not in parts:
            policy.bottleneck = None  # type: ignore[assignment]
        self.blob = pack_policy(policy, dtype, whole=False)
        self.core = _core.Policy(self.blob.numpy())
        self.widths = {
            "obs": (4,),
            "residual": (3,),
            "noise": (2, 3),
            "condition": (5,),
            "latent_seed": (),
            "latent": (3,),
        }

    def argument(self, name, rows):
        if name == "blob":
            return self.blob.clone()
        if name == "latent_dim":
            return 3
        if name == "latent_seed":
            return torch.randint(-(2**62), 2**62, (rows,))
        dtype = torch.float64 if name == "latent" and torch.rand(()) < 0.5 else torch.float32
        return torch.randn(rows, *self.widths[name], dtype=dtype)


CHUNK, LATENT = (2, 3), (3,)

# As many targets with all parts as without one of them.
WHOLE = ("encoder", "bottleneck", "flow")
PARTS = (WHOLE, WHOLE, WHOLE[1:], WHOLE[2:])

# Names of the arguments, and shapes of a row's results.
CALLS = {
    "policy_step": (("obs", "residual", "noise", "blob"), (CHUNK,)),
    "sampled_policy_step": (("obs", "residual", "noise", "latent_seed", "blob"), (CHUNK,)),
    "encode": (("obs", "blob", "latent_dim"), (LATENT, LATENT)),
    "latent": (("obs", "blob", "latent_dim"), (LATENT,)),
    "act": (("latent", "noise", "blob"), (CHUNK,)),
    "act_from_condition": (("condition", "noise", "blob"), (CHUNK,)),
    "integrate": (("condition", "noise", "blob"), (CHUNK,)),
    "Policy": (("blob",), ()),
    "Policy.act": (("obs", "residual", "noise", "latent_seed"), (CHUNK,)),
    "Policy.encode": (("obs",), (LATENT, LATENT)),
    "Policy.latent": (("obs",), (LATENT,)),
    "Policy.act_from_latent": (("latent", "noise"), (CHUNK,)),
    "Policy.act_from_condition": (("condition", "noise"), (CHUNK,)),
    "Policy.integrate": (("condition", "noise"), (CHUNK,)),
}

DTYPES = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8, torch.bool)


# Damages: (random numbers, a tensor) -> an argument. After those in KEEPS it still has the right shape and type.


def strided(rng, x):
    if x.dim() == 0:
        return x
    at = rng.randrange(x.dim() + 1)
    return torch.stack([x, torch.full_like(x, 7)], dim=at).select(at, 0)


def column_major(rng, x):
    return x.permute(*reversed(range(x.dim()))).contiguous().permute(*reversed(range(x.dim())))


def offset(rng, x):
    """The same numbers at an address that is aligned to an element only."""
    return torch.cat([x.new_zeros(1), x.flatten()])[1:].view(x.shape)


def reversed_strides(rng, x):
    return x.flip(0) if x.dim() else x


def special_values(rng, x):
    x = x.clone()
    if x.is_floating_point() and x.numel():
        value = rng.choice([float("nan"), float("inf"), -float("inf"), 3e38, 1e-42, -0.0])
        x.view(-1)[rng.randrange(x.numel())] = value
    return x


def needs_gradient(rng, x):
    return x.clone().requires_grad_() if x.is_floating_point() else x


KEEPS = (strided, column_major, offset, reversed_strides, special_values, needs_gradient)


def other_dtype(rng, x):
    return x.to(rng.choice(DTYPES))


def other_rows(rng, x):
    return x.repeat(2, *[1] * (x.dim() - 1)) if rng.random() < 0.5 and x.dim() else x[: len(x) // 2]


def other_width(rng, x):
    return x[..., :-1] if rng.random() < 0.5 else torch.cat([x, x], dim=-1)


def other_dims(rng, x):
    return rng.choice([lambda: x.unsqueeze(rng.randrange(x.dim() + 1)), lambda: x.flatten(), lambda: x.sum()])()


def empty(rng, x):
    shape = list(x.shape)
    shape[rng.randrange(len(shape))] = 0
    return x.new_zeros(shape)


def expanded(rng, x):
    """Strides of zero."""
    return x[:1].expand(x.shape) if len(x) else x


def something_else(rng, x):
    return rng.choice([None, 3, 2.5, "text", [1.0, 2.0], object(), x.to("meta"), x.to_sparse(), (x, x), b"", -1])


def damaged_bytes(rng, x):
    x = x.clone()
    for _ in range(rng.randint(1, 6)):
        # Half of them in the header, which is small.
        x[rng.randrange(256 if rng.random() < 0.5 else len(x))] = rng.randrange(256)
    return x


def damaged_number(rng, x):
    x = x.clone()
    numbers = x.view(torch.int32)
    at = rng.randrange(64) if rng.random() < 0.5 else rng.randrange(len(numbers))
    numbers[at] = rng.choice([-(2**31), -1, 0, 1, 2, 64, 65, 2**16, 2**20, 2**31 - 1, 0x7FC00000, 0x7F800000])
    return x


def other_length(rng, x):
    return x[: rng.randrange(len(x) + 1)] if rng.random() < 0.7 else torch.cat([x, x[: rng.randrange(1, 200)]])


OF_NUMBERS = (*KEEPS, other_dtype, other_rows, other_width, other_dims, empty, expanded, something_else)
OF_BLOB = (strided, offset, expanded, other_dtype, other_dims, empty, something_else)
OF_BLOB += (damaged_bytes, damaged_number, other_length) * 3


def to_numpy(rng, x, name):
    if not isinstance(x, torch.Tensor) or x.is_sparse or x.device.type != "cpu" or x.dtype == torch.bfloat16:
        return None if isinstance(x, torch.Tensor) else x
    array = x.detach().numpy()
    if name == "latent_seed" and array.dtype == np.int64 and rng.random() < 0.9:
        array = array.view(np.uint64) if array.flags.c_contiguous else array.astype(np.uint64)
    if rng.random() < 0.1:  # what only NumPy has
        array = rng.choice(
            [
                lambda: array[::-1] if array.ndim else array,
                lambda: array.astype(array.dtype.newbyteorder()),
                lambda: np.asfortranarray(array),
                lambda: np.ma.masked_invalid(array) if array.dtype.kind == "f" else array,
                lambda: array.astype(object),
                lambda: np.frombuffer(b"x" + array.tobytes(), np.uint8)[1:].view(array.dtype).reshape(array.shape),
            ]
        )()
    return array


def call(target, name, arguments) -> Any:
    from zprl import _core

    if name == "Policy":
        return _core.Policy(*arguments)
    if name.startswith("Policy."):
        return getattr(target.core, name.removeprefix("Policy."))(*arguments)
    return getattr(torch.ops.zprl, name)(*arguments)


def check(rng, target, name):
    """Call once with damaged arguments. Return "result" or "refusal"."""
    names, row_shapes = CALLS[name]
    rows = rng.choice(ROWS)
    arguments = [target.argument(each, rows) for each in names]
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
        at = rng.randrange(len(arguments))
        if names[at] == "latent_dim":
            arguments[at] = rng.choice([-(2**63), -1, 0, 1, 4, 2**31, 2**63 - 1, 2.5, None])
            continue
        argument = target.argument(names[at], rows)
        arguments[at] = rng.choice(OF_BLOB if names[at] == "blob" else OF_NUMBERS)(rng, argument)
    if name.startswith("Policy"):
        arguments = [to_numpy(rng, x, each) for x, each in zip(arguments, names, strict=True)]
    try:
        results = call(target, name, arguments)
    except REFUSALS as error:
        message = str(error)
        assert message.strip(), f"{type(error).__name__} without a message"
        # torch's dispatcher and pybind11 explain an argument that is no array, or a tensor of another kind, at length.
        foreign = any(
            x.is_sparse or x.device.type == "meta" if isinstance(x, torch.Tensor) else not isinstance(x, np.ndarray)
            for x, each in zip(arguments, names, strict=True)
            if each != "latent_dim" or not isinstance(x, int)
        )
        assert foreign or ("zprl" in message.lower() and len(message.splitlines()) == 1), message
        return "refusal"
    results = results if isinstance(results, tuple) else (results,)
    if name != "Policy" and not any(isinstance(x, torch.Tensor) and x.device.type == "meta" for x in arguments):
        assert arguments[0] is not None
        shapes = [tuple(x.shape) for x in results]
        assert shapes == [(arguments[0].shape[0], *shape) for shape in row_shapes], shapes
        for x in results:
            exact = row_shapes == (LATENT,)  # the mean as it is computed
            assert x.dtype in ((torch.float64, np.float64) if exact else (torch.float32, np.float32))
    return "result"


def main():
    from zprl.policies.native.library import load_torch_library

    load_torch_library()
    torch.set_num_threads(1)
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    from zprl import _core

    dtypes = ["float32", "bfloat16"] if _core.multiplies_bfloat16() else ["float32"]
    targets = [Target(dtype, parts) for dtype in dtypes for parts in PARTS]
    outcomes = Counter()
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        torch.manual_seed(number)
        name = list(CALLS)[number % len(CALLS)]
        print(f"call {number} of seed {seed}: {name}", file=sys.stderr)  # the last line says where a crash was
        outcomes[f"{name}:{check(rng, rng.choice(targets), name)}"] += 1
    for name, times in sorted(outcomes.items()):
        print(name, times)


if __name__ == "__main__":
    main()
