# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Import a policy of LeRobot as a base policy; it then runs anywhere, without LeRobot.

Run it where LeRobot is installed, which need not be where Isaac Lab is; docs/bases.md says how.

Example: python scripts/import_base.py lerobot:outputs/train/lift/checkpoints/last --output bases/lift
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from zprl.commands.options import Command
from zprl.utils.arguments import option, positive_int
from zprl.utils.errors import ZprlError


@dataclass(frozen=True, kw_only=True)
class ImportBaseOptions:
    """Options of the command."""

    source: str = option("checkpoint to import", nargs=None, metavar="lerobot:PATH")
    output: Path = option("folder to write", writes="folder", metavar="DIR")
    dataset_file: Path | None = option(
        "folder of the data set that it was trained on (default: where its training found it)", None, metavar="DIR"
    )
    frequency: int | None = option("instead of a data set: control frequency [Hz]", None, type=positive_int)
    steps: int | None = option(
        "sample by so many steps of DDIM (default: as the checkpoint does)", None, type=positive_int
    )
    unnormalised: bool = option("import it although an input is not normalised", False)


def run(options: ImportBaseOptions) -> Path:
    """Import; return the folder.

    Raises:
        ZprlError: If the checkpoint is none, cannot be imported, or acts otherwise than in its framework.
    """
    scheme, colon, path = options.source.partition(":")
    if not colon or scheme != "lerobot":
        raise ZprlError(f"{options.source} does not begin with the framework it is of; write lerobot:{path or scheme}.")
    start = time.perf_counter()
    from zprl.policies.imported.lerobot import Checkpoint, TrainingData, import_policy
    from zprl.policies.imported.policy import FILE, save_imported
    from zprl.utils.files import checksum

    checkpoint = Checkpoint(Path(path))
    folder = options.dataset_file or checkpoint.data_folder()
    if folder is not None:
        data = TrainingData.of(checkpoint, folder)
    elif options.frequency is not None:
        data = TrainingData(options.frequency)
    else:
        checkpoint.fail("does not say at which frequency it acts; pass --dataset_file or --frequency")
    policy = import_policy(checkpoint, data, options.steps, options.unnormalised)
    file = options.output / FILE
    is_new = not options.output.exists()
    options.output.mkdir(parents=True, exist_ok=True)
    try:
        save_imported(file, policy)
    finally:
        if is_new and not any(options.output.iterdir()):
            options.output.rmdir()
    interface, parity = policy.interface, policy.parity
    seen = ", ".join(f"{value.key}[{value.size}]" for value in interface.inputs)
    errors = ", ".join(f"{error:.2g} in {name}" for name, error in parity["largest_errors"].items())
    print(
        f"imported {checkpoint.path}: sees {seen} of {interface.history} steps at {interface.frequency} Hz, generates "
        f"{interface.horizon} actions of {interface.action_size} by {policy.source['sampler']}, executes "
        f"{interface.execute_steps}\n"
        f"compared with LeRobot {policy.source['version']} on {parity['rows']} observations: off by {errors}, with "
        f"actions up to {parity['largest_action']:.2g}\n"
        f"SHA-256 {checksum(file)}, written to {file} in {time.perf_counter() - start:.0f} s"
    )
    return options.output


COMMAND = Command(__doc__, ImportBaseOptions, run, takes_overrides=False)
