#include <cmath>

#include "core/dtype_visit.h"
#include "ops/in_float.h"
#include "ops/indexing.h"
#include "ops/shape_math.h"

namespace slipway {

/// The inverse of each square matrix, in double. com.microsoft Inverse.
struct Inverse {
  void Infer(InferContext& c) const {
    if (c.HasRank(0)) {
      const SymbolicShape& x = c.Shape(0);
      if (x.rank() < 2 || x[x.rank() - 1].Differs(x[x.rank() - 2]))
        c.Fail("{} has shape {}, but must end in square matrices.", c.InputName(0), x.ToString());
    }
    InferSameAsFirst(c);
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    const Shape& shape = c.In(0).shape();
    const int64_t n = shape.Back(0);
    if (c.In(0).size() == 0) return;
    Visit(Types<float, double>{}, c.In(0).dtype(), "float or double", [&]<class T>() {
      c.threads().ParallelFor(c.In(0).size() / (n * n), GrainFor(8 * n * n * n), [&](int64_t begin, int64_t end) {
        std::vector<double> rows(2 * n * n);
        for (int64_t m = begin; m < end; ++m) {
          const T* in = c.In(0).data<T>() + m * n * n;
          T* out = c.Out(0).data<T>() + m * n * n;
          for (int64_t i = 0; i < n; ++i) {
            for (int64_t j = 0; j < n; ++j) {
              rows[i * 2 * n + j] = static_cast<double>(in[i * n + j]);
              rows[i * 2 * n + n + j] = i == j ? 1 : 0;
            }
          }
          if (!Eliminate(rows, n)) c.Fail("matrix {} has no inverse.", m);
          for (int64_t i = 0; i < n * n; ++i) out[i] = static_cast<T>(rows[i / n * 2 * n + n + i % n]);
        }
      });
    });
  }

 private:
  /// Makes the left half of [n, 2 n] the unit matrix; false where that cannot be done.
  static bool Eliminate(std::vector<double>& rows, int64_t n) {
    const int64_t width = 2 * n;
    for (int64_t k = 0; k < n; ++k) {
      int64_t best = k;
      for (int64_t i = k + 1; i < n; ++i) {
        if (std::abs(rows[i * width + k]) > std::abs(rows[best * width + k])) best = i;
      }
      const double pivot = rows[best * width + k];
      if (pivot == 0) return false;
      for (int64_t j = 0; j < width; ++j) std::swap(rows[best * width + j], rows[k * width + j]);
      for (int64_t j = k; j < width; ++j) rows[k * width + j] /= pivot;
      for (int64_t i = 0; i < n; ++i) {
        const double factor = rows[i * width + k];
        if (i == k || factor == 0) continue;
        for (int64_t j = k; j < width; ++j) rows[i * width + j] -= factor * rows[k * width + j];
      }
    }
    return true;
  }
};
extern const OpDef kMicrosoftInverse =
    Define<Inverse>({.name = "Inverse", .domain = kMicrosoftDomain, .types = kFloatTypes, .in_place = 0});

}  // namespace slipway
