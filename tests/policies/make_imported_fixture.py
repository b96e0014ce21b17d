# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Make tests/policies/imported_fixture: tiny policies of LeRobot, imported, and what LeRobot itself answers.

Run it where LeRobot is installed, from the root of the repository::

    PYTHONPATH=source/zprl python tests/policies/make_imported_fixture.py

The policies, a DiffusionPolicy and, below ``act/``, an ACT, have not learned anything; their weights are drawn. Their
processors are LeRobot's own, with statistics of both kinds. ``checkpoint/`` keeps what LeRobot wrote of the former but
the weights, ``answers.json`` holds actions of LeRobot's own calls.
"""

# pyright: reportMissingImports=false

import json
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy
from lerobot.policies.factory import make_pre_post_processors

from zprl.policies.imported.lerobot import Checkpoint, TrainingData, import_policy
from zprl.policies.imported.policy import save_imported

FOLDER = Path(__file__).parent / "imported_fixture"

SEEN_AND_DONE = {
    "device": "cpu",
    "push_to_hub": False,
    "input_features": {
        "observation.state": PolicyFeature(FeatureType.STATE, (4,)),
        "observation.environment_state": PolicyFeature(FeatureType.ENV, (3,)),
    },
    "output_features": {"action": PolicyFeature(FeatureType.ACTION, (2,))},
    "normalization_mapping": {
        "STATE": NormalizationMode.MIN_MAX,
        "ENV": NormalizationMode.MEAN_STD,
        "ACTION": NormalizationMode.MIN_MAX,
    },
}

DIFFUSION = {
    "n_obs_steps": 2,
    "horizon": 8,
    "n_action_steps": 4,
    "down_dims": (8, 16),
    "n_groups": 4,
    "diffusion_step_embed_dim": 16,
    "noise_scheduler_type": "DDIM",
    "num_inference_steps": 4,
}

ACT = {
    "chunk_size": 6,
    "n_action_steps": 4,
    "dim_model": 16,
    "n_heads": 2,
    "dim_feedforward": 32,
    "n_encoder_layers": 2,
    "latent_dim": 4,
    "n_vae_encoder_layers": 1,
}

STATISTICS = {
    "observation.state": {"min": torch.tensor([-1.0, -2.0, 0.0, -1.5]), "max": torch.tensor([1.0, 2.0, 0.5, 1.5])},
    "observation.environment_state": {"mean": torch.tensor([0.5, 0.0, -3.0]), "std": torch.tensor([0.1, 1.0, 2.0])},
    "action": {"min": torch.tensor([-0.5, -0.2]), "max": torch.tensor([0.5, 0.9])},
}


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    make(DiffusionPolicy, DiffusionConfig(**DIFFUSION, **SEEN_AND_DONE), FOLDER)
    make(ACTPolicy, ACTConfig(**ACT, **SEEN_AND_DONE), FOLDER / "act")
    shutil.rmtree(FOLDER / "act" / "checkpoint")
    size = sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file())
    print(f"{FOLDER}: {size} bytes", file=sys.stderr)


def make(kind, config, folder: Path) -> None:
    """Import a policy of random weights into a folder."""
    torch.manual_seed(0)
    policy = kind(config).eval()
    pre, post = make_pre_post_processors(config, dataset_stats=STATISTICS)
    folder.mkdir()
    with tempfile.TemporaryDirectory() as place:
        checkpoint = Path(place) / "pretrained_model"
        policy.save_pretrained(checkpoint)
        pre.save_pretrained(checkpoint)
        post.save_pretrained(checkpoint)
        features = {"observation.state": ["arm", "grip"], "observation.environment_state": ["thing"]}
        imported = import_policy(Checkpoint(checkpoint), TrainingData(20, "Toy-v0", features))
        imported.source["path"] = "tests/policies/make_imported_fixture.py"
        save_imported(folder / "base.safetensors", imported)
        shutil.copytree(checkpoint, folder / "checkpoint", ignore=shutil.ignore_patterns("model.safetensors", "*.md"))
    (folder / "answers.json").write_text(json.dumps(answer(policy, pre, post)) + "\n")
    print(f"{folder}: {imported.parity}", file=sys.stderr)


def answer(policy, pre, post) -> dict[str, list]:
    """Return the observations of three worlds over ten steps, the noise of each plan, and LeRobot's actions."""
    generator = torch.Generator().manual_seed(1)
    state = torch.rand(10, 3, 4, generator=generator) * 2 - 1
    environment = torch.randn(10, 3, 3, generator=generator)
    noise = torch.randn(3, 3, 8, 2, generator=generator)
    policy.reset()
    actions = []
    for step in range(10):
        batch = pre({"observation.state": state[step], "observation.environment_state": environment[step]})
        given = {"noise": noise[step // 4]} if policy.name == "diffusion" else {}
        actions.append(post(policy.select_action(batch, **given)).tolist())
    return {"state": state.tolist(), "environment": environment.tolist(), "noise": noise.tolist(), "actions": actions}


if __name__ == "__main__":
    main()
