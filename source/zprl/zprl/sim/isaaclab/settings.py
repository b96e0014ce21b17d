# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A task's configurations: presets and overrides applied, and every mistake in them said in one sentence."""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from zprl.sim.gymnasium.settings import describe_task, is_gymnasium_task
from zprl.sim.isaaclab.quiet import no_garbage, quiet_simulator, simulator_speaks
from zprl.sim.overrides import ENV_KINDS, SELECTORS, check_override, split_override
from zprl.utils.constraints import require
from zprl.utils.errors import ZprlError, did_you_mean, one_sentence

TASKS_GROUP = "isaaclab.tasks"
"""Group of entry points by which packages offer tasks to Isaac Lab; this project's own are among them."""


def register_tasks() -> None:
    """Register Isaac Lab's own tasks and those of all installed packages that offer some.

    Raises:
        ZprlError: If those of a package cannot be loaded.
    """
    import isaaclab_tasks  # noqa: F401 - registers Isaac Lab's own tasks

    from zprl.sim.isaaclab.mujoco import offer_mujoco_preset

    for entry in importlib.metadata.entry_points(group=TASKS_GROUP):
        try:
            entry.load()
        except (ImportError, AttributeError) as error:
            raise ZprlError(
                f"the tasks of the installed package {entry.name} ({entry.value}) cannot be loaded: "
                f"{one_sentence(error)}; repair or remove it."
            ) from error
    offer_mujoco_preset()


@quiet_simulator()
@no_garbage()
def resolve_task(
    task: str,
    agent_entry_point: str | None,
    overrides: Sequence[str] = (),
    play_mode: bool = False,
    configure: Callable[[Any], None] | None = None,
) -> tuple[Any, Any]:
    """Return a task's configuration with presets and overrides applied.

    Isaac Lab resolves the presets; the options are checked first, since it would add a misspelt option silently, and
    never leave anything for Hydra, which reports a mistake over many lines and exits.

    Args:
        task: Task id, such as "Zprl-Lift-Franka".
        agent_entry_point: Registry key of the learner's configuration, such as "zprl_cfg_entry_point", or None.
        overrides: ``env.NAME=VALUE``, ``agent.NAME=VALUE``, ``physics=NAME``, ``renderer=NAME`` and
            ``presets=NAME[,NAME]``.
        play_mode: Whether to apply the configuration's settings for watching instead of training.
        configure: Changes the learner's configuration before any override is applied.

    Returns:
        The environment's configuration and the learner's, which is None without ``agent_entry_point``.

    Raises:
        ZprlError: If the task, the learner, an option or a preset does not exist, or a value is of another type than
            its option or out of range.
    """
    import gymnasium

    from isaaclab_tasks.utils import resolve_task_config

    register_tasks()
    if task not in gymnasium.registry:
        known = [name for name in gymnasium.registry if name.startswith(("Zprl-", "Isaac"))]
        raise ZprlError(f"there is no task '{task}'{did_you_mean(task, known, 'scripts/list_tasks.py lists all')}.")
    kwargs = gymnasium.registry[task].kwargs
    if agent_entry_point and agent_entry_point not in kwargs:
        agents = ", ".join(sorted(_agents(kwargs))) or "no learner"
        raise ZprlError(f"task '{task}' has no '{agent_entry_point}'; it has {agents}.")

    parsed = [split_override(override) for override in overrides]
    try:
        with simulator_speaks(), _configured(task, agent_entry_point, configure) as agent_entry_point:
            preset_paths = _preset_paths(task, agent_entry_point)
            choices = [
                override
                for override, (key, value) in zip(overrides, parsed, strict=True)
                if key in SELECTORS or (key in preset_paths and isinstance(value, str))
            ]
            env_cfg, agent_cfg = resolve_task_config(task, agent_entry_point, overrides=choices)
            reference = {"env": env_cfg, "agent": agent_cfg}
            settings = [override for override in overrides if override not in choices]
            for override in settings:
                check_override(override, reference)
            if not settings and not play_mode:
                return env_cfg, agent_cfg
            return resolve_task_config(task, agent_entry_point, play_mode=play_mode, overrides=list(overrides))
    except ValueError as error:
        raise ZprlError(_preset_problem(task, error, preset_paths)) from error


@contextlib.contextmanager
def _configured(
    task: str, agent_entry_point: str | None, configure: Callable[[Any], None] | None
) -> Iterator[str | None]:
    """Register the learner's configuration as ``configure`` changes it, for a while, and give its registry key."""
    import gymnasium

    from isaaclab_tasks.utils import load_cfg_from_registry

    if agent_entry_point is None or configure is None:
        yield agent_entry_point
        return

    def make() -> Any:
        cfg = load_cfg_from_registry(task, agent_entry_point)
        configure(cfg)
        return cfg

    kwargs, key = gymnasium.registry[task].kwargs, f"configured_{agent_entry_point}"
    kwargs[key] = make
    try:
        yield key
    finally:
        del kwargs[key]


