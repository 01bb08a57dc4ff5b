#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>
#include <numeric>

#include "onnx/downgrade/rules.h"

namespace slipway::onnx {
namespace {

std::vector<int64_t> Others(int64_t rank, int64_t axis) {
  std::vector<int64_t> axes;
  for (int64_t i = 0; i < rank; ++i) {
    if (i != axis) axes.push_back(i);
  }
  return axes;
}

/// What joins updates that meet: how they are summed up, and what changes nothing.
struct Joining {
  std::string_view reduce, op;
  double nothing;
};

Joining JoiningOf(Rewrite& r, DType type) {
  const std::string how = r.attributes().String("reduction", "none");
  if (how == "add") return {"ReduceSum", "Add", 0};
  if (how == "mul") return {"ReduceProd", "Mul", 1};
  double most = IsFloat(type) ? std::numeric_limits<double>::infinity() : 0;
  double least = -most;
  if (!IsFloat(type)) {
    const int bits = static_cast<int>(SizeOf(type)) * 8;
    most = IsSigned(type) ? std::ldexp(1.0, bits - 1) - 1 : std::ldexp(1.0, bits) - 1;
    least = IsSigned(type) ? -std::ldexp(1.0, bits - 1) : 0;
    if (bits == 64) r.Fail("greatest and least of 64-bit integers came with opset 18.");
  }
  if (how == "max") return {"ReduceMax", "Max", least};
  return {"ReduceMin", "Min", most};
}

/// True where the opset has the reduction.
bool HasReduction(Rewrite& r) {
  const std::string how = r.attributes().String("reduction", "none");
  return how == "none" || (r.target >= 16 && (how == "add" || how == "mul")) || r.target >= 18;
}

/// Rows of `data` [P, S] joined with the rows of `updates` [M, S] whose index [M] names them. What each place gets is
/// found by comparing all places with all indices: [P, M, S].
ValueId JoinRows(Rewrite& r, ValueId data, ValueId index, ValueId updates, const Joining& j) {
  const ValueId places = r.Unsqueeze(r.Count(r.SizeOf(data, 0)), {1, 2});
  const ValueId hits = r.Op("Equal", {places, r.Unsqueeze(index, {0, 2})});
  const ValueId shown = r.Select(hits, r.Unsqueeze(updates, {0}), r.Num(j.nothing, r.Elem(data)));
  return r.Op(j.op, {data, r.Reduce(j.reduce, shown, {1}, false)});
}

ValueId NonNegative(Rewrite& r, ValueId index, ValueId size) {
  return r.Select(r.Op("Less", {index, r.Int(0)}), r.Add(index, size), index);
}

}  // namespace

/// Indices that name batches too.
void GatherNdBatches(Rewrite& r) {
  const int64_t batches = r.attributes().Int("batch_dims", 0);
  if (batches == 0) return r.attributes().Remove("batch_dims");
  const ValueId x = r.In(0), index = r.In(1);
  const int64_t rank = r.Rank(index);
  const ValueId shape = r.Concat({r.Slice(r.ShapeOf(index), 0, 0, rank - 1), r.Ints({1})}, 0);
  std::vector<ValueId> parts;
  for (int64_t b = 0; b < batches; ++b) {
    parts.push_back(r.Op("Expand", {r.Unsqueeze(r.Count(r.SizeOf(x, b)), Others(rank, b)), shape}));
  }
  parts.push_back(index);
  r.Become("GatherND", {x, r.Concat(parts, rank - 1)});
}

void ScatterElementsReduce(Rewrite& r) {
  if (HasReduction(r)) {
    if (r.target < 16) r.attributes().Remove("reduction");
    return;
  }
  const ValueId x = r.In(0), index = r.In(1), updates = r.In(2);
  const int64_t rank = r.Rank(x), axis = r.Axis(x, r.attributes().Int("axis", 0));
  const DType type = r.Elem(x);
  const Joining j = JoiningOf(r, type);
  // Updates over all of x's axes but one: [other axes..., updates]; those past the updates' end change nothing.
  const ValueId size = r.SizeOf(x, axis);
  const ValueId places = r.Unsqueeze(r.Unsqueeze(r.Count(size), Others(rank, axis)), {axis + 1});
  const ValueId wanted = r.Unsqueeze(NonNegative(r, r.Cast(index, DType::kInt64), size), {axis});
  const ValueId hits = r.Op("Equal", {places, wanted});
  const ValueId shown = r.Select(hits, r.Unsqueeze(updates, {axis}), r.Num(j.nothing, type));
  ValueId joined = r.Reduce(j.reduce, shown, {axis + 1}, false);
  const SymbolicShape &xs = r.g.value(x).type.shape, &us = r.g.value(updates).type.shape;
  bool fits = us.has_rank();
  for (int64_t i = 0; i < rank && fits; ++i) fits = i == axis || xs[static_cast<int>(i)] == us[static_cast<int>(i)];
  if (!fits) {
    const ValueId missing = r.Sub(r.ShapeOf(x), r.ShapeOf(joined));
    const ValueId begin = r.Ints(std::vector<int64_t>(static_cast<size_t>(rank), 0));
    joined = r.Op("Pad", {joined, r.Concat({begin, missing}, 0), r.Num(j.nothing, type)});
  }
  r.Become({r.Op(j.op, {x, joined})});
}

void ScatterNdReduce(Rewrite& r) {
  if (HasReduction(r)) {
    if (r.target < 16) r.attributes().Remove("reduction");
    return;
  }
  const ValueId x = r.In(0), index = r.In(1);
  const int64_t rank = r.Rank(x);
  const auto depth = r.Size(index, -1);
  if (!depth) r.Fail("the last size of its indices must be known.");
  const DType type = r.Elem(x);
  // Indices as one number over the axes that they name.
  const ValueId sizes = r.ShapeOf(x);
  ValueId flat = kNone;
  const int64_t last = r.Rank(index) - 1;
  for (int64_t i = 0; i < *depth; ++i) {
    const ValueId size = r.Slice(sizes, 0, i, i + 1);
    const ValueId at = NonNegative(r, r.Slice(index, last, i, i + 1), size);
    flat = flat == kNone ? at : r.Add(r.Mul(flat, size), at);
  }
  flat = r.Reshape(flat, {-1});
  // [P, S]: S, the size of what one index names, is taken from the sizes, lest two be left open.
  const ValueId ones = r.Ints({1});
  ValueId row = ones;
  for (int64_t i = *depth; i < rank; ++i) row = r.Mul(row, r.Slice(sizes, 0, i, i + 1));
  const ValueId two_axes = r.Concat({r.Ints({-1}), row}, 0);
  const ValueId joined =
      JoinRows(r, r.ReshapeBy(x, two_axes), flat, r.ReshapeBy(r.In(2), two_axes), JoiningOf(r, type));
  r.Become({r.ReshapeBy(joined, sizes)});
}

/// A product of tensors whose axes have letters.
void EinsumByProducts(Rewrite& r) {
  std::string equation = r.attributes().RequiredString("equation");
  equation.erase(std::remove(equation.begin(), equation.end(), ' '), equation.end());
  const size_t arrow = equation.find("->");
  std::vector<std::string> terms;
  std::string left = equation.substr(0, arrow);
  for (size_t at = 0; at <= left.size();) {
    const size_t end = std::min(left.find(',', at), left.size());
    terms.push_back(left.substr(at, end - at));
    at = end + 1;
  }
  if (terms.size() != r.node().inputs.size()) r.Fail("its equation does not fit its inputs.");
  // Axes behind "..." get the letters '0', '1', ... counted from the last.
  std::string open;
  for (size_t i = 0; i < terms.size(); ++i) {
    const size_t dots = terms[i].find("...");
    if (dots == std::string::npos) continue;
    const int64_t hidden = r.Rank(r.In(i)) - static_cast<int64_t>(terms[i].size() - 3);
    std::string letters;
    for (int64_t k = hidden; k-- > 0;) letters += static_cast<char>('0' + k);
    if (letters.size() > open.size()) open = letters;
    terms[i].replace(dots, 3, letters);
  }
  std::string result;
  if (arrow != std::string::npos) {
    result = equation.substr(arrow + 2);
    if (const size_t dots = result.find("..."); dots != std::string::npos) result.replace(dots, 3, open);
  } else {
    std::string all;
    for (const std::string& term : terms) all += term;
    result = open;
    std::string letters = all;
    std::sort(letters.begin(), letters.end());
    for (char c : letters) {
      if (!std::isdigit(static_cast<unsigned char>(c)) && std::count(all.begin(), all.end(), c) == 1) result += c;
    }
  }
  const auto reorder = [&](ValueId v, const std::string& from, const std::string& to) {
    std::vector<int64_t> perm;
    for (char c : to) perm.push_back(static_cast<int64_t>(from.find(c)));
    return std::is_sorted(perm.begin(), perm.end()) ? v : r.Transpose(v, perm);
  };
  // Sums over letters that nothing later wants; a letter that stands twice is a diagonal.
  const auto reduce = [&](ValueId v, std::string& term, const std::string& wanted) {
    for (size_t i = 0; i < term.size(); ++i) {
      for (size_t k = i + 1; k < term.size(); ++k) {
        if (term[i] != term[k]) continue;
        const ValueId n = r.SizeOf(v, static_cast<int64_t>(i));
        const ValueId count = r.Count(n);
        const auto rank = static_cast<int64_t>(term.size());
        const ValueId on = r.Op("Equal", {r.Unsqueeze(count, Others(rank, static_cast<int64_t>(i))),
                                          r.Unsqueeze(count, Others(rank, static_cast<int64_t>(k)))});
        v = r.Reduce("ReduceSum", r.Select(on, v, r.Like(0, v)), {static_cast<int64_t>(k)}, false);
        term.erase(k--, 1);
      }
    }
    std::vector<int64_t> axes;
    std::string kept;
    for (size_t i = 0; i < term.size(); ++i) {
      if (wanted.find(term[i]) == std::string::npos)
        axes.push_back(static_cast<int64_t>(i));
      else
        kept += term[i];
    }
    term = kept;
    return axes.empty() ? v : r.Reduce("ReduceSum", v, axes, false);
  };
  ValueId sum = r.In(0);
  std::string have = terms[0];
  for (size_t i = 0; i < terms.size(); ++i) {
    std::string later = result;
    for (size_t k = i + 1; k < terms.size(); ++k) later += terms[k];
    if (i == 0) {
      sum = reduce(sum, have, later);
      continue;
    }
    ValueId other = r.In(i);
    std::string term = terms[i];
    other = reduce(other, term, later + have);
    // One letter of each kind makes a MatMul: [shared..., rows, summed] times [shared..., summed, columns].
    std::string shared, rows, summed, columns;
    for (char c : have) {
      const bool both = term.find(c) != std::string::npos, on = later.find(c) != std::string::npos;
      (both ? (on ? shared : summed) : rows) += c;
    }
    for (char c : term) {
      if (have.find(c) == std::string::npos) columns += c;
    }
    const bool open_axes =
        std::any_of(shared.begin(), shared.end(), [](char c) { return std::isdigit(static_cast<unsigned char>(c)); });
    if (summed.size() == 1 && rows.size() <= 1 && columns.size() <= 1 && !open_axes) {
      ValueId a = reorder(sum, have, shared + rows + summed), b = reorder(other, term, shared + summed + columns);
      const auto at = static_cast<int64_t>(shared.size());
      if (rows.empty()) a = r.Unsqueeze(a, {at});
      if (columns.empty()) b = r.Unsqueeze(b, {at + 1});
      sum = r.Op("MatMul", {a, b});
      std::vector<int64_t> gone;
      if (rows.empty()) gone.push_back(at);
      if (columns.empty()) gone.push_back(at + 1);
      if (!gone.empty()) sum = r.Squeeze(sum, gone);
      have = shared + rows + columns;
      continue;
    }
    // All letters side by side, multiplied and summed.
    const std::string all = shared + rows + columns + summed;
    const auto align = [&](ValueId v, const std::string& from) {
      std::string order;
      std::vector<int64_t> missing;
      for (size_t k = 0; k < all.size(); ++k) {
        if (from.find(all[k]) != std::string::npos)
          order += all[k];
        else
          missing.push_back(static_cast<int64_t>(k));
      }
      const ValueId moved = reorder(v, from, order);
      return missing.empty() ? moved : r.Unsqueeze(moved, missing);
    };
    sum = r.Mul(align(sum, have), align(other, term));
    have = all;
    sum = reduce(sum, have, later);
  }
  // Axes behind "..." that only some inputs have.
  r.Become({reorder(sum, have, result)});
}

namespace {

/// -weight[target] * scores of the target, [N, d...], and the weights.
struct Losses {
  ValueId loss, weights;
};

Losses LossesOf(Rewrite& r, ValueId scores, ValueId target, ValueId weight) {
  const Attributes& a = r.attributes();
  const DType type = r.Elem(scores);
  ValueId index = r.Cast(target, DType::kInt64), kept = kNone;
  if (a.Has("ignore_index")) {
    kept = r.Not(r.Op("Equal", {index, r.Int(a.Int("ignore_index", 0))}));
    index = r.Select(kept, index, r.Int(0));
  }
  const ValueId picked = r.Op("GatherElements", {scores, r.Unsqueeze(index, {1})}, {{"axis", int64_t{1}}});
  ValueId loss = r.Op("Neg", {r.Squeeze(picked, {1})}), weights = kNone;
  if (weight != kNone) weights = r.Op("Gather", {weight, index}, {{"axis", int64_t{0}}});
  if (kept != kNone) {
    weights = weights == kNone ? r.Cast(kept, type) : r.Select(kept, weights, r.Num(0, type));
    loss = r.Select(kept, loss, r.Num(0, type));
  }
  if (weights != kNone) loss = r.Mul(loss, weights);
  return {loss, weights};
}

ValueId Reduced(Rewrite& r, const Losses& l) {
  const std::string how = r.attributes().String("reduction", "mean");
  if (how == "none") return l.loss;
  const auto all = [&](std::string_view op, ValueId v) { return r.Op(op, {v}, {{"keepdims", int64_t{0}}}); };
  if (how == "sum") return all("ReduceSum", l.loss);
  if (l.weights == kNone) return all("ReduceMean", l.loss);
  return r.Div(all("ReduceSum", l.loss), all("ReduceSum", l.weights));
}

}  // namespace

void LikelihoodLoss(Rewrite& r) { r.Become({Reduced(r, LossesOf(r, r.In(0), r.In(1), r.Has(2) ? r.In(2) : kNone))}); }

void CrossEntropyLoss(Rewrite& r) {
  const ValueId scores = r.Op("LogSoftmax", {r.In(0)}, {{"axis", int64_t{1}}});
  const ValueId loss = Reduced(r, LossesOf(r, scores, r.In(1), r.Has(2) ? r.In(2) : kNone));
  r.Become({loss, r.node().output(1) == kNone ? kNone : scores});
}

}  // namespace slipway::onnx
