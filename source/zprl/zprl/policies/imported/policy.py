# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A policy of another framework as it was imported: its programs, its sampler, and what it sees and does.

::

    raw windows (N, T, D) -> embed -> condition e -> sampler, which asks denoise -> finish -> raw actions (N, H, A)

Normalisation is inside of ``embed`` and ``finish``; what the framework remembers between calls is not, so the history
is an input. The file is one of tensors and settings, :mod:`zprl.utils.tensor_files`: nothing in it is code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from zprl.policies.imported.program import Program
from zprl.policies.imported.sampler import Sampler, sampler_from
from zprl.utils.errors import ZprlError, first_line
from zprl.utils.strict_json import require_form
from zprl.utils.tensor_files import kind_of, load_tensors, require_finite, save_tensors

if TYPE_CHECKING:
    from _typeshed import StrPath

KIND = "zprl-imported-base"
"""Kind of file; see :mod:`zprl.utils.tensor_files`."""

VERSION = 1
"""Version of the file format."""

FILE = "base.safetensors"
"""Name of the file in the folder that the import writes."""

IMPORTED_INFERENCE_FIELDS = ("initial_noise", "execute_steps", "mode")
"""Attributes of :class:`ImportedPolicy` that may change at any time, since no weight depends on them."""

NOISES = ("zero", "fixed", "sampled")
"""Values of :attr:`ImportedPolicy.initial_noise`."""

MODES = ("residual", "decode")
"""Values of :attr:`ImportedPolicy.mode`."""

_INTERFACE = {
    "inputs": [{"key": str, "size": int}],
    "action_size": int,
    "history": int,
    "frequency": int,
    "horizon": int,
    "first": int,
    "execute_steps": int,
    "embedding_size": int,
    "task": str,
    "features": {},
}


@dataclass(frozen=True)
class Input:
    """Something that a policy sees, by the framework's key and its number of values."""

    key: str
    size: int


@dataclass(frozen=True)
class Interface:
    """What a policy of another framework sees and does.

    Attributes:
        inputs: What it sees, in the order of its embedding.
        action_size: Length A of an action.
        history: Number T of observations, oldest first, that it sees; the last is that of now.
        frequency: Control frequency of its data [Hz].
        horizon: Length of what it generates [control steps].
        first: Index of now's action in that.
        execute_steps: Number of actions that it executes before it plans again.
        embedding_size: Length E of its condition.
        task: Task that its data set belongs to, or "" if that does not say so.
        features: That task's observation terms under each key of its data set, or nothing if that does not say so.
    """

    inputs: tuple[Input, ...]
    action_size: int
    history: int
    frequency: int
    horizon: int
    first: int
    execute_steps: int
    embedding_size: int
    task: str
    features: Mapping[str, Sequence[str]]

    def __post_init__(self) -> None:
        sizes = [self.action_size, self.history, self.frequency, self.horizon, self.execute_steps, self.embedding_size]
        if not self.inputs or min(*sizes, *(value.size for value in self.inputs)) < 1 or self.first < 0:
            raise ValueError("a policy has a size below one")
        if self.first + self.execute_steps > self.horizon:
            raise ValueError("a policy executes more actions than it generates")

    @classmethod
    def from_dict(cls, values: Any) -> Interface:
        """Read what ``dataclasses.asdict`` returned.

        Raises:
            ValueError: If it is malformed.
        """
        require_form(values, _INTERFACE, "interface")
        require_form(values["features"], {key: [str] for key in values["features"]}, "interface.features")
        inputs = tuple(Input(entry["key"], entry["size"]) for entry in values["inputs"])
        return cls(**{**{name: values[name] for name in _INTERFACE}, "inputs": inputs})


