#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

#include "ops/op.h"
#include "ops/shape_math.h"

namespace slipway {

/// A type that values of either fit: sizes in which they differ are not known.
inline Type Either(const InferContext& c, const Type& a, const Type& b) {
  if (!a.known() || !b.known()) return a.known() ? a : b;
  if (a.kind != b.kind) {
    // An optional may be given by what it would hold.
    if (a.kind == Type::Kind::kOptional) return a;
    if (b.kind == Type::Kind::kOptional) return b;
    c.Fail("one way gives {}, another {}.", a.ToString(), b.ToString());
  }
  if (a.kind != Type::Kind::kTensor) return a;
  if (a.elem != b.elem) c.Fail("one way gives {}, another {}.", a.ToString(), b.ToString());
  if (!a.shape.has_rank() || !b.shape.has_rank() || a.shape.rank() != b.shape.rank()) return Type::TensorOf(a.elem);
  SymbolicShape shape = a.shape;
  for (int i = 0; i < shape.rank(); ++i) {
    if (!(shape[i] == b.shape[i])) shape[i] = Dim::Unknown();
  }
  return Type::TensorOf(a.elem, std::move(shape));
}

/// Runs a subgraph. What it gives back as it came, a value of the outer graph, is copied: the outer graph reuses that
/// memory.
inline std::vector<Value> RunBody(RunContext& c, std::string_view attribute, const Graph& body,
                                  std::vector<Value> inputs) {
  std::vector<Value> out = c.run_subgraph(attribute, std::move(inputs));
  for (size_t i = 0; i < out.size(); ++i) {
    if (out[i].is_tensor() && !body.Producer(body.outputs[i])) out[i] = out[i].tensor().Clone();
  }
  return out;
}

/// The one element of a boolean condition.
inline bool ConditionOf(const RunContext& c, const Value& value) {
  const Tensor& t = value.tensor();
  if (t.dtype() != DType::kBool || t.size() != 1)
    c.Fail("a condition must be one bool, but is {} {}.", Name(t.dtype()), t.shape().ToString());
  return *t.data<bool>();
}

}  // namespace slipway
