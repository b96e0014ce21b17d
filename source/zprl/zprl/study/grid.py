# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Which runs a study consists of: methods, learners and seeds, or the values of an ablation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from zprl.rl.methods import ALGORITHMS, DEFAULT_METHOD, METHODS
from zprl.utils.errors import ZprlError


@dataclass(frozen=True)
class Variant:
    """What the runs of one curve share: everything but the seed."""

    name: str
    """Name in folders and files."""
    label: str
    """Name in tables and figures."""
    method: str
    """What reinforcement learning changes, a name in :data:`zprl.rl.methods.METHODS`."""
    algorithm: str
    """The learner, one of :data:`zprl.rl.methods.ALGORITHMS`."""
    overrides: tuple[str, ...] = ()
    """Hydra overrides of its runs."""
    value: float | None = None
    """The ablation's value, None where nothing is varied or the variant is what the values are compared with."""


@dataclass(frozen=True)
class Run:
    """One training run of a study."""

    variant: Variant
    seed: int

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return f"{self.variant.name}_seed{self.seed}"


@dataclass(frozen=True)
class Ablation:
    """A setting that a study varies."""

    symbol: str
    """The setting's name in tables and figures."""
    option: str
    """The Hydra override that sets it."""
    values: tuple[float, ...]
    """Values that are tried if none are given; ZPRL's defaults and steps of about a factor two around them."""
    method: str = DEFAULT_METHOD
    """The method whose setting it is."""
    shapes_base: bool = False
    """Whether each value needs a base policy of its own."""
    reference: str | None = None
    """Method of one more variant that has no such setting, to compare the values with, or None."""
    words: Mapping[float, str] = field(default_factory=dict)
    """What the override gets in place of a value, of a setting that is no number."""

    def word(self, value: float) -> str:
        """Return a value as the override and a label have it.

        Raises:
            ZprlError: If the setting is no number and has no such value.
        """
        if self.words and value not in self.words:
            known = ", ".join(f"{number:g} ({word})" for number, word in self.words.items())
            raise ZprlError(f"--values of {self.symbol} are {known}; {value:g} is none of them.")
        return self.words.get(value, f"{value:g}")


ABLATIONS: dict[str, Ablation] = {
    "lambda": Ablation("λ / RMS(z)", "agent.steering.scale", (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)),
    "z_dim": Ablation("dim z", "agent.policy.latent_dim", (4, 8, 16, 32), shapes_base=True),
    "beta": Ablation("β", "agent.pretrain.vib_beta", (2e-5, 5e-5, 2e-4, 5e-4, 2e-3), shapes_base=True),
    "num_demos": Ablation("demonstrations", "agent.demonstrations.num_demos", (25, 50, 100, 200), shapes_base=True),
    # Which residual is right without a bottleneck has to be searched: a much smaller one in arXiv 2605.19919.
    "bottleneck": Ablation(
        "λ / RMS(e) without a bottleneck",
        "agent.steering.scale",
        (0.05, 0.1, 0.2, 0.4, 0.8, 1.6),
        method="embedding_residual",
        reference=DEFAULT_METHOD,
    ),
    "critic": Ablation("the critic sees", "agent.critic_sees", (0, 1), words={0: "policy", 1: "privileged"}),
}
"""The paper's ablations (arXiv 2605.19919), and what critics of policies that see are told, by the name that
``--ablation`` takes."""


def method_variants(methods: Sequence[str], algorithms: Sequence[str]) -> tuple[list[Variant], list[str]]:
    """Pair methods with learners; return the variants, and a line for each pair left out because it makes no sense.

    Raises:
        ZprlError: If a name is unknown or given twice, or no pair is left.
    """
    _check_names("--methods", methods, tuple(METHODS))
    _check_names("--algos", algorithms, ALGORITHMS)
    variants, left_out = [], []
    for method in methods:
        for algorithm in algorithms:
            refusal = METHODS[method].refusals.get(algorithm)
            if refusal is None:
                variants.append(_unvaried(method, algorithm))
            else:
                left_out.append(f"left out: {method} with {algorithm.upper()}, since {refusal}")
    if not variants:
        raise ZprlError("none of the methods goes with a learner that was asked for; add another one to --algos.")
    return variants, left_out


def ablation_variants(name: str, values: Sequence[float] | None, algorithms: Sequence[str]) -> list[Variant]:
    """Return an ablation's variants: one per learner and value, and one per learner to compare them with if it has one.

    Without values, they are the ablation's own.

    Raises:
        ZprlError: If a name is unknown, or a name or value is given twice.
    """
    _check_names("--ablation", [name], tuple(ABLATIONS))
    _check_names("--algos", algorithms, ALGORITHMS)
    ablation = ABLATIONS[name]
    values = ablation.values if values is None else values
    if len(set(values)) < len(values):
        raise ZprlError("--values names a value twice; name each once.")
    variants = []
    for algorithm in algorithms:
        if ablation.reference is not None:
            variants.append(_unvaried(ablation.reference, algorithm))
        variants += [
            Variant(
                name=f"{name}_{value:g}_{algorithm}",
                label=f"{ablation.symbol} = {ablation.word(value)}, {algorithm.upper()}",
                method=ablation.method,
                algorithm=algorithm,
                overrides=(f"{ablation.option}={ablation.word(value)}",),
                value=value,
            )
            for value in values
        ]
    return variants


def expand(variants: Sequence[Variant], seeds: Sequence[int]) -> list[Run]:
    """Return the runs, seed by seed, so that a study that is stopped early has seen every variant.

    Raises:
        ZprlError: If there is no seed, or one is given twice.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise ZprlError("--seeds needs at least one seed, and each only once, such as 0,1,2.")
    return [Run(variant, seed) for seed in seeds for variant in variants]


def _unvaried(method: str, algorithm: str) -> Variant:
    return Variant(f"{method}_{algorithm}", f"{method}, {algorithm.upper()}", method, algorithm)


def _check_names(option: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ZprlError(f"{option} does not know '{name}'; choose from {', '.join(known)}.")
    if not names or len(set(names)) < len(names):
        raise ZprlError(f"{option} needs at least one name, and each only once; choose from {', '.join(known)}.")
