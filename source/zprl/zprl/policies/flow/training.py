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

from zprl.policies.flow.cfg import FlowPolicyCfg, PretrainCfg
from zprl.policies.flow.policy import STATE, FlowPolicy, Inputs, Regression
from zprl.utils.constraints import check_values
from zprl.utils.modules import rms
from zprl.utils.processes import num_threads, torch_threads

ProgressCallback = Callable[[int, int, dict[str, float]], None]
"""Called as ``(steps done, steps in total, metrics averaged since the call before)``."""

_IMAGES_AT_ONCE = 512


class PretrainResult(NamedTuple):
    """What :func:`train_policy` returns."""

    policy: FlowPolicy
    """Policy with the averaged weights, in evaluation mode."""

    history: list[dict[str, float]]
    """Step, learning rate and mean diagnostics of each log interval; see :meth:`FlowPolicy.loss`."""

    latent_statistics: dict[str, Any]
    """See :func:`latent_statistics`."""


class ChunkDataset:
    """Training pairs: every observation of some trajectories with the next H actions.

    A chunk that reaches past the end of its trajectory repeats the last action, so that the policy also learns how to
    end. States and actions lie on the device; images stay where they are and go there batch by batch.

    Args:
        observations: Observations by group of each trajectory, (T_i, ...) each.
        actions: Actions (T_i, A) of each trajectory.
        cfg: Configuration of the policy, whose ``observation_groups`` and ``horizon`` count.
        image_shapes: Shapes of the groups that are images, by name.
        device: Device of the batches.

    Raises:
        ValueError: If there is no trajectory, a group is missing, or the lengths of one differ or are zero.
    """

    def __init__(
        self,
        observations: Sequence[Mapping[str, ArrayLike]],
        actions: Sequence[ArrayLike],
        cfg: FlowPolicyCfg,
        image_shapes: Mapping[str, Sequence[int]],
        device: torch.device,
    ) -> None:
        if not observations or len(observations) != len(actions):
            raise ValueError(f"expected as many trajectories of each kind, got {len(observations)} and {len(actions)}.")
        missing = [name for name in cfg.observation_groups if name not in observations[0]]
        if missing:
            known = ", ".join(observations[0])
            raise ValueError(f"the policy is to see the observation group {missing[0]}, and there are only {known}.")
        vectors = [name for name in cfg.observation_groups if name not in image_shapes]
        moves = [torch.as_tensor(action, dtype=torch.float32) for action in actions]
        states, chunks = [], []
        for index, (obs, move) in enumerate(zip(observations, moves, strict=True)):
            parts = [torch.as_tensor(obs[name], dtype=torch.float32) for name in vectors]
            states.append(torch.cat(parts, dim=1) if parts else torch.zeros(len(move), 0))
            if len(states[-1]) != len(move) or len(move) == 0:
                raise ValueError(f"trajectory {index} has {len(states[-1])} observations and {len(move)} actions.")
            padded = torch.cat([move, move[-1:].expand(cfg.horizon - 1, -1)])
            chunks.append(padded.unfold(0, cfg.horizon, 1).transpose(1, 2))
        self.state = torch.cat(states).to(device)
        """All states (M, obs_dim), with M the sum of all T_i."""
        self.chunks = torch.cat(chunks).to(device)
        """What follows each state (M, H, A)."""
        self.actions = torch.cat(moves).to(device)
        """All actions (M, A)."""
        self._device = device
        self._images = {name: torch.cat([torch.as_tensor(obs[name]) for obs in observations]) for name in image_shapes}
        for name, images in self._images.items():
            if len(images) != len(self):
                raise ValueError(f"there are {len(images)} images {name} for {len(self)} observations.")

    def __len__(self) -> int:
        return len(self.chunks)

    def inputs(self, rows: Tensor | slice) -> Inputs:
        """Return what the policy takes of some observations, see :meth:`FlowPolicy.inputs`."""
        if not self._images:
            return self.state[rows]
        where = rows.cpu() if isinstance(rows, Tensor) else rows
        images = {name: values[where].to(self._device, non_blocking=True) for name, values in self._images.items()}
        return {STATE: self.state[rows], **images}


