# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Training of the base policy from demonstrations, as a function over tensors."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from zprl.policies.flow.augmentation import ImageAugmentation
from zprl.policies.flow.cfg import RESNET_EMBEDDING, FlowPolicyCfg, PretrainCfg, check_pretrain_cfg
from zprl.policies.flow.dataset import ChunkDataset
from zprl.policies.flow.policy import STATE, FlowPolicy, Regression
from zprl.policies.flow.privileged import PrivilegedTeacher, readout_errors
from zprl.spec import Group
from zprl.utils.errors import ZprlError
from zprl.utils.modules import rms
from zprl.utils.processes import num_threads, torch_threads
from zprl.utils.tensor_files import load_weights

ProgressCallback = Callable[[int, int, dict[str, float]], None]
"""Called as ``(steps done, steps in total, metrics averaged since the call before)``."""

PolicyEvaluation = Callable[[FlowPolicy], dict[str, float]]
"""Returns what else a log interval says of the policy with the averaged weights, in evaluation mode."""

_IMAGES_AT_ONCE = 512


class PretrainResult(NamedTuple):
    """What :func:`train_policy` returns."""

    policy: FlowPolicy
    """Policy with the averaged weights, in evaluation mode."""

    history: list[dict[str, float]]
    """Step, learning rate and mean diagnostics of each log interval, see :meth:`FlowPolicy.loss`; where it was probed,
    with the errors of :func:`zprl.policies.flow.privileged.readout_errors`."""

    latent_statistics: dict[str, Any]
    """See :func:`latent_statistics`."""


