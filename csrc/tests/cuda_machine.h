// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Threads, barriers and shared memory of a GPU, on the CPU: what cuda_emulation.h is built on. Every thread of a
// cluster is a fiber; a fiber runs until it waits for others, and which one runs next is drawn from a seed.

#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace zprl {
namespace cuda {
namespace emulation {

constexpr size_t kStackBytes = 64 * 1024;
constexpr size_t kGuardBytes = 256;
constexpr unsigned char kPoison = 0xFF;  // as floats and bf16: NaN

// What a kernel may be made to leave out or to do wrong, in every call of the kind, as if its source did.
enum class Mistake {
    kNone,
    kBlockScopeArrival,  // arrivals at peers: at the scope of the block
    kBlockScopeWait,     // waits for what peers stored: the same
    kNoWaitForPeers,
    kNoWaitForBulkCopies,
    kNoWaitForCopies,
    kTooFewBytes,
    kTooManyBytes,
    kNoBlockBarrier,
    kNoWarpBarrier,
};

// An instruction that the lanes of a warp execute together: run on all lanes' arguments when the last one arrives.
typedef void (*WarpInstruction)(void* const* arguments);

// Bytes on their way: from memory, or, without `from`, these.
struct Copy {
    void* to;
    const void* from;
    size_t bytes;
    char value[8];

    void arrive() const { std::memcpy(to, from != nullptr ? from : value, bytes); }
};

// Fibers that wait for the last one of `count`.
struct Barrier {
    int count = 0, arrived = 0;
    std::vector<int> waiting;
};

// A product of wgmma that has been issued, as cuda_matrices.h sees it, and the sums of a warp that such products add
// to.
struct GroupProduct {
    uint64_t a, b;  // descriptors
    int tiles;
    bool accumulate, tf32;
    std::vector<char> seen;  // the operands when it was issued
    size_t sums;             // which ones
};
struct GroupSums {
    float* lanes[32];
    int pending = 0;            // products
    std::vector<float> values;  // [lane][number]
};

struct Warp {
    Barrier barrier;
    WarpInstruction instruction = nullptr;
    void* arguments[32];

    // wgmma
    std::deque<std::vector<GroupProduct>> batches{1};  // the last one is open
    std::vector<GroupSums> sums;
    size_t issued = 0;
    bool begun = false;  // by a fence, since the last batch was closed
};

struct Block {
    std::vector<char> memory;  // with alignment and guards
    char* shared = nullptr;
    Barrier barrier, first_barrier;  // of all threads, and of the first ones
    std::vector<Warp> warps;
    int64_t index = 0;
    // The thread that wrote each word of shared memory and has not made it visible to the matrix units: number + 1.
    std::vector<int> unfenced;
    // What the first warp of each warpgroup issued: the others must do alike.
    std::vector<std::vector<GroupProduct>> issued;
};

// An mbarrier in shared memory: its phase ends when all arrivals have come, and the bytes that they expect. Bytes
// that are on their way arrive as late as may be: when somebody waits and nothing else is missing.
struct Arrivals {
    int count = 0, missing = 0;
    int64_t expected = 0, requested = 0;  // bytes
    std::vector<Copy> copies;
    uint32_t phase = 0;
    std::vector<int> waiting;  // fibers

    // Scopes: whether other blocks stored in this phase and in the last one, whether they ever do, and whether they
    // arrive at a scope that does not order their reads before such stores.
    bool peers_stored = false, peers_stored_last = false, peers_store = false, peers_arrive_at_cta_scope = false;
};

struct Fiber {
    ucontext_t context;
    jmp_buf resume;
    bool started = false, finished = false;
    Block* block = nullptr;
    int thread = 0, rank = 0;
    std::vector<std::vector<Copy>> groups;            // of asynchronous copies, oldest first; the last one is open
    std::vector<std::pair<Block*, size_t>> unfenced;  // words that it wrote; see Block
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

    // Of the runs that follow.
    Mistake mistake = Mistake::kNone;

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

    // -- mbarriers

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
    void arrive(Arrivals& arrivals, int64_t bytes) {
        if (arrivals.missing == 0) fail("an mbarrier's phase with too many arrivals");
        --arrivals.missing;
        arrivals.expected += bytes;
        end_phase_if_complete(arrivals);
    }
    void request(Arrivals& arrivals, const Copy& copy) {
        std::memset(copy.to, kPoison, copy.bytes);
        arrivals.copies.push_back(copy);
        arrivals.requested += static_cast<int64_t>(copy.bytes);
        end_phase_if_complete(arrivals);
    }
    void wait_for_phase(Arrivals& arrivals, uint32_t parity) {
        while (arrivals.phase % 2 == parity) {
            arrivals.waiting.push_back(current_);
            if (end_phase_if_complete(arrivals)) continue;
            if (_setjmp(fiber().resume) == 0) _longjmp(scheduler_, 1);
        }
    }

