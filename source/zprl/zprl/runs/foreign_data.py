# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Data sets of others, brought once into this project's own form, in which everything else reads them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zprl.data import Demonstrations, existing_dataset, load_demonstrations, says_its_spec, write_demonstrations
from zprl.runs import paths
from zprl.utils.outputs import check_files

if TYPE_CHECKING:
    from zprl.runs.session import TaskSession


def own_form(session: TaskSession, dataset: Path) -> Path:
    """Return where a data set is in this project's own form: itself if it is of that, else where it is imported to.

    Args:
        session: The task.
        dataset: The data set.

    Raises:
        ZprlError: If there is none.
    """
    dataset, cfg = existing_dataset(dataset), session.agent_cfg
    if not dataset.is_dir() and says_its_spec(dataset) and not cfg.dataset_names.filter_key:
        return dataset
    return paths.imported_path(session.task, cfg.dataset_names, cfg.policy.observation_groups, session.env_cfg, dataset)


def import_dataset(session: TaskSession, dataset: Path) -> Path:
    """Return a data set in this project's own form, importing it if it is not there, inside ``session.launched()``.

    Args:
        session: The task.
        dataset: The data set.

    Raises:
        ZprlError: If it cannot be read or does not fit the task.
    """
    path = own_form(session, dataset)
    if path.is_file():
        if path != dataset:
            print(f"demonstrations: found {dataset} as {path}")
        return path
    check_files({"the data set": path})
    demos = load_for_task(session, dataset)
    write_demonstrations(path, demos)
    print(f"demonstrations: imported {dataset} as {path}")
    return path


def load_for_task(session: TaskSession, dataset: Path) -> Demonstrations:
    """Read a data set by the names of a session's task, and print how they are understood.

    Args:
        session: The task, inside :meth:`TaskSession.launched` if the data set does not say its spec.
        dataset: The data set.

    Raises:
        ZprlError: If it cannot be read or does not fit the task.
    """
    spec, cfg = None, session.agent_cfg
    if not says_its_spec(dataset):
        with session.environment(1) as env:
            spec = env.spec
    demos = load_demonstrations(dataset, spec, cfg.dataset_names, cfg.policy.observation_groups)
    for note in demos.notes:
        print(f"data set {dataset}: {note}")
    return demos