def train_policy(
    obs_list: Sequence[Mapping[str, ArrayLike]],
    action_list: Sequence[ArrayLike],
    cfg: FlowPolicyCfg,
    pretrain_cfg: PretrainCfg,
    action_limits: tuple[Tensor, Tensor] | None = None,
    device: str | torch.device = "cpu",
    on_progress: ProgressCallback | None = None,
    image_shapes: Mapping[str, Sequence[int]] | None = None,
    privileged: Sequence[Group] = (),
    evaluate: PolicyEvaluation | None = None,
) -> PretrainResult:
    """Train a base policy. The result depends on the data, the configurations and the machine, not on global state.

    On a CPU, the two paths of :meth:`FlowPolicy.loss` are computed side by side, with the same bits as in one thread.

    An encoder of images may need help: imitation alone hardly makes it find an object, and an auxiliary loss, by which
    the embedding tells what a simulator knows, does (``privileged_weight``).

    Args:
        obs_list: Observations by group of each trajectory, (T_i, ...) each, in their own units.
        action_list: Actions (T_i, A) of each trajectory, in their own units.
        cfg: Configuration of the policy.
        pretrain_cfg: Configuration of the training.
        action_limits: Lower and upper limits (A,) of the actions, in their own units; none if None.
        device: Device to train on. The policy stays there.
        on_progress: Called after each log interval and at the end.
        image_shapes: Shapes of the observation groups that are images, by name.
        privileged: Observation groups that only a simulator knows.
        evaluate: Called every ``eval_interval`` steps; it has no influence on the training.

    Returns:
        The policy with averaged weights, the history and the latent's statistics; see :class:`PretrainResult`.

    Raises:
        ValueError: If the trajectories do not fit together or are not finite, or training diverged.
        ZprlError: If a configuration is not valid, or asks for privileged observations or an encoder that is not there.
    """
    check_pretrain_cfg(pretrain_cfg)
    device = torch.device(device)
    seen = {name: shape for name, shape in (image_shapes or {}).items() if name in cfg.observation_groups}
    data = ChunkDataset(obs_list, action_list, cfg, seen, device, privileged)

    # The initial weights come from torch's global generator: seed it for a moment, then put its state back. They are
    # drawn on the CPU, so that they are the same on every device.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(pretrain_cfg.seed)
        policy = FlowPolicy(cfg, data.state.shape[1], data.chunks.shape[2], seen)
        teacher = PrivilegedTeacher(policy, data, pretrain_cfg.privileged_weight)
    _load_encoder_weights(policy, pretrain_cfg.encoder_weights)
    policy.set_normalizers(data.state.cpu(), data.actions.cpu())
    if action_limits is not None:
        policy.set_action_limits(*action_limits)
    policy.to(device)

    average = copy.deepcopy(policy).eval().requires_grad_(False)
    bottleneck = _Trainee(policy.bottleneck.parameters(), average.bottleneck.parameters(), pretrain_cfg)
    base = _Trainee(_without_bottleneck(policy), _without_bottleneck(average), pretrain_cfg, teacher.parameters())
    generator = torch.Generator(device).manual_seed(pretrain_cfg.seed)
    augment = ImageAugmentation(pretrain_cfg.augmentation, getattr(policy.embedding, "crops", {}))

    def train_bottleneck(step: int, batch: Regression) -> tuple[Tensor, dict[str, Tensor]]:
        loss, diagnostics = policy.bottleneck_loss(batch, generator, pretrain_cfg.vib_beta, pretrain_cfg.vib_recon)
        bottleneck.backward(loss)
        bottleneck.update(step)
        return loss.detach(), diagnostics

    def judge(step: int) -> dict[str, float]:
        judged: dict[str, float] = {}
        if pretrain_cfg.probe_interval and step % pretrain_cfg.probe_interval == 0:
            judged |= probe(average, data, embeddings(average, data))
        if evaluate is not None and pretrain_cfg.eval_interval and step % pretrain_cfg.eval_interval == 0:
            judged |= evaluate(average)
        return judged

    history = _History(pretrain_cfg, judge, on_progress)
    with _second_thread(device) as second_thread:
        for step in range(pretrain_cfg.num_steps):
            rows = torch.randint(len(data), (pretrain_cfg.batch_size,), generator=generator, device=device)
            inputs = augment(data.inputs(rows), generator)
            batch = policy.regression(inputs, data.chunks[rows], generator, pretrain_cfg.flow_samples)
            # The two paths share no parameter that they train. The second one reads the velocity field's, which
            # therefore change after it.
            path = second_thread.submit(train_bottleneck, step, batch.detach())
            flow = policy.plain_loss(batch)
            told, told_diagnostics = teacher.loss(batch.e[:: pretrain_cfg.flow_samples], rows)
            base.backward(flow if told is None else flow + told)
            bottleneck_loss, diagnostics = path.result()
            base.update(step)
            diagnostics |= {"loss": flow.detach() + bottleneck_loss, "flow": flow.detach(), **told_diagnostics}
            history.add(base.learning_rate(step), diagnostics)

    e = embeddings(average, data)
    if pretrain_cfg.bottleneck_steps:
        policy.load_state_dict(average.state_dict())
        with _second_thread(device):
            _train_on_embeddings(policy, average, e, data.chunks, pretrain_cfg, generator, history)
    history.entries[-1] |= probe(average, data, e)
    return PretrainResult(average, history.entries, latent_statistics(average, e))


def _train_on_embeddings(
    policy: FlowPolicy,
    average: FlowPolicy,
    e: Tensor,
    chunks: Tensor,
    cfg: PretrainCfg,
    generator: torch.Generator,
    history: _History,
) -> None:
    """Train the bottleneck alone, on embeddings e (M, embed_dim) that stay as they are, and update its average."""
    parameters = policy.bottleneck.parameters(), average.bottleneck.parameters()
    bottleneck = _Trainee(*parameters, cfg, num_steps=cfg.bottleneck_steps)
    for step in range(cfg.bottleneck_steps):
        rows = torch.randint(len(e), (cfg.batch_size,), generator=generator, device=e.device)
        batch = policy.regression_at(e[rows], chunks[rows], generator, cfg.flow_samples)
        loss, diagnostics = policy.bottleneck_loss(batch.detach(), generator, cfg.vib_beta, cfg.vib_recon)
        bottleneck.backward(loss)
        bottleneck.update(step)
        history.add(bottleneck.learning_rate(step), {"loss": loss.detach(), **diagnostics})


