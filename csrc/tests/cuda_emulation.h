// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// CUDA on the CPU, as far as the kernels in csrc/core/cuda ask for it (device.cuh): every thread of a cluster is a
// fiber, and barriers, warp instructions and asynchronous copies have the meaning that the PTX manual gives them. Slow,
// and strict where a GPU would be lenient or only sometimes wrong:
//
// * shared memory begins as NaN, and so does the target of an asynchronous copy from its request until the wait that
//   makes it visible: a missing wait, or a copy into memory still in use, ends in NaN;
// * threads run in an order drawn from a seed, so that a missing barrier shows;
// * a warp instruction that not all lanes reach, or reach at different instructions, and a barrier that not all threads
//   reach, end in an error;
// * addresses of shared memory are checked, and bytes after its end are guarded.

#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#define ZPRL_DEVICE inline
#define ZPRL_UNROLL

namespace zprl {
namespace cuda {
namespace emulation {

constexpr size_t kStackBytes = 64 * 1024;
constexpr size_t kGuardBytes = 256;
constexpr unsigned char kPoison = 0xFF;  // as floats and bf16: NaN

// An instruction that the lanes of a warp execute together: run on all lanes' arguments when the last one arrives.
typedef void (*WarpInstruction)(void* const* arguments);

struct Copy {
    void* to;
    const void* from;
    size_t bytes;
};

// Fibers that wait for the last one of `count`.
struct Barrier {
    int count = 0, arrived = 0;
    std::vector<int> waiting;
};

struct Warp {
    Barrier barrier;
    WarpInstruction instruction = nullptr;
    void* arguments[32];
};

struct Block {
    std::vector<char> memory;  // with alignment and guards
    char* shared = nullptr;
    Barrier barrier;
    std::vector<Warp> warps;
    int64_t index = 0;
};

// An mbarrier in shared memory: its phase ends when all arrivals have come, and the bytes that they announced.
struct Arrivals {
    int count = 0, missing = 0;
    int64_t announced = 0;     // bytes that have not arrived
    std::vector<Copy> copies;  // on their way: they arrive when somebody waits for nothing else
    uint32_t phase = 0;

    void end_phase_if_complete() {
        if (missing > 0 || announced != 0) return;
        missing = count;
        ++phase;
    }
};

struct Fiber {
    ucontext_t context;
    jmp_buf resume;
    bool started = false, finished = false;
    Block* block = nullptr;
    int thread = 0, rank = 0;
    std::vector<std::vector<Copy>> groups;  // of asynchronous copies, oldest first; the last one is open
};

class Machine {
 public:
    // Run `kernel` as all threads of a grid, cluster by cluster. A seed of 0 runs threads in turns.
    // Throws std::runtime_error if a rule is broken.
    void run(int64_t blocks, int cluster_size, int threads, size_t shared_bytes, uint64_t seed,
             const std::function<void()>& kernel) {
        random_ = seed;
        shared_bytes_ = shared_bytes;
        cluster_size_ = cluster_size;
        kernel_ = &kernel;
        for (int64_t first = 0; first < blocks; first += cluster_size) run_cluster(first, threads);
    }

    Fiber& fiber() { return fibers_[current_]; }
    int cluster_size() const { return cluster_size_; }
    Block& block(int rank) { return blocks_[rank]; }
    Barrier& cluster_barrier() { return cluster_barrier_; }

    [[noreturn]] void fail(const std::string& what) {
        error_ = what + " (block " + std::to_string(fiber().block->index) + ", thread " +
                 std::to_string(fiber().thread) + ")";
        _longjmp(scheduler_, 1);
    }

    // Wait for the barrier's other fibers.
    void meet(Barrier& barrier, const std::function<void()>& last = nullptr) {
        if (++barrier.arrived < barrier.count) {
            barrier.waiting.push_back(current_);
            if (_setjmp(fiber().resume) == 0) _longjmp(scheduler_, 1);
            return;
        }
        if (last) last();
        barrier.arrived = 0;
        for (int id : barrier.waiting) ready_.push_back(id);
        barrier.waiting.clear();
    }

    // Let others run.
    void yield() {
        ready_.push_back(current_);
        if (_setjmp(fiber().resume) == 0) _longjmp(scheduler_, 1);
    }

