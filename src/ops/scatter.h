#pragma once

#include <string>

#include "core/dtype_visit.h"
#include "kernels/copy/strided_copy.h"
#include "ops/op.h"

namespace slipway {

/// What Scatter does where an update meets an element.
enum class Reduction { kNone, kAdd, kMul, kMin, kMax };

inline Reduction ParseReduction(const Attributes& a) {
  const std::string name = a.String("reduction", "none");
  const std::pair<const char*, Reduction> all[] = {{"none", Reduction::kNone},
                                                   {"add", Reduction::kAdd},
                                                   {"mul", Reduction::kMul},
                                                   {"min", Reduction::kMin},
                                                   {"max", Reduction::kMax}};
  for (const auto& [text, reduction] : all) {
    if (name == text) return reduction;
  }
  throw Error(Code::kBadGraph, fmt::format("reduction is '{}', but must be none, add, mul, min or max.", name));
}

template <Reduction R, class T>
T Reduced(T old, T update) {
  if constexpr (R == Reduction::kNone) {
    return update;
  } else if constexpr (std::is_integral_v<T> && (R == Reduction::kAdd || R == Reduction::kMul)) {
    // In 64 bits without sign, where overflow wraps around.
    const auto a = static_cast<uint64_t>(old), b = static_cast<uint64_t>(update);
    return static_cast<T>(R == Reduction::kAdd ? a + b : a * b);
  } else if constexpr (std::is_arithmetic_v<T>) {
    if constexpr (R == Reduction::kAdd)
      return old + update;
    else if constexpr (R == Reduction::kMul)
      return old * update;
    else if constexpr (R == Reduction::kMin)
      return update < old || update != update ? update : old;
    else
      return update > old || update != update ? update : old;
  } else {
    return T(Reduced<R>(static_cast<float>(old), static_cast<float>(update)));
  }
}

/// Calls f.operator()<T, R>() for the tensor's element type and the reduction. Without one T is only as wide as the
/// element.
template <class F>
void VisitScatter(DType type, Reduction reduction, F&& f) {
  if (reduction == Reduction::kNone)
    return VisitBySize(type, [&]<class T>() { f.template operator()<T, Reduction::kNone>(); });
  VisitNumeric(type, [&]<class T>() {
    switch (reduction) {
      case Reduction::kAdd:
        return f.template operator()<T, Reduction::kAdd>();
      case Reduction::kMul:
        return f.template operator()<T, Reduction::kMul>();
      case Reduction::kMin:
        return f.template operator()<T, Reduction::kMin>();
      default:
        return f.template operator()<T, Reduction::kMax>();
    }
  });
}

inline void CheckReducible(const InferContext& c, Reduction reduction) {
  if (reduction != Reduction::kNone) c.ExpectElem(0, kNumericTypes);
}

/// Output 0 starts as input 0, whose memory it may have already.
inline void StartFromData(RunContext& c) {
  const Tensor& x = c.In(0);
  Tensor& y = c.Out(0);
  if (y.raw() != x.raw()) kernels::CopyElements(x.dtype(), x.raw(), y.raw(), x.size(), c.threads());
}

}  // namespace slipway