class _History:
    """What a training's diagnostics were in each log interval.

    Args:
        cfg: Configuration of the training.
        judge: Returns what else is to be said after a step, counted from 1.
        on_progress: See :func:`train_policy`.
    """

    def __init__(
        self, cfg: PretrainCfg, judge: Callable[[int], dict[str, float]], on_progress: ProgressCallback | None
    ) -> None:
        self.entries: list[dict[str, float]] = []
        """The intervals."""
        self._cfg, self._judge, self._on_progress = cfg, judge, on_progress
        self._step = self._steps_in_sums = 0
        self._sums: dict[str, Tensor] = {}
        self._total = cfg.num_steps + cfg.bottleneck_steps

    def add(self, learning_rate: float, diagnostics: Mapping[str, Tensor]) -> None:
        """Add a step's diagnostics. What an interval has none of, is as in the one before.

        Raises:
            ValueError: If training has diverged.
        """
        self._step += 1
        self._steps_in_sums += 1
        # Sums stay on the device: reading a value at each step would make the CPU wait for the accelerator.
        self._sums = {name: value + self._sums.get(name, 0.0) for name, value in diagnostics.items()}
        if self._step % self._cfg.log_interval and self._step not in (self._cfg.num_steps, self._total):
            return
        metrics = {name: value.item() / self._steps_in_sums for name, value in self._sums.items()}
        if not math.isfinite(metrics["loss"]):
            raise ValueError(f"training diverged before step {self._step}; lower PretrainCfg.learning_rate.")
        self._sums, self._steps_in_sums = {}, 0
        if self._step > self._cfg.num_steps:
            metrics["flow"] = self.entries[-1]["flow"]  # at rest, as all but the bottleneck
        metrics |= self._judge(self._step)
        self.entries.append({"step": self._step, "learning_rate": learning_rate, **metrics})
        if self._on_progress is not None:
            self._on_progress(self._step, self._total, metrics)


def _load_encoder_weights(policy: FlowPolicy, path: str) -> None:
    if not path:
        return
    if policy.cfg.embedding_class != RESNET_EMBEDDING:
        raise ZprlError(
            f"pretrain.encoder_weights begins the encoder {RESNET_EMBEDDING}, and the policy has "
            f"{policy.cfg.embedding_class}; set policy.embedding_class or leave it out."
        )
    policy.embedding.load_backbones(load_weights(path, "encoder weights"), f"pretrain.encoder_weights={path}")  # type: ignore[operator]


class _Trainee:
    """Parameters that are trained together, with their optimiser and their average.

    Args:
        parameters: The parameters.
        averages: Their averages, in the same order.
        cfg: Configuration of the training.
        others: Parameters that are trained with them and not averaged.
        num_steps: Number of optimiser steps, or None for that of the configuration.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        averages: Iterable[nn.Parameter],
        cfg: PretrainCfg,
        others: Iterable[nn.Parameter] = (),
        num_steps: int | None = None,
    ) -> None:
        self._num_steps = cfg.num_steps if num_steps is None else num_steps
        self._averaged: list[Tensor] = list(parameters)
        self._averages: list[Tensor] = list(averages)
        self._parameters: list[Tensor] = [*self._averaged, *others]
        self._cfg = cfg
        self._optimizer = torch.optim.AdamW(
            self._parameters,
            lr=cfg.learning_rate,
            betas=(cfg.betas[0], cfg.betas[1]),
            weight_decay=cfg.weight_decay,
            fused=True,
        )

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients of a loss, those of these parameters alone."""
        self._optimizer.zero_grad()
        loss.backward(inputs=self._parameters)

    def update(self, step: int) -> None:
        """Take an optimiser step, that of a number from 0, and update the average."""
        for group in self._optimizer.param_groups:
            group["lr"] = self.learning_rate(step)
        self._optimizer.step()
        decay = min(self._cfg.ema_max_decay, 1.0 - (1.0 + step) ** -self._cfg.ema_power)
        get_ema_multi_avg_fn(decay)(self._averages, self._averaged, None)

    def learning_rate(self, step: int) -> float:
        """Return that of a step: linear warm-up, then a half cosine down to zero at the last one."""
        peak, warmup = self._cfg.learning_rate, self._cfg.warmup_steps
        if step < warmup:
            return peak * (step + 1) / warmup
        progress = (step - warmup) / max(1, self._num_steps - warmup)
        return peak * 0.5 * (1.0 + math.cos(math.pi * progress))


