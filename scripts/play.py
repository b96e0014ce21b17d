# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Record a video of a policy, without a display or a GPU.

Example: python scripts/play.py --task Zprl-Lift-Franka --checkpoint latest --compare --video lift.mp4
"""

import argparse

from zprl.commands import options as commands
from zprl.utils.errors import run_cli


def main() -> None:
    """Parse the arguments and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands.add_task_arguments(parser)
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--policy", choices=("expert", "random"), default=None, help="play this instead of a checkpoint")
    who.add_argument(
        "--checkpoint", default="latest", metavar="latest|base|PATH", help="what to play (default: %(default)s)"
    )
    parser.add_argument(
        "--base", default=None, metavar="PATH", help="with --checkpoint base: which (default: the newest)"
    )
    parser.add_argument("--compare", action="store_true", help="show the checkpoint's base policy beside it")
    parser.add_argument("--episodes", type=commands.positive_int, default=3, help="episodes (default: %(default)s)")
    parser.add_argument(
        "--video", default=None, metavar="F", help="file to write: .mp4, .gif, .webp or .png (default: below videos/)"
    )
    args, overrides = commands.parse(parser)

    from zprl.commands.play import play

    play(args, overrides)


if __name__ == "__main__":
    run_cli(main)