    void execute(WarpInstruction instruction, void* argument) {
        Warp& warp = fiber().block->warps[fiber().thread / 32];
        if (warp.barrier.arrived == 0) warp.instruction = instruction;
        if (warp.instruction != instruction) fail("lanes of a warp are at different instructions");
        warp.arguments[fiber().thread % 32] = argument;
        meet(warp.barrier, [&warp, instruction] { instruction(warp.arguments); });
    }

    // Whether `bytes` bytes from `pointer` on lie in the shared memory of some block of the cluster, or of this one.
    void require_shared(const void* pointer, size_t bytes, size_t alignment, bool of_peers = false) {
        const char* const p = static_cast<const char*>(pointer);
        if (reinterpret_cast<uintptr_t>(p) % alignment != 0) fail("a misaligned address of shared memory");
        for (Block& block : blocks_) {
            if (&block != fiber().block && !of_peers) continue;
            if (p >= block.shared && p + bytes <= block.shared + shared_bytes_) return;
        }
        fail("an address outside of shared memory");
    }

    Arrivals& arrivals(const uint64_t* barrier) {
        uint64_t index;
        std::memcpy(&index, barrier, sizeof(index));
        if (index >= arrivals_.size()) fail("an mbarrier that was not initialised");
        return arrivals_[index];
    }
    void add_arrivals(uint64_t* barrier, int count) {
        const uint64_t index = arrivals_.size();
        std::memcpy(barrier, &index, sizeof(index));
        arrivals_.emplace_back();
        arrivals_.back().count = arrivals_.back().missing = count;
    }

 private:
    static void enter() {
        Machine& machine = instance();
        (*machine.kernel_)();
        Fiber& fiber = machine.fiber();
        for (const auto& group : fiber.groups) {
            if (!group.empty()) machine.fail("a thread ends before its copies");
        }
        fiber.finished = true;
        _longjmp(machine.scheduler_, 1);
    }

    void run_cluster(int64_t first_block, int threads) {
        arrivals_.clear();
        error_.clear();
        ready_.clear();
        cluster_barrier_ = Barrier{cluster_size_ * threads, 0, {}};
        blocks_.resize(cluster_size_);
        for (int rank = 0; rank < cluster_size_; ++rank) {
            Block& block = blocks_[rank];
            block.memory.assign(shared_bytes_ + 1024 + kGuardBytes, static_cast<char>(kPoison));
            block.shared =
                reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(block.memory.data()) + 1023) / 1024 * 1024);
            block.barrier = Barrier{threads, 0, {}};
            block.index = first_block + rank;
            block.warps.assign(threads / 32, Warp{});
            for (Warp& warp : block.warps) warp.barrier.count = 32;
        }
        const int count = cluster_size_ * threads;
        stacks_.reset(new char[static_cast<size_t>(count) * kStackBytes]);
        fibers_.clear();
        fibers_.resize(count);
        for (int i = 0; i < count; ++i) {
            Fiber& fiber = fibers_[i];
            fiber.rank = i / threads;
            fiber.block = &blocks_[fiber.rank];
            fiber.thread = i % threads;
            fiber.groups.resize(1);
            getcontext(&fiber.context);
            fiber.context.uc_stack.ss_sp = stacks_.get() + static_cast<size_t>(i) * kStackBytes;
            fiber.context.uc_stack.ss_size = kStackBytes;
            fiber.context.uc_link = nullptr;
            makecontext(&fiber.context, &Machine::enter, 0);
            ready_.push_back(i);
        }
        schedule();
        if (!error_.empty()) throw std::runtime_error(error_);
        int waiting = 0;
        for (const Fiber& fiber : fibers_) waiting += !fiber.finished;
        if (waiting > 0) throw std::runtime_error(std::to_string(waiting) + " threads wait for ever");
        for (const Block& block : blocks_) {
            const char* const end = block.shared + shared_bytes_;
            for (size_t i = 0; i < kGuardBytes; ++i) {
                if (end[i] != static_cast<char>(kPoison)) throw std::runtime_error("a write past shared memory");
            }
        }
    }

