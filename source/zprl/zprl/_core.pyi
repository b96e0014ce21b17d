# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Types of the compiled module in csrc/python."""

from collections.abc import Buffer, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

def build_info() -> dict[str, Any]: ...
def cpu_level() -> str: ...
def cpu_levels() -> list[str]: ...
def multiplies_bfloat16() -> bool: ...
def measure_peaks(seconds: float) -> dict[str, float]: ...
def measure_stream(bytes: int, seconds: float) -> float: ...
def estimate_cuda(
    blob: Buffer, precision: str, rows: int, kernels: str = "", gpcs: Sequence[int] = ()
) -> dict[str, Any]: ...

class RayCaster:
    def __init__(
        self,
        *,
        shapes: NDArray[np.int32],
        sizes: NDArray[np.float32],
        colors: NDArray[np.float32],
        ids: NDArray[np.int32],
        width: int,
        height: int,
        fx: float,
        fy: float,
        cx: float,
        cy: float,
        near: float,
        far: float,
        samples: int,
        shadows: bool,
        shadow_light: float,
        ambient: float,
        background: Sequence[float],
        background_depth: float,
        background_id: int,
        threads: int,
    ) -> None: ...
    def render(
        self,
        poses: NDArray[np.float32],
        camera_poses: NDArray[np.float32],
        *,
        lights: NDArray[np.float32] | None = None,
        colors: NDArray[np.float32] | None = None,
        rgb: NDArray[np.uint8] | None = None,
        depth: NDArray[np.float32] | None = None,
        segmentation: NDArray[np.int32] | None = None,
    ) -> None: ...

class Policy:
    obs_dim: int
    action_dim: int
    horizon: int
    latent_dim: int
    embed_dim: int
    dtype: str
    steered: bool
    parts: list[str]

    def __init__(self, blob: Buffer) -> None: ...
    def act(
        self,
        obs: NDArray[np.float32],
        residual: NDArray[np.float32] | None = None,
        noise: NDArray[np.float32] | None = None,
        latent_seed: NDArray[np.uint64] | None = None,
    ) -> NDArray[np.float32]: ...
    def act_with_latents(
        self, obs: NDArray[np.float32], noise: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]: ...
    def integrate(
        self, condition: NDArray[np.float32], noise: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]: ...
    def latent(self, obs: NDArray[np.float32]) -> NDArray[np.float64]: ...
    def act_from_latent(
        self, latent: NDArray[np.float32] | NDArray[np.float64], noise: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]: ...
    def act_from_condition(
        self, condition: NDArray[np.float32], noise: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]: ...
    def profile(self, rows: int, repeats: int) -> dict[str, float]: ...
    def encode(self, obs: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...

class ControllerStatus:
    flags: list[str]
    step: int
    chunk_index: int
    observation_index: int
    plans: int
    planning_time: float
    latent_distance: float
    decoded_distance: float

class ChunkController:
    planning: bool
    last_error: str
    backend: str
    period: float
    obs_dim: int
    action_dim: int

    def __init__(
        self,
        bundle: str,
        *,
        execute_steps: int = 0,
        blend_steps: int = 0,
        asynchronous: bool = False,
        lead_steps: int = 1,
        range_margin: float = 0.5,
        range_slack: float = 0.01,
        on_not_finite: str = "continue",
        on_out_of_range: str = "hold",
        rate_margin: float = 2.0,
        stale_steps: float = 3.0,
    ) -> None: ...
    def step(self, obs: NDArray[np.float32]) -> tuple[NDArray[np.float32], ControllerStatus]: ...
    def reset(self, last_action: NDArray[np.float32] | None = None) -> None: ...
