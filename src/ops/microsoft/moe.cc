#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/gemm/gemm.h"
#include "ops/epilogue.h"
#include "ops/in_float.h"
#include "ops/shape_math.h"

namespace slipway {

/// A mixture of experts: each token goes through the k experts that the router prefers, whose results are weighted by
/// the softmax of all preferences. An expert is fc2(f(fc1 x)), f(fc1 x) * fc3 x in the middle where there is a third
/// matrix; weights are [experts, out, in]. com.microsoft MoE.
struct MoE {
  enum class Gate : uint8_t { kNone, kInterleaved, kHalves };
  int64_t k = 1;
  bool normalize = false;
  bool swiglu = false;
  Gate gate = Gate::kNone;
  float alpha = 1, beta = 0, limit = INFINITY;
  kernels::Epilogue activation;

  static MoE Parse(const Attributes& a) {
    if (a.Int("use_sparse_mixer", 0) != 0)
      throw Error(Code::kUnsupported, "attribute 'use_sparse_mixer' is not supported.");
    const std::string name = a.String("activation_type", "relu");
    const std::pair<const char*, kernels::Activation> all[] = {{"relu", kernels::Activation::kRelu},
                                                               {"gelu", kernels::Activation::kGeluTanh},
                                                               {"silu", kernels::Activation::kSilu},
                                                               {"swiglu", kernels::Activation::kNone},
                                                               {"identity", kernels::Activation::kNone}};
    const auto* found = std::find_if(std::begin(all), std::end(all), [&](const auto& p) { return name == p.first; });
    if (found == std::end(all))
      throw Error(Code::kBadGraph, fmt::format("attribute 'activation_type' is '{}', which is not known.", name));
    const int64_t fusion = a.Int("swiglu_fusion", 0);
    if (fusion < 0 || fusion > 2)
      throw Error(Code::kBadGraph, fmt::format("attribute 'swiglu_fusion' is {}, but must be 0 to 2.", fusion));
    MoE op{.k = a.Int("k", 1),
           .normalize = a.Int("normalize_routing_weights", 0) != 0,
           .swiglu = name == "swiglu",
           .alpha = a.Float("activation_alpha", 1),
           .beta = a.Float("activation_beta", 0),
           .limit = a.Float("swiglu_limit", INFINITY)};
    op.gate = op.swiglu ? static_cast<Gate>(fusion) : Gate::kNone;
    op.activation.activation = found->second;
    return op;
  }

  void Infer(InferContext& c) const {
    for (int i = 1; i <= 7; ++i) {
      if (c.Has(i) || i == 1 || i == 2 || i == 4) c.ExpectSameElem(i, 0);
    }
    c.ExpectRank(0, 2, 3);
    c.ExpectRank(1, 2, 2);
    for (int i = 2; i <= 7; ++i) {
      if (c.Has(i)) c.ExpectRank(i, i % 2 ? 2 : 3, i % 2 ? 2 : 3);
    }
    if (c.Has(7) && !c.Has(6)) c.Fail("fc3_experts_bias wants fc3_experts_weights.");
    if (swiglu && gate == Gate::kNone && !c.Has(6)) c.Fail("swiglu wants fc3_experts_weights or a fused fc1.");
    if (gate != Gate::kNone && c.Has(6)) c.Fail("a fused fc1 leaves no place for fc3_experts_weights.");
    if (c.HasRank(0) && c.HasRank(1) && c.HasRank(4)) CheckShapes(c);
    InferSameAsFirst(c);
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const int64_t experts = c.In(1).shape()[1], width = c.In(0).shape().Back(0);
    std::fill_n(c.Out(0).data<float>(), c.Out(0).size(), 0.0f);
    if (c.Out(0).size() == 0) return;
    const int64_t tokens = c.In(0).size() / width;
    std::vector<std::vector<std::pair<int64_t, float>>> chosen(experts);  // tokens and their weights
    for (int64_t t = 0; t < tokens; ++t) Route(c.In(1).data<float>() + t * experts, experts, t, chosen);
    for (int64_t e = 0; e < experts; ++e) {
      if (!chosen[e].empty()) RunExpert(c, e, chosen[e]);
    }
  }

