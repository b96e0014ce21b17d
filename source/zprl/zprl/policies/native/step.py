# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The policy step as a compiled operator, and the choice between it and the torch module."""

from __future__ import annotations

import sys

import torch
from torch import Tensor

from zprl.policies.flow.cfg import BACKEND_NAMES
from zprl.policies.flow.encoders import ObservationEmbedding
from zprl.policies.flow.policy import FlowPolicy, Inputs
from zprl.policies.flow.step import PolicyStep, TorchPolicyStep
from zprl.policies.native.blob import HEADER_INTS, pack_policy
from zprl.policies.native.library import cpu_level, load_torch_library, multiplies_bfloat16
from zprl.utils.errors import ZprlError

PRECISIONS = {"float32": "native", "tf32": "native_tf32", "bfloat16": "native_bf16"}
"""Names of the native backends by the precision of their products."""

_OPERATOR_ERRORS = (ValueError, RuntimeError, AssertionError)
"""Of our operators, and of torch on a CUDA device (which asserts that it was built with CUDA)."""


class NativePolicyStep:
    """The compiled policy step on the CPU or on a CUDA device. It holds a copy of the weights as they are now.

    On a CUDA device calls return before the GPU has finished, as torch's own do, and can be captured in a CUDA graph.

    Args:
        policy: Policy to run.
        precision: Of the velocity field's products: "float32", "bfloat16", or on a CUDA device "tf32" (operands with
            the range of float32 and 10 bits of mantissa). What lies between its layers is single precision. The
            embedding and the bottleneck, which run once per chunk, are double precision on the CPU and single on GPUs.
        device: Where it runs and its arguments are; the policy's own device if None.

    Raises:
        ZprlError: If the native library does not load, the policy is one that :func:`pack_policy` refuses, this
            processor cannot multiply the precision, or the library or the GPU cannot run the policy on this device.
    """

    def __init__(
        self, policy: FlowPolicy, precision: str = "float32", device: str | torch.device | None = None
    ) -> None:
        load_torch_library()
        if precision not in PRECISIONS:
            raise ZprlError(f"unknown precision {precision!r}; choose one of {', '.join(PRECISIONS)}.")
        self.policy = policy
        self.backend = PRECISIONS[precision]
        self.has_encoder = type(policy.embedding) is ObservationEmbedding and not policy.image_shapes
        """Whether the observation's encoder is compiled; another one runs on torch, in front of the compiled flow."""
        self.device = policy.fixed_noise.device if device is None else torch.device(device)
        """Where it runs."""
        if self.device.type == "cuda":
            self.blob, self.header = _pack_on_cuda(policy, precision, self.device)
            self._try_out()
            return
        if self.device.type != "cpu":
            raise ZprlError(f"the native policy step runs on the CPU and on CUDA devices, not on '{self.device}'.")
        if precision == "tf32":
            raise ZprlError("tf32 products exist on GPUs only; choose float32 or bfloat16 on the CPU.")
        self.blob = pack_policy(policy, precision, whole=False)
        """The packed policy: the argument ``blob`` of ``torch.ops.zprl.policy_step`` and all that a robot needs."""
        self.header: list[int] = []
        """The argument ``header``: the first 64 numbers of a blob on a CUDA device; empty on the CPU."""
        if precision == "bfloat16" and not multiplies_bfloat16():
            raise ZprlError(f"this processor ({cpu_level()}) does not multiply bfloat16; use float32 weights.")

    def _try_out(self) -> None:
        """Run once, and wait: what the GPU has to say against the policy is better heard now than in a rollout."""
        try:
            self.act(self.policy.example_inputs(self.device))
            torch.cuda.synchronize(self.device)
        except _OPERATOR_ERRORS as error:
            raise ZprlError(f"the native policy step does not run on {self.device}: {_sentence(error)}") from error

    @property
    def independent_rows(self) -> bool:
        """See :attr:`PolicyStep.independent_rows`."""
        return self.has_encoder and self.device.type == "cpu"

    @torch.no_grad()
    def act(self, obs: Inputs, residual: Tensor | None = None, noise: Tensor | None = None) -> Tensor:
        """See :meth:`FlowPolicy.act`."""
        if isinstance(obs, Tensor) and self.has_encoder:
            return torch.ops.zprl.policy_step(*self._inputs(obs, residual, noise), self.blob, self.header)
        latent = self.latent(obs)
        noise = self._noise(len(latent)) if noise is None else noise
        return self.act_from_latent(latent if residual is None else latent + residual, noise)

    @torch.no_grad()
    def act_sampled(
        self, obs: Tensor, latent_seed: Tensor, residual: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """:meth:`act` on a sample of the latent instead of its mean.

        Args:
            obs: Raw observations (N, obs_dim).
            latent_seed: Seed of each row's sample (N,), int64. A row's sample depends on its seed alone.
            residual: What to add to the sample (N, latent_dim); zero if None.
            noise: Start of the flow (N, H, A); :meth:`FlowPolicy.sample_noise` if None.

        Returns:
            Raw action chunk (N, H, A), within the action limits.

        Raises:
            ValueError: If the policy's encoder is not compiled.
        """
        inputs = self._inputs(obs, residual, noise)
        return torch.ops.zprl.sampled_policy_step(*inputs, latent_seed, self.blob, self.header)

    @torch.no_grad()
    def integrate(self, condition: Tensor, noise: Tensor) -> Tensor:
        """See :meth:`FlowPolicy.integrate`. No gradients are recorded."""
        return torch.ops.zprl.integrate(condition, noise, self.blob, self.header)

    def _inputs(self, obs: Tensor, residual: Tensor | None, noise: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        if residual is None:
            residual = obs.new_zeros(obs.shape[0], self.policy.cfg.latent_dim)
        return obs, residual, self._noise(obs.shape[0]) if noise is None else noise

    def _noise(self, rows: int) -> Tensor:
        return self.policy.sample_noise(rows).to(self.device, torch.float32, non_blocking=True)

    @torch.no_grad()
    def latent(self, inputs: Inputs) -> Tensor:
        """Mean z of the latent (N, latent_dim): in double precision on a CPU, as the step itself goes on with it.

        An encoder that is none of the compiled ones runs on torch.
        """
        if self.has_encoder:
            return torch.ops.zprl.latent(inputs, self.blob, self.policy.cfg.latent_dim, self.header)
        return self.policy.encode(inputs)[0]

    @torch.no_grad()
    def act_from_latent(self, latent: Tensor, noise: Tensor) -> Tensor:
        """See :meth:`PolicyStep.act_from_latent`."""
        return torch.ops.zprl.act(latent, noise, self.blob, self.header)

    @torch.no_grad()
    def encode(self, obs: Inputs) -> tuple[Tensor, Tensor]:
        """See :meth:`FlowPolicy.encode`. No gradients are recorded."""
        if not self.has_encoder:
            return self.policy.encode(obs)
        return torch.ops.zprl.encode(obs, self.blob, self.policy.cfg.latent_dim, self.header)


def _pack_on_cuda(policy: FlowPolicy, precision: str, device: torch.device) -> tuple[Tensor, list[int]]:
    """Return the blob on a CUDA device and its header on the host."""
    # From single precision always: the GPU's packing rounds by itself.
    packed = pack_policy(policy, "float32", whole=False)
    try:
        blob = torch.ops.zprl.pack_for_cuda(packed, precision)
        header = blob[: 4 * HEADER_INTS].view(torch.int32).tolist()
        return blob.to(device), header
    except _OPERATOR_ERRORS as error:
        raise ZprlError(f"the native policy step does not run on {device}: {_sentence(error)}") from error


def _sentence(error: BaseException) -> str:
    """First line of an error, which in those of the operators says it all."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].removeprefix("zprl: ") if lines else type(error).__name__


def make_policy_step(
    policy: FlowPolicy, backend: str | None = None, device: str | torch.device | None = None
) -> PolicyStep:
    """Choose what runs the policy step.

    Args:
        policy: Policy to run.
        backend: "native", "native_tf32" (on a CUDA device), "native_bf16", "torch", or None for the native one if it
            can be had. In that case one line on stderr says why it cannot.
        device: Where the native step runs; the policy's own device if None.

    Returns:
        An object with ``act``, ``encode`` and the name ``backend``.

    Raises:
        ZprlError: If the backend is unknown, or a native one was asked for and cannot be had.
    """
    if backend is None:
        return _native_or_torch(policy, "native", device)
    if backend not in BACKEND_NAMES:
        raise ZprlError(f"unknown policy backend {backend!r}; choose one of {', '.join(BACKEND_NAMES)}.")
    if backend == "torch":
        return TorchPolicyStep(policy)
    precision = next(precision for precision, name in PRECISIONS.items() if name == backend)
    return NativePolicyStep(policy, precision, device)


def make_policy_step_on(policy: FlowPolicy, device: str | torch.device) -> PolicyStep:
    """Choose what runs the policy step on a device: the policy's own ``backend``, or torch where that cannot run.

    Args:
        policy: Policy to run, on that device.
        device: Device of the observations. Where the native step cannot run, one line on stderr says why.
    """
    if policy.cfg.backend == "torch":
        return TorchPolicyStep(policy)
    return _native_or_torch(policy, policy.cfg.backend, device)


def _native_or_torch(policy: FlowPolicy, backend: str, device: str | torch.device | None) -> PolicyStep:
    try:
        return make_policy_step(policy, backend, device)
    except ZprlError as error:
        print(f"warning: the policy runs on torch, not on the native backend: {error}", file=sys.stderr, flush=True)
        return TorchPolicyStep(policy)
