# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The compiled policy step against the torch module in double precision.

Every weight is random, gates and output included: with the initial zeros most of the network would not be tested.
"""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from zprl.policies import (
    FlowPolicy,
    FlowPolicyCfg,
    NativePolicyStep,
    make_policy_step,
)
from zprl.policies.flow.cfg import SOLVER_NAMES
from zprl.policies.flow.velocity_field import ResidualMLPVelocityField
from zprl.policies.native import library as native
from zprl.policies.native.blob import pack_policy
from zprl.utils.errors import ZprlError
from zprl.utils.registry import register

_core = pytest.importorskip("zprl._core", reason="the native libraries are not built")

TOLERANCE = 1e-5  # of the root mean square: about nine times what single precision needs

SHAPES = [
    {},  # the default
    {
        "obs": 1,
        "action": 1,
        "horizon": 1,
        "execute_steps": 1,
        "embed_dim": 1,
        "latent_dim": 1,
        "velocity_hidden_dim": 17,  # a LayerNorm over three numbers magnifies rounding without bound
    },
    {"obs": 37, "action": 5, "horizon": 7, "embed_dim": 33, "latent_dim": 7, "velocity_hidden_dim": 65},
    {"obs": 40, "action": 8, "velocity_num_blocks": 1, "embed_hidden_dims": (), "vib_hidden_dims": ()},
    {"obs": 130, "action": 14, "horizon": 16, "embed_hidden_dims": (31,), "vib_hidden_dims": (17, 300, 29)},
]


def make_policy(obs=40, action=7, seed=0, **settings):
    torch.manual_seed(seed)
    policy = FlowPolicy(FlowPolicyCfg(**settings), obs, action)
    for name, parameter in policy.named_parameters():
        # Signals keep their size from layer to layer; shifts, scales and gates get a size that matters.
        small = parameter.ndim == 1 or "modulation" in name or "time_mlp" in name
        mean = float(name.endswith("norm.weight"))
        nn.init.normal_(parameter, mean, 0.1 if small else (parameter.numel() / len(parameter)) ** -0.5)
    policy.set_normalizers(torch.randn(64, obs) * 3.0 + 1.0, torch.randn(64, action) * 0.3 - 0.1)
    return policy


def magnify_rounding(policy, offset=300.0):
    """Let the hidden numbers before the condition differ by one and be near ``offset``, as a trained policy's can.

    The policy does nearly the same as before (GELU is the identity there), but single precision would lose three
    decimals of what it knows.
    """
    mlps = (policy.embedding.mlp, policy.bottleneck.encoder, policy.bottleneck.decoder)
    with torch.no_grad():
        for mlp in mlps:
            layers = [layer for layer in mlp if isinstance(layer, nn.Linear)]
            for layer, following in itertools.pairwise(layers):
                layer.bias.add_(offset)
                following.bias.sub_(offset * following.weight.sum(dim=1))
    return policy


def make_inputs(policy, rows, seed=1):
    generator = torch.Generator().manual_seed(seed)
    obs = 3.0 * torch.randn(rows, policy.obs_dim, generator=generator)
    residual = 0.5 * torch.randn(rows, policy.cfg.latent_dim, generator=generator)
    return obs, residual, torch.randn(rows, *policy.chunk_shape, generator=generator)


def truth(policy, *inputs):
    exact = FlowPolicy(policy.cfg, policy.obs_dim, policy.action_dim).double()
    exact.load_state_dict(policy.state_dict())
    return exact.act(*(x.double() for x in inputs)), exact.encode(inputs[0].double())


def assert_exact(result, expected):
    assert result.shape == expected.shape
    error = (result.double() - expected).abs().max() / expected.square().mean().sqrt()
    assert error < TOLERANCE, f"maximal error {error:.2e} of the root mean square"


@pytest.mark.parametrize("settings", SHAPES, ids=range(len(SHAPES)))
@pytest.mark.parametrize("rows", [1, 3, 16, 37])
def test_shapes(settings, rows):
    policy = make_policy(**settings)
    inputs = make_inputs(policy, rows)
    step = NativePolicyStep(policy)
    chunk, (mean, logvar) = truth(policy, *inputs)
    assert_exact(step.act(*inputs), chunk)
    assert_exact(step.encode(inputs[0])[0], mean)
    assert_exact(step.encode(inputs[0])[1], logvar)


@pytest.mark.parametrize("solver", SOLVER_NAMES)
@pytest.mark.parametrize("steps", [1, 4, 16])
def test_solvers(solver, steps):
    policy = make_policy(solver=solver, num_flow_steps=steps, velocity_hidden_dim=64)
    inputs = make_inputs(policy, 9)
    assert_exact(NativePolicyStep(policy).act(*inputs), truth(policy, *inputs)[0])


@pytest.mark.parametrize("solver", SOLVER_NAMES)
@pytest.mark.parametrize("rows", [1, 7])
def test_a_policy_that_magnifies_rounding(solver, rows):
    policy = magnify_rounding(make_policy(solver=solver, num_flow_steps=2))
    inputs = make_inputs(policy, rows)
    step = NativePolicyStep(policy)
    chunk, (mean, _) = truth(policy, *inputs)
    assert_exact(step.act(*inputs), chunk)
    assert_exact(step.encode(inputs[0])[0], mean)


def test_limits_and_defaults():
    policy = make_policy(initial_noise="fixed")
    policy.set_action_limits(torch.full((7,), -0.2), torch.tensor([0.1] * 6 + [torch.inf]))
    obs, residual, _ = make_inputs(policy, 5)
    step = NativePolicyStep(policy)
    torch.testing.assert_close(step.act(obs), policy.act(obs), atol=2e-5, rtol=0.0)
    torch.testing.assert_close(step.act(obs, residual), policy.act(obs, residual), atol=2e-5, rtol=0.0)
    assert step.act(obs).min() == torch.tensor(-0.2)


def test_logvar_is_bounded_as_in_torch():
    policy = make_policy()
    with torch.no_grad():
        dict(policy.named_parameters())["bottleneck.encoder.6.bias"][16:] = torch.linspace(-100.0, 100.0, 16)
    obs = make_inputs(policy, 4)[0]
    torch.testing.assert_close(NativePolicyStep(policy).encode(obs), policy.encode(obs), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_row_depends_on_neither_its_neighbours_nor_its_place(threads):
    policy = make_policy()
    step = NativePolicyStep(policy)
    inputs = make_inputs(policy, 67)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        together = step.act(*inputs)
        assert torch.equal(together, step.act(*inputs))
        for first, last in ((0, 1), (5, 6), (66, 67), (3, 22), (13, 67)):
            assert torch.equal(step.act(*(x[first:last] for x in inputs)), together[first:last])
        order = torch.randperm(67, generator=torch.Generator().manual_seed(0))
        assert torch.equal(step.act(*(x[order] for x in inputs)), together[order])
    finally:
        torch.set_num_threads(before)


def test_nan_stays_in_its_row():
    policy = make_policy()
    step = NativePolicyStep(policy)
    inputs = make_inputs(policy, 20)
    clean = step.act(*inputs)
    inputs[0][7, 3] = float("nan")
    chunk = step.act(*inputs)
    others = torch.arange(20) != 7
    assert chunk[7].isnan().all()
    assert torch.equal(chunk[others], clean[others])


def test_empty_batch_and_strided_inputs():
    policy = make_policy()
    step = NativePolicyStep(policy)
    assert step.act(*make_inputs(policy, 0)).shape == (0, 8, 7)
    inputs = make_inputs(policy, 6)
    strided = tuple(torch.stack([x, x], dim=-1)[..., 0] for x in inputs)
    assert not strided[0].is_contiguous()
    assert torch.equal(step.act(*strided), step.act(*inputs))


# -- the NumPy module --------------------------------------------------------------------------------------------------


def test_numpy_module_equals_the_operator_bitwise():
    policy = make_policy()
    obs, residual, noise = make_inputs(policy, 21)
    step, core = NativePolicyStep(policy), _core.Policy(pack_policy(policy).numpy())
    assert (core.obs_dim, core.action_dim, core.horizon, core.latent_dim) == (40, 7, 8, 16)
    assert np.array_equal(core.act(obs.numpy(), residual.numpy(), noise.numpy()), step.act(obs, residual, noise))
    assert np.array_equal(core.act(obs.numpy()), step.act(obs))
    for ours, expected in zip(core.encode(obs.numpy()), step.encode(obs), strict=True):
        assert np.array_equal(ours, expected)
    from_bytes = _core.Policy(pack_policy(policy).numpy().tobytes())
    assert np.array_equal(from_bytes.act(np.asfortranarray(obs.numpy())), core.act(obs.numpy()))


def test_numpy_module_refuses_wrong_arguments():
    policy = make_policy()
    core = _core.Policy(pack_policy(policy).numpy())
    with pytest.raises(TypeError, match="float32"):
        core.act(np.zeros((2, 40)))
    with pytest.raises(ValueError, match=r"\(2, 40\), got \(2, 41\)"):
        core.act(np.zeros((2, 41), np.float32))
    with pytest.raises(ValueError, match="two dimensions"):
        core.act(np.zeros(40, np.float32))
    with pytest.raises(ValueError, match="residual"):
        core.act(np.zeros((2, 40), np.float32), np.zeros((1, 16), np.float32))
    with pytest.raises(TypeError, match="uint8"):
        _core.Policy(np.zeros(100, np.float32))


# -- wrong arguments and damaged blobs ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "change", "message"),
    [
        (0, lambda x: x.double(), "obs must have the dtype float32"),
        (0, lambda x: x[:, :-1], r"obs must have the shape \(4, 40\), got \(4, 39\)"),
        (0, lambda x: x[0], "obs must have two dimensions"),
        (0, lambda x: x.to("meta"), "obs"),
        (1, lambda x: x[:2], "residual must have the shape"),
        (1, lambda x: x.half(), "residual must have the dtype"),
        (2, lambda x: x.flatten(1), "noise must have the shape"),
        (3, lambda x: x.float(), "blob must have the dtype uint8"),
        (3, lambda x: x[:0], "shorter than its header"),
        (3, lambda x: x[:-4], "truncated or damaged"),
        (3, lambda x: x[:-1], "truncated or damaged"),
        (3, lambda x: x.roll(4), "letters ZPRL"),
        (3, lambda x: x.to("meta"), "blob"),
    ],
)
def test_wrong_arguments_end_in_a_sentence(index, change, message):
    policy = make_policy()
    arguments = [*make_inputs(policy, 4), NativePolicyStep(policy).blob]
    arguments[index] = change(arguments[index])
    if any(x.device.type == "meta" for x in arguments):
        return  # shapes only: the shape function answers, and there is nothing to read
    with pytest.raises((RuntimeError, ValueError), match=message):
        torch.ops.zprl.policy_step(*arguments)


def test_a_header_that_is_not_the_blobs_is_refused():
    policy = make_policy()
    inputs, blob = make_inputs(policy, 4), NativePolicyStep(policy).blob
    header = blob[:256].view(torch.int32).tolist()
    expected = torch.ops.zprl.policy_step(*inputs, blob)
    assert torch.equal(torch.ops.zprl.policy_step(*inputs, blob, header), expected)
    for wrong in (header[:-1], [*header, 0], [*header[:-1], 1], [2**40, *header[1:]]):
        with pytest.raises((RuntimeError, ValueError), match="header is not the blob's"):
            torch.ops.zprl.policy_step(*inputs, blob, wrong)
        with pytest.raises((RuntimeError, ValueError), match="header is not the blob's"):
            torch.ops.zprl.encode(inputs[0], blob, 16, wrong)


@pytest.mark.parametrize(("index", "name"), [(0, "obs"), (1, "residual"), (2, "noise"), (3, "blob")])
def test_none_and_sparse_tensors_end_in_a_sentence(index, name):
    policy = make_policy()
    arguments = [*make_inputs(policy, 4), NativePolicyStep(policy).blob]
    for wrong, message in (
        (None, "must be a tensor, not None"),
        (arguments[index].to_sparse(), "must be a dense tensor"),
    ):
        replaced = [*arguments[:index], wrong, *arguments[index + 1 :]]
        with pytest.raises((RuntimeError, ValueError), match=f"{name} {message}"):
            torch.ops.zprl.policy_step(*replaced)


def test_no_damaged_header_crashes():
    """Overwrite each number of the header with each of several others: an error or, where unused, the same result."""
    policy = make_policy()
    inputs = make_inputs(policy, 2)
    blob = NativePolicyStep(policy).blob
    expected = torch.ops.zprl.policy_step(*inputs, blob)
    refused = 0
    for field in range(64):
        for value in (-(2**31), -1, 0, 1, 2, 3, 5, 257, 2**20, 2**31 - 1):
            damaged = blob.clone()
            damaged[:256].view(torch.int32)[field] = value
            try:
                result = torch.ops.zprl.policy_step(*inputs, damaged)
            except (RuntimeError, ValueError) as error:
                assert "zprl" in str(error).lower()
                refused += 1
            else:
                # Solver and number of steps are legal numbers of their own; the rest must not matter.
                assert field in (9, 10) or torch.equal(result, expected), f"field {field}, value {value}"
    assert refused > 150


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value):
    policy = make_policy()
    inputs = make_inputs(policy, 2)
    blob = NativePolicyStep(policy).blob
    blob[256:].view(torch.float32)[5000] = value
    with pytest.raises((RuntimeError, ValueError), match="a weight of the embedding is not a finite number"):
        torch.ops.zprl.policy_step(*inputs, blob)
    with pytest.raises(ValueError, match="a weight of the embedding is not a finite number"):
        _core.Policy(blob.numpy())
    with torch.no_grad():
        dict(policy.named_parameters())["velocity_field.output.bias"][0] = value
    with pytest.raises(ZprlError, match="not finite"):
        NativePolicyStep(policy)


# -- the choice of the backend -----------------------------------------------------------------------------------------


class OtherEmbedding(nn.Module):
    """An embedding that the native backend does not know."""

    def __init__(self, cfg, obs_dim, image_shapes):
        super().__init__()
        self.linear = nn.Linear(obs_dim, cfg.embed_dim)

    def forward(self, obs):
        return self.linear(obs)


def test_backends_agree():
    policy = make_policy()
    inputs = make_inputs(policy, 5)
    fast, plain = make_policy_step(policy), make_policy_step(policy, "torch")
    assert (fast.backend, plain.backend) == ("native", "torch")
    assert plain is policy
    torch.testing.assert_close(fast.act(*inputs), plain.act(*inputs), atol=1e-4, rtol=0.0)
    torch.testing.assert_close(fast.encode(inputs[0]), plain.encode(inputs[0]), atol=1e-4, rtol=0.0)
    assert make_policy_step(policy, device="cpu").backend == "native"
    with pytest.raises(ZprlError, match="unknown policy backend"):
        make_policy_step(policy, "cuda")


class OtherField(ResidualMLPVelocityField):
    """Might compute something else."""


def test_an_unsupported_policy_falls_back_with_one_line(capsys):
    sys.modules["zprl_test_fields"] = sys.modules[__name__]
    register("velocity field", "zprl_test_fields:OtherField")
    policy = make_policy(velocity_field_class="zprl_test_fields:OtherField")
    assert make_policy_step(policy).backend == "torch"
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "OtherField" in lines[0]
    with pytest.raises(ZprlError, match="OtherField"):
        make_policy_step(policy, "native")


def test_an_encoder_of_the_users_own_runs_in_front_of_the_compiled_flow():
    sys.modules["zprl_test_embedding"] = sys.modules[__name__]
    register("embedding", "zprl_test_embedding:OtherEmbedding")
    policy = make_policy(embedding_class="zprl_test_embedding:OtherEmbedding")
    step, plain = make_policy_step(policy, "native"), policy
    assert isinstance(step, NativePolicyStep)
    inputs = make_inputs(policy, 5)
    assert not step.independent_rows  # torch's matrix products depend on the number of rows
    torch.testing.assert_close(step.latent(inputs[0]), plain.latent(inputs[0]), atol=0.0, rtol=0.0)
    torch.testing.assert_close(step.act(*inputs), plain.act(*inputs), atol=1e-4, rtol=0.0)
    with pytest.raises(ValueError, match="this policy has no encoder"):
        step.act_sampled(inputs[0], torch.zeros(5, dtype=torch.int64))


def test_a_missing_library_falls_back_with_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(native, "torch_library_path", lambda: tmp_path / "libzprl_torch.so")
    policy = make_policy()
    for step in (make_policy_step(policy), make_policy_step(policy, device="cpu")):
        assert step.backend == "torch"
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("libzprl_torch.so is missing" in line for line in lines)
    with pytest.raises(ZprlError, match="pip install"):
        make_policy_step(policy, "native")
    assert "missing" in native.build_info()["torch_library"]


def test_build_info():
    info = native.build_info()
    assert info["core_module"] == "ok"
    assert {"version", "compiler", "built_with_torch", "cuda"} <= set(info)


# -- torch's program formats -------------------------------------------------------------------------------------------


def test_operators_pass_torchs_own_checks():
    policy = make_policy()
    blob = NativePolicyStep(policy).blob
    obs, residual, noise = make_inputs(policy, 3)
    header = blob[:256].view(torch.int32).tolist()
    torch.library.opcheck(torch.ops.zprl.policy_step.default, (obs, residual, noise, blob))
    torch.library.opcheck(torch.ops.zprl.policy_step.default, (obs, residual, noise, blob, header))
    torch.library.opcheck(torch.ops.zprl.encode.default, (obs, blob, 16, header))
    torch.library.opcheck(torch.ops.zprl.encode.default, (obs, blob, 16))
    torch.library.opcheck(torch.ops.zprl.integrate.default, (torch.randn(3, 64), noise, blob))
    seeds = torch.arange(3)
    torch.library.opcheck(torch.ops.zprl.sampled_policy_step.default, (obs, residual, noise, seeds, blob))


class Deployed(nn.Module):
    """What a robot would run: the operator and its blob, without this package."""

    header: list[int]

    def __init__(self, blob, header):
        super().__init__()
        self.register_buffer("blob", blob)
        self.header = header

    def forward(self, obs: torch.Tensor, residual: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return torch.ops.zprl.policy_step(obs, residual, noise, self.blob, self.header)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:DeprecationWarning")
@pytest.mark.parametrize("kind", ["script", "export"])
@pytest.mark.parametrize("with_header", [False, True], ids=["blob", "blob and header"])
def test_a_saved_program_runs_in_another_process_without_the_package(kind, with_header, tmp_path):
    policy = make_policy()
    inputs = make_inputs(policy, 3)
    blob = NativePolicyStep(policy).blob
    module = Deployed(blob, blob[:256].view(torch.int32).tolist() if with_header else torch.jit.annotate(list[int], []))
    if kind == "script":
        torch.jit.script(module).save(str(tmp_path / "program"))
        load = "torch.jit.load('program')"
    else:
        rows = torch.export.Dim("rows", min=1, max=1024)
        program = torch.export.export(module, make_inputs(policy, 2), dynamic_shapes=[{0: rows}] * 3)
        torch.export.save(program, tmp_path / "program.pt2")
        load = "torch.export.load('program.pt2').module()"
    torch.save((inputs, module(*inputs)), tmp_path / "data.pt")
    script = (
        f"import torch; torch.ops.load_library({str(native.torch_library_path())!r}); "
        "inputs, expected = torch.load('data.pt'); "
        f"assert torch.equal({load}(*inputs), expected); import sys; assert 'zprl' not in sys.modules; print('same')"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, env=os.environ, check=False
    )
    assert result.stdout.strip() == "same", result.stderr
