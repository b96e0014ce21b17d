# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Imported base policies in a task: what of it they see, their bottleneck's file, and how they are learned on."""

import dataclasses
import shutil
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.fakes import ScriptedEnv
from tests.imported_policies import linear_policy
from tests.policies.test_imported import COLUMNS, FILE, SPEC, STATE, bottleneck, load

from zprl.data import DatasetNamesCfg, Demonstration, save_demonstrations
from zprl.envs.chunked_env import ChunkedVecEnv
from zprl.envs.windows import with_windows
from zprl.policies import make_base_policy
from zprl.policies.imported.policy import load_imported
from zprl.rl.runner_cfg import ZprlRunnerCfg
from zprl.runs import imported, paths
from zprl.spec import ActionTerm, Group
from zprl.steering import ActionResidual, ActionResidualCfg, InitialNoiseCfg
from zprl.utils.errors import ZprlError

TASK = dataclasses.replace(SPEC, groups=(STATE, Group.vector("other", [("speed", 2)])))
"""What the task observes, without windows."""


def bind(spec: Any = TASK, names=None, **changes):
    interface = dataclasses.replace(load().interface, **changes)
    return imported.bind(interface, spec, names or DatasetNamesCfg(), ("policy",), "the policy P")


def test_what_it_sees_in_the_task_follows_from_its_data_sets_names():
    found = bind()
    assert found == {"spec": SPEC.to_dict(), "columns": COLUMNS}


