# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The physical properties of a world: read from MuJoCo-Warp's model, written into MuJoCo's."""

# mujoco's compiled modules describe themselves to no type checker.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from operator import attrgetter
from typing import Any

import mujoco
import numpy as np

from zprl.utils.errors import ZprlError

Properties = dict[str, np.ndarray]
"""Values by field; with a leading axis of 1 or of worlds when read, without it for one world."""

_FIELDS = """
    qpos0 qpos_spring
    body_pos body_quat body_ipos body_iquat body_mass body_inertia body_gravcomp
    jnt_solref jnt_solimp jnt_pos jnt_axis jnt_stiffness jnt_range jnt_actfrcrange jnt_margin
    dof_armature dof_damping dof_frictionloss dof_solimp dof_solref
    geom_solmix geom_solref geom_solimp geom_size geom_pos geom_quat geom_friction geom_margin geom_gap
    site_pos site_quat eq_solref eq_solimp eq_data
    actuator_gainprm actuator_biasprm actuator_dynprm actuator_ctrlrange actuator_forcerange actuator_actrange
    actuator_gear actuator_cranklength actuator_lengthrange
    pair_solref pair_solreffriction pair_solimp pair_margin pair_gap pair_friction
    tendon_solref_lim tendon_solimp_lim tendon_solref_fri tendon_solimp_fri tendon_range tendon_actfrcrange
    tendon_margin tendon_stiffness tendon_damping tendon_armature tendon_frictionloss tendon_lengthspring
    opt.gravity opt.wind opt.magnetic opt.density opt.viscosity
"""
"""What Newton keeps per world in MuJoCo-Warp's model, and MuJoCo's own model holds under the same name.

Without the solvers' tolerances: MuJoCo-Warp rounds them to what float32 can reach, while the template has them exact.
"""

_JOINT_FIELDS = "body_pos body_quat jnt_pos jnt_axis"
"""Which of these Newton writes when it is told of changed joints (``ModelFlags.JOINT_PROPERTIES``)."""

_DERIVED = """
    body_subtreemass body_invweight0 dof_invweight0 actuator_acc0 tendon_length0 tendon_invweight0 stat.meaninertia
"""
"""What follows from the above; both engines derive it by themselves."""


def read_properties(mjw_model: Any, template: mujoco.MjModel) -> Properties:
    """Return the properties of all worlds, in the shapes of MuJoCo's model after a leading axis of 1 or of worlds.

    Args:
        mjw_model: MuJoCo-Warp's model.
        template: MuJoCo's model of one world.

    Raises:
        ZprlError: If MuJoCo-Warp's model has no such field, or one of another shape.
    """
    properties = {}
    for name in _FIELDS.split():
        shape = np.shape(attrgetter(name)(template))
        try:
            values = attrgetter(name)(mjw_model).numpy()
            properties[name] = values.reshape(len(values), *shape).astype(float)
        except (AttributeError, ValueError) as error:
            raise ZprlError(
                f"physics=mujoco does not fit this version of mujoco-warp, whose Model.{name} has changed; install the"
                " versions in constraints.txt or choose physics=newton_mjwarp."
            ) from error
    return properties


def read_joint_places(mjw_model: Any) -> list[np.ndarray]:
    """Return copies of where the joints of all worlds lie, which is all that a change of joints can change."""
    return [getattr(mjw_model, name).numpy().copy() for name in _JOINT_FIELDS.split()]


def read_derived(model: mujoco.MjModel) -> Properties:
    """Return copies of what MuJoCo has derived from a model's properties."""
    return {name: np.array(attrgetter(name)(model)) for name in _DERIVED.split()}


def write_derived(mjw_model: Any, derived: list[Properties]) -> None:
    """Give MuJoCo-Warp's model what MuJoCo has derived.

    Args:
        mjw_model: MuJoCo-Warp's model, on the CPU.
        derived: What belongs to each world.
    """
    for name in _DERIVED.split():
        values = attrgetter(name)(mjw_model).numpy()  # no copy
        rows = np.stack([world[name] for world in derived[: len(values)]])
        values[:] = rows.reshape(values.shape)


def write_properties(model: mujoco.MjModel, row: Properties, template: mujoco.MjModel) -> None:
    """Give a model the properties of one world.

    Args:
        model: A copy of the template, whatever properties it had since.
        row: The world's properties.
        template: The model as it was compiled.
    """
    row = dict(row)
    # MuJoCo-Warp's inertial frame may be another choice of axes for the same inertia; then the compiled one stays.
    same_inertia = np.isclose(
        _inertia_matrices(row["body_inertia"], row["body_iquat"]),
        _inertia_matrices(template.body_inertia, template.body_iquat),
        rtol=1e-5,
        atol=1e-9,
    ).all(axis=(1, 2))
    for name in ("body_inertia", "body_iquat"):
        row[name] = np.where(same_inertia[:, None], getattr(template, name), row[name])
    # Planes, meshes and height fields have their size elsewhere.
    sized = np.isin(template.geom_type, [_SPHERE, _CAPSULE, _ELLIPSOID, _CYLINDER, _BOX])
    row["geom_size"] = np.where(sized[:, None], row["geom_size"], template.geom_size)
    _set_derived(model, row, template)

    _assign(model, row)
    # For what MuJoCo-Warp does not have, such as dof_M0. It also changes what MuJoCo-Warp does have, hence once more.
    mujoco.mj_setConst(model, mujoco.MjData(model))
    _assign(model, row)


