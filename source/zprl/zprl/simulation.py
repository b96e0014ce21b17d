# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Start Isaac Lab's simulator from a script: runtime settings, a task's configuration, the environment, its output.

.. code-block:: python

    device = check_device("cpu")
    configure_runtime(device)
    env_cfg, agent_cfg = resolve_task("Zprl-Lift-Franka", "rsl_rl_cfg_entry_point", ["env.scene.num_envs=64"])
    with quiet_simulator(), launched(env_cfg, device):
        env = make_env("Zprl-Lift-Franka", env_cfg)
        ...
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import difflib
import functools
import gc
import io
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zprl.errors import ZprlError

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv, ManagerBasedRLEnvCfg

SELECTORS = ("physics", "renderer", "presets")
"""Override keys that choose among a task's presets instead of setting one option."""


def check_device(device: str) -> str:
    """Return the device if this machine has it.

    Args:
        device: "cpu", "cuda" or "cuda:N".

    Raises:
        ZprlError: If it is none of these, or there is no such GPU.
    """
    match = re.fullmatch(r"cpu|cuda(?::(\d+))?", device)
    if match is None:
        raise ZprlError(f"device '{device}' is unknown; choose cpu, cuda or cuda:N.")
    if device == "cpu":
        return device
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(match[1] or 0) >= count:
        found = f"only {count} GPU{'s' if count > 1 else ''}" if count else "no usable NVIDIA GPU"
        raise ZprlError(f"device '{device}' was asked for, but PyTorch finds {found} on this machine; use device cpu.")
    return device


def configure_runtime(device: str) -> None:
    """Choose the settings of Warp and PyTorch that cannot be changed later.

    Call it before the first import of Isaac Lab or Newton.

    Args:
        device: What :func:`check_device` returned.
    """
    import torch
    import warp

    # The simulator never differentiates its kernels. Without gradients they compile in about half the time, but only
    # if Warp knows before Newton defines them.
    warp.config.enable_backward = False
    if not _verbose():
        warp.config.log_level = warp.LOG_WARNING
    if device == "cpu":
        # The networks are so small that handing work to a second thread takes longer than doing it: a PPO update was
        # 50 times slower with two threads. Warp runs its kernels on one core in any case.
        torch.set_num_threads(1)
        if not torch.cuda.is_available():
            _do_without_pinned_memory(warp)
    if _kernel_cache_is_cold(Path(warp.config.kernel_cache_dir or _default_kernel_cache(warp.config.version))):
        print("Compiling the simulator's kernels; this happens once and takes one to two minutes.", file=sys.stderr)


