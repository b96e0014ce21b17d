# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The MuJoCo models of all worlds; worlds with the same properties share one."""

# mujoco's compiled modules describe themselves to no type checker.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import copy
from typing import Any

import mujoco
import numpy as np

from zprl.sim.isaaclab.mujoco.model_properties import (
    Properties,
    read_derived,
    read_properties,
    write_derived,
    write_properties,
)


class WorldModels:
    """One :class:`mujoco.MjModel` per set of properties, kept equal to MuJoCo-Warp's model.

    Isaac Lab puts worlds side by side, so their scenery lies at different places. That offset is taken out, so that
    worlds which differ in nothing else share one model: many models take memory and leave the CPU's cache.

    Args:
        template: The model of one world, as Newton compiled it.
        num_worlds: Number of worlds.
    """

    origins: np.ndarray | None
    """What is taken out of each world's positions [m], shape (num_worlds, 3), or None if there is nothing."""

    def __init__(self, template: mujoco.MjModel, num_worlds: int) -> None:
        self.origins = None
        self._template = template
        self._num_worlds = num_worlds
        self._reference: Properties | None = None
        self._rows: np.ndarray | None = None
        self._by_key: dict[bytes, mujoco.MjModel] = {}
        self._of_worlds: list[mujoco.MjModel] = []

    @property
    def num_models(self) -> int:
        """Number of different models."""
        return len(self._by_key)

    def of_worlds(self, dt: float) -> list[mujoco.MjModel]:
        """Return each world's model, with a time step of ``dt`` [s]."""
        for model in self._by_key.values():
            model.opt.timestep = dt
        return self._of_worlds

    def update(self, mjw_model: Any) -> None:
        """Take over what has changed in MuJoCo-Warp's model.

        Args:
            mjw_model: MuJoCo-Warp's model of all worlds.

        Raises:
            ZprlError: If it has other fields than expected.
        """
        properties = read_properties(mjw_model, self._template)
        self.origins = self._take_out_origins(properties)
        # Differences by the rounding of where a world lies are none. They are judged against the first world as it was
        # at the start, and not against another world as it is now, so that a world's fate is its own.
        if self._reference is None:
            self._reference = {name: values[:1].copy() for name, values in properties.items()}
        for name, values in properties.items():
            reference = self._reference[name]
            properties[name] = np.where(np.isclose(values, reference, rtol=1e-5, atol=0.0), reference, values)
        rows = np.concatenate([self._per_world(v).reshape(self._num_worlds, v[0].size) for v in properties.values()], 1)
        if self._rows is not None and np.array_equal(rows, self._rows, equal_nan=True):
            return
        self._rows = rows
        keys = [row.tobytes() for row in rows]
        wanted = set(keys)
        unused = [model for key, model in self._by_key.items() if key not in wanted]
        by_key: dict[bytes, mujoco.MjModel] = {}
        for world, key in enumerate(keys):
            if key in by_key:
                continue
            model = self._by_key.get(key)
            if model is None:
                model = unused.pop() if unused else copy.copy(self._template)
                row = {name: value[world if len(value) > 1 else 0] for name, value in properties.items()}
                write_properties(model, row, self._template)
            by_key[key] = model
        self._by_key = by_key
        self._of_worlds = [by_key[key] for key in keys]

    def derive(self, mjw_model: Any) -> None:
        """Take over what has changed, and give MuJoCo-Warp's model what MuJoCo derives from it."""
        self.update(mjw_model)
        derived = {id(model): read_derived(model) for model in self._by_key.values()}
        write_derived(mjw_model, [derived[id(model)] for model in self._of_worlds])

    def take_mean_inertia(self, mjw_model: Any) -> None:
        """Take the mean inertia, by which the solver scales its tolerance, from MuJoCo-Warp's model."""
        values = np.broadcast_to(mjw_model.stat.meaninertia.numpy(), self._num_worlds)
        for model, value in zip(self._of_worlds, values, strict=True):
            model.stat.meaninertia = float(value)

    def _per_world(self, values: np.ndarray) -> np.ndarray:
        return np.broadcast_to(values, (self._num_worlds, *values.shape[1:]))

    def _take_out_origins(self, properties: Properties) -> np.ndarray | None:
        """Move every world to where world 0 is; return the offsets, or None if there are none.

        The offset is the one that most of the items on the world body agree on. Others keep their difference, and with
        it a model of their own, so the result is right whichever offset is chosen.
        """
        model = self._template
        placed_by_state = np.zeros(model.nbody, bool)
        placed_by_state[model.jnt_bodyid[model.jnt_type == mujoco.mjtJoint.mjJNT_FREE]] = True
        placed_by_state |= model.body_mocapid >= 0
        world_body = np.arange(model.nbody) == 0
        places: dict[str, Any] = {
            "body_pos": (model.body_parentid == 0) & ~placed_by_state & ~world_body,
            "geom_pos": model.geom_bodyid == 0,
            "site_pos": model.site_bodyid == 0,
            "qpos0": free_positions(model),
            "qpos_spring": free_positions(model),
        }
        positions = np.concatenate([self._per_world(properties[name])[:, place] for name, place in places.items()], 1)
        # The anchor of an equality constraint with the world is a position in it too.
        if not positions.size or ((model.eq_obj1id == 0) | (model.eq_obj2id == 0)).any():
            return None
        offsets = positions - positions[:1]
        rounding = 8 * float(np.finfo(np.float32).eps) * max(1.0, np.abs(positions).max())
        agreeing = [(np.abs(offsets - offsets[:, [i]]) < rounding).all((0, 2)).sum() for i in range(offsets.shape[1])]
        origins = offsets[:, int(np.argmax(agreeing))]
        if not origins.any():
            return None
        for name, place in places.items():
            values = np.array(self._per_world(properties[name]))
            moved = values[:, place] - origins[:, None]
            values[:, place] = np.where(np.abs(moved - moved[:1]) < rounding, moved[:1], moved)
            properties[name] = values
        # A level plane without bounds looks the same from everywhere above it.
        unbounded = (model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE) & (model.geom_size[:, :2] == 0).all(axis=1)
        level = unbounded & (model.geom_bodyid == 0) & (model.geom_quat[:, 1:3] == 0).all(axis=1)
        properties["geom_pos"][:, level, :2] = properties["geom_pos"][:1, level, :2]
        return origins


def free_positions(model: mujoco.MjModel) -> np.ndarray:
    """Return where the positions of freely floating bodies lie in ``qpos``, shape (bodies, 3)."""
    free = np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_FREE)
    return model.jnt_qposadr[free][:, None] + np.arange(3)
