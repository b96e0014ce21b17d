# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Bodies that are where the task puts them, whatever touches them."""

# mujoco's compiled modules describe themselves to no type checker.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import mujoco
import numpy as np

from zprl.utils.errors import ZprlError


class KinematicBodies:
    """The kinematic bodies of a world, which Newton gives joints with an armature of 1e10 as their lock.

    Their positions and velocities are never integrated: both are the task's, for every step, and a contact feels them.

    Args:
        model: The model of one world, as Newton compiled it; what the lock needs is set in it.
        is_kinematic: Which bodies are kinematic, shape (nbody,); those without joints need nothing.

    Raises:
        ZprlError: If the scene has too many groups of colliders.
    """

    def __init__(self, model: mujoco.MjModel, is_kinematic: np.ndarray) -> None:
        dofs = np.flatnonzero(is_kinematic[model.dof_bodyid])
        joints = np.searchsorted(model.jnt_qposadr, np.arange(model.nq), side="right") - 1
        coordinates = np.flatnonzero(is_kinematic[model.jnt_bodyid[joints]])
        # Of the engine's state vectors, which begin with the time, the positions and the velocities.
        self._velocities = 1 + model.nq + dofs
        self._columns = np.concatenate([1 + coordinates, self._velocities])
        if len(dofs):
            _lock(model, is_kinematic)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(len(self._velocities))

    def moving(self, states: np.ndarray) -> np.ndarray:
        """Return in which worlds one has a velocity, from states of shape (worlds, state_size)."""
        return states[:, self._velocities].any(axis=1)

    def hold(self, states: np.ndarray, places: np.ndarray) -> None:
        """Put them back, in states of shape (worlds, state_size), to where other states have them."""
        states[:, self._columns] = places[:, self._columns]


def _lock(model: mujoco.MjModel, is_kinematic: np.ndarray) -> None:
    """Set what keeps the armature of kinematic bodies from spoiling the solution for all others."""
    # MuJoCo scales the solver's tolerance by the inertia of each island of bodies that touch, where an armature of 1e10
    # makes every other force negligible. Without islands it takes the mean inertia that the model states.
    model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_ISLAND)
    movable = np.zeros(model.nbody, bool)
    for body in range(1, model.nbody):
        movable[body] = movable[model.body_parentid[body]] or (model.body_dofnum[body] > 0 and not is_kinematic[body])
    separate_immovable(model, ~movable[model.geom_bodyid])


def separate_immovable(model: mujoco.MjModel, immovable: np.ndarray) -> None:
    """Let geoms that cannot move touch only those that can, since the engine would push them apart all the same.

    Geoms touch if a bit of the ``contype`` of either is in the ``conaffinity`` of the other. Here those that cannot
    move get no ``contype``, and all of them that touch the same of those that can move share one bit for it.

    Args:
        model: The model, changed in place.
        immovable: Which geoms cannot move, shape (ngeom,).

    Raises:
        ZprlError: If there are not bits enough.
    """
    contype, conaffinity = (np.array(mask).view(np.uint32) for mask in (model.geom_contype, model.geom_conaffinity))
    touches = ((contype[:, None] & conaffinity) | (conaffinity[:, None] & contype)) != 0
    sets, set_of = np.unique(touches[immovable][:, ~immovable], axis=0, return_inverse=True)
    # Bits that those that can move need among themselves; what they have of others says nothing any more.
    kept = np.bitwise_or.reduce(contype[~immovable], initial=0) & np.bitwise_or.reduce(
        conaffinity[~immovable], initial=0
    )
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    spare = bits[kept & bits == 0]
    if len(sets) > len(spare):
        raise ZprlError(
            f"physics=mujoco cannot tell kinematic bodies from others in a scene with {len(sets)} ways of touching"
            f" besides {32 - len(spare)} groups of colliders; make the bodies fixed-root articulations or choose"
            " physics=newton_mjwarp."
        )
    contype &= kept
    conaffinity &= kept
    contype[immovable] = 0
    conaffinity[immovable] = spare[set_of]
    for bit, touched in zip(spare, sets, strict=False):
        contype[np.flatnonzero(~immovable)[touched]] |= bit
    for name, masks in (("contype", contype), ("conaffinity", conaffinity)):
        getattr(model, f"geom_{name}")[:] = masks.view(np.int32)
        of_bodies = np.zeros(model.nbody, np.uint32)
        np.bitwise_or.at(of_bodies, model.geom_bodyid, masks)
        getattr(model, f"body_{name}")[:] = of_bodies.view(np.int32)
