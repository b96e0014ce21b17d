# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Base policies: what steering needs of one, and the project's own, a flow-matching policy with a bottleneck."""

from zprl.policies.base import BasePolicy as BasePolicy
from zprl.policies.base import Knob as Knob
from zprl.policies.base import Plan as Plan
from zprl.policies.experience import Experience as Experience
from zprl.policies.flow.base_policy import FlowBasePolicy as FlowBasePolicy
from zprl.policies.flow.bottleneck import VariationalBottleneck as VariationalBottleneck
from zprl.policies.flow.bottleneck import kl_to_standard_normal as kl_to_standard_normal
from zprl.policies.flow.bottleneck import sample_latent as sample_latent
from zprl.policies.flow.cfg import EVALUATION_FIELDS as EVALUATION_FIELDS
from zprl.policies.flow.cfg import INFERENCE_FIELDS as INFERENCE_FIELDS
from zprl.policies.flow.cfg import FlowPolicyCfg as FlowPolicyCfg
from zprl.policies.flow.cfg import PretrainCfg as PretrainCfg
from zprl.policies.flow.cfg import VisualPolicyCfg as VisualPolicyCfg
from zprl.policies.flow.cfg import VisualPretrainCfg as VisualPretrainCfg
from zprl.policies.flow.encoders import ImageEmbedding as ImageEmbedding
from zprl.policies.flow.encoders import Normalizer as Normalizer
from zprl.policies.flow.encoders import ObservationEmbedding as ObservationEmbedding
from zprl.policies.flow.policy import FlowPolicy as FlowPolicy
from zprl.policies.flow.training import train_policy as train_policy
from zprl.policies.flow.unet import UNetVelocityField as UNetVelocityField
from zprl.policies.flow.velocity_field import ResidualMLPVelocityField as ResidualMLPVelocityField
from zprl.policies.flow.velocity_field import VelocityField as VelocityField
from zprl.policies.imported.base_policy import ImportedBasePolicy as ImportedBasePolicy
from zprl.policies.imported.bottleneck import ImportedBottleneckCfg as ImportedBottleneckCfg
from zprl.policies.imported.policy import IMPORTED_INFERENCE_FIELDS as IMPORTED_INFERENCE_FIELDS
from zprl.policies.imported.policy import ImportedPolicy as ImportedPolicy
from zprl.policies.io import load_any_policy as load_any_policy
from zprl.policies.io import load_policy as load_policy
from zprl.policies.io import make_base_policy as make_base_policy
from zprl.policies.io import save_policy as save_policy
from zprl.policies.io import spec_of as spec_of
from zprl.policies.native.step import NativePolicyStep as NativePolicyStep
from zprl.policies.native.step import make_policy_step as make_policy_step
