# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A small bundle with everything that a real one has; see the fixtures in conftest.py."""

import copy
import hashlib
import json

import numpy as np

OBS, ACTION, LATENT, HORIZON, EXECUTE = 6, 3, 4, 8, 4
SCALE = 0.7


def make_models(distribution=None, **settings):
    """A policy and an actor with random weights, and the chunks that they give in double precision.

    ``distribution`` is the settings of the actor's output distribution; without one its outputs are the network's.
    ``settings`` are more of the policy's.
    """
    import torch
    from rsl_rl.models import MLPModel
    from tensordict import TensorDict
    from torch import nn

    from zprl.policies import FlowPolicy, FlowPolicyCfg

    torch.manual_seed(3)
    cfg = FlowPolicyCfg(
        horizon=HORIZON,
        execute_steps=EXECUTE,
        num_flow_steps=2,
        embed_dim=9,
        embed_hidden_dims=(17,),
        latent_dim=LATENT,
        vib_hidden_dims=(12,),
        velocity_hidden_dim=20,
        velocity_num_blocks=1,
        initial_noise="fixed",
        **settings,
    )
    policy = FlowPolicy(cfg, OBS, ACTION)
    for name, parameter in policy.named_parameters():
        small = parameter.ndim == 1 or "modulation" in name or "time_mlp" in name
        mean = float(name.endswith("norm.weight"))
        nn.init.normal_(parameter, mean, 0.1 if small else (parameter.numel() / len(parameter)) ** -0.5)
    policy.set_normalizers(torch.randn(64, OBS), torch.randn(64, ACTION) * 0.3)
    policy.set_action_limits(torch.tensor([-1.0, -1.0, -torch.inf]), torch.tensor([1.0, 1.0, torch.inf]))
    seen = TensorDict({"policy": torch.zeros(1, OBS), "latent": torch.zeros(1, LATENT)}, batch_size=[1])
    groups = {"actor": ["policy", "latent"]}
    actor = MLPModel(seen, groups, "actor", LATENT, (10, 5), "elu", True, distribution).eval()

    exact, exact_actor = FlowPolicy(cfg, OBS, ACTION).double(), copy.deepcopy(actor).double()
    exact.load_state_dict(policy.state_dict())

    @torch.no_grad()
    def truth(obs):
        obs = torch.as_tensor(obs).double()[None]
        z = exact.encode(obs)[0]
        u = exact_actor(TensorDict({"policy": obs, "latent": z}, batch_size=[1]))
        return exact.act(obs, SCALE * u.clamp(-1.0, 1.0))[0].float().numpy(), z[0].float().numpy()

    return policy, actor, truth


def record(truth, episodes=3, steps=18):
    """Recorded episodes: observations that wander, and what the policy does."""
    arrays = {name: [] for name in ("obs", "episode", "action", "plan_step", "chunk", "latent")}
    rng = np.random.default_rng(0)
    for episode in range(episodes):
        obs = rng.normal(size=OBS).astype(np.float32)
        for step in range(steps):
            if step % EXECUTE == 0:
                chunk, latent = truth(obs)
                arrays["plan_step"].append(len(arrays["obs"]))
                arrays["chunk"].append(chunk)
                arrays["latent"].append(latent)
            arrays["obs"].append(obs)
            arrays["episode"].append(episode)
            arrays["action"].append(chunk[step % EXECUTE])
            obs = (obs + 0.1 * rng.normal(size=OBS)).astype(np.float32)
    dtypes = {"episode": np.int32, "plan_step": np.int32}
    return {name: np.asarray(values, dtype=dtypes.get(name, np.float32)) for name, values in arrays.items()}


