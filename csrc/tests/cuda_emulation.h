// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// CUDA on the CPU, as far as the kernels in csrc/core/cuda ask for it (device.cuh, wgmma.cuh): threads are fibers
// (cuda_machine.h), and barriers, warp instructions (cuda_matrices.h) and asynchronous copies have the meaning that the
// PTX manual gives them. Slow, and strict where a GPU would be lenient or only sometimes wrong:
//
// * shared memory begins as NaN, and so does the target of an asynchronous copy from its request until the wait that
//   makes it visible: a missing wait, or a copy into memory still in use, ends in NaN;
// * threads run in an order drawn from a seed, so that a missing barrier shows;
// * a warp instruction that not all lanes reach, or reach at different instructions, and a barrier that not all threads
//   reach, end in an error, as does a barrier that waits for ever;
// * an mbarrier that hands over what another block stored, or lets it store, must do so at the scope of the cluster;
// * addresses of shared memory are checked, and bytes after its end are guarded.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#define ZPRL_DEVICE inline
#define ZPRL_UNROLL
#define ZPRL_UNROLL_BY(times) static_assert((times) > 0, "a loop runs");
#define ZPRL_NO_UNROLL

#include "cuda_machine.h"
#include "cuda_matrices.h"

namespace zprl {
namespace cuda {
// ---- The interface of device.cuh ------------------------------------------------------------------------------------

namespace device {

using emulation::machine;

inline int thread_index() { return machine().fiber().thread; }
inline int64_t block_index() { return machine().fiber().block->index; }
inline char* shared_memory() { return machine().fiber().block->shared; }
inline void sync_block() {
    if (machine().mistake != emulation::Mistake::kNoBlockBarrier) machine().meet(machine().fiber().block->barrier);
}
template <int kFirstThreads>
inline void sync_first() {
    emulation::Barrier& barrier = machine().fiber().block->first_barrier;
    if (thread_index() >= kFirstThreads) machine().fail("a thread at a barrier of others");
    if (barrier.arrived > 0 && barrier.count != kFirstThreads) machine().fail("a barrier of another number of threads");
    barrier.count = kFirstThreads;
    machine().meet(barrier);
}
inline void sync_warp() {
    if (machine().mistake != emulation::Mistake::kNoWarpBarrier) machine().execute(&emulation::nothing, nullptr);
}

inline float shuffle_xor(float value, int mask) {
    emulation::Shuffle shuffle{value, 0.0f, mask};
    machine().execute(&emulation::shuffle_xor, &shuffle);
    return shuffle.result;
}

template <typename T>
inline void store_operand(void* at, T value) {
    machine().note_write(at, sizeof(T));
    std::memcpy(at, &value, sizeof(T));
}

typedef const char* OperandAddress;
inline OperandAddress operand_address(const void* operand) { return static_cast<const char*>(operand); }
inline void load_matrices(uint32_t (&result)[4], OperandAddress row) {
    machine().require_shared(row, 16, 16);
    emulation::MatrixLoad load{row, result};
    machine().execute(&emulation::load_matrices, &load);
}

inline void multiply_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    emulation::Product product{c, a, {b0, b1}};
    machine().execute(&emulation::multiply_bf16, &product);
}

inline void multiply_tf32(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    emulation::Product product{c, a, {b0, b1}};
    machine().execute(&emulation::multiply_tf32, &product);
}

inline void copy_async(void* shared, const void* global) {
    machine().require_shared(shared, 16, 16);
    if (reinterpret_cast<uintptr_t>(global) % 16 != 0) machine().fail("a copy from a misaligned address");
    std::memset(shared, emulation::kPoison, 16);
    machine().fiber().groups.back().push_back({shared, global, 16, {}});
}

inline void commit_copies() { machine().fiber().groups.emplace_back(); }

template <int kGroups>
inline void wait_for_copies() {
    if (machine().mistake == emulation::Mistake::kNoWaitForCopies && kGroups > 0) return;
    auto& groups = machine().fiber().groups;
    while (groups.size() > kGroups + 1) {  // the last one is open
        for (const emulation::Copy& copy : groups.front()) copy.arrive();
        groups.erase(groups.begin());
    }
}

inline void prefetch(const void*) {}

inline float exp(float x) { return std::exp(x); }
inline float expm1(float x) { return std::expm1(x); }
inline float tanh(float x) { return std::tanh(x); }
inline float erf(float x) { return std::erf(x); }
inline float inverse_sqrt(float x) { return 1.0f / std::sqrt(x); }
inline float reciprocal(float x) { return 1.0f / x; }
inline float exp2_approximate(float x) { return std::exp2(x); }
inline float tanh_approximate(float x) { return std::tanh(x); }

inline uint32_t to_bf16(float value) {
    const uint32_t bits = emulation::as_bits(value);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return 0x7FFF;
    return (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
}
inline uint32_t to_bf16x2(float low, float high) { return to_bf16(low) | to_bf16(high) << 16; }

inline uint32_t to_fp16x2(float low, float high) {
    const _Float16 numbers[2] = {static_cast<_Float16>(low), static_cast<_Float16>(high)};
    return emulation::word(numbers);
}
inline Float2 from_fp16x2(uint32_t bits) {
    _Float16 numbers[2];
    std::memcpy(numbers, &bits, sizeof(numbers));
    return {static_cast<float>(numbers[0]), static_cast<float>(numbers[1])};
}

inline float to_tf32(float value) {
    const uint32_t bits = emulation::as_bits(value);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return emulation::as_float(0x7FFFFFFFu);
    return emulation::as_float((bits + 0x1000) & ~uint32_t{0x1FFF});
}

inline uint32_t float_bits(float value) { return emulation::as_bits(value); }
inline float bits_float(uint32_t bits) { return emulation::as_float(bits); }

inline int cluster_rank() { return machine().fiber().rank; }
inline void sync_cluster() { machine().meet(machine().cluster_barrier()); }

template <typename T>
inline T* of_peer(T* pointer, int rank) {
    machine().require_shared(pointer, sizeof(T), alignof(T));
    if (rank < 0 || rank >= machine().cluster_size()) machine().fail("no such block in the cluster");
    const size_t offset = reinterpret_cast<const char*>(pointer) - machine().fiber().block->shared;
    return reinterpret_cast<T*>(machine().block(rank).shared + offset);
}

inline void init_arrivals(uint64_t* barrier, int arrivals) {
    machine().require_shared(barrier, 8, 8);
    machine().add_arrivals(barrier, arrivals);
}

inline void expect_tx(uint64_t* barrier, uint32_t bytes) {
    if (machine().mistake == emulation::Mistake::kTooFewBytes && bytes > 0) bytes -= 4;
    if (machine().mistake == emulation::Mistake::kTooManyBytes && bytes > 0) bytes += 4;
    machine().arrive(machine().arrivals(barrier), bytes);
}
template <Scope kScope>
inline void arrive_at_peer(uint64_t* barrier, int rank, int times = 1) {
    emulation::Arrivals& arrivals = machine().arrivals(of_peer(barrier, rank));
    const bool is_wrong = machine().mistake == emulation::Mistake::kBlockScopeArrival;
    arrivals.peers_arrive_at_cta_scope |= (kScope == Scope::kCta || is_wrong) && rank != cluster_rank();
    machine().check_scope_of_arrivals(arrivals);
    for (int i = 0; i < times; ++i) machine().arrive(arrivals, 0);
}

inline void check_bulk_copy(void* shared, const void* global, uint32_t bytes) {
    machine().require_shared(shared, bytes, 16);
    if (reinterpret_cast<uintptr_t>(global) % 16 != 0 || bytes % 16 != 0) machine().fail("a misaligned bulk copy");
}

inline void copy_bulk_to_all(void* shared, const void* global, uint32_t bytes, uint64_t* barrier, int blocks) {
    check_bulk_copy(shared, global, bytes);
    for (int rank = 0; rank < blocks; ++rank) {
        machine().request(machine().arrivals(of_peer(barrier, rank)),
                          {of_peer(static_cast<char*>(shared), rank), global, bytes, {}});
    }
}

inline void copy_bulk(void* shared, const void* global, uint32_t bytes, uint64_t* barrier) {
    check_bulk_copy(shared, global, bytes);
    machine().request(machine().arrivals(barrier), {shared, global, bytes, {}});
}

struct Peer {
    int rank;
};
inline Peer peer(int rank) { return {rank}; }

template <typename T>
inline void store_async(void* at, Peer peer, T value, uint64_t* barrier) {
    const int rank = peer.rank;
    machine().require_shared(at, sizeof(T), sizeof(T));
    emulation::Copy copy{of_peer(static_cast<char*>(at), rank), nullptr, sizeof(T), {}};
    std::memcpy(copy.value, &value, sizeof(T));
    emulation::Arrivals& arrivals = machine().arrivals(of_peer(barrier, rank));
    arrivals.peers_stored |= rank != cluster_rank();
    arrivals.peers_store |= rank != cluster_rank();
    machine().check_scope_of_arrivals(arrivals);
    machine().request(arrivals, copy);
}

template <Scope kScope>
inline void wait_for_phase(uint64_t* barrier, uint32_t parity) {
    using emulation::Mistake;
    if (machine().mistake == (kScope == Scope::kCta ? Mistake::kNoWaitForBulkCopies : Mistake::kNoWaitForPeers)) return;
    emulation::Arrivals& arrivals = machine().arrivals(barrier);
    machine().wait_for_phase(arrivals, parity);
    const bool is_wrong = machine().mistake == Mistake::kBlockScopeWait;
    if ((kScope == Scope::kCta || is_wrong) && arrivals.peers_stored_last) {
        machine().fail("a wait at the scope of the block for what another block stored");
    }
}

// ---- The interface of wgmma.cuh -------------------------------------------------------------------------------------

inline uint32_t shared_address(const void* pointer) {
    return static_cast<uint32_t>(static_cast<const char*>(pointer) - shared_memory()) + emulation::kSharedWindow;
}

template <int kRegisters>
inline void take_registers() {
    machine().execute(&emulation::nothing, nullptr);
}
template <int kRegisters>
inline void give_registers() {
    machine().execute(&emulation::nothing, nullptr);
}

inline void fence_async() { machine().fence_writes(); }
inline void begin_products() { machine().execute(&emulation::begin_group_products, nullptr); }
inline void commit_products() { machine().execute(&emulation::commit_group_products, nullptr); }

template <int kBatches>
inline void wait_for_products() {
    machine().execute(&emulation::wait_for_group_products<kBatches>, nullptr);
}

template <int kTiles>
inline void fence_operand(float (&)[kTiles][4]) {}

template <int kTiles, int kAllTiles>
inline void multiply_group_bf16(float (&c)[kAllTiles][4], uint64_t a, uint64_t b, bool accumulate) {
    emulation::GroupArguments arguments{a, b, c[0], kTiles, accumulate, false};
    machine().execute(&emulation::issue_group_product, &arguments);
}

template <int kTiles, int kAllTiles>
inline void multiply_group_tf32(float (&c)[kAllTiles][4], uint64_t a, uint64_t b, bool accumulate) {
    emulation::GroupArguments arguments{a, b, c[0], kTiles, accumulate, true};
    machine().execute(&emulation::issue_group_product, &arguments);
}

}  // namespace device
}  // namespace cuda
}  // namespace zprl
