# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Launches with exchanged arguments do what Warp's own do."""

import functools
import threading

import numpy as np
import pytest
import torch
import warp as wp

from zprl.sim.isaaclab import kernel_launches
from zprl.sim.isaaclab.kernel_launches import repeated_launches

# pyright: reportArgumentType=false, reportCallIssue=false, reportInvalidTypeForm=false, reportIndexIssue=false, reportOperatorIssue=false

pytestmark = pytest.mark.sim

wp.set_module_options({"enable_backward": False})


@wp.kernel
def shift(values: wp.array(dtype=wp.vec2f), by: float, more: wp.vec2f, out: wp.array(dtype=wp.vec2f)):
    i = wp.tid()
    out[i] = values[i] + wp.vec2f(by, by) + more


@wp.kernel
def count(worlds: wp.array(dtype=int), out: wp.array(dtype=int)):
    wp.atomic_add(out, worlds[wp.tid()], 1)


@pytest.fixture
def originals(monkeypatch):
    """Launch through the context, and give a list of the launches that took Warp's own way."""
    calls, original = [], wp.launch

    @functools.wraps(original)
    def launch(*args, **options):
        calls.append(options)
        return original(*args, **options)

    monkeypatch.setattr(wp, "launch", launch)
    with repeated_launches():
        yield calls


def vectors(n, kind, start=0.0):
    """Return 2-vectors as an array or as a tensor, of which rows may lie apart."""
    values = start + np.arange(2 * n, dtype=np.float32).reshape(n, 2)
    if kind == "array":
        return wp.array(values, dtype=wp.vec2f, device="cpu")
    wide = torch.zeros(n, 5 if kind == "strided" else 2)
    wide[:, :2] = torch.from_numpy(values)
    return wide[:, :2]


def test_arguments_may_change_in_every_way(originals):
    launches = [
        ("array", 4, 0.5, (1.0, 2.0)),
        ("array", 4, 0.5, (1.0, 2.0)),  # other arrays with the same layout
        ("array", 4, -0.0, (1.0, 2.0)),
        ("array", 3, 7, (1.0, 2.0)),  # fewer worlds, an integer for a number
        ("tensor", 5, 7, (0.0, 2.0)),
        ("tensor", 5, 7, (0.0, 2.0)),
        ("strided", 5, 7, (0.0, 2.0)),
        ("strided", 6, 8.5, (0.0, -2.0)),
        ("array", 6, 8.5, (0.0, -2.0)),
        ("tensor", 6, 8.5, (0.0, -2.0)),
    ]
    for step, (kind, n, by, more) in enumerate(launches):
        values, out = vectors(n, kind, start=100.0 * step), vectors(n, kind)
        wp.launch(shift, n, inputs=[values, by, more], outputs=[out], device="cpu")
        expected = 100.0 * step + np.arange(2 * n).reshape(n, 2) + by + np.array(more)
        found = out.numpy()
        np.testing.assert_array_equal(found, expected.astype(np.float32), err_msg=f"launch {step}")
    assert len(originals) == 2, "the first one, and its record"


def test_an_argument_that_changes_where_it_is(originals):
    more, values, out = wp.vec2f(1.0, 1.0), vectors(3, "array"), vectors(3, "array")
    original = out.numpy().copy()
    for first in (1.0, 5.0):
        more[0] = first
        wp.launch(shift, 3, inputs=[values, 0.0, more], outputs=[out], device="cpu")
        np.testing.assert_array_equal(out.numpy(), original + np.array([first, 1.0]))


def test_a_tuple_whose_item_changes(originals):
    first, values, out = np.array(1.0), vectors(3, "array"), vectors(3, "array")
    more, original = (first, 1.0), out.numpy().copy()
    for number in (1.0, 5.0):
        first[...] = number
        wp.launch(shift, 3, inputs=[values, 0.0, more], outputs=[out], device="cpu")
        np.testing.assert_array_equal(out.numpy(), original + np.array([number, 1.0]))


def test_dimensions_may_change(originals, monkeypatch):
    monkeypatch.setattr(kernel_launches, "_MOST_KEPT", 2)
    worlds, out = torch.tensor([1, 3, 3, 0], dtype=torch.int32), torch.zeros(4, dtype=torch.int32)
    listed = [2]
    for dim in (4, (2,), 0, 3, torch.Size([1]), (2,), 3, listed):
        wp.launch(count, dim, inputs=[worlds], outputs=[out], device="cpu")
    assert out.tolist() == [1, 7, 0, 9]
    listed[0] = 4
    wp.launch(count, listed, inputs=[worlds], outputs=[out], device="cpu")
    assert out.tolist() == [2, 8, 0, 11]


def test_mistakes_are_warps_own_and_do_no_harm(originals):
    values, out = vectors(3, "array"), vectors(3, "array")
    for _ in range(2):
        wp.launch(shift, 3, inputs=[values, 1.0, (0.0, 0.0)], outputs=[out], device="cpu")
        with pytest.raises(RuntimeError, match="passed 3 arguments but kernel requires 4"):
            wp.launch(shift, 3, inputs=[values, 1.0], outputs=[out], device="cpu")
        with pytest.raises(RuntimeError, match="argument 'out'"):
            wp.launch(shift, 3, inputs=[values, 2.0, (0.0, 0.0)], outputs=["text"], device="cpu")
        with pytest.raises(RuntimeError, match="argument 'out' expects an array with dtype"):
            floats = wp.zeros(3, dtype=float, device="cpu")
            wp.launch(shift, 3, inputs=[values, 2.0, (0.0, 0.0)], outputs=[floats], device="cpu")
        with pytest.raises(RuntimeError, match="argument 'out' expects an array with 1 dimension"):
            table = wp.zeros((3, 3), dtype=wp.vec2f, device="cpu")
            wp.launch(shift, 3, inputs=[values, 2.0, (0.0, 0.0)], outputs=[table], device="cpu")
        wp.launch(shift, 3, inputs=[values, 1.0, (0.0, 0.0)], outputs=[out], device="cpu")
        np.testing.assert_array_equal(out.numpy(), values.numpy() + 1.0)


def test_what_is_no_plain_launch_takes_warps_own_way(originals):
    values, out = vectors(3, "array"), vectors(3, "array")
    arguments = {"inputs": [values, 1.0, (0.0, 0.0)], "outputs": [out], "device": "cpu"}
    wp.launch(shift, 3, **arguments)
    before = len(originals)
    command = wp.launch(shift, 3, **arguments, record_cmd=True)
    with wp.ScopedCapture(device="cpu"):
        wp.launch(shift, 3, **arguments)
    thread = threading.Thread(target=lambda: wp.launch(shift, 3, **arguments))
    thread.start()
    thread.join()
    assert isinstance(command, wp.Launch)
    assert len(originals) == before + 3


def test_another_version_of_warp_keeps_its_function(monkeypatch, caplog):
    monkeypatch.setattr(wp, "__version__", "1.18.0")
    original = wp.launch
    with repeated_launches():
        assert wp.launch is original
    assert "Warp 1.18.0 is another version" in caplog.text


def test_the_function_is_warps_own_again_afterwards():
    original = wp.launch
    with pytest.raises(ZeroDivisionError), repeated_launches():
        assert wp.launch is not original
        raise ZeroDivisionError
    assert wp.launch is original
