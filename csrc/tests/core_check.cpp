// Copyright (c) 2026, The ZPRL Project Developers.
// SPDX-License-Identifier: BSD-3-Clause
//
// Check of the policy step's core, without torch and Python, so that it runs under the compiler's sanitizers.
//
//   core_check                   many odd shapes against a step in double precision, written here a second time
//   core_check fuzz SEED COUNT   damaged policy blobs: each is refused with std::invalid_argument, or runs
//
// It runs the instruction set that ZPRL_CPU chooses. Every input, output, blob and workspace lies in a heap allocation
// of its own that ends with its last byte, so that AddressSanitizer sees any access beyond it; without it, guard bytes
// show the writes. Exit status 1 and one line on stderr if something is wrong.

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "policy_blob.h"
#include "policy_step.h"

#if defined(__SANITIZE_ADDRESS__)
#define ZPRL_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ZPRL_ADDRESS_SANITIZER 1
#endif
#endif

namespace {

using zprl::Dtype;

constexpr double kMaxError = 1e-5;                               // of the root mean square; fp32 weights
constexpr double kMaxErrorBf16 = 3e-2, kMaxRmsErrorBf16 = 6e-3;  // against a reference with the same rounded weights

class CheckFailed : public std::exception {
 public:
    explicit CheckFailed(std::string text) : text_(std::move(text)) {}
    const char* what() const noexcept override { return text_.c_str(); }

 private:
    std::string text_;
};

__attribute__((format(printf, 1, 2))) std::string text(const char* format, ...) {
    char buffer[512];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(buffer, sizeof(buffer), format, arguments);
    va_end(arguments);
    return buffer;
}

void require(bool condition, const std::string& what) {
    if (!condition) throw CheckFailed(what);
}

// SplitMix64 (Steele et al., OOPSLA 2014): the same numbers with every standard library.
class Random {
 public:
    explicit Random(uint64_t seed) : state_(seed) {}

    uint64_t bits() {
        uint64_t z = state_ += 0x9E3779B97F4A7C15u;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return z ^ (z >> 31);
    }
    size_t below(size_t count) { return static_cast<size_t>(bits() % count); }
    double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
    float normal(double std) {
        const double radius = std::sqrt(-2.0 * std::log(uniform() + 0x1p-60));
        return static_cast<float>(std * radius * std::cos(6.283185307179586 * uniform()));
    }
    std::vector<float> normals(size_t count, double std) {
        std::vector<float> values(count);
        for (float& value : values) value = normal(std);
        return values;
    }

 private:
    uint64_t state_;
};

// ---- Memory ---------------------------------------------------------------------------------------------------------

// `count` numbers that begin `shift` bytes after an address that malloc returns and end with the allocation, or, where
// AddressSanitizer does not watch the end, with guard bytes. A shift of 4 leaves an alignment of 4.
template <typename T>
class Memory {
 public:
    explicit Memory(size_t count, size_t shift) : count_(count), shift_(shift) {
        bytes_ = static_cast<unsigned char*>(std::malloc(std::max<size_t>(total(), 1)));
        require(bytes_ != nullptr, "out of memory");
        std::memset(bytes_, kGuard, total());
    }
    Memory(const std::vector<T>& values, size_t shift) : Memory(values.size(), shift) {
        if (!values.empty()) std::memcpy(bytes_ + shift_, values.data(), values.size() * sizeof(T));
    }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    ~Memory() { std::free(bytes_); }

    T* data() { return reinterpret_cast<T*>(bytes_ + shift_); }
    std::vector<T> values() const {
        std::vector<T> result(count_);
        if (count_ > 0) std::memcpy(result.data(), bytes_ + shift_, count_ * sizeof(T));
        return result;
    }
    void require_guards(const char* what) const {
        bool intact = true;
        for (size_t i = 0; i < shift_; ++i) intact = intact && bytes_[i] == kGuard;
        for (size_t i = shift_ + count_ * sizeof(T); i < total(); ++i) intact = intact && bytes_[i] == kGuard;
        require(intact, std::string("a write outside of ") + what);
    }

 private:
    static constexpr unsigned char kGuard = 0xFF;  // as floats and bf16: NaN, so that a read that matters shows as well
#if defined(ZPRL_ADDRESS_SANITIZER)
    static constexpr size_t kTail = 0;
#else
    static constexpr size_t kTail = 64;
#endif
    size_t total() const { return shift_ + count_ * sizeof(T) + kTail; }

    unsigned char* bytes_;
    size_t count_, shift_;
};

template <typename T>
bool same_bits(const T* a, const T* b, size_t count) {
    return count == 0 || std::memcmp(a, b, count * sizeof(T)) == 0;
}

// ---- Policies -------------------------------------------------------------------------------------------------------

struct Shape {
    Dtype dtype = Dtype::kFloat32;
    int obs, action, horizon, embed, latent, hidden, blocks, solver, steps;
    std::vector<int> embed_hidden, vib_hidden;
    bool steered = false;
    int activation = 0;
    std::vector<int> actor_hidden;

    int chunk() const { return horizon * action; }
};

std::string describe(const Shape& s) {
    std::string result =
        text("%s obs=%d action=%d horizon=%d embed=%d latent=%d hidden=%d blocks=%d solver=%d steps=%d",
             s.dtype == Dtype::kFloat32 ? "float32" : "bfloat16", s.obs, s.action, s.horizon, s.embed, s.latent,
             s.hidden, s.blocks, s.solver, s.steps);
    if (s.steered) result += text(" activation=%d", s.activation);
    for (const auto* widths : {&s.embed_hidden, &s.vib_hidden, &s.actor_hidden}) {
        result += widths == &s.embed_hidden ? " embed_hidden=("
                  : widths == &s.vib_hidden ? " vib_hidden=("
                                            : " actor=(";
        for (size_t i = 0; i < widths->size(); ++i) result += (i > 0 ? "," : "") + std::to_string((*widths)[i]);
        result += ")";
    }
    return result;
}

// The methods of zprl/policy/flow_matching.py, a second time.
struct Method {
    std::vector<double> nodes, weights;
    int rows_per_step;
};
const Method kMethods[] = {
    {{0.0}, {1.0}, 1},
    {{0.0, 0.5}, {0.0, 1.0}, 2},
    {{0.0, 1.0}, {0.5, 0.5}, 1},
    {{0.0, 0.5, 0.5, 1.0}, {1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0}, 2},
};

struct Layer {
    int in = 0, out = 0;
    std::vector<float> weight;  // [in][out]
    std::vector<float> bias;    // [out]
};

struct Model {
    Shape shape;
    std::vector<float> obs_mean, obs_std;
    std::vector<Layer> embedding, encoder, decoder;
    Layer modulation, input, output;
    int time_rows = 0;
    std::vector<float> time_table;  // [time_rows][3 blocks + 3][hidden]
    std::vector<Layer> blocks;
    std::vector<float> action_mean, action_std, action_low, action_high;
    std::vector<float> actor_mean, actor_divisor;
    float residual_scale = 0.0f;
    std::vector<Layer> actor;
};

uint16_t to_bf16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);  // to nearest, ties to even
}

