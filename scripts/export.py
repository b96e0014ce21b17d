# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Export a steered policy as a bundle: TorchScript, ONNX, torch.export and the native blob, contract and proof."""

from zprl.commands.cli import run_command

if __name__ == "__main__":
    run_command("export")
