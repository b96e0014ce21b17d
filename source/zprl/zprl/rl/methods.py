# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The catalogue of methods: what reinforcement learning changes of a base policy, and which learners can do it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from zprl.policies.flow.cfg import IMAGE_ENCODERS
from zprl.rl.critic import EnsembleCriticCfg
from zprl.rl.distribution import SquashedGaussianCfg
from zprl.rl.flow_actor import FlowActorCfg
from zprl.rl.runner_cfg import MLPModelCfg, ZprlRunnerCfg
from zprl.rl.sac import SacAlgorithmCfg
from zprl.steering import (
    ActionResidualCfg,
    DirectActionCfg,
    EmbeddingResidualCfg,
    FlowChainCfg,
    InitialNoiseCfg,
    LatentResidualCfg,
    SteeringCfg,
    StepResidualCfg,
)
from zprl.utils.constraints import check_values
from zprl.utils.errors import ZprlError

ALGORITHMS = ("ppo", "sac")
"""Learners: rsl_rl's PPO, and :class:`zprl.rl.sac.SAC`."""

DEFAULT_METHOD, DEFAULT_ALGORITHM = "zprl", "ppo"


@dataclass(frozen=True)
class Method:
    """A way to improve a base policy.

    Attributes:
        summary: What reinforcement learning changes, in one line.
        steering: Class of the steering's settings, whose defaults are the method's.
        adjust: Changes what else of a run's settings differs from ZPRL's with the same learner.
        refusals: Why a learner cannot do it, as the end of a sentence, by the learner's name.
    """

    summary: str
    steering: type[SteeringCfg]
    adjust: Callable[[ZprlRunnerCfg], None] = lambda cfg: None
    refusals: Mapping[str, str] = field(default_factory=dict)


def _sees(cfg: ZprlRunnerCfg, *groups: str) -> None:
    if _has_images(cfg) and "embedding" not in groups:  # of which the learner sees nothing else
        groups = (groups[0], "embedding", *groups[1:])
    cfg.obs_groups = {"actor": [*groups], "critic": [*groups]}


def _has_images(cfg: ZprlRunnerCfg) -> bool:
    return cfg.policy.embedding_class in IMAGE_ENCODERS


def _moves_latents(cfg: ZprlRunnerCfg) -> None:
    if _has_images(cfg):
        _sees(cfg, "policy", "latent")
    if cfg.algo == "sac":
        # Critics that have seen nothing but the base policy think well of residuals that fail: of three seeds, one
        # never came back.
        cfg.algorithm.warmup_std = 0.5  # type: ignore[attr-defined]


def _moves_embeddings(cfg: ZprlRunnerCfg) -> None:
    _sees(cfg, "policy", "embedding")
    if cfg.algo == "ppo":
        cfg.steering.scale = 0.8  # type: ignore[attr-defined]


def _moves_actions(cfg: ZprlRunnerCfg) -> None:
    _sees(cfg, "policy")
    if cfg.algo == "ppo":
        # A chunk that goes without its residual says nothing of it, which only a replay buffer can use.
        cfg.steering.scale, cfg.steering.progressive_steps = 0.3, 0  # type: ignore[attr-defined]


def _chooses_noise(cfg: ZprlRunnerCfg) -> None:
    _sees(cfg, "policy")
    if cfg.algo == "sac":
        # Without having seen what noise does, the critics think well of all of it.
        cfg.algorithm.warmup_std = 1.0 / cfg.steering.scale  # type: ignore[attr-defined]


def _finetunes(cfg: ZprlRunnerCfg) -> None:
    _sees(cfg, "policy")
    cfg.actor = FlowActorCfg()  # type: ignore[assignment]
    ppo = cfg.algorithm
    ppo.learning_rate, ppo.num_learning_epochs = 1.0e-4, 4
    # The clip is that of the mean over the chain, see FlowActorCfg.mean_log_prob; values would hardly move in it. The
    # 0.01 of DPPO and ReinFlow learned and forgot again: it lets a chain of 336 numbers get 29 times as likely.
    ppo.clip_param, ppo.use_clipped_value_loss = 0.003, False
    ppo.critic_warmup_iterations = 2  # type: ignore[attr-defined]


def _learns_in_closed_loop(cfg: ZprlRunnerCfg) -> None:
    _sees(cfg, "policy", "base_action")
    # As many environment steps per iteration as with chunks, in minibatches of about the same size.
    cfg.num_steps_per_env = 40
    cfg.algorithm.num_mini_batches = 10