float from_bf16(uint16_t value) {
    const uint32_t bits = static_cast<uint32_t>(value) << 16;
    float result;
    std::memcpy(&result, &bits, sizeof(result));
    return result;
}

Layer random_layer(Random& random, int in, int out, double weight_std, Dtype dtype) {
    Layer layer{in, out, random.normals(static_cast<size_t>(in) * out, weight_std), random.normals(out, 0.1)};
    if (dtype == Dtype::kBfloat16) {
        for (float& weight : layer.weight) weight = from_bf16(to_bf16(weight));
    }
    return layer;
}

std::vector<Layer> random_mlp(Random& random, int in, std::vector<int> widths, int out) {
    std::vector<Layer> layers;
    widths.push_back(out);
    for (int width : widths) {
        layers.push_back(random_layer(random, in, width, 1.0 / std::sqrt(in), Dtype::kFloat32));
        in = width;
    }
    return layers;
}

// Signals keep their size from layer to layer; shifts, scales and gates get a size that matters.
Model random_model(const Shape& s, Random& random) {
    const Method& method = kMethods[s.solver];
    const double by_hidden = 1.0 / std::sqrt(s.hidden);
    const auto positive = [&](int count) {
        std::vector<float> values(count);
        for (float& value : values) value = static_cast<float>(0.5 + random.uniform());
        return values;
    };
    Model m;
    m.shape = s;
    m.obs_mean = random.normals(s.obs, 1.0);
    m.obs_std = positive(s.obs);
    m.embedding = random_mlp(random, s.obs, s.embed_hidden, s.embed);
    m.encoder = random_mlp(random, s.embed, s.vib_hidden, 2 * s.latent);
    m.decoder = random_mlp(random, s.latent, {s.vib_hidden.rbegin(), s.vib_hidden.rend()}, s.embed);
    m.modulation = random_layer(random, s.embed, 4 * s.hidden, 0.1, s.dtype);
    m.input = random_layer(random, s.chunk(), s.hidden, 1.0 / std::sqrt(s.chunk()), s.dtype);
    m.time_rows = 1;
    for (double node : method.nodes) {
        m.time_rows = std::max(m.time_rows, static_cast<int>(method.rows_per_step * (s.steps - 1 + node)) + 1);
    }
    m.time_table = random.normals(static_cast<size_t>(m.time_rows) * (3 * s.blocks + 3) * s.hidden, 0.2);
    for (int i = 0; i < 2 * s.blocks; ++i) {
        m.blocks.push_back(random_layer(random, s.hidden, s.hidden, by_hidden, s.dtype));
    }
    m.output = random_layer(random, s.hidden, s.chunk(), by_hidden, s.dtype);
    m.action_mean = random.normals(s.action, 0.1);
    m.action_std = positive(s.action);
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    for (int i = 0; i < s.action; ++i) {  // every third action has limits
        m.action_low.push_back(i % 3 == 1 ? -1.5f : -kInfinity);
        m.action_high.push_back(i % 3 == 1 ? 1.0f : kInfinity);
    }
    if (s.steered) {
        m.actor_mean = random.normals(s.obs + s.latent, 0.5);
        m.actor_divisor = positive(s.obs + s.latent);
        m.residual_scale = 0.8f;
        m.actor = random_mlp(random, s.obs + s.latent, s.actor_hidden, s.latent);
    }
    return m;
}

// Writer of the layout that policy_blob.h describes.
class Writer {
 public:
    void numbers(const std::vector<float>& values) { append(values.data(), values.size() * sizeof(float)); }

    void layer(const Layer& layer, Dtype dtype) {
        const int panels = zprl::padded(layer.out) / zprl::kPanel;
        const auto weight = [&](int in, int out) {
            const bool inside = in < layer.in && out < layer.out;
            return inside ? layer.weight[static_cast<size_t>(in) * layer.out + out] : 0.0f;
        };
        std::vector<float> floats;
        std::vector<uint16_t> halves;
        for (int panel = 0; panel < panels; ++panel) {
            for (int in = 0; in < layer.in; in += dtype == Dtype::kBfloat16 ? 2 : 1) {
                for (int i = 0; i < zprl::kPanel; ++i) {
                    const int out = panel * zprl::kPanel + i;
                    if (dtype == Dtype::kBfloat16) {
                        halves.push_back(to_bf16(weight(in, out)));
                        halves.push_back(to_bf16(weight(in + 1, out)));
                    } else {
                        floats.push_back(weight(in, out));
                    }
                }
            }
        }
        if (dtype == Dtype::kBfloat16) {
            append(halves.data(), halves.size() * sizeof(uint16_t));
        } else {
            numbers(floats);
        }
        std::vector<float> bias = layer.bias;
        bias.resize(zprl::padded(layer.out), 0.0f);
        numbers(bias);
    }

    void layers(const std::vector<Layer>& layers, Dtype dtype) {
        for (const Layer& each : layers) layer(each, dtype);
    }

    std::vector<char> bytes;

 private:
    void append(const void* data, size_t size) {
        const char* first = static_cast<const char*>(data);
        bytes.insert(bytes.end(), first, first + size);
        bytes.resize((bytes.size() + zprl::kAlignment - 1) / zprl::kAlignment * zprl::kAlignment, 0);
    }
};

