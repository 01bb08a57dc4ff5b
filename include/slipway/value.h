#pragma once

#include <map>
#include <variant>

#include "slipway/tensor.h"

namespace slipway {

class Value;

/// An ONNX sequence: values of one type, in order.
using Sequence = std::vector<Value>;
/// An ONNX map, its keys all int64 or all strings.
using Map = std::variant<std::map<int64_t, Value>, std::map<std::string, Value>>;

/// What a model takes and gives: a tensor, a sequence, a map, or nothing (an empty optional).
class SLIPWAY_EXPORT Value {
 public:
  Value() = default;
  Value(Tensor tensor) : held_(std::move(tensor)) {}
  Value(Sequence sequence) : held_(std::make_shared<const Sequence>(std::move(sequence))) {}
  Value(Map map) : held_(std::make_shared<const Map>(std::move(map))) {}

  bool empty() const { return std::holds_alternative<std::monostate>(held_); }
  bool is_tensor() const { return std::holds_alternative<Tensor>(held_); }
  bool is_sequence() const { return std::holds_alternative<std::shared_ptr<const Sequence>>(held_); }
  bool is_map() const { return std::holds_alternative<std::shared_ptr<const Map>>(held_); }
  /// Each throws std::bad_variant_access where the value is of another kind.
  const Tensor& tensor() const { return std::get<Tensor>(held_); }
  Tensor& tensor() { return std::get<Tensor>(held_); }
  const Sequence& sequence() const { return *std::get<std::shared_ptr<const Sequence>>(held_); }
  const Map& map() const { return *std::get<std::shared_ptr<const Map>>(held_); }

 private:
  std::variant<std::monostate, Tensor, std::shared_ptr<const Sequence>, std::shared_ptr<const Map>> held_;
};

}  // namespace slipway
