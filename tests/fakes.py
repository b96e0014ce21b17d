# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Small stand-ins for tests: an environment that plays back a script, and base policies that need no training."""

import contextlib

import torch

from zprl.envs import Step
from zprl.policies import BasePolicy, FlowBasePolicy, FlowPolicy, FlowPolicyCfg, Knob
from zprl.spec import ActionTerm, Feature, Group, TaskSpec
from zprl.steering import Steering, SteeringCfg

STATISTICS = {"latent_mean_rms": 1.5, "embedding_rms": 0.5}


def make_spec(obs_dim=1, action_dim=2, image=None, **action):
    """Return a spec of the state group "policy", and of an image group "camera" if its shape is given.

    Further arguments are the action term's ``low``, ``high`` and ``idle``, one number for all elements.
    """
    groups = [Group.vector("policy", [("state", obs_dim)])]
    if image is not None:
        groups.append(Group("camera", (Feature("camera", image, "image", "uint8"),)))
    return TaskSpec("Fake-Task", tuple(groups), (ActionTerm.uniform("joints", action_dim, **action),), step_dt=0.05)


# -- an environment


def world(reward=0.0, success=False, time_out=False, diverged=False):
    """Return what one world answers to an action."""
    return (reward, success, time_out, diverged)


NOTHING = [world(), world()]
"""A step in which nothing happens in both worlds."""


class ScriptedEnv:
    """A TaskEnv of two worlds that plays back rewards and ends, and reuses one buffer per group for all observations.

    The state grows by one in every step, whatever is done, an image by one as well; where it starts from seeds of its
    own, it is the seed's last three digits. The observations that an episode
    ended with lie 0.25 below those that follow. When the script is over, nothing happens any more.

    Args:
        script: Per step, a :func:`world` for each world.
        spec: What it observes and does.
        final: Whether it tells the observations that episodes end with.
    """

    num_envs = 2
    device = "cpu"
    max_episode_length = 0  # so that every ended episode is counted
    staggers = True

    def __init__(self, *script, spec=None, final=False):
        self.script = list(script)
        self.spec = spec or make_spec()
        self.tells_final_observations = final
        self.elapsed = torch.zeros(2, dtype=torch.long)
        self.observations = self.spec.zeros(2)
        self.received = []
        """Actions so far."""
        self.seeds = []
        """What resets were given."""

    @property
    def observation(self):
        """The buffer of the state."""
        return self.observations["policy"]

    def reset(self, seed=None):
        self.seeds.append(seed)
        self.observation[:] = torch.rand(self.observation.shape)
        self.elapsed = torch.zeros(2, dtype=torch.long)
        return self.observations

    def reset_to(self, seeds):
        self.seeds.append(list(seeds))
        for row in range(2):
            self.observation[row] = float(seeds[min(row, len(seeds) - 1)] % 1000)
        return self.observations

    def step(self, action):
        self.received.append(action.clone())
        rows = self.script.pop(0) if self.script else NOTHING
        for value in self.observations.values():
            value += 1
        reward = torch.tensor([float(row[0]) for row in rows])
        success, time_out, diverged = (torch.tensor([row[i] for row in rows]) for i in (1, 2, 3))
        final = None
        if self.tells_final_observations and bool((success | time_out | diverged).any()):
            final = {name: value.clone() for name, value in self.observations.items()}
            final["policy"] -= 0.25
        return Step(self.observations, reward, success | diverged, time_out, success, diverged, final)

    def noiseless(self):
        return contextlib.nullcontext()

    def close(self):
        pass


# -- base policies


class CountingPolicy(BasePolicy):
    """Puts out the actions 1, 2, 3, ... in every chunk of eight, and embeds nothing.

    Args:
        spec: Of the task.
        execute_steps: Number of actions that are executed.
    """

    horizon = 8

    def __init__(self, spec=None, execute_steps=3):
        self.spec = spec or make_spec()
        self.execute_steps = execute_steps
        self.knobs = {"actions": Knob(self.horizon * self.action_dim, 1.0)}
        limit = torch.full((self.action_dim,), torch.inf)
        self.action_low, self.action_high = -limit, limit

    def act(self, plan, *, latent=None, embedding=None, noise=None, actions=None):
        if actions is not None:
            return self.bounded(actions)
        numbers = torch.arange(1.0, 1.0 + self.horizon)
        return numbers[None, :, None].expand(plan.batch_size, -1, self.action_dim)


class CountingSteering(Steering):
    """Executes the base policy's chunks whatever the learner says, and shows it ten times the observation."""

    num_dims = 4

    def __init__(self, base=None):
        super().__init__(SteeringCfg(class_type="tests.fakes:CountingSteering"), base or CountingPolicy())

    def features(self, plan):
        return {"latent": 10.0 * plan.obs["policy"]}

    def apply(self, plan, u):
        return {}

    def metrics(self, u):
        return {"Steering/sum": u.sum()}


def make_policy(obs_dim=5, action_dim=3, **settings):
    """Return a small flow policy with random weights and actions within [-1, 1]."""
    sizes = {"latent_dim": 4, "embed_hidden_dims": (32,), "vib_hidden_dims": (32,), "velocity_hidden_dim": 32}
    torch.manual_seed(0)
    policy = FlowPolicy(FlowPolicyCfg(**sizes | settings), obs_dim, action_dim).eval().requires_grad_(False)
    for parameter in policy.parameters():  # some start at zero, and an untrained policy would ignore everything
        parameter.add_(0.1 * torch.randn_like(parameter))
    policy.set_action_limits(torch.full((action_dim,), -1.0), torch.full((action_dim,), 1.0))
    return policy


def base_of(policy, step=None):
    """Return a flow policy as a base policy, run by torch unless a step is given."""
    return FlowBasePolicy(step or policy, make_spec(policy.obs_dim, policy.action_dim), STATISTICS)


def make_base(**settings):
    """Return a :func:`make_policy` as a base policy."""
    return base_of(make_policy(**settings))
