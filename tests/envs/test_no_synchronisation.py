# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Steps of training do not make the host wait for a GPU.

They run on torch's fake CUDA tensors, which have a shape and a device and no data. Whatever would read a value (item,
tolist, bool, nonzero, a boolean mask) raises on them, as do operations across devices; a copy between host and device
is caught here.
"""

import pytest
import torch
from rsl_rl.algorithms import PPO
from rsl_rl.models import MLPModel
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict
from tests.fakes import STATISTICS, make_spec
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from zprl.envs import Step
from zprl.envs.chunked_env import ChunkedVecEnv
from zprl.policies import FlowBasePolicy, FlowPolicy, FlowPolicyCfg, NativePolicyStep
from zprl.policies.native import library as native
from zprl.rl.logger import SteeringLogger
from zprl.rl.methods import METHODS
from zprl.steering import make_steering

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
    """A TaskEnv whose tensors lie on the GPU."""

    num_envs = WORLDS
    device = DEVICE
    max_episode_length = 1
    staggers = True

    def __init__(self, spec, final):
        self.spec = spec
        self.tells_final_observations = final
        self.elapsed = torch.zeros(WORLDS, dtype=torch.long, device=DEVICE)

    def flags(self):
        return torch.rand(WORLDS, device=DEVICE) < 0.5

    def observe(self):
        return {"policy": torch.randn(WORLDS, *self.spec.group("policy").shape, device=DEVICE)}

    def reset(self, seed=None):
        return self.observe()

    def step(self, action):
        assert action.shape == (WORLDS, self.spec.action_dim) and action.device == torch.device(DEVICE)
        final = self.observe() if self.tells_final_observations else None
        reward = torch.randn(WORLDS, device=DEVICE)
        return Step(self.observe(), reward, self.flags(), self.flags(), self.flags(), self.flags(), final)


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
        return policy
    step = NativePolicyStep.__new__(NativePolicyStep)  # packing reads the weights, and these have no values
    step.policy, step.backend, step.device, step.has_encoder = policy, "native", torch.device(DEVICE), True
    step.blob, step.header = torch.zeros(1024, dtype=torch.uint8, device=DEVICE), [0] * 64
    return step


def make_env(kind, method="zprl", final=False):
    step, spec = make_step(kind), make_spec(40, 7)
    steering = make_steering(METHODS[method].steering(), FlowBasePolicy(step, spec, STATISTICS))
    env = ChunkedVecEnv(FakeEnv(spec, final), steering, ["policy"], 0.99)  # pyright: ignore[reportArgumentType]
    env.restart(0)
    return env


@pytest.mark.parametrize("final", [False, True])
@pytest.mark.parametrize("kind", ["native", "torch"])
def test_a_chunk_of_the_environment_does_not_wait(fake_gpu, kind, final):
    env = make_env(kind, final=final)
    with torch.inference_mode(), NoTransfers():
        for _ in range(2):  # the second one counts episodes
            obs, rewards, dones, extras = env.step(torch.randn(WORLDS, env.num_actions, device=DEVICE))
    assert obs.device == rewards.device == dones.device == extras["time_outs"].device == torch.device(DEVICE)
    assert obs["latent"].shape == (WORLDS, env.num_actions)
    assert ("final_observations" in extras) == final
    # A chunk is planned and what follows is observed; where episodes' last observations are told, so are two more.
    assert env.planning_time.seconds == pytest.approx(8e-3 if final else 4e-3)
    assert env.simulation_time.seconds == pytest.approx(2e-3)
    with pytest.raises(DataDependentOutputException):
        env.pop_counts()  # what must read values is once per iteration, and would be noticed


@pytest.mark.parametrize("method", ["embedding_residual", "action_residual", "step_residual", "noise"])
def test_no_method_waits(fake_gpu, method):
    env = make_env("torch", method)
    with torch.inference_mode(), NoTransfers():
        for _ in range(2):
            obs, *_ = env.step(torch.randn(WORLDS, env.num_actions, device=DEVICE))
    assert obs.device == torch.device(DEVICE)


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
    logger = SteeringLogger(
        1,
        log_dir=None,
        cfg={"num_steps_per_env": steps, "algorithm": {}},
        env_cfg={},
        num_envs=WORLDS,
        is_distributed=False,
        gpu_world_size=1,
        gpu_global_rank=0,
        device=DEVICE,
    )
    logger.writer = object()  # pyright: ignore[reportAttributeAccessIssue]
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
