# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What the compiler made of the CUDA kernels: their machine code, read without a GPU."""

from pathlib import Path

import pytest
from tests import sass

MAX_KERNEL_BYTES = 128 * 1024

# As nvdisasm prints it. Outer loop from .L_x_0, inner one from .L_x_1 with products; a wait's retry out of line.
LISTING = """
.text._ZN4zprl4cuda17wgmma_tile_kernelINS0_8Bf16UnitEEEvNS0_15KernelArgumentsEi:
        /*0000*/                   MEMBAR.ALL.GPU ;
.L_x_0:
        /*0010*/                   SYNCS.PHASECHK.TRANS64.TRYWAIT P0, [R10+URZ], R19 ;
        /*0020*/              @!P0 BRA `(.L_x_3) ;
.L_x_1:
        /*0030*/                   HGMMA.64x128x16.F32.BF16 R24, gdesc[UR16], R24, gsb0 ;
        /*0040*/                   LDS R4, [R5] ;
        /*0050*/               @P1 BRA `(.L_x_1) ;
        /*0060*/                   BSSY B0, `(.L_x_2) ;
        /*0070*/                   LD.E.64 R6, [R8.64] ;
.L_x_2:
        /*0080*/               @P2 BRA `(.L_x_0) ;
        /*0090*/                   STL [R1], R2 ;
        /*00a0*/                   EXIT ;
.L_x_3:
        /*00b0*/               @P0 CCTL.IVALL ;
        /*00c0*/                   BRA `(.L_x_0) ;
        /*00d0*/                   MEMBAR.ALL.GPU ;
"""


def test_loops_and_accesses_are_found():
    """Loops are what can run again, in whichever order the compiler puts it; a jump backward alone is none."""
    (kernel,) = sass.parse(LISTING)
    assert sass.short_name(kernel.name) == "wgmma_tile_kernel<Bf16>"
    assert kernel.bytes == 14 * 16
    names = [each.name for each in kernel.in_loops]
    assert len(names) == 10
    assert not {"MEMBAR.ALL.GPU", "STL", "EXIT"} & set(names)
    assert sass.stalls(kernel) == 1  # the barrier before the loop and the one that nothing reaches do not count
    assert [[each.operation for each in loop] for loop in kernel.product_loops] == [["HGMMA", "LDS", "BRA"]]
    assert sass.generic_accesses(kernel.in_loops) == 1
    assert sass.generic_accesses(kernel.product_loops[0]) == 0
    assert sass.count(kernel.instructions, r"(LDL|STL).*") == 1


@pytest.mark.parametrize("fault", ["MEMBAR.SC.GPU", "MEMBAR.ALL.SYS", "CCTL.IVALL"])
def test_stalls_are_found(fault):
    (kernel,) = sass.parse(LISTING.replace("LDS R4, [R5]", fault))
    assert sass.stalls(kernel) == 2


def test_barriers_of_a_block_are_no_stalls():
    (kernel,) = sass.parse(LISTING.replace("CCTL.IVALL", "MEMBAR.ALL.CTA"))
    assert sass.stalls(kernel) == 0


@pytest.fixture(scope="session")
def kernels(tmp_path_factory):
    """Machine code of the library that is installed: {architecture: kernels that are not empty}."""
    core = pytest.importorskip("zprl._core", reason="the native libraries are not built")
    built = (core.build_info()["cuda"] or "none").partition(" for ")[2].split()
    if not {"80", "90a"} <= set(built):
        pytest.skip(f"CUDA kernels in this build: {built}; 80 and 90a are read")
    if sass.find_tool("cuobjdump") is None or sass.find_tool("nvdisasm") is None:
        pytest.skip("cuobjdump or nvdisasm is missing: they come with triton or the CUDA toolkit")
    library = Path(core.__file__).with_name("libzprl_torch.so")
    found = {arch: sass.disassemble(library, arch, tmp_path_factory.mktemp(arch)) for arch in ("80", "90a")}
    for arch, every in found.items():
        print(f"sm_{arch}\n{sass.table(every)}")
    return {arch: [each for each in every if len(each.instructions) > 100] for arch, every in found.items()}


def test_loops_wait_for_no_memory_of_the_gpu(kernels):
    """No barrier across the GPU and no dropped cache: some 600 slabs and 80 exchanges of a step would pay for each."""
    assert len(kernels["80"]) == 10 and len(kernels["90a"]) == 22
    faults = {(arch, each.name): sass.stalls(each) for arch in kernels for each in kernels[arch]}
    assert {key for key, count in faults.items() if count} == set()


def test_products_run_on_the_matrix_units_from_shared_memory(kernels):
    """Float32's products are FFMA, which activations are as well: of them nothing is asked."""
    for arch, every in kernels.items():
        for kernel in every:
            name = sass.short_name(kernel.name)
            products = "HGMMA" if "wgmma" in name else "HMMA"
            assert "Fp32" in name or any(sass.count(loop, rf"{products}.*") for loop in kernel.product_loops), name
            for loop in kernel.product_loops:
                assert sass.generic_accesses(loop) == 0, (arch, name)
                assert products == "HGMMA" or sass.count(loop, "LDSM.*"), (arch, name)


def test_kernels_fit_the_instruction_cache_and_use_no_local_memory(kernels):
    """Local memory would be an array with a run-time index, or a library's slow path; spills are ptxas' to report."""
    for arch, every in kernels.items():
        for kernel in every:
            assert kernel.bytes <= MAX_KERNEL_BYTES, (arch, sass.short_name(kernel.name), kernel.bytes)
            assert sass.count(kernel.instructions, r"(LDL|STL).*") == 0, (arch, sass.short_name(kernel.name))
            assert "cluster" not in kernel.name or sass.generic_accesses(kernel.instructions) == 0, arch
