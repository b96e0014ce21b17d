#!/usr/bin/env bash
# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

# Everything that can only be checked on a machine with an NVIDIA GPU, in one call of less than ten minutes:
#
#   scripts/verify_gpu.sh [--only NAMES] [REPORT_FOLDER]   (default: $OUT, or else logs/gpu_report)
#
# and, for a machine that has a GPU, torch, NumPy and pytest but neither this repository's packages nor a network, a
# folder to carry there, built here without a GPU; DIR/scripts/verify_gpu.sh is then called there:
#
#   [TORCH_CUDA_ARCH_LIST=9.0a] scripts/verify_gpu.sh --pack DIR   (for fewer GPUs it is smaller)
#
# Each check runs in a process of its own under a time limit, and none stops the others. The table at the end, which is
# also in summary.txt, says of each whether it passed, failed, was cut off or skipped, and why. log.txt has all that was
# printed, results.jsonl a line for each time and error. The exit status is 0 if no check failed or was cut off, 1 if one
# was, 2 without a GPU. --help lists the rest; the checks are in source/zprl/zprl/profiling/gpu_check.

set -uo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || exit 1
if [[ -z ${PYTHON:-} ]]; then
    PYTHON=python3
    [[ -x $ROOT/.venv/bin/python ]] && PYTHON=$ROOT/.venv/bin/python
fi
if ! command -v "$PYTHON" >/dev/null; then
    echo "error: there is no $PYTHON; name the interpreter in PYTHON." >&2
    exit 2
fi
PYTHON=$(command -v "$PYTHON")
PYTHON=$(cd "$(dirname "$PYTHON")" && pwd)/$(basename "$PYTHON") # not what a link of a virtual environment points to
# Of a pack, site/ holds the packages that it carries.
PYTHONPATH=$ROOT/source/zprl:$ROOT/site${PYTHONPATH:+:$PYTHONPATH}
PATH=$(dirname "$PYTHON"):$PATH:${CUDA_HOME:-/usr/local/cuda}/bin
export PYTHON PYTHONPATH PATH
exec "$PYTHON" -m zprl.profiling.gpu_check "$@"
