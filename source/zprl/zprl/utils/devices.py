# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The devices that this machine has."""

from __future__ import annotations

import re

from zprl.utils.errors import ZprlError


def check_device(device: str) -> str:
    """Return the device if this machine has it.

    Args:
        device: "cpu", "cuda" or "cuda:N".

    Raises:
        ZprlError: If it is none of these, or there is no such GPU.
    """
    match = re.fullmatch(r"cpu|cuda(?::(\d+))?", device)
    if match is None:
        raise ZprlError(f"device '{device}' is unknown; choose cpu, cuda or cuda:N.")
    if device == "cpu":
        return device
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(match[1] or 0) >= count:
        found = f"only {count} GPU{'s' if count > 1 else ''}" if count else "no usable NVIDIA GPU"
        raise ZprlError(f"device '{device}' was asked for, but PyTorch finds {found} on this machine; use device cpu.")
    return device
