#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <memory>

#include "arguments.h"
#include "command.h"
#include "onnx/writer.h"
#include "print.h"
#include "pt2/convert.h"

namespace slipway::cli {
namespace {

struct Arguments {
  std::string path, output;
  std::vector<std::string> input_names, output_names;
  bool no_folding = false, json = false;
};

int Export(const Arguments& arguments) {
  const auto start = std::chrono::steady_clock::now();
  pt2::ConvertOptions options;
  options.input_names = arguments.input_names;
  options.output_names = arguments.output_names;
  options.fold_constants = !arguments.no_folding;
  options.metadata = {{"slipway_version", SLIPWAY_VERSION}, {"source", arguments.path}};
  pt2::Report report;
  const Model model = pt2::Convert(pt2::ReadArchive(arguments.path), options, &report);
  WriteModel(model, arguments.output);
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
               {"nodes", report.nodes},
               {"seconds", seconds},
               {"warnings", report.warnings}});
    return kOk;
  }
  for (const std::string& warning : report.warnings) fmt::print(stderr, "warning: {}\n", warning);
  fmt::print("{}: {} nodes, from {} of the program, in {:.2f} s\n", arguments.output, report.nodes,
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
  AddRepeated(*command, "--input-name", arguments->input_names, "a name for the next input; repeatable", "NAME");
  AddRepeated(*command, "--output-name", arguments->output_names, "a name for the next output; repeatable", "NAME");
  command->add_flag("--no-folding", arguments->no_folding, "leave constant expressions in the graph");
  command->add_flag("--json", arguments->json, "print a report as JSON");
  command->footer("Example:\n  slipway export model.pt2 -o model.onnx");
  command->callback([=, &code] { code = Export(*arguments); });
}

}  // namespace slipway::cli
