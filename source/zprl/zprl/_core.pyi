# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Types of the compiled module in csrc/python."""

from collections.abc import Buffer
from typing import Any

import numpy as np
from numpy.typing import NDArray

def build_info() -> dict[str, Any]: ...

class Policy:
    obs_dim: int
    action_dim: int
    horizon: int
    latent_dim: int

    def __init__(self, blob: Buffer) -> None: ...
    def act(
        self,
        obs: NDArray[np.float32],
        residual: NDArray[np.float32] | None = None,
        noise: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]: ...
    def encode(self, obs: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...
