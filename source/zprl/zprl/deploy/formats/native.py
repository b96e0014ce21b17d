# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The blob of this project's own core."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from zprl.deploy.contract import NATIVE_FILE
from zprl.deploy.formats.base import Format, Models, unloadable
from zprl.utils.errors import ZprlError

if TYPE_CHECKING:
    from zprl.deploy.contract import Contract
    from zprl.deploy.source import Source


class Native(Format):
    """The blob of this project's own core, actor included."""

    kind, file, needs, native = "native", NATIVE_FILE, "zprl_runtime or zprl._core", True

    def write(self, source: Source, precision: str, contract: Contract) -> bytes:
        """See :meth:`Format.write`."""
        return source.blob(precision).numpy().tobytes()

    def load(self, path: Path, contract: Contract) -> Models:
        """See :meth:`Format.load`."""
        try:
            from zprl import _core

            policy = _core.Policy(path.read_bytes())
        except ImportError as error:
            raise ZprlError(f"the native core module does not load ({error}); build it with `make setup`.") from error
        except ValueError as error:
            raise unloadable(path, error) from error
        values = contract.control.initial_noise.values
        start = None if values is None else np.asarray(values, dtype=np.float32)

        def run(*inputs: Tensor) -> Tensor:
            obs = inputs[0] if len(inputs) == 1 else torch.cat(inputs, dim=-1)
            noise = None if start is None else np.repeat(start[None], obs.shape[0], axis=0)
            return torch.from_numpy(policy.act(obs.numpy(), noise=noise))

        return run, None
