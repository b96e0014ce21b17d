# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Where files live, and the keys by which a run finds what an earlier one made.

A key is a hash of all settings that shape the content, so a changed setting makes a new file and an unchanged one is
reused, whatever else differs.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zprl.data import dataset_checksum
from zprl.policies import EVALUATION_FIELDS, INFERENCE_FIELDS
from zprl.rl.checkpoint import RUN_BASE
from zprl.rl.checkpoint_files import checkpoints
from zprl.utils.configclass import class_to_dict, is_configclass
from zprl.utils.errors import ZprlError
from zprl.utils.files import checksum, content_key, existing_file, load_json, remove_leftovers
from zprl.utils.outputs import LOCK, check_name, exclusive

if TYPE_CHECKING:
    from zprl.data import DatasetNamesCfg
    from zprl.rl.runner_cfg import DemonstrationsCfg, ZprlRunnerCfg

DATASETS = Path("datasets")
LOGS = Path("logs")

BASE_POLICY = "base_policy.safetensors"
"""Name of every base policy's file."""

_NO_INFLUENCE = {
    *("num_envs", "device", "seed", "log_dir", "recorders", "video_recorders", "viewer", "visualizer_cfgs"),
    *("threads", "workers", "tracked_terms", "joint_terms", "disturbance_targets", "robot_cameras", "any_renderer"),
}
"""Fields of an environment's configuration that do not change what a demonstration looks like."""


def env_settings(env_cfg: Any) -> Any:
    """Return an environment's configuration as plain values, without what has no influence on its episodes."""
    if is_configclass(type(env_cfg)):
        values = class_to_dict(env_cfg)
    else:
        from isaaclab.utils import class_to_dict as isaaclab_to_dict

        values = isaaclab_to_dict(env_cfg)

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(k): plain(v) for k, v in sorted(value.items(), key=str) if k not in _NO_INFLUENCE}
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        if isinstance(value, bool | int | float | str) or value is None:
            # The asset's folder depends on where the project lies; its content is what counts.
            return Path(value).name if isinstance(value, str) and value.startswith("/") else value
        if callable(value):
            return f"{value.__module__}:{getattr(value, '__qualname__', type(value).__qualname__)}"
        return type(value).__name__

    return plain(values)


def demonstrations_path(task: str, cfg: DemonstrationsCfg, env_cfg: Any, expert_cfg: Any) -> Path:
    """Return the data set of some settings."""
    key = content_key(
        {"task": task, "demos": class_to_dict(cfg), "env": env_settings(env_cfg), "expert": class_to_dict(expert_cfg)}
    )
    return DATASETS / task / f"{cfg.quality}_{cfg.num_demos}_seed{cfg.seed}_{key}.hdf5"


def imported_path(task: str, names: DatasetNamesCfg, groups: Sequence[str], env_cfg: Any, dataset: Path) -> Path:
    """Return where a data set of others is in this project's own form, as some settings read it."""
    seen = {"groups": list(groups), "env": env_settings(env_cfg), "names": class_to_dict(names)}
    key = content_key({"task": task, "dataset": dataset_checksum(dataset), **seen})
    return DATASETS / task / f"{dataset.resolve().stem}_{key}.hdf5"


def base_policy_path(task: str, agent_cfg: ZprlRunnerCfg, dataset: Path) -> Path:
    """Return the base policy that some settings train on a data set."""
    policy = {name: value for name, value in class_to_dict(agent_cfg.policy).items() if name not in INFERENCE_FIELDS}
    pretrain = class_to_dict(agent_cfg.pretrain)
    for name in EVALUATION_FIELDS:
        del pretrain[name]
    if weights := pretrain["encoder_weights"]:
        pretrain["encoder_weights"] = checksum(existing_file(weights, "encoder weights"))
    key = content_key({"dataset": checksum(dataset), "policy": policy, "pretrain": pretrain})
    return LOGS / "base_policy" / task / f"{dataset.stem.rsplit('_', 1)[0]}_{key}" / BASE_POLICY


