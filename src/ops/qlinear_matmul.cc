#include <cmath>

#include "core/dtype_visit.h"
#include "ops/in_float.h"
#include "ops/indexing.h"
#include "ops/int_product.h"
#include "ops/one_number.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

constexpr TypeSet kBytes = {DType::kInt8, DType::kUint8};
constexpr TypeSet kOperandTypes =
    kBytes | TypeSet{DType::kFloat8E4M3FN, DType::kFloat8E4M3FNUZ, DType::kFloat8E5M2, DType::kFloat8E5M2FNUZ};
constexpr Types<int8_t, uint8_t, Float8E4M3FN, Float8E4M3FNUZ, Float8E5M2, Float8E5M2FNUZ> kOperands;

/// The tensor's numbers, as many as `lines`, where it has one, one for each of `line`, or all.
std::vector<double> PerLine(const Tensor& t, int64_t line, int64_t lines) {
  std::vector<double> out(lines);
  const auto fill = [&](const auto* data) {
    for (int64_t i = 0; i < lines; ++i) {
      const auto& v = data[t.size() == 1 ? 0 : t.size() == lines ? i : i % line];
      if constexpr (std::is_arithmetic_v<std::decay_t<decltype(v)>>) {
        out[i] = v;
      } else {
        out[i] = static_cast<float>(v);
      }
    }
  };
  if (kOperandTypes.Has(t.dtype())) {
    Visit(kOperands, t.dtype(), "an operand", [&]<class T>() { fill(t.data<T>()); });
  } else {
    VisitFloat(t.dtype(), [&]<class T>() { fill(t.data<T>()); });
  }
  return out;
}

/// The scales' product over that of y, in their own type's precision.
template <class T>
float Multiplier(double a, double b, double y) {
  const auto rounded = [](float v) { return static_cast<float>(static_cast<T>(v)); };
  return rounded(rounded(static_cast<float>(a) * static_cast<float>(b)) / static_cast<float>(y));
}

float Multiplier(DType type, double a, double b, double y) {
  return VisitFloat(type, [&]<class T>() { return Multiplier<T>(a, b, y); });
}

}  // namespace

/// The product of quantized matrices, quantized: saturate(round(sum * a_scale * b_scale / y_scale) + y_zero_point).
/// ONNX QLinearMatMul, since 21.
struct QLinearMatMul {
  IntProduct product;

  void Infer(InferContext& c) const {
    c.ExpectElem(3, kOperandTypes);
    c.ExpectElem(7, kOperandTypes);
    c.ExpectSameElem(2, 0);
    c.ExpectSameElem(5, 3);
    c.ExpectElem(1, {DType::kFloat, DType::kFloat16, DType::kBFloat16});
    c.ExpectSameElem(4, 1);
    c.ExpectSameElem(6, 1);
    for (const int i : {1, 2}) IntProduct::CheckPerLine(c, i, 0, true);
    for (const int i : {4, 5}) IntProduct::CheckPerLine(c, i, 3, false);
    for (const int i : {6, 7}) ExpectOne(c, i);
    c.Out(0, c.Elem(7), ProductShape(c, 0, 3));
  }
  bool Prepack(int input, const InferContext& c, const kernels::Packing& packing) {
    return input == 3 && kBytes.Has(c.Elem(0)) && kBytes.Has(c.Elem(3)) && product.Prepack(*c.Constant(3), packing);
  }

