# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""``scripts/verify_gpu.sh [--only NAMES] [--dry-run] [REPORT_FOLDER]`` and ``scripts/verify_gpu.sh --pack DIR``.

The exit status is 0 if the GPU was there and no check failed or was cut off, 1 if one was, and 2 without a GPU or if
the arguments are wrong.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from zprl.profiling.gpu_check.checks import SIMULATOR, Check, Place, make_checks
from zprl.profiling.gpu_check.pack import make_pack, read_manifest
from zprl.profiling.gpu_check.runner import CUT_OFF, FAILED, LOG, RESULTS, SUMMARY, Outcome, Runner, table
from zprl.utils.errors import ZprlError, run_cli

_ROOT = Path(__file__).parents[5]
_SECONDS = 580.0
_FIND_GPU = (
    "import torch; print('%d.%d' % torch.cuda.get_device_capability() if torch.cuda.is_available() else 'no GPU')"
)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/verify_gpu.sh",
        description="Check and measure everything that needs an NVIDIA GPU, in one call of less than ten minutes.",
        epilog="PYTHON names the interpreter (default: .venv/bin/python, or else python3), ZPRL_VERIFY_SECONDS the "
        "time for all checks together (default: 580). Nothing is downloaded.",
    )
    parser.add_argument(
        "report",
        nargs="?",
        metavar="REPORT_FOLDER",
        type=Path,
        default=Path(os.environ.get("OUT") or _ROOT / "logs" / "gpu_report"),
        help="folder of the results, at most eight files (default: $OUT, or else logs/gpu_report)",
    )
    parser.add_argument(
        "--pack",
        metavar="DIR",
        type=Path,
        help="build here, without a GPU, and make a folder to carry to a machine that has one, torch, NumPy and pytest",
    )
    parser.add_argument(
        "--only",
        metavar="NAMES",
        help="run only these checks, such as 'goal-*,tests'; the results of others that are in the report stay",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="run, without a GPU, what shows whether the checks have what they need"
    )
    options = parser.parse_args(argv)
    if options.pack is not None and (options.only is not None or options.dry_run):
        parser.error("--pack runs no check: it goes with neither --only nor --dry-run")
    return options


def _seconds() -> float:
    text = os.environ.get("ZPRL_VERIFY_SECONDS", str(_SECONDS))
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.0 < seconds < math.inf:
        raise ZprlError(f"ZPRL_VERIFY_SECONDS is '{text}'; it must be a number of seconds.")
    return seconds


def _find_gpu(python: str) -> tuple[str | None, str]:
    """Return the compute capability of the GPU, or None and what stands in the way."""
    try:
        answer = subprocess.run([python, "-c", _FIND_GPU], capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, f"{python} does not run: {error}"
    words = answer.stdout.split()
    if answer.returncode != 0:
        reason = (answer.stderr.strip().splitlines() or ["?"])[-1]
        return None, f"{python} cannot import torch or ask its GPU: {reason}"
    if not words or not words[-1][0].isdigit():
        return None, "torch finds no CUDA device on this machine, so nothing was verified."
    return words[-1], ""


def _choose(checks: Sequence[Check], only: str | None) -> list[Check]:
    if only is None:
        return list(checks)
    chosen: set[str] = set()
    for pattern in (part.strip() for part in only.split(",")):
        found = [check.name for check in checks if fnmatch(check.name, pattern)]
        if not found:
            names = ", ".join(check.name for check in checks)
            raise ZprlError(f"--only names '{pattern}', and no check is called so; there are {names}.")
        chosen.update(found)
    return [check for check in checks if check.name in chosen]


def _prepare(report: Path, checks: Sequence[Check], keep: bool) -> None:
    """Make the report's folder and remove what an earlier call has left of these checks."""
    try:
        report.mkdir(parents=True, exist_ok=True)
        names = [SUMMARY, *(name for check in checks for name in check.files), *([] if keep else [LOG, RESULTS])]
        for name in names:
            (report / name).unlink(missing_ok=True)
        (report / LOG).touch()
    except OSError as error:
        raise ZprlError(f"the report folder {report} cannot be written ({error.strerror}); name another.") from error


def _verify(options: argparse.Namespace, python: str) -> int:
    manifest, seconds = read_manifest(_ROOT), _seconds()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if manifest is not None and manifest["python"] != version:
        raise ZprlError(
            f"the pack is for Python {manifest['python']}, and {python} is {version}; name another in PYTHON."
        )
    with tempfile.TemporaryDirectory(prefix="zprl_verify_") as scratch:
        found, obstacle = _find_gpu(python)
        place = Place(_ROOT, python, Path(os.path.abspath(options.report)), Path(scratch), found)
        checks = _choose(make_checks(place, manifest is not None), options.only)
        _prepare(place.report, checks, keep=options.only is not None)
        runner = Runner(place, seconds, manifest is not None, frozenset((*SIMULATOR, "triton")), options.dry_run)
        blind = bool(obstacle) and not options.dry_run
        try:
            if blind:
                runner.note(Outcome("machine", FAILED, 0.0, obstacle))
            for check in () if blind else checks:
                runner.run(check)
        finally:
            print(f"\n{table(runner.outcomes)}report: {place.report}", flush=True)
    unfinished = [outcome.name for outcome in runner.outcomes if outcome.result == CUT_OFF]
    if unfinished:
        print(f"go on with: scripts/verify_gpu.sh --only {','.join(unfinished)}")
    return 2 if blind else int(any(outcome.is_failure for outcome in runner.outcomes))


def main() -> None:
    """Run the command; see the module.

    Raises:
        ZprlError: If the arguments are wrong, a folder cannot be written, or a pack cannot be made.
        SystemExit: With the status, if it is not 0.
    """
    options = _parse(sys.argv[1:])
    python = os.environ.get("PYTHON") or sys.executable
    if options.pack is not None:
        make_pack(_ROOT, options.pack, python)
        return
    status = _verify(options, python)
    if status:
        sys.exit(status)


if __name__ == "__main__":
    run_cli(main, after_interrupt="what was found so far is in the report")