    // Returns when no fiber can run. Fibers come back here by _longjmp, so no local variable lives across it.
    void schedule() {
        _setjmp(scheduler_);
        if (!error_.empty() || ready_.empty()) return;
        size_t next = 0;
        if (random_ != 0) {
            random_ = random_ * 6364136223846793005u + 1442695040888963407u;
            next = (random_ >> 33) % ready_.size();
            current_ = ready_[next];
            ready_[next] = ready_.back();
            ready_.pop_back();
        } else {
            current_ = ready_.front();
            ready_.pop_front();
        }
        Fiber& fiber = fibers_[current_];
        if (fiber.started) _longjmp(fiber.resume, 1);
        fiber.started = true;
        setcontext(&fiber.context);
    }

 public:
    static Machine& instance() {
        static Machine machine;
        return machine;
    }

 private:
    std::vector<Fiber> fibers_;
    std::vector<Block> blocks_;
    std::vector<Arrivals> arrivals_;
    std::deque<int> ready_;
    std::unique_ptr<char[]> stacks_;
    Barrier cluster_barrier_;
    jmp_buf scheduler_;
    int current_ = 0, cluster_size_ = 1;
    size_t shared_bytes_ = 0;
    uint64_t random_ = 0;
    std::string error_;
    const std::function<void()>* kernel_ = nullptr;
};

inline Machine& machine() { return Machine::instance(); }

inline uint32_t word(const void* from) {
    uint32_t bits;
    std::memcpy(&bits, from, sizeof(bits));
    return bits;
}

inline float as_float(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
}

inline uint32_t as_bits(float value) { return word(&value); }

// Arguments of mma.sync, of one lane.
struct Product {
    float* c;
    const uint32_t* a;
    uint32_t b[2];
};

// c += a b for 16 x k by k x 8 numbers, which `get` takes out of lane, register and place in the register.
template <int kDepth, int kPerRegister, typename Get>
void multiply(void* const* arguments, const Get& get) {
    const auto product = [&](int lane) { return static_cast<const Product*>(arguments[lane]); };
    float a[16][kDepth], b[kDepth][8];
    for (int k = 0; k < kDepth; ++k) {
        const int t = k / kPerRegister % 4, high = k / kPerRegister / 4, place = k % kPerRegister;
        for (int row = 0; row < 16; ++row) {
            a[row][k] = get(product(row % 8 * 4 + t)->a[row / 8 + 2 * high], place);
        }
        for (int n = 0; n < 8; ++n) b[k][n] = get(product(4 * n + t)->b[high], place);
    }
    for (int row = 0; row < 16; ++row) {
        float sums[8] = {};
        for (int k = 0; k < kDepth; ++k) {
            for (int n = 0; n < 8; ++n) sums[n] += a[row][k] * b[k][n];
        }
        for (int n = 0; n < 8; ++n) product(row % 8 * 4 + n / 2)->c[row / 8 * 2 + n % 2] += sums[n];
    }
}

inline void multiply_bf16(void* const* arguments) {
    multiply<16, 2>(arguments,
                    [](uint32_t bits, int place) { return as_float(place == 0 ? bits << 16 : bits & 0xFFFF0000u); });
}

// The hardware ignores the last 13 bits.
inline void multiply_tf32(void* const* arguments) {
    multiply<8, 1>(arguments, [](uint32_t bits, int) { return as_float(bits & ~uint32_t{0x1FFF}); });
}

struct MatrixLoad {
    const void* row;
    uint32_t* result;
};

inline void load_matrices(void* const* arguments) {
    for (int matrix = 0; matrix < 4; ++matrix) {
        for (int lane = 0; lane < 32; ++lane) {
            const void* row = static_cast<const MatrixLoad*>(arguments[8 * matrix + lane / 4])->row;
            static_cast<MatrixLoad*>(arguments[lane])->result[matrix] =
                word(static_cast<const char*>(row) + lane % 4 * 4);
        }
    }
}

struct Shuffle {
    float value, result;
    int mask;
};

inline void shuffle_xor(void* const* arguments) {
    for (int lane = 0; lane < 32; ++lane) {
        Shuffle* const shuffle = static_cast<Shuffle*>(arguments[lane]);
        shuffle->result = static_cast<const Shuffle*>(arguments[lane ^ shuffle->mask])->value;
    }
}

inline void nothing(void* const*) {}

}  // namespace emulation

