# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""``python -m zprl.profiling.gpu_check.blobs FOLDER``: the policies that gpu_driver runs, as files.

A and B are the profiler's shapes. "usual" has the default widths, and "odd" ones that no panel and no tile divides;
both take one solver step, so that a sanitizer gets through.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from zprl.policies import FlowPolicy, FlowPolicyCfg
from zprl.policies.native.blob import pack_policy
from zprl.profiling.shapes import make_shape, random_policy

_USUAL = FlowPolicyCfg(num_flow_steps=1)
_ODD = FlowPolicyCfg(
    horizon=7,
    embed_dim=33,
    latent_dim=7,
    velocity_hidden_dim=65,
    solver="rk4",
    num_flow_steps=1,
    embed_hidden_dims=(31,),
    vib_hidden_dims=(),
)


def _policies() -> Iterator[tuple[str, FlowPolicy]]:
    for name in ("A", "B"):
        yield name, make_shape(name).policy
    yield "usual", random_policy(_USUAL, 40, 8)
    yield "odd", random_policy(_ODD, 37, 5)


def main(folder: Path) -> None:
    """Write the files, with weights in float32: gpu_driver rounds them as a precision asks for."""
    for name, policy in _policies():
        (folder / f"{name}.blob").write_bytes(pack_policy(policy).numpy().tobytes())
    print(f"blobs: {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
