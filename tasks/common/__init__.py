# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What the task families share: engines, success, robots in an environment, a table and an object, two arms, a hand."""

from zprl.tasks.common.compound import CompoundCfg as CompoundCfg
from zprl.tasks.common.compound import CompoundPartCfg as CompoundPartCfg
from zprl.tasks.common.env_cfg import DisturbanceTargetsCfg as DisturbanceTargetsCfg
from zprl.tasks.common.env_cfg import TaskEnvCfg as TaskEnvCfg
from zprl.tasks.common.env_cfg import TaskSceneCfg as TaskSceneCfg
from zprl.tasks.common.hand import HAND_CONTROL_PERIOD as HAND_CONTROL_PERIOD
from zprl.tasks.common.hand import HAND_SUBSTEP as HAND_SUBSTEP
from zprl.tasks.common.hand import HandEnvCfg as HandEnvCfg
from zprl.tasks.common.hand import HandEventCfg as HandEventCfg
from zprl.tasks.common.hand import HandObservationsCfg as HandObservationsCfg
from zprl.tasks.common.hand import HandSceneCfg as HandSceneCfg
from zprl.tasks.common.hand import hinged as hinged
from zprl.tasks.common.hand import randomized_hand as randomized_hand
from zprl.tasks.common.shapes import box as box
from zprl.tasks.common.shapes import fixture as fixture
from zprl.tasks.common.shapes import open_bin as open_bin
from zprl.tasks.common.shapes import prism as prism
from zprl.tasks.common.shapes import ring as ring
from zprl.tasks.common.tabletop import CONTROL_PERIOD as CONTROL_PERIOD
from zprl.tasks.common.tabletop import TabletopEnvCfg as TabletopEnvCfg
from zprl.tasks.common.tabletop import TabletopEventCfg as TabletopEventCfg
from zprl.tasks.common.tabletop import TabletopObservationsCfg as TabletopObservationsCfg
from zprl.tasks.common.tabletop import TabletopSceneCfg as TabletopSceneCfg
from zprl.tasks.common.tabletop import measured as measured
from zprl.tasks.common.tabletop import placed as placed
from zprl.tasks.common.tabletop import randomized as randomized
from zprl.tasks.common.two_arms import TwoArmEnvCfg as TwoArmEnvCfg
from zprl.tasks.common.visual import FAR_VIEW as FAR_VIEW
from zprl.tasks.common.visual import WIDE_VIEW as WIDE_VIEW
from zprl.tasks.common.visual import VisualTabletop as VisualTabletop
