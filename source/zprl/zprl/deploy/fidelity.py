# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Proof that the files of a bundle do what the Python policy does: they are loaded in a fresh process and compared."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from zprl.deploy.contract import Contract
from zprl.deploy.formats import FORMATS
from zprl.deploy.load import open_bundle
from zprl.evaluation.report import format_table
from zprl.spec import Observations
from zprl.utils.errors import NotInstalledError, ZprlError, run_cli

RELATIVE_TOLERANCE = 1.0e-5
"""Largest error of single precision, in units of the chunks' RMS."""

IMAGE_TOLERANCE = 5.0e-5
"""The same of a policy that sees images: a flow enlarges what the sums of an encoder's convolutions round away."""

_NOT_INSTALLED = "not_installed"

BFLOAT16_RMS = 1.0e-3
"""Largest RMS error of bfloat16 weights, in units of the action range."""

BFLOAT16_MAX = 2.5e-2
"""Largest error of bfloat16 weights, likewise."""


@dataclass(frozen=True)
class Cases:
    """Observations and what the policy should do.

    Attributes:
        obs: Observations by group: vectors (N, D), float32, and images (N, ...).
        truth: Chunks of the model in double precision (N, H, A).
        python: Chunks of the Python policy that was evaluated, in single precision (N, H, A).
    """

    obs: Observations
    truth: Tensor
    python: Tensor

    @property
    def rms(self) -> float:
        """RMS of the true chunks."""
        return float(self.truth.square().mean().sqrt())

    def compare(self, kind: str, chunk: Tensor, batch: Tensor) -> FormatError:
        """Return how far a format is from what the policy should do.

        Args:
            kind: The format.
            chunk: What it does row by row (N, H, A).
            batch: What it does on all rows at once (N, H, A).
        """
        chunk = chunk.double()
        error = chunk - self.truth
        rows, python = (_worst(chunk - other.double()) for other in (batch, self.python))
        return FormatError(kind, _worst(error), float(error.square().mean().sqrt()), rows, python)


@dataclass(frozen=True)
class FormatError:
    """How far a format is from the model in double precision, in the task's action units.

    Attributes:
        kind: The format, or "Python policy".
        max: Largest error.
        rms: Root mean square of the error.
        rows: Largest difference between rows alone and in a batch.
        python: Largest difference from the Python policy in single precision; 0 is equality of every bit.
    """

    kind: str
    max: float
    rms: float
    rows: float
    python: float


def measure(folder: Path, kind: str, cases: Cases) -> FormatError:
    """Load one format and compare it, in this process."""
    bundle = open_bundle(folder, kind)
    if not FORMATS[kind].native and hasattr(torch.ops.zprl, "policy_step"):
        raise ZprlError("the native operators are loaded; measure a format that does without them in a fresh process.")
    return cases.compare(kind, bundle.act(cases.obs), bundle.act_batch(cases.obs))


def measure_in_fresh_process(
    folder: Path, kinds: list[str], cases: Cases, not_installed: dict[str, str] | None = None
) -> list[FormatError]:
    """Load formats in a process of their own and compare them; those that need none of our libraries come first.

    Args:
        folder: The bundle.
        kinds: The formats.
        cases: What they are compared on.
        not_installed: Takes the formats that are left out since what loads them is not installed, and what is said
            of that. None does not leave out any.

    Returns:
        Their errors, in the order of ``kinds``.

    Raises:
        ZprlError: If one cannot be loaded or run there.
    """
    order = sorted(kinds, key=lambda kind: FORMATS[kind].native)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "cases.pt"
        torch.save(vars(cases), path)
        command = [sys.executable, "-m", __name__, str(folder), str(path), *order]
        done = subprocess.run(command, capture_output=True, text=True)
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    missing = {answer["kind"]: answer[_NOT_INSTALLED] for answer in answers if _NOT_INSTALLED in answer}
    measured = [FormatError(**answer) for answer in answers if answer["kind"] not in missing]
    failed = None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        failed = order[len(answers)], lines[-1].removeprefix("error: ") if lines else f"status {done.returncode}"
    elif not_installed is not None:
        not_installed.update(missing)
    elif missing:
        failed = next(iter(missing.items()))
    if failed is not None:
        raise ZprlError(f"the exported format {failed[0]} does not run in a fresh process: {failed[1]}")
    return sorted(measured, key=lambda error: kinds.index(error.kind))


def random_like(recorded: Observations, rows: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Return random observations of the shapes and types of recorded ones, by group.

    Vectors (rows, D) lie around the recorded ones; images (rows, ...) are noise, depths between 0 and 1 m.
    """
    random = {}
    for name, value in recorded.items():
        shape = (rows, *value.shape[1:])
        if value.dtype == torch.uint8:
            random[name] = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
        elif value.ndim != 2:
            random[name] = torch.rand(shape, generator=generator)
        else:
            scale = value.std(dim=0, correction=0).clamp(min=1e-3)
            random[name] = value.mean(dim=0) + scale * torch.randn(shape, generator=generator)
    return random


def tolerance(contract: Contract, precision: str, rms: float) -> list[float]:
    """Return the largest error that each action dimension may have.

    Args:
        contract: The contract, for the action range.
        precision: "float32" or "bfloat16".
        rms: RMS of the true chunks.
    """
    if precision == "float32":
        sees = any(group.kind == "image" for group in contract.observation.groups)
        return [(IMAGE_TOLERANCE if sees else RELATIVE_TOLERANCE) * rms] * contract.action_size
    return [BFLOAT16_MAX * width for width in action_ranges(contract)]


def action_ranges(contract: Contract) -> list[float]:
    """Return the width of the action range of each dimension; 1 where it has no limits."""
    return [1.0 if d.low is None or d.high is None else d.high - d.low for d in contract.action]


def broken_rule(error: FormatError, contract: Contract, limit: list[float], precision: str) -> str | None:
    """Return why an error is too large, or None if it is not. NaN is always too large."""
    if not error.max <= min(limit):
        return f"its largest error is {error.max:.2e}, and {min(limit):.2e} is allowed"
    allowed = BFLOAT16_RMS * min(action_ranges(contract))
    if precision == "bfloat16" and not error.rms <= allowed:
        return f"its RMS error is {error.rms:.2e}, and {allowed:.2e} is allowed"
    return None


def broken_rules(errors: list[FormatError], contract: Contract) -> Iterator[tuple[str, str]]:
    """Yield the formats whose errors are larger than a contract's files may have, and why."""
    for error in errors:
        file = contract.files[FORMATS[error.kind].file]
        problem = broken_rule(error, contract, file.tolerance or [], file.precision)
        if problem is not None:
            yield error.kind, problem


def error_table(errors: list[FormatError], rms: float) -> str:
    """Return a table of errors, relative to the chunks' RMS."""
    rows: list[list[str]] = [["", "largest error", "RMS error", "batch against rows", "against Python"]]
    rows += [[e.kind, *(f"{v / rms:.1e}" for v in (e.max, e.rms, e.rows, e.python))] for e in errors]
    return format_table(rows)


def _worst(difference: Tensor) -> float:
    return float(difference.abs().max())


def main() -> None:
    """Compare formats, ``FOLDER CASES KIND...``, in this process; print the result of each as a line of JSON."""
    folder, cases_file, *kinds = sys.argv[1:]
    torch.set_num_threads(1)
    cases = Cases(**torch.load(cases_file, weights_only=True))
    for kind in kinds:
        try:
            answer = dataclasses.asdict(measure(Path(folder), kind, cases))
        except NotInstalledError as error:
            answer = {"kind": kind, _NOT_INSTALLED: str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    run_cli(main)
