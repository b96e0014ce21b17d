# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Things made of boxes: where they are solid and where they are hollow, at points drawn at random."""

import math

import numpy as np
import pytest

from zprl.tasks.common import open_bin, prism, ring

COLOR = (0.5, 0.5, 0.5)


def solid(parts, points):
    """Return which points (n, 3) lie in one of the boxes."""
    inside = np.zeros(len(points), bool)
    for part in parts:
        x, y, z, w = part.rot
        assert (x, y) == (0.0, 0.0)
        yaw = 2 * math.atan2(z, w)
        offset = points - part.pos
        cos, sin = math.cos(yaw), math.sin(yaw)
        local = np.stack([cos * offset[:, 0] + sin * offset[:, 1], cos * offset[:, 1] - sin * offset[:, 0]], axis=1)
        local = np.concatenate([local, offset[:, 2:]], axis=1)
        inside |= (np.abs(local) <= np.array(part.spawn.size) / 2 + 1e-12).all(axis=1)
    return inside


def on_circles(low, high, z, generator, count=2000):
    """Return points (count, 3) at heights ``z`` and distances between two radii from the axis."""
    radius, angle = generator.uniform(low, high, count), generator.uniform(-math.pi, math.pi, count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), generator.uniform(*z, count)], axis=1)


@pytest.mark.parametrize("boxes", [3, 4, 6])
def test_a_prism_is_full_up_to_its_sides_and_no_further_than_its_edges(boxes):
    generator, parts = np.random.default_rng(0), prism(0.025, 0.08, boxes, color=COLOR, friction=1.0)
    assert len(parts) == boxes
    assert solid(parts, on_circles(0.0, 0.025, (-0.04, 0.04), generator)).all()
    edge = 0.025 / math.cos(math.pi / (2 * boxes))
    assert not solid(parts, on_circles(edge + 1e-6, 0.1, (-0.04, 0.04), generator)).any()
    assert not solid(parts, on_circles(0.0, 0.025, (0.0401, 0.1), generator)).any()


@pytest.mark.parametrize("boxes", [6, 8])
def test_a_ring_is_hollow_inside_and_closed_all_round(boxes):
    generator, parts = np.random.default_rng(1), ring(0.046, 0.04, 0.008, boxes, 0.12, color=COLOR)
    assert not solid(parts, on_circles(0.0, 0.046 - 1e-6, (0.12, 0.16), generator)).any()
    assert solid(parts, on_circles(0.046 / math.cos(math.pi / boxes), 0.054, (0.12, 0.16), generator)).all()
    assert not solid(parts, on_circles(0.046, 0.054, (0.0, 0.1199), generator)).any()


def test_a_bin_is_open_above_and_has_the_room_that_is_asked_for():
    generator, parts = np.random.default_rng(2), open_bin((0.38, 0.48, 0.08), 0.02, (0.6, -0.15, -0.092))
    centre = np.array([0.6, -0.15, -0.092])
    room = centre + generator.uniform((-0.19, -0.24, 1e-6), (0.19, 0.24, 0.2), (2000, 3))
    assert not solid(parts, room).any()
    shell = centre + generator.uniform((-0.21, -0.26, -0.02), (0.21, 0.26, 0.08), (20000, 3))
    offset = np.abs(shell - centre)
    assert solid(parts, shell[(offset[:, 0] > 0.19) | (offset[:, 1] > 0.24) | (shell[:, 2] < centre[2])]).all()


@pytest.mark.sim
def test_the_nuts_handle_resists_twisting_where_boxes_touch_in_single_points():
    from isaaclab_newton.sim.schemas import MujocoCollisionCfg

    from zprl.sim.isaaclab import resolve_task

    def nut(*overrides):
        return resolve_task("Zprl-Square-Franka", None, overrides)[0].scene.object.spawn.parts

    mujoco, warp = nut("physics=mujoco"), nut("physics=newton_mjwarp")
    assert [part.to_dict() for part in nut()] == [part.to_dict() for part in mujoco]
    assert [(part.pos, part.spawn.size) for part in warp] == [(part.pos, part.spawn.size) for part in mujoco]
    assert [part.to_dict() for part in warp[:-1]] == [part.to_dict() for part in mujoco[:-1]]
    (contact,) = [props for props in warp[-1].spawn.collision_props if isinstance(props, MujocoCollisionCfg)]
    assert (contact.condim, contact.priority) == (4, 1)  # the pads have this priority
    assert [material.static_friction for material in warp[-1].spawn.physics_material[:1]] == [0.95]
    assert warp[-1].spawn.physics_material[1].torsional_friction == 0.3
