// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Instructions that a warp executes together, on the CPU: ldmatrix, mma.sync, wgmma, shuffles. Each function gets the
// arguments of all lanes.
//
// wgmma is asynchronous, and the emulation as unkind as the PTX manual allows: a product reads its operands when it is
// issued and again when it is waited for, and they must be the same; sums are NaN from the issue to the wait for their
// last product; what threads wrote must have passed a fence of theirs; and the first product of a batch needs its
// fence.

#pragma once

#include <algorithm>
#include <cmath>

#include "cuda_machine.h"

namespace zprl {
namespace cuda {
namespace emulation {

// Arguments of mma.sync, of one lane.
struct Product {
    float* c;
    const uint32_t* a;
    uint32_t b[2];
};

// Sums of the matrix unit are not rounded: what float32 has no bits for is cut off. (Those of wgmma, below, are rounded
// all the same. Nothing in float32 runs on it, and beside the rounding of its operands it does not matter, but fewer
// rows would be certain enough to be checked without that; see cuda_check_reference.h.)
inline float cut_off(double sum) {
    const float nearest = static_cast<float>(sum);
    return std::abs(static_cast<double>(nearest)) > std::abs(sum) ? std::nextafter(nearest, 0.0f) : nearest;
}

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
        for (int n = 0; n < 8; ++n) {
            float& to = product(row % 8 * 4 + n / 2)->c[row / 8 * 2 + n % 2];
            for (int first = 0; first < kDepth; first += kDepth / 2) {  // as sm_80 does it, by halves
                double sum = to;
                for (int k = first; k < first + kDepth / 2; ++k) sum += static_cast<double>(a[row][k]) * b[k][n];
                to = cut_off(sum);
            }
        }
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

// ---- wgmma: a warp's quarter of a warpgroup's product ---------------------------------------------------------------

constexpr uint32_t kSharedWindow = 1024;  // address of the block's shared memory
constexpr int kOperandRowBytes = 32;      // of one product

struct GroupArguments {
    uint64_t a, b;
    float* c;
    int tiles;
    bool accumulate, tf32;
};

// Bytes of rows [first, first + count) of an operand, by its descriptor: "Matrix descriptor format" and "Strides" of
// the PTX manual. Only K-major operands with 128-byte swizzle.
inline void read_operand(uint64_t descriptor, int first, int count, std::vector<char>* bytes) {
    Machine& m = machine();
    const Block& block = *m.fiber().block;
    const uint32_t start = (descriptor & 0x3FFF) << 4, stride = (descriptor >> 32 & 0x3FFF) << 4;
    const uint32_t base_offset = descriptor >> 49 & 7, swizzle = descriptor >> 62;
    if (swizzle != 1) m.fail("a matrix descriptor without 128-byte swizzle");
    // The pattern repeats every 1024 bytes, and a row's place in it comes from the address.
    if (base_offset != 0 || (start & 0x380) != 0) m.fail("a matrix that does not begin at a multiple of 1024 bytes");
    for (int row = first; row < first + count; ++row) {
        for (int piece = 0; piece < kOperandRowBytes; piece += 16) {
            const uint32_t linear = start + row / 8 * stride + row % 8 * 128 + piece;
            const uint32_t address = (linear ^ (linear >> 7 & 7) << 4) - kSharedWindow;
            const char* const from = block.shared + address;
            m.require_shared(from, 16, 16);
            for (int word = 0; word < 4; ++word) {
                if (block.unfenced[address / 4 + word] != 0) m.fail("a product reads what no fence has made visible");
            }
            bytes->insert(bytes->end(), from, from + 16);
        }
    }
}

// This warp's 16 rows of the first operand, and then all of the second one.
inline std::vector<char> read_operands(uint64_t a, uint64_t b, int tiles) {
    std::vector<char> bytes;
    read_operand(a, 16 * (machine().fiber().thread / 32 % 4), 16, &bytes);
    read_operand(b, 0, 8 * tiles, &bytes);
    return bytes;
}

inline void issue_group_product(void* const* arguments) {
    Machine& m = machine();
    Block& block = *m.fiber().block;
    Warp& warp = block.warps[m.fiber().thread / 32];
    const auto of = [&](int lane) { return static_cast<const GroupArguments*>(arguments[lane]); };
    const GroupArguments& first = *of(0);
    if (!warp.begun) m.fail("a batch of products without wgmma.fence");
    for (int lane = 1; lane < 32; ++lane) {
        if (of(lane)->a != first.a || of(lane)->b != first.b || of(lane)->accumulate != first.accumulate) {
            m.fail("lanes of a warp ask for different products");
        }
    }
    GroupProduct product{first.a, first.b, first.tiles, first.accumulate, first.tf32, {}, 0};
    auto& alike = block.issued[m.fiber().thread / 128];
    if (warp.issued < alike.size()) {
        const GroupProduct& other = alike[warp.issued];
        if (other.a != product.a || other.b != product.b || other.tiles != product.tiles ||
            other.accumulate != product.accumulate) {
            m.fail("warps of a warpgroup ask for different products");
        }
    } else {
        alike.push_back(product);
    }
    ++warp.issued;
    product.seen = read_operands(product.a, product.b, product.tiles);

    while (product.sums < warp.sums.size() && warp.sums[product.sums].lanes[0] != first.c) ++product.sums;
    if (product.sums == warp.sums.size()) {
        GroupSums sums;
        for (int lane = 0; lane < 32; ++lane) {
            float* const c = sums.lanes[lane] = of(lane)->c;
            sums.values.insert(sums.values.end(), c, c + 4 * product.tiles);
            std::memset(c, kPoison, 4 * product.tiles * sizeof(float));
        }
        warp.sums.push_back(std::move(sums));
    }
    ++warp.sums[product.sums].pending;
    warp.batches.back().push_back(std::move(product));
}

inline void run_group_product(const GroupProduct& product, GroupSums& sums) {
    if (read_operands(product.a, product.b, product.tiles) != product.seen) {
        machine().fail("an operand changes while a product is under way");
    }
    const int depth = product.tf32 ? 8 : 16, columns = 8 * product.tiles;
    const auto number = [&](int row, int k) {
        const char* const at = product.seen.data() + row * kOperandRowBytes + k * (product.tf32 ? 4 : 2);
        if (product.tf32) return as_float(word(at) & ~uint32_t{0x1FFF});
        uint16_t half;
        std::memcpy(&half, at, sizeof(half));
        return as_float(static_cast<uint32_t>(half) << 16);
    };
    std::vector<float> b(static_cast<size_t>(depth) * columns);
    for (int n = 0; n < columns; ++n) {
        for (int k = 0; k < depth; ++k) b[k * columns + n] = number(16 + n, k);
    }
    std::vector<float> row_sums(columns);
    for (int row = 0; row < 16; ++row) {
        std::fill(row_sums.begin(), row_sums.end(), 0.0f);
        for (int k = 0; k < depth; ++k) {
            const float a = number(row, k);
            for (int n = 0; n < columns; ++n) row_sums[n] += a * b[k * columns + n];
        }
        for (int n = 0; n < columns; ++n) {
            const int lane = row % 8 * 4 + n % 8 / 2, place = n / 8 * 4 + row / 8 * 2 + n % 2;
            float& sum = sums.values[lane * 4 * product.tiles + place];
            sum = product.accumulate ? sum + row_sums[n] : row_sums[n];
        }
    }
}

inline void wait_for_group_products(int left) {
    Machine& m = machine();
    Warp& warp = m.fiber().block->warps[m.fiber().thread / 32];
    while (static_cast<int>(warp.batches.size()) > left + 1) {  // the last one is open
        for (const GroupProduct& product : warp.batches.front()) {
            GroupSums& sums = warp.sums[product.sums];
            run_group_product(product, sums);
            --sums.pending;
        }
        warp.batches.pop_front();
    }
    for (const GroupSums& sums : warp.sums) {
        if (sums.pending > 0) return;
    }
    for (const GroupSums& sums : warp.sums) {
        const size_t count = sums.values.size() / 32;
        for (int lane = 0; lane < 32; ++lane) {
            std::copy_n(sums.values.begin() + lane * count, count, sums.lanes[lane]);
        }
    }
    warp.sums.clear();
}

template <int kLeft>
void wait_for_group_products(void* const*) {
    wait_for_group_products(kLeft);
}

inline void begin_group_products(void* const*) {
    machine().fiber().block->warps[machine().fiber().thread / 32].begun = true;
}

inline void commit_group_products(void* const*) {
    Warp& warp = machine().fiber().block->warps[machine().fiber().thread / 32];
    warp.batches.emplace_back();
    warp.begun = false;
}

}  // namespace emulation
}  // namespace cuda
}  // namespace zprl
