# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Between what reinforcement learning outputs and the action chunk that is executed."""

from zprl.steering.action_residual import ActionResidual as ActionResidual
from zprl.steering.action_residual import ActionResidualCfg as ActionResidualCfg
from zprl.steering.direct_action import DirectAction as DirectAction
from zprl.steering.direct_action import DirectActionCfg as DirectActionCfg
from zprl.steering.embedding_residual import EmbeddingResidual as EmbeddingResidual
from zprl.steering.embedding_residual import EmbeddingResidualCfg as EmbeddingResidualCfg
from zprl.steering.flow_chain import FlowChain as FlowChain
from zprl.steering.flow_chain import FlowChainCfg as FlowChainCfg
from zprl.steering.latent_residual import LatentResidual as LatentResidual
from zprl.steering.latent_residual import LatentResidualCfg as LatentResidualCfg
from zprl.steering.noise import InitialNoise as InitialNoise
from zprl.steering.noise import InitialNoiseCfg as InitialNoiseCfg
from zprl.steering.steered_policy import ChunkPolicy as ChunkPolicy
from zprl.steering.steered_policy import base_chunks as base_chunks
from zprl.steering.steered_policy import plain_chunks as plain_chunks
from zprl.steering.steered_policy import steered_chunks as steered_chunks
from zprl.steering.steering import PLAN_FEATURES as PLAN_FEATURES
from zprl.steering.steering import CriticAction as CriticAction
from zprl.steering.steering import Steering as Steering
from zprl.steering.steering import SteeringCfg as SteeringCfg
from zprl.steering.steering import make_steering as make_steering
from zprl.steering.step_residual import StepResidual as StepResidual
from zprl.steering.step_residual import StepResidualCfg as StepResidualCfg
