# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""A network of another framework as data: a list of PyTorch operators by name, and the tensors that they read.

``torch.export`` records which operators a module calls. Its own archives are programs, though: reading one can look up
any function and run Python code (:mod:`zprl.deploy.archives` says how). Here only the list is kept, and
:class:`Program` goes through it: an operator is looked up in :data:`OPERATORS`, which holds nothing but arithmetic on
tensors, and an argument is a number, a result of an earlier line, or a tensor of the file. So a file can compute
something wrong, but it can do nothing but compute.

The same operators on the same numbers give the same bits as the module did, and gradients pass through them.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zprl.utils.errors import ZprlError, first_line

_ATEN = (
    *("abs", "add", "addmm", "amax", "amin", "arange", "baddbmm", "bmm", "cat", "chunk", "clamp", "clamp_min"),
    *("clone", "conv1d", "conv2d", "conv_transpose1d", "contiguous", "cos", "cumsum", "detach", "div", "einsum"),
    *("elu", "embedding", "eq", "exp", "expand", "expm1", "flatten", "full", "full_like", "ge", "gelu", "group_norm"),
    *("gt", "index_select", "layer_norm", "le", "leaky_relu", "linear", "log", "log1p", "lt", "masked_fill"),
    *("matmul", "max_pool2d", "mean", "mish", "mm", "movedim", "mul", "ne", "neg", "ones", "ones_like", "permute"),
    *("pow", "reciprocal", "relu", "repeat", "repeat_interleave", "reshape", "rms_norm", "rsqrt", "rsub"),
    *("scaled_dot_product_attention", "select", "sigmoid", "silu", "sin", "slice", "softmax", "softplus", "split"),
    *("split_with_sizes", "sqrt", "square", "squeeze", "stack", "sub", "sum", "t", "tanh", "to", "transpose"),
    *("unbind", "unflatten", "unsqueeze", "view", "where", "zeros", "zeros_like", "_to_copy", "lift_fresh_copy"),
    *("alias", "minimum", "maximum"),
)
"""Operators of PyTorch that compute: none does anything but make a tensor of its arguments. Of their overloads, those
that write into an argument are left out."""

_SIZES = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "floordiv": operator.floordiv}
"""Arithmetic on sizes."""


def _operators() -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {f"size.{name}": function for name, function in _SIZES.items()}
    found |= {"getitem": operator.getitem, "aten.sym_size.int": lambda x, dim: x.shape[dim]}
    for name in _ATEN:
        packet = getattr(torch.ops.aten, name)
        for overload in packet.overloads():
            function = getattr(packet, overload)
            if not function._schema.is_mutable:
                found[f"aten.{name}.{overload}"] = function
    return found


OPERATORS = _operators()
"""What a program can call, by name."""

_DTYPES = {
    str(dtype).removeprefix("torch."): dtype for dtype in (torch.float32, torch.float64, torch.int64, torch.bool)
}
_MAX_LINES = 100_000

_Getter = Callable[[Sequence[Any], torch.device], Any]


