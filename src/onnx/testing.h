#pragma once

#include <string>
#include <utility>
#include <vector>

#include "onnx/wire.h"

#include <protozero/pbf_writer.hpp>

namespace slipway::onnx::testing {

/// A message, field by field.
class Message {
 public:
  Message& Int(int tag, int64_t value) {
    protozero::pbf_writer(bytes_).add_int64(static_cast<uint32_t>(tag), value);
    return *this;
  }
  Message& Float(int tag, float value) {
    protozero::pbf_writer(bytes_).add_float(static_cast<uint32_t>(tag), value);
    return *this;
  }
  Message& Text(int tag, const std::string& value) {
    protozero::pbf_writer(bytes_).add_bytes(static_cast<uint32_t>(tag), value);
    return *this;
  }
  Message& Add(int tag, const Message& value) { return Text(tag, value.bytes_); }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

inline Message TensorMessage(const std::string& name, int type, const std::vector<int64_t>& dims,
                             const std::string& raw) {
  Message m;
  for (int64_t d : dims) m.Int(field::tensor::kDims, d);
  return m.Int(field::tensor::kDataType, type).Text(field::tensor::kName, name).Text(field::tensor::kRawData, raw);
}

inline Message ValueMessage(const std::string& name, int elem, const std::vector<int64_t>& dims) {
  Message shape;
  for (int64_t d : dims) shape.Add(field::type::kDim, Message().Int(field::type::kDimValue, d));
  const Message tensor = Message().Int(field::type::kElem, elem).Add(field::type::kShape, shape);
  return Message()
      .Text(field::value::kName, name)
      .Add(field::value::kType, Message().Add(field::type::kTensor, tensor));
}

inline Message NodeMessage(const std::string& op, const std::vector<std::string>& inputs,
                           const std::vector<std::string>& outputs, const std::vector<Message>& attributes = {},
                           const std::string& domain = "") {
  Message m;
  for (const auto& name : inputs) m.Text(field::node::kInput, name);
  for (const auto& name : outputs) m.Text(field::node::kOutput, name);
  m.Text(field::node::kName, "n_" + (outputs.empty() ? op : outputs[0])).Text(field::node::kOpType, op);
  for (const auto& a : attributes) m.Add(field::node::kAttribute, a);
  return domain.empty() ? m : m.Text(field::node::kDomain, domain);
}

inline Message IntAttribute(const std::string& name, int64_t value) {
  return Message()
      .Text(field::attribute::kName, name)
      .Int(field::attribute::kType, 2)
      .Int(field::attribute::kInt, value);
}
inline Message FloatAttribute(const std::string& name, float value) {
  return Message()
      .Text(field::attribute::kName, name)
      .Int(field::attribute::kType, 1)
      .Float(field::attribute::kFloat, value);
}
inline Message StringAttribute(const std::string& name, const std::string& value) {
  return Message()
      .Text(field::attribute::kName, name)
      .Int(field::attribute::kType, 3)
      .Text(field::attribute::kString, value);
}
inline Message IntsAttribute(const std::string& name, const std::vector<int64_t>& values) {
  Message m = Message().Text(field::attribute::kName, name).Int(field::attribute::kType, 7);
  for (int64_t v : values) m.Int(field::attribute::kInts, v);
  return m;
}
inline Message GraphAttribute(const std::string& name, const Message& graph) {
  return Message()
      .Text(field::attribute::kName, name)
      .Int(field::attribute::kType, 5)
      .Add(field::attribute::kGraph, graph);
}

/// A graph of these nodes, with a float [2, 3] input x and a float output of the same shape for each name.
inline Message GraphMessage(const std::vector<Message>& nodes, const std::vector<std::string>& outputs,
                            bool with_input = true) {
  Message m;
  for (const auto& n : nodes) m.Add(field::graph::kNode, n);
  m.Text(field::graph::kName, "g");
  if (with_input) m.Add(field::graph::kInput, ValueMessage("x", 1, {2, 3}));
  for (const auto& name : outputs) m.Add(field::graph::kOutput, ValueMessage(name, 1, {2, 3}));
  return m;
}

inline Message OpsetMessage(const std::string& domain, int64_t version) {
  return Message().Text(field::pair::kKey, domain).Int(field::pair::kValue, version);
}

inline Message ModelMessage(const Message& graph, int64_t opset = 21) {
  return Message()
      .Int(field::model::kIrVersion, 10)
      .Add(field::model::kGraph, graph)
      .Add(field::model::kOpsetImport, OpsetMessage("", opset));
}

}  // namespace slipway::onnx::testing
