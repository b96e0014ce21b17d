#!/usr/bin/env bash
# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

# Everything that can only be checked on a machine with an NVIDIA GPU, in one call of less than ten minutes:
#
#   scripts/verify_gpu.sh [REPORT_FOLDER]        (default: logs/gpu_report)
#
# Stages: machine, build, tests, profile, sanitizer, training, trace, profile-compile. Each has a time limit and a log of
# its own in the report folder, and none stops the others. summary.txt says pass, fail or skipped for each, with a
# reason. A stage is skipped if the machine lacks what it needs; the training ones need Isaac Lab, all others only torch.
# The exit status is 0 if the GPU was there and no stage failed, 1 if one did, 2 without a GPU.
#
# PYTHON names the interpreter (default: .venv/bin/python, or else python3), ZPRL_VERIFY_SECONDS the time for all stages
# together (default: 580). Nothing is downloaded.

# shellcheck disable=SC2329  # stages are called by name, in a shell of their own

set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
readonly ROOT=$PWD
REPORT=${1:-logs/gpu_report}
mkdir -p "$REPORT" || exit 1
REPORT=$(cd "$REPORT" && pwd)
readonly REPORT
readonly BUILD=$ROOT/build/verify-gpu
readonly TASK=Zprl-Lift-Franka
if [[ -z ${PYTHON:-} ]]; then
    PYTHON=python3
    [[ -x $ROOT/.venv/bin/python ]] && PYTHON=$ROOT/.venv/bin/python
fi
export PYTHONPATH=$ROOT/source/zprl${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
PATH=$(dirname "$(command -v "$PYTHON")"):$PATH:/usr/local/cuda/bin
export PATH

# ---- Bookkeeping -----------------------------------------------------------------------------------------------------

FAILED=0
: >"$REPORT/summary.txt"
readonly ALL=${ZPRL_VERIFY_SECONDS:-580} # for all stages together

note() { # STAGE VERDICT SECONDS REASON
    printf '%-16s %-8s %4d s  %s\n' "$1" "$2" "$3" "$4" | tee -a "$REPORT/summary.txt"
    [[ $2 != fail ]] || FAILED=1
}

# Run a function as a stage, in a process group of its own, within a time limit [s]. What it prints goes to its log; a
# status of 77 means that it was skipped, and its last line says why.
stage() { # NAME LIMIT
    local name=$1 limit=$2 start=$SECONDS status reason
    ((limit <= ALL - SECONDS)) || limit=$((ALL - SECONDS))
    if ((limit < 10)); then
        note "$name" skipped 0 "the $ALL s for all stages are over (ZPRL_VERIFY_SECONDS)"
        return
    fi
    timeout --kill-after=10 "$limit" bash -c "stage_${name//-/_}" >"$REPORT/$name.log" 2>&1
    status=$?
    reason=$(grep -v '^[[:space:]]*$' "$REPORT/$name.log" | tail -n 1 | cut -c 1-160)
    case $status in
        0) note "$name" pass $((SECONDS - start)) "$reason" ;;
        77) note "$name" skipped $((SECONDS - start)) "$reason" ;;
        124 | 137) note "$name" fail $((SECONDS - start)) "ran into its limit of $limit s (see $name.log)" ;;
        *) note "$name" fail $((SECONDS - start)) "exit status $status: $reason" ;;
    esac
}

skip() { # REASON
    echo "$1"
    exit 77
}

need_modules() { # MODULE...
    local module
    for module in "$@"; do
        "$PYTHON" -c "import importlib.util as u, sys; sys.exit(u.find_spec('$module') is None)" ||
            skip "Python has no module '$module'"
    done
}

need_kernels() {
    "$PYTHON" -c "import sys, zprl; sys.exit(not zprl.build_info().get('cuda'))" ||
        skip "the native library has no CUDA kernels (see build.log)"
}

# ---- Stages ----------------------------------------------------------------------------------------------------------

