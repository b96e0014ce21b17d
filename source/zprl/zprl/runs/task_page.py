# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A task's page: what is read from its configuration, its environment and its finished runs, as Markdown."""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zprl.evaluation.report import load_results, markdown_table, summarize
from zprl.rl.methods import DEFAULT_ALGORITHM, DEFAULT_METHOD
from zprl.runs.paths import experiment_dir

if TYPE_CHECKING:
    from zprl.envs.description import CameraDescription
    from zprl.rl.runner_cfg import ZprlRunnerCfg
    from zprl.robustness.disturbances import Disturbance
    from zprl.runs.session import TaskSession
    from zprl.sim.isaaclab.task_env import IsaacLabEnv
    from zprl.spec import ActionTerm

PAGES = Path("docs") / "tasks"
"""Where the tasks' pages lie in the repository."""


def describe_task(session: TaskSession, env: IsaacLabEnv) -> dict[str, str]:
    """Return the sections of a page that need no run, by name.

    Args:
        session: The task.
        env: An environment of it.
    """
    return {
        "task": f"# {session.task}\n\n{_what_it_is(type(env.unwrapped.cfg))}",
        "facts": _facts(session, env),
        "expert": _expert(session.task),
    }


def finished_runs(task: str, cfg: ZprlRunnerCfg) -> list[Path]:
    """Return the folders of a task's finished runs of one method and learner, ordered by seed and folder.

    Args:
        task: Task id.
        cfg: The experiment, method and learner.

    Raises:
        ZprlError: If a result cannot be read.
    """
    found = []
    for path in experiment_dir(cfg.experiment_name).glob("*/result.json"):
        (result,) = load_results([path.parent])
        learner = result.get("method", DEFAULT_METHOD), result.get("algo", DEFAULT_ALGORITHM)
        if result["task"] == task and learner == (cfg.method, cfg.algo):
            found.append((result["seed"], path.parent))
    return [folder for _, folder in sorted(found)]


def describe_runs(task: str, cfg: ZprlRunnerCfg, runs: Sequence[Path], figure: Path, video: Path, page: Path) -> str:
    """Return the section with the results of finished runs, and draw their learning curves.

    Args:
        task: Task id.
        cfg: Their method and learner, which are the task's own.
        runs: Their folders; if there is none, the section says how to get one.
        figure: PNG file to write.
        video: Picture of base beside steered policy, which is shown if it exists.
        page: The page, to which the links are relative.
    """
    if not runs:
        return (
            f"## Results\n\nNo run is documented here yet. This trains one and writes it here:\n\n{_training(task, [])}"
        )
    results = load_results(runs)
    episodes = sorted({result[policy]["episodes"] for result in results for policy in ("base", "steered")})
    parts = [
        "## Results",
        f"The task's own learner, `--method {cfg.method} --algo {cfg.algo}`, with its settings. Success is over "
        f"{' or '.join(map(str, episodes))} episodes that no training has seen, with Wilson's 95 % interval.",
        summarize(runs, figure),
        f"![Learning curves]({figure.relative_to(page.parent)})",
    ]
    if video.is_file():
        parts.append(f"![The base policy beside the steered one]({video.relative_to(page.parent)})")
    seeds = sorted({result["seed"] for result in results})
    return "\n\n".join([*parts, "The same again:", _training(task, seeds)])


# -- what the configuration says ---------------------------------------------------------------------------------------


def _what_it_is(kind: type) -> str:
    """Return what the configuration's own classes and the module of their family say."""
    own = [cls for cls in kind.__mro__ if not cls.__module__.startswith(("zprl.tasks.common", "isaaclab", "builtins"))]
    texts = [cls.__doc__ for cls in own] + [inspect.getmodule(own[-1]).__doc__ if own else None]
    return "\n\n".join(_plain(text) for text in texts if text)


