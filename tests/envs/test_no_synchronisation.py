# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Steps of training do not make the host wait for a GPU.

They run on torch's fake CUDA tensors, which have a shape and a device and no data. Whatever would read a value (item,
tolist, bool, nonzero, a boolean mask) raises on them, as do operations across devices; a copy between host and device
is caught here.
"""

from types import SimpleNamespace

import pytest
import torch
from rsl_rl.algorithms import PPO
from rsl_rl.models import MLPModel
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from zprl.envs import ChunkedVecEnv
from zprl.policies import FlowPolicy, FlowPolicyCfg, NativePolicyStep, TorchPolicyStep
from zprl.policies.native import library as native
from zprl.rl.logger import SteeringLogger
from zprl.steering import LatentResidual, LatentResidualCfg

pytest.importorskip("zprl._core", reason="the native libraries are not built")
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: tests/gpu looks at the real thing")

DEVICE = "cuda:0"
WORLDS = 5


class NoTransfers(TorchDispatchMode):
    """Fails on a tensor that arrives from another device, unless it was sent without waiting from the host."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        devices = [x.device for x in (*args, *(kwargs or {}).values()) if isinstance(x, torch.Tensor)]
        sent = (kwargs or {}).get("non_blocking", False) and result.device.type == "cuda"
        if not sent and isinstance(result, torch.Tensor) and any(d.type != result.device.type for d in devices):
            raise AssertionError(f"{func} moves a tensor from {devices} to {result.device}")
        return result


class FakeEvent:
    """An event of a device that has always done everything."""

    def __init__(self, enable_timing=False):
        assert enable_timing

    def record(self, stream=None):
        pass

    def query(self):
        return True

    def synchronize(self):
        pass

    def elapsed_time(self, end):
        return 1.0


class FakeEnv:
    """An environment whose tensors lie on the GPU."""

    num_envs = WORLDS
    device = DEVICE
    max_episode_length = 1

    def __init__(self, policy):
        self.cfg = SimpleNamespace(seed=0)
        self.obs_dim = policy.obs_dim
        self.action_manager = SimpleNamespace(total_action_dim=policy.action_dim)
        self.ends = {name: self.flags() for name in ("success", "time_out", "non_finite_state")}
        self.termination_manager = SimpleNamespace(active_terms=list(self.ends), get_term=lambda name: self.ends[name])
        self.episode_length_buf = torch.zeros(WORLDS, dtype=torch.long, device=DEVICE)

    def flags(self):
        return torch.rand(WORLDS, device=DEVICE) < 0.5

    def step(self, action):
        assert action.shape == (WORLDS, self.action_manager.total_action_dim) and action.device == torch.device(DEVICE)
        obs = {"policy": torch.randn(WORLDS, self.obs_dim, device=DEVICE)}
        return obs, torch.randn(WORLDS, device=DEVICE), self.flags(), self.flags(), {}


@pytest.fixture
def fake_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: None)
    monkeypatch.setattr(torch.nn.Module, "to", lambda module, device: module)  # is there already, and cannot be moved
    native.load_torch_library()
    with FakeTensorMode(allow_non_fake_inputs=False):
        yield


def make_step(kind):
    with torch.device(DEVICE):
        policy = FlowPolicy(FlowPolicyCfg(execute_steps=3), 40, 7)
    if kind == "torch":
        return TorchPolicyStep(policy)
    step = NativePolicyStep.__new__(NativePolicyStep)  # packing reads the weights, and these have no values
    step.policy, step.backend, step.device = policy, "native", torch.device(DEVICE)
    step.blob, step.header = torch.zeros(1024, dtype=torch.uint8, device=DEVICE), [0] * 64
    return step


def make_env(kind):
    step = make_step(kind)
    env = ChunkedVecEnv(FakeEnv(step.policy), LatentResidual(LatentResidualCfg(), step, 1.0), 3, 0.99)  # pyright: ignore
    env._obs = torch.randn(WORLDS, step.policy.obs_dim, device=DEVICE)
    return env


@pytest.mark.parametrize("kind", ["native", "torch"])
def test_a_chunk_of_the_environment_does_not_wait(fake_gpu, kind):
    env = make_env(kind)
    with torch.inference_mode(), NoTransfers():
        for _ in range(2):  # the second one counts episodes
            obs, rewards, dones, extras = env.step(torch.randn(WORLDS, env.num_actions, device=DEVICE))
    assert obs.device == rewards.device == dones.device == extras["time_outs"].device == torch.device(DEVICE)
    assert obs["latent"].shape == (WORLDS, env.num_actions)
    assert env.planning_time.seconds == pytest.approx(4e-3) and env.simulation_time.seconds == pytest.approx(2e-3)
    with pytest.raises(DataDependentOutputException):
        env.pop_counts()  # what must read values is once per iteration, and would be noticed


def test_an_iteration_of_the_rollout_does_not_wait(fake_gpu):
    """PPO's and the logger's part of a step, as rsl_rl's runner calls them."""
    env, steps = make_env("native"), 4
    obs = env.get_observations()
    groups = {"actor": ["policy", "latent"], "critic": ["policy", "latent"]}
    gaussian = {"class_name": "zprl.rl.distribution:ZeroMeanGaussian", "init_std": 0.5, "std_type": "log"}
    with torch.device(DEVICE):
        actor = MLPModel(obs, groups, "actor", env.num_actions, hidden_dims=[8], distribution_cfg=gaussian)
        critic = MLPModel(obs, groups, "critic", 1, hidden_dims=[8])
    storage = RolloutStorage("rl", WORLDS, steps, obs, [env.num_actions], DEVICE)
    ppo = PPO(actor, critic, storage, device=DEVICE)
    base = SimpleNamespace(
        writer=object(),
        cfg={"num_steps_per_env": steps},
        device=DEVICE,
        ep_extras=[],
        cur_reward_sum=torch.zeros(WORLDS, device=DEVICE),
        cur_episode_length=torch.zeros(WORLDS, device=DEVICE),
    )
    logger = SteeringLogger(base, 1)  # pyright: ignore[reportArgumentType]
    with torch.inference_mode(), NoTransfers():
        for _ in range(steps):
            obs, rewards, dones, extras = env.step(ppo.act(obs))
            assert isinstance(obs, TensorDict)
            ppo.process_env_step(obs.to(DEVICE), rewards.to(DEVICE), dones.to(DEVICE), extras)
            logger.process_env_step(rewards, dones, extras)
    assert len(logger.ep_extras) == steps


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: x.tolist(),
        lambda x: bool((x > 0).any()),
        lambda x: (x > 0).nonzero(),
        lambda x: x[x > 0],
        lambda x: x.cpu(),
        lambda x: x + torch.ones(3),
        lambda x: torch.ones(3).to(x.device),
    ],
)
def test_this_check_notices_what_waits(fake_gpu, wait):
    x = torch.randn(3, device=DEVICE)
    with NoTransfers(), pytest.raises(Exception):  # noqa: B017 - each has an error of its own
        wait(x)
