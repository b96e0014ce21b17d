# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Images are drawn when somebody looks, of whom somebody looks at, and once."""

import torch

from zprl.envs.chunk_loop import own
from zprl.envs.lazy_observations import LazyObservations, replaced, rows_of


class Drawing:
    """Images that show their world's number, and a list of what was asked for."""

    def __init__(self):
        self.asked = []

    def __call__(self, rows):
        self.asked.append(None if rows is None else rows.tolist())
        worlds = torch.arange(4) if rows is None else rows
        return {"front": worlds.view(-1, 1, 1, 1).expand(-1, 2, 2, 3).to(torch.uint8)}


def observed():
    draw = Drawing()
    return LazyObservations({"policy": torch.arange(8.0).view(4, 2)}, ["front"], draw), draw


def test_nothing_is_drawn_for_vectors():
    obs, draw = observed()
    assert list(obs) == ["policy", "front"] and len(obs) == 2 and "front" in obs
    assert obs["policy"].shape == (4, 2)
    replaced(obs, {"policy": torch.zeros(4, 2)})
    assert draw.asked == []


def test_all_images_are_drawn_once():
    obs, draw = observed()
    first = own(obs)
    assert torch.equal(obs["front"], first["front"]) and draw.asked == [None]
    assert torch.equal(rows_of(obs, torch.tensor([2]))["front"], first["front"][2:3]) and draw.asked == [None]


def test_only_the_rows_asked_for_are_drawn():
    obs, draw = observed()
    some = rows_of(obs, torch.tensor([3, 1]))
    assert draw.asked == [[3, 1]]
    assert some["policy"].tolist() == [[6.0, 7.0], [2.0, 3.0]]
    assert some["front"][:, 0, 0, 0].tolist() == [3, 1]
    assert rows_of({"policy": torch.arange(4.0)}, torch.tensor([2]))["policy"].tolist() == [2.0]


def test_other_vectors_keep_the_images():
    obs, draw = observed()
    seen = obs["front"]
    changed = replaced(obs, {"policy": torch.ones(4, 2)})
    assert changed["policy"].sum() == 8 and obs["policy"][0].tolist() == [0.0, 1.0]
    assert changed["front"] is seen and draw.asked == [None]
    assert replaced({"a": seen, "b": seen}, {"b": torch.zeros(1)})["b"].shape == (1,)
