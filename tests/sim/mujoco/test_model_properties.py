# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Properties of a world in MuJoCo's model, without a simulator around it."""

# Pyright takes the folder of this file for the package of its name.
# pyright: reportAttributeAccessIssue=false

import copy
from types import SimpleNamespace

import mujoco
import numpy as np
import pytest

from zprl.sim.isaaclab.mujoco.model_properties import read_properties, write_properties

BAR_ON_POSTS = """
<mujoco>
  <worldbody>
    <body name="bar" pos="0 0 .209">
      <freejoint/>
      <geom type="box" size=".01 .15 .01" pos="0 -.1 0" mass=".1"/>
      <geom type="box" size=".01 .15 .01" pos="0 .1 0" mass=".1"/>
    </body>
    <body pos="0 -.2 .1"><freejoint/><geom type="box" size=".02 .02 .1"/></body>
    <body pos="0 .2 .1"><freejoint/><geom type="box" size=".02 .02 .1"/></body>
  </worldbody>
</mujoco>
"""


class LikeWarp:
    """A model whose fields are read as MuJoCo-Warp's are, of one world."""

    def __init__(self, model):
        self._model = model

    def __getattr__(self, name):
        value = getattr(self._model, name)
        return LikeWarp(value) if name in ("opt", "stat") else SimpleNamespace(numpy=lambda: np.array(value)[None])


def touching(model):
    """Return where a model touches at its start [m], (contacts, 3)."""
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return np.array(sorted(contact.pos.round(6).tolist() for contact in data.contact))


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_a_body_touches_the_same_whatever_the_axes_of_its_inertia(factor):
    """Twice the inertia, its moments in another order and its axes turned accordingly, as an engine may choose them."""
    template = mujoco.MjModel.from_xml_string(BAR_ON_POSTS)
    rows = {name: values[0] for name, values in read_properties(LikeWarp(template), template).items()}
    rotation, turned = np.empty(9), np.empty(4)
    mujoco.mju_quat2Mat(rotation, rows["body_iquat"][1])
    order = [1, 2, 0]
    mujoco.mju_mat2Quat(turned, rotation.reshape(3, 3)[:, order].ravel())
    rows["body_mass"] = factor * rows["body_mass"]
    rows["body_inertia"] = factor * rows["body_inertia"]
    rows["body_inertia"][1], rows["body_iquat"][1] = rows["body_inertia"][1][order], turned
    model = copy.copy(template)
    write_properties(model, rows, template)
    assert model.body_mass[1] == pytest.approx(0.2 * factor)
    expected = touching(template)
    assert len(expected) == 8 and {round(abs(y), 1) for y in expected[:, 1]} == {0.2}
    np.testing.assert_allclose(touching(model), expected, atol=1e-6)