def _do_without_pinned_memory(warp: Any) -> None:
    """Let Warp give ordinary memory where pinned memory is asked for, which only a CUDA driver can give.

    Isaac Lab's OvPhysX backend asks for it on the CPU too, where it serves nothing.
    """
    if hasattr(warp.empty, "__wrapped__"):
        return
    for name in ("empty", "full", "zeros"):
        original = getattr(warp, name)

        @functools.wraps(original, updated=())
        def unpinned(*args: Any, _original: Any = original, pinned: bool = False, **options: Any) -> Any:
            return _original(*args, **options)

        setattr(warp, name, unpinned)


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
        ZprlError: If the task, the learner, an option, its value's type or a preset does not exist.
    """
    with quiet_simulator(), _no_garbage():
        return _resolve_task(task, agent_entry_point, overrides, play_mode, configure)


def _resolve_task(
    task: str,
    agent_entry_point: str | None,
    overrides: Sequence[str],
    play_mode: bool,
    configure: Callable[[Any], None] | None,
) -> Any:
    import gymnasium

    import isaaclab_tasks  # noqa: F401 - registers Isaac Lab's own tasks
    from isaaclab_tasks.utils import resolve_task_config

    import zprl.tasks  # noqa: F401 - registers this project's tasks

    if task not in gymnasium.registry:
        known = [name for name in gymnasium.registry if name.startswith(("Zprl-", "Isaac"))]
        raise ZprlError(f"there is no task '{task}'{_did_you_mean(task, known, 'scripts/list_tasks.py lists all')}.")
    kwargs = gymnasium.registry[task].kwargs
    if agent_entry_point and agent_entry_point not in kwargs:
        agents = sorted(key for key in kwargs if key.endswith("_cfg_entry_point") and key != "env_cfg_entry_point")
        raise ZprlError(f"task '{task}' has no '{agent_entry_point}'; it has {', '.join(agents) or 'no learner'}.")

    parsed = [_split_override(override) for override in overrides]
    try:
        with _simulator_speaks(), _configured(task, agent_entry_point, configure) as agent_entry_point:
            preset_paths = _preset_paths(task, agent_entry_point)
            choices = [
                override
                for override, (key, value) in zip(overrides, parsed, strict=True)
                if key in SELECTORS or (key in preset_paths and isinstance(value, str))
            ]
            env_cfg, agent_cfg = resolve_task_config(task, agent_entry_point, overrides=choices)
            reference = {"env": env_cfg, "agent": agent_cfg}
            for override, (key, value) in zip(overrides, parsed, strict=True):
                if override not in choices:
                    _check_option(override, key, value, reference)
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


def list_tasks(keyword: str = "Zprl") -> str:
    """Return a table of the tasks with a scripted expert or a ZPRL learner: id, robot, episode, learners and presets.

    Args:
        keyword: Part of the ids to list; case does not matter.

    Raises:
        ZprlError: If no task matches.
    """
    with quiet_simulator():
        return _list_tasks(keyword)


def _list_tasks(keyword: str) -> str:
    import gymnasium
    from prettytable import PrettyTable

    import zprl.tasks  # noqa: F401 - registers this project's tasks

    table = PrettyTable(["Task", "Robot", "Episode", "Agents (--agent)", "Presets"], align="l")
    for spec in gymnasium.registry.values():
        if keyword.lower() not in spec.id.lower() or "zprl_cfg_entry_point" not in spec.kwargs:
            continue
        env_cfg, _ = resolve_task(spec.id, None)
        robot = getattr(env_cfg.scene, "robot", None)
        with _simulator_speaks():
            presets = _preset_paths(spec.id, None).values()
        table.add_row(
            [
                spec.id,
                Path(robot.spawn.usd_path).stem if robot is not None else "-",
                f"{env_cfg.episode_length_s:g} s at {1 / (env_cfg.sim.dt * env_cfg.decimation):g} Hz",
                "\n".join(
                    key for key in spec.kwargs if key.endswith("_cfg_entry_point") and key != "env_cfg_entry_point"
                ),
                "\n".join(sorted({name for names in presets for name in names} - {"default"})),
            ]
        )
    if not table.rows:
        raise ZprlError(f"no task of this project has '{keyword}' in its id.")
    return table.get_string()


@contextlib.contextmanager
def launched(env_cfg: ManagerBasedRLEnvCfg, device: str, viz: str | None = None) -> Iterator[None]:
    """Run the simulator that a configuration needs; on leaving, close what is still open.

    Environments can be made one after another, in one block or in several, but only one is open at a time. Closing is
    idempotent, so the caller may also close an environment itself, with :func:`close_env`.

    Args:
        env_cfg: The environment's configuration; its device is set here.
        device: What :func:`check_device` returned.
        viz: Isaac Lab's visualizer, such as "newton_gl", or None.

    Raises:
        ZprlError: If the configuration needs a runtime that is not installed, or two that exclude each other.
    """
    from isaaclab.app import launch_simulation

    env_cfg.sim.device = device
    args = argparse.Namespace(device=device, headless=viz is None, enable_cameras=False, visualizer=viz or "none")
    simulation = launch_simulation(env_cfg, args)
    with _simulator_speaks():
        try:
            simulation.__enter__()
        except (ImportError, ValueError, RuntimeError) as error:
            raise ZprlError(f"the simulator cannot start: {_one_sentence(error)}") from error
    try:
        yield
    except BaseException as error:
        close_env()
        # Isaac Lab prints the traceback of every exception here, also of those that are mere messages to the user, and
        # so would the interpreter once more. Of an exit it only takes the status, and so ends Isaac Sim with it.
        with contextlib.suppress(SystemExit):
            status = 130 if isinstance(error, KeyboardInterrupt) else 2 if isinstance(error, ZprlError) else 1
            stand_in = SystemExit(status)
            simulation.__exit__(SystemExit, stand_in, error.__traceback__)
        raise
    close_env()
    simulation.__exit__(None, None, None)


def make_env(task: str, env_cfg: ManagerBasedRLEnvCfg) -> ManagerBasedRLEnv:
    """Return a new environment; the one before it, if any, must be closed.

    Args:
        task: Task id.
        env_cfg: What :func:`resolve_task` returned, inside :func:`launched`.
    """
    import gymnasium

    with _simulator_speaks(), _no_garbage():
        env = gymnasium.make(task, cfg=env_cfg).unwrapped
    gc.freeze()  # until close_env(): what is there now stays
    return env  # pyright: ignore[reportReturnType]


def close_env(env: ManagerBasedRLEnv | None = None) -> None:
    """Close an environment and the simulation it ran in, so that another can be made.

    Args:
        env: The environment, or None to close only the simulation.
    """
    from isaaclab.sim import SimulationContext

    with _simulator_speaks():
        gc.unfreeze()
        if env is not None:
            env.close()
        SimulationContext.clear_instance()


@contextlib.contextmanager
def quiet_simulator() -> Iterator[None]:
    """Keep the simulator's banners, tables and repeated messages from the terminal, but none of its warnings.

    Much of it is printed by compiled kernels, which know nothing of Python's streams. So the process's file descriptors
    1 and 2 lead to :mod:`zprl.noise_filter`, while ``sys.stdout`` and ``sys.stderr`` keep their way to the terminal:
    what the script itself prints appears at once and unchanged. With ``ZPRL_VERBOSE=1`` everything is shown.
    """
    if _verbose() or _Quiet.active is not None:
        yield
        return
    quiet = _Quiet()
    try:
        yield
    finally:
        quiet.close()


class _Quiet:
    """The process's output while it is filtered."""

    active: _Quiet | None = None

    def __init__(self) -> None:
        _flush()
        self._streams = sys.stdout, sys.stderr
        self._saved = os.dup(1), os.dup(2)
        # Streams that do not write to the descriptors, such as those of a test that captures them, stay as they are.
        sys.stdout = _follow(sys.stdout, 1, self._saved[0])
        sys.stderr = _follow(sys.stderr, 2, self._saved[1])
        script = Path(__file__).with_name("noise_filter.py")
        self._process = subprocess.Popen([sys.executable, "-I", "-S", str(script)], stdin=subprocess.PIPE)
        assert self._process.stdin is not None
        os.dup2(self._process.stdin.fileno(), 1)
        os.dup2(self._process.stdin.fileno(), 2)
        self._process.stdin.close()
        # What Isaac Lab prints from Python takes the same way; see _simulator_speaks().
        self.simulator_stream = os.fdopen(os.dup(1), "w", buffering=1, errors="replace")
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        # Every module that Isaac Lab itself calls in an outdated way; users cannot act on it.
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"isaaclab|newton|warp|mujoco")
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"isaaclab|newton|warp|mujoco")
        _Quiet.active = self

    def close(self) -> None:
        """Restore everything and wait until the filter has said its last words."""
        _Quiet.active = None
        self._warnings.__exit__(None, None, None)
        self.simulator_stream.close()
        _flush()
        for descriptor, saved in zip((1, 2), self._saved, strict=True):
            os.dup2(saved, descriptor)
        for stream, original in zip((sys.stdout, sys.stderr), self._streams, strict=True):
            if stream is not original:
                stream.flush()
        sys.stdout, sys.stderr = self._streams
        # Not waited for longer: a child process that still runs holds the descriptors, and the filter, open.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5.0)
        # self._saved stays open: a logging handler may have kept the stream that writes to it.