def _learns_from_scratch(cfg: ZprlRunnerCfg) -> None:
    _learns_in_closed_loop(cfg)
    _sees(cfg, "policy")
    cfg.actor.distribution_cfg.init_std = 1.0  # type: ignore[union-attr]
    cfg.algorithm.entropy_coef = 0.006


def use_sac(cfg: ZprlRunnerCfg) -> None:
    """Make a run one of SAC: learner, models, and how often it learns, saves and evaluates."""
    cfg.algorithm = SacAlgorithmCfg()  # type: ignore[assignment]
    cfg.actor = MLPModelCfg(hidden_dims=[256, 256], distribution_cfg=SquashedGaussianCfg())
    cfg.critic = EnsembleCriticCfg()  # type: ignore[assignment]
    cfg.num_steps_per_env = 2
    cfg.save_interval = 50
    cfg.max_iterations = 250
    cfg.evaluation.interval = 50


_ONE_CHUNK_IS_ONE_STEP = {"sac": "its replay buffer holds chunks, and this method acts in every environment step"}

METHODS: dict[str, Method] = {
    "zprl": Method("a residual on the bottleneck's latent (arXiv 2605.19919)", LatentResidualCfg, _moves_latents),
    "embedding_residual": Method(
        "a residual on the embedding, without a bottleneck", EmbeddingResidualCfg, _moves_embeddings
    ),
    "action_residual": Method(
        "a bounded residual on the chunk's actions (arXiv 2412.13630)", ActionResidualCfg, _moves_actions
    ),
    "step_residual": Method(
        "a bounded residual on every action, in closed loop (arXiv 2407.16677)",
        StepResidualCfg,
        _learns_in_closed_loop,
        _ONE_CHUNK_IS_ONE_STEP,
    ),
    "noise": Method("the flow's initial noise (arXiv 2506.15799)", InitialNoiseCfg, _chooses_noise),
    "finetune": Method(
        "the flow policy's weights, through its integration (arXiv 2505.22094)",
        FlowChainCfg,
        _finetunes,
        {"sac": "its output is a chain of the flow's states, which says nothing to a critic of state and action"},
    ),
    "scratch": Method(
        "actions, without the base policy", DirectActionCfg, _learns_from_scratch, _ONE_CHUNK_IS_ONE_STEP
    ),
}
"""All methods by name."""


def configure(cfg: ZprlRunnerCfg, method: str | None = None, algorithm: str | None = None) -> None:
    """Make a task's settings, which are those of ZPRL with PPO, those of a method and a learner.

    Args:
        cfg: The settings.
        method: A name in :data:`METHODS`, or None for the task's own.
        algorithm: One of :data:`ALGORITHMS`, or None for the task's own, or where the method does not go with that for
            the one that it does go with.

    Raises:
        ZprlError: If there is no such method or learner, or they do not go together.
    """
    method = method or cfg.method
    _require("--method", method, METHODS)
    entry = METHODS[method]
    if algorithm is None:
        algorithm = next(name for name in (cfg.algo, *ALGORITHMS) if name not in entry.refusals)
    _require("--algo", algorithm, ALGORITHMS)
    if algorithm in entry.refusals:
        possible = " or ".join(f"--algo {name}" for name in ALGORITHMS if name not in entry.refusals)
        raise ZprlError(
            f"--method {method} does not go with --algo {algorithm}: {entry.refusals[algorithm]}; choose {possible}."
        )
    cfg.method, cfg.algo = method, algorithm
    cfg.steering = entry.steering()
    if algorithm == "sac":
        use_sac(cfg)
    entry.adjust(cfg)
    cfg.tune()
    if (method, algorithm) != (DEFAULT_METHOD, DEFAULT_ALGORITHM):
        cfg.run_name = f"{method}_{algorithm}"


def _require(option: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise ZprlError(f"there is no {option} {name}; choose one of {', '.join(known)}.")


def steering_cfg(method: str, values: Mapping[str, object]) -> SteeringCfg:
    """Return a method's steering settings with the values that a checkpoint holds.

    Raises:
        ZprlError: If there is no such method, or a value is out of range.
    """
    if method not in METHODS:
        raise ZprlError(f"this version does not know the method {method}; it knows {', '.join(METHODS)}.")
    cfg = METHODS[method].steering()
    for name, value in values.items():
        setattr(cfg, name, value)
    check_values(cfg, "steering")
    return cfg
