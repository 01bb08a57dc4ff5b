#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

namespace slipway::cli {

/// What every subcommand's process ends with.
enum ExitCode : int {
  kOk = 0,
  kNo = 1,     ///< the answer is no, or something was found
  kError = 2,  ///< bad usage, or the work could not be done
};

/// Each adds one subcommand; parsing it runs it and puts its exit code in `code`.
void AddBench(CLI::App& app, int& code);
void AddCheck(CLI::App& app, int& code);
void AddConvert(CLI::App& app, int& code);
void AddExport(CLI::App& app, int& code);
void AddInspect(CLI::App& app, int& code);
void AddRun(CLI::App& app, int& code);

}  // namespace slipway::cli
