#pragma once

#include <string>
#include <vector>

#include "graph/graph.h"
#include "slipway/session.h"

namespace slipway {

/// onnxruntime's spelling of a type: "tensor(float)", "seq(map(int64,tensor(float)))".
std::string TypeName(const Type& type);
/// A graph value as a session shows it.
ValueInfo ToValueInfo(const std::string& name, const Type& type);
/// What a model's file says about itself.
ModelInfo InfoOf(const Model& model);
/// What an input wants, for messages: "int64 [batch, seq]".
std::string DescribeValue(const ValueInfo& info);
/// "'input_ids' and 'attention_mask'"
std::string ListNames(const std::vector<ValueInfo>& infos);
/// One line a node: operator, name, what it reads and gives with types.
std::string DescribeGraph(const Graph& graph);

}  // namespace slipway