stage_machine() {
    nvidia-smi || echo "nvidia-smi is missing"
    nvcc --version 2>/dev/null || echo "nvcc is missing"
    "$PYTHON" - <<'PY'
import json, platform
import torch
p = torch.cuda.get_device_properties(0)
print("python", platform.python_version(), "torch", torch.__version__, "CUDA", torch.version.cuda)
try:
    import zprl
    print(json.dumps(zprl.build_info(), indent=2))
except ImportError as error:
    print("zprl:", error)
print(f"{p.name}, {p.major}.{p.minor}, {p.multi_processor_count} SMs, {p.total_memory / 2**30:.0f} GiB, "
      f"torch {torch.__version__}, driver of CUDA {torch._C._cuda_getDriverVersion()}")
PY
}

# Compile for this machine's GPU alone, with the test program, and put the libraries beside the package.
stage_build() {
    local tool
    for tool in cmake nvcc c++; do
        command -v "$tool" >/dev/null || skip "there is no $tool; the library that is there will be used"
    done
    need_modules pybind11
    local capability generator=()
    capability=$("$PYTHON" -c "import torch; print('%d.%d' % torch.cuda.get_device_capability())") || return 1
    [[ $capability != 9.0 ]] || capability=9.0a
    command -v ninja >/dev/null && generator=(-G Ninja)
    TORCH_CUDA_ARCH_LIST=$capability cmake -S "$ROOT" -B "$BUILD" "${generator[@]}" -DZPRL_CUDA=ON -DZPRL_TESTS=ON \
        -DPython_EXECUTABLE="$(command -v "$PYTHON")" &&
        cmake --build "$BUILD" --parallel &&
        cmake --install "$BUILD" --prefix "$ROOT/source/zprl" &&
        echo "built for $capability"
}

stage_tests() {
    need_modules pytest
    need_kernels
    # Its own settings: those of the project name plugins that need not be here. The simulator has a stage of its own.
    printf '[pytest]\nmarkers =\n    gpu\n    sim\n    slow\n    timeout\npythonpath = %s\n' "$ROOT" >"$REPORT/pytest.ini"
    "$PYTHON" -m pytest -c "$REPORT/pytest.ini" --rootdir "$ROOT" --import-mode=importlib -p no:dash \
        -p no:cacheprovider -q -ra -m 'gpu and not sim' --durations=10 --junitxml "$REPORT/tests.xml" \
        "$ROOT/tests/gpu" || return 1
    grep -q '[0-9] passed' "$REPORT/tests.log" || { echo "every test was skipped" && return 1; }
}

