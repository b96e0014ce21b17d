// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause

#include <cstring>
#include <stdexcept>
#include <string>

#include "layout.h"
#include "policy_step.h"

namespace zprl {
namespace cuda {
namespace {

constexpr int32_t kMaxSize = 1 << 20;

[[noreturn]] void fail(const std::string& sentence) {
    throw std::invalid_argument("invalid ZPRL policy blob for CUDA: " + sentence);
}

int read_size(const int32_t* header, int field, const char* what, int32_t max = kMaxSize) {
    const int32_t value = header[field];
    if (value < 1 || value > max) fail(std::string(what) + " is " + std::to_string(value) + ".");
    return value;
}

// A size of a part, which is zero where the part is not there.
int read_size_of_part(const int32_t* header, int field, const char* what, bool there) {
    if (there) return read_size(header, field, what);
    if (header[field] != 0) fail(std::string(what) + " is that of a part that is not there.");
    return 0;
}

int bytes_of(Precision precision) { return precision == Precision::kBfloat16 ? 2 : 4; }

// Hands out consecutive sections. Their offsets mean something only once the total turns out to be small enough.
class Sections {
 public:
    uint32_t take(uint64_t bytes) {
        const uint64_t start = used_;
        used_ += (bytes + kSectionAlignment - 1) / kSectionAlignment * kSectionAlignment;
        return static_cast<uint32_t>(start);
    }
    uint32_t take_floats(uint64_t count) { return take(count * sizeof(float)); }

    DeviceLayer take_layer(int in, int out, int element_bytes) {
        const uint64_t slabs = (static_cast<uint64_t>(in) * element_bytes + kSlabBytes - 1) / kSlabBytes;
        const uint32_t weight = take(slabs * padded_width(out) * kSlabBytes);
        return {weight, take_floats(padded_width(out)), in, out};
    }

    uint64_t used() const { return used_; }

