# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A policy as LeRobot itself runs it, with which a recorded one is compared, and what of it is recorded."""

from __future__ import annotations

import contextlib
import importlib
import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zprl.policies.imported.lerobot.checkpoint import ACTION, VERSIONS, Checkpoint
from zprl.policies.imported.policy import ImportedPolicy
from zprl.policies.imported.sampler import Sampler
from zprl.utils.errors import NotInstalledError, first_line

ROWS = 64
"""Observations on which an imported policy is compared with the library."""

TOLERANCE = 1.0e-5
"""Largest error of an action, in units of the largest action, that an import goes through with."""


@dataclass(frozen=True)
class Parts:
    """What is recorded of a policy.

    Attributes:
        embed: Maps the raw windows (N, T, D) of its inputs to the condition (N, E).
        denoise: See :data:`zprl.policies.imported.sampler.Denoiser`.
        sampler: The sampler.
        history: Number T of observations.
        horizon: Number of actions that it generates.
        first: Index of now's action among those.
        embedding_size: Length E of the condition.
        described: The sampler in words.
    """

    embed: nn.Module
    denoise: nn.Module
    sampler: Sampler
    history: int
    horizon: int
    first: int
    embedding_size: int
    described: str


class Family(ABC):
    """What the policies of a type have in common.

    Args:
        checkpoint: The checkpoint.
        steps: Number of steps to sample by that the user wants, or None.

    Raises:
        ZprlError: If the checkpoint's settings cannot be imported.
    """

    module: str
    """Module of LeRobot that the policy's class is in."""

    policy_class: str
    """Name of the class."""

    packages: tuple[str, ...] = ("lerobot", "torch")
    """Packages whose versions are noted."""

    takes_noise: bool = False
    """Whether LeRobot's calls take the noise that its generator starts from."""

    def __init__(self, checkpoint: Checkpoint, steps: int | None) -> None:
        self.checkpoint = checkpoint

    def configure(self, config: Any) -> None:  # noqa: B027 - most have nothing to change
        """Change LeRobot's configuration before the policy is made."""

    def given(self, window: Tensor) -> Tensor:
        """Return what ``predict_action_chunk`` takes of a window (N, T, D)."""
        return window

    @abstractmethod
    def parts(self, library: Library) -> Parts:
        """Return what is recorded."""


