#include "tools/operators.h"

#include <fmt/format.h>

#include <memory>

#include "command.h"
#include "print.h"

namespace slipway::cli {
namespace {

std::string Opsets(const OperatorInfo& op) {
  return op.first_opset == op.form ? std::to_string(op.form) : fmt::format("{} to {}", op.first_opset, op.form);
}

void PrintMarkdown(const std::vector<OperatorInfo>& all) {
  fmt::print(
      "# Operators\n\n"
      "Written by `slipway operators --markdown`; `tests/cli` fails where it is out of date. Opsets: the one that an "
      "operator\ncame with, and that of the form which the code knows; files of any opset from the first on are read, "
      "and older forms\nbecome the newest one. Types: those of the first input. The operators of ai.slipway are what "
      "passes fuse others into.\n\n"
      "Fast path: the types that are computed in vectors, by a kernel that is compiled for each of the instruction "
      "sets "
      "named\nand chosen at run time; halves are float16 and bfloat16, computed in float. Other types, and operators "
      "with none, are\nplain C++, which moves elements as fast as the compiler's own vectors do, and computes as the "
      "specification reads.\n");
  std::string domain;
  for (const OperatorInfo& op : all) {
    if (op.domain != domain) {
      domain = op.domain;
      fmt::print(
          "\n## {}\n\n| operator | opsets | inputs | outputs | types | fast path | instruction sets |\n"
          "|---|---|---|---|---|---|---|\n",
          domain);
    }
    fmt::print("| {} | {} | {} | {} | {} | {} | {} |\n", op.name, Opsets(op), op.inputs, op.outputs, op.types,
               op.fast_path.empty() ? "plain" : op.fast_path, op.isas);
  }
}

int Print(bool json, bool markdown) {
  const std::vector<OperatorInfo> all = Operators();
  if (markdown) {
    PrintMarkdown(all);
  } else if (json) {
    Json list = Json::array();
    for (const OperatorInfo& op : all) {
      list.push_back({{"domain", op.domain},
                      {"name", op.name},
                      {"first_opset", op.first_opset},
                      {"form", op.form},
                      {"inputs", op.inputs},
                      {"outputs", op.outputs},
                      {"types", op.types},
                      {"fast_path", op.fast_path},
                      {"instruction_sets", op.isas}});
    }
    PrintJson(list);
  } else {
    std::vector<std::vector<std::string>> rows;
    for (const OperatorInfo& op : all) rows.push_back({op.name, op.domain, Opsets(op), op.inputs, op.outputs});
    PrintTable({"operator", "domain", "opsets", "inputs", "outputs"}, rows);
  }
  return kOk;
}

}  // namespace

void AddOperators(CLI::App& app, int& code) {
  CLI::App* command = app.add_subcommand("operators", "Lists the operators that Slipway runs.");
  struct Options {
    bool json = false;
    bool markdown = false;
  };
  auto options = std::make_shared<Options>();
  CLI::Option* json = command->add_flag("--json", options->json, "as JSON");
  command->add_flag("--markdown", options->markdown, "as docs/operators.md")->excludes(json);
  command->footer("Exit codes: 0 done; 2 bad usage.\nExample:\n  slipway operators --markdown > docs/operators.md");
  command->callback([=, &code] { code = Print(options->json, options->markdown); });
}

}  // namespace slipway::cli
