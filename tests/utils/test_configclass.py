# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Configurations: every instance owns its values, subclasses change defaults, and dictionaries bring them back."""

import copy
import json
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

import pytest

from zprl.rl.methods import ALGORITHMS, METHODS, configure
from zprl.rl.runner_cfg import ZprlRunnerCfg
from zprl.steering import LatentResidualCfg
from zprl.utils.configclass import class_to_dict, configclass, update_from_dict


@configclass
class Inner:
    width: int = 3
    names: list[str] = ["a"]


@configclass
class Outer:
    class_type: str = MISSING  # type: ignore[assignment]
    inner: Inner = Inner(width=5)
    betas: tuple[float, float] = (0.9, 0.999)
    table: dict[str, list[int]] = {"x": [1]}
    choice: Inner | None = None

    def total(self):
        return self.inner.width + len(self.table)

    @property
    def double(self):
        return 2 * self.inner.width


@configclass
class Derived(Outer):
    class_type = "module:Class"
    betas = (0.5, 0.6)
    extra: float = 1.0


def test_every_instance_owns_its_values():
    first, second = Outer(), Outer()
    first.inner.width = 9
    first.inner.names.append("b")
    first.table["x"].append(2)
    first.table["y"] = []
    for other in (second, Outer()):
        assert (other.inner.width, other.inner.names, other.table) == (5, ["a"], {"x": [1]})
    assert Inner().names == ["a"]


def test_what_is_passed_takes_the_defaults_place():
    inner = Inner(width=7)
    cfg = Outer(class_type="m:C", inner=inner)
    assert cfg.inner is inner
    assert (cfg.class_type, cfg.total(), cfg.double) == ("m:C", 8, 14)
    assert Outer() == Outer()
    assert Outer() != Outer(inner=inner)
    make: Any = Outer
    with pytest.raises(TypeError, match="width"):
        make(width=3)


def test_a_subclass_gives_other_defaults_without_annotations():
    cfg = Derived()
    assert (cfg.class_type, cfg.betas, cfg.extra, cfg.inner.width) == ("module:Class", (0.5, 0.6), 1.0, 5)
    assert [field.name for field in fields(cfg)] == ["class_type", "inner", "betas", "table", "choice", "extra"]
    assert Derived(betas=(0.1, 0.2)).betas == (0.1, 0.2)
    assert Outer().betas == (0.9, 0.999)
    assert is_dataclass(cfg)


def test_what_is_missing_stays_the_one_missing():
    assert Outer().class_type is MISSING
    assert class_to_dict(Outer())["class_type"] is MISSING
    assert Derived().class_type is not MISSING


def test_a_copy_is_equal_and_its_own():
    cfg = Derived()
    other = copy.deepcopy(cfg)
    assert other == cfg
    other.inner.names.append("b")
    assert cfg.inner.names == ["a"]


def test_dictionaries_are_plain_and_their_own():
    cfg = Derived(choice=Inner(width=1))
    values = class_to_dict(cfg)
    assert values == {
        "class_type": "module:Class",
        "inner": {"width": 5, "names": ["a"]},
        "betas": (0.5, 0.6),
        "table": {"x": [1]},
        "choice": {"width": 1, "names": ["a"]},
        "extra": 1.0,
    }
    values["inner"]["names"].append("b")
    values["table"]["x"].append(2)
    assert (cfg.inner.names, cfg.table) == (["a"], {"x": [1]})


def test_a_dictionary_from_json_brings_the_configuration_back():
    cfg = Derived(inner=Inner(width=8, names=["c"]), betas=(0.1, 0.2), table={"z": [3]})
    back = Derived()
    update_from_dict(back, json.loads(json.dumps(class_to_dict(cfg))))
    assert back == cfg
    assert isinstance(back.betas, tuple)
    assert isinstance(back.inner, Inner)


def test_both_are_methods_as_isaac_lab_calls_them():
    cfg: Any = Derived(extra=2.0)
    back: Any = Derived()
    back.from_dict(cfg.to_dict())
    assert back == cfg
    assert cfg.to_dict() == class_to_dict(cfg)


def test_a_part_of_the_values_changes_that_part():
    cfg = Derived()
    update_from_dict(cfg, {"inner": {"width": 8}})
    assert cfg == Derived(inner=Inner(width=8))


@pytest.mark.parametrize(
    ("values", "name"), [({"widht": 3}, "Derived has no widht"), ({"inner": {"w": 3}}, "Inner has")]
)
def test_an_unknown_name_is_an_error(values, name):
    with pytest.raises(KeyError, match=name):
        update_from_dict(Derived(), values)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("method", METHODS)
def test_the_settings_of_every_run_survive_json(method, algorithm):
    if algorithm in METHODS[method].refusals:
        return
    cfg = ZprlRunnerCfg()
    configure(cfg, method, algorithm)
    values = json.loads(json.dumps(class_to_dict(cfg)))
    back = ZprlRunnerCfg()
    configure(back, method, algorithm)
    update_from_dict(back, values)
    assert back == cfg
    assert cfg != ZprlRunnerCfg() or (method, algorithm) == ("zprl", "ppo")


def test_the_steering_of_two_runs_is_not_shared():
    first, second = ZprlRunnerCfg(), ZprlRunnerCfg()
    assert isinstance(first.steering, LatentResidualCfg)
    first.steering.scale = 0.1
    assert second.steering == LatentResidualCfg()


@pytest.mark.sim
def test_isaac_lab_resolves_them_like_its_own():
    from zprl.sim.isaaclab import resolve_task
    from zprl.utils.errors import ZprlError

    def resolve(*overrides):
        return resolve_task("Zprl-Lift-Franka", "zprl_cfg_entry_point", overrides)[1]

    cfg = resolve(
        "agent.steering.scale=0.3",
        "agent.policy.embed_hidden_dims=[8,9]",
        "agent.demonstrations.quality=expert",
        "agent.init_at_random_ep_len=false",
    )
    assert isinstance(cfg, ZprlRunnerCfg)
    assert isinstance(cfg.steering, LatentResidualCfg)
    assert cfg.steering.scale == 0.3
    assert tuple(cfg.policy.embed_hidden_dims) == (8, 9)
    assert cfg.demonstrations.quality == "expert"
    assert cfg.init_at_random_ep_len is False
    assert resolve().steering.scale == LatentResidualCfg().scale
    for override, message in (
        ("agent.steering.scael=0.3", r"agent\.steering has no option 'scael' \(did you mean scale\?\)"),
        ("agent.steering.scale=much", "must be a number of at least 0, such as 0.8, not 'much'"),
        ("agent.evaluation.episodes=some", "must be an integer of at least 1, such as 200, not 'some'"),
        ("agent.steering=5", "must be set option by option"),
    ):
        with pytest.raises(ZprlError, match=message) as info:
            resolve(override)
        assert "\n" not in str(info.value)
