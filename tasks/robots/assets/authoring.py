# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Authoring of robots and hinged things as USD from numbers: links of primitive shapes, and joints between them."""

# OpenUSD's stubs declare the results of its constructors as None.
# pyright: reportOptionalMemberAccess=false, reportAttributeAccessIssue=false, reportReturnType=false

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import newton_usd_schemas  # noqa: F401 - before USD looks for schemas: Newton's attributes are not custom ones
import numpy as np
from pxr import Gf, Sdf, Usd, UsdGeom, UsdPhysics, UsdShade
from scipy.spatial.transform import Rotation

Vec3 = tuple[float, float, float]


@dataclass
class Look:
    """A material.

    Attributes:
        color: Linear RGB.
        roughness: Of the surface, 0 to 1.
        friction: Coefficient of sliding friction of colliders that are made of it, or None for the engine's.
        torsional_friction: Coefficient of friction against spinning about the contact's normal [m], or None for the
            engine's; only colliders with ``condim`` of 4 and more spin against it.
    """

    color: Vec3
    roughness: float = 0.5
    friction: float | None = None
    torsional_friction: float | None = None


@dataclass
class Shape:
    """A primitive attached to a link.

    Attributes:
        kind: "capsule" or "cylinder" (``size`` = radius, height between the cap centres, both [m]) or "box"
            (``size`` = edge lengths [m]).
        size: See ``kind``.
        pos: Centre in the link's frame [m].
        rpy: Orientation in the link's frame, roll-pitch-yaw [rad]; capsules and cylinders lie along z.
        look: Name of its material, or None for the first of the robot's.
        collider: Whether the shape collides.
        mujoco: Attributes of the collider that MuJoCo reads, each as type and value, by name.
    """

    kind: str
    size: tuple[float, ...]
    pos: Vec3 = (0.0, 0.0, 0.0)
    rpy: Vec3 = (0.0, 0.0, 0.0)
    look: str | None = None
    collider: bool = False
    mujoco: Mapping[str, tuple[Sdf.ValueTypeName, object]] = field(default_factory=dict)


@dataclass
class Joint:
    """The joint that carries a link.

    Attributes:
        name: Joint name.
        kind: "revolute" or "prismatic".
        limits: Lower and upper limit [rad] or [m].
        effort: Largest torque [N m] or force [N].
        axis: Axis of the link's frame, "X", "Y" or "Z", or a unit vector in it.
        mujoco: Attributes of the joint that MuJoCo reads, each as type and value, by name.
    """

    name: str
    kind: str
    limits: tuple[float, float]
    effort: float
    axis: str | Vec3 = "Z"
    mujoco: Mapping[str, tuple[Sdf.ValueTypeName, object]] = field(default_factory=dict)


@dataclass
class Link:
    """A rigid body with its pose in the parent's frame.

    Attributes:
        name: Body name.
        parent: Parent body name, or None for the base.
        pos: Origin in the parent's frame [m].
        rpy: Orientation in the parent's frame [rad].
        joint: The joint to the parent, or None when fixed to it.
        mass: Mass [kg].
        com: Centre of mass in the link's frame [m].
        inertia: (ixx, iyy, izz, ixy, ixz, iyz) about the centre of mass [kg m^2].
        shapes: Primitives of the link.
    """

    name: str
    parent: str | None
    pos: Vec3
    rpy: Vec3
    joint: Joint | None
    mass: float
    com: Vec3
    inertia: tuple[float, float, float, float, float, float]
    shapes: list[Shape] = field(default_factory=list)


@dataclass
class Coupling:
    """Joints of which a weighted sum of positions stays within limits: MuJoCo's fixed tendon, which PhysX ignores.

    Attributes:
        name: Its name.
        weights: Weight of each joint's position, by joint name.
        limits: Lower and upper limit of the sum.
    """

    name: str
    weights: dict[str, float]
    limits: tuple[float, float]


def _rotation(rpy: Vec3) -> Gf.Quatf:
    """Return the rotation Rz(yaw) Ry(pitch) Rx(roll), from (roll, pitch, yaw) [rad]."""
    return Gf.Quatf(*Rotation.from_euler("xyz", rpy).as_quat(scalar_first=True).tolist())


