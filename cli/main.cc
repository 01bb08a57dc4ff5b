#include <iostream>
#include <new>
#include <string>

#include <fmt/format.h>

#include "command.h"
#include "slipway/error.h"
#include "slipway/version.h"

namespace {

using namespace slipway::cli;

int Report(const std::string& message) {
  std::cout.flush();
  fmt::print(stderr, "slipway: {}\n", message);
  return kError;
}

int Main(int argc, char** argv) {
  CLI::App app("Runs, describes, checks, converts and measures ONNX models.", "slipway");
  app.set_version_flag("--version", fmt::format("slipway {}", slipway::Version()));
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 done; 1 the answer is no, or something was found; 2 bad usage or an error.\n"
      "Example:\n  slipway inspect model.onnx");
  int code = kOk;
  AddBench(app, code);
  AddCheck(app, code);
  AddCompile(app, code);
  AddConvert(app, code);
  AddExport(app, code);
  AddInspect(app, code);
  AddOperators(app, code);
  AddRun(app, code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    const auto chosen = app.get_subcommands();
    if (chosen.empty() && argc > 1 && argv[1][0] != '-')
      return Report(fmt::format("there is no command '{}'.\nTry 'slipway --help'.", argv[1]));
    const std::string command = chosen.empty() ? "slipway" : "slipway " + chosen[0]->get_name();
    return Report(fmt::format("{}\nTry '{} --help'.", e.what(), command));
  }
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Main(argc, argv);
  } catch (const std::bad_alloc&) {
    return Report("not enough memory.");
  } catch (const std::exception& e) {
    return Report(e.what());
  }
}
