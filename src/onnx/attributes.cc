#include <fmt/format.h>

#include "onnx/graph_reader.h"

namespace slipway::onnx {
namespace {

namespace wire = field::attribute;

/// The kind that a field holds; kNothing for what is not a value.
AttributeKind KindOf(uint32_t tag) {
  switch (tag) {
    case wire::kFloat:
      return AttributeKind::kFloat;
    case wire::kInt:
      return AttributeKind::kInt;
    case wire::kString:
      return AttributeKind::kString;
    case wire::kTensor:
      return AttributeKind::kTensor;
    case wire::kGraph:
      return AttributeKind::kGraph;
    case wire::kFloats:
      return AttributeKind::kFloats;
    case wire::kInts:
      return AttributeKind::kInts;
    case wire::kStrings:
      return AttributeKind::kStrings;
    case wire::kTensors:
      return AttributeKind::kTensors;
    case wire::kGraphs:
      return AttributeKind::kGraphs;
    case wire::kSparse:
      return AttributeKind::kSparse;
    case wire::kSparses:
      return AttributeKind::kSparses;
    case wire::kType_:
      return AttributeKind::kType;
    default:
      return AttributeKind::kNothing;
  }
}

void ReadField(Reader& reader, AttributeFields& a) {
  const bool packed = reader.wire_type() == protozero::pbf_wire_type::length_delimited;
  switch (reader.tag()) {
    case wire::kName:
      a.name = reader.get_string();
      break;
    case wire::kRefName:
      a.ref = reader.get_string();
      break;
    case wire::kType:
      a.kind = static_cast<AttributeKind>(reader.get_enum());
      break;
    case wire::kFloat:
      a.real = reader.get_float();
      break;
    case wire::kInt:
      a.number = reader.get_int64();
      break;
    case wire::kString:
      a.text = reader.get_string();
      break;
    case wire::kFloats:
      if (packed) {
        for (float v : reader.get_packed_float()) a.floats.push_back(v);
      } else {
        a.floats.push_back(reader.get_float());
      }
      break;
    case wire::kInts:
      if (packed) {
        for (int64_t v : reader.get_packed_int64()) a.ints.push_back(v);
      } else {
        a.ints.push_back(reader.get_int64());
      }
      break;
    case wire::kStrings:
      a.strings.push_back(reader.get_string());
      break;
    case wire::kTensors:
      a.tensors.push_back(View(reader.get_view()));
      break;
    case wire::kTensor:
    case wire::kGraph:
    case wire::kSparse:
    case wire::kType_:
      a.message = View(reader.get_view());
      break;
    default:
      reader.skip();
  }
}

}  // namespace

AttributeFields ReadAttributeFields(Bytes message) {
  AttributeFields a;
  uint32_t held = 0;  // a bit for each kind that has a value
  AttributeKind last = AttributeKind::kNothing;
  auto reader = Read(message);
  while (reader.next()) {
    if (const AttributeKind kind = KindOf(reader.tag()); kind != AttributeKind::kNothing) {
      held |= 1u << static_cast<int>(kind);
      last = kind;
    }
    ReadField(reader, a);
  }
  if (a.name.empty()) throw Error(Code::kBadGraph, "an attribute has no name.");
  if (!a.ref.empty()) return a;
  // Old files do not say the kind.
  if (a.kind == AttributeKind::kNothing) a.kind = last;
  const auto said = static_cast<int64_t>(a.kind);
  const bool known = said > 0 && said <= static_cast<int64_t>(AttributeKind::kType);
  // Writers leave out what equals the default (0, an empty list), so that nothing held is well.
  if (!known || (held != 0 && (held >> said & 1) == 0)) {
    throw Error(Code::kBadGraph,
                fmt::format("attribute '{}' says that it is of type {}, which is not what it holds.", a.name, said));
  }
  return a;
}

std::optional<Bytes> GraphOf(Bytes attribute) {
  auto reader = Read(attribute);
  while (reader.next()) {
    if (reader.tag() == wire::kGraph) return View(reader.get_view());
    reader.skip();
  }
  return std::nullopt;
}

}  // namespace slipway::onnx
