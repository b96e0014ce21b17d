# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""ONNX models."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zprl.deploy.formats.base import (
    Format,
    Models,
    contract_text,
    example_inputs,
    quiet,
    unloadable,
    with_named_inputs,
)
from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from zprl.deploy.contract import Contract
    from zprl.deploy.source import Source

METADATA_KEY = "zprl_contract"
"""Key of the contract, without its list of files, in the metadata of an ONNX model."""

_OPSET = 18


class Onnx(Format):
    """An ONNX model with its weights, a free batch, and the contract in its metadata."""

    kind, file, needs = "onnx", "policy.onnx", "an ONNX runtime with opset 18"

    def write(self, source: Source, precision: str, contract: Contract) -> bytes:
        """See :meth:`Format.write`."""
        import onnx

        module = with_named_inputs(source.portable(for_onnx_runtime=True), contract.input_names)
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
        onnx.helper.set_model_props(model, {METADATA_KEY: contract_text(contract)})
        return model.SerializeToString()

    def load(self, path: Path, contract: Contract) -> Models:
        """See :meth:`Format.load`."""
        try:
            import onnxruntime  # type: ignore[import-not-found]
        except ImportError as error:
            raise ZprlError(f"{path} needs ONNX Runtime; install it with `pip install onnxruntime`.") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no base class
            raise unloadable(path, error) from error

        def run(*inputs: Tensor) -> Tensor:
            named = {name: value.numpy() for name, value in zip(contract.input_names, inputs, strict=True)}
            return torch.from_numpy(session.run(None, named)[0])

        return run, None
