# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Every option with every kind of bad value: it is accepted, or refused in one sentence with exit code 2.

The options are generated from the configurations of all methods and learners, so that no field is left out.
"""

import contextlib
import dataclasses
import io
import itertools
import json
from types import SimpleNamespace

import pytest

from zprl.rl.methods import ALGORITHMS, METHODS, configure
from zprl.rl.runner_cfg import ZprlRunnerCfg
from zprl.utils.configclass import class_to_dict
from zprl.utils.constraints import fits, kinds_of
from zprl.utils.errors import run_cli

pytestmark = pytest.mark.sim

VALUES = [
    *("null", "foo", "true", "0", "-1", "-4", "0.5", "64.5", "1e400", "9" * 400, "nan", "1j", "''", "{}", "{'a':1}"),
    *("[]", "[0]", "[-3]", "[64.5]", "[0.9]", "[null]", "[foo]", "[2,1]", "(1,2,3)"),
]
"""Null, wrong types, zero, negative, fractions, far too large, and empty."""


def make_env_cfg():
    """Return the options of an environment that every task has."""
    scene, sim = SimpleNamespace(num_envs=256, env_spacing=2.0), SimpleNamespace(dt=0.05, render_interval=1)
    return SimpleNamespace(decimation=1, episode_length_s=4.0, seed=0, scene=scene, sim=sim)


def options(node, path):
    """Yield the paths of all options of a configuration, groups of options included."""
    values = node if isinstance(node, dict) else vars(node)
    for name, value in values.items():
        yield f"{path}.{name}"
        if isinstance(value, dict | SimpleNamespace) or dataclasses.is_dataclass(value):
            yield from options(value, f"{path}.{name}")


def apply(cfgs, override):
    """Set an option as Isaac Lab does."""
    from isaaclab_tasks.utils.hydra import _parse_val, _setattr

    key, _, value = override.partition("=")
    section, path = key.split(".", 1)
    _setattr(cfgs[section], path, _parse_val(value))


def refused(override, method, algorithm):
    """Return the sentence that refuses an override, or None if it is accepted."""
    from zprl.runs.session import check_together
    from zprl.sim.isaaclab import check_env_values
    from zprl.sim.overrides import check_override

    agent_cfg = ZprlRunnerCfg()
    configure(agent_cfg, method, algorithm)
    cfgs = {"env": make_env_cfg(), "agent": agent_cfg}

    def resolve():
        check_override(override, cfgs)
        apply(cfgs, override)
        check_env_values(cfgs["env"])
        check_together(cfgs["env"].scene.num_envs, agent_cfg)

    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            run_cli(resolve)
        except SystemExit as stop:
            assert stop.code == 2, override
            return said.getvalue()
    json.dumps(class_to_dict(agent_cfg), allow_nan=False)  # what is accepted can be written into a checkpoint
    return None


def test_every_option_takes_a_bad_value_or_refuses_it_in_one_sentence():
    tried, accepted, seen = 0, 0, set()
    for method, algorithm in itertools.product(METHODS, ALGORITHMS):
        if algorithm in METHODS[method].refusals:
            continue
        agent_cfg = ZprlRunnerCfg()
        configure(agent_cfg, method, algorithm)
        groups = {"env": make_env_cfg(), "agent": agent_cfg}
        for path in [path for name, cfg in groups.items() for path in options(cfg, name)]:
            *parents, name = path.split(".")
            owner = groups[parents[0]]
            for parent in parents[1:]:
                owner = owner[parent] if isinstance(owner, dict) else getattr(owner, parent)
            if (type(owner), name) in seen:
                continue
            seen.add((type(owner), name))
            for value in VALUES:
                sentence = refused(f"{path}={value}", method, algorithm)
                tried, accepted = tried + 1, accepted + (sentence is None)
                if sentence is not None:
                    assert sentence.startswith("error: ") and sentence.endswith(".\n"), sentence
                    assert sentence.count("\n") == 1 and (name in sentence or repr(value) in sentence), sentence
                    assert len(sentence) < 700, sentence
    print(f"{tried} overrides of {len(seen)} options tried, {accepted} accepted")
    assert tried > 3000
    assert accepted < tried / 4


@pytest.mark.parametrize(
    "override",
    [
        *(f"agent.policy.{name}=null" for name in ("horizon", "latent_dim", "embed_hidden_dims")),
        *(f"agent.policy.embed_hidden_dims={dims}" for dims in ("[0]", "[-3]", "[64.5]")),
        *("agent.step_discount=null", "agent.steering.scale=null", "agent.evaluation.seed=-1"),
        *("agent.pretrain.batch_size=-4", "agent.pretrain.batch_size=0", "agent.pretrain.betas=[0.9]"),
        *("agent.pretrain.probe_interval=70", "agent.pretrain.augmentation.blur=2", "agent.policy.images.crop=0"),
        *("agent.policy.images.depth_range=[2,1]", "agent.policy.images.channels=[]", "agent.critic_sees=all"),
        *("agent.pretrain.log_interval=0", "agent.algorithm.num_mini_batches=0", "agent.algorithm.schedule=foo"),
        *("agent.actor.activation=foo", "agent.actor.distribution_cfg=null", "agent.obs_groups.actor=[]"),
        *("agent.logger=wandb", "env.decimation=0", "env.decimation=null", "env.episode_length_s=0"),
        *("agent.actor.distribution_cfg.std_range=[2,1]", "agent.policy.time_embed_dim=3", "agent.obs_groups={}"),
        *("agent.critic.class_name=foo", "agent.algorithm.class_name=zprl.rl.ppo:POP", "agent.logger=tensorbaord"),
        *("agent.algorithm.rnd_cfg={}", "agent.algorithm.symmetry_cfg={'a':1}"),
        *("agent.policy.embedding_class=foo:", "agent.actor.distribution_cfg.class_name=no.module:Class"),
    ],
)
def test_what_could_not_train_is_refused(override, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert refused(override, "zprl", "ppo") is not None


@pytest.mark.parametrize(
    "override",
    [
        *("agent.step_discount=1", "agent.policy.embed_hidden_dims=[]", "agent.policy.vib_hidden_dims=(8,9)"),
        *("agent.clip_actions=null", "agent.pretrain.warmup_steps=0", "agent.steering.scale=1", "agent.run_name=''"),
        *("agent.policy.images.crop=76", "agent.pretrain.probe_interval=100", "agent.critic_sees=policy"),
        *("agent.algorithm.rnd_cfg=null", "agent.pretrain.betas=[0,0.5]", "agent.critic.hidden_dims=[3]"),
    ],
)
def test_what_makes_sense_is_accepted(override):
    assert refused(override, "zprl", "ppo") is None


def test_defaults_satisfy_their_own_annotations_and_a_subclass_keeps_the_ranges():
    cfg = ZprlRunnerCfg()
    for node in (cfg, cfg.policy, cfg.pretrain, cfg.actor.distribution_cfg):
        assert all(fits(kind, getattr(node, name)) for name, kind in kinds_of(type(node)).items())
    kinds = kinds_of(type(cfg.actor.distribution_cfg))
    assert not fits(kinds["class_name"], "")  # the subclass gives another default without an annotation
