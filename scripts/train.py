# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Train a steered policy: demonstrations, base policy and reinforcement learning, whatever is missing.

Example: python scripts/train.py --task Zprl-Lift-Franka --seed 1 agent.steering.scale=0.6
In several processes: torchrun --nproc_per_node=2 scripts/train.py --task Zprl-Lift-Franka
"""

import argparse

from zprl.commands import options as commands
from zprl.utils import processes
from zprl.utils.errors import run_cli


@processes.one_voice()
def main() -> None:
    """Parse the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands.add_task_arguments(parser)
    parser.add_argument(
        "--method", default=None, metavar="NAME", help="what is learned (default: zprl); docs/methods.md"
    )
    parser.add_argument("--algo", default=None, metavar="ppo|sac", help="the learner (default: ppo)")
    parser.add_argument(
        "--num_envs", type=commands.positive_int, default=None, help="number of worlds, of all processes"
    )
    parser.add_argument(
        "--max_iterations", type=commands.positive_int, default=None, help="iterations in total, also when continuing"
    )
    parser.add_argument("--base", default=None, metavar="PATH", help="base policy to steer instead of training one")
    parser.add_argument("--dataset_file", default=None, metavar="F", help="demonstrations instead of collecting them")
    parser.add_argument(
        "--run_dir", default=None, metavar="DIR", help="folder of the run (default: a new one below logs/rsl_rl/)"
    )
    parser.add_argument("--checkpoint", default=None, metavar="latest|PATH", help="checkpoint to continue from")
    args, overrides = commands.parse(parser)
    commands.train(args, overrides)


if __name__ == "__main__":
    run_cli(main, after_interrupt="continue with --checkpoint latest")