def experiment_dir(experiment_name: str) -> Path:
    """Return the folder of an experiment's runs, where Isaac Lab puts them.

    Raises:
        ZprlError: If the name is a path that may lead elsewhere.
    """
    return LOGS / "rsl_rl" / check_name("agent.experiment_name", experiment_name)


def new_run_dir(experiment_name: str, run_name: str = "") -> Path:
    """Make the folder of a run that starts now, which no other run gets.

    Raises:
        OSError: If it cannot be made.
        ZprlError: If a name is a path that may lead elsewhere.
    """
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    name = f"{stamp}_{check_name('agent.run_name', run_name)}" if run_name else stamp
    folder = experiment_dir(experiment_name)
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in itertools.count():
        path = folder / (f"{name}-{suffix}" if suffix else name)
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            return path
    raise AssertionError("the numbers have ended")


@contextlib.contextmanager
def claimed_run_dir(given: Path | None, experiment_name: str, run_name: str = "") -> Iterator[Path]:
    """Hold the folder of a run while the block lasts, so that no other training writes to it.

    What a killed run has left of files that it was writing is removed. If the block fails before it writes anything,
    a folder that is new goes again.

    Args:
        given: The folder, or None for a new one.
        experiment_name: Experiment of a new one.
        run_name: Name of a new one, or "".

    Raises:
        OSError: If it cannot be made.
        ZprlError: If another training holds it, or a name is a path that may lead elsewhere.
    """
    is_new = given is None or not given.exists()
    folder = new_run_dir(experiment_name, run_name) if given is None else given
    with exclusive(folder, "another training", "wait for it or stop it, or choose another folder"):
        for place in (folder, (folder / RUN_BASE).parent):
            remove_leftovers(place, age=0.0)
        try:
            yield folder
        finally:
            (folder / LOCK).unlink(missing_ok=True)
            if is_new and not any(folder.iterdir()):
                folder.rmdir()


def latest_checkpoint(task: str, experiment_name: str) -> Path:
    """Return the newest checkpoint of the run of a task that was trained last, wherever it began.

    Raises:
        ZprlError: If there is none, or that run has none yet.
    """
    folder = experiment_dir(experiment_name)
    runs = [
        manifest.parent
        for manifest in folder.glob("*/run.json")
        if load_json(manifest, "run manifest", {}).get("task") == task
    ]

    def last_written(run: Path) -> int:
        return max(path.stat().st_mtime_ns for path in (run / "run.json", *checkpoints(run)[-1:]))

    if runs:
        run = max(runs, key=last_written)
        if found := checkpoints(run):
            return found[-1]
        raise ZprlError(
            f"the run of task {task} that was started last, {run}, has no checkpoint yet; wait for it, begin it again "
            f"by `train --run_dir {run}`, remove it, or name a checkpoint by its path."
        )
    raise ZprlError(
        f"there is no checkpoint of task {task} below {folder}; "
        f"{_older(folder, 'model_*.pt') or f'train one with scripts/train.py --task {task}'}."
    )


def latest_base_policy(task: str) -> Path:
    """Return the newest base policy of a task.

    Raises:
        ZprlError: If there is none.
    """
    folder = LOGS / "base_policy" / task
    found = sorted(folder.glob(f"*/{BASE_POLICY}"), key=lambda p: p.stat().st_mtime)
    if not found:
        hint = _older(folder, "base_policy.pt") or "train one with scripts/pretrain.py"
        raise ZprlError(f"there is no base policy of task {task} below {folder}; {hint}.")
    return found[-1]


def _older(folder: Path, pattern: str) -> str:
    """Return what to do with files of an older version, if there are any."""
    found = sorted(folder.glob(f"*/{pattern}"), key=lambda path: path.stat().st_mtime)
    return f"convert that of an older version with scripts/convert.py {found[-1]}" if found else ""
