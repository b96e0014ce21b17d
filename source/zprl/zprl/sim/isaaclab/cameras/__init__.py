# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What a policy sees: cameras in every world, drawn when somebody looks.

::

    control step   ->  observation group "scene": poses of all bodies, and how things look in this episode
    end of a chunk ->  SceneCameras.draw(scene) -> images, of all worlds or of some

Isaac Lab's camera sensors draw what there is now, all worlds at once. Here an image is a function of an observation, so
that it can be drawn later, or never: the last moment of an episode is there after the reset.
"""

from zprl.sim.isaaclab.cameras.cameras_cfg import NativeRendererCfg as NativeRendererCfg
from zprl.sim.isaaclab.cameras.cameras_cfg import PolicyCameraCfg as PolicyCameraCfg
from zprl.sim.isaaclab.cameras.cameras_cfg import choose_renderer as choose_renderer
