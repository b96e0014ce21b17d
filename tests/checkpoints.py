# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A small random policy and a checkpoint that steers it, made without a simulator."""

import torch
from rsl_rl.models import MLPModel
from tensordict import TensorDict
from torch import nn

from zprl.policies import FlowPolicy, FlowPolicyCfg
from zprl.rl.actor import model_arguments
from zprl.rl.checkpoint import SteeringCheckpoint
from zprl.rl.methods import use_sac
from zprl.rl.runner_cfg import ZprlRunnerCfg
from zprl.spec import ActionTerm, Group, TaskSpec
from zprl.utils.configclass import class_to_dict

TASK = "Test-Task"
TERMS = (("joint_pos", 4), ("ee_pose", 9))
OBS_DIM, ACTION_DIM, LATENT_DIM = 13, 3, 5
SPEC = TaskSpec(
    TASK,
    (Group.vector("policy", TERMS),),
    (ActionTerm.uniform("arm", 2), ActionTerm.uniform("gripper", 1)),
    0.05,
    ("ee_pose",),
)
LATENT_STATISTICS = {"latent_mean_rms": 1.0, "embedding_rms": 1.0}


def make_policy(seed=0, std=0.25, **settings):
    """Return a small policy whose every weight is random, gates included, with a standard deviation."""
    sizes = {"horizon": 6, "execute_steps": 2, "embed_dim": 12, "embed_hidden_dims": (20,), "latent_dim": LATENT_DIM}
    sizes |= {"vib_hidden_dims": (18, 16), "velocity_hidden_dim": 24, "velocity_num_blocks": 2, "time_embed_dim": 8}
    sizes |= {"num_flow_steps": 2}  # exported programs have them one after the other, and take as long to compile
    generator = torch.Generator().manual_seed(seed)
    policy = FlowPolicy(FlowPolicyCfg(**(sizes | settings)), OBS_DIM, ACTION_DIM)
    for parameter in policy.parameters():
        parameter.data = std * torch.randn(parameter.shape, generator=generator)
    policy.fixed_noise.copy_(torch.randn(policy.fixed_noise.shape, generator=generator))
    policy.set_normalizers(
        2.0 * torch.randn(50, OBS_DIM, generator=generator) + 1.0, torch.randn(50, ACTION_DIM, generator=generator)
    )
    policy.set_action_limits(*SPEC.action_limits())
    return policy.eval().requires_grad_(False)


def make_checkpoint(path, policy, seed=0, algorithm="ppo"):
    """Return what a checkpoint file of a run with this policy and a random actor holds."""
    cfg = ZprlRunnerCfg()
    if algorithm == "sac":
        use_sac(cfg)
    cfg.actor.hidden_dims = [17, 11]
    agent = class_to_dict(cfg)
    arguments = model_arguments(dict(agent["actor"]))
    arguments.pop("class_name")
    seen = TensorDict({"policy": torch.zeros(1, OBS_DIM), "latent": torch.zeros(1, LATENT_DIM)}, batch_size=[1])
    actor = MLPModel(seen, agent["obs_groups"], "actor", LATENT_DIM, **arguments)
    generator = torch.Generator().manual_seed(seed + 1)
    for layer in actor.mlp.modules():
        if isinstance(layer, nn.Linear):
            layer.weight.data = 0.6 * torch.randn(layer.weight.shape, generator=generator)
            layer.bias.data = 0.6 * torch.randn(layer.bias.shape, generator=generator)
    width = OBS_DIM + LATENT_DIM
    statistics = {
        "_mean": torch.randn(1, width, generator=generator),
        "_std": 0.5 + torch.rand(1, width, generator=generator),
    }
    actor.obs_normalizer.load_state_dict(statistics, strict=False)
    meta = {"spec": SPEC.to_dict(), "latent_statistics": LATENT_STATISTICS}
    content = {"actor_state_dict": actor.state_dict()}
    return SteeringCheckpoint(path, content, SPEC, policy, meta, {"agent": agent}, 1234, path)
