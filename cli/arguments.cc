#include "arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <string_view>

#include "tools/npy.h"

namespace slipway::cli {
namespace {

[[noreturn]] void Fail(const std::string& message) { throw Error(Code::kInvalidArgument, message); }

/// The numbers between separators, each at least `low`; `example` shows the form in the message.
std::vector<int64_t> Numbers(std::string_view text, char separator, int64_t low, std::string_view option,
                             std::string_view example) {
  std::vector<int64_t> out;
  const char* at = text.data();
  const char* end = at + text.size();
  while (true) {
    int64_t number = 0;
    const auto [stop, error] = std::from_chars(at, end, number);
    if (error != std::errc() || number < low || (stop != end && *stop != separator)) {
      Fail(fmt::format("{} '{}' is not of the form {}.", option, text, example));
    }
    out.push_back(number);
    if (stop == end) return out;
    at = stop + 1;
  }
}

std::pair<std::string, std::string> SplitLast(const std::string& option, const std::string& text,
                                              std::string_view example) {
  const size_t at = text.rfind('=');
  if (at == std::string::npos || at == 0) Fail(fmt::format("{} '{}' is not of the form {}.", option, text, example));
  return {text.substr(0, at), text.substr(at + 1)};
}

}  // namespace

std::pair<std::string, std::string> SplitPair(const std::string& option, const std::string& text) {
  const size_t at = text.find('=');
  if (at == std::string::npos || at == 0 || at + 1 == text.size()) {
    Fail(fmt::format("{} '{}' is not of the form name=file.npy.", option, text));
  }
  return {text.substr(0, at), text.substr(at + 1)};
}

std::pair<std::string, std::vector<int64_t>> ParseDims(const std::string& text) {
  const auto [name, sizes] = SplitLast("--dim", text, "batch=4");
  return {name, Numbers(sizes, ',', 0, "--dim", "batch=4")};
}

std::pair<std::string, Shape> ParseShape(const std::string& text) {
  const auto [name, sizes] = SplitLast("--shape", text, "name=1x3x224x224");
  if (sizes.empty()) return {name, Shape{}};
  return {name, Shape(Numbers(sizes, 'x', 0, "--shape", "name=1x3x224x224"))};
}

std::vector<int64_t> ParseList(const std::string& option, const std::string& text, int64_t low) {
  return Numbers(text, ',', low, option, "1,2,4");
}

std::pair<int64_t, int64_t> ParseRange(const std::string& text) {
  const auto numbers = Numbers(text, ',', std::numeric_limits<int64_t>::min(), "--range", "0,1000");
  if (numbers.size() != 2 || numbers[0] > numbers[1])
    Fail(fmt::format("--range '{}' is not of the form 0,1000.", text));
  return {numbers[0], numbers[1]};
}

CLI::Option* AddRepeated(CLI::App& command, const std::string& name, std::vector<std::string>& values,
                         const std::string& help, const std::string& value_name) {
  return command.add_option(name, values, help)->allow_extra_args(false)->type_name(value_name);
}

void ModelArguments::Add(CLI::App& command, const std::string& dim_help) {
  command.add_option("MODEL", path, "the .onnx file")->required()->type_name("");
  AddRepeated(command, "--dim", dims, dim_help, "NAME=SIZE");
  AddRepeated(command, "--shape", shapes, "the whole shape of an input; repeatable", "NAME=1x3x224x224");
  command.add_flag("--json", json, "print JSON");
}

InputSizes ModelArguments::Sizes() const {
  InputSizes sizes;
  for (const std::string& text : dims) {
    const auto [name, values] = ParseDims(text);
    if (values.size() != 1) Fail(fmt::format("--dim '{}': give one size.", text));
    if (!sizes.dims.emplace(name, values[0]).second) Fail(fmt::format("--dim '{}' is given twice.", name));
  }
  for (const std::string& text : shapes) {
    const auto [name, shape] = ParseShape(text);
    if (!sizes.shapes.emplace(name, shape).second) Fail(fmt::format("--shape '{}' is given twice.", name));
  }
  return sizes;
}

void InputArguments::Add(CLI::App& command) {
  AddRepeated(command, "--input", files, "an input from a .npy file; repeatable. The others are generated",
              "NAME=FILE");
  command.add_option("--seed", seed, "of the generated inputs")->capture_default_str()->type_name("N");
  command.add_option("--range", range, "of generated integers, both ends included")
      ->capture_default_str()
      ->type_name("LOW,HIGH");
}

RandomOptions InputArguments::Random() const {
  const auto [low, high] = ParseRange(range);
  return {.seed = seed, .low = low, .high = high};
}

Inputs InputArguments::Read(const std::vector<ValueInfo>& infos) const {
  Inputs inputs;
  for (const std::string& text : files) {
    const auto [name, file] = SplitPair("--input", text);
    const auto info = std::find_if(infos.begin(), infos.end(), [&n = name](const ValueInfo& i) { return i.name == n; });
    inputs.emplace_back(name, ReadNpy(file, info == infos.end() ? DType::kUndefined : info->elem));
  }
  return inputs;
}

}  // namespace slipway::cli