 private:
  void CheckShapes(const InferContext& c) const {
    const SymbolicShape &x = c.Shape(0), &w2 = c.Shape(4);
    const Dim experts = c.Shape(1)[1], width = x[x.rank() - 1], inner = w2[2];
    const Dim first = gate == Gate::kNone ? inner : inner + inner;
    const Dim tokens = x.rank() == 3 ? x[0] * x[1] : x[0];
    const auto expect = [&](int i, const SymbolicShape& wanted) {
      if (!c.Has(i) || !c.HasRank(i)) return;
      for (int axis = 0; axis < wanted.rank(); ++axis) {
        if (c.Shape(i)[axis].Differs(wanted[axis]))
          c.Fail("{} has shape {}, but must be {}.", c.InputName(i), c.Shape(i).ToString(), wanted.ToString());
      }
    };
    expect(1, {tokens, experts});
    expect(2, {experts, first, width});
    expect(3, {experts, first});
    expect(4, {experts, width, inner});
    expect(5, {experts, width});
    expect(6, {experts, inner, width});
    expect(7, {experts, inner});
    if (k < 1 || (experts.is_const() && k > experts.value()))
      c.Fail("attribute 'k' is {}, but there are {} experts.", k, experts.ToString());
  }

  void Route(const float* preferences, int64_t experts, int64_t token,
             std::vector<std::vector<std::pair<int64_t, float>>>& chosen) const {
    std::vector<int64_t> order(experts);
    std::iota(order.begin(), order.end(), 0);
    const auto rank = [&](int64_t e) { return std::isnan(preferences[e]) ? -INFINITY : preferences[e]; };
    std::partial_sort(order.begin(), order.begin() + k, order.end(),
                      [&](int64_t a, int64_t b) { return rank(a) != rank(b) ? rank(a) > rank(b) : a < b; });
    const float most = preferences[order[0]];
    double total = 0;
    for (int64_t i = 0; i < (normalize ? k : experts); ++i)
      total += std::exp(static_cast<double>(preferences[normalize ? order[i] : i] - most));
    for (int64_t i = 0; i < k; ++i) {
      const double weight = std::exp(static_cast<double>(preferences[order[i]] - most)) / total;
      chosen[order[i]].emplace_back(token, static_cast<float>(weight));
    }
  }

  /// rows [m, in] by the transposed matrix of expert `e` in input i, with the bias in input i + 1.
  std::vector<float> Product(const RunContext& c, int i, int64_t e, const std::vector<float>& rows, int64_t m) const {
    const int64_t out = c.In(i).shape()[1], in = c.In(i).shape()[2];
    std::vector<float> y(m * out);
    const kernels::Epilogue epilogue{.bias = c.Has(i + 1) ? c.In(i + 1).data<float>() + e * out : nullptr};
    kernels::GemmUnpacked(m, out, in, rows.data(), in, c.In(i).data<float>() + e * out * in, 1, in, y.data(), out,
                          epilogue, c.threads());
    return y;
  }

  void RunExpert(RunContext& c, int64_t e, const std::vector<std::pair<int64_t, float>>& tokens) const {
    const int64_t width = c.In(0).shape().Back(0), m = static_cast<int64_t>(tokens.size()), inner = c.In(4).shape()[2];
    std::vector<float> rows(m * width);
    for (int64_t i = 0; i < m; ++i)
      std::copy_n(c.In(0).data<float>() + tokens[i].first * width, width, rows.data() + i * width);
    const std::vector<float> first = Product(c, 2, e, rows, m);
    const std::vector<float> third = c.Has(6) ? Product(c, 6, e, rows, m) : std::vector<float>();
    std::vector<float> middle(m * inner);
    for (int64_t i = 0; i < m * inner; ++i) {
      const int64_t r = i / inner, j = i % inner;
      if (gate == Gate::kInterleaved) {
        middle[i] = Gated(first[2 * i], first[2 * i + 1]);
      } else if (gate == Gate::kHalves) {
        middle[i] = Gated(first[r * 2 * inner + j], first[r * 2 * inner + inner + j]);
      } else if (swiglu) {
        middle[i] = Gated(first[i], third[i]);
      } else {
        middle[i] = static_cast<float>(Activate(activation, first[i])) * (third.empty() ? 1.0f : third[i]);
      }
    }
    const std::vector<float> result = Product(c, 4, e, middle, m);
    for (int64_t i = 0; i < m; ++i) {
      float* to = c.Out(0).data<float>() + tokens[i].first * width;
      for (int64_t j = 0; j < width; ++j) to[j] += tokens[i].second * result[i * width + j];
    }
  }

  float Gated(float g, float l) const {
    g = std::min(g, limit);
    l = std::clamp(l, -limit, limit);
    return g / (1 + std::exp(-alpha * g)) * (l + beta);
  }
};
extern const OpDef kMicrosoftMoE = Define<MoE>({.name = "MoE",
                                                .domain = kMicrosoftDomain,
                                                .min_inputs = 5,
                                                .max_inputs = 8,
                                                .types = {DType::kFloat, DType::kFloat16, DType::kBFloat16}});

}  // namespace slipway
