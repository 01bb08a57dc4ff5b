// Where a session's creation and first run go: load_bench MODEL.onnx [--dim NAME=SIZE]... [--rounds N] [--threads N]
// [--runs N]. Milliseconds of each step, the medians over rounds in one process, so that the file is in the page cache.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <string>
#include <vector>

#include "core/mapped_file.h"
#include "core/memory.h"
#include "onnx/reader.h"
#include "passes/pipeline.h"
#include "plan/program.h"
#include "session/describe.h"
#include "tools/random_inputs.h"

namespace slipway {
namespace {

using Clock = std::chrono::steady_clock;

/// The steps' times, in the order in which they were first taken.
class Steps {
 public:
  template <class F>
  auto Time(const std::string& name, F&& f) {
    struct Stop {
      Steps& steps;
      const std::string& name;
      Clock::time_point start = Clock::now();
      ~Stop() { steps.Add(name, std::chrono::duration<double, std::milli>(Clock::now() - start).count()); }
    } stop{*this, name};
    return f();
  }
  void Print() const {
    double total = 0;
    for (const std::string& name : order_) {
      std::vector<double> sorted = times_.at(name);
      std::nth_element(sorted.begin(), sorted.begin() + sorted.size() / 2, sorted.end());
      const double median = sorted[sorted.size() / 2];
      if (name != "second run" && name != "warm run") total += median;
      std::printf("%-12s %9.2f\n", name.c_str(), median);
    }
    std::printf("%-12s %9.2f\n", "in all", total);
  }

 private:
  void Add(const std::string& name, double ms) {
    if (!times_.contains(name)) order_.push_back(name);
    times_[name].push_back(ms);
  }
  std::vector<std::string> order_;
  std::map<std::string, std::vector<double>> times_;
};

void Round(const std::string& path, const InputSizes& sizes, int thread_count, int runs, Steps& steps) {
  const Threads threads(thread_count);
  Model model = steps.Time("read", [&] { return ReadModel(path); });
  Graph& graph = *model.graph;
  steps.Time("verify", [&] { Verify(graph); });
  steps.Time("infer", [&] { InferTypes(graph); });
  std::vector<ValueInfo> infos;
  for (const ValueId v : graph.inputs) infos.push_back(ToValueInfo(graph.value(v).name, graph.value(v).type));
  steps.Time("passes", [&] { Optimize(graph, {}, threads); });
  const auto program = steps.Time("pack", [&] {
    return std::make_unique<Program>(model.graph, threads, 4, std::make_shared<MemoryStore>(),
                                     [](const Tensor& t) { ReleasePages(t); });
  });
  const Inputs inputs = FillInputs(infos, sizes, {}, {});
  const auto values = [&] {
    std::vector<Value> out;
    for (const auto& [name, value] : inputs) out.push_back(value);
    return out;
  };
  steps.Time("plan", [&] { program->PlanFor(values()); });
  for (int i = 0; i < runs; ++i) {
    steps.Time(i == 0 ? "first run" : i == 1 ? "second run" : "warm run", [&] { program->Run(values(), {}); });
  }
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) {
  const auto usage = [](const char* what) {
    std::fprintf(stderr, "load_bench: %s\n", what);
    std::fprintf(stderr, "usage: load_bench MODEL.onnx [--dim NAME=SIZE]... [--rounds N] [--threads N] [--runs N]\n");
    return 2;
  };
  if (argc < 2 || *argv[1] == '-') return usage("the model comes first");
  slipway::InputSizes sizes;
  int rounds = 5, threads = 0, runs = 3;
  for (int i = 2; i < argc; i += 2) {
    const std::string option = argv[i];
    if (i + 1 == argc) return usage((option + " has no value").c_str());
    const std::string value = argv[i + 1];
    const size_t number = option == "--dim" ? value.find('=') + 1 : 0;  // 0 where there is none
    char* end = nullptr;
    const long long count = std::strtoll(value.c_str() + number, &end, 10);
    if (*end != '\0' || end == value.c_str() + number || count < (option == "--threads" ? 0 : 1) || count > 1 << 30) {
      return usage(("'" + value + "' is no value for " + option).c_str());
    }
    if (option == "--rounds") {
      rounds = static_cast<int>(count);
    } else if (option == "--threads") {
      threads = static_cast<int>(count);
    } else if (option == "--runs") {
      runs = static_cast<int>(count);
    } else if (option == "--dim") {
      if (number == 0) return usage(("'" + value + "' is not NAME=SIZE").c_str());
      sizes.dims[value.substr(0, number - 1)] = count;
    } else {
      return usage(("there is no option " + option).c_str());
    }
  }
  slipway::Steps steps;
  try {
    for (int i = 0; i < rounds; ++i) slipway::Round(argv[1], sizes, threads, runs, steps);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "load_bench: %s\n", e.what());
    return 2;
  }
  steps.Print();
  return 0;
}