def make_contract(policy, arrays):
    obs, latent = arrays["obs"], arrays["latent"]
    term = {"elements": None, "units": None, "frame": None, "description": None}
    terms = [
        {"name": name, "start": start, "size": size, **term, "minimum": obs[:, part].min(0).tolist(),
         "maximum": obs[:, part].max(0).tolist(), "mean": [0.0] * size, "std": [1.0] * size}
        for name, start, size in (("joint_pos", 0, 2), ("object", 2, 4))
        for part in (slice(start, start + size),)
    ]  # fmt: skip
    action = [
        {"name": name, "term": "arm", "unit": None, "frame": None, "description": None, "scale": None, "low": low,
         "high": high, "max_change": 5.0, "hold": hold}
        for name, low, high, hold in (("dx", -1.0, 1.0, 0.0), ("dy", -1.0, 1.0, 0.25), ("gripper", None, None, None))
    ]  # fmt: skip
    group = {"name": "policy", "kind": "state", "dtype": "float32", "shape": [OBS], "history": 1, "features": terms}
    noise = {"rule": "fixed", "seed": None, "values": policy.fixed_noise.tolist()}
    return {
        "format": "zprl-bundle",
        "version": 2,
        "task": "Small",
        "policy": "steered",
        "observation": {"range_source": "the recording", "groups": [group]},
        "action": action,
        "control": {"period": 0.02, "horizon": HORIZON, "execute_steps": EXECUTE, "replan": "", "initial_noise": noise},
        "joints": [],
        "latent": {"size": LATENT, "residual_scale": SCALE, "rms": float(np.sqrt(np.mean(latent**2))),
                   "mean": latent.mean(0).tolist(), "std": latent.std(0).tolist(), "source": "the recording"},
        "provenance": {"created_at": "2026-01-01T00:00:00+00:00", "checkpoint": "model", "checkpoint_sha256": "0",
                       "environment_steps": 1, "physics": None, "packages": {}, "git_commit": None},
        "evaluation": None,
        "files": {},
    }  # fmt: skip


def write_bundle(folder, policy, packed_actor, arrays):
    """Write the policy for our own core, the recording and the contract."""
    from zprl.policies.native.blob import pack_policy

    (folder / "policy.zprl").write_bytes(pack_policy(policy, actor=packed_actor).numpy().tobytes())
    np.savez(folder / "golden.npz", **arrays)
    seal(folder, make_contract(policy, arrays))


def seal(folder, contract=None):
    """Write the contract anew, with the sizes and checksums of the files as they are now, and its own."""
    from zprl.deploy.contract import sealed

    contract = contract or json.loads((folder / "contract.json").read_text())
    contract.pop("sha256", None)
    kinds = {
        "policy.zprl": "native",
        "golden.npz": "golden",
        "policy.pt": "torchscript",
        "policy_portable.pt": "portable",
    }
    for name, kind in kinds.items():
        if (folder / name).exists():
            content = (folder / name).read_bytes()
            tolerance = None if kind == "golden" else [1e-5] * ACTION
            contract["files"][name] = {"kind": kind, "needs": "", "precision": "float32", "tolerance": tolerance,
                                       "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}  # fmt: skip
    (folder / "contract.json").write_bytes(sealed(contract))


def change_recording(folder, change):
    """Change the arrays of a bundle's recording, in place, and let the contract know."""
    with np.load(folder / "golden.npz") as file:
        arrays = dict(file)
    change(arrays)
    np.savez(folder / "golden.npz", **arrays)
    seal(folder)


def assert_refused(result, *parts):
    """A program said what is wrong, in one line that holds the parts."""
    assert result.returncode == 2, result.stdout
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    for part in ("error: zprl: ", *parts):
        assert part in lines[0]


def edit(folder, change):
    """Change the contract of a bundle, in place."""
    from zprl.deploy.contract import sealed

    contract = json.loads((folder / "contract.json").read_text())
    contract.pop("sha256", None)
    change(contract)
    first = contract.get("version") == 1  # which has no checksum of its own
    (folder / "contract.json").write_bytes(json.dumps(contract).encode() if first else sealed(contract))
