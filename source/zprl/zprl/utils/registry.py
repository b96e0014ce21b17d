# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Classes by the names that settings and files hold; a name in a file imports nothing that is not registered.

A class is registered by this project (below), by code that a user starts (:func:`register`, in a task's package, say),
or by a user's own settings: what a task's configuration or an override on the command line names (:func:`trust`).
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import Any

from zprl.utils.errors import ZprlError

_REGISTERED: dict[str, set[str]] = {
    "embedding": {
        "zprl.policies.flow.encoders:ImageEmbedding",
        "zprl.policies.flow.encoders:ObservationEmbedding",
        "zprl.policies.flow.encoders.resnet:ResNetEmbedding",
    },
    "velocity field": {
        "zprl.policies.flow.unet:UNetVelocityField",
        "zprl.policies.flow.velocity_field:ResidualMLPVelocityField",
    },
    "steering": {
        "zprl.steering.action_residual:ActionResidual",
        "zprl.steering.direct_action:DirectAction",
        "zprl.steering.embedding_residual:EmbeddingResidual",
        "zprl.steering.flow_chain:FlowChain",
        "zprl.steering.latent_residual:LatentResidual",
        "zprl.steering.noise:InitialNoise",
        "zprl.steering.step_residual:StepResidual",
    },
    "algorithm": {"PPO", "zprl.rl.ppo:PPO", "zprl.rl.sac:SAC"},
    "model": {"MLPModel", "zprl.rl.critic:EnsembleCritic", "zprl.rl.flow_actor:FlowActor"},
    "distribution": {
        "GaussianDistribution",
        "HeteroscedasticGaussianDistribution",
        "zprl.rl.distribution:SquashedGaussian",
        "zprl.rl.distribution:ZeroMeanGaussian",
    },
    "runner": {"OnPolicyRunner"},
    "log writer": {"tensorboard", "wandb", "neptune", "zprl.rl.logger:EnvStepWriter"},
    "function": set(),
}
"""Names "module:Class", or those that rsl_rl knows without a module, by what they may be used as."""

_BARE_NAMES = {name for names in _REGISTERED.values() for name in names if ":" not in name}
"""Names that rsl_rl knows without a module."""

_KEYS = {
    "embedding_class": "embedding",
    "velocity_field_class": "velocity field",
    "class_type": "steering",
    "data_augmentation_func": "function",
    "logger": "log writer",
}
"""Settings that name code, and as what. What ``class_name`` is depends on the group of settings that it stands in."""

_CLASS_NAMES = {
    "agent": "runner",
    "algorithm": "algorithm",
    "actor": "model",
    "critic": "model",
    "distribution_cfg": "distribution",
    "logger": "log writer",
}


def register(kind: str, *names: str) -> None:
    """Let files name classes of your own.

    Args:
        kind: What they are: "embedding", "velocity field", "steering", "algorithm", "model", "distribution", "log
            writer" or "function".
        names: "module:Class" each. Nothing is imported before it is used.

    Raises:
        ZprlError: If there is no such kind.
    """
    if kind not in _REGISTERED:
        raise ZprlError(f"there is no kind of classes called {kind!r}; choose one of {', '.join(_REGISTERED)}.")
    _REGISTERED[kind].update(str(name) for name in names)


def check_class(name: str, kind: str, where: str = "") -> str:
    """Return a class's name if it is registered.

    Args:
        name: "module:Class".
        kind: What it is to be used as.
        where: What names it, such as "the checkpoint model_10.safetensors".

    Raises:
        ZprlError: If it is not registered as that.
    """
    name = str(name)
    if name not in _REGISTERED.get(kind, ()):
        who = f"{where} names" if where else "the settings name"
        raise ZprlError(
            f"{who} the {kind} {name!r}, which is not registered, and a name alone imports no code; name one of your "
            "own as an override on the command line, or register it by zprl.utils.registry.register."
        )
    return name


def resolve_class(name: str, kind: str) -> type:
    """Import a registered class.

    Args:
        name: "module:Class".
        kind: What it is to be used as.

    Raises:
        ZprlError: If it is not registered, has another form, or the module or the class does not exist.
    """
    module_name, _, class_name = check_class(name, kind).partition(":")
    try:
        return getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ZprlError(f"cannot import {str(name)!r}, which should read 'module:Class': {error}.") from error


def check_settings(settings: Any, where: str = "", group: str = "agent") -> None:
    """Check every name of code in nested settings, such as a file holds.

    Args:
        settings: Dictionaries, lists and values.
        where: What holds them, for the error message.
        group: Name of the outermost group.

    Raises:
        ZprlError: If a name is not registered.
    """
    for kind, name in _names(settings, group):
        check_class(name, kind, where)


def trust(settings: Any, group: str = "agent") -> None:
    """Register what a user's own settings name.

    Args:
        settings: Dictionaries, lists and values that the user wrote or started the code of; never those of a file.
        group: Name of the outermost group.
    """
    for kind, name in _names(settings, group):
        if kind in _REGISTERED:
            register(kind, name)


def check_importable(settings: Any, group: str = "agent") -> None:
    """Check that the code exists which a user's own settings name, before it is needed; this imports it.

    Args:
        settings: Dictionaries, lists and values that are trusted; see :func:`trust`.
        group: Name of the outermost group.

    Raises:
        ZprlError: If a name is neither "module:Class" of something that can be imported nor known without a module.
    """
    for kind, name in _names(settings, group):
        if ":" in name:
            resolve_class(name, kind)
        elif name not in _BARE_NAMES:
            known = sorted(_BARE_NAMES & _REGISTERED.get(kind, set()))
            raise ZprlError(
                f"the settings name the {kind} {name!r}; write {' or '.join(['module:Class of your own', *known])}."
            )


def trust_overrides(overrides: Sequence[str]) -> None:
    """Register what overrides on the command line name, such as ``agent.policy.embedding_class=my.module:Class``."""
    for text in overrides:
        key, _, value = str(text).partition("=")
        settings: Any = value
        for part in reversed(key.removeprefix("agent.").split(".")):
            settings = {part: settings}
        trust(settings)


def _names(settings: Any, group: str) -> Iterator[tuple[str, str]]:
    """Yield the kind and the name of all code that settings name."""
    if isinstance(settings, list | tuple):
        for item in settings:
            yield from _names(item, group)
    if not isinstance(settings, dict):
        return
    for key, value in settings.items():
        if isinstance(value, str) and key == "class_name":
            yield _CLASS_NAMES.get(group, f"class of {group}"), str(value)
        elif isinstance(value, str) and key in _KEYS:
            yield _KEYS[key], str(value)
        else:
            yield from _names(value, str(key))
