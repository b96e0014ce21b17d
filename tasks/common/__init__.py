# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What the task families share: engines, the environment's configuration, scene parts, randomisation and cameras."""

from zprl.tasks.common.cameras import camera_group as camera_group
from zprl.tasks.common.env_cfg import DisturbanceTargetsCfg as DisturbanceTargetsCfg
from zprl.tasks.common.env_cfg import TaskEnvCfg as TaskEnvCfg
from zprl.tasks.common.physics import PhysicsPresetsCfg as PhysicsPresetsCfg
from zprl.tasks.common.physics import physics_presets as physics_presets
from zprl.tasks.common.randomization import randomized_friction as randomized_friction
from zprl.tasks.common.randomization import randomized_gains as randomized_gains
from zprl.tasks.common.randomization import randomized_mass as randomized_mass
from zprl.tasks.common.scene import LIGHT as LIGHT
from zprl.tasks.common.scene import TABLE as TABLE
from zprl.tasks.common.scene import TaskSceneCfg as TaskSceneCfg