def _from_z(axis: Vec3) -> Gf.Rotation:
    """Return the shortest rotation that turns the z axis into a unit vector."""
    return Gf.Rotation(Gf.Vec3d(0.0, 0.0, 1.0), Gf.Vec3d(*axis))


def principal_inertia(inertia: tuple[float, ...]) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """Return principal moments [kg m^2], shape (3,), and the rotation (w, x, y, z) from principal to link axes.

    Args:
        inertia: (ixx, iyy, izz, ixy, ixz, iyz) [kg m^2].

    Raises:
        ValueError: If no rigid body has these moments (not positive, or they break the triangle inequality).
    """
    ixx, iyy, izz, ixy, ixz, iyz = inertia
    moments, axes = np.linalg.eigh(np.array([[ixx, ixy, ixz], [ixy, iyy, iyz], [ixz, iyz, izz]]))
    if moments[0] <= 0 or moments[0] + moments[1] < moments[2] * (1 - 1e-3):
        raise ValueError(f"No rigid body has the principal moments {moments}; check the inertia {inertia}.")
    if np.linalg.det(axes) < 0:
        axes[:, 0] *= -1
    w = math.sqrt(max(0.0, 1.0 + np.trace(axes))) / 2
    if w > 1e-6:
        x, y, z = ((axes[2, 1] - axes[1, 2]), (axes[0, 2] - axes[2, 0]), (axes[1, 0] - axes[0, 1]))
        return moments, (w, x / (4 * w), y / (4 * w), z / (4 * w))
    # A half turn: its axis is the eigenvector of eigenvalue +1, a column of (R + I).
    column = (axes + np.eye(3))[:, int(np.argmax(np.diag(axes)))]
    column /= np.linalg.norm(column)
    return moments, (0.0, float(column[0]), float(column[1]), float(column[2]))


def of_boxes(mass: float, shapes: Sequence[Shape]) -> tuple[Vec3, tuple[float, float, float, float, float, float]]:
    """Return centre of mass [m] and inertia about it [kg m^2] of boxes of one density, as :class:`Link` has them.

    Args:
        mass: Mass of all of them [kg].
        shapes: The boxes, parallel to the link's axes and apart from each other.

    Raises:
        ValueError: If one is no such box.
    """
    if any(shape.kind != "box" or any(shape.rpy) for shape in shapes):
        raise ValueError("The inertia of boxes is asked for, and of boxes only that are parallel to the link's axes.")
    sizes, places = np.array([shape.size for shape in shapes]), np.array([shape.pos for shape in shapes])
    masses = mass * sizes.prod(axis=1) / sizes.prod(axis=1).sum()
    com = masses @ places / mass
    # About the common centre of mass, a box's second moments are its own and those of its centre.
    second = np.diag(masses @ sizes**2 / 12) + (places - com).T @ ((places - com) * masses[:, None])
    inertia = np.trace(second) * np.eye(3) - second
    (ixx, ixy, ixz), (_, iyy, iyz), (_, _, izz) = inertia.tolist()
    return (float(com[0]), float(com[1]), float(com[2])), (ixx, iyy, izz, ixy, ixz, iyz)