class Library:
    """A policy and its processors in LeRobot.

    Args:
        checkpoint: The checkpoint.
        family: Its type.
        unnormalised: See :meth:`Checkpoint.transform`.

    Raises:
        NotInstalledError: If LeRobot lacks a package.
        ZprlError: If LeRobot does not load the checkpoint.
    """

    def __init__(self, checkpoint: Checkpoint, family: Family, unnormalised: bool) -> None:
        self.checkpoint, self.family = checkpoint, family
        with quiet():
            try:
                configs = importlib.import_module("lerobot.configs.policies")
                modeling = importlib.import_module(family.module)
                factory = importlib.import_module("lerobot.policies.factory")
                config = configs.PreTrainedConfig.from_pretrained(str(checkpoint.path), local_files_only=True)
            except ImportError as error:
                raise NotInstalledError(
                    f"LeRobot's {family.policy_class} does not import ({first_line(error)[:160]}); install it by "
                    f"pip install 'lerobot[diffusion]=={VERSIONS[-1]}'."
                ) from error
            except Exception as error:  # of a parser that may raise anything
                checkpoint.fail(f"has a config.json that LeRobot does not read ({first_line(error)[:200]})")
        config.device, config.pretrained_backbone_weights = "cpu", None
        family.configure(config)
        with quiet():
            try:
                self.policy = getattr(modeling, family.policy_class).from_pretrained(
                    str(checkpoint.path), config=config, strict=True, local_files_only=True
                )
                overrides = {"device_processor": {"device": "cpu"}}
                self.pre, self.post = factory.make_pre_post_processors(
                    config,
                    pretrained_path=str(checkpoint.path),
                    preprocessor_overrides=overrides,
                    postprocessor_overrides=overrides,
                )
            except Exception as error:
                checkpoint.fail(f"does not load in LeRobot {VERSIONS[-1]} ({first_line(error)[:200]})")
        self.policy.eval().requires_grad_(False)
        self.keys = checkpoint.keys[:-1]
        self.transforms = {key: checkpoint.transform(key, unnormalised) for key in (*self.keys, ACTION)}

    def _noise(self, noise: Tensor) -> dict[str, Tensor]:
        return {"noise": noise} if self.family.takes_noise else {}

    @torch.no_grad()
    def compare(self, policy: ImportedPolicy) -> dict[str, Any]:
        """Return how far the recorded policy is from the library, over :data:`ROWS` drawn observations.

        Compared are ``predict_action_chunk`` on windows, and ``select_action`` over two chunks of an episode, with the
        queues that LeRobot keeps; both between its own processors, and from the same noise.

        Raises:
            ZprlError: If it is off by more than :data:`TOLERANCE`.
        """
        interface, generator = policy.interface, torch.Generator().manual_seed(0)
        windows = []
        for value in interface.inputs:
            given = self.transforms[value.key]
            low, high = given.get("first", torch.tensor(-1.0)), given.get("second", torch.tensor(1.0))
            middle, spread = ((low + high) / 2, (high - low) / 2) if given["mode"] != "MEAN_STD" else (low, high)
            draw = torch.rand(ROWS, interface.history + interface.execute_steps, value.size, generator=generator)
            windows.append(middle + spread * (2.0 * draw - 1.0))
        noise = torch.randn(ROWS, *policy.noise_shape, generator=generator)
        again = torch.randn(ROWS, *policy.noise_shape, generator=generator)
        steps, keys, count = interface.history, [value.key for value in interface.inputs], interface.execute_steps
        seen = [value[:, :steps] for value in windows]
        ours = policy.generate(policy.embed(seen), noise)[:, :count]
        with quiet():
            self.policy.reset()
            batch = self.pre({key: self.family.given(value) for key, value in zip(keys, seen, strict=True)})
            theirs = self.post(self.policy.predict_action_chunk(batch, **self._noise(noise)))[:, :count]
            # An episode: its first observation fills the queue, and the second chunk sees the last ones.
            acted, episode = [], [value[:, steps - 1 :] for value in windows]
            for step in range(count + 1):
                batch = self.pre({key: value[:, step] for key, value in zip(keys, episode, strict=True)})
                acted.append(self.post(self.policy.select_action(batch, **self._noise(again if step else noise))))
            self.policy.reset()
        begin = [value[:, :1].expand(-1, steps, -1) for value in episode]
        late = [
            torch.cat([value[:, :1].expand(-1, steps, -1), value[:, 1:]], dim=1)[:, -steps:]
            for value in (part[:, : count + 1] for part in episode)
        ]
        first = policy.generate(policy.embed(begin), noise)[:, :count]
        second = policy.generate(policy.embed(late), again)[:, :1]
        errors = {
            "predict_action_chunk": (ours - theirs).abs().max().item(),
            "select_action": (torch.cat([first, second], dim=1) - torch.stack(acted, dim=1)).abs().max().item(),
        }
        scale = theirs.abs().max().item()
        worst = max(errors.values())
        if not worst <= TOLERANCE * max(scale, 1.0e-12):
            self.checkpoint.fail(
                f"acts otherwise as recorded than in LeRobot, by up to {worst:.2g} with actions up to {scale:.2g}; "
                "this version of LeRobot or of a package below it has changed what the adapter relies on"
            )
        return {"rows": ROWS, "largest_action": scale, "largest_errors": errors, "tolerance": TOLERANCE}


class Scale(nn.Module):
    """What LeRobot's processors do to normalise a key, or the other way, in their order of operations."""

    offset: Tensor
    spread: Tensor

    def __init__(self, transform: Mapping[str, Any], inverse: bool) -> None:
        super().__init__()
        self.mode, self.inverse = transform["mode"], inverse
        if self.mode == "IDENTITY":
            return
        first, second = transform["first"], transform["second"]
        if self.mode == "MIN_MAX":
            spread = second - first
            spread = torch.where(spread == 0, torch.tensor(transform["eps"], dtype=spread.dtype), spread)
        else:
            spread = second if inverse else second + transform["eps"]
        self.register_buffer("offset", first)
        self.register_buffer("spread", spread)

    def forward(self, value: Tensor) -> Tensor:
        """Compute it."""
        if self.mode == "IDENTITY":
            return value
        if self.mode == "MEAN_STD":
            return value * self.spread + self.offset if self.inverse else (value - self.offset) / self.spread
        if self.inverse:
            return (value + 1) / 2 * self.spread + self.offset
        return 2 * (value - self.offset) / self.spread - 1


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what LeRobot prints from the user."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
