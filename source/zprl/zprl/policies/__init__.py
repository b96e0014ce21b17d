# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Base policies: what steering needs of one, and the project's own, a flow-matching policy with a bottleneck."""

from zprl.policies.base import BasePolicy, ChunkPlayer, Knob, Plan
from zprl.policies.flow.base_policy import FlowBasePolicy
from zprl.policies.flow.bottleneck import VariationalBottleneck, kl_to_standard_normal, sample_latent
from zprl.policies.flow.cfg import INFERENCE_FIELDS, FlowPolicyCfg, PretrainCfg
from zprl.policies.flow.encoders import ImageEmbedding, ObservationEmbedding
from zprl.policies.flow.normalizer import Normalizer
from zprl.policies.flow.policy import FlowPolicy
from zprl.policies.flow.step import PolicyStep, TorchPolicyStep
from zprl.policies.flow.training import ChunkDataset, PretrainResult, latent_statistics, make_chunks, train_policy
from zprl.policies.flow.velocity_field import ResidualMLPVelocityField, VelocityField
from zprl.policies.io import load_policy, save_policy
from zprl.policies.loading import make_base_policy, spec_of
from zprl.policies.native.step import NativePolicyStep, make_policy_step, make_policy_step_on

__all__ = [
    "INFERENCE_FIELDS",
    "BasePolicy",
    "ChunkDataset",
    "ChunkPlayer",
    "FlowBasePolicy",
    "FlowPolicy",
    "FlowPolicyCfg",
    "ImageEmbedding",
    "Knob",
    "NativePolicyStep",
    "Normalizer",
    "ObservationEmbedding",
    "Plan",
    "PolicyStep",
    "PretrainCfg",
    "PretrainResult",
    "ResidualMLPVelocityField",
    "TorchPolicyStep",
    "VariationalBottleneck",
    "VelocityField",
    "kl_to_standard_normal",
    "latent_statistics",
    "load_policy",
    "make_base_policy",
    "make_chunks",
    "make_policy_step",
    "make_policy_step_on",
    "sample_latent",
    "save_policy",
    "spec_of",
    "train_policy",
]