def write_articulation(
    path: Path,
    name: str,
    links: Sequence[Link],
    looks: Mapping[str, Look],
    couplings: Sequence[Coupling] = (),
    touching: Collection[tuple[str, str]] | None = None,
    floating: bool = False,
) -> Path:
    """Author a robot, or another thing with joints, as a USD layer.

    Args:
        path: File to write, ending in ``.usda``.
        name: Name of its root prim.
        links: Its links, base first; every parent stands before its children.
        looks: Materials by name.
        couplings: What couples its joints beside the links.
        touching: Pairs of links that touch each other, in either order; None for all, if the robot may touch itself.
        floating: Whether the base moves freely; else it is fixed to the world.

    Returns:
        ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stage: Usd.Stage = Usd.Stage.CreateInMemory()  # type: ignore[assignment]
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    UsdPhysics.SetStageKilogramsPerUnit(stage, 1.0)
    root = f"/{name}"
    prim = UsdGeom.Xform.Define(stage, root).GetPrim()
    stage.SetDefaultPrim(prim)
    UsdPhysics.ArticulationRootAPI.Apply(prim)
    materials = {key: _write_look(stage, f"{root}/Looks/{key}", look) for key, look in looks.items()}

    poses: dict[str, Gf.Matrix4d] = {}
    for link in links:
        local = Gf.Matrix4d(Gf.Rotation(Gf.Quatd(_rotation(link.rpy))), Gf.Vec3d(*link.pos))
        poses[link.name] = local if link.parent is None else local * poses[link.parent]
        body = UsdGeom.Xform.Define(stage, f"{root}/{link.name}")
        body.AddTranslateOp().Set(poses[link.name].ExtractTranslation())
        body.AddOrientOp().Set(Gf.Quatf(poses[link.name].ExtractRotationQuat()))
        UsdPhysics.RigidBodyAPI.Apply(body.GetPrim())
        mass = UsdPhysics.MassAPI.Apply(body.GetPrim())
        moments, axes = principal_inertia(link.inertia)
        mass.CreateMassAttr(link.mass)
        mass.CreateCenterOfMassAttr(Gf.Vec3f(*link.com))
        mass.CreateDiagonalInertiaAttr(Gf.Vec3f(*moments.tolist()))
        mass.CreatePrincipalAxesAttr(Gf.Quatf(*axes))
        for index, shape in enumerate(link.shapes):
            place = f"{root}/{link.name}/shape_{index}"
            look = shape.look or next(iter(looks))
            _write_shape(stage, place, shape, looks[look], materials[look])
        if link.parent is not None or not floating:
            _write_joint(stage, root, link)
    for coupling in couplings:
        _write_coupling(stage, root, coupling)
    if touching is not None:
        _write_untouching(stage, root, links, {frozenset(pair) for pair in touching})

    text = stage.GetRootLayer().ExportToString()
    path.write_text(text)
    return path


def _write_look(stage: Usd.Stage, path: str, look: Look) -> UsdShade.Material:
    material = UsdShade.Material.Define(stage, path)
    shader = UsdShade.Shader.Define(stage, f"{path}/Shader")
    shader.CreateIdAttr("UsdPreviewSurface")
    shader.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).Set(Gf.Vec3f(*look.color))
    shader.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(look.roughness)
    shader.CreateInput("metallic", Sdf.ValueTypeNames.Float).Set(0.0)
    material.CreateSurfaceOutput().ConnectToSource(shader.ConnectableAPI(), "surface")
    if look.friction is not None:
        surface = UsdPhysics.MaterialAPI.Apply(material.GetPrim())
        surface.CreateStaticFrictionAttr(look.friction)
        surface.CreateDynamicFrictionAttr(look.friction)
        surface.CreateRestitutionAttr(0.0)
    if look.torsional_friction is not None:
        prim = material.GetPrim()
        prim.AddAppliedSchema("NewtonMaterialAPI")
        prim.CreateAttribute("newton:torsionalFriction", Sdf.ValueTypeNames.Float).Set(look.torsional_friction)
    return material


def _write_shape(stage: Usd.Stage, path: str, shape: Shape, look: Look, material: UsdShade.Material) -> None:
    if shape.kind == "box":
        geometry = UsdGeom.Cube.Define(stage, path)
        geometry.CreateSizeAttr(1.0)
        geometry.CreateExtentAttr([(-0.5, -0.5, -0.5), (0.5, 0.5, 0.5)])
    else:
        radius, height = shape.size
        geometry = (UsdGeom.Capsule if shape.kind == "capsule" else UsdGeom.Cylinder).Define(stage, path)
        geometry.CreateRadiusAttr(radius)
        geometry.CreateHeightAttr(height)
        geometry.CreateAxisAttr(UsdGeom.Tokens.z)
        half = height / 2 + (radius if shape.kind == "capsule" else 0.0)
        geometry.CreateExtentAttr([(-radius, -radius, -half), (radius, radius, half)])
    geometry.AddTranslateOp().Set(Gf.Vec3d(*shape.pos))
    geometry.AddOrientOp().Set(_rotation(shape.rpy))
    if shape.kind == "box":
        geometry.AddScaleOp().Set(Gf.Vec3f(*shape.size))
    geometry.CreateDisplayColorAttr([Gf.Vec3f(*look.color)])
    prim = geometry.GetPrim()
    UsdShade.MaterialBindingAPI.Apply(prim).Bind(material)
    if not shape.collider:
        return
    UsdPhysics.CollisionAPI.Apply(prim)
    for name, (kind, value) in shape.mujoco.items():
        prim.CreateAttribute(f"mjc:{name}", kind).Set(value)
    if look.friction is not None:
        UsdShade.MaterialBindingAPI(prim).Bind(material, UsdShade.Tokens.weakerThanDescendants, "physics")


def _write_joint(stage: Usd.Stage, root: str, link: Link) -> None:
    path = f"{root}/joints/{link.joint.name if link.joint else f'{link.name}_fixed'}"
    revolute = link.joint is not None and link.joint.kind == "revolute"
    turn = Gf.Rotation().SetIdentity()  # of the joint's frame in the link's
    if link.joint is None:
        joint = UsdPhysics.FixedJoint.Define(stage, path)
    else:
        joint = (UsdPhysics.RevoluteJoint if revolute else UsdPhysics.PrismaticJoint).Define(stage, path)
        along_frame = isinstance(link.joint.axis, str)
        joint.CreateAxisAttr(link.joint.axis if along_frame else UsdGeom.Tokens.z)
        turn = turn if along_frame else _from_z(link.joint.axis)  # type: ignore[arg-type]
        lower, upper = map(math.degrees, link.joint.limits) if revolute else link.joint.limits
        joint.CreateLowerLimitAttr(lower)
        joint.CreateUpperLimitAttr(upper)
    if link.parent is not None:
        joint.CreateBody0Rel().SetTargets([f"{root}/{link.parent}"])
    joint.CreateBody1Rel().SetTargets([f"{root}/{link.name}"])
    joint.CreateLocalPos0Attr(Gf.Vec3f(*map(float, link.pos)))
    joint.CreateLocalRot0Attr(_rotation(link.rpy) * Gf.Quatf(turn.GetQuat()))
    joint.CreateLocalPos1Attr(Gf.Vec3f(0.0, 0.0, 0.0))
    joint.CreateLocalRot1Attr(Gf.Quatf(turn.GetQuat()))
    if link.joint is not None:
        # The drive exists so that actuators can set its gains; the asset itself stays passive.
        drive = UsdPhysics.DriveAPI.Apply(joint.GetPrim(), "angular" if revolute else "linear")
        drive.CreateTypeAttr("force")
        drive.CreateMaxForceAttr(link.joint.effort)
        drive.CreateStiffnessAttr(0.0)
        drive.CreateDampingAttr(0.0)
        for name, (kind, value) in link.joint.mujoco.items():
            joint.GetPrim().CreateAttribute(f"mjc:{name}", kind).Set(value)


def _write_coupling(stage: Usd.Stage, root: str, coupling: Coupling) -> None:
    kinds = Sdf.ValueTypeNames
    prim = stage.DefinePrim(f"{root}/couplings/{coupling.name}", "MjcTendon")
    low, high = coupling.limits
    for name, kind, value in (
        ("type", kinds.Token, "fixed"),
        ("path:indices", kinds.IntArray, list(range(len(coupling.weights)))),
        ("path:coef", kinds.DoubleArray, list(coupling.weights.values())),
        ("limited", kinds.Token, "true"),
        ("range:min", kinds.Double, low),
        ("range:max", kinds.Double, high),
    ):
        prim.CreateAttribute(f"mjc:{name}", kind, True).Set(value)
    prim.CreateRelationship("mjc:path", True).SetTargets([f"{root}/joints/{joint}" for joint in coupling.weights])


def _write_untouching(stage: Usd.Stage, root: str, links: Sequence[Link], touching: set[frozenset[str]]) -> None:
    """Say of all pairs of links but those that touch each other that they do not."""
    solid = [link.name for link in links if any(shape.collider for shape in link.shapes)]
    apart: dict[str, list[str]] = {}
    for one, other in combinations(solid, 2):
        if frozenset((one, other)) not in touching:
            apart.setdefault(one, []).append(f"{root}/{other}")
    for name, others in apart.items():
        pairs = UsdPhysics.FilteredPairsAPI.Apply(stage.GetPrimAtPath(f"{root}/{name}"))
        pairs.CreateFilteredPairsRel().SetTargets(others)
