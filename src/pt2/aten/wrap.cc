#include "pt2/converter.h"

namespace slipway::pt2 {
namespace {

/// A graph that only sets a mode of torch's (no_grad, autocast, a checkpoint): its nodes run in place.
void RunInPlace(Call& c) {
  std::shared_ptr<const TorchGraph> graph;
  std::vector<Argument> arguments;
  for (const auto& [name, argument] : c.node().inputs) {
    if (graph) {
      arguments.push_back(argument);
    } else if (argument.is(Argument::Kind::kGraph)) {
      graph = argument.graph;
    }
  }
  if (!graph) c.Fail("it has no graph.");
  arguments.resize(std::min(arguments.size(), graph->inputs.size()));
  const std::vector<TensorRef> results = c.converter().Inline(*graph, arguments);
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i].defined()) c.Out(static_cast<int>(i), results[i].id);
  }
}

constexpr Conversion kConversions[] = {
    {"higher_order.tag_activation_checkpoint", RunInPlace},
    {"higher_order.wrap", RunInPlace},
    {"higher_order.wrap_with_autocast", RunInPlace},
    {"higher_order.wrap_with_set_grad_enabled", RunInPlace},
};

}  // namespace

const ConversionTable kWrapTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
