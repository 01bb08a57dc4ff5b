#include "tools/inspect.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "arguments.h"
#include "command.h"
#include "print.h"

namespace slipway::cli {
namespace {

Json ToJson(const GraphSummary& s) {
  Json json = {{"nodes", s.nodes},
               {"parameters", s.parameters},
               {"parameter_bytes", s.parameter_bytes},
               {"flops", s.flops ? Json(*s.flops) : Json()},
               {"arena_bytes", s.arena_bytes ? Json(*s.arena_bytes) : Json()},
               {"operators", s.operators}};
  if (!s.no_plan.empty()) json["no_plan"] = s.no_plan;
  return json;
}

Json ToJson(const Inspection& found, const std::string& path) {
  Json inputs = Json::array(), outputs = Json::array(), shapes = Json::object();
  for (const ValueInfo& info : found.inputs) inputs.push_back(cli::ToJson(info));
  for (const ValueInfo& info : found.outputs) outputs.push_back(cli::ToJson(info));
  for (const auto& [name, shape] : found.shapes) shapes[name] = cli::ToJson(shape);
  Json compiled;
  if (const auto& c = found.compiled) {
    compiled = {{"version", c->version}, {"isa", c->isa}, {"packed_bytes", c->packed_bytes}};
  }
  return {{"model", path},
          {"compiled", compiled},
          {"ir_version", found.info.ir_version},
          {"opsets", found.info.opsets},
          {"producer", found.info.producer_name},
          {"producer_version", found.info.producer_version},
          {"domain", found.info.domain},
          {"model_version", found.info.model_version},
          {"description", found.info.description},
          {"graph", found.info.graph_name},
          {"metadata", found.info.metadata},
          {"inputs", inputs},
          {"outputs", outputs},
          {"shapes", shapes},
          {"before", ToJson(found.before)},
          {"after", ToJson(found.after)}};
}

void PrintOperators(const Inspection& found) {
  std::map<std::string, std::pair<int64_t, int64_t>> counts;
  for (const auto& [op, n] : found.before.operators) counts[op].first = n;
  for (const auto& [op, n] : found.after.operators) counts[op].second = n;
  std::vector<std::pair<std::string, std::pair<int64_t, int64_t>>> sorted(counts.begin(), counts.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  std::vector<std::vector<std::string>> rows;
  for (const auto& [op, n] : sorted) rows.push_back({op, std::to_string(n.first), std::to_string(n.second)});
  PrintTable({"operator", "file", "optimized"}, rows);
}

void Print(const Inspection& found, const std::string& path) {
  fmt::print("model       {}\n", path);
  if (const auto& c = found.compiled) {
    fmt::print("compiled    by Slipway {} for {}, {} of packed weights\n", c->version, c->isa, Bytes(c->packed_bytes));
  }
  fmt::print("IR version  {}\n", found.info.ir_version);
  std::string opsets;
  for (const auto& [domain, version] : found.info.opsets) {
    opsets += fmt::format("{}{} {}", opsets.empty() ? "" : ", ", domain.empty() ? "ai.onnx" : domain, version);
  }
  fmt::print("opsets      {}\n", opsets);
  fmt::print("producer    {} {}\n", found.info.producer_name, found.info.producer_version);
  for (const ValueInfo& i : found.inputs) fmt::print("input       {}: {}\n", i.name, TypeAndShape(i));
  for (const ValueInfo& i : found.outputs) fmt::print("output      {}: {}\n", i.name, TypeAndShape(i));
  for (const auto& [name, shape] : found.shapes) fmt::print("measured at {} {}\n", name, shape.ToString());
  auto or_dash = [](const auto& value, auto&& show) {
    return value ? show(static_cast<int64_t>(*value)) : std::string("-");
  };
  auto row = [&](const char* name, auto&& get) {
    return std::vector<std::string>{name, get(found.before), get(found.after)};
  };
  fmt::print("\n");
  PrintTable({"", "file", "optimized"},
             {row("nodes", [](const GraphSummary& s) { return std::to_string(s.nodes); }),
              row("parameters", [](const GraphSummary& s) { return Scaled(static_cast<double>(s.parameters)); }),
              row("parameter bytes", [](const GraphSummary& s) { return Bytes(s.parameter_bytes); }),
              row("FLOPs", [&](const GraphSummary& s) { return or_dash(s.flops, Scaled); }),
              row("arena", [&](const GraphSummary& s) { return or_dash(s.arena_bytes, Bytes); })});
  fmt::print("\n");
  PrintOperators(found);
  const std::string& reason = found.before.no_plan.empty() ? found.after.no_plan : found.before.no_plan;
  if (!reason.empty())
    fmt::print("\nThis model cannot be run here: {}\n'slipway check' lists all that is in the way.\n", reason);
}

}  // namespace

void AddInspect(CLI::App& app, int& code) {
  CLI::App* command =
      app.add_subcommand("inspect", "Describes a model: what it takes and gives, holds, computes and needs.");
  auto model = std::make_shared<ModelArguments>();
  auto level = std::make_shared<int>(3);
  model->Add(*command, "the size of an open dimension (otherwise 1); repeatable");
  command->add_option("--level", *level, "of optimization for the second column, 0 to 3")
      ->check(CLI::Range(0, 3))
      ->capture_default_str()
      ->type_name("N");
  command->footer(
      "FLOPs are two for each multiplication with addition in products, convolutions, attention and recurrent layers.\n"
      "Exit codes: 0 done; 2 bad usage, or the file cannot be read.\n"
      "Example:\n  slipway inspect model.onnx --dim batch=8");
  command->callback([=, &code] {
    const Inspection found = Inspect(model->path, {.level = *level, .sizes = model->Sizes()});
    if (model->json) {
      PrintJson(ToJson(found, model->path));
    } else {
      Print(found, model->path);
    }
    code = kOk;
  });
}

}  // namespace slipway::cli
