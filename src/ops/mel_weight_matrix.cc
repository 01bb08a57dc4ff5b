#include <algorithm>
#include <cmath>

#include "core/dtype_visit.h"
#include "ops/in_float.h"
#include "ops/one_number.h"
#include "ops/shape_math.h"

namespace slipway {

/// [dft_length / 2 + 1, bins]: triangles that turn a spectrum into one whose bins are as wide as the ear finds them
/// equal. ONNX MelWeightMatrix, since 17.
struct MelWeightMatrix {
  int64_t type = 1;
  static MelWeightMatrix Parse(const Attributes& a) { return {.type = a.Int("output_datatype", 1)}; }

  void Infer(InferContext& c) const {
    const DType elem = ToDType(c, type, "output_datatype");
    if (!kNumericTypes.Has(elem)) c.Fail("attribute 'output_datatype' is {}, but must be one of numbers.", Name(elem));
    for (int i = 0; i < 5; ++i) {
      c.ExpectElem(i, i < 3 ? kIndexTypes : kFloatTypes);
      ExpectOne(c, i);
    }
    const auto bins = ConstInt(c, 0), length = ConstInt(c, 1), rate = ConstInt(c, 2);
    for (const auto& n : {bins, length, rate}) {
      if (n && (*n < 1 || *n > int64_t{1} << 40)) c.Fail("bins, length or rate is {}.", *n);
    }
    c.Out(0, elem, {length ? Dim(*length / 2 + 1) : Dim::Unknown(), bins ? Dim(*bins) : Dim::Unknown()});
  }

  void Run(RunContext& c) const {
    Tensor& y = c.Out(0);
    const int64_t rows = y.shape()[0], bins = y.shape()[1];
    const auto length = static_cast<double>(ToInts(c.In(1))[0]), rate = static_cast<double>(ToInts(c.In(2))[0]);
    const auto mel = [&](int i) { return 2595 * std::log10(1 + ToVectorOf<double>(c.In(i))[0] / 700); };
    const double low = mel(3), high = mel(4);
    std::vector<int64_t> edges(bins + 2);
    for (int64_t i = 0; i < bins + 2; ++i) {
      const double place = low + static_cast<double>(i) * (high - low) / static_cast<double>(bins + 2);
      const double edge = std::floor((length + 1) * 700 * (std::pow(10.0, place / 2595) - 1) / rate);
      if (!(edge >= 0 && edge <= static_cast<double>(rows)))
        c.Fail("a bin's edge falls on frequency {} of {}: the edges must lie from 0 to half the sample rate.", edge,
               rows);
      edges[i] = static_cast<int64_t>(edge);
    }
    VisitNumeric(y.dtype(), [&]<class T>() {
      using Wide = std::conditional_t<std::is_arithmetic_v<T>, double, float>;
      std::fill(y.data<T>(), y.data<T>() + y.size(), T());
      for (int64_t i = 0; i < bins; ++i) {
        const int64_t left = edges[i], middle = edges[i + 1], right = edges[i + 2];
        const auto put = [&](int64_t row, double value) {
          if (row < rows) y.data<T>()[row * bins + i] = static_cast<T>(static_cast<Wide>(value));
        };
        const auto share = [](int64_t a, int64_t b) { return static_cast<double>(a) / static_cast<double>(b); };
        if (left == middle) put(middle, 1);
        for (int64_t j = left; left < middle && j <= middle; ++j) put(j, share(j - left, middle - left));
        for (int64_t j = middle; j < right; ++j) put(j, share(right - j, right - middle));
      }
    });
  }
};
extern const OpDef kMelWeightMatrix = Define<MelWeightMatrix>(
    {.name = "MelWeightMatrix", .since = 17, .min_inputs = 5, .max_inputs = 5, .types = kIndexTypes});

}  // namespace slipway
