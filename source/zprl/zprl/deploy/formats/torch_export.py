# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Archives of ``torch.export``."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from zprl.deploy.archives import checked_torch_export
from zprl.deploy.contract import CONTRACT_FILE
from zprl.deploy.formats.base import (
    Format,
    Models,
    contract_text,
    example_inputs,
    inference,
    quiet,
    unloadable,
    with_named_inputs,
)

if TYPE_CHECKING:
    from zprl.deploy.contract import Contract
    from zprl.deploy.source import Source


class TorchExport(Format):
    """An archive of ``torch.export``, with a free batch."""

    kind, file, needs = "torch_export", "policy.pt2", "PyTorch 2.11"

    def write(self, source: Source, precision: str, contract: Contract) -> bytes:
        """See :meth:`Format.write`."""
        module, example = with_named_inputs(source.portable(), contract.input_names), example_inputs(source)
        file = io.BytesIO()
        with torch.no_grad(), quiet("torch.export"):
            batch = torch.export.Dim("batch")
            program = torch.export.export(module, example, dynamic_shapes=tuple({0: batch} for _ in example))
            # Python code that would check the inputs while they are read; whoever reads the file checks them.
            program._guards_code = []
            torch.export.save(program, file, extra_files={CONTRACT_FILE: contract_text(contract)})
        return file.getvalue()

    def load(self, path: Path, contract: Contract) -> Models:
        """See :meth:`Format.load`."""
        from torch.export.pt2_archive._package import load_pt2

        archive = checked_torch_export(path)
        try:
            # Not torch.export.load, which would go on with an older, pickled form where this one fails.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of tensors on bytes that are not writable
                module = load_pt2(archive).exported_programs["model"].module()
        except Exception as error:  # unpacking arbitrary bytes can raise anything
            raise unloadable(path, error) from error
        return inference(module), None
