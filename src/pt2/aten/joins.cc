#include <algorithm>

#include "pt2/aten/shared.h"

namespace slipway::pt2 {
namespace {

void Cat(Call& c) {
  std::vector<ValueId> parts;
  int rank = 0;
  const std::vector<TensorRef> tensors = c.Tensors("tensors");
  for (const TensorRef& t : tensors) rank = std::max(rank, t.rank());
  for (const TensorRef& t : tensors) {
    // torch passes over empty tensors of one axis.
    if (t.rank() == 1 && rank > 1 && t.shape[0] == Expr(0)) continue;
    const bool empty = std::any_of(t.shape.begin(), t.shape.end(), [](const Expr& e) { return e == Expr(0); });
    if (empty && tensors.size() > 1 && t.shape.size() == 1) continue;
    parts.push_back(c.Cast(t.id, c.OutDtype()));
  }
  if (parts.empty()) parts.push_back(c.Cast(tensors.at(0).id, c.OutDtype()));
  const int64_t dim = c.Int("dim", 0);
  c.Out(c.Concat(parts, static_cast<int>(dim < 0 ? dim + rank : dim)));
}
void Stack(Call& c) {
  std::vector<ValueId> parts;
  int64_t dim = c.Int("dim", 0);
  for (const TensorRef& t : c.Tensors("tensors")) {
    if (dim < 0) dim += t.rank() + 1;
    parts.push_back(c.Unsqueeze(c.Cast(t.id, c.OutDtype()), {dim}));
  }
  c.Out(c.Concat(parts, static_cast<int>(dim)));
}
/// hstack and its kin: joined along an axis, after each has at least so many.
void StackAlong(Call& c) {
  std::vector<ValueId> parts;
  int axis = 0;
  for (const TensorRef& t : c.Tensors("tensors")) {
    Exprs shape = t.shape;
    if (c.detail() == "h") {
      if (shape.empty()) shape = {Expr(1)};
      axis = shape.size() == 1 ? 0 : 1;
    } else if (c.detail() == "v") {
      while (shape.size() < 2) shape.insert(shape.begin(), Expr(1));
      axis = 0;
    } else if (c.detail() == "d") {
      if (shape.empty()) shape = {Expr(1)};
      if (shape.size() == 1) shape.insert(shape.begin(), Expr(1));
      if (shape.size() == 2) shape.emplace_back(1);
      axis = 2;
    } else {
      if (shape.size() < 2) shape = {shape.empty() ? Expr(1) : shape[0], Expr(1)};
      axis = 1;
    }
    parts.push_back(c.Reshape(c.Cast(t.id, c.OutDtype()), t.shape, shape));
  }
  c.Out(c.Concat(parts, axis));
}

void MeshGrid(Call& c) {
  const std::vector<TensorRef> tensors = c.Tensors("tensors");
  const bool xy = c.String("indexing", "ij") == "xy" && tensors.size() >= 2;
  for (int i = 0; i < static_cast<int>(tensors.size()); ++i) {
    const int axis = xy && i < 2 ? 1 - i : i;
    Exprs shape(tensors.size(), Expr(1));
    shape[axis] = tensors[i].rank() == 0 ? Expr(1) : tensors[i].shape[0];
    const ValueId v = c.Reshape(tensors[i].id, tensors[i].shape, shape);
    c.Out(i, c.Expand(v, shape, c.OutShape(i)));
  }
}

void BroadcastTensors(Call& c) {
  const std::vector<TensorRef> tensors = c.Tensors("tensors");
  for (int i = 0; i < static_cast<int>(tensors.size()); ++i) {
    c.Out(i, c.Expand(tensors[i].id, tensors[i].shape, c.OutShape(i)));
  }
}

void BlockDiag(Call& c) {
  const std::vector<TensorRef> tensors = c.Tensors("tensors");
  std::vector<ValueId> rows;
  Expr columns = c.OutShape().at(1), before = 0;
  for (const TensorRef& t : tensors) {
    Exprs shape = t.shape;
    while (shape.size() < 2) shape.insert(shape.begin(), Expr(1));
    const ValueId block = c.Reshape(c.Cast(t.id, c.OutDtype()), t.shape, shape);
    const Expr after = columns - before - shape[1];
    rows.push_back(c.Add("Pad", {block, c.SizeVector({0, before, 0, after})}));
    before = before + shape[1];
  }
  c.Out(c.Concat(rows, 0));
}

constexpr Conversion kConversions[] = {
    {"aten.block_diag", BlockDiag},
    {"aten.broadcast_tensors", BroadcastTensors},
    {"aten.cat", Cat},
    {"aten.column_stack", StackAlong, "c"},
    {"aten.concat", Cat},
    {"aten.concatenate", Cat},
    {"aten.dstack", StackAlong, "d"},
    {"aten.hstack", StackAlong, "h"},
    {"aten.meshgrid", MeshGrid},
    {"aten.row_stack", StackAlong, "v"},
    {"aten.stack", Stack},
    {"aten.vstack", StackAlong, "v"},
};

}  // namespace

const ConversionTable kJoinsTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
