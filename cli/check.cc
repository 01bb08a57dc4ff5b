#include "tools/check.h"

#include <fmt/format.h>

#include <memory>

#include "arguments.h"
#include "command.h"
#include "print.h"

namespace slipway::cli {
namespace {

int Check(const ModelArguments& model) {
  const std::vector<Finding> findings = slipway::Check(model.path, model.Sizes());
  if (model.json) {
    Json list = Json::array();
    for (const Finding& f : findings) {
      list.push_back({{"code", Name(f.code)},
                      {"node", f.node},
                      {"op_type", f.op_type},
                      {"message", f.message},
                      {"advice", f.advice}});
    }
    PrintJson({{"model", model.path}, {"ok", findings.empty()}, {"findings", list}});
  } else if (findings.empty()) {
    fmt::print("{}: ok\n", model.path);
  } else {
    for (const Finding& f : findings) fmt::print("{}: {}\n  {}\n", Name(f.code), f.message, f.advice);
    fmt::print("{} finding{}\n", findings.size(), findings.size() == 1 ? "" : "s");
  }
  return findings.empty() ? kOk : kNo;
}

}  // namespace

void AddCheck(CLI::App& app, int& code) {
  CLI::App* command = app.add_subcommand("check", "Checks that a model is sound and that Slipway can run it.");
  auto model = std::make_shared<ModelArguments>();
  model->Add(*command, "the size of an open dimension to check at (otherwise 1); repeatable");
  command->footer(
      "Exit codes: 0 nothing found; 1 at least one finding; 2 bad usage.\n"
      "Example:\n  slipway check model.onnx --dim batch=4");
  command->callback([=, &code] { code = Check(*model); });
}

}  // namespace slipway::cli