def _facts(session: TaskSession, env: IsaacLabEnv) -> str:
    from zprl.sim.isaaclab.task_env import SUCCESS_TERM

    cfg: Any = env.unwrapped.cfg
    spec, described = env.spec, env.describe()
    substeps = cfg.decimation * getattr(cfg.sim.physics, "num_substeps", 1)
    rows = [
        ("time limit", f"{cfg.episode_length_s:g} s, {env.max_episode_length} control steps"),
        ("control rate", f"{1.0 / spec.step_dt:g} Hz"),
        ("physics", f"{session.physics}, {1000 * spec.step_dt / substeps:g} ms, {substeps} steps per control step"),
        ("reward", "1 per success, nothing before"),
    ]
    others = {
        name: term for name, term in vars(cfg.terminations).items() if name not in (SUCCESS_TERM, "time_out") and term
    }
    rows += [(f"ends early: `{name}`", _summary(term.func)) for name, term in others.items()]
    cameras = {(name, name): describe_camera(camera) for name, camera in described.cameras.items()}
    observed = [
        (f"`{group.name}`", f"`{feature.name}`", _shape(feature.shape), text)
        for group in spec.groups
        for feature in group.features
        for key in [(group.name, feature.name)]
        for text in [cameras.get(key) or _text(described.observations, key)]
    ]
    acted = [
        (f"`{t.name}`", str(len(t.low)), _limits(t), _numbers(t.idle), _text(described.actions, t.name))
        for t in spec.actions
    ]
    success = cfg.terminations.success
    presets = _presets(session.task)
    parts = [
        "## Facts\n\nLengths are in m, angles in rad, times in s, masses in kg.",
        markdown_table(("", ""), rows),
        "### Observations",
        markdown_table(("group", "term", "size", "what"), observed),
        "### Actions",
        markdown_table(("term", "size", "limits", "idle", "what"), acted),
        f"### Success\n\n{_summary(success.func)}",
        markdown_table(
            ("parameter", "value"), [(f"`{k}`", describe_value(v)) for k, v in sorted(success.params.items())]
        ),
        "### Drawn at every reset",
        markdown_table(("term", "what", "with"), _events(cfg.events)),
    ]
    if presets:
        parts += [
            "### Randomisation\n\nWhat `presets=NAME` adds to that, anew for every episode.",
            markdown_table(("preset", "term", "with"), presets),
        ]
    return "\n\n".join([*parts, _disturbances(session.task)])


def describe_camera(camera: CameraDescription) -> str:
    """Return what a camera's images show and where it is, in words."""
    what = {"rgb": "colours", "depth": "depth in m"}[camera.content]
    angle = math.degrees(2 * math.atan(camera.cx / camera.fx))
    place = f"on {camera.body}" if camera.body else f"at ({', '.join(f'{x:g}' for x in camera.position)}) m"
    return f"{what}, by a camera {place}, {angle:.0f} degrees wide, drawn by the {camera.renderer} renderer"


def _events(events: Any, skipped: Iterable[str] = ()) -> list[tuple[str, str, str]]:
    """Return the terms of a configuration of events that act at a reset."""
    terms = {name: term for name, term in vars(events).items() if getattr(term, "mode", None) == "reset"}
    return [
        (f"`{name}`", _summary(term.func), _values(term.params)) for name, term in terms.items() if name not in skipped
    ]


def _presets(task: str) -> list[tuple[str, str, str]]:
    """Return what each preset of the events adds to the default ones."""
    from isaaclab_tasks.utils import PresetCfg, load_cfg_from_registry

    from zprl.sim.isaaclab.quiet import simulator_speaks

    with simulator_speaks():
        events: Any = load_cfg_from_registry(task, "env_cfg_entry_point").events  # type: ignore[union-attr]
    if not isinstance(events, PresetCfg):
        return []
    known, rows = vars(vars(events)["default"]), []
    for preset, chosen in vars(events).items():
        rows += [(f"`{preset}`", term, values) for term, _, values in _events(chosen, known)]
    return rows


def _disturbances(task: str) -> str:
    from zprl.robustness.catalogue import DISTURBANCES, REFERENCE, disturbances_of

    own = disturbances_of(task)
    general = ", ".join(f"`{name}`" for name in DISTURBANCES if name != REFERENCE)
    parts = ["### Disturbances", f"`scripts/sim2real.py` knows {general}."]
    if own:
        parts += ["This task brings along:", markdown_table(("name", "what", "with"), _own_disturbances(own))]
    return "\n\n".join(parts)