// `parts` parts of `width` columns each, every part padded to whole panels.
Layer with_padded_parts(const Layer& layer, int parts, int width) {
    const int stride = zprl::padded(width);
    Layer result{layer.in, parts * stride, std::vector<float>(static_cast<size_t>(layer.in) * parts * stride),
                 std::vector<float>(static_cast<size_t>(parts) * stride)};
    for (int part = 0; part < parts; ++part) {
        for (int i = 0; i < width; ++i) {
            const int from = part * width + i, to = part * stride + i;
            for (int in = 0; in < layer.in; ++in) {
                result.weight[static_cast<size_t>(in) * result.out + to] =
                    layer.weight[static_cast<size_t>(in) * layer.out + from];
            }
            result.bias[to] = layer.bias[from];
        }
    }
    return result;
}

std::vector<char> pack(const Model& m) {
    const Shape& s = m.shape;
    Writer writer;
    writer.bytes.resize(zprl::kHeaderInts * sizeof(int32_t), 0);
    writer.numbers(m.obs_mean);
    writer.numbers(m.obs_std);
    writer.layers(m.embedding, Dtype::kFloat32);
    writer.layers(m.encoder, Dtype::kFloat32);
    writer.layers(m.decoder, Dtype::kFloat32);
    writer.layer(with_padded_parts(m.modulation, 4, s.hidden), s.dtype);
    writer.layer(m.input, s.dtype);
    const size_t parts = static_cast<size_t>(m.time_rows) * (3 * s.blocks + 3), stride = zprl::padded(s.hidden);
    std::vector<float> table(parts * stride, 0.0f);
    for (size_t part = 0; part < parts; ++part) {
        std::copy_n(m.time_table.begin() + part * s.hidden, s.hidden, table.begin() + part * stride);
    }
    writer.numbers(table);
    writer.layers(m.blocks, s.dtype);
    writer.layer(m.output, s.dtype);
    for (const auto* values : {&m.action_mean, &m.action_std, &m.action_low, &m.action_high}) writer.numbers(*values);
    if (s.steered) {
        writer.numbers(m.actor_mean);
        writer.numbers(m.actor_divisor);
        writer.numbers({m.residual_scale});
        writer.layers(m.actor, Dtype::kFloat32);
    }

    int32_t header[zprl::kHeaderInts] = {};
    header[zprl::kFieldMagic] = zprl::kMagic;
    header[zprl::kFieldVersion] = zprl::kVersion;
    header[zprl::kFieldBytes] = static_cast<int32_t>(writer.bytes.size());
    header[zprl::kFieldObsDim] = s.obs;
    header[zprl::kFieldActionDim] = s.action;
    header[zprl::kFieldHorizon] = s.horizon;
    header[zprl::kFieldEmbedDim] = s.embed;
    header[zprl::kFieldLatentDim] = s.latent;
    header[zprl::kFieldNumSteps] = s.steps;
    header[zprl::kFieldSolver] = s.solver;
    header[zprl::kFieldHiddenDim] = s.hidden;
    header[zprl::kFieldNumBlocks] = s.blocks;
    header[zprl::kFieldNumEmbedHidden] = static_cast<int32_t>(s.embed_hidden.size());
    header[zprl::kFieldNumVibHidden] = static_cast<int32_t>(s.vib_hidden.size());
    header[zprl::kFieldDtype] = static_cast<int32_t>(s.dtype);
    std::copy(s.embed_hidden.begin(), s.embed_hidden.end(), header + zprl::kFieldEmbedHidden);
    std::copy(s.vib_hidden.begin(), s.vib_hidden.end(), header + zprl::kFieldVibHidden);
    if (s.steered) {
        header[zprl::kFieldSteered] = 1;
        header[zprl::kFieldActorActivation] = s.activation;
        header[zprl::kFieldNumActorHidden] = static_cast<int32_t>(s.actor_hidden.size());
        std::copy(s.actor_hidden.begin(), s.actor_hidden.end(), header + zprl::kFieldActorHidden);
    }
    std::memcpy(writer.bytes.data(), header, sizeof(header));
    return writer.bytes;
}

// ---- The step in double precision, one row at a time ----------------------------------------------------------------

using Numbers = std::vector<double>;

double silu(double x) { return x / (1.0 + std::exp(-x)); }
double gelu(double x) { return 0.5 * x * (1.0 + std::erf(x * std::sqrt(0.5))); }

// The sanitizers watch the core; here they would only take time.
#define ZPRL_NOT_WATCHED __attribute__((no_sanitize("address", "undefined")))

ZPRL_NOT_WATCHED void add_products(const float* weight, const double* x, int in, int out, double* y) {
    for (int i = 0; i < in; ++i, weight += out) {
        for (int j = 0; j < out; ++j) y[j] += x[i] * static_cast<double>(weight[j]);
    }
}

Numbers output_of(const Layer& layer, const Numbers& x) {
    Numbers y(layer.bias.begin(), layer.bias.end());
    add_products(layer.weight.data(), x.data(), layer.in, layer.out, y.data());
    return y;
}

double elu(double x) { return x > 0.0 ? x : std::expm1(x); }
double relu(double x) { return std::max(x, 0.0); }
double hyperbolic_tangent(double x) { return std::tanh(x); }

// Order as in zprl::Activation.
double (*const kActivations[])(double) = {elu, relu, hyperbolic_tangent, silu, gelu};
static_assert(std::size(kActivations) == static_cast<size_t>(zprl::Activation::kCount), "each has its reference");

Numbers output_of(const std::vector<Layer>& layers, Numbers x, double (*activation)(double) = gelu) {
    for (size_t i = 0; i < layers.size(); ++i) {
        x = output_of(layers[i], x);
        if (i + 1 < layers.size()) std::transform(x.begin(), x.end(), x.begin(), activation);
    }
    return x;
}

class Reference {
 public:
    explicit Reference(const Model& model) : m_(model), s_(model.shape) {}

    // Mean and bounded log-variance of the latent, one after the other.
    Numbers encode(const float* obs) const {
        Numbers x(s_.obs);
        for (int i = 0; i < s_.obs; ++i) {
            x[i] = (static_cast<double>(obs[i]) - static_cast<double>(m_.obs_mean[i])) /
                   static_cast<double>(m_.obs_std[i]);
        }
        Numbers moments = output_of(m_.encoder, output_of(m_.embedding, x));
        for (int i = s_.latent; i < 2 * s_.latent; ++i) moments[i] = std::clamp(moments[i], -20.0, 10.0);
        return moments;
    }

