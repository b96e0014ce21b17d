# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Normalisation of observations and actions."""

import pytest
import torch

from zprl.policies import Normalizer


def test_normalised_data_has_zero_mean_and_unit_variance_and_comes_back():
    data = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.1, 1.0, 50.0]) + 7.0
    normalizer = Normalizer(3)
    normalizer.fit(data, constant_std=1.0)
    normalised = normalizer(data)
    torch.testing.assert_close(normalised.mean(dim=0), torch.zeros(3), atol=1e-4, rtol=0.0)
    torch.testing.assert_close(normalised.std(dim=0, correction=0), torch.ones(3), atol=1e-4, rtol=0.0)
    torch.testing.assert_close(normalizer.inverse(normalised), data)


@pytest.mark.parametrize("constant_std", [1.0, 1e-3])
def test_constant_dimension_stays_finite(constant_std):
    data = torch.stack([torch.full((10,), 0.3), torch.arange(10.0)], dim=1)
    normalizer = Normalizer(2)
    normalizer.fit(data, constant_std=constant_std)
    assert normalizer.std[0].item() == pytest.approx(constant_std)
    torch.testing.assert_close(normalizer(data)[:, 0], torch.zeros(10), atol=1e-3, rtol=0.0)
    torch.testing.assert_close(normalizer.inverse(torch.zeros(1, 2))[0, 0].item(), 0.3, atol=1e-6, rtol=0.0)


def test_large_offset_keeps_its_variance():
    data = 1.0e4 + torch.tensor([[-0.05], [0.05]])
    normalizer = Normalizer(1)
    normalizer.fit(data, constant_std=1.0)
    assert normalizer.std.item() == pytest.approx(data.double().std(correction=0).item(), rel=1e-5)


def test_identity_before_fit():
    x = torch.randn(2, 3)
    torch.testing.assert_close(Normalizer(3)(x), x)


@pytest.mark.parametrize(
    "data", [torch.zeros(0, 2), torch.zeros(3, 1), torch.tensor([[0.0, float("nan")]]), torch.zeros(2)]
)
def test_unusable_data_is_refused(data):
    with pytest.raises(ValueError, match=r"expected data|NaN"):
        Normalizer(2).fit(data, constant_std=1.0)
