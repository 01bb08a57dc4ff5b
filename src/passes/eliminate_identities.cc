#include <algorithm>
#include <numeric>
#include <unordered_map>

#include "passes/passes.h"
#include "passes/queries.h"

namespace slipway {
namespace {

Result ReplaceBy(const Graph& g, const Node& n, ValueId with) {
  if (with == kNone || ElemOf(g, with) != ElemOf(g, n.output(0))) return kNoMatch;
  for (size_t i = 1; i < n.outputs.size(); ++i) {
    if (n.outputs[i] != kNone) return Skip{"a further output is in use"};
  }
  Patch patch(g);
  patch.Replace(n.output(0), with);
  return patch;
}

/// Input 0, where the output has its shape.
Result FirstIfSameShape(const Graph& g, const Node& n) {
  return SameShape(g, n.input(0), n.output(0)) ? ReplaceBy(g, n, n.input(0)) : kNoMatch;
}

Result OnExpand(const Graph& g, const Node& n) {
  // A shape that the caller feeds is checked when it comes.
  const bool fed = !g.Constant(n.input(1)) && !g.Producer(n.input(1));
  return fed ? Result(Skip{"the shape is an input of the model"}) : FirstIfSameShape(g, n);
}

Result OnIdentity(const Graph& g, const Node& n) {
  const ValueId x = n.input(0), y = n.output(0);
  // Between an output of the graph and an input, or between two outputs, something has to stand.
  const bool needed = g.IsOutput(y) && !g.Constant(x) && (!g.Producer(x) || g.IsOutput(x));
  if (needed || g.value(x).type.kind != g.value(y).type.kind) return kNoMatch;
  return ReplaceBy(g, n, x);
}

Result OnDropout(const Graph& g, const Node& n) {
  const ValueId training = n.input(2);
  if (training != kNone && UniformConstant(g, training) != 0.0) return Skip{"it may be training"};
  if (n.output(1) != kNone && (g.IsOutput(n.output(1)) || !g.value(n.output(1)).users.empty()))
    return Skip{"the mask is in use"};
  Patch patch(g);
  patch.Replace(n.output(0), n.input(0));
  return patch;
}

Result OnCast(const Graph& g, const Node& n) {
  return ElemOf(g, n.input(0)) != DType::kUndefined ? ReplaceBy(g, n, n.input(0)) : kNoMatch;
}

std::vector<int64_t> Permutation(const Node& n, int rank) {
  std::vector<int64_t> perm = n.attributes.Ints("perm");
  if (perm.empty()) {
    perm.resize(rank);
    std::iota(perm.rbegin(), perm.rend(), 0);
  }
  return perm;
}

bool IsIota(const std::vector<int64_t>& perm) {
  for (size_t i = 0; i < perm.size(); ++i) {
    if (perm[i] != static_cast<int64_t>(i)) return false;
  }
  return true;
}

Result OnTranspose(const Graph& g, const Node& n) {
  if (!HasRank(g, n.input(0))) return kNoMatch;
  std::vector<int64_t> perm = Permutation(n, Rank(g, n.input(0)));
  if (IsIota(perm)) return ReplaceBy(g, n, n.input(0));
  const Node* before = g.Producer(n.input(0));
  if (!before || !before->Is("Transpose")) return kNoMatch;
  const std::vector<int64_t> first = Permutation(*before, static_cast<int>(perm.size()));
  for (int64_t& axis : perm) axis = first[axis];
  if (IsIota(perm)) return ReplaceBy(g, n, before->input(0));
  Patch patch(g);
  patch.Replace(n.output(0), patch.Add("Transpose", {before->input(0)}, {{"perm", perm}}));
  return patch;
}

bool IsReshape(const Node& n) { return n.Is("Reshape") || n.Is("Flatten") || n.Is("Squeeze") || n.Is("Unsqueeze"); }

/// The shape as a Reshape wants it: at most one axis is not a number, and none is 0.
std::optional<std::vector<int64_t>> AsTarget(const SymbolicShape& shape) {
  std::vector<int64_t> out;
  for (const Dim& d : shape.dims()) {
    if (d == Dim(0)) return std::nullopt;
    out.push_back(d.is_const() ? d.value() : -1);
  }
  if (std::count(out.begin(), out.end(), -1) > 1) return std::nullopt;
  return out;
}

Result OnReshape(const Graph& g, const Node& n) {
  if (SameShape(g, n.input(0), n.output(0))) return ReplaceBy(g, n, n.input(0));
  const Node* before = g.Producer(n.input(0));
  if (!before || !IsReshape(*before)) return kNoMatch;
  if (SameShape(g, before->input(0), n.output(0))) return ReplaceBy(g, n, before->input(0));
  if (!HasRank(g, n.output(0))) return kNoMatch;
  const auto target = AsTarget(ShapeOf(g, n.output(0)));
  if (!target) return Skip{"the two Reshapes' sizes are not known"};
  Patch patch(g);
  const ValueId shape = patch.Constant(Tensor::From<int64_t>({static_cast<int64_t>(target->size())}, *target), "shape");
  patch.Replace(n.output(0), patch.Add("Reshape", {before->input(0), shape}));
  return patch;
}

Result OnSlice(const Graph& g, const Node& n) {
  if (n.input(4) != kNone && UniformConstant(g, n.input(4)) != 1.0) return kNoMatch;
  return FirstIfSameShape(g, n);
}

Result OnPad(const Graph& g, const Node& n) {
  return UniformConstant(g, n.input(1)) == 0.0 ? ReplaceBy(g, n, n.input(0)) : kNoMatch;
}

Result OnConcat(const Graph& g, const Node& n) {
  std::vector<ValueId> kept;
  for (const ValueId v : n.inputs) {
    const bool empty = HasRank(g, v) && std::find(ShapeOf(g, v).dims().begin(), ShapeOf(g, v).dims().end(), Dim(0)) !=
                                            ShapeOf(g, v).dims().end();
    if (!empty) kept.push_back(v);
  }
  if (n.inputs.size() == 1) return ReplaceBy(g, n, n.inputs[0]);
  if (kept.size() == n.inputs.size() || kept.empty()) return kNoMatch;
  if (kept.size() == 1) return SameShape(g, kept[0], n.output(0)) ? ReplaceBy(g, n, kept[0]) : kNoMatch;
  Patch patch(g);
  patch.Replace(n.output(0), patch.Add("Concat", kept, n.attributes));
  return patch;
}

/// x op `neutral`, where op keeps x; `left_too` says that neutral op x does as well.
Result OnNeutral(const Graph& g, const Node& n, double neutral, bool left_too) {
  for (const int side : {1, 0}) {
    if (side == 0 && !left_too) break;
    const ValueId x = n.input(1 - side);
    if (UniformConstant(g, n.input(side)) == neutral && SameShape(g, x, n.output(0))) return ReplaceBy(g, n, x);
  }
  return kNoMatch;
}
Result OnMul(const Graph& g, const Node& n) { return OnNeutral(g, n, 1, true); }
Result OnDivOrPow(const Graph& g, const Node& n) { return OnNeutral(g, n, 1, false); }
Result OnAdd(const Graph& g, const Node& n) { return OnNeutral(g, n, 0, true); }
Result OnSub(const Graph& g, const Node& n) { return OnNeutral(g, n, 0, false); }

/// And with true and Or with false keep the other side; with the opposite the constant wins.
Result OnLogic(const Graph& g, const Node& n) {
  const double neutral = n.op_type == "And" ? 1 : 0;
  for (const int side : {0, 1}) {
    const auto c = UniformConstant(g, n.input(side));
    if (!c) continue;
    const ValueId winner = n.input(*c == neutral ? 1 - side : side);
    if (SameShape(g, winner, n.output(0))) return ReplaceBy(g, n, winner);
  }
  return kNoMatch;
}

Result OnWhere(const Graph& g, const Node& n) {
  if (n.input(1) == n.input(2) && SameShape(g, n.input(1), n.output(0))) return ReplaceBy(g, n, n.input(1));
  const auto condition = UniformConstant(g, n.input(0));
  if (!condition) return kNoMatch;
  const ValueId winner = n.input(*condition != 0 ? 1 : 2);
  return SameShape(g, winner, n.output(0)) ? ReplaceBy(g, n, winner) : Skip{"the side chosen is broadcast"};
}

Result OnSingle(const Graph& g, const Node& n) {
  return n.inputs.size() == 1 ? ReplaceBy(g, n, n.inputs[0]) : kNoMatch;
}

using Handler = Result (*)(const Graph&, const Node&);
const std::unordered_map<std::string_view, Handler>& Handlers() {
  static const std::unordered_map<std::string_view, Handler> handlers = {
      {"Identity", OnIdentity}, {"Dropout", OnDropout},     {"Cast", OnCast},
      {"CastLike", OnCast},     {"Transpose", OnTranspose}, {"Reshape", OnReshape},
      {"Flatten", OnReshape},   {"Squeeze", OnReshape},     {"Unsqueeze", OnReshape},
      {"Expand", OnExpand},     {"Tile", FirstIfSameShape}, {"Slice", OnSlice},
      {"Pad", OnPad},           {"Concat", OnConcat},       {"Mul", OnMul},
      {"Div", OnDivOrPow},      {"Pow", OnDivOrPow},        {"Add", OnAdd},
      {"Sub", OnSub},           {"And", OnLogic},           {"Or", OnLogic},
      {"Where", OnWhere},       {"Sum", OnSingle},          {"Max", OnSingle},
      {"Min", OnSingle},        {"Mean", OnSingle},
  };
  return handlers;
}

}  // namespace

/// Nodes that give what they get: by their kind, their constants, or shapes that are known to be the same; and pairs
/// that do.
Result EliminateIdentities(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (!node.domain.empty() || node.output(0) == kNone) return kNoMatch;
  const auto handler = Handlers().find(node.op_type);
  return handler == Handlers().end() ? kNoMatch : handler->second(graph, node);
}

}  // namespace slipway
