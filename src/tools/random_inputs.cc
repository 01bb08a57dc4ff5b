#include "tools/random_inputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <numbers>
#include <random>
#include <set>
#include <type_traits>

#include "core/dtype_visit.h"

namespace slipway {
namespace {

/// The standard fixes the engine's output but not that of its distributions: those are written out here.
class Generator {
 public:
  explicit Generator(uint64_t seed) : engine_(seed) {}
  double Uniform() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }
  double Normal() {
    const double radius = std::sqrt(-2 * std::log(1 - Uniform()));
    return radius * std::cos(2 * std::numbers::pi * Uniform());
  }
  int64_t Between(int64_t low, int64_t high) {
    const uint64_t span = static_cast<uint64_t>(high) - static_cast<uint64_t>(low) + 1;
    return static_cast<int64_t>(static_cast<uint64_t>(low) + (span == 0 ? engine_() : engine_() % span));
  }

 private:
  std::mt19937_64 engine_;
};

template <class T>
T Next(Generator& g, const RandomOptions& options) {
  if constexpr (std::is_same_v<T, bool>) {
    return g.Between(0, 1) != 0;
  } else if constexpr (std::is_same_v<T, std::string>) {
    return std::to_string(g.Between(options.low, options.high));
  } else if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(g.Between(options.low, options.high));
  } else if constexpr (std::is_constructible_v<int64_t, T> && !std::is_constructible_v<float, T>) {
    return T(g.Between(options.low, options.high));
  } else if constexpr (requires { typename T::value_type; }) {
    const auto real = static_cast<typename T::value_type>(g.Normal());
    return T(real, static_cast<typename T::value_type>(g.Normal()));
  } else if constexpr (std::is_same_v<T, double>) {
    return g.Normal();
  } else {
    return T(static_cast<float>(g.Normal()));
  }
}

/// FNV-1a.
uint64_t Hash(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

[[noreturn]] void Fail(const std::string& message) { throw Error(Code::kInvalidArgument, message); }

std::string List(const std::set<std::string>& names) {
  if (names.empty()) return "none";
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "'" : ", '") + name + "'";
  return out;
}

std::string Wanted(const ValueInfo& info) {
  std::string out = "[";
  for (const AxisInfo& axis : info.shape) {
    if (out.size() > 1) out += ", ";
    out += axis.size >= 0 ? std::to_string(axis.size) : axis.symbol.empty() ? "?" : axis.symbol;
  }
  return out + "]";
}

/// Settles symbols by the shape of an input.
void Bind(const ValueInfo& info, const Shape& shape, std::map<std::string, int64_t>& dims) {
  if (!info.has_rank) return;
  bool fits = shape.rank() == static_cast<int>(info.shape.size());
  for (int i = 0; fits && i < shape.rank(); ++i) fits = info.shape[i].size < 0 || info.shape[i].size == shape[i];
  if (!fits) Fail(fmt::format("input '{}' wants shape {}, got {}.", info.name, Wanted(info), shape.ToString()));
  for (int i = 0; i < shape.rank(); ++i) {
    const AxisInfo& axis = info.shape[i];
    if (axis.size >= 0 || axis.symbol.empty()) continue;
    const auto [found, added] = dims.emplace(axis.symbol, shape[i]);
    if (!added && found->second != shape[i]) {
      Fail(fmt::format("input '{}' has {} on axis {} ('{}'), but {} is given elsewhere.", info.name, shape[i], i,
                       axis.symbol, found->second));
    }
  }
}

void CheckNames(const std::vector<ValueInfo>& inputs, const InputSizes& sizes) {
  std::set<std::string> symbols, names;
  for (const ValueInfo& info : inputs) {
    names.insert(info.name);
    for (const AxisInfo& axis : info.shape) {
      if (!axis.symbol.empty()) symbols.insert(axis.symbol);
    }
  }
  for (const auto& [symbol, size] : sizes.dims) {
    if (!symbols.contains(symbol))
      Fail(fmt::format("no input has a dimension '{}'. The open dimensions: {}.", symbol, List(symbols)));
    if (size < 0) Fail(fmt::format("dimension '{}' cannot be {}.", symbol, size));
  }
  for (const auto& [name, shape] : sizes.shapes) {
    if (!names.contains(name)) Fail(fmt::format("there is no input '{}'. The inputs: {}.", name, List(names)));
  }
}

}  // namespace

std::map<std::string, Shape> InputShapes(const std::vector<ValueInfo>& inputs, const InputSizes& sizes,
                                         const Inputs& given) {
  CheckNames(inputs, sizes);
  std::map<std::string, Shape> shapes = sizes.shapes;
  for (const auto& [name, value] : given) {
    if (value.is_tensor()) shapes[name] = value.tensor().shape();
  }
  std::map<std::string, int64_t> dims = sizes.dims;
  for (const ValueInfo& info : inputs) {
    if (const auto found = shapes.find(info.name); found != shapes.end()) Bind(info, found->second, dims);
  }
  for (const ValueInfo& info : inputs) {
    if (shapes.contains(info.name)) continue;
    Shape shape;
    for (const AxisInfo& axis : info.shape) {
      const auto found = dims.find(axis.symbol);
      shape.push_back(axis.size >= 0 ? axis.size : found == dims.end() || axis.symbol.empty() ? 1 : found->second);
    }
    shapes[info.name] = shape;
  }
  return shapes;
}

Tensor RandomTensor(DType type, const Shape& shape, const RandomOptions& options) {
  if (options.low > options.high) Fail(fmt::format("the range {} to {} is empty.", options.low, options.high));
  Tensor tensor(type, shape);
  Generator generator(options.seed);
  VisitAll(type, [&]<class T>() {
    T* data = tensor.data<T>();
    for (int64_t i = 0, n = tensor.size(); i < n; ++i) data[i] = Next<T>(generator, options);
  });
  return tensor;
}

Inputs FillInputs(const std::vector<ValueInfo>& inputs, const InputSizes& sizes, const RandomOptions& options,
                  Inputs given) {
  const std::map<std::string, Shape> shapes = InputShapes(inputs, sizes, given);
  for (const ValueInfo& info : inputs) {
    if (std::any_of(given.begin(), given.end(), [&](const auto& g) { return g.first == info.name; })) continue;
    if (info.type.starts_with("optional")) continue;
    if (!info.type.starts_with("tensor")) {
      Fail(fmt::format("input '{}' is a {}: only tensors can be generated.", info.name, info.type));
    }
    RandomOptions own = options;
    own.seed ^= Hash(info.name);
    given.emplace_back(info.name, RandomTensor(info.elem, shapes.at(info.name), own));
  }
  return given;
}

}  // namespace slipway
