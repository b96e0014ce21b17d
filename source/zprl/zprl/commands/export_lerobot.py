# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Write a bundle's policy as a checkpoint of LeRobot, which its evaluation and its robots run.

LeRobot runs it by the package lerobot_policy_zprl, of source/lerobot_policy_zprl, without the rest of this project.

Example: python scripts/export_lerobot.py --bundle lift_bundle --output lift_lerobot
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zprl.commands.options import Command
from zprl.utils.arguments import option


@dataclass(frozen=True, kw_only=True)
class ExportLerobotOptions:
    """Options of the command."""

    bundle: Path = option("bundle to read, with the format onnx", metavar="DIR")
    output: Path = option("folder to write, new or empty", writes="whole folder", metavar="DIR")
    features: str | None = option(
        'where terms stand in LeRobot\'s observations, such as {"observation.state": ["joint_pos", "ee_pose"]}, as '
        "agent.dataset_names.features says it (default: their usual places)",
        None,
        metavar="JSON",
    )
    force: bool = option("replace a folder that holds such a checkpoint", False)


def run(options: ExportLerobotOptions) -> Path:
    """Write the checkpoint; return its folder.

    Raises:
        ZprlError: If the bundle cannot be read, LeRobot has no place for what it sees, or the output cannot be written.
    """
    from zprl.deploy.lerobot import is_checkpoint, save_checkpoint
    from zprl.utils.errors import ZprlError
    from zprl.utils.folders import check_replaceable
    from zprl.utils.strict_json import parse_json, require_form

    places = None
    if options.features is not None:
        try:
            places = parse_json(options.features)
            require_form(places, {})
            for key, names in places.items():
                require_form(names, [str], key)
        except ValueError as error:
            raise ZprlError(f"--features is not as in the help ({error}); it is {options.features[:80]}.") from error
    output = options.output
    check_replaceable("--output", output, options.force, is_checkpoint, "policy of this kind")
    contract = save_checkpoint(options.bundle, output.resolve(), places)
    print(f"checkpoint of LeRobot: {output}/, {contract.policy} policy of task {contract.task}")
    return output


COMMAND = Command(__doc__, ExportLerobotOptions, run, takes_overrides=False)