def test_the_tasks_configuration_overrules_those():
    names = DatasetNamesCfg(features={"observation.state": ["grip", "thing"], "observation.environment_state": ["arm"]})
    places = bind(names=names)["columns"]
    assert places["observation.state"] == [["policy_window", "grip"], ["policy_window", "thing"]]
    assert places["observation.environment_state"] == [["policy_window", "arm"]]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "Other-v0"}, "belongs to task Other-v0, not to Toy-v0"),
        ({"frequency": 50}, "acts at 50 Hz, and task Toy-v0 runs at 20 Hz"),
        ({"action_size": 3}, "acts by 3 numbers, and task Toy-v0 by 2: joints"),
        ({"features": {}}, "sees 4 numbers as observation.state, and arm, grip, thing of task Toy-v0 are 7"),
        (
            {"features": {"observation.state": ["arm", "grip"]}},
            "sees observation.environment_state, 3 numbers, and nothing says which terms",
        ),
        (
            {"features": {"observation.state": ["arm"], "observation.environment_state": ["thing"]}},
            "sees 4 numbers as observation.state, and arm of task Toy-v0 are 3",
        ),
        (
            {"features": {"observation.state": ["arm", "nose"], "observation.environment_state": ["thing"]}},
            "the term nose as observation.state, which task Toy-v0 does not observe",
        ),
    ],
)
def test_what_does_not_fit_the_task_is_refused_in_a_sentence(changes, words):
    with pytest.raises(ZprlError, match=words) as refusal:
        bind(**changes)
    assert "\n" not in str(refusal.value)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the folder of an imported policy, from which runs write elsewhere."""
    monkeypatch.setattr(paths, "LOGS", tmp_path / "logs")
    shutil.copy(FILE, tmp_path / FILE.name)
    return tmp_path


def session(method="noise") -> Any:
    cfg = ZprlRunnerCfg()
    cfg.method = method
    if method == "noise":
        cfg.steering = InitialNoiseCfg()
    return SimpleNamespace(agent_cfg=cfg, task="Toy-v0", device="cpu")


def save(folder, file=None):
    path = folder / imported.BOTTLENECK_FILE
    imported.save_bottleneck(path, bottleneck(), file or folder / FILE.name, {}, ZprlRunnerCfg())
    return path


def test_a_bottleneck_comes_back_and_belongs_to_one_policy(folder):
    path, file = save(folder), folder / FILE.name
    again = imported.load_bottleneck(path, file, load())
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in bottleneck().state_dict().items())
    other = folder / "other.safetensors"
    shutil.copy(file, other)
    policy = load()
    policy.source["path"] = "elsewhere"
    imported.save_imported(file, policy)  # another hash
    with pytest.raises(
        ZprlError, match=r"was trained on another policy \(SHA-256 .*train it again with scripts/pretrain"
    ):
        imported.load_bottleneck(path, file, load())
    with pytest.raises(ZprlError, match="was trained on another policy"):
        imported.bound(session(), file, TASK)
    imported.load_bottleneck(path, other, load())


def test_a_run_gets_one_file_with_everything(folder):
    file = folder / FILE.name
    plain = imported.prepare(session(), file, TASK)
    _, meta = load_imported(plain)
    assert meta["bottleneck"] is None and meta["columns"] == COLUMNS
    assert imported.prepare(session(), file, TASK) == plain
    assert imported.prepare(session(), plain, TASK) == plain
    save(folder)
    steered = imported.prepare(session("zprl"), file, TASK)
    assert steered != plain
    policy, meta = load_imported(steered)
    assert make_base_policy(policy, meta).knobs["latent"].width == 4


def test_a_method_that_needs_the_latent_says_how_to_get_it(folder):
    with pytest.raises(ZprlError, match=r"has no bottleneck.safetensors beside it; train one with scripts/pretrain.py"):
        imported.prepare(session("zprl"), folder / FILE.name, TASK)


# -- data --------------------------------------------------------------------------------------------------------------


def episode(length, start):
    steps = np.arange(start, start + length, dtype=np.float32)[:, None]
    observations = {"policy": np.repeat(steps, 7, axis=1), "other": np.repeat(steps, 2, axis=1)}
    actions = np.repeat(steps / 1000, 2, axis=1)
    return Demonstration(observations, actions, np.zeros(length, np.float32), np.arange(length) == length - 1, True)


def test_windows_and_chunks_of_a_data_set_repeat_its_episodes_ends():
    policy = load()
    base: Any = make_base_policy(policy, {"spec": SPEC.to_dict(), "columns": COLUMNS, "bottleneck": None})
    demos: Any = SimpleNamespace(spec=TASK, episodes=[episode(3, 10), episode(9, 100)])
    (state, thing), chunks = imported.windows_of(policy, base, demos)
    assert state.shape == (12, 2, 4) and thing.shape == (12, 2, 3) and chunks.shape == (12, 8, 2)
    assert state[:4, :, 0].tolist() == [[10, 10], [10, 11], [11, 12], [100, 100]]
    # A chunk begins one step before now.
    torch.testing.assert_close(1000 * chunks[1, :, 0], torch.tensor([10.0, 11, 12, 12, 12, 12, 12, 12]))
    torch.testing.assert_close(1000 * chunks[3, :, 0], torch.tensor([100.0, 100, 101, 102, 103, 104, 105, 106]))


def test_data_of_another_task_is_refused(folder):
    other = dataclasses.replace(TASK, task="Other-v0")
    save_demonstrations(folder / "other.hdf5", other, [episode(4, 0)])
    arguments = session(), folder / FILE.name, folder / "other.hdf5", TASK, folder / imported.BOTTLENECK_FILE
    with pytest.raises(ZprlError, match=r"belongs to task Other-v0, not to Toy-v0"):
        imported.pretrain_bottleneck(*arguments)
    assert not (folder / imported.BOTTLENECK_FILE).exists()


# -- learning ----------------------------------------------------------------------------------------------------------


def test_a_learners_step_executes_the_chunk_of_the_window_that_the_episode_really_had():
    spec = dataclasses.replace(TASK, actions=(ActionTerm.uniform("joints", 2),))
    env = ScriptedEnv(spec=spec)
    base = make_base_policy(load(), {"spec": SPEC.to_dict(), "columns": COLUMNS, "bottleneck": None})
    steering = ActionResidual(ActionResidualCfg(progressive_steps=0), base)
    learner = ChunkedVecEnv(with_windows(env, base.spec), steering, ["policy"], 0.99)
    learner.restart(0)
    start = env.observation.clone()
    for _ in range(2):
        learner.step(torch.zeros(2, steering.num_dims))
    for chunk, windows in enumerate([(start, start), (start + 3, start + 4)]):
        parts = [[w[:, :3], w[:, 3:4], w[:, 4:]] for w in windows]
        seen = torch.cat([torch.cat(pair, dim=1) for pair in zip(*parts, strict=True)], dim=1)
        expected = base.act(base.encode({"policy_window": seen}))[:, :4]
        acted = torch.stack(env.received[4 * chunk : 4 * chunk + 4], dim=1)
        torch.testing.assert_close(acted, expected, rtol=0, atol=1e-5)


GAIN = 0.1 * torch.randn(14, 2, generator=torch.Generator().manual_seed(5))
FEATURES = {"observation.state": ["arm", "grip"], "observation.environment_state": ["thing"]}


@pytest.fixture
def linear(folder):
    """Return the file of a policy whose actions are known, and data of it with the actions times a factor."""
    file = folder / "linear" / FILE.name
    file.parent.mkdir()
    imported.save_imported(file, linear_policy(GAIN, (4, 3), features=FEATURES))

    def data(factor):
        generator, episodes = torch.Generator().manual_seed(1), []
        for _ in range(6):
            values = torch.randn(1, 7, generator=generator).repeat(20, 1)  # at rest, so that all actions are the same
            actions = factor * 0.5 * torch.cat([values, values], dim=1) @ GAIN
            observations = {"policy": values.numpy(), "other": np.zeros((20, 2), np.float32)}
            ends = np.arange(20) == 19
            episodes.append(Demonstration(observations, actions.numpy(), np.zeros(20, np.float32), ends, True))
        path = folder / f"data_{factor}.hdf5"
        save_demonstrations(path, TASK, episodes)
        return path

    return file, data


def test_its_actions_are_those_that_are_known(linear):
    policy, meta = imported.bound(session(), linear[0], TASK)
    base = make_base_policy(policy, meta)
    obs = {"policy_window": torch.randn(5, 14, generator=torch.Generator().manual_seed(3))}
    state, thing = base.windows(obs)  # type: ignore[attr-defined]
    expected = (0.5 * torch.cat([state, thing], dim=-1).flatten(1) @ GAIN).clamp(-1.0, 1.0)
    noise = torch.randn(5, 8, 2)
    acted = base.act(base.encode(obs, noise))
    torch.testing.assert_close(acted, expected[:, None].expand(-1, 7, -1), rtol=0, atol=1e-5)


def test_a_bottleneck_is_trained_on_the_policys_own_data_and_refused_on_others(linear, capsys):
    file, data = linear
    path, training = file.parent / imported.BOTTLENECK_FILE, session()
    training.agent_cfg.imported.num_steps, training.agent_cfg.imported.hidden_dims = 50, (32,)
    with pytest.raises(ZprlError, match=r"is not what the imported policy was trained on: .* \(loss .* against .*\)"):
        imported.pretrain_bottleneck(training, file, data(-1.0), TASK, path)
    assert not path.exists()
    imported.pretrain_bottleneck(training, file, data(1.0), TASK, path)
    assert "bottleneck: 50 steps" in capsys.readouterr().out
    policy, meta = imported.bound(session("zprl"), file, TASK)
    assert make_base_policy(policy, meta).knobs["latent"].width == 16
