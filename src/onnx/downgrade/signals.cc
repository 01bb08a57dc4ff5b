#include <cmath>
#include <numbers>

#include "onnx/downgrade/rules.h"

namespace slipway::onnx {
namespace {

constexpr double kTurn = 2 * std::numbers::pi;

/// The cosines and sines of turn * row * column / n: [rows, columns] each.
struct Waves {
  ValueId cosine, sine;
};

Waves WavesOf(Rewrite& r, ValueId rows, ValueId columns, ValueId n, DType type) {
  const auto known = [&](ValueId v) -> std::optional<int64_t> {
    const auto ints = r.Known(v);
    return ints && ints->size() == 1 ? std::optional((*ints)[0]) : std::nullopt;
  };
  const auto n_rows = known(rows), n_columns = known(columns), turn = known(n);
  constexpr int64_t kMost = int64_t{1} << 24;
  if (n_rows && n_columns && turn && *turn > 0 && *n_rows * *n_columns <= kMost) {
    std::vector<float> cosine, sine;
    for (int64_t i = 0; i < *n_rows; ++i) {
      for (int64_t k = 0; k < *n_columns; ++k) {
        const double angle = kTurn * static_cast<double>(i * k % *turn) / static_cast<double>(*turn);
        cosine.push_back(static_cast<float>(std::cos(angle)));
        sine.push_back(static_cast<float>(std::sin(angle)));
      }
    }
    return {r.Floats({*n_rows, *n_columns}, cosine, type), r.Floats({*n_rows, *n_columns}, sine, type)};
  }
  const ValueId product = r.Mul(r.Unsqueeze(r.Count(rows), {1}), r.Unsqueeze(r.Count(columns), {0}));
  const ValueId part = r.Cast(r.Sub(product, r.Mul(r.Div(product, n), n)), DType::kFloat);
  const ValueId angle = r.Div(r.Mul(part, r.Num(kTurn, DType::kFloat)), r.Cast(n, DType::kFloat));
  return {r.Cast(r.Op("Cos", {angle}), type), r.Cast(r.Op("Sin", {angle}), type)};
}

/// The transform of signals [..., n, 1 or 2], all of it or the first half and the middle: [..., out, 2].
ValueId Transform(Rewrite& r, ValueId x, ValueId n, bool inverse, bool onesided) {
  const DType type = r.Elem(x);
  const int64_t last = r.Rank(x) - 1;
  const auto parts = r.Size(x, last);
  if (!parts) r.Fail("it must be known whether its input is complex.");
  const ValueId count = onesided ? r.Add(r.Div(n, r.Ints({2})), r.Ints({1})) : n;
  if (inverse && onesided) r.Fail("a onesided inverse cannot be decomposed.");
  const Waves waves = WavesOf(r, n, count, n, type);
  const auto part = [&](int64_t i) { return r.Squeeze(r.Slice(x, last, i, i + 1), {last}); };
  const auto times = [&](ValueId a, ValueId b) { return r.Op("MatMul", {a, b}); };
  // e^(-i angle) forwards, e^(i angle) back.
  ValueId real = times(part(0), waves.cosine), imaginary = times(part(0), waves.sine);
  if (!inverse) imaginary = r.Op("Neg", {imaginary});
  if (*parts == 2) {
    const ValueId cosines = times(part(1), waves.cosine), sines = times(part(1), waves.sine);
    real = inverse ? r.Sub(real, sines) : r.Add(real, sines);
    imaginary = r.Add(imaginary, cosines);
  }
  if (inverse) {
    const ValueId size = r.Cast(n, type);
    real = r.Div(real, size);
    imaginary = r.Div(imaginary, size);
  }
  return r.Concat({r.Unsqueeze(real, {last}), r.Unsqueeze(imaginary, {last})}, last);
}

}  // namespace

/// 0.5 - 0.5 cos and its kin. `size` numbers of a period, or of one less.
void WindowByCos(Rewrite& r) {
  const std::string& op = r.node().op_type;
  const double a0 = op == "HannWindow" ? 0.5 : op == "HammingWindow" ? 25.0 / 46 : 0.42;
  const double a1 = op == "HannWindow" ? 0.5 : op == "HammingWindow" ? 21.0 / 46 : 0.5;
  const double a2 = op == "BlackmanWindow" ? 0.08 : 0;
  const auto type = static_cast<DType>(r.attributes().Int("output_datatype", static_cast<int64_t>(DType::kFloat)));
  const DType wide = DType::kFloat;
  const ValueId size = r.Reshape(r.Cast(r.In(0), DType::kInt64), {1});
  ValueId period = r.Cast(size, wide);
  if (r.attributes().Int("periodic", 1) == 0) period = r.Sub(period, r.Num(1, wide));
  const ValueId angle = r.Div(r.Mul(r.Cast(r.Count(size), wide), r.Num(kTurn, wide)), period);
  ValueId y = r.Sub(r.Num(a0, wide), r.Mul(r.Num(a1, wide), r.Op("Cos", {angle})));
  if (a2 != 0) y = r.Add(y, r.Mul(r.Num(a2, wide), r.Op("Cos", {r.Mul(angle, r.Num(2, wide))})));
  r.Become({r.Cast(y, type)});
}

void DftAxis(Rewrite& r) {
  int64_t axis = -2;
  if (r.Has(2)) axis = r.Fixed(r.In(2), "input 2 ('axis')").at(0);
  r.RemoveInput(2);
  if (axis < 0) axis += r.Rank(r.In(0));
  if (r.target >= 17)
    r.attributes().Set("axis", axis);
  else
    r.g.SetInput(r.id, 2, r.Int(axis));
}

void DftByProduct(Rewrite& r) {
  ValueId x = r.In(0);
  const int64_t rank = r.Rank(x), axis = r.Axis(x, r.Fixed(r.In(2), "input 2 ('axis')").at(0));
  const bool inverse = r.attributes().Int("inverse", 0) != 0, onesided = r.attributes().Int("onesided", 0) != 0;
  ValueId n = r.SizeOf(x, axis);
  if (r.Has(1)) {
    const ValueId size = n;
    n = r.Reshape(r.Cast(r.In(1), DType::kInt64), {1});
    // Zeros at the end, then as many as are wanted.
    const auto have = r.Known(size), want = r.Known(n);
    if (!have || !want || *have != *want) {
      std::vector<ValueId> pads(static_cast<size_t>(2 * rank), r.Ints({0}));
      pads[rank + axis] = n;
      x = r.Cut(r.Op("Pad", {x, r.Concat(pads, 0)}), axis, r.Ints({0}), n);
    }
  }
  std::vector<int64_t> perm;
  for (int64_t i = 0; i < rank; ++i) perm.push_back(i);
  std::swap(perm[axis], perm[rank - 2]);
  const bool moves = axis != rank - 2;
  if (moves) x = r.Transpose(x, perm);
  const ValueId y = Transform(r, x, n, inverse, onesided);
  r.Become({moves ? r.Transpose(y, perm) : y});
}

/// Frames are gathered, weighed with the window and transformed.
void StftByFrames(Rewrite& r) {
  ValueId x = r.In(0);
  const ValueId step = r.Reshape(r.Cast(r.In(1), DType::kInt64), {1});
  if (r.HasRank(x) && r.Rank(x) == 2) x = r.Unsqueeze(x, {2});
  ValueId n;
  if (r.Has(3))
    n = r.Reshape(r.Cast(r.In(3), DType::kInt64), {1});
  else
    n = r.Has(2) ? r.SizeOf(r.In(2), 0) : r.SizeOf(x, 1);
  const ValueId frames = r.Add(r.Div(r.Sub(r.SizeOf(x, 1), n), step), r.Ints({1}));
  const ValueId starts = r.Unsqueeze(r.Mul(r.Count(frames), step), {1});
  const ValueId places = r.Add(starts, r.Unsqueeze(r.Count(n), {0}));
  ValueId cut = r.Op("Gather", {x, places}, {{"axis", int64_t{1}}});  // [batch, frames, n, 1 or 2]
  if (r.Has(2)) cut = r.Mul(cut, r.Unsqueeze(r.In(2), {1}));
  r.Become({Transform(r, cut, n, false, r.attributes().Int("onesided", 1) != 0)});
}

}  // namespace slipway::onnx
