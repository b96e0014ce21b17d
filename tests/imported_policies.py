# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""An imported policy whose actions are known: a linear function of the last two observations, reached by denoising."""

import torch
from torch import nn

from zprl.policies.imported.policy import ImportedPolicy, Input, Interface
from zprl.policies.imported.program import record
from zprl.policies.imported.sampler import DdimSampler

HORIZON, HISTORY = 8, 2


class _Embed(nn.Module):
    def forward(self, state, thing):
        return torch.cat([state, thing], dim=-1).flatten(1)


class _Denoise(nn.Module):
    """Knows which noise is in a chunk, as it knows the chunk."""

    gain: torch.Tensor
    alphas: torch.Tensor

    def __init__(self, gain, alphas):
        super().__init__()
        self.register_buffer("gain", gain)
        self.register_buffer("alphas", alphas)

    def forward(self, x, times, condition):
        target = (condition @ self.gain)[:, None].expand(-1, HORIZON, -1)
        alpha = torch.index_select(self.alphas, 0, times).view(-1, 1, 1)
        return (x - alpha.sqrt() * target) / (1 - alpha).sqrt()


class _Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


def linear_policy(gain, sizes, frequency=20, task="Toy-v0", features=None):
    """Return a policy whose every action is half of the condition times ``gain``, whatever the noise.

    Args:
        gain: Matrix (2 * sum(sizes), A).
        sizes: Numbers of "observation.state" and "observation.environment_state".
        frequency: See :class:`Interface`, as all that follow.
        task: Task.
        features: Terms by key.
    """
    keys, size = ("observation.state", "observation.environment_state"), gain.shape[1]
    alphas, times = torch.linspace(0.99, 0.05, 10), (9, 4, 0)
    sampler = DdimSampler(alphas, times, torch.stack([alphas[4], alphas[0], torch.tensor(1.0)]), "epsilon", None)
    chunk, windows = torch.zeros(3, HORIZON, size), [torch.zeros(3, HISTORY, n) for n in sizes]
    condition = torch.zeros(3, HISTORY * sum(sizes))
    programs = {
        "embed": record(_Embed(), windows, "the test's policy"),
        "denoise": record(
            _Denoise(gain, alphas), [chunk, torch.zeros(3, dtype=torch.long), condition], "the test's policy"
        ),
        "normalize": record(_Times(2.0), [chunk], "the test's policy"),
        "finish": record(_Times(0.5), [chunk], "the test's policy"),
    }
    inputs = tuple(Input(key, n) for key, n in zip(keys, sizes, strict=True))
    interface = Interface(inputs, size, HISTORY, frequency, HORIZON, 1, 4, condition.shape[1], task, features or {})
    parity = {"rows": 0, "largest_action": 0.0, "largest_errors": {}, "tolerance": 0.0}
    fixed = torch.randn(HORIZON, size, generator=torch.Generator().manual_seed(0))
    return ImportedPolicy(interface, programs, sampler, {"framework": "the tests"}, parity, fixed)
