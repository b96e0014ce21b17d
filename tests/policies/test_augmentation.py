# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Random changes of images in training."""

import pytest
import torch

from zprl.policies.flow.augmentation import ImageAugmentation, blurred, random_crop
from zprl.policies.flow.cfg import ImageAugmentationCfg


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def changed_by(cfg, inputs, seed=0, **crops) -> dict[str, torch.Tensor]:
    changed = ImageAugmentation(cfg, crops)(inputs, generator(seed))
    assert isinstance(changed, dict)
    return changed


def random_images(*shape):
    return torch.randint(256, shape, generator=generator(7), dtype=torch.uint8)


@pytest.mark.parametrize("shape", [(40, 7, 9, 3), (40, 2, 7, 9, 3)])
def test_a_crop_is_a_window_at_a_place_of_each_rows_own(shape):
    images = random_images(*shape)
    cut = random_crop(images, (5, 6), generator())
    assert cut.shape == (*shape[:-3], 5, 6, 3)
    draws = generator()
    top, left = (torch.randint(room, (40, 1), generator=draws).squeeze(1).tolist() for room in (3, 4))
    for i, (y, x) in enumerate(zip(top, left, strict=True)):
        assert torch.equal(cut[i], images[i][..., y : y + 5, x : x + 6, :])
    assert {*zip(top, left, strict=True)} == {(y, x) for y in range(3) for x in range(4)}
    assert torch.equal(random_crop(images, shape[-3:-1], generator()), images)


def test_a_row_changes_by_its_own_numbers_and_these_by_the_seed():
    images = random_images(1, 3, 8, 8, 3).expand(16, -1, -1, -1, -1)
    inputs = {"state": torch.randn(16, 2), "camera": images}
    cfg = ImageAugmentationCfg(True, 0.2, 0.2, 0.2, 0.5)
    first, again, other = (changed_by(cfg, inputs, seed, camera=(6, 6)) for seed in (1, 1, 2))
    assert first["camera"].shape == (16, 3, 6, 6, 3) and first["camera"].dtype == torch.uint8
    assert torch.equal(first["camera"], again["camera"]) and not torch.equal(first["camera"], other["camera"])
    assert len(first["camera"].flatten(1).unique(dim=0)) == 16
    assert torch.equal(first["state"], inputs["state"])


@pytest.mark.parametrize("setting", ["brightness", "contrast", "color"])
def test_a_change_of_colour_is_what_it_says(setting):
    """Pixels of 100 and 140, whose mean is 120, in all channels."""
    images = torch.full((200, 2, 4, 4, 3), 100, dtype=torch.uint8)
    images[:, :, ::2] = 140
    cfg = ImageAugmentationCfg(random_crop=False, **{setting: 0.2})
    changed = changed_by(cfg, {"camera": images})["camera"].float()
    low, high = changed[:, 0, 1, 0], changed[:, 0, 0, 0]  # (200, 3)
    assert torch.equal(changed[:, :, 1::2], low[:, None, None, None].expand(-1, 2, 2, 4, -1)), "the same everywhere"
    assert (low[:, 0] == low[:, 1]).all() == (setting != "color")
    expected = {
        "brightness": (100 - 51, 100 + 51, high - low - 40),
        "contrast": (120 - 24, 120 - 16, high + low - 240),
        "color": (80, 120, high / low - 1.4),
    }[setting]
    assert low.min() >= expected[0] - 0.5 and low.max() <= expected[1] + 0.5
    assert low.max() - low.min() > 0.8 * (expected[1] - expected[0])
    assert expected[2].abs().max() < (0.02 if setting == "color" else 1.1)


def test_blur_is_a_weighted_mean_of_nine_pixels_in_its_share_of_the_rows():
    point = torch.zeros(1, 1, 5, 5, 1)
    point[0, 0, 2, 2] = 160.0
    kernel = torch.tensor([1.0, 2.0, 1.0])
    assert torch.equal(blurred(point)[0, 0, 1:4, 1:4, 0], 10.0 * kernel[:, None] * kernel)
    assert torch.equal(blurred(torch.full((2, 1, 3, 4, 3), 5.0)), torch.full((2, 1, 3, 4, 3), 5.0))
    images = random_images(400, 6, 6, 3)
    changed = changed_by(ImageAugmentationCfg(False, blur=0.3), {"camera": images})["camera"]
    share = (changed != images).flatten(1).any(dim=1).float().mean()
    assert 0.2 < share < 0.4


def test_depths_are_only_cropped_and_states_draw_nothing():
    depth = torch.rand(4, 8, 8, 1)
    augment = ImageAugmentation(ImageAugmentationCfg(True, 0.5, 0.5, 0.5, 1.0), {"depth": (6, 6)})
    draws = generator()
    changed = augment({"depth": depth}, draws)
    assert isinstance(changed, dict)
    assert torch.equal(changed["depth"], random_crop(depth, (6, 6), generator()))
    before, state = draws.get_state(), torch.randn(4, 3)
    assert augment(state, draws) is state
    assert torch.equal(draws.get_state(), before)
