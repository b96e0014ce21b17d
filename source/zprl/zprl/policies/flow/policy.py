# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The base policy of ZPRL (arXiv 2605.19919): embedding, bottleneck and flow, from raw observation to raw action chunk.

::

    obs -> normalise -> embedding e -> bottleneck encoder -> N(mean, var)
                                                              |
                          residual of reinforcement learning  +
                                                              |
                        z' = mean + residual -> decoder -> condition
                                                              |
    noise ----------- K solver steps of v(x, t | condition) ----> un-normalise -> clamp -> chunk

N is the batch, H the horizon, A the action dimension.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from zprl.policies.flow import flow_matching
from zprl.policies.flow.bottleneck import VariationalBottleneck, kl_to_standard_normal, sample_latent
from zprl.policies.flow.cfg import FlowPolicyCfg, check_cfg
from zprl.policies.flow.encoders import MIN_STD, Normalizer
from zprl.policies.flow.velocity_field import VelocityField
from zprl.utils.errors import ZprlError
from zprl.utils.modules import frozen, rms
from zprl.utils.registry import resolve_class

Inputs = Tensor | dict[str, Tensor]
"""What a policy takes, see :meth:`FlowPolicy.inputs`: the state (N, obs_dim), or with images a dictionary of the state,
named :data:`STATE`, and the images by their groups' names."""

STATE = "state"


class Regression(NamedTuple):
    """What both paths of :meth:`FlowPolicy.loss` need of a batch."""

    x: Tensor
    """Points (N, H, A) on the straight lines from the normalised chunks to noise."""

    target: Tensor
    """Velocities (N, H, A) of the lines, per unit of flow time."""

    time_rows: Tensor
    """Rows (N, ...) of :meth:`VelocityField.time_tables`."""

    e: Tensor
    """Embeddings (N, embed_dim), each repeated for all of its observation's samples."""

    def detach(self) -> Regression:
        """Return the same tensors for a path whose gradients end at them."""
        return Regression(*(value.detach() for value in self))


