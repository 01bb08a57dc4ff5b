#include "tools/statistics.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <type_traits>

#include "core/dtype_visit.h"

namespace slipway {
namespace {

template <class T>
double ToDouble(const T& value) {
  if constexpr (requires { value.real(); }) {
    return static_cast<double>(std::abs(value));
  } else if constexpr (std::is_arithmetic_v<T>) {
    return static_cast<double>(value);
  } else if constexpr (std::is_constructible_v<float, T>) {
    return static_cast<float>(value);
  } else {
    return static_cast<double>(static_cast<int64_t>(value));
  }
}

}  // namespace

std::optional<Statistics> Summarize(const Tensor& tensor, int64_t first) {
  if (!tensor.defined() || tensor.dtype() == DType::kString) return std::nullopt;
  Statistics s;
  double sum = 0;
  VisitAll(tensor.dtype(), [&]<class T>() {
    if constexpr (!std::is_same_v<T, std::string>) {
      const T* data = tensor.data<T>();
      for (int64_t i = 0; i < tensor.size(); ++i) {
        const double v = ToDouble(data[i]);
        if (i < first) s.first.push_back(v);
        if (!std::isfinite(v)) {
          ++s.not_finite;
          continue;
        }
        s.min = s.finite == 0 ? v : std::min(s.min, v);
        s.max = s.finite == 0 ? v : std::max(s.max, v);
        sum += v;
        ++s.finite;
      }
    }
  });
  if (s.finite > 0) s.mean = sum / static_cast<double>(s.finite);
  return s;
}

}  // namespace slipway
