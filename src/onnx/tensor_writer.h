#pragma once

#include <cstdint>
#include <ostream>
#include <string>

#include "onnx/wire.h"
#include "slipway/tensor.h"

#include <protozero/pbf_writer.hpp>

namespace slipway::onnx {

/// The file beside a model, or around it, that holds its weights.
struct ExternalFile {
  std::ostream* out;
  std::string name;    ///< as the model refers to it; "" for a compiled model, whose file holds both
  int64_t offset = 0;  ///< where the next byte goes
};

/// A TensorProto's fields. With `external` the data goes there, but for strings and for what is too small to be worth
/// it. A tensor without data is written as one: external, and nowhere.
void WriteTensor(protozero::pbf_writer& message, const std::string& name, const Tensor& tensor, ExternalFile* external);

}  // namespace slipway::onnx
