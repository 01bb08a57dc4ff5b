#pragma once

#include <cstdint>
#include <memory>
#include <ostream>
#include <string>
#include <utility>

#include "onnx/wire.h"
#include "slipway/tensor.h"

#include <protozero/pbf_writer.hpp>

namespace slipway::onnx {

/// The file beside a model that holds its weights.
struct ExternalFile {
  std::ostream* out;
  std::string name;    ///< as the model refers to it
  int64_t offset = 0;  ///< where the next byte goes
};

/// Data that is made while it is written. A tensor whose raw() is null, though it has elements, keeps one of these.
struct DataSource {
  virtual ~DataSource() = default;
  virtual void Write(std::ostream& out) const = 0;
};
/// A tensor of that kind.
inline Tensor TensorFrom(DType type, Shape shape, std::shared_ptr<const DataSource> source) {
  return Tensor(type, std::move(shape), nullptr, std::move(source));
}

/// True where a tensor's bytes in the file are its bytes in memory, and many: such need not pass through a buffer.
bool IsLarge(const Tensor& tensor);
/// A large tensor's bytes. Memory that lies in a mapped file is given back.
void WriteData(std::ostream& out, const Tensor& tensor);
/// All fields of a large tensor but its data, and the start of that one.
std::string WriteHead(const std::string& name, const Tensor& tensor);

/// A TensorProto's fields. With `external` the data goes there, but for strings and for what is too small to be worth
/// it.
void WriteTensor(protozero::pbf_writer& message, const std::string& name, const Tensor& tensor, ExternalFile* external);

}  // namespace slipway::onnx
