# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Exports of a policy whose velocity field is the U-Net."""

import pytest
import torch

from zprl.deploy.load import open_bundle
from zprl.policies.flow.unet import UNetVelocityField

from .conftest import ALL_KINDS, OBS_DIM, make_bundle, make_source


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unet")
    unet = {"velocity_field_class": "zprl.policies.flow.unet:UNetVelocityField", "unet_channels": (8, 12)}
    source = make_source(folder, **unet, unet_groups=4, horizon=5, num_flow_steps=1)  # which two levels do not divide
    assert isinstance(source.policy.velocity_field, UNetVelocityField)
    make_bundle(folder / "bundle", source, verified=False)
    return source, folder / "bundle"


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_every_format_is_the_policy(exported, kind):
    source, folder = exported
    obs = 2.0 * torch.randn(7, OBS_DIM, generator=torch.Generator().manual_seed(3)) + 1.0
    with torch.inference_mode():
        expected = source.reference()(obs.double())
    bundle, scale = open_bundle(folder, kind), float(expected.square().mean().sqrt())
    for chunk in (bundle.act(obs), bundle.act_batch(obs)):
        assert float((chunk - expected).abs().max()) < 1e-5 * scale