def _follow(stream: Any, descriptor: int, saved: int) -> Any:
    """Return the stream, or one that writes to ``saved`` if the stream writes to ``descriptor``."""
    try:
        if stream.fileno() != descriptor:
            return stream
    except (AttributeError, OSError, ValueError):
        return stream
    return io.TextIOWrapper(
        os.fdopen(saved, "wb", closefd=False),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=True,
        write_through=True,
    )


@contextlib.contextmanager
def _simulator_speaks() -> Iterator[None]:
    """Send what Python prints through the filter too, while the simulator starts or stops."""
    if _Quiet.active is None:
        yield
        return
    stream = _Quiet.active.simulator_stream
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        yield
    stream.flush()


@contextlib.contextmanager
def _no_garbage() -> Iterator[None]:
    """Do not look for garbage while the simulator loads: it makes millions of objects, and all of them stay."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    ctypes.CDLL(None).fflush(None)  # the buffers of the C library, which kernels print through


def _verbose() -> bool:
    return os.environ.get("ZPRL_VERBOSE", "") not in ("", "0")


def _default_kernel_cache(version: str) -> str:
    return os.path.join(
        os.environ.get("WARP_CACHE_PATH")
        or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "warp"),
        version,
    )


def _kernel_cache_is_cold(folder: Path) -> bool:
    # Newton alone fills dozens of entries, so a handful is the start of a run that was broken off.
    return not folder.is_dir() or sum(1 for _ in folder.iterdir()) < 10


def _split_override(override: str) -> tuple[str, Any]:
    from isaaclab_tasks.utils.hydra import _parse_val

    key, separator, value = override.partition("=")
    if not separator or not value or not (key in SELECTORS or key.startswith(("env.", "agent."))):
        raise ZprlError(
            f"'{override}' is no override; write env.NAME=VALUE, agent.NAME=VALUE, physics=NAME, renderer=NAME or"
            " presets=NAME."
        )
    return key, value if key in SELECTORS else _parse_val(value)


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


def _check_option(override: str, key: str, value: Any, reference: Mapping[str, Any]) -> None:
    """Raise a :class:`ZprlError` if an override sets an option that does not exist, or a value of the wrong type."""
    section, *path = key.split(".")
    node = reference[section]
    if node is None:
        raise ZprlError(f"'{override}' cannot be applied: no learner is configured here.")
    walked = section
    for name in path:
        options = node if isinstance(node, Mapping) else getattr(node, "__dataclass_fields__", {})
        if name not in options and name not in getattr(node, "__dict__", {}):
            names = [str(option) for option in options]
            raise ZprlError(f"'{override}': {walked} has no option '{name}'{_did_you_mean(name, names)}.")
        node = node[name] if isinstance(node, Mapping) else getattr(node, name)
        walked = f"{walked}.{name}"
    if not _same_type(node, value):
        raise ZprlError(f"'{override}': {walked} must be {_kind(node)}.")


def _same_type(old: Any, new: Any) -> bool:
    if old is None or new is None:
        return True
    if isinstance(old, bool) or isinstance(new, bool):
        return isinstance(old, bool) and isinstance(new, bool)
    if isinstance(old, float):
        return isinstance(new, int | float)
    if isinstance(old, int):
        return isinstance(new, int)
    if isinstance(old, list | tuple):
        return isinstance(new, list | tuple)
    # A group of options is set option by option: replacing it would lose its defaults.
    return not (isinstance(old, Mapping) or hasattr(old, "__dataclass_fields__"))


def _kind(value: Any) -> str:
    """Return what a value is, for a message."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int):
        return f"an integer, such as {value}"
    if isinstance(value, float):
        return f"a number, such as {value}"
    if isinstance(value, list | tuple):
        return f"a list, such as {list(value)}"
    return "set option by option"


def _preset_problem(task: str, error: ValueError, preset_paths: Mapping[str, list[str]]) -> str:
    """Reduce Isaac Lab's report on an unknown preset, which lists every path of the task, to one sentence."""
    names = sorted({name for presets in preset_paths.values() for name in presets} - {"default"})
    return f"task '{task}': {_one_sentence(error)}; its presets are {', '.join(names) or 'none'}."


def _one_sentence(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].split(". ")[0].rstrip(".:; ") if lines else type(error).__name__


def _did_you_mean(name: str, known: Sequence[str], otherwise: str = "") -> str:
    by_lower_case = {candidate.lower(): candidate for candidate in known}
    close = [by_lower_case[m] for m in difflib.get_close_matches(name.lower(), list(by_lower_case), n=3, cutoff=0.5)]
    if close:
        return f" (did you mean {' or '.join(filter(None, [', '.join(close[:-1]), close[-1]]))}?)"
    return f"; {otherwise}" if otherwise else ""
