#include <string>
#include <string_view>
#include <unordered_set>

#include "kernels/elementwise/broadcast.h"
#include "ops/shape_math.h"
#include "ops/text.h"

namespace slipway {
namespace {

constexpr std::string_view kSpaces = " \t\n\v\f\r";

/// Up to `most` cuts at a separator, or at runs of spaces where that is empty; what is left is the last part.
std::vector<std::string_view> Cut(std::string_view text, std::string_view separator, int64_t most) {
  std::vector<std::string_view> parts;
  if (!separator.empty()) {
    for (size_t at; static_cast<int64_t>(parts.size()) < most && (at = text.find(separator)) != text.npos;) {
      parts.push_back(text.substr(0, at));
      text.remove_prefix(at + separator.size());
    }
    parts.push_back(text);
    return parts;
  }
  text = text.substr(0, text.find_last_not_of(kSpaces) + 1);
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(kSpaces), text.size()));
    if (text.empty()) return parts;
    const size_t end = static_cast<int64_t>(parts.size()) < most ? text.find_first_of(kSpaces) : text.npos;
    parts.push_back(text.substr(0, end));
    if (end == text.npos) return parts;
    text.remove_prefix(end);
  }
}

}  // namespace

/// x and y, one behind the other, broadcast. ONNX StringConcat, since 20.
struct StringConcat {
  void Infer(InferContext& c) const {
    c.ExpectSameElem(1, 0);
    c.Out(0, DType::kString, Broadcast(c, c.Shape(0), c.Shape(1)));
  }
  void Run(RunContext& c) const {
    const kernels::BroadcastPlan plan(c.In(0).shape(), c.In(1).shape());
    kernels::BroadcastBinary(
        plan, c.In(0).data<std::string>(), c.In(1).data<std::string>(), c.Out(0).data<std::string>(),
        [](const std::string& a, const std::string& b) { return a + b; }, c.threads());
  }
};
extern const OpDef kStringConcat = Define<StringConcat>(
    {.name = "StringConcat", .since = 20, .min_inputs = 2, .max_inputs = 2, .types = {DType::kString}});

/// The parts between separators along a new last axis, filled with empty strings, and how many each element has. ONNX
/// StringSplit, since 20.
struct StringSplit {
  std::string delimiter;
  int64_t most = INT64_MAX;
  static StringSplit Parse(const Attributes& a) {
    StringSplit op{.delimiter = a.String("delimiter", ""), .most = a.Int("maxsplit", INT64_MAX)};
    if (op.most < 0) op.most = INT64_MAX;
    return op;
  }
  void Infer(InferContext& c) const {
    c.Out(1, DType::kInt64, c.Shape(0));
    if (!c.HasRank(0)) return c.Out(0, DType::kString);
    std::vector<Dim> dims = c.Shape(0).dims();
    dims.push_back(Dim::Unknown());
    c.Out(0, DType::kString, std::move(dims));
  }
  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    std::vector<std::vector<std::string_view>> parts;
    size_t widest = 0;
    for (const std::string& s : x.span<std::string>()) {
      parts.push_back(Cut(s, delimiter, most));
      widest = std::max(widest, parts.back().size());
    }
    if (c.HasOut(1)) {
      Tensor& counts = c.Allocate(1, DType::kInt64, x.shape());
      for (size_t i = 0; i < parts.size(); ++i) counts.data<int64_t>()[i] = static_cast<int64_t>(parts[i].size());
    }
    if (!c.HasOut(0)) return;
    Shape shape = x.shape();
    shape.push_back(static_cast<int64_t>(widest));
    Tensor& y = c.Allocate(0, DType::kString, std::move(shape));
    for (size_t i = 0; i < parts.size(); ++i)
      std::copy(parts[i].begin(), parts[i].end(), y.data<std::string>() + i * widest);
  }
};
extern const OpDef kStringSplit =
    Define<StringSplit>({.name = "StringSplit", .since = 20, .max_outputs = 2, .types = {DType::kString}});

/// Leaves out stop words and changes case. ONNX StringNormalizer, since 10.
struct StringNormalizer {
  enum class Case { kAsIs, kLower, kUpper } to = Case::kAsIs;
  bool case_sensitive = false;
  std::shared_ptr<const CaseMapper> mapper;
  std::unordered_set<std::string> stopwords;

  static StringNormalizer Parse(const Attributes& a) {
    const std::string action = a.String("case_change_action", "NONE");
    if (action != "NONE" && action != "LOWER" && action != "UPPER") {
      throw Error(Code::kBadGraph,
                  fmt::format("case_change_action is '{:.100}', but must be NONE, LOWER or UPPER.", action));
    }
    StringNormalizer op{.to = action == "LOWER"   ? Case::kLower
                              : action == "UPPER" ? Case::kUpper
                                                  : Case::kAsIs,
                        .case_sensitive = a.Int("is_case_sensitive", 0) != 0,
                        .mapper = std::make_shared<CaseMapper>(a.String("locale", ""))};
    for (const std::string& word : a.Strings("stopwords")) op.stopwords.insert(op.Key(word));
    return op;
  }

  void Infer(InferContext& c) const {
    c.ExpectRank(0, 1, 2);
    const SymbolicShape& x = c.Shape(0);
    if (!x.has_rank()) return c.Out(0, DType::kString);
    if (x.rank() == 2 && x[0].Differs(1))
      c.Fail("{} has shape {}, but must be [C] or [1, C].", c.InputName(0), x.ToString());
    SymbolicShape y = x;
    y[y.rank() - 1] = Dim::Unknown();
    c.Out(0, DType::kString, std::move(y));
  }

  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    std::vector<std::string> kept;
    for (const std::string& s : x.span<std::string>()) {
      if (stopwords.empty() || !stopwords.contains(Key(s))) kept.push_back(Changed(s));
    }
    if (kept.empty()) kept.emplace_back();
    const auto n = static_cast<int64_t>(kept.size());
    Tensor& y = c.Allocate(0, DType::kString, x.shape().rank() == 1 ? Shape{n} : Shape{1, n});
    std::move(kept.begin(), kept.end(), y.data<std::string>());
  }

 private:
  std::string Key(const std::string& s) const { return case_sensitive ? s : mapper->Lower(s); }
  std::string Changed(const std::string& s) const {
    if (to == Case::kAsIs) return s;
    return to == Case::kLower ? mapper->Lower(s) : mapper->Upper(s);
  }
};
extern const OpDef kStringNormalizer =
    Define<StringNormalizer>({.name = "StringNormalizer", .since = 10, .types = {DType::kString}});

}  // namespace slipway
