# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""LeRobot's ACT: the condition is what its transformer's encoder makes of the observation, all tokens side by side.

It generates nothing from noise: its own latent is zero when it acts.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from zprl.policies.imported.lerobot.checkpoint import ENVIRONMENT_STATE, STATE, Checkpoint
from zprl.policies.imported.lerobot.library import Family, Library, Parts, Scale
from zprl.policies.imported.sampler import DirectSampler


class Act(Family):
    """See the module's description."""

    module, policy_class = "lerobot.policies.act.modeling_act", "ACTPolicy"

    def __init__(self, checkpoint: Checkpoint, steps: int | None) -> None:
        super().__init__(checkpoint, steps)
        if steps is not None:
            checkpoint.fail("does not sample, so that --steps means nothing; drop it")
        if checkpoint.config.get("temporal_ensemble_coeff") is not None:
            checkpoint.fail(
                "averages overlapping chunks (temporal_ensemble_coeff), which is not imported; set it to null"
            )
        if missing := [key for key in (STATE, ENVIRONMENT_STATE) if key not in checkpoint.keys]:
            checkpoint.fail(f"does not see {missing[0]}, which an ACT without cameras has to")

    def given(self, window: Tensor) -> Tensor:
        """See :meth:`Family.given`: it sees no history."""
        return window[:, -1]

    def parts(self, library: Library) -> Parts:
        """See :meth:`Family.parts`."""
        config = library.policy.config
        embed = _Embed(library)
        return Parts(
            embed=embed,
            denoise=_Decode(library.policy.model, embed.tokens),
            sampler=DirectSampler(),
            history=1,
            horizon=config.chunk_size,
            first=0,
            embedding_size=embed.tokens * config.dim_model,
            described="in one go",
        )


class _Embed(nn.Module):
    """Raw windows (N, 1, D) of the two inputs to the encoder's tokens (N, S * dim_model)."""

    def __init__(self, library: Library) -> None:
        super().__init__()
        self.state, self.environment = (
            Scale(library.transforms[key], inverse=False) for key in (STATE, ENVIRONMENT_STATE)
        )
        self.model: Any = library.policy.model
        self.latent_dim, self.tokens = library.policy.config.latent_dim, 3

    def forward(self, state: Tensor, environment: Tensor) -> Tensor:
        """Compute it."""
        model = self.model
        state, environment = self.state(state[:, -1]), self.environment(environment[:, -1])
        latent = torch.zeros([state.shape[0], self.latent_dim], dtype=state.dtype, device=state.device)
        tokens = [
            model.encoder_latent_input_proj(latent),
            model.encoder_robot_state_input_proj(state),
            model.encoder_env_state_input_proj(environment),
        ]
        places = model.encoder_1d_feature_pos_embed.weight.unsqueeze(1)
        return model.encoder(torch.stack(tokens), pos_embed=places).transpose(0, 1).flatten(1)


class _Decode(nn.Module):
    """Maps the tokens to the chunk, in the place of a :data:`zprl.policies.imported.sampler.Denoiser`."""

    def __init__(self, model: nn.Module, tokens: int) -> None:
        super().__init__()
        self.model: Any = model
        self.tokens = tokens

    def forward(self, x: Tensor, times: Tensor, condition: Tensor) -> Tensor:
        """Compute it; only the condition counts."""
        model = self.model
        encoded = condition.unflatten(1, (self.tokens, -1)).transpose(0, 1)
        queries = model.decoder_pos_embed.weight.unsqueeze(1)
        start = torch.zeros(
            (queries.shape[0], condition.shape[0], queries.shape[2]), dtype=condition.dtype, device=condition.device
        )
        places = model.encoder_1d_feature_pos_embed.weight.unsqueeze(1)
        decoded = model.decoder(start, encoded, encoder_pos_embed=places, decoder_pos_embed=queries)
        return model.action_head(decoded.transpose(0, 1))
