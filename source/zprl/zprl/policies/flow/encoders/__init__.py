# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What stands between a task's raw numbers and the flow policy: the normaliser, and the encoders of observations.

The paper's encoder, :class:`zprl.policies.flow.encoders.resnet.ResNetEmbedding`, is imported only where it is used.
"""

from zprl.policies.flow.encoders.image import ImageEmbedding as ImageEmbedding
from zprl.policies.flow.encoders.normalizer import MIN_STD as MIN_STD
from zprl.policies.flow.encoders.normalizer import Normalizer as Normalizer
from zprl.policies.flow.encoders.state import ObservationEmbedding as ObservationEmbedding
