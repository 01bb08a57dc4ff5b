#include "session/convert.h"

#include <memory>

#include <fmt/format.h>

#include "command.h"
#include "onnx/upgrade/upgrade.h"
#include "print.h"

namespace slipway::cli {
namespace {

struct ConvertArguments {
  std::string path, output;
  int64_t opset = onnx::kNewestOpset;
  bool json = false;
};

int Convert(const ConvertArguments& a) {
  const ConversionReport report = ConvertFile(a.path, a.output, a.opset);
  if (a.json) {
    PrintJson({{"model", a.path},
               {"output", a.output},
               {"from_opset", report.from},
               {"opset", report.to},
               {"nodes_before", report.nodes_before},
               {"nodes", report.nodes_after}});
  } else {
    fmt::print("{}: opset {} -> {}, {} nodes -> {}\n", a.output, report.from, report.to, report.nodes_before,
               report.nodes_after);
  }
  return kOk;
}

}  // namespace

void AddConvert(CLI::App& app, int& code) {
  CLI::App* command = app.add_subcommand("convert", "Writes a model at another opset, newer or older.");
  auto a = std::make_shared<ConvertArguments>();
  command->add_option("MODEL", a->path, "the .onnx file")->required();
  command->add_option("-o,--output", a->output, "the file to write; large weights go into OUTPUT.data beside it")
      ->required();
  command->add_option("--opset", a->opset,
                      fmt::format("of ai.onnx, 7 to {}; otherwise the newest", onnx::kNewestOpset));
  command->add_flag("--json", a->json, "print JSON");
  command->footer(
      "What the opset lacks is written in operators that it has.\n"
      "Exit codes: 0 written; 2 bad usage, or the model cannot be expressed in that opset.\n"
      "Example:\n  slipway convert model.onnx -o model-opset13.onnx --opset 13");
  command->callback([=, &code] { code = Convert(*a); });
}

}  // namespace slipway::cli
