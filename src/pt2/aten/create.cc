#include <cmath>
#include <limits>

#include "pt2/aten/shared.h"

namespace slipway::pt2 {
namespace {

/// A tensor of one number: zeros, ones, full, and the forms like another tensor. Memory that torch leaves as it is
/// becomes 0.
void Fill(Call& c) {
  Expr value = c.detail() == "1" ? 1 : 0;
  if (c.detail() == "fill") {
    const Operand o = c.Operand(c.Has("fill_value") ? "fill_value" : "value");
    if (o.tensor.defined()) {
      return c.Out(c.Expand(c.Cast(o.tensor.id, c.OutDtype()), o.tensor.shape, c.OutShape()));
    }
    value = *o.number;
  }
  c.Out(c.Full(c.OutShape(), value, c.OutDtype()));
}

void ScalarTensor(Call& c) { c.Out(c.Scalar(c.Size(c.Has("s") ? "s" : c.node().inputs.at(0).first), c.OutDtype())); }

/// copy(self, src): src as self's type and shape.
void Copy(Call& c) {
  const TensorRef x = First(c), source = c.Tensor("src");
  c.Out(c.Expand(c.Cast(source.id, x.dtype), source.shape, x.shape));
}

bool IsReal(const Expr& e) { return e.kind() == Expr::Kind::kFloat; }

void Arange(Call& c) {
  const Expr start = c.Size("start", 0), end = c.Size("end"), step = c.Size("step", 1);
  const DType type = c.OutDtype();
  const bool real = IsReal(start) || IsReal(end) || IsReal(step);
  // Range takes few types; and the count must be torch's, which it works out in double.
  const DType by = type == DType::kInt64 || type == DType::kInt32 ? (real ? DType::kDouble : type)
                   : type == DType::kFloat && !real               ? DType::kFloat
                   : real                                         ? DType::kDouble
                                                                  : DType::kInt64;
  const Exprs shape = c.OutShape();
  constexpr int64_t kSmall = 1024;
  if (shape.at(0).is_int() && start.is_number() && step.is_number() && shape[0].int_value() <= kSmall &&
      (type == DType::kInt64 || type == DType::kFloat)) {
    const int64_t n = shape[0].int_value();
    slipway::Tensor t(type, {n});
    for (int64_t i = 0; i < n; ++i) {
      if (type == DType::kInt64 && !real) {
        const auto a = static_cast<uint64_t>(start.int_value()), by_one = static_cast<uint64_t>(step.int_value());
        t.data<int64_t>()[i] = static_cast<int64_t>(a + static_cast<uint64_t>(i) * by_one);
      } else {
        const double v = start.value() + static_cast<double>(i) * step.value();
        if (type == DType::kInt64) t.data<int64_t>()[i] = static_cast<int64_t>(v);
        if (type == DType::kFloat) t.data<float>()[i] = static_cast<float>(v);
      }
    }
    return c.Out(c.Constant(std::move(t)));
  }
  c.Out(c.Add("Range", {c.Scalar(start, by), c.Scalar(end, by), c.Scalar(step, by)}));
}

/// start + i * (end - start) / (steps - 1), counted from the nearer end as torch does.
void Linspace(Call& c) {
  const DType type = c.OutDtype();
  const DType by = type == DType::kDouble ? DType::kDouble : DType::kFloat;
  const Expr steps = c.Size("steps");
  const Operand start = c.Operand("start"), end = c.Operand("end");
  if (steps.is_int() && steps.int_value() <= 4096 && start.number && start.number->is_number() && end.number &&
      end.number->is_number() && c.detail().empty() && type == DType::kFloat) {
    const int64_t n = steps.int_value();
    const auto a = static_cast<float>(start.number->value()), b = static_cast<float>(end.number->value());
    const float step = n > 1 ? (b - a) / static_cast<float>(n - 1) : 0;
    slipway::Tensor t(type, {n});
    for (int64_t i = 0; i < n; ++i) {
      t.data<float>()[i] =
          i < n / 2 || n == 1 ? a + step * static_cast<float>(i) : b - step * static_cast<float>(n - 1 - i);
    }
    return c.Out(c.Constant(std::move(t)));
  }
  const ValueId count = c.Scalar(steps, by), one = c.Scalar(1, by);
  const ValueId a = c.Use(start, by), b = c.Use(end, by);
  const ValueId i = c.Cast(c.Add("Range", {c.SizeScalar(0), c.SizeScalar(steps), c.SizeScalar(1)}), by);
  const ValueId gaps = c.Add("Max", {c.Add("Sub", {count, one}), one});
  const ValueId step = c.Add("Div", {c.Add("Sub", {b, a}), gaps});
  const ValueId from_start = c.Add("Add", {a, c.Add("Mul", {i, step})});
  const ValueId left = c.Add("Sub", {c.Add("Sub", {count, one}), i});
  const ValueId from_end = c.Add("Sub", {b, c.Add("Mul", {left, step})});
  const ValueId near =
      c.Add("Less", {i, c.Add("Floor", {c.Add("Div", {c.Add("Max", {count, c.Scalar(2, by)}), c.Scalar(2, by)})})});
  ValueId v = c.Add("Where", {near, from_start, from_end});
  if (!c.detail().empty()) v = c.Add("Pow", {c.Scalar(c.Float("base", 10), by), v});
  c.Out(v);
}

void Eye(Call& c) {
  const Exprs shape = c.OutShape();
  const DType type = c.OutDtype();
  const ValueId zeros = c.Full(shape, 0, DType::kFloat);
  c.Out(c.Add("EyeLike", {zeros}, {{"dtype", static_cast<int64_t>(type)}}));
}

/// The places of a triangle's elements, as two rows.
void TriangleIndices(Call& c) {
  const Expr rows = c.Size("row"), columns = c.Size("col"), offset = c.Size("offset", 0);
  const ValueId ones = c.Full({rows, columns}, 1, DType::kInt64);
  const ValueId part = c.Add("Trilu", {ones, c.SizeScalar(offset)}, {{"upper", int64_t{c.detail() == "upper"}}});
  c.Out(c.Add("NonZero", {part}));
}

// ---- Types
// -----------------------------------------------------------------------------------------------------------

void To(Call& c) {
  const TensorRef x = First(c);
  if (x.dtype != c.OutDtype() || c.Bool("copy", false)) c.NotAView();
  c.Out(c.Cast(x.id, c.OutDtype()));
}
ValueId WriteTo(Call& c, const TensorRef& base, ValueId value, int) { return c.Cast(value, base.dtype); }

void SizeOfAxis(Call& c) {}

/// A window for signals. `detail`: the coefficients' family.
void Window(Call& c) {
  const Expr length = c.Size("window_length");
  if (!length.is_int()) c.Fail("a window whose length varies is not supported: make it once, as a buffer.");
  const int64_t n = length.int_value();
  const double steps = static_cast<double>(c.Bool("periodic", true) ? n : n - 1), pi = 3.14159265358979323846;
  const double alpha = c.Float("alpha", 0.54), beta = c.Float("beta", c.detail() == "kaiser" ? 12.0 : 0.46);
  const DType type = c.OutDtype();
  if (type != DType::kFloat && type != DType::kDouble) c.Fail("a window is float or double here.");
  const auto at = [&](int64_t i) -> double {
    if (n == 1) return 1;
    const double x = static_cast<double>(i) / steps;
    if (c.detail() == "hann") return 0.5 - 0.5 * std::cos(2 * pi * x);
    if (c.detail() == "hamming") return alpha - beta * std::cos(2 * pi * x);
    if (c.detail() == "blackman") return 0.42 - 0.5 * std::cos(2 * pi * x) + 0.08 * std::cos(4 * pi * x);
    if (c.detail() == "bartlett") return 1 - std::abs(2 * x - 1);
    const double t = 2 * x - 1;
    return std::cyl_bessel_i(0.0, beta * std::sqrt(std::max(0.0, 1 - t * t))) / std::cyl_bessel_i(0.0, beta);
  };
  slipway::Tensor window(type, {n});
  for (int64_t i = 0; i < n; ++i) {
    if (type == DType::kFloat) window.data<float>()[i] = static_cast<float>(at(i));
    if (type == DType::kDouble) window.data<double>()[i] = at(i);
  }
  c.Out(c.Constant(std::move(window)));
}

constexpr Conversion kConversions[] = {
    {"aten._to_copy", To},
    {"aten.arange", Arange},
    {"aten.bartlett_window", Window, "bartlett"},
    {"aten.blackman_window", Window, "blackman"},
    {"aten.copy", Copy},
    {"aten.double", To, "", WriteTo},
    {"aten.empty", Fill, "0"},
    {"aten.empty_like", Fill, "0"},
    {"aten.empty_permuted", Fill, "0"},
    {"aten.empty_strided", Fill, "0"},
    {"aten.eye", Eye},
    {"aten.fill", Fill, "fill"},
    {"aten.float", To, "", WriteTo},
    {"aten.full", Fill, "fill"},
    {"aten.full_like", Fill, "fill"},
    {"aten.half", To, "", WriteTo},
    {"aten.hamming_window", Window, "hamming"},
    {"aten.hann_window", Window, "hann"},
    {"aten.kaiser_window", Window, "kaiser"},
    {"aten.linspace", Linspace},
    {"aten.logspace", Linspace, "log"},
    {"aten.new_empty", Fill, "0"},
    {"aten.new_empty_strided", Fill, "0"},
    {"aten.new_full", Fill, "fill"},
    {"aten.new_ones", Fill, "1"},
    {"aten.new_zeros", Fill, "0"},
    {"aten.ones", Fill, "1"},
    {"aten.ones_like", Fill, "1"},
    {"aten.promote_types", SizeOfAxis},
    {"aten.scalar_tensor", ScalarTensor},
    {"aten.sym_size", SizeOfAxis},
    {"aten.to", To, "", WriteTo},
    {"aten.tril_indices", TriangleIndices, "lower"},
    {"aten.triu_indices", TriangleIndices, "upper"},
    {"aten.type_as", To, "", WriteTo},
    {"aten.zero", Fill, "0"},
    {"aten.zeros", Fill, "0"},
    {"aten.zeros_like", Fill, "0"},
};

}  // namespace

const ConversionTable kCreateTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
