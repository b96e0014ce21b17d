# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""LeRobot's DiffusionPolicy: the condition is the global one of its U-Net."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from zprl.policies.imported.lerobot.checkpoint import Checkpoint
from zprl.policies.imported.lerobot.library import Family, Library, Parts, Scale
from zprl.policies.imported.sampler import DdimSampler
from zprl.utils.files import reading
from zprl.utils.strict_json import require_form


class Diffusion(Family):
    """See the module's description."""

    module, policy_class = "lerobot.policies.diffusion.modeling_diffusion", "DiffusionPolicy"
    packages = ("lerobot", "diffusers", "torch")
    takes_noise = True

    def __init__(self, checkpoint: Checkpoint, steps: int | None) -> None:
        super().__init__(checkpoint, steps)
        with reading(checkpoint.path / "config.json", "configuration of LeRobot"):
            require_form(checkpoint.config, {"noise_scheduler_type": str, "num_train_timesteps": int})
        scheduler, trained = checkpoint.config["noise_scheduler_type"], checkpoint.config["num_train_timesteps"]
        if scheduler != "DDIM" and steps is None:
            checkpoint.fail(
                f"samples by {scheduler}, which draws noise in every step, so that nothing repeats; pass --steps 10 to "
                "sample the same weights by 10 steps of DDIM"
            )
        self.steps = steps or checkpoint.config.get("num_inference_steps") or trained
        if not 0 < self.steps <= trained:
            checkpoint.fail(
                f"was trained with {trained} times, so it is sampled by 1 to {trained} steps, not {self.steps}"
            )

    def configure(self, config: Any) -> None:
        """See :meth:`Family.configure`."""
        config.compile_model, config.noise_scheduler_type, config.num_inference_steps = False, "DDIM", self.steps

    def parts(self, library: Library) -> Parts:
        """See :meth:`Family.parts`."""
        config, model = library.policy.config, library.policy.diffusion
        scheduler = model.noise_scheduler
        scheduler.set_timesteps(model.num_inference_steps)
        times = tuple(int(time) for time in scheduler.timesteps)
        stride = scheduler.config.num_train_timesteps // model.num_inference_steps
        alphas, earlier = scheduler.alphas_cumprod, [time - stride for time in times]
        before = torch.stack([alphas[time] if time >= 0 else scheduler.final_alpha_cumprod for time in earlier])
        clip = float(scheduler.config.clip_sample_range) if scheduler.config.clip_sample else None
        sizes = [config.input_features[key].shape[0] for key in library.keys]
        return Parts(
            embed=_Embed(library),
            denoise=_Denoise(model.unet),
            sampler=DdimSampler(alphas.clone(), times, before, scheduler.config.prediction_type, clip),
            history=config.n_obs_steps,
            horizon=config.horizon,
            first=config.n_obs_steps - 1,
            embedding_size=config.n_obs_steps * sum(sizes),
            described=f"DDIM, {len(times)} steps",
        )


class _Embed(nn.Module):
    """Raw windows (N, T, D) of all inputs to the condition (N, E)."""

    def __init__(self, library: Library) -> None:
        super().__init__()
        self.keys = list(library.keys)
        self.scales = nn.ModuleList(Scale(library.transforms[key], inverse=False) for key in self.keys)
        self.model = library.policy.diffusion

    def forward(self, *windows: Tensor) -> Tensor:
        """Compute it."""
        parts = zip(self.keys, self.scales, windows, strict=True)
        return self.model._prepare_global_conditioning({key: scale(window) for key, scale, window in parts})


class _Denoise(nn.Module):
    """See :data:`zprl.policies.imported.sampler.Denoiser`."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, x: Tensor, times: Tensor, condition: Tensor) -> Tensor:
        """Compute it."""
        return self.unet(x, times, global_cond=condition)