def _own_disturbances(own: Mapping[str, Disturbance]) -> list[tuple[str, str, str]]:
    return [(f"`{name}`", _summary(type(d)), _values(dataclasses.asdict(d))) for name, d in own.items()]


def _expert(task: str) -> str:
    """Return the section on the expert, if there is one."""
    from zprl.tasks.experts import expert_cfg_of
    from zprl.utils.errors import ZprlError

    try:
        cfg = expert_cfg_of(task)
    except ZprlError:
        return "## Expert\n\nThere is none; demonstrations come from `--dataset_file`."
    parts = [f"## Expert\n\n{_plain(type(cfg).__doc__ or '')}"]
    if hasattr(cfg, "noise_scale"):
        noise = cfg.noise("mixed")
        rows = [
            (
                f"`{field.name}`",
                describe_value(getattr(cfg.mixed, field.name)),
                describe_value(getattr(noise, field.name)),
            )
            for field in dataclasses.fields(noise)
        ]
        parts += [
            f"Its quality `mixed` errs by its noise times `noise_scale`, which is {cfg.noise_scale:g}:",
            markdown_table(("", "noise", "scaled"), rows),
        ]
    parts += [
        _commands(
            f"python scripts/play.py --task {task} --policy expert --video expert.mp4",
            f"python scripts/collect_demos.py --task {task} --quality expert --dataset_file expert.hdf5",
            f"python scripts/calibrate_task.py --task {task} --target 0.5",
        )
    ]
    return "\n\n".join(parts)


def _commands(*lines: str) -> str:
    return "\n".join(["```bash", *lines, "```"])


def _training(task: str, seeds: Sequence[int]) -> str:
    runs = [f"python scripts/train.py --task {task} --seed {seed}" for seed in seeds or [0]]
    return _commands(*runs, f"python scripts/document_task.py --task {task}")


# -- words and numbers -------------------------------------------------------------------------------------------------


def _plain(doc: str) -> str:
    """Return a docstring as Markdown."""
    doc = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", inspect.cleandoc(doc))
    return doc.replace("``", "`")


def _summary(of: Any) -> str:
    """Return the first paragraph of what a function or a class says of itself, in one line."""
    from isaaclab.utils.string import string_to_callable

    doc = inspect.getdoc(string_to_callable(str(of)) if isinstance(of, str) else of) or ""
    return " ".join(_plain(doc).partition("\n\n")[0].split())


def _text(descriptions: Mapping[Any, Any], key: Any) -> str:
    return descriptions[key].text if key in descriptions else ""


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _limits(term: ActionTerm) -> str:
    pairs = sorted(set(zip(term.low, term.high, strict=True)))
    return ", ".join(f"{low:g} to {high:g}" for low, high in pairs)


def _numbers(values: Sequence[float]) -> str:
    same = len(set(values)) == 1
    return f"{values[0]:g}" if same else ", ".join(f"{value:g}" for value in values)


def _values(params: Mapping[str, Any]) -> str:
    return ", ".join(
        f"`{name}` {describe_value(value)}" for name, value in params.items() if value not in (None, "", {})
    )


def describe_value(value: Any) -> str:
    """Return a parameter as a reader wants it: without what a float hides, and a thing of the scene by its name.

    Of parameters by the names of things, each thing's are listed.
    """
    from isaaclab.managers import SceneEntityCfg

    if isinstance(value, SceneEntityCfg):
        parts = value.body_names or value.joint_names
        return f"{value.name} ({', '.join([parts] if isinstance(parts, str) else parts)})" if parts else value.name
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        inner = [describe_value(element) for element in value]
        return f"{inner[0]} to {inner[1]}" if len(inner) == 2 else f"({', '.join(inner)})"
    if isinstance(value, dict) and any(isinstance(inner, dict) for inner in value.values()):
        return "; ".join(f"{name}: {_values(inner)}" for name, inner in value.items())
    return str(value)
