# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The base policy: a flow-matching policy with a variational bottleneck, its training, its file and its fast step."""

from zprl.policies.flow.bottleneck import VariationalBottleneck, kl_to_standard_normal, sample_latent
from zprl.policies.flow.cfg import INFERENCE_FIELDS, FlowPolicyCfg, PretrainCfg
from zprl.policies.flow.encoders import ObservationEmbedding
from zprl.policies.flow.normalizer import Normalizer
from zprl.policies.flow.policy import FlowPolicy
from zprl.policies.flow.training import PretrainResult, latent_statistics, make_chunks, train_policy
from zprl.policies.flow.velocity_field import ResidualMLPVelocityField, VelocityField
from zprl.policies.io import load_policy, policy_from_dict, policy_to_dict, save_policy
from zprl.policies.native.step import (
    NativePolicyStep,
    PolicyStep,
    TorchPolicyStep,
    make_policy_step,
    make_policy_step_on,
)

__all__ = [
    "INFERENCE_FIELDS",
    "FlowPolicy",
    "FlowPolicyCfg",
    "NativePolicyStep",
    "Normalizer",
    "ObservationEmbedding",
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
    "make_chunks",
    "make_policy_step",
    "make_policy_step_on",
    "policy_from_dict",
    "policy_to_dict",
    "sample_latent",
    "save_policy",
    "train_policy",
]
