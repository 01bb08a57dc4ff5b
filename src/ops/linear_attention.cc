#include <algorithm>
#include <cmath>

#include "core/dtype_visit.h"
#include "ops/in_float.h"
#include "ops/shape_math.h"

namespace slipway {

/// Attention whose past is one matrix a head, which each token decays, corrects and adds to, then reads. Inputs are
/// [batch, tokens, heads * size]. ONNX LinearAttention, since 27.
struct LinearAttention {
  int64_t q_heads = 0, kv_heads = 0;
  float scale = 0;
  bool gated = false;  ///< the past fades by exp(decay)
  bool delta = false;  ///< a value is what the past does not say yet, times beta

  static LinearAttention Parse(const Attributes& a) {
    const std::string rule = a.String("update_rule", "gated_delta");
    if (rule != "linear" && rule != "gated" && rule != "delta" && rule != "gated_delta") {
      throw Error(
          Code::kBadGraph,
          fmt::format("attribute 'update_rule' is '{}', but must be linear, gated, delta or gated_delta.", rule));
    }
    if (a.Int("chunk_size", 64) < 1) throw Error(Code::kBadGraph, "attribute 'chunk_size' must be 1 or more.");
    return {.q_heads = a.RequiredInt("q_num_heads"),
            .kv_heads = a.RequiredInt("kv_num_heads"),
            .scale = a.Float("scale", 0),
            .gated = rule.starts_with("gated"),
            .delta = rule.ends_with("delta")};
  }

  void Infer(InferContext& c) const {
    if (q_heads < 1 || kv_heads < 1 || q_heads % kv_heads != 0)
      c.Fail("{} query heads cannot share {} heads.", q_heads, kv_heads);
    for (int i : {1, 2, 4, 5}) {
      if (!c.Has(i)) continue;
      c.ExpectSameElem(i, 0);
      c.ExpectRank(i, 3, 3);
    }
    c.ExpectRank(0, 3, 3);
    if (c.Has(4) != gated) c.Fail("the update rule {} a decay.", gated ? "wants" : "has no use for");
    if (c.Has(5) != delta) c.Fail("the update rule {} beta.", delta ? "wants" : "has no use for");
    const auto shape = [&](int i) { return c.HasRank(i) ? c.Shape(i) : SymbolicShape::OfRank(3); };
    const SymbolicShape q = shape(0), k = shape(1), v = shape(2);
    const Dim size = Part(c, q[2], q_heads, 0), key_size = Part(c, k[2], kv_heads, 1),
              value_size = Part(c, v[2], kv_heads, 2);
    if (size.Differs(key_size))
      c.Fail("queries have {} elements a head, keys {}.", size.ToString(), key_size.ToString());
    for (int i : {1, 2, 4, 5}) {
      if (c.Has(i) && c.HasRank(i) && (c.Shape(i)[0].Differs(q[0]) || c.Shape(i)[1].Differs(q[1])))
        c.Fail("{} has shape {}, but the queries {}.", c.InputName(i), c.Shape(i).ToString(), q.ToString());
    }
    if (c.Has(4) && shape(4)[2].Differs(kv_heads) && shape(4)[2].Differs(key_size * kv_heads))
      c.Fail("decay is {} wide, but must be {} or as wide as the keys.", shape(4)[2].ToString(), kv_heads);
    if (c.Has(5) && shape(5)[2].Differs(kv_heads) && shape(5)[2].Differs(1))
      c.Fail("beta is {} wide, but must be {} or 1.", shape(5)[2].ToString(), kv_heads);
    DType state = c.Elem(0);
    if (c.Has(3)) {
      c.ExpectElem(3, kTypes);
      state = c.Elem(3);
      const SymbolicShape wanted = {q[0], kv_heads, size, value_size};
      c.ExpectRank(3, 4, 4);
      for (int i = 0; c.HasRank(3) && i < 4; ++i) {
        if (c.Shape(3)[i].Differs(wanted[i]))
          c.Fail("{} has shape {}, but {} is wanted.", c.InputName(3), c.Shape(3).ToString(), wanted.ToString());
      }
    }
    c.Out(0, c.Elem(0), {q[0], q[1], value_size * q_heads});
    c.Out(1, state, {q[0], kv_heads, size, value_size});
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const Shape &q = c.In(0).shape(), &v = c.In(2).shape();
    const int64_t batch = q[0], tokens = q[1], size = q[2] / q_heads, value_size = v[2] / kv_heads;
    const float factor = scale != 0 ? scale : 1 / std::sqrt(static_cast<float>(size));
    c.threads().ParallelFor(batch * kv_heads, 1, [&](int64_t begin, int64_t end) {
      std::vector<float> state(size * value_size), value(value_size), fade(size, 1.0f);
      for (int64_t i = begin; i < end; ++i) {
        const int64_t b = i / kv_heads, h = i % kv_heads;
        if (c.Has(3)) {
          const float* past = c.In(3).data<float>() + i * size * value_size;
          std::copy(past, past + size * value_size, state.begin());
        } else {
          std::fill(state.begin(), state.end(), 0.0f);
        }
        for (int64_t t = 0; t < tokens; ++t) {
          const auto row = [&](int input) {
            return c.In(input).data<float>() + (b * tokens + t) * c.In(input).shape()[2];
          };
          if (gated) Fade(row(4), h, size, c.In(4).shape()[2], fade);
          const float beta = delta ? row(5)[c.In(5).shape()[2] == 1 ? 0 : h] : 0;
          Update(row(1) + h * size, row(2) + h * value_size, fade, beta, state, value);
          if (!c.HasOut(0)) continue;
          const int64_t share = q_heads / kv_heads;
          for (int64_t head = h * share; head < (h + 1) * share; ++head) {
            float* out = c.Out(0).data<float>() + ((b * tokens + t) * q_heads + head) * value_size;
            Read(row(0) + head * size, size, factor, state, value_size, out);
          }
        }
        if (c.HasOut(1)) std::copy(state.begin(), state.end(), c.Out(1).data<float>() + i * size * value_size);
      }
    });
  }