    Numbers integrate(const Numbers& condition, const float* noise) const {
        Numbers active = condition;
        std::transform(active.begin(), active.end(), active.begin(), silu);
        const Numbers modulation = output_of(m_.modulation, active);
        const Method& method = kMethods[s_.solver];
        const double step = 1.0 / s_.steps;
        Numbers x(s_.chunk(), 0.0);
        if (noise != nullptr) x.assign(noise, noise + s_.chunk());
        for (int k = 0; k < s_.steps; ++k) {
            Numbers slope(x.size(), 0.0), end = x;
            for (size_t i = 0; i < method.nodes.size(); ++i) {
                Numbers stage = x;
                for (size_t j = 0; j < x.size(); ++j) stage[j] -= step * method.nodes[i] * slope[j];
                slope = velocity(stage, modulation, static_cast<int>(method.rows_per_step * (k + method.nodes[i])));
                for (size_t j = 0; j < x.size(); ++j) end[j] -= step * method.weights[i] * slope[j];
            }
            x = end;
        }
        return x;
    }

    Numbers step(const float* obs, const float* residual, const float* noise, const uint64_t* seed) const {
        return chunk_of(latents(obs, residual, seed), noise);
    }

    // The latent that is decoded.
    Numbers latents(const float* obs, const float* residual, const uint64_t* seed) const {
        const Numbers moments = encode(obs);
        Numbers u(s_.latent, 0.0);
        if (s_.steered) {
            Numbers x(obs, obs + s_.obs);
            x.insert(x.end(), moments.begin(), moments.begin() + s_.latent);
            for (size_t i = 0; i < x.size(); ++i) {
                x[i] = (x[i] - static_cast<double>(m_.actor_mean[i])) / static_cast<double>(m_.actor_divisor[i]);
            }
            u = output_of(m_.actor, x, kActivations[s_.activation]);
        }
        Numbers latent(moments.begin(), moments.begin() + s_.latent);
        for (int i = 0; i < s_.latent; ++i) {
            if (seed != nullptr) latent[i] += std::exp(0.5 * moments[s_.latent + i]) * standard_normal(*seed, i);
            latent[i] += static_cast<double>(m_.residual_scale) * std::clamp(u[i], -1.0, 1.0);
            if (residual != nullptr) latent[i] += static_cast<double>(residual[i]);
        }
        return latent;
    }

    Numbers chunk_of(const Numbers& latent, const float* noise) const {
        Numbers chunk = integrate(output_of(m_.decoder, latent), noise);
        for (int i = 0; i < s_.chunk(); ++i) {
            const int a = i % s_.action;
            chunk[i] = chunk[i] * static_cast<double>(m_.action_std[a]) + static_cast<double>(m_.action_mean[a]);
            chunk[i] = std::min(std::max(chunk[i], static_cast<double>(m_.action_low[a])),
                                static_cast<double>(m_.action_high[a]));
        }
        return chunk;
    }

 private:
    Numbers velocity(const Numbers& x, const Numbers& modulation, int time_row) const {
        const int width = s_.hidden;
        const float* time = m_.time_table.data() + static_cast<size_t>(time_row) * (3 * s_.blocks + 3) * width;
        Numbers h = output_of(m_.input, x);
        for (int i = 0; i < width; ++i) h[i] += modulation[i] + static_cast<double>(time[i]);
        for (int block = 0; block < s_.blocks; ++block) {
            const float* row = time + (1 + 3 * block) * width;
            Numbers inner = output_of(m_.blocks[2 * block], layer_norm(h, modulation, row));
            std::transform(inner.begin(), inner.end(), inner.begin(), silu);
            const Numbers branch = output_of(m_.blocks[2 * block + 1], inner);
            for (int i = 0; i < width; ++i) {
                h[i] += (modulation[3 * width + i] + static_cast<double>(row[2 * width + i])) * branch[i];
            }
        }
        return output_of(m_.output, layer_norm(h, modulation, time + (1 + 3 * s_.blocks) * width));
    }

    Numbers layer_norm(const Numbers& h, const Numbers& modulation, const float* time) const {
        const int width = s_.hidden;
        double mean = 0.0, variance = 0.0;
        for (double value : h) mean += value / width;
        for (double value : h) variance += (value - mean) * (value - mean) / width;
        Numbers u(width);
        for (int i = 0; i < width; ++i) {
            const double shift = modulation[width + i] + static_cast<double>(time[i]);
            const double scale = 1.0 + modulation[2 * width + i] + static_cast<double>(time[width + i]);
            u[i] = (h[i] - mean) / std::sqrt(variance + 1e-5) * scale + shift;
        }
        return u;
    }

    // Philox4x32-10 and the Box-Muller transform; see latent_noise.h.
    static double standard_normal(uint64_t seed, int index) {
        uint32_t c[4] = {static_cast<uint32_t>(index / 4), 0, 0, 0};
        uint32_t key[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
        for (int round = 0; round < 10; ++round) {
            const uint64_t first = uint64_t{0xD2511F53} * c[0], second = uint64_t{0xCD9E8D57} * c[2];
            const uint32_t next[4] = {static_cast<uint32_t>(second >> 32) ^ c[1] ^ key[0],
                                      static_cast<uint32_t>(second), static_cast<uint32_t>(first >> 32) ^ c[3] ^ key[1],
                                      static_cast<uint32_t>(first)};
            std::copy_n(next, 4, c);
            key[0] += 0x9E3779B9;
            key[1] += 0xBB67AE85;
        }
        const uint32_t* pair = c + (index % 4 < 2 ? 0 : 2);
        const double radius = std::sqrt(-2.0 * std::log(((pair[0] >> 8) + 1.0) / 16777216.0));
        const double angle = 6.283185307179586 * (pair[1] >> 8) / 16777216.0;
        return radius * (index % 2 == 0 ? std::cos(angle) : std::sin(angle));
    }

    const Model& m_;
    const Shape& s_;
};

// ---- Calls of the core ----------------------------------------------------------------------------------------------

struct Batch {
    int64_t rows = 0;
    std::vector<float> obs, residual, noise, condition;
    std::vector<uint64_t> seeds;

