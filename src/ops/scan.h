#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

namespace slipway {

/// From i on, the first element of n that may pass, or n: what comes before it certainly does not. `may_pass(j)` is
/// asked about blocks, in a loop that becomes vectors where it is a comparison.
template <class F>
int64_t SkipFailing(int64_t i, int64_t n, const F& may_pass) {
  const auto skip = [&]<int64_t kBlock>(std::integral_constant<int64_t, kBlock>) {
    for (; i + kBlock <= n; i += kBlock) {
      int any = 0;
      for (int64_t j = 0; j < kBlock; ++j) any |= may_pass(i + j) ? 1 : 0;
      if (any) return;
    }
  };
  skip(std::integral_constant<int64_t, 32>());
  skip(std::integral_constant<int64_t, 8>());
  while (i < n && !may_pass(i)) ++i;
  return i;
}

}  // namespace slipway