    void check_scope_of_arrivals(const Arrivals& arrivals) {
        if (arrivals.peers_store && arrivals.peers_arrive_at_cta_scope) {
            fail("an arrival at the scope of the block that lets another block store");
        }
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

    // -- memory that matrix units read

    // This thread writes there, if it is shared memory.
    void note_write(const void* pointer, size_t bytes) {
        Block* const block = find_block(pointer);
        if (block == nullptr) return;
        const size_t first = static_cast<size_t>(static_cast<const char*>(pointer) - block->shared) / 4;
        for (size_t word = first; word < first + bytes / 4; ++word) {
            if (block->unfenced[word] == current_ + 1) continue;
            block->unfenced[word] = current_ + 1;
            fiber().unfenced.emplace_back(block, word);
        }
    }
    void fence_writes() {
        for (const auto& [block, word] : fiber().unfenced) {
            if (block->unfenced[word] == current_ + 1) block->unfenced[word] = 0;
        }
        fiber().unfenced.clear();
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

    Block* find_block(const void* pointer) {
        const char* const p = static_cast<const char*>(pointer);
        for (Block& block : blocks_) {
            if (p >= block.shared && p < block.shared + shared_bytes_) return &block;
        }
        return nullptr;
    }

    // Whether it ended.
    bool end_phase_if_complete(Arrivals& arrivals) {
        if (arrivals.missing > 0) return false;
        if (arrivals.requested > arrivals.expected) fail("more bytes than were expected");
        if (arrivals.requested < arrivals.expected) return false;
        if (!arrivals.copies.empty() && arrivals.waiting.empty()) return false;
        for (const Copy& copy : arrivals.copies) copy.arrive();
        arrivals.copies.clear();
        arrivals.expected = arrivals.requested = 0;
        arrivals.missing = arrivals.count;
        arrivals.peers_stored_last = arrivals.peers_stored;
        arrivals.peers_stored = false;
        ++arrivals.phase;
        for (int id : arrivals.waiting) {
            if (id != current_) ready_.push_back(id);
        }
        arrivals.waiting.clear();
        return true;
    }

    void run_cluster(int64_t first_block, int threads) {
        arrivals_.clear();
        error_.clear();
        ready_.clear();
        until_other_slow_warp_ = 0;
        cluster_barrier_ = Barrier{cluster_size_ * threads, 0, {}};
        blocks_.resize(cluster_size_);
        for (int rank = 0; rank < cluster_size_; ++rank) {
            Block& block = blocks_[rank];
            block.memory.assign(shared_bytes_ + 1024 + kGuardBytes, static_cast<char>(kPoison));
            block.shared =
                reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(block.memory.data()) + 1023) / 1024 * 1024);
            block.barrier = Barrier{threads, 0, {}};
            block.first_barrier = Barrier{};
            block.index = first_block + rank;
            block.warps.assign(threads / 32, Warp{});
            for (Warp& warp : block.warps) warp.barrier.count = 32;
            block.unfenced.assign(shared_bytes_ / 4 + 1, 0);
            block.issued.assign((threads + 127) / 128, {});
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
            for (const Warp& warp : block.warps) {
                if (!warp.sums.empty()) throw std::runtime_error("a warp ends before its products");
            }
            const char* const end = block.shared + shared_bytes_;
            for (size_t i = 0; i < kGuardBytes; ++i) {
                if (end[i] != static_cast<char>(kPoison)) throw std::runtime_error("a write past shared memory");
            }
        }
    }

    uint64_t draw() {
        random_ = random_ * 6364136223846793005u + 1442695040888963407u;
        return random_ >> 33;
    }

    // Returns when no fiber can run. Fibers come back here by _longjmp, so no local variable lives across it.
    void schedule() {
        _setjmp(scheduler_);
        if (!error_.empty() || ready_.empty()) return;
        size_t next = 0;
        if (random_ != 0) {
            next = draw() % ready_.size();
            // For some time one warp is slow, so that others get ahead of it as far as barriers let them.
            if (until_other_slow_warp_-- == 0) {
                slow_warp_ = draw() % (fibers_.size() / 32);
                until_other_slow_warp_ = draw() % 4096;
            }
            for (int i = 0; i < 8 && static_cast<size_t>(ready_[next]) / 32 == slow_warp_; ++i) {
                next = draw() % ready_.size();
            }
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
    std::deque<Arrivals> arrivals_;  // stay where they are
    std::deque<int> ready_;
    std::unique_ptr<char[]> stacks_;
    Barrier cluster_barrier_;
    jmp_buf scheduler_;
    int current_ = 0, cluster_size_ = 1;
    size_t shared_bytes_ = 0;
    uint64_t random_ = 0, until_other_slow_warp_ = 0;
    size_t slow_warp_ = 0;
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

}  // namespace emulation
}  // namespace cuda
}  // namespace zprl
