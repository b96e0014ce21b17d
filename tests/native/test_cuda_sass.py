# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""What the compiler made of the CUDA kernels: their machine code, read without a GPU."""

from pathlib import Path

import pytest

from zprl.profiling import sass

MAX_KERNEL_BYTES = 192 * 1024
"""Of all that a kernel may have to do; of the cluster kernel's 157 KiB, an evaluation runs through some 30."""
MAX_LOCAL_ACCESSES = 64

# As cuobjdump prints it. Outer loop from 0x10, inner one from 0x30 with products; a wait's retry out of line.
LISTING = """
\t\tFunction : _ZN4zprl4cuda17wgmma_tile_kernelINS0_8Bf16UnitELNS0_9PlacementE4EEEvNS0_15KernelArgumentsEi
\t.headerflags    @"EF_CUDA_SM90 EF_CUDA_VIRTUAL_SM(EF_CUDA_SM90)"
        /*0000*/                   MEMBAR.ALL.GPU ;                    /* 0x0000000000007992 */
                                                                       /* 0x000fec0000000000 */
        /*0010*/                   SYNCS.PHASECHK.TRANS64.TRYWAIT P0, [R10+URZ], R19 ;  /* 0x000000130a00b7a7 */
        /*0020*/              @!P0 BRA 0xb0 ;                          /* 0x0000000000248947 */
        /*0030*/                   HGMMA.64x128x16.F32.BF16 R24, gdesc[UR16], R24, gsb0 ;
        /*0040*/                   LDS R4, [R5] ;                      /* 0x0000000005047984 */
        /*0050*/               @P1 BRA.U.ANY 0x30 ;                    /* 0xfffffffc00f41947 */
        /*0060*/                   BSSY B0, 0x80 ;                     /* 0x0000006000007945 */
        /*0070*/                   LD.E.64 R6, [R8.64] ;               /* 0x0000000408067980 */
        /*0080*/               @P2 BRA 0x10 ;                          /* 0xfffffffc00e02947 */
        /*0090*/                   STL [R1], R2 ;                      /* 0x0000000201007387 */
        /*00a0*/                   EXIT ;                              /* 0x000000000000794d */
        /*00b0*/               @P0 CCTL.IVALL ;                        /* 0x00000000ff00798f */
        /*00c0*/                   BRA 0x10 ;                          /* 0xfffffffc00d07947 */
        /*00d0*/                   MEMBAR.ALL.GPU ;                    /* 0x0000000000007992 */
"""
USAGE = """
 Function _ZN4zprl4cuda17wgmma_tile_kernelINS0_8Bf16UnitELNS0_9PlacementE4EEEvNS0_15KernelArgumentsEi:
  REG:255 STACK:0 SHARED:1024 LOCAL:0 CONSTANT[0]:1540 TEXTURE:0 SURFACE:0 SAMPLER:0
"""


def test_loops_and_accesses_are_found():
    """Loops are what can run again, in whichever order the compiler puts it; a jump backward alone is none."""
    (kernel,) = sass.parse(LISTING, USAGE)
    assert (kernel.short_name, kernel.registers) == ("wgmma_tile_kernel<Bf16, 4>", 255)
    assert kernel.bytes == 14 * 16
    names = [each.name for each in kernel.in_loops]
    assert len(names) == 10 and [len(loop) for loop in kernel.loops] == [10]
    assert not {"MEMBAR.ALL.GPU", "STL", "EXIT"} & set(names)
    assert (
        sass.device_fences(kernel.in_loops) == 1
    )  # the barrier before the loop and the one that nothing reaches do not count
    assert [[each.operation for each in loop] for loop in kernel.product_loops] == [["HGMMA", "LDS", "BRA"]]
    assert sass.generic_accesses(kernel.in_loops) == 1
    assert sass.generic_accesses(kernel.product_loops[0]) == 0
    assert sass.count(kernel.instructions, r"(LDL|STL).*") == 1


@pytest.mark.parametrize("fault", ["MEMBAR.SC.GPU", "MEMBAR.ALL.SYS", "CCTL.IVALL"])
def test_fences_are_found(fault):
    (kernel,) = sass.parse(LISTING.replace("LDS R4, [R5]", fault))
    assert sass.device_fences(kernel.in_loops) == 2


