# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Camera images of many worlds at once by ray casting on the CPU: arrays in, images out, and no simulator."""

from zprl.sim.render.poses import composed as composed
from zprl.sim.render.poses import looking as looking
from zprl.sim.render.poses import turned as turned
from zprl.sim.render.ray_caster import PinholeCamera as PinholeCamera
from zprl.sim.render.ray_caster import RayCaster as RayCaster
from zprl.sim.render.ray_caster import RenderStyle as RenderStyle
from zprl.sim.render.scene import Primitives as Primitives
from zprl.sim.render.scene import Shape as Shape
