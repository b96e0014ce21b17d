# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Author a Franka Emika Panda as USD from published figures, without meshes or network access.

The kinematics are the modified Denavit-Hartenberg frames that Franka publishes in ``franka_description``; the masses,
centres of mass and inertias are those identified by Gaz et al., "Dynamic Identification of the Franka Emika Panda
Robot With Retrieval of Feasible Parameters Using Penalty-Based Optimization", RA-L 2019. The look is built from
capsules, cylinders and boxes. Only the shapes that a tabletop task touches are colliders: the hand, the fingers'
backs and the two rubber finger pads.

Run ``python -m zprl.tasks.robots.assets.franka_panda`` to write :data:`FRANKA_PANDA_USD` anew; a test keeps it in step.
"""

# OpenUSD's stubs declare the results of its constructors as None.
# pyright: reportOptionalMemberAccess=false, reportAttributeAccessIssue=false, reportReturnType=false

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pxr import Gf, Sdf, Usd, UsdGeom, UsdPhysics, UsdShade
from scipy.spatial.transform import Rotation

from zprl.tasks.robots.assets import FRANKA_PANDA_USD

Vec3 = tuple[float, float, float]

HALF_PI = math.pi / 2
WHITE: Vec3 = (0.90, 0.91, 0.92)
GREY: Vec3 = (0.30, 0.32, 0.35)
DARK: Vec3 = (0.08, 0.08, 0.09)
ACCENT: Vec3 = (0.10, 0.42, 0.62)


@dataclass
class Shape:
    """A primitive attached to a link.

    Attributes:
        kind: "capsule" or "cylinder" (``size`` = radius, height between the cap centres, both [m]) or "box"
            (``size`` = edge lengths [m]).
        size: See ``kind``.
        pos: Centre in the link's frame [m].
        rpy: Orientation in the link's frame, roll-pitch-yaw [rad]; capsules and cylinders lie along z.
        color: Linear RGB.
        collider: Whether the shape collides.
        pad: Whether it is a rubber finger pad, with the contact parameters that keep a grasp.
        visible: Whether it is drawn.
    """

    kind: str
    size: tuple[float, ...]
    pos: Vec3 = (0.0, 0.0, 0.0)
    rpy: Vec3 = (0.0, 0.0, 0.0)
    color: Vec3 = WHITE
    collider: bool = False
    pad: bool = False
    visible: bool = True


@dataclass
class Joint:
    """The joint that carries a link; its axis is the link's z (revolute) or y (prismatic).

    Attributes:
        name: Joint name, as Isaac Lab's own Franka uses it.
        kind: "revolute" or "prismatic".
        limits: Lower and upper limit [rad] or [m].
        effort: Largest torque [N m] or force [N].
        velocity: Largest speed [rad/s] or [m/s].
    """

    name: str
    kind: str
    limits: tuple[float, float]
    effort: float
    velocity: float


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


def _arm_joint(index: int, lower: float, upper: float) -> Joint:
    proximal = index <= 4
    return Joint(
        f"panda_joint{index}", "revolute", (lower, upper), 87.0 if proximal else 12.0, 2.175 if proximal else 2.61
    )


def _finger(side: str, yaw: float) -> Link:
    # The right finger's frame is the left one's turned by 180 degrees about the hand's z, so both open along their +y.
    return Link(
        f"panda_{side}finger",
        "panda_hand",
        (0.0, 0.0, 0.0584),
        (0.0, 0.0, yaw),
        Joint(f"panda_finger_joint{1 if side == 'left' else 2}", "prismatic", (0.0, 0.04), 20.0, 0.2),
        0.015,
        (0.0, 0.014, 0.022),
        (2.4e-6, 2.4e-6, 7.5e-7, 0.0, 0.0, 0.0),
        [
            Shape("box", (0.021, 0.015, 0.024), (0.0, 0.0185, 0.011), color=GREY),
            Shape("box", (0.019, 0.010, 0.030), (0.0, 0.0175, 0.036), color=GREY),
            # The pad: its inner face lies in the plane y = 0 where the closed fingers meet.
            Shape("box", (0.019, 0.014, 0.030), (0.0, 0.007, 0.0395), color=DARK, collider=True, pad=True),
            Shape("box", (0.019, 0.014, 0.030), (0.0, 0.007, 0.0395), color=DARK),  # renderers hide colliders
        ],
    )


FRANKA_PANDA_LINKS: list[Link] = [
    Link(
        "panda_link0", None, (0, 0, 0), (0, 0, 0), None,
        0.629769, (-0.041018, -0.00014, 0.049974), (0.00315, 0.00388, 0.004285, 8.2904e-7, 0.00015, 8.2299e-6),
        [
            Shape("cylinder", (0.088, 0.05), (0.0, 0.0, 0.025), color=GREY),
            Shape("capsule", (0.066, 0.05), (0.0, 0.0, 0.10)),
            Shape("box", (0.13, 0.11, 0.10), (-0.08, 0.0, 0.05)),
        ],
    ),
    Link(
        "panda_link1", "panda_link0", (0, 0, 0.333), (0, 0, 0), _arm_joint(1, -2.8973, 2.8973),
        4.970684, (0.003875, 0.002081, -0.04762), (0.70337, 0.70661, 0.009117, -0.000139, 0.006772, 0.019169),
        [
            Shape("capsule", (0.058, 0.14), (0.0, 0.0, -0.12)),
            Shape("capsule", (0.057, 0.12), (0.0, -0.005, 0.0), (HALF_PI, 0.0, 0.0)),
        ],
    ),
    Link(
        "panda_link2", "panda_link1", (0, 0, 0), (-HALF_PI, 0, 0), _arm_joint(2, -1.7628, 1.7628),
        0.646926, (-0.003141, -0.02872, 0.003495), (0.007962, 0.02811, 0.025995, -0.003925, 0.010254, 0.000704),
        [
            Shape("capsule", (0.0565, 0.12), (0.0, -0.14, 0.0), (HALF_PI, 0.0, 0.0)),
            Shape("cylinder", (0.0575, 0.15), (0.0, 0.0, 0.0), color=GREY),
        ],
    ),
    Link(
        "panda_link3", "panda_link2", (0, -0.316, 0), (HALF_PI, 0, 0), _arm_joint(3, -2.8973, 2.8973),
        3.228604, (0.027518, 0.039252, -0.066502), (0.037242, 0.036155, 0.01083, -0.004761, -0.011396, -0.012805),
        [
            Shape("capsule", (0.053, 0.10), (0.0, 0.0, -0.08)),
            Shape("capsule", (0.052, 0.10), (0.0825, 0.0, 0.0), (HALF_PI, 0.0, 0.0)),
            Shape("capsule", (0.050, 0.0825), (0.041, 0.0, -0.005), (0.0, HALF_PI, 0.0)),
        ],
    ),
    Link(
        "panda_link4", "panda_link3", (0.0825, 0, 0), (HALF_PI, 0, 0), _arm_joint(4, -3.0718, -0.0698),
        3.587895, (-0.05317, 0.104419, 0.027454), (0.025853, 0.019552, 0.028323, 0.007796, -0.001332, 0.008641),
        [
            Shape("cylinder", (0.0525, 0.13), (0.0, 0.0, 0.0), color=GREY),
            Shape("capsule", (0.050, 0.0825), (-0.041, 0.015, 0.0), (0.0, HALF_PI, 0.0)),
            Shape("capsule", (0.051, 0.10), (-0.0825, 0.09, 0.0), (HALF_PI, 0.0, 0.0)),
        ],
    ),
    Link(
        "panda_link5", "panda_link4", (-0.0825, 0.384, 0), (-HALF_PI, 0, 0), _arm_joint(5, -2.8973, 2.8973),
        1.225946, (-0.011953, 0.041065, -0.038437), (0.035549, 0.029474, 0.008627, -0.002117, -0.004037, 0.000229),
        [
            Shape("capsule", (0.050, 0.10), (0.0, 0.0, -0.24)),
            Shape("capsule", (0.038, 0.14), (0.0, 0.065, -0.11)),
            Shape("capsule", (0.047, 0.06), (0.0, 0.02, -0.01), (HALF_PI, 0.0, 0.0)),
        ],
    ),
    Link(
        "panda_link6", "panda_link5", (0, 0, 0), (HALF_PI, 0, 0), _arm_joint(6, -0.0175, 3.7525),
        1.666555, (0.060149, -0.014117, -0.010517), (0.001964, 0.004354, 0.005433, 0.000109, -0.001158, 0.000341),
        [
            Shape("cylinder", (0.046, 0.10), (0.0, 0.0, 0.0), color=GREY),
            Shape("capsule", (0.047, 0.05), (0.075, 0.01, 0.0), (HALF_PI, 0.0, 0.0)),
            Shape("capsule", (0.042, 0.06), (0.04, 0.0, 0.0), (0.0, HALF_PI, 0.0)),
        ],
    ),
    Link(
        "panda_link7", "panda_link6", (0.088, 0, 0), (HALF_PI, 0, 0), _arm_joint(7, -2.8973, 2.8973),
        0.735522, (0.010517, -0.004252, 0.061597), (0.012516, 0.010027, 0.004815, -0.000428, -0.001196, -0.000741),
        [
            Shape("cylinder", (0.044, 0.10), (0.0, 0.0, 0.055)),
            Shape("cylinder", (0.045, 0.012), (0.0, 0.0, 0.1), color=ACCENT),
        ],
    ),
    Link(
        "panda_hand", "panda_link7", (0, 0, 0.107), (0, 0, -HALF_PI / 2), None,
        0.73, (-0.01, 0.0, 0.03), (0.001, 0.0025, 0.0017, 0.0, 0.0, 0.0),
        [
            Shape("box", (0.04, 0.20, 0.056), (0.0, 0.0, 0.033), color=WHITE, collider=True),
            Shape("box", (0.043, 0.17, 0.008), (0.0, 0.0, 0.062), color=GREY),
            Shape("capsule", (0.031, 0.14), (0.0, 0.0, 0.034), (HALF_PI, 0.0, 0.0)),
            Shape("cylinder", (0.034, 0.03), (0.0, 0.0, 0.008), color=GREY),
        ],
    ),
    _finger("left", 0.0),
    _finger("right", math.pi),
]  # fmt: skip
"""The robot, base first; every parent stands before its children."""


def _rotation(rpy: Vec3) -> Gf.Quatf:
    """Return the rotation Rz(yaw) Ry(pitch) Rx(roll), from (roll, pitch, yaw) [rad]."""
    return Gf.Quatf(*Rotation.from_euler("xyz", rpy).as_quat(scalar_first=True).tolist())


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


def write_franka_panda(path: Path) -> Path:
    """Author the robot as a USD layer.

    Args:
        path: File to write, ending in ``.usda``.

    Returns:
        ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stage: Usd.Stage = Usd.Stage.CreateInMemory()  # type: ignore[assignment]
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    UsdPhysics.SetStageKilogramsPerUnit(stage, 1.0)
    root = UsdGeom.Xform.Define(stage, "/Panda")
    stage.SetDefaultPrim(root.GetPrim())
    UsdPhysics.ArticulationRootAPI.Apply(root.GetPrim())

    def material(name: str, color: Vec3, roughness: float) -> UsdShade.Material:
        prim = UsdShade.Material.Define(stage, f"/Panda/Looks/{name}")
        shader = UsdShade.Shader.Define(stage, f"/Panda/Looks/{name}/Shader")
        shader.CreateIdAttr("UsdPreviewSurface")
        shader.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).Set(Gf.Vec3f(*color))
        shader.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(roughness)
        shader.CreateInput("metallic", Sdf.ValueTypeNames.Float).Set(0.0)
        prim.CreateSurfaceOutput().ConnectToSource(shader.ConnectableAPI(), "surface")
        return prim

    looks = {
        WHITE: material("White", WHITE, 0.35),
        GREY: material("Grey", GREY, 0.5),
        DARK: material("Rubber", DARK, 0.9),
        ACCENT: material("Accent", ACCENT, 0.4),
    }
    rubber = UsdPhysics.MaterialAPI.Apply(looks[DARK].GetPrim())
    rubber.CreateStaticFrictionAttr(1.5)
    rubber.CreateDynamicFrictionAttr(1.5)
    rubber.CreateRestitutionAttr(0.0)

    poses: dict[str, Gf.Matrix4d] = {}
    for link in FRANKA_PANDA_LINKS:
        local = Gf.Matrix4d(Gf.Rotation(Gf.Quatd(_rotation(link.rpy))), Gf.Vec3d(*link.pos))
        poses[link.name] = local if link.parent is None else local * poses[link.parent]
        body = UsdGeom.Xform.Define(stage, f"/Panda/{link.name}")
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
            _write_shape(stage, f"/Panda/{link.name}/shape_{index}", shape, looks[shape.color])
        _write_joint(stage, link)

    text = stage.GetRootLayer().ExportToString()
    path.write_text(text)
    return path