class Program(nn.Module):
    """A function from tensors to a tensor, without weights that learn.

    Args:
        content: What :attr:`content` of another one is, perhaps read from a file.

    Raises:
        ValueError: If it is malformed, or calls anything but :data:`OPERATORS`.
    """

    def __init__(self, content: dict[str, Any]) -> None:
        super().__init__()
        self.num_inputs, self._result, lines = int(content["inputs"]), int(content["result"]), content["lines"]
        tensors = content["tensors"]
        if not 0 < self.num_inputs < 100 or len(lines) > _MAX_LINES:
            raise ValueError(f"a program has {self.num_inputs} inputs and {len(lines)} lines")
        for index, tensor in enumerate(tensors):
            if not isinstance(tensor, Tensor):
                raise ValueError("a program reads what is no tensor")
            self.register_buffer(f"tensor_{index}", tensor, persistent=False)
        self._num_tensors = len(tensors)
        known = self.num_inputs + self._num_tensors
        self._lines: list[tuple[str, list[Any], dict[str, Any]]] = []
        self._calls: list[tuple[Callable[..., Any], list[_Getter], list[tuple[str, _Getter]]]] = []
        for name, args, kwargs in lines:
            if name not in OPERATORS:
                raise ValueError(f"a program calls {str(name)[:60]!r}, which is none of the operators that compute")
            for argument in (*args, *kwargs.values()):
                _check(argument, known)
            self._lines.append((name, args, kwargs))
            getters = [_getter(argument) for argument in args]
            self._calls.append((OPERATORS[name], getters, [(key, _getter(value)) for key, value in kwargs.items()]))
            known += 1
        if not 0 <= self._result < known:
            raise ValueError("a program returns what it never computes")
        self._last_use = self._find_last_uses(known)

    def _find_last_uses(self, count: int) -> list[list[int]]:
        """Return which values each line is the last one to read, so that their memory can go."""
        last: dict[int, int] = {}
        for row, (_, args, kwargs) in enumerate(self._lines):
            for index in _references((*args, *kwargs.values())):
                last[index] = row
        done: list[list[int]] = [[] for _ in self._lines]
        for index, row in last.items():
            if index != self._result:
                done[row].append(index)
        return done

    @property
    def content(self) -> dict[str, Any]:
        """Plain values and tensors that :class:`Program` takes again."""
        return {
            "inputs": self.num_inputs,
            "tensors": [getattr(self, f"tensor_{index}") for index in range(self._num_tensors)],
            "lines": [list(line) for line in self._lines],
            "result": self._result,
        }

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute it.

        Args:
            inputs: Tensors (N, ...), as many as :attr:`num_inputs`, of the shapes that it was recorded with but for N.
        """
        if len(inputs) != self.num_inputs:
            raise TypeError(f"a program of {self.num_inputs} inputs got {len(inputs)}")
        values: list[Any] = [*inputs, *(getattr(self, f"tensor_{index}") for index in range(self._num_tensors))]
        device = inputs[0].device
        for (function, args, kwargs), done in zip(self._calls, self._last_use, strict=True):
            given = [get(values, device) for get in args]
            values.append(function(*given, **{key: get(values, device) for key, get in kwargs}))
            for index in done:
                values[index] = None
        return values[self._result]


def record(module: nn.Module, example: Sequence[Tensor], what: str) -> Program:
    """Record a module in evaluation mode, with a free batch.

    Args:
        module: It maps tensors (N, ...) to one tensor (N, ...).
        example: Inputs of at least two rows.
        what: What it is, for error messages.

    Raises:
        ZprlError: If PyTorch cannot record it, or it uses an operator that no program can call.
    """
    batch = torch.export.Dim("batch")
    shapes: tuple[Any, ...] = tuple({0: batch} for _ in example)
    kinds = [parameter.kind for parameter in inspect.signature(module.forward).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        shapes = (shapes,)
    try:
        exported = torch.export.export(module.eval(), tuple(example), dynamic_shapes=shapes, strict=False)
    except Exception as error:  # whatever a module of others raises
        raise ZprlError(f"PyTorch cannot record {what} ({first_line(error)[:200]}).") from error
    signature, weights = exported.graph_signature, {**exported.constants, **exported.state_dict}
    held = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    nodes: list[Any] = list(exported.graph.nodes)
    places = [node for node in nodes if node.op == "placeholder"]
    inputs = [node for node in places if node.name in signature.user_inputs]
    read = [node for node in places if node.name not in signature.user_inputs and node.users]
    index: dict[Any, int] = {node: number for number, node in enumerate((*inputs, *read))}
    lines, needed = [], _needed(nodes)
    for node in nodes:
        if node not in needed:
            continue
        name = _name_of(node.target)
        if name in ("aten.dropout.default", "aten.dropout_.default") and node.args[2] is False:
            index[node] = index[node.args[0]]  # it does nothing
            continue
        if name not in OPERATORS:
            raise ZprlError(f"{what} uses the operator {name}, which imported base policies do not have yet.")
        args = [_encoded(argument, index, what) for argument in node.args]
        kwargs = {key: _encoded(argument, index, what) for key, argument in node.kwargs.items()}
        index[node] = len(inputs) + len(read) + len(lines)
        lines.append([name, args, kwargs])
    (result,) = nodes[-1].args[0]
    tensors = [weights[held[node.name]].detach().clone() for node in read]
    return Program({"inputs": len(inputs), "tensors": tensors, "lines": lines, "result": index[result]})


def _needed(nodes: Sequence[Any]) -> set[Any]:
    """Return the calls that the result depends on; PyTorch's own checks of sizes, for one, are none."""
    needed = set(nodes[-1].all_input_nodes)
    for node in reversed(nodes[:-1]):
        if node in needed:
            needed.update(node.all_input_nodes)
    return {node for node in needed if node.op == "call_function"}


def _name_of(target: Any) -> str:
    if target is operator.getitem:
        return "getitem"
    for name, function in _SIZES.items():
        if target is function:
            return f"size.{name}"
    return str(target).removeprefix("torch.ops.")


# -- arguments: ["of", index], ["list", ...], ["dtype", name], ["device"] or ["is", value]


def _encoded(value: Any, index: dict[Any, int], what: str) -> list[Any]:
    if isinstance(value, torch.fx.Node):
        return ["of", index[value]]
    if isinstance(value, list | tuple):
        return ["list", *(_encoded(item, index, what) for item in value)]
    if isinstance(value, torch.dtype):
        return ["dtype", str(value).removeprefix("torch.")]
    if isinstance(value, torch.device):
        return ["device"]
    if isinstance(value, torch.layout | torch.memory_format):
        return ["is", None]
    if value is None or isinstance(value, bool | int | float | str):
        return ["is", value]
    raise ZprlError(f"{what} calls an operator with a {type(value).__name__}, which a program cannot hold.")


def _check(argument: Any, known: int) -> None:
    """Refuse an argument that is malformed or refers to what is not computed yet."""
    kind, *values = argument
    if kind == "list":
        for value in values:
            _check(value, known)
        return
    if kind == "of":
        fits = len(values) == 1 and isinstance(values[0], int) and 0 <= values[0] < known
    elif kind == "dtype":
        fits = len(values) == 1 and values[0] in _DTYPES
    elif kind == "is":
        fits = len(values) == 1 and (values[0] is None or isinstance(values[0], bool | int | float | str))
    else:
        fits = kind == "device" and not values
    if not fits:
        raise ValueError(f"a program has the argument {str(argument)[:60]}")


def _references(arguments: Sequence[Any]) -> Iterator[int]:
    for kind, *values in arguments:
        if kind == "of":
            yield values[0]
        elif kind == "list":
            yield from _references(values)


def _getter(argument: Sequence[Any]) -> _Getter:
    """Return what looks an argument up among the values so far."""
    kind = argument[0]
    if kind == "of":
        index = argument[1]
        return lambda values, device: values[index]
    if kind == "list":
        getters = [_getter(item) for item in argument[1:]]
        return lambda values, device: [get(values, device) for get in getters]
    if kind == "device":
        return lambda values, device: device
    value = _DTYPES[argument[1]] if kind == "dtype" else argument[1]
    return lambda values, device: value
