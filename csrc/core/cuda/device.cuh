// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// All that the kernels ask of the hardware. With nvcc these are single instructions; with a C++ compiler they come from
// csrc/tests/cuda_emulation.h, which runs the same kernels on the CPU, thread by thread, to check them.
//
// Pointers into shared memory are ordinary (generic) ones.

#pragma once

#include <cstdint>

namespace zprl {
namespace cuda {

struct alignas(8) Float2 {
    float x, y;
};
struct alignas(16) Float4 {
    float x, y, z, w;
};

// Of the order that an mbarrier gives to memory. kCta orders what this block's threads and bulk copies did, and costs
// nothing. What another block reads or has stored (st.async) needs kCluster. That one is written as a relaxed operation
// with a fence that is restricted to shared memory: `.release.cluster` and `.acquire.cluster` order global memory as
// well, by a barrier across the GPU (MEMBAR.ALL.GPU) and by dropping the whole level-1 cache (CCTL.IVALL).
enum class Scope { kCta, kCluster };

}  // namespace cuda
}  // namespace zprl

#if !defined(__CUDACC__)
#include "cuda_emulation.h"
#else

#define ZPRL_DEVICE __device__ __forceinline__
#define ZPRL_UNROLL _Pragma("unroll")
#define ZPRL_PRAGMA(text) _Pragma(#text)
#define ZPRL_UNROLL_BY(times) ZPRL_PRAGMA(unroll times)
#define ZPRL_NO_UNROLL ZPRL_UNROLL_BY(1)

namespace zprl {
namespace cuda {
namespace device {

ZPRL_DEVICE int thread_index() { return threadIdx.x; }
ZPRL_DEVICE int64_t block_index() { return blockIdx.x; }
ZPRL_DEVICE void sync_block() { __syncthreads(); }
// The first so many threads of the block.
template <int kFirstThreads>
ZPRL_DEVICE void sync_first() {
    asm volatile("bar.sync 1, %0;" ::"n"(kFirstThreads) : "memory");
}
ZPRL_DEVICE void sync_warp() { __syncwarp(); }
ZPRL_DEVICE float shuffle_xor(float value, int mask) { return __shfl_xor_sync(0xFFFFFFFFu, value, mask); }

// The block's dynamic shared memory, aligned to 1024 bytes.
ZPRL_DEVICE char* shared_memory() {
    extern __shared__ __align__(1024) char dynamic_shared_memory[];
    return dynamic_shared_memory;
}

// Writes what a matrix unit may read later.
template <typename T>
ZPRL_DEVICE void store_operand(void* at, T value) {
    *static_cast<T*>(at) = value;
}

ZPRL_DEVICE uint32_t shared_address(const void* pointer) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// ---- Matrices: a warp together; see "Matrix fragments" of the PTX manual -----------------------------------------

// Where operands are read from: of 32 bits, or each row's address would be arithmetic of 64.
typedef uint32_t OperandAddress;
ZPRL_DEVICE OperandAddress operand_address(const void* operand) { return shared_address(operand); }

// Four matrices of 8 rows of 16 bytes. Lane l gives the address of row l % 8 of matrix l / 8, and receives from each
// matrix the four bytes at 4 (l % 4) of row l / 4.
ZPRL_DEVICE void load_matrices(uint32_t (&result)[4], OperandAddress row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(result[0]), "=r"(result[1]), "=r"(result[2]), "=r"(result[3])
                 : "r"(row)
                 : "memory");
}

// c += a b, with 16 x 16 by 16 x 8 numbers of bf16.
ZPRL_DEVICE void multiply_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// c += a b, with 16 x 8 by 8 x 8 numbers of tf32.
ZPRL_DEVICE void multiply_tf32(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// ---- Copies from global to shared memory ----------------------------------------------------------------------------

// 16 bytes, past the level-1 cache.
ZPRL_DEVICE void copy_async(void* shared, const void* global) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(shared)), "l"(global) : "memory");
}

// Ends a group of this thread's copies, which may be empty.
ZPRL_DEVICE void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits for this thread's copies, but for those of the last `kGroups` groups.
template <int kGroups>
ZPRL_DEVICE void wait_for_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
}

// Into the level-1 cache: 128 bytes.
ZPRL_DEVICE void prefetch(const void* global) { asm volatile("prefetch.global.L1 [%0];" ::"l"(global)); }

// ---- Numbers --------------------------------------------------------------------------------------------------------

