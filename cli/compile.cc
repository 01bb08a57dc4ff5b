#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

#include "command.h"
#include "print.h"
#include "progress.h"
#include "slipway/session.h"

namespace slipway::cli {
namespace {

struct Arguments {
  std::string model, out;
  SessionOptions options;
  bool json = false;
};

int Compile(const Arguments& a) {
  const auto start = std::chrono::steady_clock::now();
  {
    Progress progress("compiling");
    progress.Show(0);
    CompileModel(a.model, a.out, a.options);
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const auto bytes = std::filesystem::file_size(a.out);
  if (a.json) {
    PrintJson({{"model", a.model}, {"out", a.out}, {"seconds", seconds}, {"bytes", bytes}});
  } else {
    fmt::print("{}: {} in {:.1f} s\n", a.out, Bytes(bytes), seconds);
  }
  return kOk;
}

}  // namespace

void AddCompile(CLI::App& app, int& code) {
  CLI::App* command = app.add_subcommand("compile", "Writes a model in the form in which it loads in milliseconds.");
  auto a = std::make_shared<Arguments>();
  command->add_option("MODEL", a->model, "the .onnx file")->required();
  command->add_option("-o,--out", a->out, "the file to write")->required();
  command->add_option("--level", a->options.optimization_level, "of optimization, 0 to 3")
      ->capture_default_str()
      ->check(CLI::Range(0, 3));
  command->add_flag("--json", a->json, "print JSON");
  command->footer(
      "The result is loaded like any model, by this version of Slipway on CPUs of this kind. Its weights lie in it as "
      "the\n"
      "kernels read them: processes that load it share that memory.\n"
      "Exit codes: 0 done; 2 bad usage or an error.\n"
      "Example:\n  slipway compile model.onnx -o model.slipway");
  command->callback([=, &code] { code = Compile(*a); });
}

}  // namespace slipway::cli
