# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Export a steered policy as a bundle: TorchScript, ONNX, torch.export and the native blob, contract and proof.

Example: python scripts/export.py --task Zprl-Lift-Franka --checkpoint latest --output lift_bundle --portable
"""

import argparse

from zprl.commands import options as commands
from zprl.utils.errors import run_cli


def main() -> None:
    """Parse the arguments and export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands.add_task_arguments(parser)
    parser.add_argument(
        "--checkpoint", default="latest", metavar="latest|base|PATH", help="what to export (default: %(default)s)"
    )
    parser.add_argument(
        "--base", default=None, metavar="PATH", help="with --checkpoint base: which (default: the newest)"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder to write, new or empty")
    parser.add_argument("--force", action="store_true", help="replace the bundle in the folder")
    parser.add_argument(
        "--format",
        default="torchscript,onnx,torch_export",
        metavar="LIST",
        help="formats beside the native blob (default: %(default)s)",
    )
    parser.add_argument("--portable", action="store_true", help="add a TorchScript file without our operators")
    parser.add_argument(
        "--precision",
        choices=["float32", "bfloat16"],
        default="float32",
        help="weights of the velocity field in the formats that run on our core (default: %(default)s)",
    )
    args, overrides = commands.parse(parser)
    commands.export(args, overrides)


if __name__ == "__main__":
    run_cli(main)