ZPRL_DEVICE float exp(float x) { return expf(x); }
ZPRL_DEVICE float expm1(float x) { return expm1f(x); }
ZPRL_DEVICE float tanh(float x) { return tanhf(x); }
ZPRL_DEVICE float erf(float x) { return erff(x); }
ZPRL_DEVICE float inverse_sqrt(float x) { return rsqrtf(x); }
// Single instructions: 2^x to two units in the last place, and the hyperbolic tangent to 2^-10.987.
ZPRL_DEVICE float exp2_approximate(float x) {
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}
ZPRL_DEVICE float tanh_approximate(float x) {
    float result;
    asm("tanh.approx.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}
// To a unit in the last place; of huge numbers, zero.
ZPRL_DEVICE float reciprocal(float x) {
    float result;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}

// Two bf16 numbers, rounded to nearest, the first one in the low half.
ZPRL_DEVICE uint32_t to_bf16x2(float low, float high) {
    uint32_t result;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
    return result;
}

// The same for fp16, and back.
ZPRL_DEVICE uint32_t to_fp16x2(float low, float high) {
    uint32_t result;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
    return result;
}
ZPRL_DEVICE Float2 from_fp16x2(uint32_t bits) {
    Float2 result;
    asm("{.reg .b16 low, high; mov.b32 {low, high}, %2; cvt.f32.f16 %0, low; cvt.f32.f16 %1, high;}"
        : "=f"(result.x), "=f"(result.y)
        : "r"(bits));
    return result;
}

ZPRL_DEVICE float to_tf32(float x) {
    uint32_t result;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(result) : "f"(x));
    return __uint_as_float(result);
}

ZPRL_DEVICE uint32_t float_bits(float x) { return __float_as_uint(x); }
ZPRL_DEVICE float bits_float(uint32_t bits) { return __uint_as_float(bits); }

// ---- Clusters and bulk copies: Hopper and later ---------------------------------------------------------------------

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

ZPRL_DEVICE int cluster_rank() {
    uint32_t rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return static_cast<int>(rank);
}

// All threads of all blocks of the cluster. What they wrote before, to any of its shared memories, is seen after.
ZPRL_DEVICE void sync_cluster() {
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

// A barrier in shared memory (an mbarrier) whose phase ends when `arrivals` have come, and the bytes that they
// expect. To be called by one thread; a barrier of all threads that use it must follow.
ZPRL_DEVICE void init_arrivals(uint64_t* barrier, int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// Arrives and expects bytes.
ZPRL_DEVICE void expect_tx(uint64_t* barrier, uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
                 : "memory");
}

// Arrives, so many times, at the same barrier of the cluster's block `rank`. With kCluster, what this thread, and those
// that it has met, read of this block's shared memory may be overwritten by the peer's stores; kCta is enough before
// bulk copies, which do not begin before the values that were read have been used.
template <Scope kScope>
ZPRL_DEVICE void arrive_at_peer(uint64_t* barrier, int rank, int times = 1) {
    if constexpr (kScope == Scope::kCta) {
        asm volatile(
            "{\n"
            ".reg .b32 peer;\n"
            "mapa.shared::cluster.u32 peer, %0, %1;\n"
            "mbarrier.arrive.shared::cluster.b64 _, [peer], %2;\n"
            "}\n" ::"r"(shared_address(barrier)),
            "r"(rank), "r"(times)
            : "memory");
    } else {
        asm volatile(
            "{\n"
            ".reg .b32 peer;\n"
            "mapa.shared::cluster.u32 peer, %0, %1;\n"
            "fence.release.sync_restrict::shared::cta.cluster;\n"
            "mbarrier.arrive.relaxed.cluster.shared::cluster.b64 _, [peer], %2;\n"
            "}\n" ::"r"(shared_address(barrier)),
            "r"(rank), "r"(times)
            : "memory");
    }
}

// Copies a multiple of 16 bytes and counts them at `barrier` when they have arrived.
ZPRL_DEVICE void copy_bulk(void* shared, const void* global, uint32_t bytes, uint64_t* barrier) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                     shared_address(shared)),
                 "l"(global), "r"(bytes), "r"(shared_address(barrier))
                 : "memory");
}

// The same to the first `blocks` blocks of the cluster, to the same place of each and counted at each one's barrier.
ZPRL_DEVICE void copy_bulk_to_all(void* shared, const void* global, uint32_t bytes, uint64_t* barrier, int blocks) {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1], %2, [%3], "
        "%4;" ::"r"(shared_address(shared)),
        "l"(global), "r"(bytes), "r"(shared_address(barrier)), "h"(static_cast<uint16_t>((1 << blocks) - 1))
        : "memory");
}

// Another block of the cluster, or this one: how far its shared memory is from this block's, among shared addresses.
struct Peer {
    uint32_t distance;
};
ZPRL_DEVICE Peer peer(int rank) {
    const uint32_t own = shared_address(shared_memory());
    uint32_t address;
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"(own), "r"(rank));
    return {address - own};
}

// Writes to the place in a peer's shared memory that `at` is in this block's, and counts the bytes at the same block's
// `barrier` when they have arrived there. Unlike a plain store followed by an arrival, the sender never waits for an
// answer.
ZPRL_DEVICE void store_async(void* at, Peer peer, uint32_t value, uint64_t* barrier) {
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.b32 [%0], %1, [%2];" ::"r"(shared_address(at) +
                                                                                                   peer.distance),
                 "r"(value), "r"(shared_address(barrier) + peer.distance)
                 : "memory");
}
ZPRL_DEVICE void store_async(void* at, Peer peer, Float2 value, uint64_t* barrier) {
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v2.b32 [%0], {%1, %2}, [%3];" ::"r"(
                     shared_address(at) + peer.distance),
                 "r"(__float_as_uint(value.x)), "r"(__float_as_uint(value.y)),
                 "r"(shared_address(barrier) + peer.distance)
                 : "memory");
}

// Waits for the end of a phase, by its number's parity: 0, 1, 0, ... With kCluster, what peers stored is seen after.
template <Scope kScope>
ZPRL_DEVICE void wait_for_phase(uint64_t* barrier, uint32_t parity) {
    if constexpr (kScope == Scope::kCta) {
        asm volatile(
            "{\n"
            ".reg .pred done;\n"
            "again:\n"
            "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
            "@!done bra again;\n"
            "}\n" ::"r"(shared_address(barrier)),
            "r"(parity)
            : "memory");
    } else {
        asm volatile(
            "{\n"
            ".reg .pred done;\n"
            "again:\n"
            "mbarrier.try_wait.parity.relaxed.cluster.shared::cta.b64 done, [%0], %1;\n"
            "@!done bra again;\n"
            "fence.acquire.sync_restrict::shared::cluster.cluster;\n"
            "}\n" ::"r"(shared_address(barrier)),
            "r"(parity)
            : "memory");
    }
}

#endif

}  // namespace device
}  // namespace cuda
}  // namespace zprl

#endif  // __CUDACC__
