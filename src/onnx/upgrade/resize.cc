#include "onnx/upgrade/rules.h"

namespace slipway::onnx {

void ScalesToThird(Graph& g, NodeId id) {
  Node& node = g.node(id);
  node.op_type = "Resize";
  if (node.attributes.String("mode", "nearest") == "bilinear") node.attributes.Set("mode", std::string("linear"));
  node.attributes.Set("coordinate_transformation_mode", std::string("asymmetric"));
  node.attributes.Set("nearest_mode", std::string("floor"));
  const ValueId scales = Required(node, 1);
  g.SetInput(id, 1, kNone);
  g.SetInput(id, 2, scales);
}

void HeightAndWidth(Graph& g, NodeId id) {
  Attributes& a = g.node(id).attributes;
  if (a.Has("scales")) return;
  if (!a.Has("height_scale") || !a.Has("width_scale")) FailUpgrade(Code::kBadGraph, "attribute 'scales' is missing.");
  a.Set("scales", std::vector<float>{1, 1, a.Float("height_scale", 1), a.Float("width_scale", 1)});
  a.Remove("height_scale");
  a.Remove("width_scale");
}

void DropEmptyInputs(Graph& g, NodeId id) {
  for (size_t i = 1; i < g.node(id).inputs.size(); ++i) {
    const Tensor* value = g.Constant(g.node(id).inputs[i]);
    if (value && value->size() == 0) g.SetInput(id, i, kNone);
  }
}

}  // namespace slipway::onnx