stage_sanitizer() {
    command -v compute-sanitizer >/dev/null || skip "there is no compute-sanitizer"
    [[ -x $BUILD/gpu_driver ]] || skip "the test program is not built (see build.log)"
    "$PYTHON" - "$REPORT" <<'PY' || return 1
import sys
import torch
from pathlib import Path
from zprl.policies import FlowPolicyCfg
from zprl.policies.native.step import pack_policy
from zprl.profiling.shapes import random_policy
shapes = {
    "usual": (40, 8, {"num_flow_steps": 1}),
    "odd": (37, 5, {"horizon": 7, "embed_dim": 33, "latent_dim": 7, "velocity_hidden_dim": 65, "solver": "rk4",
                    "num_flow_steps": 1, "embed_hidden_dims": (31,), "vib_hidden_dims": ()}),
}
for name, (obs, action, settings) in shapes.items():
    blob = pack_policy(random_policy(FlowPolicyCfg(**settings), obs, action))
    (Path(sys.argv[1]) / f"{name}.blob").write_bytes(blob.numpy().tobytes())
PY
    local tool kernel failed=() unfinished=()
    for kernel in cluster mma wgmma; do
        for tool in memcheck racecheck initcheck synccheck; do
            echo "== $tool, $kernel"
            ZPRL_CUDA_KERNEL=$kernel timeout 9 compute-sanitizer --tool "$tool" --error-exitcode 3 \
                "$BUILD/gpu_driver" "$REPORT"/*.blob
            case $? in
                0) ;;
                124) unfinished+=("$tool of $kernel") ;;
                *) failed+=("$tool of $kernel") ;;
            esac
        done
    done
    echo "of 12 runs, ${#failed[@]} with findings${failed[*]:+ (${failed[*]})}," \
        "${#unfinished[@]} not finished within 9 s${unfinished[*]:+ (${unfinished[*]})}"
    ((${#failed[@]} == 0))
}

profile() { # FILE OPTION...
    need_modules prettytable
    need_kernels
    local file=$1
    shift
    "$PYTHON" scripts/profile_kernels.py --device cuda --threads 4 --json "$REPORT/$file" "$@"
}

stage_profile() {
    profile profile.json --shapes A,B --batch 1,64,1024,8192 --dtype float32,tf32,bfloat16 --rivals eager,graph,jit \
        --budget 0.5 || return 1
    # What wgmma, the rule on Hopper at large batches, is worth.
    [[ $("$PYTHON" -c "import torch; print(torch.cuda.get_device_capability())") == "(9, 0)" ]] || return 0
    ZPRL_CUDA_KERNEL=mma profile profile_mma.json --shapes A,B --batch 8192 --dtype tf32,bfloat16 --rivals "" \
        --budget 0.2
}

# torch.compile with tuning takes up to a minute per cell: the two ends of the range must do.
stage_profile_compile() {
    command -v c++ >/dev/null || skip "there is no C++ compiler, which torch.compile needs"
    need_modules triton
    profile profile_compile.json --shapes A --batch 1,8192 --dtype bfloat16 --rivals compile --budget 0.5
}

need_simulator() {
    need_modules isaaclab isaaclab_tasks isaaclab_newton newton rsl_rl
    need_kernels
}

stage_training() {
    need_simulator
    rm -rf "$REPORT/run/logs/rsl_rl" # of an earlier call; the base policy may stay
    mkdir -p "$REPORT/run"
    (cd "$REPORT/run" && "$PYTHON" "$ROOT/scripts/train.py" --task "$TASK" --device cuda:0 --num_envs 2048 \
        agent.demonstrations.num_demos=64 agent.pretrain.num_steps=600 agent.evaluation.episodes=200 \
        agent.max_iterations=12 agent.save_interval=6 agent.evaluation.interval=12) || return 1
    cp "$REPORT"/run/logs/rsl_rl/zprl_lift_franka/*/result.json "$REPORT/training.json" || return 1
    "$PYTHON" - "$REPORT/training.json" <<'PY'
import json, sys
r = json.load(open(sys.argv[1]))
split = ", ".join(f"{name} {100 * share:.0f} %" for name, share in r["time_split"].items())
assert r["backend"].startswith("native"), f"the policy ran on {r['backend']}"
print(f"policy on {r['backend']}, {r['training_steps_per_second']:,.0f} env steps/s (bare {r['bare_steps_per_second']:,.0f}); {split}")
PY
}

# Chunks of a training rollout under torch.profiler: what waited for the GPU, and where from.
stage_trace() {
    need_simulator
    [[ -d $REPORT/run/logs ]] || skip "there is no base policy (see training.log)"
    (cd "$REPORT/run" && "$PYTHON" "$ROOT/scripts/trace_rollout.py" --task "$TASK" --device cuda:0 --num_envs 2048 \
        --chunks 8 --trace "$REPORT/rollout_trace.json")
}

# ---- All of it -------------------------------------------------------------------------------------------------------

if ! found=$("$PYTHON" -c "import torch; print(torch.cuda.is_available())" 2>"$REPORT/machine.log"); then
    note machine fail 0 "$PYTHON cannot import torch: $(tail -n 1 "$REPORT/machine.log")"
    exit 2
elif [[ $found != True ]]; then
    note machine fail 0 "torch finds no CUDA device on this machine, so nothing was verified."
    exit 2
fi

export ROOT REPORT BUILD TASK PYTHON
# shellcheck disable=SC2046  # every function, a word each
export -f $(compgen -A function)

stage machine 30
stage build 120
stage tests 120
stage profile 200
stage sanitizer 120
stage training 240
stage trace 60
stage profile-compile 100

echo "report: $REPORT"
exit "$FAILED"
