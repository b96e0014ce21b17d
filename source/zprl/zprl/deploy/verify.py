# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Proof that the files of a bundle do what the Python policy does: they are loaded in a fresh process and compared.

``python -m zprl.deploy.verify BUNDLE`` repeats it on the recorded episodes of a bundle, on any machine.
"""

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

from zprl.deploy.contract import GOLDEN_FILE, Contract, read_contract
from zprl.deploy.formats import FORMATS
from zprl.deploy.golden import read_recording
from zprl.deploy.load import open_bundle
from zprl.evaluation.report import format_table
from zprl.spec import Observations
from zprl.utils.errors import ZprlError, run_cli

RELATIVE_TOLERANCE = 1.0e-5
"""Largest error of single precision, in units of the chunks' RMS."""

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


def measure_in_fresh_process(folder: Path, kinds: list[str], cases: Cases) -> list[FormatError]:
    """Load formats in a process of their own and compare them; those that need none of our libraries come first.

    Returns:
        Their errors, in the order of ``kinds``.

    Raises:
        ZprlError: If one cannot be loaded or run there.
    """
    order = sorted(kinds, key=lambda kind: FORMATS[kind].native)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "cases.pt"
        torch.save(vars(cases), path)
        command = [sys.executable, "-m", "zprl.deploy.verify", str(folder), "--cases", str(path)]
        done = subprocess.run([*command, "--kinds", *order], capture_output=True, text=True)
    measured = [FormatError(**json.loads(line)) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = lines[-1].removeprefix("error: ") if lines else f"status {done.returncode}"
        raise ZprlError(f"the exported format {order[len(measured)]} does not run in a fresh process: {reason}")
    return sorted(measured, key=lambda error: kinds.index(error.kind))


def tolerance(contract: Contract, precision: str, rms: float) -> list[float]:
    """Return the largest error that each action dimension may have.

    Args:
        contract: The contract, for the action range.
        precision: "float32" or "bfloat16".
        rms: RMS of the true chunks.
    """
    if precision == "float32":
        return [RELATIVE_TOLERANCE * rms] * contract.action_size
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
    """Compare formats with given cases, in this process, or with the bundle's recorded episodes, in a fresh one."""
    import argparse

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--kinds", nargs="+", choices=list(FORMATS), default=None)
    parser.add_argument("--cases", type=Path, default=None)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.cases is not None:
        cases = Cases(**torch.load(args.cases, weights_only=True))
        for kind in args.kinds:
            print(json.dumps(dataclasses.asdict(measure(args.bundle, kind, cases))), flush=True)
        return
    contract = read_contract(args.bundle)
    recording = read_recording(args.bundle / GOLDEN_FILE, contract)
    chunk = torch.from_numpy(recording.chunk)
    cases = Cases({k: torch.from_numpy(v) for k, v in recording.planned_on().items()}, chunk.double(), chunk)
    kinds = args.kinds or [kind for kind, form in FORMATS.items() if form.file in contract.files]
    errors = measure_in_fresh_process(args.bundle, kinds, cases)
    print(error_table(errors, cases.rms))
    for kind, problem in broken_rules(errors, contract):
        raise ZprlError(f"{args.bundle / FORMATS[kind].file} is not faithful: {problem}.")
    print(f"{len(errors)} formats reproduce {len(cases.truth)} recorded chunks")


if __name__ == "__main__":
    run_cli(main)
