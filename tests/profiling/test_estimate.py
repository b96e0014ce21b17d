# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Plans and estimates of the CUDA kernels, without a GPU. The model's own numbers: csrc/tests/cuda_check_plan.h."""

import json
from pathlib import Path

import pytest

from zprl.commands import cli
from zprl.policies.native.blob import pack_policy
from zprl.profiling import estimate, sass
from zprl.profiling.estimate import Instructions
from zprl.profiling.profiler import ProfileSettings
from zprl.profiling.sass import kernel_function
from zprl.profiling.shapes import make_shape

_core = pytest.importorskip("zprl._core", reason="the native libraries are not built")

LISTING = """
\t\tFunction : _ZN4zprl4cuda12_GLOBAL__N_114cluster_kernelINS0_8Bf16UnitEEEvNS0_15KernelArgumentsEi
        /*0000*/                   LDC R1, c[0x0][0x28] ;                  /* 0x00000a00ff017b82 */
                                                                           /* 0x000e620000000800 */
        /*0010*/               @P0 BRA 0x1a90 ;                            /* 0x0000001800880947 */
        /*0020*/              @!P0 HMMA.16816.F32.BF16 R4, R8, R12, R4 ;   /* 0x0000001800880947 */
        /*0030*/                   MEMBAR.ALL.GPU ;                        /* 0x0000001800880947 */
        /*0040*/                   MEMBAR.ALL.CTA ;                        /* 0x0000001800880947 */
        /*1230*/                   CCTL.IVALL ;                            /* 0x0000001800880947 */
        /*1240*/                   NOP;                                    /* 0x0000001800880947 */
\t\tFunction : _ZN4zprl4cuda41_GLOBAL__N__8209cb02_921multicast_tile_kernelINS0_8Tf32UnitELi2EEEvNS0_15KernelArgumentsEi
        /*0000*/                   HGMMA.64x128x16.F32.BF16 R24, gdesc[UR8], R24 ;   /* 0x0000001800880947 */
"""
FLOORS = {"tensor": "tensor", "level2": "level-2 cache", "shared": "shared memory", "chain": "chain"}
PERFORMANCE = Path(__file__).parents[2] / "docs/performance.md"
KERNELS = sass.parse(LISTING)
CLUSTER, MULTICAST = (kernel.name for kernel in KERNELS)


@pytest.fixture(scope="module")
def blobs():
    return {
        (shape, dtype): pack_policy(make_shape(shape).policy, dtype).numpy()
        for shape in "AB"
        for dtype in ("float32", "bfloat16")
    }


def test_instructions_are_counted():
    cluster, multicast = KERNELS
    assert Instructions.of(cluster) == Instructions(total=6, matrix=1, device_fences=2)
    assert Instructions.of(multicast) == Instructions(total=1, matrix=1, device_fences=0)


def test_a_plan_finds_its_kernel_and_no_other():
    names = {CLUSTER: ("cluster", "bfloat16", 8, 8), MULTICAST: ("tile", "tf32", 32, 2)}
    prefix, end = "_ZN4zprl4cuda41_GLOBAL__N__8209cb02_9_launch_cu_9b17e98d", "EvNS0_15KernelArgumentsEi"
    names |= {
        f"{prefix}28narrow_multicast_tile_kernelINS0_8Bf16UnitEE{end}": ("tile", "bfloat16", 8, 4),
        f"{prefix}18narrow_tile_kernelINS0_8Fp32UnitEE{end}": ("tile", "float32", 8, 1),
        f"{prefix}17wgmma_tile_kernelINS0_8Bf16UnitEE{end}": ("wgmma", "bfloat16", 64, 2),
        f"{prefix}11tile_kernelINS0_8Bf16UnitELi1EE{end}": ("tile", "bfloat16", 16, 1),
        f"{prefix}11tile_kernelINS0_8Bf16UnitELi4EE{end}": ("tile", "bfloat16", 64, 1),
    }
    for plan in names.values():
        assert [names[name] for name in names if kernel_function(*plan).search(name)] == [plan]


@pytest.mark.parametrize("why", ["cuobjdump is not installed", "libzprl_torch.so has no code for sm_90a"])
def test_what_is_missing_is_left_out_and_said(why, monkeypatch, tmp_path):
    library = tmp_path / "libzprl_torch.so"
    program = tmp_path / "cuobjdump"
    program.write_text("#!/bin/sh\necho nothing\n")
    program.chmod(0o755)
    monkeypatch.setattr(sass, "find_cuobjdump", lambda: None if "installed" in why else str(program))
    assert sass.disassemble(library) == why


def run(capsys, *argv):
    status = 0
    try:
        cli.run_command("profile_kernels", ["--device", "cuda", "--estimate", *argv])
    except SystemExit as end:
        status = end.code
    return status, capsys.readouterr()


