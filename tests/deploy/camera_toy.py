# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A small random policy with cameras, and the worlds that it is exported from, which are no simulator's."""

import contextlib
from dataclasses import replace
from typing import Any

import torch
from tests.checkpoints import LATENT_DIM
from torch import nn

from zprl.deploy.source import Source
from zprl.envs.description import JointDescription, TaskDescription, TermDescription
from zprl.envs.task_env import Step
from zprl.policies import FlowPolicy, FlowPolicyCfg
from zprl.rl.actor import model_arguments
from zprl.rl.checkpoint import SteeringCheckpoint
from zprl.rl.runner_cfg import ZprlRunnerCfg
from zprl.spec import ActionTerm, Feature, Group, TaskSpec
from zprl.utils.configclass import class_to_dict

CAMERA = Group("hand_camera", (Feature("hand_camera", (12, 10, 3), "image", "uint8"),))
DEPTH = Group("hand_depth", (Feature("hand_depth", (12, 10, 1), "image", history=2),))
ARM = Group("arm", (Feature("joint_pos", (2, 2)), Feature("tip", (3,))))
TOUCH = Group("touch 1", (Feature("force", (2,), history=3),))
UNSEEN = Group.vector("unseen", (("mass", 1),), "privileged")
SPEC = TaskSpec(
    "Toy",
    (UNSEEN, TOUCH, CAMERA, ARM),
    (
        ActionTerm("move", (-1.0, -1.0), (1.0, 0.7), (0.0, 0.1)),
        ActionTerm.uniform("grip", 1, -torch.inf, torch.inf, 0.3),
    ),
    0.1,
    ("tip",),
)
DEPTH_SPEC = replace(SPEC, groups=(*SPEC.groups, DEPTH))
"""With a camera that measures depth, of which a policy sees two control steps."""

GROUPS = ("arm", "hand_camera", "touch 1")
"""What the exported files take, in order: what the base policy sees, and what the actor sees beside it."""


class ToyEnv:
    """Worlds of random numbers, in which the camera sees the action taken last, for nine steps."""

    num_envs, device, max_episode_length, staggers, tells_final_observations = 3, "cpu", 9, False, False
    spec = SPEC

    def __init__(self):
        self.elapsed = torch.zeros(3, dtype=torch.long)
        self.quiet = False
        self.generators = []

    def observe(self):
        assert self.quiet, "observation noise is on"
        obs = {group.name: [] for group in self.spec.groups}
        for generator in self.generators:
            for group in self.spec.groups:
                numbers = torch.randn(group.shape, generator=generator)
                is_colour = group.features[0].dtype == "uint8"
                obs[group.name].append((60 * numbers + 128).clamp(0, 255).byte() if is_colour else numbers)
        return {name: torch.stack(rows) for name, rows in obs.items()}

    def reset(self, seed=None):
        return self.reset_to([seed])

    def reset_to(self, seeds):
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.elapsed.zero_()
        return self.observe()

    def step(self, action):
        assert action.shape == (3, 3)
        self.elapsed += 1
        terminated = (self.elapsed == 5) & torch.tensor([False, True, False])
        no = torch.zeros(3, dtype=torch.bool)
        return Step(self.observe(), torch.zeros(3), terminated, self.elapsed >= 9, terminated, no)

    @contextlib.contextmanager
    def noiseless(self):
        self.quiet = True
        yield
        self.quiet = False

    def close(self):
        pass


class DepthToyEnv(ToyEnv):
    """A toy that measures depth as well."""

    spec = DEPTH_SPEC


class DescribedToyEnv(ToyEnv):
    """A toy that knows what its numbers mean."""

    def describe(self):
        tip = TermDescription(["x", "y", "z"], ["m"] * 3, "base", "the tip's position")
        grip = TermDescription(["grip"], ["N"], None, "grips", scale=[20.0], repeats=True)
        joint = JointDescription("joint", "rad", 0.1, -1.0, 1.0, 100.0, 10.0, 5.0)
        return TaskDescription({("arm", "tip"): tip}, {"grip": grip}, (joint,))


def make_policy(obs_dim=7, cameras=(CAMERA,), **settings: Any):
    sizes: dict[str, Any] = {
        "horizon": 6,
        "execute_steps": 2,
        "embed_dim": 12,
        "embed_hidden_dims": (20,),
        "latent_dim": LATENT_DIM,
        "num_flow_steps": 2,
    }
    sizes |= {"vib_hidden_dims": (18,), "velocity_hidden_dim": 24, "velocity_num_blocks": 1, "time_embed_dim": 8}
    sizes |= {"latent_dim": LATENT_DIM, "embedding_class": "zprl.policies.flow.encoders:ImageEmbedding"}
    sizes |= {"observation_groups": ["arm", *(camera.name for camera in cameras)], **settings}
    cfg = FlowPolicyCfg(**sizes)
    policy, generator = (
        FlowPolicy(cfg, obs_dim, 3, {c.name: c.shape for c in cameras}),
        torch.Generator().manual_seed(0),
    )
    for parameter in policy.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    policy.set_normalizers(torch.randn(50, obs_dim, generator=generator), torch.randn(50, 3, generator=generator))
    policy.set_action_limits(*SPEC.action_limits())
    return policy.eval().requires_grad_(False)


def make_source(folder, seen=("touch 1", "latent", "embedding", "arm"), spec=SPEC, **settings):
    """A steered policy whose actor sees a group that the base does not, and latent and embedding in the middle."""
    from rsl_rl.models import MLPModel
    from tensordict import TensorDict

    cameras = tuple(group for group in spec.groups if group.is_image)
    cfg, policy = ZprlRunnerCfg(), make_policy(cameras=cameras, **settings)
    cfg.actor.hidden_dims = [16]
    cfg.obs_groups = {"actor": list(seen), "critic": list(seen)}
    meta = {"spec": spec.seen_by(policy.cfg.observation_groups).to_dict()}
    meta["latent_statistics"] = {"latent_mean_rms": 0.8, "embedding_rms": 1.0}
    widths = {group.name: group.shape[0] for group in spec.groups if not group.is_image} | {
        "latent": LATENT_DIM,
        "embedding": 12,
    }
    obs = TensorDict({name: torch.zeros(1, widths[name]) for name in seen}, batch_size=[1])
    torch.manual_seed(0)
    arguments = model_arguments(class_to_dict(cfg.actor))
    del arguments["class_name"]
    actor = MLPModel(obs, cfg.obs_groups, "actor", LATENT_DIM, **arguments)
    for layer in actor.mlp.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.6)
    path = folder / "model_7.safetensors"
    path.write_bytes(b"weights")
    content = {"actor_state_dict": actor.state_dict()}
    checkpoint = SteeringCheckpoint(path, content, spec, policy, meta, {"agent": class_to_dict(cfg)}, 7, path)
    return Source.of_checkpoint(checkpoint)


def random_observations(n, seed=3):
    generator = torch.Generator().manual_seed(seed)
    obs = {group.name: torch.randn(n, *group.shape, generator=generator) for group in SPEC.groups}
    obs["hand_camera"] = torch.randint(0, 256, (n, *CAMERA.shape), generator=generator, dtype=torch.uint8)
    return obs
