#include "ops/indexing.h"
#include "ops/regex.h"

namespace slipway {

/// Whether all of each element matches a pattern. ONNX RegexFullMatch, since 20.
struct RegexFullMatch {
  std::shared_ptr<const Regex> regex;
  static RegexFullMatch Parse(const Attributes& a) {
    return {.regex = std::make_shared<Regex>(a.RequiredString("pattern"))};
  }
  void Infer(InferContext& c) const { c.Out(0, DType::kBool, c.Shape(0)); }
  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    c.threads().ParallelFor(x.size(), 64, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) c.Out(0).data<bool>()[i] = regex->FullMatch(x.data<std::string>()[i]);
    });
  }
};
extern const OpDef kRegexFullMatch =
    Define<RegexFullMatch>({.name = "RegexFullMatch", .since = 20, .types = {DType::kString}});

}  // namespace slipway