def test_the_command_prints_shapes_goals_and_plans(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(estimate, "disassemble", lambda library: "cuobjdump is not installed")
    status, output = run(capsys, "--json", str(tmp_path / "estimate.json"))
    assert status == 0
    assert "Instructions are left out: cuobjdump is not installed." in output.out
    assert "Estimated, not measured" in output.out
    content = json.loads((tmp_path / "estimate.json").read_text())
    assert content["estimated_not_measured"] is True
    cells = {(each["shape"], each["batch"]): each for each in content["estimates"]}
    assert list(cells) == [(shape, batch) for shape in "AB" for batch in (1, 64, 1024, 8192)]
    for each in cells.values():
        assert each["floor"] == max(each["floors"].values()) < each["total"]
        parts = dict(each["parts"])
        beside = parts.pop("level2")
        # A wave takes as long as its parts, or as the level-2 cache beside them; a launch takes 4 us.
        assert each["total"] == pytest.approx(4.0 + each["waves"] * max(sum(parts.values()), beside), rel=1e-9)
        assert f"{each['goal'] / each['total']:.0%}".replace("%", " %") in output.out
        assert each["plan"] in output.out


def test_the_documented_estimates_are_the_models(monkeypatch):
    monkeypatch.setattr(estimate, "disassemble", lambda library: [])
    report = estimate.estimate_policy_step(ProfileSettings(batches=estimate.BATCHES, dtypes=estimate.DTYPES))
    text = PERFORMANCE.read_text()
    for each in report.estimates:
        floor = FLOORS[max(each.floors, key=lambda name: each.floors[name])]
        figures = f"{each.floor:.0f} ({floor}) | {each.total:.0f} | {each.goal:.0f} | {each.bound}"
        assert f"| {each.shape} | {each.batch} | {figures} |\n" in text


def test_instructions_are_those_of_the_plans_kernel(monkeypatch, capsys):
    cluster, multicast = (
        sass.Kernel(name, [sass.Instruction("FFMA")] * n) for name, n in ((CLUSTER, 7869), (MULTICAST, 5))
    )
    monkeypatch.setattr(estimate, "disassemble", lambda library: [cluster, multicast])
    status, output = run(capsys, "--shapes", "A", "--batch", "1")
    assert status == 0 and "7,869" in output.out and "left out" not in output.out


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--device", "cpu"], "an estimate is of the CUDA kernels; add --device cuda"),
        (["--plot", "roofline.png"], "an estimate has neither a trace nor a plot"),
        (["--batch", "0"], "the batch size is 0; it must be at least 1."),
        (["--shapes", "C"], "unknown shape 'C'"),
    ],
)
def test_wrong_wishes_end_in_a_sentence(argv, sentence, monkeypatch, capsys):
    monkeypatch.setattr(estimate, "disassemble", lambda library: [])
    status, output = run(capsys, *argv)
    assert status == 2 and sentence in output.err.splitlines()[-1]


def test_a_choice_that_leaves_no_kernel_ends_in_its_reason(monkeypatch, capsys, blobs):
    """Two operands of 64 rows and 512 numbers of four bytes take 256 KiB, and a block has 227."""
    monkeypatch.setattr(estimate, "disassemble", lambda library: [])
    monkeypatch.setenv("ZPRL_CUDA_KERNEL", "wgmma")
    status, output = run(capsys, "--shapes", "B", "--dtype", "tf32")
    assert status == 2
    assert "ZPRL_CUDA_KERNEL=wgmma leaves no kernel for this policy in tf32" in output.err
    for shape, dtype, precision in (
        ("A", "float32", "tf32"),
        ("A", "bfloat16", "bfloat16"),
        ("B", "bfloat16", "bfloat16"),
    ):
        assert _core.estimate_cuda(blobs[shape, dtype], precision, 8192, "wgmma")["kernel"] == "wgmma"


def test_wrong_arguments_of_the_native_function(blobs):
    blob = blobs["A", "bfloat16"]
    for arguments, message in (
        ((blob, "bfloat16", 0), "at least one row"),
        ((blob, "half", 1), "the precision is 'half'"),
        ((blob, "float32", 1), "bfloat16 weights cannot be packed as float32"),
        ((blob, "bfloat16", 1, "mna"), "ZPRL_CUDA_KERNEL is 'mna'"),
        ((blob[:100], "bfloat16", 1), "shorter than its header"),
    ):
        with pytest.raises(ValueError, match=message):
            _core.estimate_cuda(*arguments)


def test_gpus_that_differ_in_their_gpcs_take_other_clusters(blobs):
    """16 clusters of 8 fit six GPCs of 16 and two of 18 multiprocessors, and 14 fit seven of 18 and one of 6."""
    for split, size in (([16] * 6 + [18] * 2, 8), ([18] * 7 + [6], 4)):
        planned = _core.estimate_cuda(blobs["A", "bfloat16"], "bfloat16", 128, "", split)
        assert (planned["kernel"], planned["cluster_size"], planned["waves"]) == ("cluster", size, 1)
