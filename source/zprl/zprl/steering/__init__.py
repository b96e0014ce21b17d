# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Between what reinforcement learning outputs and the action chunk that is executed."""

from .action_residual import ActionResidual as ActionResidual
from .action_residual import ActionResidualCfg as ActionResidualCfg
from .direct_action import DirectAction as DirectAction
from .direct_action import DirectActionCfg as DirectActionCfg
from .embedding_residual import EmbeddingResidual as EmbeddingResidual
from .embedding_residual import EmbeddingResidualCfg as EmbeddingResidualCfg
from .flow_chain import FlowChain as FlowChain
from .flow_chain import FlowChainCfg as FlowChainCfg
from .latent_residual import LatentResidual as LatentResidual
from .latent_residual import LatentResidualCfg as LatentResidualCfg
from .noise import InitialNoise as InitialNoise
from .noise import InitialNoiseCfg as InitialNoiseCfg
from .steering import Steering as Steering
from .steering import SteeringCfg as SteeringCfg
from .steering import make_steering as make_steering
from .step_residual import StepResidual as StepResidual
from .step_residual import StepResidualCfg as StepResidualCfg
