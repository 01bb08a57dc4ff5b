#include <fmt/format.h>

#include "onnx/graph_reader.h"

namespace slipway::onnx {

NodeFields ReadNode(Bytes message) {
  NodeFields n;
  auto reader = Read(message);
  while (reader.next()) {
    switch (reader.tag()) {
      case field::node::kInput:
        n.inputs.push_back(reader.get_string());
        break;
      case field::node::kOutput:
        n.outputs.push_back(reader.get_string());
        break;
      case field::node::kName:
        n.name = reader.get_string();
        break;
      case field::node::kOpType:
        n.op_type = reader.get_string();
        break;
      case field::node::kDomain:
        n.domain = reader.get_string();
        break;
      case field::node::kOverload:
        n.overload = reader.get_string();
        break;
      case field::node::kAttribute:
        n.attributes.push_back(View(reader.get_view()));
        break;
      default:
        reader.skip();
    }
  }
  if (n.domain == "ai.onnx") n.domain.clear();
  return n;
}

std::string FunctionKey(const std::string& domain, const std::string& name, const std::string& overload) {
  return domain + ":" + name + ":" + overload;
}

FunctionFields ReadFunction(Bytes message) {
  FunctionFields f;
  auto reader = Read(message);
  while (reader.next()) {
    switch (reader.tag()) {
      case field::function::kName:
        f.name = reader.get_string();
        break;
      case field::function::kDomain:
        f.domain = reader.get_string();
        break;
      case field::function::kOverload:
        f.overload = reader.get_string();
        break;
      case field::function::kInput:
        f.inputs.push_back(reader.get_string());
        break;
      case field::function::kOutput:
        f.outputs.push_back(reader.get_string());
        break;
      case field::function::kNode:
        f.nodes.push_back(View(reader.get_view()));
        break;
      case field::function::kAttributeProto:
        f.defaults.push_back(View(reader.get_view()));
        break;
      case field::function::kOpsetImport: {
        auto entry = Read(View(reader.get_view()));
        std::string domain;
        int64_t version = 0;
        while (entry.next()) {
          if (entry.tag() == field::pair::kKey) {
            domain = entry.get_string();
          } else if (entry.tag() == field::pair::kValue) {
            version = entry.get_int64();
          } else {
            entry.skip();
          }
        }
        f.opsets[domain == "ai.onnx" ? "" : domain] = version;
        break;
      }
      default:
        reader.skip();
    }
  }
  if (f.domain == "ai.onnx") f.domain.clear();
  return f;
}

namespace {

SymbolicShape ReadShape(Reader reader) {
  std::vector<Dim> dims;
  while (reader.next()) {
    if (reader.tag() != field::type::kDim) {
      reader.skip();
      continue;
    }
    auto dim = Read(View(reader.get_view()));
    Dim size = Dim::Unknown();
    while (dim.next()) {
      if (dim.tag() == field::type::kDimValue) {
        const int64_t value = dim.get_int64();
        // Some exporters write -1 or 0 for an axis that varies.
        if (value > 0) size = Dim(value);
        if (value == 0) size = Dim(0);
      } else if (dim.tag() == field::type::kDimParam) {
        const std::string name = dim.get_string();
        if (!name.empty()) size = Dim::Symbol(name);
      } else {
        dim.skip();
      }
    }
    dims.push_back(size);
  }
  return dims;
}

DType ReadElem(int32_t value) {
  if (value < 0 || value >= kNumDTypes)
    throw Error(Code::kBadGraph, fmt::format("element type {} is not one of ONNX's", value));
  return static_cast<DType>(value);
}

Type ReadTensorType(Reader reader) {
  Type type;
  while (reader.next()) {
    if (reader.tag() == field::type::kElem) {
      type.elem = ReadElem(reader.get_int32());
    } else if (reader.tag() == field::type::kShape) {
      type.shape = ReadShape(Read(View(reader.get_view())));
    } else {
      reader.skip();
    }
  }
  return type;
}

}  // namespace

Type ReadType(Bytes message, int depth) {
  constexpr int kMaxDepth = 32;
  if (depth > kMaxDepth) throw Error(Code::kBadGraph, "a type is nested too deep");
  Type type;
  auto reader = Read(message);
  while (reader.next()) {
    const auto tag = reader.tag();
    if (tag == field::type::kTensor || tag == field::type::kSparseTensor) {
      type = ReadTensorType(Read(View(reader.get_view())));
    } else if (tag == field::type::kSequence || tag == field::type::kOptional || tag == field::type::kMap) {
      auto inner = Read(View(reader.get_view()));
      Type element;
      DType key = DType::kUndefined;
      while (inner.next()) {
        const bool is_map = tag == field::type::kMap;
        if (is_map && inner.tag() == field::type::kElem) {
          key = ReadElem(inner.get_int32());
        } else if (inner.tag() == static_cast<uint32_t>(is_map ? field::type::kMapValue : field::type::kElem)) {
          element = ReadType(View(inner.get_view()), depth + 1);
        } else {
          inner.skip();
        }
      }
      type = tag == field::type::kSequence   ? Type::SequenceOf(std::move(element))
             : tag == field::type::kOptional ? Type::OptionalOf(std::move(element))
                                             : Type::MapOf(key, std::move(element));
    } else {
      reader.skip();
    }
  }
  return type;
}

}  // namespace slipway::onnx
