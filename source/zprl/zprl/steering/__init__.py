# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Between what reinforcement learning outputs and the action chunk that is executed."""

from .latent_residual import LatentResidual as LatentResidual
from .latent_residual import LatentResidualCfg as LatentResidualCfg
from .steering import Steering as Steering
from .steering import SteeringCfg as SteeringCfg
from .steering import make_steering as make_steering