 private:
    uint64_t used_ = kSectionAlignment;  // the header's
};

// Everything that follows from a header, magic, version and length aside.
DevicePolicy lay_out(const int32_t* header) {
    DevicePolicy p{};
    const int32_t precision = header[kFieldPrecision];
    if (precision < 0 || precision > static_cast<int32_t>(Precision::kBfloat16)) {
        fail("its precision is number " + std::to_string(precision) + ".");
    }
    p.precision = static_cast<Precision>(precision);
    const int32_t steered = header[kFieldSteered];
    if (steered != 0 && steered != 1) fail("its number of actors is " + std::to_string(steered) + ".");
    p.parts = header[kFieldParts];
    if (const char* wrong = wrong_parts(p.parts)) fail(wrong);
    if ((steered == 1) != ((p.parts & kPartActor) != 0)) fail("its parts and its number of actors disagree.");
    const bool has_encoder = (p.parts & kPartEncoder) != 0, has_bottleneck = (p.parts & kPartBottleneck) != 0;
    p.obs_dim = read_size_of_part(header, kFieldObsDim, "the observation width", has_encoder);
    p.action_dim = read_size(header, kFieldActionDim, "the action width");
    p.horizon = read_size(header, kFieldHorizon, "the horizon", kMaxSize / p.action_dim);
    p.embed_dim = read_size(header, kFieldEmbedDim, "the embedding width");
    p.latent_dim = read_size_of_part(header, kFieldLatentDim, "the latent width", has_bottleneck);
    p.num_steps = read_size(header, kFieldNumSteps, "the number of solver steps", 1 << 16);
    p.hidden_dim = read_size(header, kFieldHiddenDim, "the hidden width");
    p.num_blocks = read_size(header, kFieldNumBlocks, "the number of blocks", 1 << 10);
    const Solver* const solver = find_solver(header[kFieldSolver]);
    if (solver == nullptr) fail("its solver is number " + std::to_string(header[kFieldSolver]) + ".");
    p.solver = *solver;
    p.time_rows =
        static_cast<int>(p.solver.rows_per_step * (p.num_steps - 1 + p.solver.nodes[p.solver.stages - 1]) + 1);
    const int32_t num_embed = header[kFieldNumEmbedHidden], num_vib = header[kFieldNumVibHidden];
    const int32_t num_actor = steered != 0 ? header[kFieldNumActorHidden] : 0;
    for (const int32_t number : {num_embed, num_vib, num_actor}) {
        if (number < 0 || number > kMaxHiddenLayers) {
            fail("its number of hidden layers is not within 0 and " + std::to_string(kMaxHiddenLayers) + ".");
        }
    }
    if ((num_embed > 0 && !has_encoder) || (num_vib > 0 && !has_bottleneck)) {
        fail("it has hidden layers of a part that is not there.");
    }

    Sections sections;
    int count = 0;
    const auto take_mlp = [&](int in, int first_field, int hidden, bool reversed, int out) {
        for (int i = 0; i < hidden; ++i) {
            const int width = read_size(header, first_field + (reversed ? hidden - 1 - i : i), "a hidden width");
            p.once[count++] = sections.take_layer(in, width, sizeof(float));
            in = width;
        }
        p.once[count++] = sections.take_layer(in, out, sizeof(float));
        return hidden + 1;
    };
    if (has_encoder) {
        p.obs_mean = sections.take_floats(p.obs_dim);
        p.obs_std = sections.take_floats(p.obs_dim);
        p.num_embedding = take_mlp(p.obs_dim, kFieldEmbedHidden, num_embed, false, p.embed_dim);
    }
    if (has_bottleneck) {
        p.num_encoder = take_mlp(p.embed_dim, kFieldVibHidden, num_vib, false, 2 * p.latent_dim);
    }
    if (steered == 1) {
        const int32_t activation = header[kFieldActorActivation];
        if (activation < 0 || activation >= static_cast<int32_t>(Activation::kCount)) {
            fail("its actor's activation is number " + std::to_string(activation) + ".");
        }
        p.actor_activation = static_cast<Activation>(activation);
        const int32_t output = header[kFieldActorOutput];
        if (output < 0 || output >= static_cast<int32_t>(ActorOutput::kCount)) {
            fail("its actor's output is number " + std::to_string(output) + ".");
        }
        p.actor_output = static_cast<ActorOutput>(output);
        const int width = p.obs_dim + p.latent_dim;
        p.actor_mean = sections.take_floats(width);
        p.actor_divisor = sections.take_floats(width);
        p.residual_scale = sections.take_floats(1);
        p.num_actor = take_mlp(width, kFieldActorHidden, num_actor, false, p.latent_dim);
    }
    if (has_bottleneck) p.num_decoder = take_mlp(p.latent_dim, kFieldVibHidden, num_vib, true, p.embed_dim);

    const int element = bytes_of(p.precision), hidden = padded_width(p.hidden_dim);
    p.modulation = sections.take_layer(p.embed_dim, 4 * hidden, element);
    p.input = sections.take_layer(p.chunk_dim(), p.hidden_dim, element);
    p.time_table = sections.take_floats(static_cast<uint64_t>(p.time_rows) * (3 * p.num_blocks + 3) * hidden);
    const uint64_t start = sections.used();
    p.first_block_layer = sections.take_layer(p.hidden_dim, p.hidden_dim, element);
    const uint64_t block_layer_bytes = sections.used() - start;
    p.block_layer_bytes = static_cast<uint32_t>(block_layer_bytes);
    sections.take((2 * static_cast<uint64_t>(p.num_blocks) - 1) * block_layer_bytes);
    p.output = sections.take_layer(p.hidden_dim, p.chunk_dim(), element);
    p.action_mean = sections.take_floats(p.action_dim);
    p.action_std = sections.take_floats(p.action_dim);
    p.action_low = sections.take_floats(p.action_dim);
    p.action_high = sections.take_floats(p.action_dim);
    p.bytes = sections.used();
    return p;
}

// The header of the GPU's blob, but for its length.
void make_header(const Policy& policy, Precision precision, int32_t* header) {
    require_residual_mlp(policy);
    if (policy.dtype == Dtype::kBfloat16 && precision != Precision::kBfloat16) {
        throw std::invalid_argument(std::string("zprl: a policy with bfloat16 weights cannot be packed as ") +
                                    name(precision) + "; pack one with float32 weights, or ask for bfloat16.");
    }
    std::memcpy(header, policy.blob, kHeaderInts * sizeof(int32_t));
    // What the header says beyond the fields of this layout, the kernels would leave out.
    for (int field = kFieldFirstUnused; field < kHeaderInts; ++field) {
        if (header[field] != 0) {
            throw std::invalid_argument("zprl: the policy has a part that the policy step for CUDA does not have.");
        }
    }
    header[kFieldMagic] = kCudaMagic;
    header[kFieldVersion] = kCudaVersion;
    header[kFieldPrecision] = static_cast<int32_t>(precision);
    header[kFieldParts] = policy.parts;  // older blobs do not say them
}

DevicePolicy lay_out(const Policy& policy, Precision precision, int32_t* header) {
    make_header(policy, precision, header);
    const DevicePolicy p = lay_out(header);
    if (p.bytes > static_cast<uint64_t>(INT32_MAX)) {
        throw std::invalid_argument("zprl: the policy would take " + std::to_string(p.bytes) +
                                    " bytes on a GPU; at most 2 GiB are supported.");
    }
    header[kFieldBytes] = static_cast<int32_t>(p.bytes);
    return p;
}

// To nearest, ties to even; numbers are finite.
uint16_t to_bfloat16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

// To nearest, ties away from zero, as cvt.rna.tf32 does.
float to_tf32(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    bits = (bits + 0x1000) & ~uint32_t{0x1FFF};
    std::memcpy(&value, &bits, sizeof(bits));
    return value;
}

float from_bfloat16(uint16_t value) {
    const uint32_t bits = static_cast<uint32_t>(value) << 16;
    float result;
    std::memcpy(&result, &bits, sizeof(result));
    return result;
}

// A weight of the CPU's panels.
float weight_of(const Linear& layer, Dtype dtype, int in, int out) {
    const size_t panel = out / kPanel, column = out % kPanel;
    if (dtype == Dtype::kFloat32) {
        return static_cast<const float*>(layer.weight)[(panel * layer.in + in) * kPanel + column];
    }
    const size_t pairs = (layer.in + 1) / 2;
    return from_bfloat16(
        static_cast<const uint16_t*>(layer.weight)[((panel * pairs + in / 2) * kPanel + column) * 2 + in % 2]);
}

// `blob` is zero where nothing is written.
void write_layer(const Linear& layer, Dtype dtype, const DeviceLayer& to, Precision precision, char* blob) {
    const int outputs = padded_width(to.out), element = bytes_of(precision);
    for (int out = 0; out < to.out; ++out) {
        for (int in = 0; in < to.in; ++in) {
            const float value = weight_of(layer, dtype, in, out);
            char* const place = blob + to.weight + swizzled(outputs, out, in * element);
            if (precision == Precision::kBfloat16) {
                const uint16_t rounded = to_bfloat16(value);
                std::memcpy(place, &rounded, sizeof(rounded));
            } else {
                const float rounded = precision == Precision::kTf32 ? to_tf32(value) : value;
                std::memcpy(place, &rounded, sizeof(rounded));
            }
        }
    }
    std::memcpy(blob + to.bias, layer.bias, outputs * sizeof(float));
}

}  // namespace

const char* name(Precision precision) {
    constexpr const char* kNames[] = {"float32", "tf32", "bfloat16"};
    return kNames[static_cast<int>(precision)];
}

Precision parse_precision(const std::string& wanted) {
    for (Precision precision : {Precision::kFloat32, Precision::kTf32, Precision::kBfloat16}) {
        if (wanted == name(precision)) return precision;
    }
    throw std::invalid_argument("zprl: the precision is '" + wanted + "'; it must be float32, tf32 or bfloat16.");
}

size_t packed_bytes(const Policy& policy, Precision precision) {
    int32_t header[kHeaderInts];
    return lay_out(policy, precision, header).bytes;
}

void pack(const Policy& policy, Precision precision, void* blob) {
    int32_t header[kHeaderInts];
    const DevicePolicy p = lay_out(policy, precision, header);
    char* const bytes = static_cast<char*>(blob);
    std::memset(bytes, 0, p.bytes);
    std::memcpy(bytes, header, sizeof(header));
    const auto copy = [&](uint32_t offset, const float* values, size_t count) {
        std::memcpy(bytes + offset, values, count * sizeof(float));
    };
    if ((p.parts & kPartEncoder) != 0) {
        copy(p.obs_mean, policy.obs_mean, p.obs_dim);
        copy(p.obs_std, policy.obs_std, p.obs_dim);
    }
    const DeviceLayer* to = p.once;
    for (const Mlp* mlp : {&policy.embedding, &policy.encoder, &policy.actor, &policy.decoder}) {
        for (int i = 0; i < mlp->count; ++i) {
            write_layer(mlp->layers[i], Dtype::kFloat32, *to++, Precision::kFloat32, bytes);
        }
    }
    if (policy.steered) {
        copy(p.actor_mean, policy.actor_mean, policy.actor_dim());
        copy(p.actor_divisor, policy.actor_divisor, policy.actor_dim());
        copy(p.residual_scale, policy.residual_scale, 1);
    }
    write_layer(policy.modulation, policy.dtype, p.modulation, precision, bytes);
    write_layer(policy.input, policy.dtype, p.input, precision, bytes);
    copy(p.time_table, policy.time_table, static_cast<size_t>(p.time_rows) * policy.time_row_size());
    for (int i = 0; i < 2 * p.num_blocks; ++i) {
        DeviceLayer layer = p.first_block_layer;
        layer.weight += i * p.block_layer_bytes;
        layer.bias += i * p.block_layer_bytes;
        write_layer(policy.block_layer(i / 2, i % 2), policy.dtype, layer, precision, bytes);
    }
    write_layer(policy.output, policy.dtype, p.output, precision, bytes);
    copy(p.action_mean, policy.action_mean, p.action_dim);
    copy(p.action_std, policy.action_std, p.action_dim);
    copy(p.action_low, policy.action_low, p.action_dim);
    copy(p.action_high, policy.action_high, p.action_dim);
}

DevicePolicy device_policy(const Policy& policy, Precision precision) {
    int32_t header[kHeaderInts];
    return lay_out(policy, precision, header);
}

DevicePolicy parse_header(const int32_t* header, size_t blob_bytes) {
    if (header == nullptr || blob_bytes < kHeaderInts * sizeof(int32_t)) fail("it is shorter than its header.");
    if (header[kFieldMagic] == kMagic) fail("it is the CPU's; pack it for CUDA first.");
    if (header[kFieldMagic] != kCudaMagic) fail("it does not start with the letters ZPRG.");
    if (header[kFieldVersion] != kCudaVersion) {
        fail("its version is " + std::to_string(header[kFieldVersion]) + ", and this library reads version " +
             std::to_string(kCudaVersion) + ".");
    }
    const DevicePolicy p = lay_out(header);
    if (p.bytes > static_cast<uint64_t>(INT32_MAX) || p.bytes != blob_bytes ||
        header[kFieldBytes] != static_cast<int32_t>(p.bytes)) {
        fail("its sizes ask for " + std::to_string(p.bytes) + " bytes, and it holds " + std::to_string(blob_bytes) +
             "; it is truncated or damaged.");
    }
    return p;
}

}  // namespace cuda
}  // namespace zprl
