# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""How an imported policy gets from noise to actions, deterministic, and what its denoiser was trained to predict.

The order of the arithmetic is that of the library, so that the results are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Denoiser = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Maps a noisy chunk (N, H, A), the times (N,) of its rows and the condition (N, E) to what it predicts (N, H, A)."""

_PREDICTIONS = ("epsilon", "sample")


@dataclass(frozen=True)
class DdimSampler:
    """Denoising diffusion, sampled without noise between the steps (arXiv 2010.02502, Eq. 12 with sigma = 0).

    Attributes:
        alphas: Share of the data's variance in a noisy chunk, at each time of the training (T,), decreasing: the
            cumulative product that arXiv 2006.11239 calls alpha-bar.
        times: Times at which the denoiser is asked, from noise to data.
        before: That share at the time that each step leads to, (len(times),).
        predicts: What the denoiser predicts: "epsilon", the noise, or "sample", the data.
        clip: Bound of the predicted data, or None.
    """

    alphas: Tensor
    times: tuple[int, ...]
    before: Tensor
    predicts: str
    clip: float | None

    kind = "ddim"
    uses_noise = True

    def __post_init__(self) -> None:
        if self.predicts not in _PREDICTIONS:
            raise ValueError(f"a denoiser predicts {self.predicts!r}")
        if self.alphas.ndim != 1 or self.before.shape != (len(self.times),):
            raise ValueError("a sampler's tables do not fit together")
        if not self.times or not all(0 <= time < len(self.alphas) for time in self.times):
            raise ValueError("a sampler has a time that its training had not")

    @property
    def num_steps(self) -> int:
        """Number of its steps."""
        return len(self.times)

    def sample(self, denoise: Denoiser, noise: Tensor, condition: Tensor) -> Tensor:
        """Return the chunk (N, H, A) that noise (N, H, A) becomes under a condition (N, E)."""
        x = noise
        for step, time in enumerate(self.times):
            alpha, before = self.alphas[time], self.before[step]
            beta = 1 - alpha
            output = denoise(x, torch.full(x.shape[:1], time, dtype=torch.long, device=x.device), condition)
            if self.predicts == "epsilon":
                data, epsilon = (x - beta**0.5 * output) / alpha**0.5, output
            else:
                data, epsilon = output, (x - alpha**0.5 * output) / beta**0.5
            if self.clip is not None:
                data = data.clamp(-self.clip, self.clip)
            x = before**0.5 * data + (1 - before) ** 0.5 * epsilon
        return x

    def loss(self, denoise: Denoiser, chunk: Tensor, condition: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return the mean squared error, of shape (), that the denoiser was trained by.

        Args:
            denoise: The denoiser.
            chunk: Chunks (N, H, A) as it generates them, normalised.
            condition: Conditions (N, E), which gradients reach.
            generator: Source of the times and of the noise, on their device; torch's default one if None.
        """
        noise = torch.randn(chunk.shape, generator=generator, device=chunk.device)
        times = torch.randint(0, len(self.alphas), chunk.shape[:1], generator=generator, device=chunk.device)
        alpha = self.alphas.to(chunk.device)[times].view(-1, 1, 1)
        output = denoise(alpha**0.5 * chunk + (1 - alpha) ** 0.5 * noise, times, condition)
        return torch.nn.functional.mse_loss(output, noise if self.predicts == "epsilon" else chunk)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values and tensors that :func:`sampler_from` takes."""
        return {
            "kind": self.kind,
            "alphas": self.alphas,
            "times": list(self.times),
            "before": self.before,
            "predicts": self.predicts,
            "clip": self.clip,
        }


@dataclass(frozen=True)
class DirectSampler:
    """A policy without a generator: what stands in the denoiser's place maps the condition to the chunk."""

    kind = "direct"
    uses_noise = False

    def sample(self, denoise: Denoiser, noise: Tensor, condition: Tensor) -> Tensor:
        """See :meth:`DdimSampler.sample`; the noise is of no consequence."""
        return denoise(noise, torch.zeros(noise.shape[:1], dtype=torch.long, device=noise.device), condition)

    def loss(self, denoise: Denoiser, chunk: Tensor, condition: Tensor, generator: torch.Generator | None) -> Tensor:
        """See :meth:`DdimSampler.loss`: the mean absolute error."""
        return torch.nn.functional.l1_loss(self.sample(denoise, torch.zeros_like(chunk), condition), chunk)

    def to_dict(self) -> dict[str, Any]:
        """See :meth:`DdimSampler.to_dict`."""
        return {"kind": self.kind}


Sampler = DdimSampler | DirectSampler


def sampler_from(values: Mapping[str, Any]) -> Sampler:
    """Return the sampler that a file holds.

    Raises:
        KeyError: If something is missing.
        TypeError: If something has a wrong type.
        ValueError: If it is of another kind or malformed.
    """
    if values["kind"] == DirectSampler.kind:
        return DirectSampler()
    if values["kind"] != DdimSampler.kind:
        raise ValueError(f"a sampler is of the kind {values['kind']!r}")
    clip = None if values["clip"] is None else float(values["clip"])
    times = tuple(int(time) for time in values["times"])
    return DdimSampler(values["alphas"], times, values["before"], values["predicts"], clip)