// ---- The interface of device.cuh
// -------------------------------------------------------------------------------------

namespace device {

using emulation::machine;

inline int thread_index() { return machine().fiber().thread; }
inline int64_t block_index() { return machine().fiber().block->index; }
inline char* shared_memory() { return machine().fiber().block->shared; }
inline void sync_block() { machine().meet(machine().fiber().block->barrier); }
inline void sync_warp() { machine().execute(&emulation::nothing, nullptr); }

inline float shuffle_xor(float value, int mask) {
    emulation::Shuffle shuffle{value, 0.0f, mask};
    machine().execute(&emulation::shuffle_xor, &shuffle);
    return shuffle.result;
}

inline void load_matrices(uint32_t (&result)[4], const void* row) {
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
    machine().fiber().groups.back().push_back({shared, global, 16});
}

inline void commit_copies() { machine().fiber().groups.emplace_back(); }

template <int kGroups>
inline void wait_for_copies() {
    auto& groups = machine().fiber().groups;
    while (groups.size() > kGroups + 1) {  // the last one is open
        for (const emulation::Copy& copy : groups.front()) std::memcpy(copy.to, copy.from, copy.bytes);
        groups.erase(groups.begin());
    }
}

inline float exp(float x) { return std::exp(x); }
inline float erf(float x) { return std::erf(x); }
inline float inverse_sqrt(float x) { return 1.0f / std::sqrt(x); }
inline float divide_fast(float x, float y) { return x / y; }

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

inline void arrive(emulation::Arrivals& arrivals, int64_t bytes) {
    if (arrivals.missing == 0) machine().fail("an mbarrier's phase with too many arrivals");
    --arrivals.missing;
    arrivals.announced += bytes;
    arrivals.end_phase_if_complete();
}
inline void announce_bytes(uint64_t* barrier, uint32_t bytes) { arrive(machine().arrivals(barrier), bytes); }
inline void arrive_at_peer(uint64_t* barrier, int rank) { arrive(machine().arrivals(of_peer(barrier, rank)), 0); }

inline void copy_bulk_to_all(void* shared, const void* global, uint32_t bytes, uint64_t* barrier, int blocks) {
    machine().require_shared(shared, bytes, 16);
    if (reinterpret_cast<uintptr_t>(global) % 16 != 0 || bytes % 16 != 0) machine().fail("a misaligned bulk copy");
    for (int rank = 0; rank < blocks; ++rank) {
        char* const to = of_peer(static_cast<char*>(shared), rank);
        std::memset(to, emulation::kPoison, bytes);
        machine().arrivals(of_peer(barrier, rank)).copies.push_back({to, global, bytes});
    }
}

inline void copy_bulk(void* shared, const void* global, uint32_t bytes, uint64_t* barrier) {
    machine().require_shared(shared, bytes, 16);
    if (reinterpret_cast<uintptr_t>(global) % 16 != 0 || bytes % 16 != 0) machine().fail("a misaligned bulk copy");
    std::memset(shared, emulation::kPoison, bytes);
    machine().arrivals(barrier).copies.push_back({shared, global, bytes});
}

inline void wait_for_phase(uint64_t* barrier, uint32_t parity) {
    for (int rounds = 0;; ++rounds) {
        emulation::Arrivals& arrivals = machine().arrivals(barrier);
        if (arrivals.phase % 2 != parity) return;  // over already
        int64_t requested = 0;
        for (const emulation::Copy& copy : arrivals.copies) requested += static_cast<int64_t>(copy.bytes);
        if (arrivals.missing == 0 && requested > arrivals.announced) machine().fail("more bytes than were announced");
        if (arrivals.missing == 0 && requested == arrivals.announced) {
            for (const emulation::Copy& copy : arrivals.copies) std::memcpy(copy.to, copy.from, copy.bytes);
            arrivals.copies.clear();
            arrivals.announced = 0;
            arrivals.end_phase_if_complete();
            return;
        }
        if (rounds > 100000) machine().fail("an mbarrier's phase that never ends");
        machine().yield();
    }
}

}  // namespace device
}  // namespace cuda
}  // namespace zprl