class ImportedPolicy(nn.Module):
    """See the module's description.

    Args:
        interface: What it sees and does.
        programs: By the names in :attr:`PARTS`: ``embed`` maps the windows (N, T, D) of :attr:`Interface.inputs` to the
            condition (N, E), ``denoise`` is a :data:`zprl.policies.imported.sampler.Denoiser`, ``normalize`` maps raw
            actions (N, horizon, A) to what the sampler generates, and ``finish`` the other way.
        sampler: The sampler.
        source: Where it came from, plain values.
        parity: How far it is from the framework's own calls, plain values.
        fixed_noise: Start of the generator (horizon, A) for "fixed".
    """

    PARTS = ("embed", "denoise", "normalize", "finish")

    fixed_noise: Tensor

    def __init__(
        self,
        interface: Interface,
        programs: Mapping[str, Program],
        sampler: Sampler,
        source: Mapping[str, Any],
        parity: Mapping[str, Any],
        fixed_noise: Tensor,
    ) -> None:
        super().__init__()
        self.interface, self.sampler = interface, sampler
        self.source, self.parity = dict(source), dict(parity)
        self.programs = nn.ModuleDict({name: programs[name] for name in self.PARTS})
        shape = interface.horizon, interface.action_size
        if fixed_noise.shape != shape:
            raise ValueError("a policy's noise has another shape than its chunks")
        inputs = {"embed": len(interface.inputs), "denoise": 3, "normalize": 1, "finish": 1}
        if {name: program.num_inputs for name, program in programs.items()} != inputs:
            raise ValueError("a program has another number of inputs than the policy gives it")
        self.register_buffer("fixed_noise", fixed_noise)
        self.initial_noise = "zero"
        """Where the generator starts: "zero", "fixed" or "sampled"."""
        self.execute_steps = interface.execute_steps
        """Number of actions of a chunk that are executed."""
        self.mode = "residual"
        """How a bottleneck is used; see :class:`zprl.policies.imported.base_policy.ImportedBasePolicy`."""

    def check_inference(self) -> None:
        """Refuse attributes of :data:`IMPORTED_INFERENCE_FIELDS` that are none.

        Raises:
            ZprlError: If there is one.
        """
        planned = self.interface.horizon - self.interface.first
        if not (isinstance(self.execute_steps, int) and 1 <= self.execute_steps <= planned):
            raise ZprlError(
                f"policy.execute_steps is {self.execute_steps}, but the imported policy plans {planned} actions from "
                "now on; choose between 1 and that."
            )
        for name, known in (("initial_noise", NOISES), ("mode", MODES)):
            if (value := getattr(self, name)) not in known:
                raise ZprlError(
                    f"the imported policy has {name} {str(value)[:40]!r}; choose one of {', '.join(known)}."
                )

    @property
    def noise_shape(self) -> tuple[int, int]:
        """Shape (horizon, A) of where the generator starts."""
        return self.interface.horizon, self.interface.action_size

    def embed(self, windows: Sequence[Tensor]) -> Tensor:
        """Return the condition e (N, E) of raw windows (N, T, D), one for each input."""
        return self.programs["embed"](*windows)

    def generate(self, condition: Tensor, noise: Tensor) -> Tensor:
        """Return raw actions (N, H, A) from now on.

        Args:
            condition: Condition (N, E).
            noise: Start (N, horizon, A).
        """
        chunk = self.programs["finish"](self.sampler.sample(self.programs["denoise"], noise, condition))
        return chunk[:, self.interface.first :]

    def imitation_loss(self, condition: Tensor, chunk: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the loss of shape () that the policy was trained by, whose gradients reach the condition.

        Args:
            condition: Conditions (N, E).
            chunk: Raw actions (N, horizon, A), of which that at ``interface.first`` is now's.
            generator: Source of randomness.
        """
        return self.sampler.loss(self.programs["denoise"], self.programs["normalize"](chunk), condition, generator)

    def sample_noise(self, n: int) -> Tensor:
        """Return the start (n, horizon, A) that :attr:`initial_noise` says."""
        like = self.fixed_noise
        if self.initial_noise == "sampled":
            return torch.randn(n, *like.shape, device=like.device)
        return like.expand(n, *like.shape) if self.initial_noise == "fixed" else like.new_zeros(n, *like.shape)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values and tensors, all of it."""
        return {
            "interface": {
                **asdict(self.interface),
                "features": {k: list(v) for k, v in self.interface.features.items()},
            },
            "programs": {name: self.programs[name].content for name in self.PARTS},  # type: ignore[union-attr]
            "sampler": self.sampler.to_dict(),
            "source": self.source,
            "parity": self.parity,
            "fixed_noise": self.fixed_noise,
        }


def save_imported(path: StrPath, policy: ImportedPolicy, meta: Mapping[str, Any] | None = None) -> None:
    """Save a policy so that the file is either complete or absent.

    Args:
        path: File to create or to replace.
        policy: The policy.
        meta: What belongs to its use in a task: see :func:`zprl.policies.imported.base_policy.make_imported`.

    Raises:
        OSError: If the file cannot be written.
        ZprlError: If a weight is not finite.
    """
    content = {**policy.to_dict(), "meta": dict(meta or {})}
    require_finite(content, f"the imported base policy {path} would hold")
    save_tensors(path, content, KIND, VERSION)


def load_imported(path: StrPath) -> tuple[ImportedPolicy, dict[str, Any]]:
    """Load a policy that :func:`save_imported` wrote; what it was imported from need not be installed.

    Returns:
        The policy, on the CPU, and what was saved with it.

    Raises:
        ZprlError: If the file is missing, truncated, damaged, another one, calls what does not only compute, or holds
            weights that are not finite.
    """
    content = load_tensors(path, KIND, "imported base policy", VERSION)
    require_finite(content, f"the imported base policy {path} holds")
    try:
        programs = {name: Program(content["programs"][name]) for name in ImportedPolicy.PARTS}
        policy = ImportedPolicy(
            Interface.from_dict(content["interface"]),
            programs,
            sampler_from(content["sampler"]),
            content["source"],
            content["parity"],
            content["fixed_noise"],
        )
        meta = dict(content["meta"])
        _try_out(policy)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
        raise ZprlError(
            f"the imported base policy {path} is malformed ({first_line(error)[:200]}); import it again."
        ) from error
    return policy.eval().requires_grad_(False), meta


@torch.no_grad()
def _try_out(policy: ImportedPolicy) -> None:
    """Check that the programs fit together, with an observation of zeros.

    Raises:
        ValueError: If they do not.
    """
    interface = policy.interface
    e = policy.embed([torch.zeros(1, interface.history, value.size) for value in interface.inputs])
    if e.shape != (1, interface.embedding_size):
        raise ValueError(f"its condition is of the shape {list(e.shape)}")
    noise = torch.zeros(1, *policy.noise_shape)
    times = torch.zeros(1, dtype=torch.long)
    for name, inputs in {"denoise": (noise, times, e), "normalize": (noise,), "finish": (noise,)}.items():
        if policy.programs[name](*inputs).shape != noise.shape:
            raise ValueError(f"its program {name} makes another shape than a chunk's")


def imported_file(path: StrPath) -> Path | None:
    """Return the file of an imported base policy that a path, its own or its folder's, names; None if it is none."""
    path = Path(path)
    if path.is_dir():
        return path / FILE if (path / FILE).is_file() else None
    return path if path.is_file() and kind_of(path) == KIND else None
