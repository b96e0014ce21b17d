# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Reading of HDF5 files of the form of :mod:`zprl.data.hdf5` that others wrote: robomimic, robosuite, Isaac Lab Mimic.

They have no attribute ``zprl``, so that a task says what stands where. Rewards, dones and the attribute ``success`` may
be missing; without the last one, an episode with a reward above zero has succeeded.
"""

from __future__ import annotations

from collections.abc import Iterable

import h5py
import numpy as np

from zprl.data.demonstrations import Demonstration, Demonstrations
from zprl.data.hdf5_file import Hdf5File
from zprl.data.names import DatasetNamesCfg, NameMap, Namer
from zprl.spec import Feature, Group, TaskSpec

ACTIONS = "actions"
"""The usual key of the actions; others stand beside it, not below ``obs``."""


def read_robomimic(
    file: Hdf5File, spec: TaskSpec, cfg: DatasetNamesCfg | None = None, groups: Iterable[str] | None = None
) -> Demonstrations:
    """Read a file by the names of a task.

    Args:
        file: The file.
        spec: The task's spec.
        cfg: Names that the task's configuration gives.
        groups: Groups that must be there, or None for all.

    Raises:
        ZprlError: If the file is damaged or does not fit the task.
    """
    namer = Namer(f"the demonstration file {file.path}", spec, cfg, groups)
    names = file.demo_names()
    first = file.member(file.data, names[0], h5py.Group)
    keys = namer.resolve(
        lambda group, feature: feature.name, _shapes(file, first, namer.cfg.action or ACTIONS), ACTIONS
    )
    env_args = file.json_attribute("env_args") if "env_args" in file.data.attrs else {}
    notes, frequency = list(keys.notes), _frequency(env_args)
    if frequency is None:
        notes.append(f"its control frequency is not said; {1.0 / spec.step_dt:g} Hz is assumed")
    else:
        namer.check_period(frequency)
    demos = [file.member(file.data, name, h5py.Group) for name in names]
    if "rewards" not in first:
        notes.append("it has no rewards: all of them are taken as successful")
    episodes = [_read_demo(file, demo, keys) for demo in demos]
    namer.check_actions(episodes)
    masks = file.masks(names)
    return Demonstrations(file.path, keys.spec, "given", 0, episodes, env_args, masks, tuple(notes))


def _read_demo(file: Hdf5File, demo: h5py.Group, keys: NameMap) -> Demonstration:
    actions = file.array(demo, keys.action, keys.spec.action_dim)
    length = file.length(demo, actions)
    obs = file.member(demo, "obs", h5py.Group)

    def read(key: str, features: tuple[Feature, ...]) -> np.ndarray:
        if features[0].kind == "image":
            return file.image(obs, key, features[0], (length, *Group(key, features).shape))
        return file.vectors(obs, key, sum(feature.size for feature in features), length)

    observations = keys.observations(read)
    has_rewards = "rewards" in demo
    rewards = file.array(demo, "rewards", None, length) if has_rewards else np.zeros(length, np.float32)
    dones = np.arange(length) == length - 1
    if "dones" in demo:
        dones = file.array(demo, "dones", None, length).astype(bool)
    if "success" in demo.attrs:
        success = bool(file.whole(demo, "success"))
    else:
        success = not has_rewards or bool((rewards > 0.0).any())
    return Demonstration(observations, actions, rewards, dones, success)


def _shapes(file: Hdf5File, demo: h5py.Group, action: str) -> dict[str, tuple[int, ...]]:
    """Return the shape of one step's value by key, of the observations and the actions."""
    shapes = {}
    for group, keys in ((file.member(demo, "obs", h5py.Group), None), (demo, (action,))):
        for key in group if keys is None else keys:
            member = group.get(key)
            if isinstance(member, h5py.Dataset) and member.shape:
                shapes[key] = member.shape[1:]
    return shapes


def _frequency(env_args: dict) -> float | None:
    """Return the control frequency [Hz] as robosuite or Isaac Lab say it, or None if the file does not."""
    kwargs, sim = (env_args.get(name) for name in ("env_kwargs", "sim_args"))
    if isinstance(kwargs, dict) and isinstance(kwargs.get("control_freq"), int | float):
        return float(kwargs["control_freq"])
    if isinstance(sim, dict) and all(isinstance(sim.get(name), int | float) for name in ("dt", "decimation")):
        period = float(sim["dt"]) * float(sim["decimation"])
        return 1.0 / period if period > 0.0 else None
    return None
