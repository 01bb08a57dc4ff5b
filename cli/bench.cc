#include "tools/bench.h"

#include <fmt/format.h>

#include <memory>

#include "arguments.h"
#include "command.h"
#include "print.h"
#include "progress.h"

namespace slipway::cli {
namespace {

constexpr size_t kShownNodes = 20;

struct Arguments {
  ModelArguments model;
  InputArguments inputs;
  std::string threads = "0";
  double seconds = 2;
  int level = 3;
  bool profile = false;
};

BenchOptions ToOptions(const Arguments& a) {
  BenchOptions options;
  ModelArguments shapes_only = a.model;
  shapes_only.dims.clear();
  options.sizes = shapes_only.Sizes();
  for (const std::string& text : a.model.dims) {
    auto [name, sizes] = ParseDims(text);
    if (!options.dims.emplace(name, std::move(sizes)).second) {
      throw Error(Code::kInvalidArgument,
                  fmt::format("--dim '{}' is given twice; give a list: --dim {}=1,8.", name, name));
    }
  }
  options.threads.clear();
  for (const int64_t n : ParseList("--threads", a.threads, 0)) {
    if (n > 4096) throw Error(Code::kInvalidArgument, fmt::format("--threads {}: at most 4096.", n));
    options.threads.push_back(static_cast<int>(n));
  }
  options.session.optimization_level = a.level;
  options.random = a.inputs.Random();
  options.seconds = a.seconds;
  options.profile = a.profile;
  return options;
}

Json ToJson(const BenchResult& r, bool profile) {
  Json json = {{"dims", r.dims},
               {"threads", r.threads},
               {"runs", r.runs},
               {"load_ms", r.load_ms},
               {"first_ms", r.first_ms},
               {"min_ms", r.min_ms},
               {"mean_ms", r.mean_ms},
               {"p50_ms", r.p50_ms},
               {"p90_ms", r.p90_ms},
               {"p99_ms", r.p99_ms},
               {"runs_per_second", r.runs_per_second},
               {"items_per_second", r.items_per_second},
               {"arena_bytes", r.arena_bytes},
               {"peak_bytes", r.peak_bytes}};
  if (profile) json["profile"] = cli::ToJson(r.profile, r.peaks);
  return json;
}

std::string Sizes(const BenchResult& r) {
  std::string out;
  for (const auto& [symbol, size] : r.dims) out += fmt::format("{}{}={}", out.empty() ? "" : " ", symbol, size);
  return out.empty() ? "-" : out;
}

void Print(const std::vector<BenchResult>& results, bool profile) {
  std::vector<std::vector<std::string>> rows;
  auto ms = [](double value) { return fmt::format("{:.3f}", value); };
  for (const BenchResult& r : results) {
    rows.push_back({Sizes(r), std::to_string(r.threads), std::to_string(r.runs), ms(r.p50_ms), ms(r.p90_ms),
                    ms(r.p99_ms), ms(r.min_ms), fmt::format("{:.1f}", r.items_per_second), ms(r.first_ms),
                    ms(r.load_ms), Bytes(r.peak_bytes)});
  }
  PrintTable(
      {"dims", "threads", "runs", "p50 ms", "p90 ms", "p99 ms", "min ms", "items/s", "first ms", "load ms", "peak"},
      rows);
  for (const BenchResult& r : results) {
    if (!profile) break;
    fmt::print("\ndims {}, threads {}\n", Sizes(r), r.threads);
    PrintProfile(r.profile, kShownNodes, r.peaks);
  }
}

int Bench(const Arguments& a) {
  BenchOptions options = ToOptions(a);
  if (!a.inputs.files.empty())
    options.inputs = a.inputs.Read(Session(a.model.path, {.optimization_level = 0}).inputs());
  std::vector<BenchResult> results;
  {
    Progress progress("measuring");
    options.progress = [&](double done) { progress.Show(done); };
    results = slipway::Bench(a.model.path, options);
  }
  if (a.model.json) {
    Json list = Json::array();
    for (const BenchResult& r : results) list.push_back(ToJson(r, a.profile));
    PrintJson({{"model", a.model.path}, {"results", list}});
  } else {
    Print(results, a.profile);
  }
  return kOk;
}

}  // namespace

void AddBench(CLI::App& app, int& code) {
  CLI::App* command = app.add_subcommand("bench", "Measures a model's speed and memory.");
  auto a = std::make_shared<Arguments>();
  a->model.Add(*command, "sizes of an open dimension, as a list to go through: batch=1,8; repeatable");
  a->inputs.Add(*command);
  command->add_option("--threads", a->threads, "threads a run, as a list; 0: one a core")
      ->capture_default_str()
      ->type_name("N,...");
  command->add_option("--seconds", a->seconds, "of measured runs for each combination")
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str()
      ->type_name("S");
  command->add_option("--level", a->level, "of optimization, 0 to 3")
      ->check(CLI::Range(0, 3))
      ->capture_default_str()
      ->type_name("N");
  command->add_flag("--profile", a->profile,
                    "time by operator type and by node, from runs of their own, beside the machine's peaks");
  command->footer(
      "items/s is runs a second times the first axis of the first input. The peak is the process's largest resident "
      "size\n"
      "while it loaded and ran, mapped files included. A profile's rates are of products (two FLOPs for each\n"
      "multiplication with addition) and of the bytes of the tensors that a node reads and writes, which may come "
      "from\n"
      "caches; the peaks beside them are multiply-adds in registers and reads from memory, measured in the same run.\n"
      "Exit codes: 0 done; 2 bad usage or an error.\n"
      "Example:\n  slipway bench model.onnx --dim batch=1,8 --threads 1,2 --profile");
  command->callback([=, &code] { code = Bench(*a); });
}

}  // namespace slipway::cli