def _without_bottleneck(policy: FlowPolicy) -> list[nn.Parameter]:
    return [parameter for name, parameter in policy.named_parameters() if not name.startswith("bottleneck.")]


class _AtOnce(Executor):
    """Runs what is submitted at once, in the thread that submits it."""

    def submit[**P, T](self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@contextlib.contextmanager
def _second_thread(device: torch.device) -> Iterator[Executor]:
    """Yield where to run one of two independent computations: on a CPU with a core to spare in a second thread.

    On a CPU, torch's operators run on one thread each while the block lasts. The networks are so small that splitting
    every operator takes longer, much longer beside other work; and so nothing depends on the number of threads.
    """
    if device.type != "cpu":
        yield _AtOnce()
        return
    with torch_threads(1):
        if num_threads() == 1:
            yield _AtOnce()
            return
        with ThreadPoolExecutor(1, "zprl-pretrain", torch.set_num_threads, (1,)) as second_thread:
            yield second_thread


@torch.no_grad()
def embeddings(policy: FlowPolicy, data: ChunkDataset) -> Tensor:
    """Return the embeddings (M, embed_dim) of a data set, which lies on the policy's device."""
    # Images would not fit on the device at once.
    size = _IMAGES_AT_ONCE if policy.image_shapes else len(data)
    return torch.cat([policy.embed(data.inputs(slice(i, i + size))) for i in range(0, len(data), size)])


@torch.no_grad()
def probe(policy: FlowPolicy, data: ChunkDataset, e: Tensor) -> dict[str, float]:
    """Return how well privileged features can be read from the state, the embeddings e (M, embed_dim) and the latent.

    See :func:`zprl.policies.flow.privileged.readout_errors`; nothing without privileged observations.
    """
    if data.privileged is None:
        return {}
    sources = {STATE: data.state, "embedding": e, "latent": policy.bottleneck.encode(e)[0]}
    return readout_errors(sources, data.privileged, data.privileged_features, data.episodes)


@torch.no_grad()
def latent_statistics(policy: FlowPolicy, e: Tensor) -> dict[str, Any]:
    """RMS values of the latent over a data set, which set the scale of the latent residual.

    A good residual has an RMS of about a tenth of the latent's.

    Args:
        policy: Policy.
        e: Embeddings of the data set (M, embed_dim); see :func:`embeddings`.

    Returns:
        Plain numbers and lists: ``latent_mean_rms`` and ``latent_std_rms`` over all dimensions, both also
        ``..._per_dim``, ``embedding_rms`` and ``recon_error_rms`` (of the decoded mean against the embedding), and over
        the data set the average and the deviation of the latent's mean, ``latent_mean_average_per_dim`` and
        ``latent_mean_deviation_per_dim``.
    """
    mean, logvar = policy.bottleneck.encode(e)
    std = (0.5 * logvar).exp()
    return {
        "latent_mean_rms": rms(mean).item(),
        "latent_std_rms": rms(std).item(),
        "latent_mean_rms_per_dim": mean.square().mean(dim=0).sqrt().tolist(),
        "latent_std_rms_per_dim": std.square().mean(dim=0).sqrt().tolist(),
        "embedding_rms": rms(e).item(),
        "recon_error_rms": rms(policy.decode(mean) - e).item(),
        "latent_mean_average_per_dim": mean.mean(dim=0).tolist(),
        "latent_mean_deviation_per_dim": mean.std(dim=0, correction=0).tolist(),
    }