class FlowPolicy(nn.Module):
    """Flow-matching policy with a variational bottleneck in front of its velocity field.

    Raw observations come in and raw actions go out: normalisers and action limits are buffers of the module, so a copy,
    a checkpoint or an export of it cannot lose them.

    Args:
        cfg: Configuration.
        obs_dim: Width of the state: of all observation groups that are no images, side by side.
        action_dim: Width of an action A.
        image_shapes: Shapes of the observation groups that are images, by name.

    Raises:
        ZprlError: If the configuration is not valid.
    """

    backend = "torch"
    """Name of what runs it; that of a :class:`zprl.policies.NativePolicyStep` is another."""

    independent_rows = False
    """Whether a row of a result is the same to the last bit whatever rows are beside it."""

    action_low: Tensor
    action_high: Tensor
    fixed_noise: Tensor
    embedding: nn.Module
    velocity_field: VelocityField

    def __init__(
        self,
        cfg: FlowPolicyCfg,
        obs_dim: int,
        action_dim: int,
        image_shapes: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        check_cfg(cfg)
        self.cfg = cfg
        self.obs_dim = obs_dim
        self.action_dim = action_dim
        self.image_shapes = {name: tuple(shape) for name, shape in (image_shapes or {}).items()}
        self.obs_normalizer = Normalizer(obs_dim)
        self.action_normalizer = Normalizer(action_dim)
        self.register_buffer("action_low", torch.full((action_dim,), -torch.inf))
        self.register_buffer("action_high", torch.full((action_dim,), torch.inf))
        self.embedding = resolve_class(cfg.embedding_class, "embedding")(cfg, obs_dim, self.image_shapes)
        self.bottleneck = VariationalBottleneck(cfg)
        self.velocity_field = resolve_class(cfg.velocity_field_class, "velocity field")(cfg, action_dim)
        if not isinstance(self.velocity_field, VelocityField):
            raise ZprlError(f"{cfg.velocity_field_class} is not a subclass of zprl.policies.VelocityField.")
        self.register_buffer("fixed_noise", torch.randn(cfg.horizon, action_dim))

    @property
    def chunk_shape(self) -> tuple[int, int]:
        """Shape (H, A) of an action chunk."""
        return self.cfg.horizon, self.action_dim

    def set_normalizers(self, obs: Tensor, actions: Tensor) -> None:
        """Fit both normalisers to observations (M, obs_dim) and actions (M, A), in their own units.

        Raises:
            ValueError: If the data is empty, has another width or is not finite.
        """
        self.obs_normalizer.fit(obs, constant_std=1.0)
        self.action_normalizer.fit(actions, constant_std=MIN_STD)

    @torch.no_grad()
    def set_action_limits(self, low: Tensor, high: Tensor) -> None:
        """Set the limits (A,) that :meth:`act` clamps actions to, in the actions' own units; infinite for none.

        Raises:
            ValueError: If a lower limit is not below its upper limit (this includes NaN).
        """
        low, high = torch.as_tensor(low), torch.as_tensor(high)
        if low.shape != (self.action_dim,) or high.shape != (self.action_dim,) or not bool((low < high).all()):
            raise ValueError(f"expected {self.action_dim} lower limits below {self.action_dim} upper limits.")
        self.action_low.copy_(low)
        self.action_high.copy_(high)

    # -- parts of a policy step ----------------------------------------------------------------------------------------

    def inputs(self, obs: Mapping[str, Tensor]) -> Inputs:
        """Pick what this policy takes of a task's observations, by the names in ``cfg.observation_groups``."""
        names = self.cfg.observation_groups
        vectors = [obs[name] for name in names if name not in self.image_shapes]
        if not self.image_shapes:
            return vectors[0] if len(vectors) == 1 else torch.cat(vectors, dim=-1)
        images = {name: obs[name] for name in self.image_shapes}
        first = next(iter(images.values()))
        state = torch.cat(vectors, dim=-1) if vectors else torch.zeros(first.shape[0], 0, device=first.device)
        return {STATE: state, **images}

    def example_inputs(self, device: str | torch.device = "cpu") -> Inputs:
        """Return inputs of one row, all zero, to try something out on their shapes."""
        state = torch.zeros(1, self.obs_dim, device=device)
        images = {n: torch.zeros(1, *shape, dtype=torch.uint8, device=device) for n, shape in self.image_shapes.items()}
        return {STATE: state, **images} if images else state

    def embed(self, obs: Inputs) -> Tensor:
        """Embedding e (N, embed_dim) of raw observations."""
        if isinstance(obs, Tensor):
            return self.embedding(self.obs_normalizer(obs))
        return self.embedding(self.obs_normalizer(obs[STATE]), {name: obs[name] for name in self.image_shapes})

    def encode(self, obs: Inputs) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latent, (N, latent_dim) each, of raw observations."""
        return self.bottleneck.encode(self.embed(obs))

    def latent(self, obs: Inputs) -> Tensor:
        """Mean z of the latent (N, latent_dim) of raw observations, as exactly as it is computed."""
        return self.encode(obs)[0]

    def decode(self, z: Tensor) -> Tensor:
        """Condition (N, embed_dim) of the velocity field for a latent (N, latent_dim)."""
        return self.bottleneck.decode(z)

    def exact_time_tables(self) -> Tensor:
        """Tables of the flow times that a chunk is evaluated at (R, ...), in double precision and on the CPU.

        A table of rounded times would shift all of a chunk's evaluations.
        """
        field = copy.deepcopy(self.velocity_field).double().cpu()
        times = flow_matching.evaluation_times(flow_matching.SOLVERS[self.cfg.solver], self.cfg.num_flow_steps)
        return field.time_tables(torch.tensor(times, dtype=torch.float64))

    def integrate(self, condition: Tensor, noise: Tensor, time_tables: Tensor | None = None) -> Tensor:
        """Solve the flow from noise to a normalised chunk.

        Args:
            condition: Embedding or decoded latent (N, embed_dim).
            noise: State at t = 1 (N, H, A).
            time_tables: :meth:`exact_time_tables` in the noise's precision; computed in that precision if None.

        Returns:
            Normalised chunk (N, H, A).
        """
        solver, field, steps = flow_matching.SOLVERS[self.cfg.solver], self.velocity_field, self.cfg.num_flow_steps
        if time_tables is None:
            times = torch.tensor(flow_matching.evaluation_times(solver, steps), dtype=noise.dtype)
            # Sent without waiting: a plain copy to a GPU would make the host wait for all work before it.
            time_tables = field.time_tables(times.to(noise.device, non_blocking=True))
        tables, modulation = time_tables, field.modulation(condition)
        return flow_matching.integrate(lambda x, row: field.velocity(x, modulation, tables[row]), noise, solver, steps)

    def sample_noise(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Start (n, H, A) of the flow according to ``cfg.initial_noise``.

        Args:
            n: Number of chunks.
            generator: Source of randomness for "sampled", on the policy's device; torch's default one if None.
        """
        like = self.fixed_noise
        if self.cfg.initial_noise == "zero":
            return like.new_zeros(n, *like.shape)
        if self.cfg.initial_noise == "fixed":
            return like.expand(n, *like.shape)
        return torch.randn(n, *like.shape, generator=generator, device=like.device, dtype=like.dtype)

    # -- acting --------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def act(self, obs: Inputs, residual: Tensor | None = None, noise: Tensor | None = None) -> Tensor:
        """The whole policy step, through the bottleneck.

        The base policy is ``residual = None``: it acts on the latent's mean, not on a sample.

        Args:
            obs: Raw observations; see :meth:`inputs`.
            residual: What to add to the latent's mean (N, latent_dim), already scaled; zero if None.
            noise: Start of the flow (N, H, A); :meth:`sample_noise` if None.

        Returns:
            Raw action chunk (N, H, A), within the action limits.
        """
        latent = self.latent(obs)
        return self.act_from_latent(latent if residual is None else latent + residual, noise)

    def act_from_latent(self, latent: Tensor, noise: Tensor | None = None) -> Tensor:
        """What :meth:`generate` makes of a latent (N, latent_dim), that of :meth:`latent` or another."""
        return self.generate(self.decode(latent), noise)

    def generate(self, condition: Tensor, noise: Tensor | None = None, time_tables: Tensor | None = None) -> Tensor:
        """Raw chunk (N, H, A), within the action limits, for a condition of the flow.

        Args:
            condition: Decoded latent (N, embed_dim), or the embedding itself for the policy without its bottleneck.
            noise: Start of the flow (N, H, A); :meth:`sample_noise` if None.
            time_tables: See :meth:`integrate`.
        """
        noise = self.sample_noise(condition.shape[0]) if noise is None else noise
        chunk = self.action_normalizer.inverse(self.integrate(condition, noise, time_tables))
        return chunk.clamp(self.action_low, self.action_high)

    # -- training ------------------------------------------------------------------------------------------------------

    def loss(
        self,
        obs: Inputs,
        chunk: Tensor,
        generator: torch.Generator | None = None,
        vib_beta: float = 2.0e-4,
        vib_recon: float = 0.01,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Dual-path loss: imitation through the embedding, and a bottleneck trained on top without touching it.

        ::

            total = flow(e) + [ flow_bottleneck(dec(z)) + vib_beta * kl + vib_recon * recon ]

        The second path sees a detached embedding and a detached velocity field, so it trains the bottleneck alone and
        cannot harm the policy without a bottleneck. Both paths regress the same points of the same lines: it saves
        random numbers, and their difference then measures the bottleneck rather than chance.

        Args:
            obs: Raw observations; see :meth:`inputs`.
            chunk: Raw action chunks (N, H, A).
            generator: Source of randomness, on the policy's device; torch's default one if None.
            vib_beta: Weight of the KL divergence.
            vib_recon: Weight of the reconstruction error.

        Returns:
            The total loss, of shape (), and its terms and the RMS values of the signals on the way, by name.
        """
        batch = self.regression(obs, chunk, generator)
        flow = self.plain_loss(batch)
        with frozen(self.velocity_field):
            bottleneck, diagnostics = self.bottleneck_loss(batch.detach(), generator, vib_beta, vib_recon)
        total = flow + bottleneck
        return total, {"loss": total.detach(), "flow": flow.detach(), **diagnostics}

    def regression(
        self, obs: Inputs, chunk: Tensor, generator: torch.Generator | None = None, samples: int = 1
    ) -> Regression:
        """Draw the points that :meth:`loss` regresses at, and compute what both of its paths need; see there.

        Args:
            obs: See :meth:`loss`.
            chunk: See :meth:`loss`.
            generator: See :meth:`loss`.
            samples: Points per observation, which is encoded once for all of them. They follow one another.
        """
        return self.regression_at(self.embed(obs), chunk, generator, samples)

    def regression_at(
        self, e: Tensor, chunk: Tensor, generator: torch.Generator | None = None, samples: int = 1
    ) -> Regression:
        """:meth:`regression` of observations that are embedded already, as e (N, embed_dim)."""
        chunk = self.action_normalizer(chunk)
        if samples > 1:
            chunk, e = chunk.repeat_interleave(samples, dim=0), e.repeat_interleave(samples, dim=0)
        options = {"generator": generator, "device": chunk.device, "dtype": chunk.dtype}
        t = torch.rand(chunk.shape[0], **options)
        x, target = flow_matching.interpolate(chunk, torch.randn(chunk.shape, **options), t)
        return Regression(x, target, self.velocity_field.time_tables(t), e)

    def plain_loss(self, batch: Regression) -> Tensor:
        """First path of :meth:`loss`, of shape (): it trains the embedding and the velocity field."""
        velocity = self.velocity_field.velocity(batch.x, self.velocity_field.modulation(batch.e), batch.time_rows)
        return functional.mse_loss(velocity, batch.target)

    def bottleneck_loss(
        self, batch: Regression, generator: torch.Generator | None, vib_beta: float, vib_recon: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Second path of :meth:`loss`, of shape (), with its diagnostics: it is to train the bottleneck alone.

        Args:
            batch: What :meth:`regression` returned, detached.
            generator: See :meth:`loss`.
            vib_beta: See :meth:`loss`.
            vib_recon: See :meth:`loss`.
        """
        mean, logvar = self.bottleneck.encode(batch.e)
        z = sample_latent(mean, logvar, generator)
        condition = self.bottleneck.decode(z)
        velocity = self.velocity_field.velocity(batch.x, self.velocity_field.modulation(condition), batch.time_rows)
        flow = functional.mse_loss(velocity, batch.target)
        kl = kl_to_standard_normal(mean, logvar)
        recon = functional.mse_loss(condition, batch.e)
        with torch.no_grad():
            diagnostics = {
                "flow_bottleneck": flow.detach(),
                "kl": kl.detach(),
                "recon": recon.detach(),
                "embedding_rms": rms(batch.e),
                "recon_error_rms": recon.sqrt(),
                "latent_mean_rms": rms(mean),
                "latent_std_rms": rms((0.5 * logvar).exp()),
                "latent_rms": rms(z),
            }
        return flow + vib_beta * kl + vib_recon * recon, diagnostics
