# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Start Isaac Lab's simulator from a script: runtime settings and the environment.

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
import functools
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zprl.sim.isaaclab.quiet import no_garbage, simulator_speaks, verbose
from zprl.utils.errors import ZprlError, one_sentence

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv, ManagerBasedRLEnvCfg


_ignored: Literal["", "environment", "modules"] = ""
"""What the garbage collector no longer looks at: the modules' millions of objects, and the first environment.

Looking at them takes a second, and Isaac Lab lets it look whenever an environment closes. Most processes make one
environment, which may then stay as well; the next one makes it collect the first.
"""


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
    if not verbose():
        warp.config.log_level = warp.LOG_WARNING
    if device == "cpu":
        # The networks are so small that handing work to a second thread takes longer than doing it: a PPO update was
        # 50 times slower with two threads. Warp runs its kernels on one core in any case.
        torch.set_num_threads(1)
        if not torch.cuda.is_available():
            _do_without_pinned_memory(warp)
    if _kernel_cache_is_cold(warp.config):
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

    from zprl.sim.isaaclab.kernel_launches import repeated_launches

    env_cfg.sim.device = device
    args = argparse.Namespace(device=device, headless=viz is None, enable_cameras=False, visualizer=viz or "none")
    simulation = launch_simulation(env_cfg, args)
    with simulator_speaks():
        try:
            simulation.__enter__()
        except (ImportError, ValueError, RuntimeError) as error:
            raise ZprlError(f"the simulator cannot start: {one_sentence(error)}") from error
    try:
        with repeated_launches() if device == "cpu" else contextlib.nullcontext():
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

    global _ignored
    if _ignored == "environment":  # the first one, closed by now
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        _ignored = "modules"
    with simulator_speaks(), no_garbage():
        env = gymnasium.make(task, cfg=env_cfg).unwrapped
    if not _ignored:
        gc.freeze()
        _ignored = "environment"
    return env  # pyright: ignore[reportReturnType]


def close_env(env: ManagerBasedRLEnv | None = None) -> None:
    """Close an environment and the simulation it ran in, so that another can be made.

    Args:
        env: The environment, or None to close only the simulation.
    """
    from isaaclab.sim import SimulationContext

    with simulator_speaks():
        if env is not None:
            env.close()
        SimulationContext.clear_instance()


def _kernel_cache_is_cold(config: Any) -> bool:
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    default = os.path.join(os.environ.get("WARP_CACHE_PATH") or os.path.join(home, "warp"), config.version)
    folder = Path(config.kernel_cache_dir or default)
    # Newton alone fills dozens of entries, so a handful is the start of a run that was broken off.
    return not folder.is_dir() or sum(1 for _ in folder.iterdir()) < 10
