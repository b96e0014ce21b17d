# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The commands in a benchmark's worlds, where no Isaac Lab can be imported; run by test_benchmarks.py.

``python benchmark_program.py TASK FOLDER`` writes what it found to ``FOLDER/found.json``.
"""

import importlib.abc
import json
import os
import sys
from pathlib import Path

SIMULATORS = ("isaaclab", "isaaclab_rl", "isaaclab_tasks", "newton", "warp", "pxr")


class Blocked(importlib.abc.MetaPathFinder):
    """Lets nobody import Isaac Lab."""

    def find_spec(self, fullname, path=None, target=None):
        """Refuse it."""
        if fullname.partition(".")[0] in SIMULATORS:
            raise ImportError(f"{fullname} must not be imported")


sys.meta_path.insert(0, Blocked())

from zprl.commands.cli import find_command  # noqa: E402

SMALL = [
    *("policy.embed_dim=16", "policy.latent_dim=4", "policy.velocity_hidden_dim=32", "policy.velocity_num_blocks=1"),
    *("agent.pretrain.num_steps=20", "agent.pretrain.bottleneck_steps=0", "agent.pretrain.batch_size=64"),
    *("agent.evaluation.episodes=2", "agent.evaluation.interval=1", "agent.save_interval=1", "agent.max_iterations=1"),
    "agent.num_steps_per_env=10",
]


def main(task, folder):
    """Collect, train, evaluate and export."""
    os.chdir(folder)

    def run(name, *arguments):
        find_command(name)(["--task", task, *arguments])

    run("collect_demos", "--num_demos", "4", "--quality", "expert", "--dataset_file", "demos.hdf5")
    run("train", "--num_envs", "3", "--dataset_file", "demos.hdf5", "--run_dir", "run", *SMALL)
    checkpoint = ["--checkpoint", "run/model_1.safetensors"]
    run("evaluate", *checkpoint, "--episodes", "2", "--num_envs", "2", "--json", "result.json", "env.workers=1")
    run("export", *checkpoint, "--output", "bundle", "--format", "torchscript")
    found = {"simulators": [name for name in sys.modules if name.partition(".")[0] in SIMULATORS]}
    Path("found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
