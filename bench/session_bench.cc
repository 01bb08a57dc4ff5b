// What a run costs beside its computation: models of one node and of a chain of small ones.

#include <benchmark/benchmark.h>

#include "graph/graph_builder.h"
#include "onnx/writer.h"
#include "slipway/session.h"

namespace slipway {
namespace {

/// A chain of `nodes` nodes on four floats.
Session Chain(int nodes) {
  GraphBuilder b;
  ValueId x = b.Input("x", {Dim::Symbol("n"), 4});
  for (int i = 0; i < nodes; ++i) x = b.Add(i % 2 ? "Abs" : "Neg", {x});
  b.Output(x, "y");
  b.graph.name = "chain";
  const Model model{.graph = std::make_unique<Graph>(std::move(b.graph))};
  return Session::FromBytes(WriteModel(model));
}

void Run(benchmark::State& state) {
  const Session session = Chain(static_cast<int>(state.range(0)));
  const Inputs inputs = {{"x", Tensor::From<float>({1, 4}, {1, -2, 3, -4})}};
  for (auto _ : state) benchmark::DoNotOptimize(session.Run(inputs));
}
BENCHMARK(Run)->ArgName("nodes")->Arg(1)->Arg(16);

/// Two shapes by turns: a plan is looked up.
void RunTwoShapes(benchmark::State& state) {
  const Session session = Chain(1);
  const Inputs inputs[] = {{{"x", Tensor::From<float>({1, 4}, {1, -2, 3, -4})}},
                           {{"x", Tensor::From<float>({2, 4}, {1, -2, 3, -4, 5, -6, 7, -8})}}};
  size_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(session.Run(inputs[++i % 2]));
}
BENCHMARK(RunTwoShapes);

/// Making the session.
void Load(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(Chain(static_cast<int>(state.range(0))));
}
BENCHMARK(Load)->ArgName("nodes")->Arg(1)->Arg(16);

}  // namespace
}  // namespace slipway

BENCHMARK_MAIN();