    // Rows [first, first + count).
    Batch part(const Shape& s, int64_t first, int64_t count) const {
        const auto cut = [&](const auto& values, int width) {
            return std::decay_t<decltype(values)>(values.begin() + first * width,
                                                  values.begin() + (first + count) * width);
        };
        Batch result;
        result.rows = count;
        result.obs = cut(obs, s.obs);
        result.residual = cut(residual, s.latent);
        result.noise = cut(noise, s.chunk());
        result.condition = cut(condition, s.embed);
        result.seeds = cut(seeds, 1);
        return result;
    }
};

Batch random_batch(const Shape& s, int64_t rows, Random& random) {
    Batch batch;
    batch.rows = rows;
    batch.obs = random.normals(rows * s.obs, 2.0);
    batch.residual = random.normals(rows * s.latent, 0.5);
    batch.noise = random.normals(rows * s.chunk(), 1.0);
    batch.condition = random.normals(rows * s.embed, 1.0);
    for (int64_t i = 0; i < rows; ++i) batch.seeds.push_back(random.bits());
    return batch;
}

enum class Call { kStep, kSampledStep, kPlainStep, kLatents, kEncode, kIntegrate, kPlainIntegrate };
constexpr Call kCalls[] = {Call::kStep,   Call::kSampledStep, Call::kPlainStep,     Call::kLatents,
                           Call::kEncode, Call::kIntegrate,   Call::kPlainIntegrate};
const char* const kCallNames[] = {
    "policy_step", "policy_step with seeds", "policy_step with nulls", "latents of policy_step", "encode",
    "integrate",   "integrate with nulls",
};

const char* name(Call call) { return kCallNames[static_cast<int>(call)]; }

bool gives_latents(Call call) { return call == Call::kEncode || call == Call::kLatents; }

int width_of(Call call, const Shape& s) { return gives_latents(call) ? 2 * s.latent : s.chunk(); }

// Call the core on copies of the arguments, `shift` bytes off malloc's alignment. The result of encode is per row mean
// and log-variance, one after the other, and that of a step's latents the mean and the decoded latent.
std::vector<float> run(const zprl::Policy& policy, const Shape& s, const Batch& batch, Call call, size_t shift) {
    Memory<float> obs(batch.obs, shift), residual(batch.residual, shift), noise(batch.noise, shift),
        condition(batch.condition, shift), workspace(zprl::workspace_floats(policy, batch.rows), shift);
    Memory<uint64_t> seeds(batch.seeds, 0);  // a tensor of 64-bit integers is aligned to 8 bytes
    std::vector<float> result;
    if (gives_latents(call)) {
        Memory<float> mean(batch.rows * s.latent, shift), second(batch.rows * s.latent, shift);
        if (call == Call::kEncode) {
            zprl::encode(policy, obs.data(), batch.rows, mean.data(), second.data(), workspace.data());
        } else {
            Memory<float> chunk(batch.rows * s.chunk(), shift);
            zprl::policy_step(policy, obs.data(), residual.data(), nullptr, seeds.data(), batch.rows, chunk.data(),
                              workspace.data(), {mean.data(), second.data()});
            chunk.require_guards("the chunk");
        }
        mean.require_guards("the mean");
        second.require_guards("the log-variance or the decoded latent");
        const std::vector<float> means = mean.values(), seconds = second.values();
        for (int64_t row = 0; row < batch.rows; ++row) {
            result.insert(result.end(), means.begin() + row * s.latent, means.begin() + (row + 1) * s.latent);
            result.insert(result.end(), seconds.begin() + row * s.latent, seconds.begin() + (row + 1) * s.latent);
        }
    } else {
        Memory<float> chunk(batch.rows * s.chunk(), shift);
        switch (call) {
            case Call::kStep:
                zprl::policy_step(policy, obs.data(), residual.data(), noise.data(), nullptr, batch.rows, chunk.data(),
                                  workspace.data());
                break;
            case Call::kSampledStep:
                zprl::policy_step(policy, obs.data(), residual.data(), noise.data(), seeds.data(), batch.rows,
                                  chunk.data(), workspace.data());
                break;
            case Call::kPlainStep:
                zprl::policy_step(policy, obs.data(), nullptr, nullptr, nullptr, batch.rows, chunk.data(),
                                  workspace.data());
                break;
            case Call::kIntegrate:
                zprl::integrate(policy, condition.data(), noise.data(), batch.rows, chunk.data(), workspace.data());
                break;
            default:
                zprl::integrate(policy, condition.data(), nullptr, batch.rows, chunk.data(), workspace.data());
        }
        chunk.require_guards("the chunk");
        result = chunk.values();
    }
    workspace.require_guards("the workspace");
    const auto unchanged = [](const Memory<float>& memory, const std::vector<float>& values) {
        memory.require_guards("an input");
        require(same_bits(memory.values().data(), values.data(), values.size()), "an input was changed");
    };
    unchanged(obs, batch.obs);
    unchanged(residual, batch.residual);
    unchanged(noise, batch.noise);
    unchanged(condition, batch.condition);
    return result;
}

Numbers reference_row(const Reference& reference, const Shape& s, const Batch& batch, Call call, int64_t row) {
    const float *obs = batch.obs.data() + row * s.obs, *residual = batch.residual.data() + row * s.latent,
                *noise = batch.noise.data() + row * s.chunk(), *condition = batch.condition.data() + row * s.embed;
    switch (call) {
        case Call::kStep:
            return reference.step(obs, residual, noise, nullptr);
        case Call::kSampledStep:
            return reference.step(obs, residual, noise, batch.seeds.data() + row);
        case Call::kPlainStep:
            return reference.step(obs, nullptr, nullptr, nullptr);
        case Call::kLatents: {
            Numbers both = reference.encode(obs);
            const Numbers decoded = reference.latents(obs, residual, batch.seeds.data() + row);
            std::copy(decoded.begin(), decoded.end(), both.begin() + s.latent);
            return both;
        }
        case Call::kEncode:
            return reference.encode(obs);
        case Call::kIntegrate:
            return reference.integrate({condition, condition + s.embed}, noise);
        default:
            return reference.integrate({condition, condition + s.embed}, nullptr);
    }
}

// Multiply-adds of one row of a whole step.
double multiply_adds(const zprl::Policy& p) {
    const auto of_layer = [](const zprl::Linear& layer) {
        return static_cast<double>(zprl::padded(layer.in)) * zprl::padded(layer.out);
    };
    double once = of_layer(p.modulation);
    for (const zprl::Mlp* mlp : {&p.embedding, &p.encoder, &p.decoder, &p.actor}) {
        for (int i = 0; i < mlp->count; ++i) once += of_layer(mlp->layers[i]);
    }
    const double evaluation =
        of_layer(p.input) + of_layer(p.output) + 2.0 * p.num_blocks * of_layer(p.block_layer(0, 0));
    return once + evaluation * p.num_steps * p.solver.stages;
}

// ---- Checks of one policy -------------------------------------------------------------------------------------------

struct Worst {
    double float32 = 0.0, bf16_max = 0.0, bf16_rms = 0.0;
};

// Allow about this many multiply-adds for a policy's checks, and for those in scalar double precision.
constexpr double kBudget = 4e7, kReferenceBudget = 4e6;

void check_accuracy(const Model& model, const Batch& batch, Call call, const std::vector<float>& result,
                    double row_cost, Worst& worst) {
    const Shape& s = model.shape;
    const Reference reference(model);
    const int width = width_of(call, s);
    const int64_t wanted = std::max<int64_t>(3, static_cast<int64_t>(kReferenceBudget / row_cost / std::size(kCalls)));
    const int64_t stride = std::max<int64_t>(1, batch.rows / std::min<int64_t>(wanted, 24));
    double squares = 0.0, error_squares = 0.0, max_error = 0.0;
    Numbers errors;
    int64_t count = 0;
    for (int64_t row = 0; row < batch.rows; row += stride) {
        const Numbers expected = reference_row(reference, s, batch, call, row);
        for (int i = 0; i < width; ++i, ++count) {
            const double error = static_cast<double>(result[row * width + i]) - expected[i];
            squares += expected[i] * expected[i];
            error_squares += error * error;
            max_error = std::max(max_error, std::abs(error));
            errors.push_back(std::abs(error));
        }
    }
    // Results are about one; where a chunk is a single number, they can cancel to less.
    constexpr double kLeastRms = 0.5;
    const double rms = std::max(std::sqrt(squares / static_cast<double>(count)), kLeastRms);
    const double relative = max_error / rms, relative_rms = std::sqrt(error_squares / static_cast<double>(count)) / rms;
    std::nth_element(errors.begin(), errors.begin() + errors.size() / 2, errors.end());
    const double median = errors[errors.size() / 2] / rms;
    const std::string found = text("%s: maximal error %.2e, rms error %.2e, median error %.2e of the rms %.2e",
                                   name(call), relative, relative_rms, median, rms);
    // Only the layers of the flow are bf16: what a latent depends on is fp32 in every policy.
    const bool exact = s.dtype == Dtype::kFloat32 || gives_latents(call);
    // LayerNorm divides by the spread of the hidden numbers. Where these are three, it is nearly zero in some rows, and
    // magnifies what was rounded before without bound, in any implementation: no maximum says anything there.
    if (s.hidden > 1 && s.hidden < 16 && !gives_latents(call)) {
        require(median <= (exact ? kMaxError : kMaxRmsErrorBf16), found);
    } else if (exact) {
        worst.float32 = std::max(worst.float32, relative);
        require(relative <= kMaxError, found);
    } else {
        worst.bf16_max = std::max(worst.bf16_max, relative);
        worst.bf16_rms = std::max(worst.bf16_rms, relative_rms);
        require(relative <= kMaxErrorBf16 && relative_rms <= kMaxRmsErrorBf16, found);
    }
}

void check_nan_stays(const zprl::Policy& policy, const Shape& s, const Batch& batch, Call call,
                     const std::vector<float>& clean, int64_t row) {
    constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
    Batch damaged = batch;
    const bool integrates = call == Call::kIntegrate || call == Call::kPlainIntegrate;
    (integrates ? damaged.condition[row * s.embed + s.embed / 2] : damaged.obs[row * s.obs + s.obs / 2]) = kNan;
    const std::vector<float> result = run(policy, s, damaged, call, 4);
    const int width = width_of(call, s);
    const size_t begin = row * width, end = begin + width;
    require(same_bits(result.data(), clean.data(), begin) &&
                same_bits(result.data() + end, clean.data() + end, clean.size() - end),
            text("%s: NaN in row %d reaches other rows", name(call), static_cast<int>(row)));
    require(std::all_of(result.begin() + begin, result.begin() + end, [](float x) { return std::isnan(x); }),
            text("%s: NaN in row %d is lost", name(call), static_cast<int>(row)));
}

void check_policy(const Shape& s, Random& random, Worst& worst) {
    const Model model = random_model(s, random);
    const std::vector<char> bytes = pack(model);
    Memory<char> blob(bytes, 4);
    zprl::Policy policy = zprl::parse_policy(blob.data(), bytes.size());
    zprl::require_runnable(policy);
    zprl::require_finite_weights(policy);

    // The largest batch that the budget allows, then all smaller ones at random places in it.
    constexpr int64_t kRows[] = {97, 48, 47, 13, 7, 6, 5, 2, 1, 0};
    const double row_cost = multiply_adds(policy);
    size_t largest = 0;
    while (largest + 6 < std::size(kRows) && static_cast<double>(kRows[largest]) * row_cost * 18 > kBudget) ++largest;
    const int64_t rows = kRows[largest];
    const Batch batch = random_batch(s, rows, random);
    // A batch within one block and, below, in blocks of a few rows.
    const int planned_rows = policy.block_rows;

    for (const Call call : kCalls) {
        policy.block_rows = planned_rows;
        const int width = width_of(call, s);
        const std::vector<float> together = run(policy, s, batch, call, 0);
        require(std::all_of(together.begin(), together.end(), [](float x) { return std::isfinite(x); }),
                text("%s: a result is not finite", name(call)));
        check_accuracy(model, batch, call, together, row_cost, worst);
        require(same_bits(run(policy, s, batch, call, 4).data(), together.data(), together.size()),
                text("%s: a second run, at other addresses, differs", name(call)));

        policy.block_rows = 12;
        for (size_t i = largest + 1; i < std::size(kRows); ++i) {
            const int64_t first = static_cast<int64_t>(random.below(rows - kRows[i] + 1));
            const std::vector<float> part = run(policy, s, batch.part(s, first, kRows[i]), call, 4 * (i % 4));
            require(same_bits(part.data(), together.data() + first * width, part.size()),
                    text("%s: rows %d to %d of %d differ from the same rows alone", name(call), static_cast<int>(first),
                         static_cast<int>(first + kRows[i]), static_cast<int>(rows)));
        }
        check_nan_stays(policy, s, batch, call, together, static_cast<int64_t>(random.below(rows)));
    }
    require(same_bits(blob.values().data(), bytes.data(), bytes.size()), "the blob was changed");
}

template <typename T, size_t kCount>
T pick(const T (&values)[kCount], Random& random) {
    return values[random.below(kCount)];
}

std::vector<int> random_widths(size_t count, Random& random) {
    constexpr int kWidths[] = {1, 17, 31, 64, 65, 96, 130, 256};
    std::vector<int> widths;
    for (size_t i = 0; i < count; ++i) widths.push_back(pick(kWidths, random));
    return widths;
}

Shape random_shape(Dtype dtype, int index, Random& random) {
    constexpr int kObs[] = {1, 37, 40, 130}, kAction[] = {1, 5, 7, 14}, kHorizon[] = {1, 7, 16}, kLatent[] = {1, 7, 16},
                  kEmbed[] = {1, 33, 64}, kHidden[] = {1, 3, 63, 64, 65, 100, 256}, kSteps[] = {1, 4, 10};
    Shape s;
    s.dtype = dtype;
    s.obs = pick(kObs, random);
    s.action = pick(kAction, random);
    s.horizon = pick(kHorizon, random);
    s.latent = pick(kLatent, random);
    s.embed = pick(kEmbed, random);
    s.steps = pick(kSteps, random);
    // In turns, so that each of these meets each of the others.
    s.hidden = kHidden[index % 7];
    s.solver = index % 4;
    s.blocks = 1 + index / 4 % 4;
    s.embed_hidden = random_widths(index % 3, random);
    s.vib_hidden = random_widths((index / 3 + 3) % 4, random);
    if (index == 11) s.embed_hidden = random_widths(zprl::kMaxHiddenLayers, random);
    if (index % 2 == 1) {
        s.steered = true;
        s.activation = index / 2 % static_cast<int>(zprl::Activation::kCount);
        s.actor_hidden = random_widths(index / 2 % 3, random);
    }
    return s;
}

int check_shapes() {
    constexpr int kShapes = 84;  // 7 hidden widths with 4 solvers and 0 to 2 hidden layers
    int policies = 0;
    Worst worst;
    for (const Dtype dtype : {Dtype::kFloat32, Dtype::kBfloat16}) {
        for (int index = 0; index < kShapes; ++index) {
            Random random(1000 * (static_cast<uint64_t>(dtype) + 1) + index);
            const Shape shape = random_shape(dtype, index, random);
            if (dtype == Dtype::kBfloat16 && !zprl::multiplies_bfloat16()) {
                const std::vector<char> bytes = pack(random_model(shape, random));
                Memory<char> blob(bytes, 4);
                bool refused = false;
                try {
                    zprl::require_runnable(zprl::parse_policy(blob.data(), bytes.size()));
                } catch (const std::invalid_argument&) {
                    refused = true;
                }
                require(refused, "a bfloat16 policy is not refused on " + std::string(zprl::cpu_level()));
                break;
            }
            try {
                check_policy(shape, random, worst);
            } catch (const std::exception& error) {
                throw CheckFailed(std::string(error.what()) + " [" + describe(shape) + "]");
            }
            ++policies;
        }
    }
    std::printf("core_check: %s: %d policies; largest errors: float32 %.1e, bfloat16 %.1e (rms %.1e)\n",
                zprl::cpu_level(), policies, worst.float32, worst.bf16_max, worst.bf16_rms);
    return 0;
}

// ---- Damaged blobs --------------------------------------------------------------------------------------------------

int32_t random_header_value(int32_t old, Random& random) {
    constexpr int32_t kExtremes[] = {INT32_MIN,
                                     INT32_MIN + 1,
                                     -1,
                                     0,
                                     1,
                                     2,
                                     63,
                                     64,
                                     65,
                                     1 << 10,
                                     1 << 16,
                                     (1 << 16) + 1,
                                     1 << 20,
                                     (1 << 20) + 1,
                                     1 << 30,
                                     1 << 29,
                                     INT32_MAX - 1,
                                     INT32_MAX};
    switch (random.below(4)) {
        case 0:
            return pick(kExtremes, random);
        case 1:
            return static_cast<int32_t>(static_cast<uint32_t>(random.bits()));
        case 2:
            return static_cast<int32_t>(1 + random.below(20));
        default:
            return static_cast<int32_t>(static_cast<uint32_t>(old) + static_cast<uint32_t>(random.below(7)) - 3u);
    }
}

void set_header(std::vector<char>& blob, size_t field, int32_t value) {
    if ((field + 1) * sizeof(value) <= blob.size()) std::memcpy(blob.data() + field * sizeof(value), &value, 4);
}

int32_t get_header(const std::vector<char>& blob, size_t field) {
    int32_t value = 0;
    if ((field + 1) * sizeof(value) <= blob.size()) std::memcpy(&value, blob.data() + field * sizeof(value), 4);
    return value;
}

void damage(std::vector<char>& blob, Random& random) {
    const size_t header_bytes = zprl::kHeaderInts * sizeof(int32_t);
    switch (random.below(6)) {
        case 0:  // bytes anywhere
            for (size_t i = 1 + random.below(8); i > 0 && !blob.empty(); --i) {
                blob[random.below(blob.size())] ^= static_cast<char>(1 + random.below(255));
            }
            break;
        case 1:  // bits of the header
            for (size_t i = 1 + random.below(3); i > 0 && blob.size() >= header_bytes; --i) {
                blob[random.below(4 * zprl::kFieldFirstUnused)] ^= static_cast<char>(1 << random.below(8));
            }
            break;
        case 2: {  // numbers of the header
            for (size_t i = 1 + random.below(3); i > 0; --i) {
                const size_t field = random.below(zprl::kFieldFirstUnused);
                set_header(blob, field, random_header_value(get_header(blob, field), random));
            }
            break;
        }
        case 3:  // truncation, now and then to less than the header
            blob.resize(random.below(4) == 0 ? random.below(std::min(blob.size(), header_bytes + 64) + 1)
                                             : random.below(blob.size() + 1));
            if (random.below(2) == 0) set_header(blob, zprl::kFieldBytes, static_cast<int32_t>(blob.size()));
            break;
        case 4:  // extension
            for (size_t i = 1 + random.below(300); i > 0; --i) blob.push_back(static_cast<char>(random.bits()));
            if (random.below(2) == 0) set_header(blob, zprl::kFieldBytes, static_cast<int32_t>(blob.size()));
            break;
        default: {  // weights: huge, tiny, infinite, NaN
            constexpr float kValues[] = {0.0f,   -0.0f,   1e-40f,   1e30f,
                                         -1e38f, 3.4e38f, INFINITY, std::numeric_limits<float>::quiet_NaN()};
            for (size_t i = 1 + random.below(20); i > 0 && blob.size() >= header_bytes + 4; --i) {
                const float value = pick(kValues, random);
                const size_t at = header_bytes + 4 * random.below((blob.size() - header_bytes) / 4);
                std::memcpy(blob.data() + at, &value, sizeof(value));
            }
        }
    }
}

struct Outcome {
    std::string refusal;  // empty if there is none
    bool ran = false;
};

// Parse a blob and, if it is a policy, run it.
Outcome attempt(const std::vector<char>& bytes, size_t shift, Random& random) {
    constexpr double kMostWork = 5e7;
    Memory<char> blob(bytes, shift);
    Outcome outcome;
    try {
        const zprl::Policy p = zprl::parse_policy(blob.data(), bytes.size());
        zprl::require_finite_weights(p);
        zprl::require_runnable(p);
        constexpr int64_t kRows = 2;
        if (kRows * multiply_adds(p) <= kMostWork) {
            Shape s;
            s.obs = p.obs_dim;
            s.action = p.action_dim;
            s.horizon = p.horizon;
            s.embed = p.embed_dim;
            s.latent = p.latent_dim;
            const Call call = pick(kCalls, random);
            const std::vector<float> result = run(p, s, random_batch(s, kRows, random), call, 4);
            // Finite weights can be large enough to overflow. That is for the caller to see, not for check_result().
            zprl::check_result(p, result.data(), static_cast<int64_t>(result.size()));
            outcome.ran = true;
        }
    } catch (const std::invalid_argument& error) {
        outcome.refusal = error.what();
        require(outcome.refusal.size() > 10 && outcome.refusal.find('\n') == std::string::npos,
                "a refusal is not one sentence: " + outcome.refusal);
    }
    blob.require_guards("the blob");
    require(same_bits(blob.values().data(), bytes.data(), bytes.size()), "the blob was changed");
    return outcome;
}

// A changed header nearly always asks for another length. Give it that length, so that such a policy is run as well.
bool give_wanted_length(std::vector<char>& blob, const std::string& refusal, Random& random) {
    constexpr long long kLongest = 1 << 20;
    const size_t at = refusal.find("ask for ");
    if (at == std::string::npos) return false;
    const long long wanted = std::strtoll(refusal.c_str() + at + 8, nullptr, 10);
    if (wanted < zprl::kHeaderInts * 4 || wanted > kLongest) return false;
    const size_t before = blob.size();
    blob.resize(static_cast<size_t>(wanted));
    for (size_t i = before / 4 * 4; i + 4 <= blob.size(); i += 4) {
        const uint16_t halves[2] = {to_bf16(random.normal(0.1)), to_bf16(random.normal(0.1))};  // finite in both types
        std::memcpy(blob.data() + i, halves, sizeof(halves));
    }
    set_header(blob, zprl::kFieldBytes, static_cast<int32_t>(wanted));
    return true;
}

int fuzz(uint64_t seed, long count) {
    Random random(seed);
    std::vector<std::vector<char>> originals;
    for (int i = 0; i < 8; ++i) {
        Shape s;
        s.dtype = i % 2 == 0 ? Dtype::kFloat32 : Dtype::kBfloat16;
        s.obs = 1 + static_cast<int>(random.below(9));
        s.action = 1 + static_cast<int>(random.below(4));
        s.horizon = 1 + static_cast<int>(random.below(4));
        s.embed = 1 + static_cast<int>(random.below(9));
        s.latent = 1 + static_cast<int>(random.below(5));
        s.hidden = 1 + static_cast<int>(random.below(9));
        s.blocks = 1 + i % 2;
        s.solver = i / 2;
        s.steps = 1 + i % 3;
        for (int j = 0; j < i % 3; ++j) s.embed_hidden.push_back(1 + static_cast<int>(random.below(9)));
        for (int j = 0; j < (i + 1) % 3; ++j) s.vib_hidden.push_back(1 + static_cast<int>(random.below(9)));
        if (i >= 4) {
            s.steered = true;
            s.activation = i - 4;
            for (int j = 0; j < i % 3; ++j) s.actor_hidden.push_back(1 + static_cast<int>(random.below(9)));
        }
        originals.push_back(pack(random_model(s, random)));
        const Outcome outcome = attempt(originals.back(), 4, random);
        require(outcome.ran || s.dtype == Dtype::kBfloat16, "an intact blob is refused: " + outcome.refusal);
    }
    long refused = 0, ran = 0, skipped = 0;
    for (long i = 0; i < count; ++i) {
        try {
            std::vector<char> blob = originals[random.below(originals.size())];
            for (size_t j = 1 + random.below(2); j > 0; --j) damage(blob, random);
            constexpr size_t kShifts[] = {0, 4, 8, 12, 1, 2, 3};
            const size_t shift = random.below(4) > 0 ? 4 : pick(kShifts, random);
            Outcome outcome = attempt(blob, shift, random);
            if (give_wanted_length(blob, outcome.refusal, random)) outcome = attempt(blob, shift, random);
            ++(!outcome.refusal.empty() ? refused : outcome.ran ? ran : skipped);
        } catch (const std::exception& error) {
            throw CheckFailed(text("seed %llu, blob %ld: ", static_cast<unsigned long long>(seed), i) + error.what());
        }
    }
    std::printf("core_check: %s: %ld damaged blobs: %ld refused, %ld run, %ld too large to run\n", zprl::cpu_level(),
                count, refused, ran, skipped);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        if (argc == 1) return check_shapes();
        if (argc == 4 && std::strcmp(argv[1], "fuzz") == 0) {
            return fuzz(std::strtoull(argv[2], nullptr, 10), std::strtol(argv[3], nullptr, 10));
        }
        std::fprintf(stderr, "usage: core_check [fuzz SEED COUNT]\n");
        return 2;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "core_check: %s\n", error.what());
    } catch (...) {
        std::fprintf(stderr, "core_check: something other than a standard exception was thrown\n");
    }
    return 1;
}