@quiet_simulator()
@no_garbage()
def tasks_of_suite(suite: str) -> list[str]:
    """Return the ids of the tasks that belong to a suite, sorted; each task says so where it is registered.

    Raises:
        ZprlError: If there is no such suite.
    """
    import gymnasium

    register_tasks()
    suites: dict[str, list[str]] = {}
    for spec in gymnasium.registry.values():
        for name in spec.kwargs.get("suites", ()):
            suites.setdefault(name, []).append(spec.id)
    if suite not in suites:
        raise ZprlError(f"there is no suite '{suite}'; the suites are {', '.join(sorted(suites)) or 'none'}.")
    return sorted(suites[suite])


@quiet_simulator()
@no_garbage()
def list_tasks(keyword: str = "Zprl") -> str:
    """Return a table of the tasks with a scripted expert or a ZPRL learner: id, robot, episode and the like.

    Args:
        keyword: Part of the ids to list; case does not matter.

    Raises:
        ZprlError: If no task matches.
    """
    import gymnasium
    from prettytable import PrettyTable

    from isaaclab.assets import ArticulationCfg
    from isaaclab_tasks.utils import load_cfg_from_registry, resolve_presets
    from isaaclab_tasks.utils.hydra import collect_presets

    register_tasks()
    rows: list[tuple[str, str, str, str]] = []
    choices: list[tuple[set[str], set[str]] | None] = []
    for spec in gymnasium.registry.values():
        if keyword.lower() not in spec.id.lower() or "zprl_cfg_entry_point" not in spec.kwargs:
            continue
        suites = ", ".join(spec.kwargs.get("suites", ()))
        if is_gymnasium_task(spec.id):
            rows.append((*describe_task(spec.id), suites))
            choices.append(None)
            continue
        with simulator_speaks():
            env_cfg: Any = load_cfg_from_registry(spec.id, "env_cfg_entry_point")
        presets = {name for names in collect_presets(env_cfg).values() for name in names} - {"default"}
        env_cfg = resolve_presets(env_cfg)
        spawned: list[Any] = [p.spawn for p in vars(env_cfg.scene).values() if isinstance(p, ArticulationCfg)]
        robots = [Path(spawn.usd_path).stem for spawn in spawned]
        episode = f"{env_cfg.episode_length_s:g} s at {1 / (env_cfg.sim.dt * env_cfg.decimation):g} Hz"
        rows.append((spec.id, ", ".join(robots) or "-", episode, suites))
        choices.append((presets, set(_agents(spec.kwargs))))
    if not rows:
        raise ZprlError(f"no task of this project has '{keyword}' in its id.")
    # What all have stands below, since it would make every row ten lines high. Presets are Isaac Lab's tasks' alone.
    with_presets = [choice for choice in choices if choice is not None]
    presets, agents = set[str](), set[str]()
    if with_presets:
        presets, agents = (set.intersection(*sets) for sets in zip(*with_presets, strict=True))
    table = PrettyTable(["Task", "Robot", "Episode", "Suites", "Further presets and agents"], align="l")
    for row, choice in zip(rows, choices, strict=True):
        further = [] if choice is None else [*sorted(choice[0] - presets), *sorted(choice[1] - agents)]
        table.add_row([*row, "Gymnasium's worlds, no presets" if choice is None else ", ".join(further)])
    return (
        f"{table.get_string()}\npresets of all: {', '.join(sorted(presets)) or 'none'}\n"
        f"agents of all (--agent): {', '.join(sorted(agents)) or 'none'}"
    )


def _agents(kwargs: Mapping[str, Any]) -> list[str]:
    """Return the registry keys of a task's learners."""
    return [key for key in kwargs if key.endswith("_cfg_entry_point") and key != "env_cfg_entry_point"]


def _preset_paths(task: str, agent_entry_point: str | None) -> dict[str, list[str]]:
    """Return {dotted path: names of its presets} of everything that presets choose."""
    from isaaclab_tasks.utils import load_cfg_from_registry
    from isaaclab_tasks.utils.hydra import collect_presets

    entry_points = {"env": "env_cfg_entry_point", "agent": agent_entry_point}
    return {
        f"{section}.{path}" if path else section: sorted(presets)
        for section, entry_point in entry_points.items()
        if entry_point
        for path, presets in collect_presets(load_cfg_from_registry(task, entry_point)).items()
    }


def check_env_values(env_cfg: Any) -> None:
    """Check those values of an environment's configuration without which it fails late and obscurely.

    Raises:
        ZprlError: If one is out of range.
    """
    for path, kind in ENV_KINDS.items():
        value = env_cfg
        for name in path.split(".")[1:]:
            value = getattr(value, name)
        require(kind, value, path)


def _preset_problem(task: str, error: ValueError, preset_paths: Mapping[str, list[str]]) -> str:
    """Reduce Isaac Lab's report on an unknown preset, which lists every path of the task, to one sentence."""
    names = sorted({name for presets in preset_paths.values() for name in presets} - {"default"})
    return f"task '{task}': {one_sentence(error)}; its presets are {', '.join(names) or 'none'}."
