#include <algorithm>

#include "ops/indexing.h"
#include "ops/ml/ml.h"

namespace slipway {

/// The features of all inputs side by side, as floats; an input is cut to the width that the attribute gives it, or
/// filled with zeros. ONNX FeatureVectorizer, since ai.onnx.ml 1.
struct FeatureVectorizer {
  std::vector<int64_t> widths;  ///< empty: as wide as the inputs are
  static FeatureVectorizer Parse(const Attributes& a) {
    FeatureVectorizer op{.widths = a.Ints("inputdimensions")};
    for (int64_t w : op.widths) {
      if (w < 0 || w > (int64_t{1} << 28)) ml::FailParse(fmt::format("inputdimensions has the size {}.", w));
    }
    return op;
  }

  void Infer(InferContext& c) const {
    if (!widths.empty() && static_cast<int>(widths.size()) != c.num_inputs())
      c.Fail("inputdimensions has {} sizes, but there are {} inputs.", widths.size(), c.num_inputs());
    Dim rows = Dim::Unknown(), total = 0;
    for (int i = 0; i < c.num_inputs(); ++i) {
      c.ExpectElem(i, ml::kNumberTypes);
      c.ExpectSameElem(i, 0);
      c.ExpectRank(i, 1, 2);
      const SymbolicShape& s = c.Shape(i);
      total = total + (!widths.empty() ? Dim(widths[i]) : s.has_rank() ? s[s.rank() - 1] : Dim::Unknown());
      if (!s.has_rank()) continue;
      const Dim here = s.rank() == 1 ? Dim(1) : s[0];
      if (here.Differs(rows)) c.Fail("{} has {} rows, others have {}.", c.InputName(i), here.value(), rows.value());
      if (here.is_const() || i == 0) rows = here;
    }
    c.Out(0, DType::kFloat, {rows, total});
  }

  void Run(RunContext& c) const {
    Tensor& y = c.Out(0);
    const int64_t rows = y.shape()[0], total = y.shape()[1];
    int64_t column = 0;
    for (int i = 0; i < c.num_inputs(); ++i) {
      const Tensor& x = c.In(i);
      const ml::Rows have = ml::RowsOf(x.shape());
      if (have.count != rows) c.Fail("an input has {} rows, another {}.", have.count, rows);
      const int64_t width = widths.empty() ? have.features : widths[i], kept = std::min(width, have.features);
      VisitNumeric(x.dtype(), [&]<class T>() {
        for (int64_t r = 0; r < rows; ++r) {
          const T* from = x.data<T>() + r * have.features;
          float* to = y.data<float>() + r * total + column;
          for (int64_t j = 0; j < kept; ++j) to[j] = static_cast<float>(from[j]);
          std::fill(to + kept, to + width, 0.0f);
        }
      });
      column += width;
    }
  }
};
extern const OpDef kFeatureVectorizer = Define<FeatureVectorizer>(
    {.name = "FeatureVectorizer", .since = 1, .domain = kMlDomain, .max_inputs = kVariadic, .types = ml::kNumberTypes});

}  // namespace slipway