 private:
  static constexpr TypeSet kTypes = {DType::kFloat, DType::kFloat16, DType::kBFloat16};

  static Dim Part(const InferContext& c, const Dim& width, int64_t heads, int input) {
    if (width.is_const() && width.value() % heads != 0)
      c.Fail("{} is {} wide, which {} heads do not divide.", c.InputName(input), width.ToString(), heads);
    return FloorDiv(width, heads);
  }

  void Fade(const float* decay, int64_t head, int64_t size, int64_t width, std::vector<float>& out) const {
    // A head of one element may tell its decay either way: they are the same.
    for (int64_t k = 0; k < size; ++k) out[k] = std::exp(width == kv_heads ? decay[head] : decay[head * size + k]);
  }

  void Update(const float* key, const float* v, const std::vector<float>& fade, float beta, std::vector<float>& state,
              std::vector<float>& value) const {
    const auto n = static_cast<int64_t>(value.size()), size = static_cast<int64_t>(fade.size());
    std::copy(v, v + n, value.begin());
    float *s = state.data(), *to = value.data();
    if (gated || delta) {
      for (int64_t k = 0; k < size; ++k) {
        for (int64_t m = 0; m < n; ++m) s[k * n + m] *= fade[k];
        if (!delta) continue;
        for (int64_t m = 0; m < n; ++m) to[m] -= s[k * n + m] * key[k];
      }
    }
    for (int64_t m = 0; delta && m < n; ++m) to[m] *= beta;
    for (int64_t k = 0; k < size; ++k) {
      for (int64_t m = 0; m < n; ++m) s[k * n + m] += key[k] * to[m];
    }
  }

  static void Read(const float* query, int64_t size, float factor, const std::vector<float>& state, int64_t n,
                   float* out) {
    std::fill(out, out + n, 0.0f);
    for (int64_t k = 0; k < size; ++k) {
      const float weight = query[k] * factor;
      for (int64_t m = 0; m < n; ++m) out[m] += weight * state[k * n + m];
    }
  }
};
extern const OpDef kLinearAttention =
    Define<LinearAttention>({.name = "LinearAttention",
                             .since = 27,
                             .min_inputs = 3,
                             .max_inputs = 6,
                             .max_outputs = 2,
                             .types = {DType::kFloat, DType::kFloat16, DType::kBFloat16}});

}  // namespace slipway
