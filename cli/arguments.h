#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <CLI/App.hpp>

#include "tools/random_inputs.h"

namespace slipway::cli {

/// "name=rest" split at the first '='. Throws Error naming the option where there is none.
std::pair<std::string, std::string> SplitPair(const std::string& option, const std::string& text);
/// "batch=1,8" as a name and its sizes; the name may hold '='.
std::pair<std::string, std::vector<int64_t>> ParseDims(const std::string& text);
/// "x=1x3x224x224" as a name and a shape; nothing after '=' is a scalar.
std::pair<std::string, Shape> ParseShape(const std::string& text);
/// "1,2,4" as numbers of at least `low`.
std::vector<int64_t> ParseList(const std::string& option, const std::string& text, int64_t low);
/// "low,high".
std::pair<int64_t, int64_t> ParseRange(const std::string& text);

/// Options that several subcommands share; each has the values as they were typed.
struct ModelArguments {
  std::string path;
  std::vector<std::string> dims, shapes;
  bool json = false;

  /// Adds MODEL, --dim, --shape and --json.
  void Add(CLI::App& command, const std::string& dim_help);
  /// One size a dimension.
  InputSizes Sizes() const;
};

/// --input, --seed and --range.
struct InputArguments {
  std::vector<std::string> files;
  uint64_t seed = 0;
  std::string range = "0,1";

  void Add(CLI::App& command);
  RandomOptions Random() const;
  /// Reads the files; `infos` tells the types that NumPy has no name for.
  Inputs Read(const std::vector<ValueInfo>& infos) const;
};

/// An option that may be given again and again, one value each time: values after it are not swallowed.
CLI::Option* AddRepeated(CLI::App& command, const std::string& name, std::vector<std::string>& values,
                         const std::string& help, const std::string& value_name);

}  // namespace slipway::cli