def _write_shape(stage: Usd.Stage, path: str, shape: Shape, look: UsdShade.Material) -> None:
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
    geometry.CreateDisplayColorAttr([Gf.Vec3f(*shape.color)])
    prim = geometry.GetPrim()
    UsdShade.MaterialBindingAPI.Apply(prim).Bind(look)
    if not shape.collider:
        return
    UsdPhysics.CollisionAPI.Apply(prim)
    if shape.pad:
        # A stiff pad whose parameters win over those of whatever it touches: softer contacts let the cube sink in and
        # squirt out. The corners of the two boxes make four contacts, which hold a torque about the grasp axis by
        # themselves; torsional friction (condim 4) would only add half as many constraint rows again.
        prim.CreateAttribute("mjc:condim", Sdf.ValueTypeNames.Int).Set(3)
        prim.CreateAttribute("mjc:priority", Sdf.ValueTypeNames.Int).Set(1)
        prim.CreateAttribute("mjc:solimp", Sdf.ValueTypeNames.DoubleArray).Set([0.98, 0.995, 0.001, 0.5, 2.0])
        prim.CreateAttribute("mjc:solref", Sdf.ValueTypeNames.DoubleArray).Set([0.02, 1.0])
        UsdShade.MaterialBindingAPI(prim).Bind(look, UsdShade.Tokens.weakerThanDescendants, "physics")


