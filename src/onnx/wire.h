#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace slipway::onnx {
/// Throws Error(kBadFile).
[[noreturn]] void ThrowDamaged();
}  // namespace slipway::onnx

// A field of another wire type than the format gives it is a damaged file, in every build.
#define protozero_assert(condition) ((condition) ? void() : ::slipway::onnx::ThrowDamaged())
#include <protozero/pbf_reader.hpp>

namespace slipway::onnx {

/// A message's bytes in the file.
using Bytes = std::string_view;

/// A walk over a message's fields; groups, which no field of ONNX is, are passed over as unknown fields.
class Reader : public protozero::pbf_reader {
 public:
  using pbf_reader::pbf_reader;
  bool next();
};

inline Reader Read(Bytes message) { return Reader(message.data(), message.size()); }
inline Bytes View(protozero::data_view view) { return {view.data(), view.size()}; }

/// Field numbers of onnx.proto, as far as they are read or written.
namespace field {
namespace model {
enum {
  kIrVersion = 1,
  kProducerName = 2,
  kProducerVersion = 3,
  kDomain = 4,
  kModelVersion = 5,
  kDoc = 6,
  kGraph = 7,
  kOpsetImport = 8,
  kMetadata = 14,
  kFunctions = 25
};
}
namespace pair {  // StringStringEntryProto and OperatorSetIdProto alike
enum { kKey = 1, kValue = 2 };
}
namespace graph {
enum {
  kNode = 1,
  kName = 2,
  kInitializer = 5,
  kDoc = 10,
  kInput = 11,
  kOutput = 12,
  kValueInfo = 13,
  kSparseInitializer = 15
};
}
namespace node {
enum { kInput = 1, kOutput = 2, kName = 3, kOpType = 4, kAttribute = 5, kDoc = 6, kDomain = 7, kOverload = 8 };
}
namespace attribute {
enum {
  kName = 1,
  kFloat = 2,
  kInt = 3,
  kString = 4,
  kTensor = 5,
  kGraph = 6,
  kFloats = 7,
  kInts = 8,
  kStrings = 9,
  kTensors = 10,
  kGraphs = 11,
  kType_ = 14,
  kTypes = 15,
  kType = 20,
  kRefName = 21,
  kSparse = 22,
  kSparses = 23
};
}
namespace tensor {
enum {
  kDims = 1,
  kDataType = 2,
  kSegment = 3,
  kFloatData = 4,
  kInt32Data = 5,
  kStringData = 6,
  kInt64Data = 7,
  kName = 8,
  kRawData = 9,
  kDoubleData = 10,
  kUint64Data = 11,
  kExternalData = 13,
  kDataLocation = 14
};
}
namespace sparse {
enum { kValues = 1, kIndices = 2, kDims = 3 };
}
namespace value {
enum { kName = 1, kType = 2 };
}
namespace type {
enum {
  kTensor = 1,
  kSequence = 4,
  kMap = 5,
  kSparseTensor = 8,
  kOptional = 9,
  kElem = 1,
  kShape = 2,
  kMapValue = 2,
  kDim = 1,
  kDimValue = 1,
  kDimParam = 2
};
}
namespace function {
enum {
  kName = 1,
  kInput = 4,
  kOutput = 5,
  kAttribute = 6,
  kNode = 7,
  kOpsetImport = 9,
  kDomain = 10,
  kAttributeProto = 11,
  kOverload = 13
};
}
}  // namespace field

}  // namespace slipway::onnx
