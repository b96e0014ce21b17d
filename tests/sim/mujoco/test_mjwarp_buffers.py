# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""MuJoCo-Warp's buffers, whose sizes the task sets, are large enough."""

import pytest
import torch

from .conftest import lift_environment, solver_of

pytestmark = pytest.mark.sim


def test_contact_buffers_have_room():
    """Overfull buffers drop contacts with no more than a printed line: push cubes into the table with a closed hand."""
    with lift_environment("newton_mjwarp", num_envs=64) as env:
        data = solver_of(env).mjw_data
        obs = env.reset(seed=1)[0]["policy"]
        generator = torch.Generator().manual_seed(0)
        most_rows = most_contacts = 0
        for _ in range(80):
            action = 2 * torch.rand(env.num_envs, 7, generator=generator) - 1
            # From the grasp centre to the cube.
            action[:, :3] += 12 * (obs[:, 18:21] - obs[:, 9:12])  # pyright: ignore[reportArgumentType]
            action[:, 2] -= 0.3
            action[:, 6] = -1.0
            obs = env.step(action)[0]["policy"]
            most_rows = max(most_rows, int(data.nefc.numpy().max()))
            most_contacts = max(most_contacts, int(data.nacon.numpy()[0]))
        assert 0 < most_rows <= 0.9 * data.njmax
        assert 0 < most_contacts <= 0.9 * data.naconmax
