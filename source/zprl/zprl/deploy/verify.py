# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Check the files of a bundle on this machine, each against the recorded episodes: ``python -m zprl.deploy.verify``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from zprl.utils.errors import NotInstalledError, ZprlError, first_line, run_cli

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from zprl.deploy.contract import Contract
    from zprl.spec import Observations


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse a command line: ``bundle``, and ``kinds`` and ``samples`` or None.

    Args:
        argv: The arguments, or None for this process's.
    """
    import argparse
    from pathlib import Path

    from zprl.deploy.formats import FORMATS
    from zprl.utils.arguments import positive_int

    parser = argparse.ArgumentParser(prog="python -m zprl.deploy.verify", description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument(
        "--kinds", nargs="+", choices=list(FORMATS), help="formats to check (default: all of the bundle)"
    )
    parser.add_argument(
        "--samples", type=positive_int, metavar="N", help="compare the formats on N random observations as well"
    )
    return parser.parse_args(argv)


def main() -> None:
    """Compare what the formats do in a fresh process with the bundle's recorded episodes.

    Formats whose loader is not installed are named and left out, unless they were asked for. With ``--samples`` the
    formats are compared with the first of them on random observations, too: the truth there is the exporter's alone.

    Raises:
        ZprlError: If a format is not faithful or does not load, or none can be checked here.
    """
    try:
        import torch
    except ImportError as error:
        raise NotInstalledError(
            f"this check needs PyTorch, which does not load ({first_line(error)}); install it, or check policy.zprl "
            "alone with `zprl_run --bundle BUNDLE --golden`, which needs neither PyTorch nor Python."
        ) from error
    from zprl.deploy import fidelity
    from zprl.deploy.contract import GOLDEN_FILE, read_contract
    from zprl.deploy.formats import FORMATS
    from zprl.deploy.golden import read_recording

    args = parse()
    torch.set_num_threads(1)
    contract = read_contract(args.bundle)
    recording = read_recording(args.bundle / GOLDEN_FILE, contract)
    chunk = torch.from_numpy(recording.chunk)
    obs = {name: torch.from_numpy(value) for name, value in recording.planned_on().items()}
    cases = fidelity.Cases(obs, chunk.double(), chunk)
    present = [kind for kind, form in FORMATS.items() if form.file in contract.files]
    kinds = args.kinds or [kind for kind in present if not FORMATS[kind].is_program]
    if not kinds:
        raise ZprlError(f"{args.bundle} holds programs alone; if you trust its maker, add --kinds {' '.join(present)}.")
    not_installed: dict[str, str] = {}
    errors = fidelity.measure_in_fresh_process(args.bundle, kinds, cases, None if args.kinds else not_installed)
    if not errors:
        reasons = " ".join(not_installed.values())
        raise ZprlError(f"nothing of the bundle {args.bundle} can be checked here: {reasons}")
    print(fidelity.error_table(errors, cases.rms), flush=True)
    for kind, problem in fidelity.broken_rules(errors, contract):
        raise ZprlError(f"{args.bundle / FORMATS[kind].file} is not faithful: {problem}.")
    for kind, reason in not_installed.items():
        print(f"warning: the format {kind} was not checked: {reason}", file=sys.stderr, flush=True)
    checked = f"{len(errors)} of {len(kinds)}" if not_installed else f"{len(errors)}"
    print(f"{checked} formats reproduce {len(cases.truth)} recorded chunks")
    if args.samples:
        random = fidelity.random_like(obs, args.samples, torch.Generator().manual_seed(0))
        _compare_with_one_another(args.bundle, contract, [error.kind for error in errors], random)
    left = [kind for kind in present if kind not in kinds]
    if args.kinds is None and left:
        print(f"not run: {', '.join(left)}, which are programs; if you trust their maker, add --kinds {' '.join(left)}")


def _compare_with_one_another(folder: Path, contract: Contract, kinds: list[str], obs: Observations) -> None:
    """Compare formats with the first of them: as far apart as both may be from the truth, they may be."""
    from zprl.deploy import fidelity
    from zprl.deploy.formats import FORMATS
    from zprl.deploy.load import open_bundle

    first, *others = kinds
    if not others:
        raise ZprlError(f"--samples compares formats with one another, and {first} alone was checked; name more kinds.")
    chunk = open_bundle(folder, first).act(obs)
    cases = fidelity.Cases(obs, chunk.double(), chunk)
    errors = fidelity.measure_in_fresh_process(folder, others, cases)
    for error in errors:
        files = [contract.files[FORMATS[kind].file] for kind in (first, error.kind)]
        allowed = sum(min(file.tolerance or [0.0]) for file in files)
        if not error.max <= allowed:
            raise ZprlError(
                f"the formats {first} and {error.kind} of {folder} are {error.max:.2e} apart on random observations, "
                f"and {allowed:.2e} is allowed."
            )
    worst = max(error.max for error in errors) / cases.rms
    print(f"on {len(chunk)} random observations they are at most {worst:.1e} of the chunks' RMS from {first}")


if __name__ == "__main__":
    run_cli(main)