def test_divisions_are_found():
    (kernel,) = sass.parse(LISTING.replace("LDS R4, [R5]", "I2F.U32.RP R4, R5"))
    assert sass.divisions(kernel.in_loops) == 1 and sass.divisions(sass.parse(LISTING)[0].instructions) == 0


def test_barriers_of_a_block_are_no_fences_of_the_gpu():
    (kernel,) = sass.parse(LISTING.replace("CCTL.IVALL", "MEMBAR.ALL.CTA"))
    assert sass.device_fences(kernel.in_loops) == 0


@pytest.fixture(scope="session")
def kernels():
    """Machine code of the library that is installed: {architecture: kernels that are not empty}."""
    core = pytest.importorskip("zprl._core", reason="the native libraries are not built")
    built = (core.build_info()["cuda"] or "none").partition(" for ")[2].split()
    if not {"80", "90a"} <= set(built):
        pytest.skip(f"CUDA kernels in this build: {built}; 80 and 90a are read")
    if sass.find_cuobjdump() is None:
        pytest.skip("cuobjdump is missing: it comes with triton or the CUDA toolkit")
    library = Path(core.__file__).with_name("libzprl_torch.so")
    found = {}
    for arch in ("80", "90a"):
        every = sass.disassemble(library, f"sm_{arch}")
        assert not isinstance(every, str), every
        found[arch] = [each for each in every if len(each.instructions) > 100]
        print(f"sm_{arch}\n{sass.table(found[arch])}")
    return found


def test_loops_wait_for_no_memory_of_the_gpu(kernels):
    """No barrier across the GPU and no dropped cache: some 600 slabs and 80 exchanges of a step would pay for each."""
    assert len(kernels["80"]) == 10 and len(kernels["90a"]) == 33
    faults = {(arch, each.name): sass.device_fences(each.in_loops) for arch in kernels for each in kernels[arch]}
    assert {key for key, count in faults.items() if count} == set()


def test_products_run_on_the_matrix_units_from_shared_memory(kernels):
    """Those of float32 as well, of operands that are split in two."""
    for arch, every in kernels.items():
        for kernel in every:
            name = kernel.short_name
            units = ["HGMMA", "HMMA"] if "wgmma" in name else ["HMMA"]
            for unit in units:
                assert any(sass.count(loop, rf"{unit}.*") for loop in kernel.product_loops), (arch, name, unit)
            for loop in kernel.product_loops:
                assert sass.generic_accesses(loop) == 0, (arch, name)
                assert sass.count(loop, "HGMMA.*") or sass.count(loop, "LDSM.*"), (arch, name)


def test_the_cluster_kernels_chain_has_no_divisions_and_no_generic_accesses(kernels):
    """A layer of theirs takes about a thousand cycles, to which a division would add a hundred."""
    clusters = [kernel for kernel in kernels["90a"] if "cluster_kernel" in kernel.name]
    assert len(clusters) == 3
    for kernel in clusters:
        chains = [loop for loop in kernel.loops if sass.count(loop, r"STAS.*")]
        assert chains, kernel.short_name
        for loop in chains:
            assert sass.divisions(loop) == 0, kernel.short_name
            assert sass.generic_accesses(loop) == 0, kernel.short_name
            assert sass.count(loop, r"(LDL|STL).*") == 0, kernel.short_name


def test_kernels_are_small_and_use_hardly_any_local_memory(kernels):
    """Much local memory would be an array with a run-time index, or a library's slow path; spills are ptxas' to
    report."""
    for arch, every in kernels.items():
        for kernel in every:
            assert kernel.bytes <= MAX_KERNEL_BYTES, (arch, kernel.short_name, kernel.bytes)
            assert sass.count(kernel.instructions, r"(LDL|STL).*") <= MAX_LOCAL_ACCESSES, (arch, kernel.short_name)
            # Tiles on mma.sync learn from the plan where things are.
            knows_memory = "cluster" in kernel.name or "wgmma" in kernel.name
            assert not knows_memory or sass.generic_accesses(kernel.instructions) == 0, (arch, kernel.short_name)
