#include "tools/operators.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "onnx/upgrade/upgrade.h"
#include "ops/fast_path.h"
#include "ops/op.h"

namespace slipway {
namespace {

std::string Count(int low, int high) {
  if (high == kVariadic) return fmt::format("{} or more", low);
  return low == high ? std::to_string(low) : fmt::format("{} to {}", low, high);
}

std::string Types(const OpDef& def) {
  if (def.max_inputs == 0) return "";
  std::vector<std::string_view> has, lacks;
  for (int i = 1; i < kNumDTypes; ++i) {
    const auto type = static_cast<DType>(i);
    if (kAllTypes.Has(type)) (def.types.Has(type) ? has : lacks).push_back(Name(type));
  }
  if (lacks.empty()) return "any";
  if (lacks.size() < 4) return fmt::format("any but {}", fmt::join(lacks, ", "));
  return fmt::format("{}", fmt::join(has, ", "));
}

}  // namespace

std::vector<OperatorInfo> Operators() {
  std::vector<OperatorInfo> all;
  for (const OpDef* def : AllOps()) {
    const bool default_domain = def->domain.empty();
    all.push_back({.domain = std::string(default_domain ? "ai.onnx" : def->domain),
                   .name = std::string(def->name),
                   .first_opset = default_domain ? onnx::FirstOpset(std::string(def->name)) : 1,
                   .form = def->since,
                   .inputs = Count(def->min_inputs, def->max_inputs),
                   .outputs = Count(def->min_outputs, def->max_outputs),
                   .types = Types(*def),
                   .fast_path = std::string(FastPathOf(*def).types),
                   .isas = std::string(FastPathOf(*def).isas)});
  }
  std::sort(all.begin(), all.end(), [](const OperatorInfo& a, const OperatorInfo& b) {
    return std::tie(a.domain, a.name) < std::tie(b.domain, b.name);
  });
  return all;
}

}  // namespace slipway