def _write_joint(stage: Usd.Stage, link: Link) -> None:
    path = f"/Panda/joints/{link.joint.name if link.joint else f'{link.name}_fixed'}"
    revolute = link.joint is not None and link.joint.kind == "revolute"
    if link.joint is None:
        joint = UsdPhysics.FixedJoint.Define(stage, path)
    else:
        joint = (UsdPhysics.RevoluteJoint if revolute else UsdPhysics.PrismaticJoint).Define(stage, path)
        joint.CreateAxisAttr("Z" if revolute else "Y")
        lower, upper = map(math.degrees, link.joint.limits) if revolute else link.joint.limits
        joint.CreateLowerLimitAttr(lower)
        joint.CreateUpperLimitAttr(upper)
    if link.parent is not None:
        joint.CreateBody0Rel().SetTargets([f"/Panda/{link.parent}"])
    joint.CreateBody1Rel().SetTargets([f"/Panda/{link.name}"])
    joint.CreateLocalPos0Attr(Gf.Vec3f(*map(float, link.pos)))
    joint.CreateLocalRot0Attr(_rotation(link.rpy))
    joint.CreateLocalPos1Attr(Gf.Vec3f(0.0, 0.0, 0.0))
    joint.CreateLocalRot1Attr(Gf.Quatf(1.0, 0.0, 0.0, 0.0))
    if link.joint is not None:
        # The drive exists so that actuators can set its gains; the asset itself stays passive.
        drive = UsdPhysics.DriveAPI.Apply(joint.GetPrim(), "angular" if revolute else "linear")
        drive.CreateTypeAttr("force")
        drive.CreateMaxForceAttr(link.joint.effort)
        drive.CreateStiffnessAttr(0.0)
        drive.CreateDampingAttr(0.0)


if __name__ == "__main__":
    print(f"Wrote {write_franka_panda(FRANKA_PANDA_USD)}")
