# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A base policy that another framework might have trained: no latent, no embedding, a network from noise to actions."""

import torch
from torch import nn
from two_arms import CENTRES, STEP

from zprl.policies.base import BasePolicy, Knob

OFFSET = (0.06, 0.05, -0.06, 0.05)
"""How far beside each target it aims [m]."""


class NoiseToChunk(BasePolicy):
    """Goes to the spots of its image, beside their centres, and as its noise says."""

    horizon = execute_steps = 4
    knobs = {"noise": Knob(16, 1.0), "actions": Knob(16, 1.0)}

    def __init__(self, spec):
        self.spec = spec
        self.action_low, self.action_high = spec.action_limits()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.network = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 4))
        self.network.requires_grad_(False)

    def start(self, plan):
        """Return no noise."""
        return torch.zeros(plan.batch_size, self.horizon, self.action_dim)

    @torch.no_grad()
    def act(self, plan, *, latent=None, embedding=None, noise=None, actions=None):
        """Put out a chunk."""
        if actions is not None:
            return self.bounded(actions)
        noise = plan.noise if noise is None else noise
        weights = plan.obs["camera"][..., :2].float()  # (N, y, x, arm)
        total = weights.sum(dim=(1, 2))
        centres = torch.tensor(CENTRES, dtype=torch.float32)
        x = (weights.sum(dim=1) * centres[:, None]).sum(dim=1) / total
        y = (weights.sum(dim=2) * centres[:, None]).sum(dim=1) / total
        aim = torch.stack([x, y], dim=-1).flatten(1) + torch.tensor(OFFSET)
        hands = plan.obs["policy"].view(-1, 2, 3)[..., :2].flatten(1)
        moves = (aim - hands)[:, None] / (self.horizon * STEP)
        return self.bounded(moves + 0.3 * (self.network(noise) - self.network(torch.zeros(4))))
