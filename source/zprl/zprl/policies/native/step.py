# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The policy step as a compiled operator, and the choice between it and the torch module."""

from __future__ import annotations

import contextlib
import mmap
import sys

import torch
from torch import Tensor

from zprl.policies.flow.cfg import BACKEND_NAMES, PRECISIONS
from zprl.policies.flow.encoders import ObservationEmbedding
from zprl.policies.flow.policy import FlowPolicy, Inputs
from zprl.policies.native.blob import HEADER_INTS, pack_policy
from zprl.policies.native.library import cpu_level, load_torch_library, multiplies_bfloat16
from zprl.utils.errors import ZprlError, first_line

_OPERATOR_ERRORS = (ValueError, RuntimeError, AssertionError)
"""Of our operators, and of torch on a CUDA device (which asserts that it was built with CUDA)."""


class NativePolicyStep:
    """A :class:`FlowPolicy` compiled for the CPU or a CUDA device. It holds a copy of the weights as they are now.

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
        self.header: list[int] = []
        """The argument ``header``: the first 64 numbers of a blob on a CUDA device; empty on the CPU."""
        if self.device.type == "cuda":
            # From single precision always: the GPU's packing rounds by itself.
            packed = pack_policy(policy, "float32", whole=False)
            try:
                blob = torch.ops.zprl.pack_for_cuda(packed, precision)
                self.blob, self.header = blob.to(self.device), blob[: 4 * HEADER_INTS].view(torch.int32).tolist()
                # Run once, and wait: what the GPU has to say against the policy is better heard now than in a rollout.
                self.act(policy.example_inputs(self.device))
                torch.cuda.synchronize(self.device)
            except _OPERATOR_ERRORS as error:
                reason = first_line(error).removeprefix("zprl: ")
                raise ZprlError(f"the native policy step does not run on {self.device}: {reason}") from error
            return
        if self.device.type != "cpu":
            raise ZprlError(f"the native policy step runs on the CPU and on CUDA devices, not on '{self.device}'.")
        if precision == "tf32":
            raise ZprlError("tf32 products exist on GPUs only; choose float32 or bfloat16 on the CPU.")
        self.blob = _in_large_pages(pack_policy(policy, precision, whole=False))
        """The packed policy: the argument ``blob`` of ``torch.ops.zprl.policy_step`` and all that a robot needs."""
        if precision == "bfloat16" and not multiplies_bfloat16():
            raise ZprlError(f"this processor ({cpu_level()}) does not multiply bfloat16; use float32 weights.")

    @property
    def independent_rows(self) -> bool:
        """See :attr:`FlowPolicy.independent_rows`."""
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
        """:meth:`act` on a sample of the latent instead of its mean; a row's depends on its seed (N,), int64, alone.

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
        return self.policy.latent(inputs)

    @torch.no_grad()
    def act_from_latent(self, latent: Tensor, noise: Tensor) -> Tensor:
        """See :meth:`FlowPolicy.act_from_latent`."""
        return torch.ops.zprl.act(latent, noise, self.blob, self.header)

    @torch.no_grad()
    def encode(self, obs: Inputs) -> tuple[Tensor, Tensor]:
        """See :meth:`FlowPolicy.encode`. No gradients are recorded."""
        if self.has_encoder:
            return torch.ops.zprl.encode(obs, self.blob, self.policy.cfg.latent_dim, self.header)
        return self.policy.encode(obs)


def _in_large_pages(blob: Tensor) -> Tensor:
    """Copy a blob into memory in large pages, where the system has some to give; see csrc/core/blob_memory.h."""
    memory = mmap.mmap(-1, blob.numel())
    with contextlib.suppress(AttributeError, OSError):  # another system, or a kernel without them
        memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=torch.uint8).copy_(blob)


def make_policy_step(
    policy: FlowPolicy, backend: str | None = None, device: str | torch.device | None = None
) -> FlowPolicy | NativePolicyStep:
    """Choose what runs the policy step: the policy itself, on torch, or its compiled form.

    Args:
        policy: Policy to run.
        backend: "native", "native_tf32" (on a CUDA device), "native_bf16" or "torch". None for the policy's own
            ``backend``, or torch where that cannot be had; one line on stderr then says why.
        device: Where the native step runs; the policy's own device if None.

    Raises:
        ZprlError: If the backend is unknown, or a native one was asked for and cannot be had.
    """
    if backend is None:
        try:
            return make_policy_step(policy, policy.cfg.backend, device)
        except ZprlError as error:
            print(f"warning: the policy runs on torch, not on the native backend: {error}", file=sys.stderr, flush=True)
            return policy
    if backend not in BACKEND_NAMES:
        raise ZprlError(f"unknown policy backend {backend!r}; choose one of {', '.join(BACKEND_NAMES)}.")
    if backend == "torch":
        return policy
    precision = next(precision for precision, name in PRECISIONS.items() if name == backend)
    return NativePolicyStep(policy, precision, device)
