# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Types of the compiled module in csrc/python."""

from collections.abc import Buffer
from typing import Any

import numpy as np
from numpy.typing import NDArray

def build_info() -> dict[str, Any]: ...
def cpu_level() -> str: ...
def cpu_levels() -> list[str]: ...
def multiplies_bfloat16() -> bool: ...
def measure_peaks(seconds: float) -> dict[str, float]: ...
def measure_stream(bytes: int, seconds: float) -> float: ...

class Policy:
    obs_dim: int
    action_dim: int
    horizon: int
    latent_dim: int
    embed_dim: int
    dtype: str

    def __init__(self, blob: Buffer) -> None: ...
    def act(
        self,
        obs: NDArray[np.float32],
        residual: NDArray[np.float32] | None = None,
        noise: NDArray[np.float32] | None = None,
        latent_seed: NDArray[np.uint64] | None = None,
    ) -> NDArray[np.float32]: ...
    def integrate(
        self, condition: NDArray[np.float32], noise: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]: ...
    def profile(self, rows: int, repeats: int) -> dict[str, float]: ...
    def encode(self, obs: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...