  void Run(RunContext& c) const {
    const Tensor &a = c.In(0), &b = c.In(3);
    Tensor& y = c.Out(0);
    if (y.size() == 0) return;
    const ProductSizes s(a.shape(), b.shape(), false, false);
    const bool bytes = kBytes.Has(a.dtype()) && kBytes.Has(b.dtype());
    const int64_t b_scales = c.In(4).size();
    if (!bytes || !kBytes.Has(y.dtype()) || c.In(1).size() != 1 || (b_scales != 1 && b_scales != s.n))
      return RunPlain(c, s, bytes);
    const double a_scale = PerLine(c.In(1), 1, 1)[0], y_scale = PerLine(c.In(6), 1, 1)[0];
    std::vector<float> scales;
    for (const double v : PerLine(c.In(4), b_scales, b_scales))
      scales.push_back(Multiplier(c.In(1).dtype(), a_scale, v, y_scale));
    const bool is_signed = y.dtype() == DType::kInt8;
    product.Run(c, a, b, &c.In(2), &c.In(5), y,
                {.kind = is_signed ? kernels::IntResult::Kind::kInt8 : kernels::IntResult::Kind::kUint8,
                 .scale = {scales.data(), scales.size() > 1},
                 .zero = ToInt32s(&c.In(7))[0]});
  }

 private:
  /// Scales of each row, 8-bit floats: one element at a time.
  void RunPlain(RunContext& c, const ProductSizes& s, bool bytes) const {
    const Tensor &a = c.In(0), &b = c.In(3);
    Tensor& y = c.Out(0);
    Tensor sums;
    std::vector<double> left, right, a_zeros, b_zeros;
    const int64_t a_rows = s.a.SizeTo(s.a.rank() - 1), b_columns = s.b.SizeTo(s.b.rank() - 2) * s.n;
    if (bytes) {
      sums = Tensor(DType::kInt32, y.shape());
      product.Run(c, a, b, &c.In(2), &c.In(5), sums, {});
    } else {
      left = PerLine(a, a.size(), a.size());
      right = PerLine(b, b.size(), b.size());
      a_zeros = PerLine(c.In(2), s.m, a_rows);
      b_zeros = PerLine(c.In(5), s.n, b_columns);
    }
    const auto a_scales = PerLine(c.In(1), s.m, a_rows), b_scales = PerLine(c.In(4), s.n, b_columns);
    const double y_scale = PerLine(c.In(6), 1, 1)[0], y_zero = PerLine(c.In(7), 1, 1)[0];
    const DType type = c.In(1).dtype();
    const auto value = [&](int64_t at) {
      const int64_t batch = at / (s.m * s.n), i = at / s.n % s.m, j = at % s.n;
      const int64_t row = MatrixOffset(s.a, s.out, batch, s.m) + i, column = MatrixOffset(s.b, s.out, batch, s.n) + j;
      double sum = bytes ? sums.data<int32_t>()[at] : 0;
      if (!bytes) {
        const double* x = left.data() + row * s.k;
        const double* w = right.data() + MatrixOffset(s.b, s.out, batch, s.k * s.n) + j;
        for (int64_t p = 0; p < s.k; ++p) sum += (x[p] - a_zeros[row]) * (w[p * s.n] - b_zeros[column]);
      }
      return sum * static_cast<double>(Multiplier(type, a_scales[row], b_scales[column], y_scale));
    };
    Visit(kOperands, y.dtype(), "a quantized type", [&]<class T>() {
      c.threads().ParallelFor(y.size(), GrainFor(8 * s.k), [&](int64_t begin, int64_t end) {
        for (int64_t at = begin; at < end; ++at) {
          const double v = value(at);
          if constexpr (std::is_integral_v<T>) {
            const double q = std::nearbyint(v) + y_zero;
            y.data<T>()[at] =
                static_cast<T>(q > std::numeric_limits<T>::min() ? std::min<double>(q, std::numeric_limits<T>::max())
                                                                 : std::numeric_limits<T>::min());
          } else {
            y.data<T>()[at] = T(static_cast<float>(v + y_zero));
          }
        }
      });
    });
  }
};
extern const OpDef kQLinearMatMul = Define<QLinearMatMul>(
    {.name = "QLinearMatMul", .since = 21, .min_inputs = 8, .max_inputs = 8, .types = kOperandTypes});

}  // namespace slipway
