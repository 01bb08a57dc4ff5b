#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <ctime>
#include <memory>

#include "arguments.h"
#include "command.h"
#include "onnx/writer.h"
#include "print.h"
#include "pt2/convert.h"
#include "session/convert.h"
#include "slipway/version.h"

namespace slipway::cli {
namespace {

struct Arguments {
  std::string path, output;
  std::vector<std::string> input_names, output_names;
  int64_t opset = 17;
  bool no_folding = false, json = false;
};

int Export(const Arguments& arguments) {
  const auto start = std::chrono::steady_clock::now();
  pt2::ConvertOptions options;
  options.input_names = arguments.input_names;
  options.output_names = arguments.output_names;
  options.opset = static_cast<int>(arguments.opset);
  options.fold_constants = !arguments.no_folding;
  options.metadata = {{"slipway.version", Version()},
                      {"slipway.source", arguments.path},
                      {"slipway.opset_version", std::to_string(arguments.opset)},
                      {"slipway.time", fmt::format("{:%Y-%m-%dT%H:%M:%S}Z", fmt::gmtime(std::time(nullptr)))}};
  pt2::Report report;
  Model model = pt2::Convert(pt2::ReadArchive(arguments.path), options, &report);
  ConvertOpset(model, arguments.opset);
  WriteModel(model, arguments.output, int64_t{2000} << 20, arguments.opset, report.node_docs);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const Graph& graph = *model.graph;
  if (arguments.json) {
    const auto describe = [&](const std::vector<ValueId>& values) {
      Json list = Json::array();
      for (const ValueId v : values) {
        list.push_back({{"name", graph.value(v).name}, {"type", graph.value(v).type.ToString()}});
      }
      return list;
    };
    PrintJson({{"model", arguments.output},
               {"inputs", describe(graph.inputs)},
               {"outputs", describe(graph.outputs)},
               {"program_nodes", report.program_nodes},
               {"nodes", graph.order().size()},
               {"seconds", seconds},
               {"warnings", report.warnings}});
    return kOk;
  }
  for (const std::string& warning : report.warnings) fmt::print(stderr, "warning: {}\n", warning);
  fmt::print("{}: {} nodes, from {} of the program, in {:.2f} s\n", arguments.output, graph.order().size(),
             report.program_nodes, seconds);
  for (const ValueId v : graph.inputs)
    fmt::print("  input {}: {}\n", graph.value(v).name, graph.value(v).type.ToString());
  for (const ValueId v : graph.outputs) {
    fmt::print("  output {}: {}\n", graph.value(v).name, graph.value(v).type.ToString());
  }
  return kOk;
}

}  // namespace

void AddExport(CLI::App& app, int& code) {
  CLI::App* command =
      app.add_subcommand("export", "Turns a .pt2 archive (torch.export.save) into an ONNX model, without PyTorch.");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("program", arguments->path, "the .pt2 archive")->required()->type_name("PROGRAM");
  command->add_option("-o,--output", arguments->output, "where to write the model")->required()->type_name("PATH");
  command->add_option("--opset", arguments->opset, "the opset of ai.onnx to write")->capture_default_str();
  AddRepeated(*command, "--input-name", arguments->input_names, "a name for the next input; repeatable", "NAME");
  AddRepeated(*command, "--output-name", arguments->output_names, "a name for the next output; repeatable", "NAME");
  command->add_flag("--no-folding", arguments->no_folding, "leave constant expressions in the graph");
  command->add_flag("--json", arguments->json, "print a report as JSON");
  command->footer("Exit codes: 0 done; 2 bad usage or an error.\nExample:\n  slipway export model.pt2 -o model.onnx");
  command->callback([=, &code] { code = Export(*arguments); });
}

}  // namespace slipway::cli
