#include "tools/bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <numeric>
#include <optional>
#include <utility>

#include "passes/pipeline.h"
#include "thread/pool.h"
#include "tools/flops.h"
#include "tools/planned.h"

namespace slipway {
namespace {

using Clock = std::chrono::steady_clock;
using Dims = std::map<std::string, int64_t>;
constexpr int kWarmUpRuns = 2;
constexpr int kMinRuns = 5;

double Milliseconds(Clock::time_point since) {
  return std::chrono::duration<double, std::milli>(Clock::now() - since).count();
}

/// Lets the kernel count the largest resident size from now on; where it cannot, the count is from the process's start.
void ResetPeak() { std::ofstream("/proc/self/clear_refs") << "5"; }

int64_t PeakBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    int64_t kilobytes = 0;
    if (word == "VmHWM:" && status >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

std::vector<Dims> Combinations(const std::map<std::string, std::vector<int64_t>>& lists) {
  std::vector<Dims> all = {{}};
  for (const auto& [symbol, sizes] : lists) {
    std::vector<Dims> longer;
    for (const Dims& dims : all) {
      for (const int64_t size : sizes) {
        longer.push_back(dims);
        longer.back()[symbol] = size;
      }
    }
    all = std::move(longer);
  }
  return all;
}

/// Runs until both the time and the count are reached; gives each run's milliseconds.
std::vector<double> RunFor(const Session& session, const Inputs& inputs, double seconds, int at_least,
                           const RunOptions& how, const std::function<void(double)>& progress) {
  std::vector<double> times;
  const auto start = Clock::now();
  for (double spent = 0; spent < seconds * 1000 || static_cast<int>(times.size()) < at_least;
       spent = Milliseconds(start)) {
    const auto begin = Clock::now();
    session.Run(inputs, {}, how);
    times.push_back(Milliseconds(begin));
    progress(std::min(1.0, std::min(spent / (seconds * 1000), static_cast<double>(times.size()) / at_least)));
  }
  return times;
}

int64_t Items(const Session& session, const Inputs& inputs) {
  if (session.inputs().empty()) return 1;
  for (const auto& [name, value] : inputs) {
    if (name == session.inputs()[0].name && value.is_tensor() && !value.tensor().shape().empty())
      return value.tensor().shape()[0];
  }
  return 1;
}

/// What the session's nodes do for these inputs: the same passes and the same plan as the session's.
NodeWork WorkOf(const std::string& path, const SessionOptions& options, const Inputs& inputs, const Threads& threads) {
  std::optional<Compiled> compiled;
  const Model model = ReadNamed(path, &compiled);
  Graph& graph = *model.graph;
  InferTypes(graph);
  if (!compiled) {
    Optimize(graph, {.level = options.optimization_level, .disabled = options.disabled_passes}, threads);
  }
  std::map<std::string, Shape> shapes;
  for (const auto& [name, value] : inputs) {
    if (value.is_tensor()) shapes[name] = value.tensor().shape();
  }
  const Planned planned = PlanFor(graph, shapes, threads);
  NodeWork work;
  for (const Step& step : planned.plan->steps) {
    const Node& node = graph.node(step.node);
    Work& of = work[{node.name, node.op_type}];
    of.flops += Flops(graph, *planned.plan, step);
    of.bytes += Bytes(graph, *planned.plan, step);
  }
  return work;
}

BenchResult Measure(const Session& session, const Inputs& inputs, const BenchOptions& options, const std::string& path,
                    const Threads& threads, const std::function<void(double)>& progress) {
  BenchResult result;
  const auto begin = Clock::now();
  session.Run(inputs);
  result.first_ms = Milliseconds(begin);
  RunFor(session, inputs, options.warm_up_seconds, kWarmUpRuns, {}, [](double) {});
  std::vector<double> times = RunFor(session, inputs, options.seconds, kMinRuns, {}, progress);
  std::sort(times.begin(), times.end());
  result.runs = static_cast<int64_t>(times.size());
  result.min_ms = times.front();
  result.mean_ms = std::accumulate(times.begin(), times.end(), 0.0) / static_cast<double>(times.size());
  result.p50_ms = Percentile(times, 0.5);
  result.p90_ms = Percentile(times, 0.9);
  result.p99_ms = Percentile(times, 0.99);
  result.runs_per_second = 1000 / result.mean_ms;
  result.items_per_second = result.runs_per_second * static_cast<double>(Items(session, inputs));
  result.arena_bytes = static_cast<int64_t>(session.ArenaBytes(inputs));
  result.peak_bytes = PeakBytes();
  if (options.profile) {
    // Timing each node costs time itself, so that these runs are not the ones that count.
    std::vector<NodeTime> nodes;
    const auto runs = RunFor(session, inputs, options.seconds / 4, kMinRuns, {.profile = &nodes}, [](double) {}).size();
    result.profile = Summarize(nodes, static_cast<int64_t>(runs), WorkOf(path, options.session, inputs, threads));
    result.peaks = kernels::MeasurePeaks(threads);
  }
  return result;
}

}  // namespace

double Percentile(const std::vector<double>& sorted, double p) {
  const auto rank = static_cast<size_t>(std::ceil(p * static_cast<double>(sorted.size())));
  return sorted[std::clamp<size_t>(rank, 1, sorted.size()) - 1];
}

Profile Summarize(const std::vector<NodeTime>& times, int64_t runs, const NodeWork& work) {
  std::map<std::pair<std::string, std::string>, ProfileEntry> nodes, operators;
  double total = 0;
  for (const NodeTime& t : times) {
    const double ms = static_cast<double>(t.nanoseconds) * 1e-6 / static_cast<double>(runs);
    total += ms;
    auto add = [&](ProfileEntry& e, const std::string& name) {
      e.name = name;
      e.op_type = t.op_type;
      ++e.calls;
      e.milliseconds += ms;
    };
    add(nodes[{t.name, t.op_type}], t.name);
    add(operators[{"", t.op_type}], "");
  }
  for (auto& [key, node] : nodes) {
    const auto found = work.find(key);
    if (found == work.end()) continue;
    for (ProfileEntry* e : {&node, &operators[{"", node.op_type}]}) {
      e->flops += found->second.flops;
      e->bytes += found->second.bytes;
    }
  }
  auto sorted = [&](auto& entries) {
    std::vector<ProfileEntry> out;
    for (auto& [key, e] : entries) {
      e.calls = (e.calls + runs - 1) / runs;
      e.share = total > 0 ? e.milliseconds / total : 0;
      out.push_back(std::move(e));
    }
    std::stable_sort(out.begin(), out.end(),
                     [](const auto& a, const auto& b) { return a.milliseconds > b.milliseconds; });
    return out;
  };
  return {.nodes = sorted(nodes), .operators = sorted(operators)};
}

std::vector<BenchResult> Bench(const std::string& path, const BenchOptions& options) {
  std::vector<BenchResult> results;
  const std::vector<Dims> combinations = Combinations(options.dims);
  const double all = static_cast<double>(combinations.size() * options.threads.size());
  for (const int threads : options.threads) {
    ResetPeak();
    SessionOptions how = options.session;
    how.intra_op_threads = threads;
    const auto begin = Clock::now();
    const Session session(path, how);
    const double load_ms = Milliseconds(begin);
    for (const Dims& dims : combinations) {
      InputSizes sizes = options.sizes;
      for (const auto& [symbol, size] : dims) sizes.dims[symbol] = size;
      const Inputs inputs = FillInputs(session.inputs(), sizes, options.random, options.inputs);
      const double done = static_cast<double>(results.size());
      results.push_back(Measure(session, inputs, options, path, Threads(threads), [&](double part) {
        if (options.progress) options.progress((done + part) / all);
      }));
      results.back().dims = dims;
      results.back().threads = Threads(threads).count();
      results.back().load_ms = load_ms;
      ResetPeak();
    }
  }
  return results;
}

}  // namespace slipway
