// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Part of cuda_check: kernels with mistakes, which the emulation must notice.

#pragma once

#include <functional>

#include "cuda/device.cuh"
#include "cuda/producer_ring.cuh"
#include "cuda/unit.cuh"
#include "cuda/weight_ring.cuh"
#include "cuda/wgmma.cuh"

namespace core_check {
namespace {

using zprl::cuda::Scope;

// A kernel with a mistake must be found out, or the checks above say nothing. `mistake` runs as one cluster, of blocks
// of 64 threads.
void require_found(const char* what, const std::function<void()>& mistake, int threads = 64, int shared_bytes = 1024,
                   int blocks = 1) {
    for (uint64_t seed = 1; seed < 20; ++seed) {
        try {
            zprl::cuda::emulation::machine().run(blocks, blocks, threads, shared_bytes, seed, mistake);
        } catch (const std::exception&) {
            return;
        }
    }
    throw CheckFailed(text("the emulation does not notice %s", what));
}

// A warpgroup multiplies 64 rows by 32 columns of one slab, as a kernel would, but for what is left out or wrong.
struct WgmmaMistakes {
    bool no_fence_async = false, no_barrier = false, no_begin = false, no_wait = false, early_write = false;
    uint32_t offset = 0;      // [bytes] of the columns' descriptor
    uint64_t swizzle = 1;     // mode of both descriptors
    bool first_adds = false;  // the first product adds to what is there
};

void multiply_a_slab(const WgmmaMistakes& mistakes) {
    namespace device = zprl::cuda::device;
    constexpr int kRows = 64, kColumns = 32;
    char* const rows = device::shared_memory();
    char* const columns = rows + kRows * zprl::cuda::kSlabBytes;
    const auto number = [](int row, int k) { return static_cast<float>((row * 7 + k * 5) % 17 - 8); };
    const int thread = device::thread_index();
    for (int i = thread; i < (kRows + kColumns) * 32; i += 128) {  // tf32: 32 numbers to a row
        const int row = i / 32, k = i % 32;
        char* const operand = row < kRows ? rows : columns;
        device::store_operand(operand + zprl::cuda::swizzled(kRows, row < kRows ? row : row - kRows, 4 * k),
                              number(row, k));
    }
    if (!mistakes.no_fence_async) device::fence_async();
    if (!mistakes.no_barrier) device::sync_block();
    float sum[4][4];
    for (auto& tile : sum) std::fill_n(tile, 4, std::numeric_limits<float>::quiet_NaN());
    const auto descriptor = [&](const char* at) {
        const uint64_t usual = zprl::cuda::matrix_descriptor(device::shared_address(at));
        return (usual & ~(uint64_t{3} << 62)) | mistakes.swizzle << 62;
    };
    if (!mistakes.no_begin) device::begin_products();
    for (int step = 0; step < 4; ++step) {
        device::multiply_group_tf32<4>(sum, descriptor(rows) + 2 * step,
                                       descriptor(columns + mistakes.offset) + 2 * step,
                                       step > 0 || mistakes.first_adds);
    }
    device::commit_products();
    if (mistakes.early_write && thread == 0) *reinterpret_cast<float*>(rows) = 1e3f;
    if (!mistakes.no_wait) device::wait_for_products<0>();
    for (int i = 0; i < 16; ++i) {
        const int row = thread / 32 * 16 + thread % 32 / 4 + i % 4 / 2 * 8;
        const int column = i / 4 * 8 + thread % 4 * 2 + i % 2;
        float expected = 0.0f;
        for (int k = 0; k < 32; ++k) expected += number(row, k) * number(kRows + column, k);
        if (!(sum[i / 4][i % 4] == expected)) zprl::cuda::emulation::machine().fail("a wrong sum");
    }
    device::wait_for_products<0>();
}

void check_emulated_wgmma() {
    constexpr int kBytes = (64 + 40) * zprl::cuda::kSlabBytes;
    const auto found = [&](const char* what, const WgmmaMistakes& mistakes) {
        require_found(what, [=] { multiply_a_slab(mistakes); }, 128, kBytes);
    };
    const auto with = [](auto change) {
        WgmmaMistakes mistakes;
        change(mistakes);
        return mistakes;
    };
    found("a product of writes without a fence", with([](auto& m) { m.no_fence_async = true; }));
    found("a product before the barrier", with([](auto& m) { m.no_barrier = true; }));
    found("products without wgmma.fence", with([](auto& m) { m.no_begin = true; }));
    found("sums that nobody waited for", with([](auto& m) { m.no_wait = true; }));
    found("an operand that changes under way", with([](auto& m) { m.early_write = true; }));
    found("a matrix off its alignment", with([](auto& m) { m.offset = 128; }));
    found("a matrix at the wrong place", with([](auto& m) { m.offset = 1024; }));
    found("another swizzle", with([](auto& m) { m.swizzle = 2; }));
    found("sums that do not begin at zero", with([](auto& m) { m.first_adds = true; }));
    zprl::cuda::emulation::machine().run(1, 1, 128, kBytes, 1, [] { multiply_a_slab({}); });
}

// Two blocks add one to what the other one stored last, in turns, as the layers of the cluster kernel do.
template <Scope kArrival, Scope kWait>
void exchange_with_peer() {
    namespace device = zprl::cuda::device;
    char* const shared = device::shared_memory();
    float* const values[] = {reinterpret_cast<float*>(shared), reinterpret_cast<float*>(shared) + 64};
    uint64_t* const barriers = reinterpret_cast<uint64_t*>(shared + 512);
    const int thread = device::thread_index(), peer = 1 - device::cluster_rank();
    if (thread == 0) {
        for (int i = 0; i < 2; ++i) device::init_arrivals(barriers + i, 2);
    }
    values[0][thread] = 0.0f;
    device::sync_cluster();
    for (int i = 0; i < 6; ++i) {
        uint64_t* const barrier = barriers + i % 2;
        const float next = values[i % 2][thread] + 1.0f;
        device::sync_block();
        if (thread == 0) {
            device::expect_tx(barrier, 64 * sizeof(float));
            device::arrive_at_peer<kArrival>(barrier, peer);
        }
        device::store_async(values[1 - i % 2] + thread, device::peer(peer), zprl::cuda::emulation::as_bits(next),
                            barrier);
        device::wait_for_phase<kWait>(barrier, i / 2 % 2);
        if (values[1 - i % 2][thread] != next) zprl::cuda::emulation::machine().fail("a wrong number");
    }
    device::sync_cluster();
}

void check_emulated_scopes() {
    const auto found = [](const char* what, void (*mistake)()) { require_found(what, mistake, 64, 1024, 2); };
    found("a wait at too small a scope", &exchange_with_peer<Scope::kCluster, Scope::kCta>);
    found("an arrival at too small a scope", &exchange_with_peer<Scope::kCta, Scope::kCluster>);
    zprl::cuda::emulation::machine().run(2, 2, 64, 1024, 1, &exchange_with_peer<Scope::kCluster, Scope::kCluster>);
}

// Two blocks read a layer's slabs, of which slab i is all i, from the ring that the tile kernel has.
void read_slabs(const std::vector<float>& weights, bool early_release, bool unwaited) {
    namespace device = zprl::cuda::device;
    constexpr int kStages = 3, kOutputs = 64, kSlabNumbers = kOutputs * zprl::cuda::kSlabBytes / 4;
    zprl::cuda::KernelArguments arguments{};
    const int slabs = static_cast<int>(weights.size()) / kSlabNumbers;
    arguments.policy.num_embedding = 1;
    arguments.policy.once[0] = {0, 0, 32 * slabs, kOutputs};
    arguments.memory.stages = kStages;
    arguments.memory.tile_outputs = kOutputs;
    arguments.memory.barrier = kStages * kSlabNumbers * 4;
    arguments.call.blob = reinterpret_cast<const char*>(weights.data());
    arguments.call.operation = zprl::cuda::Operation::kEncode;
    zprl::cuda::ProducerRing<zprl::cuda::Fp32Unit, false> ring(arguments, 2);
    if (device::thread_index() >= zprl::cuda::kThreads) {
        if (device::thread_index() == zprl::cuda::kThreads) ring.produce();
        ring.close();
        return;
    }
    const char* ahead = device::shared_memory();
    for (int i = 0; i < slabs; ++i) {
        const char* const slab = unwaited ? ahead + i % kStages * kSlabNumbers * 4 : ring.next();
        if (early_release) ring.end();
        for (int at = device::thread_index() % 32; at < kSlabNumbers; at += 64) {
            if (reinterpret_cast<const float*>(slab)[at] != static_cast<float>(i)) {
                zprl::cuda::emulation::machine().fail("a wrong slab");
            }
        }
        if (unwaited) ring.next();
    }
    ring.close();
}

void check_emulated_ring() {
    constexpr int kSlabs = 12, kSlabNumbers = 64 * zprl::cuda::kSlabBytes / 4;
    constexpr int kBytes = 3 * kSlabNumbers * 4 + 96, kThreads = zprl::cuda::kThreads + zprl::cuda::kProducerWarp;
    std::vector<float> weights(kSlabs * kSlabNumbers);
    for (size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<float>(i / kSlabNumbers);
    const auto read = [&](bool early_release, bool unwaited) {
        return [&, early_release, unwaited] { read_slabs(weights, early_release, unwaited); };
    };
    require_found("a slab that is released before it is read", read(true, false), kThreads, kBytes, 2);
    require_found("a slab that nobody waits for", read(false, true), kThreads, kBytes, 2);
    for (uint64_t seed = 1; seed < 4; ++seed) {
        zprl::cuda::emulation::machine().run(2, 2, kThreads, kBytes, seed, read(false, false));
    }
}

// A warpgroup of a tile on wgmma that reads its own slabs of a layer, and what is wrong about it or its neighbours.
struct GroupMistakes {
    bool unwaited = false;        // reads without waiting, ahead of the producer
    bool early_release = false;   // of a slab before it is read
    bool no_release = false;      // of the last slab of a turn
    bool double_release = false;  // of a slab, by a warpgroup that has none
    bool no_skip = false;         // takes the other warpgroup's slabs for its own
    bool no_end = false;          // keeps the last slab of the layer that both read
};

// Two blocks read two layers, of which slab i is all i: one in float32, whose slabs all warps read, and one of the
// velocity field, whose slabs are the warpgroups' by turns.
void read_slabs_in_turns(const std::vector<float>& weights, int slabs, int turns, const GroupMistakes& mistakes) {
    namespace device = zprl::cuda::device;
    constexpr int kStages = 3, kOutputs = 64, kSlabNumbers = kOutputs * zprl::cuda::kSlabBytes / 4;
    zprl::cuda::KernelArguments arguments{};
    arguments.policy.num_decoder = 1;
    arguments.policy.once[0] = {0, 0, 32 * slabs, kOutputs};
    // In the blob a layer is [slab][output], so that the slabs of a turn are not next to each other.
    arguments.policy.modulation = {static_cast<uint32_t>(slabs * kSlabNumbers * 4), 0, 32 * slabs, kOutputs * turns};
    arguments.memory.stages = kStages;
    arguments.memory.tile_outputs = kOutputs;
    arguments.memory.barrier = kStages * kSlabNumbers * 4;
    arguments.call.blob = reinterpret_cast<const char*>(weights.data());
    arguments.call.operation = zprl::cuda::Operation::kAct;
    zprl::cuda::ProducerRing<zprl::cuda::Tf32Unit, true> ring(arguments, 2);
    if (device::thread_index() >= zprl::cuda::kThreads) {
        if (device::thread_index() == zprl::cuda::kThreads) ring.produce();
        device::sync_warp();
        ring.close();
        return;
    }
    const auto read = [](const char* slab, int number) {
        for (int at = device::thread_index() % 32; at < kSlabNumbers; at += 64) {
            if (reinterpret_cast<const float*>(slab)[at] != static_cast<float>(number)) {
                zprl::cuda::emulation::machine().fail("a wrong slab");
            }
        }
    };
    for (int i = 0; i < slabs; ++i) read(ring.next(), i);
    if (!mistakes.no_end) ring.end();
    const int group = device::thread_index() / 128;
    int number = slabs;
    for (int turn = 0; turn < turns; ++turn) {
        if (turn % 2 != group) {
            if (!mistakes.no_skip) ring.skip(slabs);
            if (mistakes.double_release) {
                ring.next_of_group();
                ring.release_of_group(0);
            }
            number += slabs;
            continue;
        }
        for (int i = 0; i < slabs; ++i, ++number) {
            const char* const place = device::shared_memory() + number % kStages * kSlabNumbers * 4;
            const char* const slab = mistakes.unwaited ? place : ring.next_of_group();
            if (mistakes.early_release) ring.release_of_group(0);
            read(slab, slabs + i * turns + turn);
            if (mistakes.unwaited) ring.next_of_group();
            ring.release_of_group(1);
        }
        if (!mistakes.no_release) ring.release_of_group(0);
        device::sync_first<zprl::cuda::kThreads>();
    }
    ring.close();
}

void check_emulated_turns() {
    constexpr int kSlabs = 5, kTurns = 6, kSlabNumbers = 64 * zprl::cuda::kSlabBytes / 4;
    constexpr int kBytes = 3 * kSlabNumbers * 4 + 96, kThreads = zprl::cuda::kThreads + zprl::cuda::kProducerWarpgroup;
    std::vector<float> weights(kSlabs * (kTurns + 1) * kSlabNumbers);
    for (size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<float>(i / kSlabNumbers);
    const auto run = [&](const GroupMistakes& mistakes) {
        return [&weights, mistakes] { read_slabs_in_turns(weights, kSlabs, kTurns, mistakes); };
    };
    const auto found = [&](const char* what, bool GroupMistakes::* mistake) {
        GroupMistakes mistakes;
        mistakes.*mistake = true;
        require_found(what, run(mistakes), kThreads, kBytes, 2);
    };
    found("a warpgroup ahead of the producer", &GroupMistakes::unwaited);
    found("a slab of a warpgroup that is released before it is read", &GroupMistakes::early_release);
    found("a slab of a warpgroup that is never released", &GroupMistakes::no_release);
    found("a slab that a warpgroup releases for the other one", &GroupMistakes::double_release);
    found("a warpgroup at the other one's slabs", &GroupMistakes::no_skip);
    found("a last slab that is kept beyond its layer", &GroupMistakes::no_end);
    for (uint64_t seed = 1; seed < 4; ++seed) {
        zprl::cuda::emulation::machine().run(2, 2, kThreads, kBytes, seed, run({}));
    }
}

void check_emulation() {
    namespace device = zprl::cuda::device;
    auto& machine = zprl::cuda::emulation::machine();
    alignas(16) static const float source[64 * 4] = {1.0f};
    const auto number = [&](int index) { return reinterpret_cast<float*>(device::shared_memory()) + index; };
    const auto require_number = [&](int index) {
        if (std::isnan(*number(index))) machine.fail("NaN");
    };
    require_found("a missing barrier", [&] {
        const int thread = device::thread_index();
        *number(thread) = 1.0f;
        require_number((thread + 33) % 64);
    });
    require_found("a missing wait", [&] {
        const int thread = device::thread_index();
        device::copy_async(number(4 * thread), source + 4 * thread);
        device::commit_copies();
        require_number(4 * thread);
        device::wait_for_copies<0>();
    });
    require_found("a barrier that some do not reach", [&] {
        if (device::thread_index() != 7) device::sync_block();
    });
    require_found("lanes that diverge", [&] {
        uint32_t result[4];
        if (device::thread_index() % 2 == 0) {
            device::load_matrices(result, device::operand_address(number(0)));
        } else {
            device::shuffle_xor(1.0f, 1);
        }
    });
    require_found("an address outside of shared memory", [&] {
        uint32_t result[4];
        device::load_matrices(result, device::operand_address(number(1024)));
    });
    require_found("a write past shared memory", [&] { *number(256) = 1.0f; });
    require_found("a copy that nobody waits for", [&] { device::copy_async(number(0), source); });
    const auto copy_in_bulk = [&](int arrivals, int copies = 1) {
        uint64_t* const barrier = reinterpret_cast<uint64_t*>(number(200));
        if (device::thread_index() == 0) {
            device::init_arrivals(barrier, arrivals);
            device::expect_tx(barrier, 512);
            for (int i = 0; i < copies; ++i) device::copy_bulk(number(0), source, 512, barrier);
        }
        device::sync_block();
        return barrier;
    };
    require_found("a bulk copy that is read too early", [&] {
        uint64_t* const barrier = copy_in_bulk(1);
        require_number(device::thread_index());
        device::wait_for_phase<Scope::kCta>(barrier, 0);
    });
    require_found("more bytes than expected", [&] { device::wait_for_phase<Scope::kCta>(copy_in_bulk(1, 2), 0); });
    require_found("bytes that never come", [&] { device::wait_for_phase<Scope::kCta>(copy_in_bulk(1, 0), 0); });
    require_found("an arrival that is missing", [&] { device::wait_for_phase<Scope::kCta>(copy_in_bulk(2), 0); });
    machine.run(1, 1, 64, 1024, 1, [&] {
        device::wait_for_phase<Scope::kCta>(copy_in_bulk(1), 0);
        require_number(device::thread_index());
    });
    // And the same without mistakes is not.
    machine.run(1, 1, 64, 1024, 1, [&] {
        const int thread = device::thread_index();
        device::copy_async(number(4 * thread), source + 4 * thread);
        device::commit_copies();
        device::wait_for_copies<0>();
        device::sync_block();
        require_number(4 * ((thread + 33) % 64));
    });
    check_emulated_wgmma();
    check_emulated_scopes();
    check_emulated_ring();
    check_emulated_turns();
    std::printf("cuda_check: the emulation notices mistakes\n");
}

}  // namespace
}  // namespace core_check