def train_policy(
    obs_list: Sequence[Mapping[str, ArrayLike]],
    action_list: Sequence[ArrayLike],
    cfg: FlowPolicyCfg,
    pretrain_cfg: PretrainCfg,
    action_limits: tuple[Tensor, Tensor] | None = None,
    device: str | torch.device = "cpu",
    on_progress: ProgressCallback | None = None,
    image_shapes: Mapping[str, Sequence[int]] | None = None,
) -> PretrainResult:
    """Train a base policy. The result depends on the data, the configurations and the machine, not on global state.

    On a CPU, the two paths of :meth:`FlowPolicy.loss` are computed side by side, with the same bits as in one thread.

    Args:
        obs_list: Observations by group of each trajectory, (T_i, ...) each, in their own units.
        action_list: Actions (T_i, A) of each trajectory, in their own units.
        cfg: Configuration of the policy.
        pretrain_cfg: Configuration of the training.
        action_limits: Lower and upper limits (A,) of the actions, in their own units; none if None.
        device: Device to train on. The policy stays there.
        on_progress: Called after each log interval and at the end.
        image_shapes: Shapes of the observation groups that are images, by name.

    Returns:
        The policy with averaged weights, the history and the latent's statistics; see :class:`PretrainResult`.

    Raises:
        ValueError: If the trajectories do not fit together or are not finite, or training diverged.
        ZprlError: If a configuration is not valid.
    """
    check_values(pretrain_cfg)
    device = torch.device(device)
    seen = {name: shape for name, shape in (image_shapes or {}).items() if name in cfg.observation_groups}
    data = ChunkDataset(obs_list, action_list, cfg, seen, device)

    # The initial weights come from torch's global generator: seed it for a moment, then put its state back. They are
    # drawn on the CPU, so that they are the same on every device.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(pretrain_cfg.seed)
        policy = FlowPolicy(cfg, data.state.shape[1], data.chunks.shape[2], seen)
    policy.set_normalizers(data.state.cpu(), data.actions.cpu())
    if action_limits is not None:
        policy.set_action_limits(*action_limits)
    policy.to(device)

    average = copy.deepcopy(policy).eval().requires_grad_(False)
    bottleneck = _Trainee(policy.bottleneck.parameters(), average.bottleneck.parameters(), pretrain_cfg)
    base = _Trainee(_without_bottleneck(policy), _without_bottleneck(average), pretrain_cfg)
    generator = torch.Generator(device).manual_seed(pretrain_cfg.seed)

    def train_bottleneck(step: int, batch: Regression) -> tuple[Tensor, dict[str, Tensor]]:
        loss, diagnostics = policy.bottleneck_loss(batch, generator, pretrain_cfg.vib_beta, pretrain_cfg.vib_recon)
        bottleneck.backward(loss)
        bottleneck.update(step)
        return loss.detach(), diagnostics

    history: list[dict[str, float]] = []
    sums: dict[str, Tensor] = {}
    steps_in_sums = 0
    with _second_thread(device) as second_thread:
        for step in range(pretrain_cfg.num_steps):
            rows = torch.randint(len(data), (pretrain_cfg.batch_size,), generator=generator, device=device)
            batch = policy.regression(data.inputs(rows), data.chunks[rows], generator)
            # The two paths share no parameter that they train. The second one reads the velocity field's, which
            # therefore change after it.
            path = second_thread.submit(train_bottleneck, step, batch.detach())
            flow = policy.plain_loss(batch)
            base.backward(flow)
            bottleneck_loss, diagnostics = path.result()
            base.update(step)
            diagnostics |= {"loss": flow.detach() + bottleneck_loss, "flow": flow.detach()}

            # Sums stay on the device: reading a value at each step would make the CPU wait for the accelerator.
            sums = {name: value + sums.get(name, 0.0) for name, value in diagnostics.items()}
            steps_in_sums += 1
            if (step + 1) % pretrain_cfg.log_interval == 0 or step + 1 == pretrain_cfg.num_steps:
                metrics = {name: value.item() / steps_in_sums for name, value in sums.items()}
                if not math.isfinite(metrics["loss"]):
                    raise ValueError(f"training diverged before step {step + 1}; lower PretrainCfg.learning_rate.")
                sums, steps_in_sums = {}, 0
                history.append({"step": step + 1, "learning_rate": _learning_rate(step, pretrain_cfg), **metrics})
                if on_progress is not None:
                    on_progress(step + 1, pretrain_cfg.num_steps, metrics)

    return PretrainResult(average, history, latent_statistics(average, data))


class _Trainee:
    """Parameters that are trained together, with their optimiser and their average.

    Args:
        parameters: The parameters.
        averages: Their averages, in the same order.
        cfg: Configuration of the training.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], averages: Iterable[nn.Parameter], cfg: PretrainCfg) -> None:
        self._parameters: list[Tensor] = list(parameters)
        self._averages: list[Tensor] = list(averages)
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
            group["lr"] = _learning_rate(step, self._cfg)
        self._optimizer.step()
        decay = min(self._cfg.ema_max_decay, 1.0 - (1.0 + step) ** -self._cfg.ema_power)
        get_ema_multi_avg_fn(decay)(self._averages, self._parameters, None)


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
def latent_statistics(policy: FlowPolicy, data: ChunkDataset) -> dict[str, Any]:
    """RMS values of the latent over a data set, which set the scale of the latent residual.

    A good residual has an RMS of about a tenth of the latent's.

    Args:
        policy: Policy.
        data: The data set, on the policy's device.

    Returns:
        Plain numbers and lists: ``latent_mean_rms`` and ``latent_std_rms`` over all dimensions, both also
        ``..._per_dim``, ``embedding_rms`` and ``recon_error_rms`` (of the decoded mean against the embedding), and over
        the data set the average and the deviation of the latent's mean, ``latent_mean_average_per_dim`` and
        ``latent_mean_deviation_per_dim``.
    """
    # Images would not fit on the device at once.
    size = _IMAGES_AT_ONCE if policy.image_shapes else len(data)
    e = torch.cat([policy.embed(data.inputs(slice(i, i + size))) for i in range(0, len(data), size)])
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


def _learning_rate(step: int, cfg: PretrainCfg) -> float:
    """Linear warm-up, then a half cosine down to zero at the last step."""
    if step < cfg.warmup_steps:
        return cfg.learning_rate * (step + 1) / cfg.warmup_steps
    progress = (step - cfg.warmup_steps) / max(1, cfg.num_steps - cfg.warmup_steps)
    return cfg.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))
