# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""Plans and estimates of the CUDA kernels, without a GPU. The model's own numbers: csrc/tests/cuda_check_plan.h."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.native.test_policy_step import make_policy

from zprl.commands import cli
from zprl.policies.native.blob import pack_policy
from zprl.profiling import estimate, sass
from zprl.profiling.estimate import Estimate, Instructions
from zprl.profiling.sass import kernel_function
from zprl.profiling.shapes import make_shape
from zprl.utils.errors import ZprlError

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
    names = {CLUSTER: ("cluster", "bfloat16", 8, 8, 0), MULTICAST: ("tile", "tf32", 32, 2, 0)}
    prefix, end = "_ZN4zprl4cuda41_GLOBAL__N__8209cb02_9_launch_cu_9b17e98d", "EvNS0_15KernelArgumentsEi"
    names |= {
        f"{prefix}28narrow_multicast_tile_kernelINS0_8Bf16UnitEE{end}": ("tile", "bfloat16", 8, 4, 0),
        f"{prefix}18narrow_tile_kernelINS0_8Fp32UnitEE{end}": ("tile", "float32", 8, 1, 0),
        f"{prefix}17wgmma_tile_kernelINS0_8Bf16UnitELNS0_9PlacementE1EEE{end}": ("wgmma", "bfloat16", 64, 2, 1),
        f"{prefix}17wgmma_tile_kernelINS0_8Bf16UnitELNS0_9PlacementE4EEE{end}": ("wgmma", "bfloat16", 64, 2, 4),
        f"{prefix}11tile_kernelINS0_8Bf16UnitELi1EE{end}": ("tile", "bfloat16", 16, 1, 0),
        f"{prefix}11tile_kernelINS0_8Bf16UnitELi4EE{end}": ("tile", "bfloat16", 64, 1, 0),
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
        # A wave takes as long as its parts, of which a cluster's time of the level-2 cache passes beside the others; a
        # launch takes 4 us.
        beside = parts.pop("level2") if each["in_clusters"] else 0.0
        assert each["total"] == pytest.approx(4.0 + each["waves"] * max(sum(parts.values()), beside), rel=1e-9)
        assert f"{each['goal'] / each['total']:.0%}".replace("%", " %") in output.out
        assert each["plan"] in output.out
        far = each["total"] > estimate.FAR_FROM_GOAL * each["goal"]
        times = each["total"] / each["goal"]
        assert far == (f"{each['shape']}, batch {each['batch']:,}: {times:.2f} times the goal" in output.out)


def lines_without_instructions(text):
    """Of the documented estimates; the number of instructions is the build's."""
    found = estimate.DOCUMENTED.search(text)
    assert found is not None
    cells = [line.split("|") for line in found[0].splitlines()]
    return [each[:-3] + each[-2:] if len(each) > 3 else each for each in cells]


def test_the_documented_estimates_are_the_models(monkeypatch, tmp_path):
    monkeypatch.setattr(estimate, "disassemble", lambda library: [])
    renewed = tmp_path / "performance.md"
    shutil.copy(PERFORMANCE, renewed)
    estimate.renew_documentation(renewed)
    before, after = (lines_without_instructions(path.read_text()) for path in (PERFORMANCE, renewed))
    assert len(after) > 2 + 2 + 8 and before == after, "run python -m zprl.profiling.estimate docs/performance.md"
    assert estimate.DOCUMENTED.sub("", renewed.read_text()) == estimate.DOCUMENTED.sub("", PERFORMANCE.read_text())


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("none.md", None, "none.md cannot be read (No such file or directory)."),
        ("other.md", "# Other", "other.md has no comments '<!-- estimates -->'"),
    ],
)
def test_a_file_that_has_no_place_for_estimates_is_left_alone(tmp_path, name, text, sentence):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ZprlError, match=re.escape(sentence)):
        estimate.renew_documentation(tmp_path / name)
    assert text is None or (tmp_path / name).read_text() == text


def planned(goal, parts, waves=1, chain=20.0, in_clusters=True):
    """An estimate of 4 us of launch and these parts: products, once, finishing, norms, latency, level2."""
    names: list[str] = ["products", "once", "finishing", "norms", "latency", "level2"]
    total = 4.0 + waves * (max(sum(parts[:-1]), parts[-1]) if in_clusters else sum(parts))
    floors = {"tensor": 1.0, "level2": waves * parts[-1], "shared": 2.0, "chain": chain}
    parts_by_name = dict(zip(names, parts, strict=True))
    floor = max(floors.values())
    return Estimate("A", "bfloat16", 1, "", waves, floors, parts_by_name, floor, total, "", in_clusters, goal, None)


def test_what_stands_between_an_estimate_and_its_goal_is_said_from_the_models_parts():
    parts = (10.0, 5.0, 1.0, 20.0, 30.0, 15.0)
    assert planned(None, parts).gap == "" and planned(54.0, parts).gap == ""
    assert planned(35.0, parts).gap == (
        "A, batch 1: 2.00 times the goal of 35. Highest floor: chain, 20.0, within the goal. 70 = latency 30.0 + layer "
        "norms 20.0 + products 10.0 + layers that run once 5.0 + finishing 1.0 + launch 4.0."
    )
    assert planned(35.0, parts, in_clusters=False).gap.endswith(
        " 85 = latency 30.0 + layer norms 20.0 + level-2 cache 15.0 + products 10.0 + layers that run once 5.0 + "
        "finishing 1.0 + launch 4.0."
    )
    assert planned(50.0, (*parts[:-1], 100.0), waves=2).gap == (
        "A, batch 1: 4.08 times the goal of 50. Highest floor: level-2 cache, 200.0, above the goal: it takes another "
        "plan. 204 = 2 x (level-2 cache 100.0, beside which all else passes (66.0)) + launch 4.0."
    )


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
    """Two operands of 64 rows and 1024 numbers of four bytes take 512 KiB, and a block has 227."""
    monkeypatch.setattr(estimate, "disassemble", lambda library: [])
    monkeypatch.setenv("ZPRL_CUDA_KERNEL", "wgmma")
    wide = SimpleNamespace(name="B", policy=make_policy(velocity_hidden_dim=1024))
    monkeypatch.setattr(estimate, "make_shape", lambda *_: wide)
    status, output = run(capsys, "--shapes", "B", "--dtype", "tf32")
    assert status == 2
    assert "ZPRL_CUDA_KERNEL=wgmma leaves no kernel for this policy in tf32" in output.err
    for shape, dtype, precision in (
        ("A", "float32", "tf32"),
        ("B", "float32", "tf32"),
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
    """16 clusters of 8 fit six GPCs of 16 and two of 18 multiprocessors, and 14 seven of 18 and one of 6."""
    for split, rows in (([16] * 6 + [18] * 2, 4), ([18] * 7 + [6], 5)):
        planned = _core.estimate_cuda(blobs["A", "bfloat16"], "bfloat16", 64, "", split)
        assert (planned["kernel"], planned["cluster_size"], planned["waves"]) == ("cluster", 8, 1)
        assert planned["tile_rows"] == rows
