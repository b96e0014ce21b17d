# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The replay buffer: what it keeps, what it draws, and that a checkpoint restores it to the last bit."""

import pytest
import torch

from zprl.rl.replay import ReplayBuffer, Transitions
from zprl.utils.errors import ZprlError

WORLDS = 3


def observations(first):
    """Return observations of three worlds that no other step has."""
    return {
        "policy": torch.arange(first, first + 2.0 * WORLDS).view(WORLDS, 2),
        "latent": torch.arange(first, first + WORLDS).view(WORLDS, 1) + 0.5,
    }


def make(capacity=12):
    return ReplayBuffer(capacity, WORLDS, observations(0.0), 2, "cpu")


def fill(replay, steps, start=0, ends=()):
    """Add steps in which the worlds move on from one observation to the next, but for ``ends`` = (step, world)."""
    for step in range(start, start + steps):
        following = observations(100.0 * (step + 1))
        for end, world in ends:
            if end == step:
                following["policy"][world] = -1.0 - step
        outputs = torch.full((WORLDS, 2), 0.1 * step)
        rewards = step + torch.arange(WORLDS) / 10.0
        discounts = torch.full((WORLDS,), 0.97)
        replay.add(Transitions(observations(100.0 * step), following, outputs, rewards, discounts))


def stored(replay):
    """Return everything in the buffer, oldest first."""
    order = torch.arange(replay.total - len(replay), replay.total) % replay.capacity
    tensors = [*replay.observations.values(), *replay.next_observations.values()]
    tensors += [replay.actions, replay.rewards, replay.discounts]
    return [tensor[order] for tensor in tensors]


def test_the_oldest_transitions_make_room():
    replay = make(capacity=14)  # four whole steps
    assert (replay.capacity, len(replay)) == (12, 0)
    fill(replay, 6)
    assert (len(replay), replay.total) == (12, 18)
    assert sorted(replay.rewards.int().tolist()) == [step for step in (2, 3, 4, 5) for _ in range(WORLDS)]
    assert torch.equal(replay.latest(1)["policy"], observations(500.0)["policy"])
    assert torch.equal(replay.latest(2)["latent"][:WORLDS], observations(400.0)["latent"])
    assert len(replay.latest(9)["policy"]) == 12


def test_a_sample_keeps_what_belongs_together():
    replay = make()
    fill(replay, 6)
    torch.manual_seed(0)
    batch = replay.at(replay.draw(400))
    step = batch.rewards.int()
    world = ((batch.rewards - step) * 10).round().long()
    assert set(step.tolist()) == {2, 3, 4, 5}
    assert set(world.tolist()) == {0, 1, 2}
    assert torch.equal(batch.observations["policy"][:, 0], 100.0 * step + 2.0 * world)
    assert torch.equal(batch.next_observations["latent"][:, 0], 100.0 * (step + 1) + world + 0.5)
    torch.testing.assert_close(batch.actions[:, 1], 0.1 * step)
    first, second = batch.split(200)
    assert torch.equal(torch.cat([first.rewards, second.rewards]), batch.rewards)
    assert torch.equal(second.next_observations["policy"], batch.next_observations["policy"][200:])


@pytest.mark.parametrize("steps", [1, 3, 4, 7])
def test_a_checkpoint_restores_everything_and_the_ring_goes_on(steps):
    ends = [(0, 1), (2, 0), (2, 1), (6, 2)]
    replay, restored = make(), make()
    fill(replay, steps, ends=ends)
    restored.load_state_dict(replay.state_dict())
    assert restored.total == replay.total
    for ours, theirs in zip(stored(restored), stored(replay), strict=True):
        assert torch.equal(ours, theirs)
    for buffer in (replay, restored):
        fill(buffer, 3, start=steps, ends=[(steps + 1, 0)])
    for ours, theirs in zip(stored(restored), stored(replay), strict=True):
        assert torch.equal(ours, theirs)
    torch.manual_seed(1)
    drawn = replay.at(replay.draw(50)).rewards
    torch.manual_seed(1)
    assert torch.equal(restored.at(restored.draw(50)).rewards, drawn)


def test_a_checkpoint_writes_a_next_observation_only_where_it_is_no_other_transitions_observation():
    replay = make()
    fill(replay, 4, ends=[(0, 1), (2, 2)])
    others = replay.state_dict()["other_next_observations"]["policy"]
    # The two ends, and the last step of the three worlds.
    assert others.tolist() == [[-1.0, -1.0], [-3.0, -3.0], *observations(400.0)["policy"].tolist()]


def test_an_empty_buffer_is_restored():
    restored = make()
    restored.load_state_dict(make().state_dict())
    assert len(restored) == 0


def test_a_buffer_of_another_shape_is_refused():
    replay = make()
    fill(replay, 6)
    state = replay.state_dict()
    with pytest.raises(ValueError, match="another capacity"):
        make(capacity=15).load_state_dict(state)
    other = ReplayBuffer(12, WORLDS, {"policy": torch.zeros(WORLDS, 2)}, 2, "cpu")
    with pytest.raises(ValueError, match="holds other observations"):
        other.load_state_dict(state)
    with pytest.raises(ZprlError, match="capacity of 2 transitions is less than one step of 3 worlds"):
        make(capacity=2)
