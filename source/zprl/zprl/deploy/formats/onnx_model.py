# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""ONNX models, of operators that ONNX Runtime has on a CPU."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from zprl.deploy.formats.base import (
    Format,
    Models,
    contract_text,
    example_inputs,
    quiet,
    unloadable,
    with_named_inputs,
)
from zprl.utils.errors import NotInstalledError, ZprlError

if TYPE_CHECKING:
    from zprl.deploy.contract import Contract
    from zprl.deploy.source import Source
    from zprl.deploy.steered import PortableSteeredPolicy

METADATA_KEY = "zprl_contract"
"""Key of the contract, without its list of files, in the metadata of an ONNX model."""

_OPSET = 18

_IR_VERSION = 8
"""Version of the file's own form; the exporter writes a newer one, and a runtime refuses what is newer than itself."""


def _write(source: Source, precision: str, contract: Contract) -> bytes:
    import onnx

    module = with_named_inputs(for_onnx_runtime(source.portable()), contract.input_names)
    example, file = example_inputs(source), io.BytesIO()
    batch = torch.export.Dim("batch")
    with torch.no_grad(), warnings.catch_warnings(), quiet("torch.onnx"), quiet("onnxscript"):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            example,
            file,  # type: ignore[arg-type]  # its annotation forgets files
            input_names=contract.input_names,
            output_names=["chunk"],
            opset_version=_OPSET,
            dynamic_shapes=tuple({0: batch} for _ in example),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    model = onnx.load_from_string(file.getvalue())
    model.ir_version = _IR_VERSION
    onnx.helper.set_model_props(model, {METADATA_KEY: contract_text(contract)})
    return model.SerializeToString()


def _load(content: bytes, path: Path, contract: Contract) -> Models:
    try:
        import onnxruntime  # type: ignore[import-not-found]
    except ImportError as error:
        raise NotInstalledError(f"{path} needs ONNX Runtime; install it with `pip install onnxruntime`.") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        # Not from the path: weights in other files, which the contract does not vouch for, are refused so.
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base class
        raise unloadable(path, error) from error

    def run(*inputs: Tensor) -> Tensor:
        named = {name: value.numpy() for name, value in zip(contract.input_names, inputs, strict=True)}
        return torch.from_numpy(session.run(None, named)[0])

    return run, None


ONNX = Format("onnx", "policy.onnx", "an ONNX runtime with opset 18 and IR version 8", _write, _load, is_program=False)
"""An ONNX model with its weights, a free batch, and the contract in its metadata."""


def for_onnx_runtime(policy: PortableSteeredPolicy) -> PortableSteeredPolicy:
    """Replace what of a policy's double precision ONNX Runtime does not have on a CPU.

    It has no error function, no convolution and no normalisation by groups, so GELU, convolutions and GroupNorm do
    without, and other activations are single precision.

    Raises:
        ZprlError: If the policy has a convolution that cannot be replaced.
    """
    for module in (policy.encoder, policy.actor):
        if module is not None:
            replace_missing(module)
    return policy


def replace_missing(module: nn.Module) -> None:
    """Do so inside a module; see :func:`for_onnx_runtime`."""
    for name, child in module.named_children():
        if isinstance(child, nn.GELU) and child.approximate == "none":
            setattr(module, name, _GeluOfExponential())
        elif isinstance(child, nn.Conv2d):
            if child.groups != 1 or child.padding_mode != "zeros" or isinstance(child.padding, str):
                raise ZprlError(
                    "the format onnx takes convolutions of one group over zero padding alone; leave onnx out of "
                    "--format."
                )
            setattr(module, name, _UnfoldedConvolution(child))
        elif isinstance(child, nn.GroupNorm):
            setattr(module, name, _GroupNormOfMoments(child))
        elif type(child).__module__ == "torch.nn.modules.activation":
            setattr(module, name, _Single(child))
        else:
            replace_missing(child)


class _Single(nn.Module):
    """An activation in single precision between layers in double precision."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(x.float()).to(x.dtype)


class _GeluOfExponential(nn.Module):
    """GELU without the error function, to 2e-13 in double precision.

    With u = |x|, x Phi(x) = max(x, 0) - u Phi(-u) and Phi(-u) = e^(-u^2 / 2) P(t) for t = 1 / (1 + u / 4): the form of
    Abramowitz and Stegun 7.1.26, with P fitted for the least error of the product.
    """

    COEFFICIENTS = (
        -0.0005648494803709159, 0.1083802976488685, 0.04009763009462031, 0.33771073977359534, -0.5757610727761215,
        1.272960766085462, -1.4923662477099455, 1.3331923632427163, -0.6871940056557264, 0.18373899287371387,
        -0.020194614093270502,
    )  # fmt: skip
    """Of P, of the powers of t from 0 on."""

    def forward(self, x: Tensor) -> Tensor:
        u = x.abs()
        t = 1.0 / (1.0 + 0.25 * u)
        p = torch.zeros_like(t)
        for coefficient in self.COEFFICIENTS[::-1]:
            p = p * t + coefficient
        return x.relu() - u * torch.exp(-0.5 * u * u) * p


class _GroupNormOfMoments(nn.Module):
    """GroupNorm in sums and products, in any precision."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        norm = self.norm
        groups = x.reshape(x.shape[0], norm.num_groups, -1)
        centred = groups - groups.mean(dim=2, keepdim=True)
        y = centred * (centred.square().mean(dim=2, keepdim=True) + norm.eps).rsqrt()
        y = y.reshape(x.shape)
        if not norm.affine:
            return y
        shape = (-1, *[1] * (x.ndim - 2))
        return y * norm.weight.view(shape) + norm.bias.view(shape)


class _UnfoldedConvolution(nn.Module):
    """A convolution in one group over zero padding as a matrix product, in any precision."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor) -> Tensor:
        c = self.convolution
        kernel, padding, stride, dilation = c.kernel_size, c.padding, c.stride, c.dilation
        assert not isinstance(padding, str)
        columns = functional.unfold(x, kernel, dilation, padding, stride)  # type: ignore[arg-type]
        y = c.weight.flatten(1) @ columns
        if c.bias is not None:
            y = y + c.bias[:, None]
        sizes = (
            (x.shape[i + 2] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in range(2)
        )
        return y.unflatten(2, tuple(sizes))