def _set_derived(model: mujoco.MjModel, row: Properties, template: mujoco.MjModel) -> None:
    """Set what MuJoCo's compiler, and nothing after it, derives from a model's inertias and shapes."""

    def differs(name: str) -> np.ndarray:
        same = np.isclose(row[name], getattr(template, name), rtol=1e-6, atol=1e-8)
        return ~same.reshape(len(same), same[:1].size).all(axis=1)

    # Short cuts for frames that coincide and for inertias that are diagonal.
    frame = differs("body_ipos") | differs("body_iquat")
    inertial = frame | differs("body_inertia") | differs("body_mass")
    none = int(mujoco.mjtSameFrame.mjSAMEFRAME_NONE)
    model.body_sameframe[:] = np.where(frame, none, template.body_sameframe)
    for kind, bodies in (("geom", template.geom_bodyid), ("site", template.site_bodyid)):
        moved = frame[bodies] | differs(f"{kind}_pos") | differs(f"{kind}_quat")
        getattr(model, f"{kind}_sameframe")[:] = np.where(moved, none, getattr(template, f"{kind}_sameframe"))
    model.body_simple[:] = np.where(inertial, 0, template.body_simple)
    model.dof_simplenum[:] = 0 if inertial.any() else template.dof_simplenum

    # Bounding volumes. Their tree lies in the body's compiled inertial frame, around its compiled shapes, and fits no
    # other: a hammer whose inertia has its axes in another order would be held by its head only.
    resized = differs("geom_size")
    half, radius = _bounds(template.geom_type, row["geom_size"])
    boxes = np.hstack([np.zeros_like(half), half])
    model.geom_aabb[:] = np.where(resized[:, None], boxes, np.reshape(template.geom_aabb, boxes.shape))
    model.geom_rbound[:] = np.where(resized, radius, template.geom_rbound)
    reshaped = resized | ((differs("geom_pos") | differs("geom_quat")) & (template.geom_bodyid > 0))
    outgrown = reshaped.any() or (frame & (template.body_geomnum > 0)).any()
    midphase = int(mujoco.mjtDisableBit.mjDSBL_MIDPHASE)
    model.opt.disableflags = template.opt.disableflags | (midphase if outgrown else 0)


_SPHERE, _CAPSULE, _ELLIPSOID = (
    mujoco.mjtGeom.mjGEOM_SPHERE,
    mujoco.mjtGeom.mjGEOM_CAPSULE,
    mujoco.mjtGeom.mjGEOM_ELLIPSOID,
)
_CYLINDER, _BOX = mujoco.mjtGeom.mjGEOM_CYLINDER, mujoco.mjtGeom.mjGEOM_BOX


def _bounds(kind: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return half the edges of the boxes [m], (ngeom, 3), and the radii of the spheres [m], (ngeom,), around geoms."""
    half, radius = size.copy(), np.linalg.norm(size, axis=1)
    half[kind == _SPHERE] = size[kind == _SPHERE, :1]
    radius[kind == _SPHERE] = size[kind == _SPHERE, 0]
    for kind_, cap in ((_CAPSULE, 1.0), (_CYLINDER, 0.0)):  # size: radius, half the length of the straight part
        r, length = size[kind == kind_, 0], size[kind == kind_, 1]
        half[kind == kind_] = np.stack([r, r, length + cap * r], axis=1)
        radius[kind == kind_] = length + r if cap else np.hypot(length, r)
    radius[kind == _ELLIPSOID] = size[kind == _ELLIPSOID].max(axis=1)
    return half, radius


def _inertia_matrices(inertia: np.ndarray, quat: np.ndarray) -> np.ndarray:
    """Return inertia tensors in the bodies' axes [kg m^2] from principal moments and axes (w, x, y, z)."""
    rotation = np.empty((len(quat), 9))
    for matrix, q in zip(rotation, np.asarray(quat, float), strict=True):
        mujoco.mju_quat2Mat(matrix, q)
    rotation = rotation.reshape(-1, 3, 3)
    return np.einsum("bij,bj,bkj->bik", rotation, inertia, rotation)


def _assign(model: mujoco.MjModel, row: Properties) -> None:
    for name, value in row.items():
        owner, _, leaf = name.rpartition(".")
        target = attrgetter(owner)(model) if owner else model
        if np.ndim(value):
            getattr(target, leaf)[:] = value
        else:
            setattr(target, leaf, float(value))
