#include "onnx/writer.h"

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <unordered_map>
#include <unordered_set>

#include <fmt/format.h>
#include <protozero/varint.hpp>

#include "onnx/downgrade/downgrade.h"
#include "onnx/graph_reader.h"
#include "onnx/tensor_writer.h"
#include "onnx/upgrade/upgrade.h"

namespace slipway {
namespace {

using protozero::pbf_writer;
namespace field = onnx::field;
using onnx::AttributeKind;

/// What protobuf's parsers take.
constexpr int64_t kMostBytes = int64_t{2047} << 20;

/// A TensorShapeProto. As bytes, since a nested pbf_writer leaves out messages without fields: scalars, and sizes
/// without a name.
std::string ShapeBytes(const SymbolicShape& shape) {
  std::string bytes;
  pbf_writer message(bytes);
  for (const Dim& dim : shape.dims()) {
    std::string size_bytes;
    pbf_writer size(size_bytes);
    const std::string text = dim.ToString();
    if (dim.is_const()) {
      size.add_int64(field::type::kDimValue, dim.value());
    } else if (text.find('?') == std::string::npos) {  // how sizes that have no name are shown
      size.add_string(field::type::kDimParam, text);
    }
    message.add_message(field::type::kDim, size_bytes);
  }
  return bytes;
}

void WriteType(pbf_writer& message, const Type& type) {
  namespace wire = field::type;
  switch (type.kind) {
    case Type::Kind::kTensor: {
      pbf_writer tensor(message, wire::kTensor);
      tensor.add_int32(wire::kElem, static_cast<int32_t>(type.elem));
      if (type.shape.has_rank()) tensor.add_message(wire::kShape, ShapeBytes(type.shape));
      return;
    }
    case Type::Kind::kSequence:
    case Type::Kind::kOptional: {
      pbf_writer outer(message, type.kind == Type::Kind::kSequence ? wire::kSequence : wire::kOptional);
      pbf_writer element(outer, wire::kElem);
      return WriteType(element, *type.element);
    }
    case Type::Kind::kMap: {
      pbf_writer outer(message, wire::kMap);
      outer.add_int32(wire::kElem, static_cast<int32_t>(type.elem));
      pbf_writer value(outer, wire::kMapValue);
      return WriteType(value, *type.element);
    }
  }
}

void WriteValueInfo(pbf_writer& parent, uint32_t tag, const std::string& name, const Type& type) {
  pbf_writer info(parent, tag);
  info.add_string(field::value::kName, name);
  if (!type.known()) return;
  pbf_writer message(info, field::value::kType);
  WriteType(message, type);
}

struct LargeWeight {
  std::string head;  ///< its fields up to the data
  const Tensor* tensor;
};

/// Writes a model's graphs; names are unique among all of them, since subgraphs see those around.
class GraphWriter {
 public:
  /// The main graph's large weights go to `large` where there is no external file, to be written after the rest.
  GraphWriter(const std::vector<std::string>& overridable, onnx::ExternalFile* external,
              std::vector<LargeWeight>& large, const NodeDocs& docs)
      : overridable_(overridable.begin(), overridable.end()), external_(external), large_(large), docs_(docs) {}

  /// `node` and `outer`: what holds a subgraph, and the names of the values there.
  void Write(pbf_writer& message, const Graph& g, const Node* node, const std::vector<std::string>* outer);

 private:
  using Names = std::vector<std::string>;  // by ValueId

  std::string Unique(const std::string& wanted);
  std::string UniqueNode(const std::string& wanted);
  const std::string* DocOf(const std::string& node) const;
  Names NameValues(const Graph& g, const Node* node, const Names* outer);
  void WriteNode(pbf_writer& parent, const Graph& g, const Node& node, const Names& names);
  void WriteAttribute(pbf_writer& parent, const std::string& name, const Attribute& value, const Node& node,
                      const Names& names);
  void WriteOutputs(pbf_writer& message, const Graph& g, const Names& names);

  std::unordered_set<std::string> used_, used_nodes_;
  std::unordered_map<std::string, int> repeats_, node_repeats_;
  std::set<std::string> overridable_;
  onnx::ExternalFile* external_;
  std::vector<LargeWeight>& large_;
  const NodeDocs& docs_;
};

std::string GraphWriter::Unique(const std::string& wanted) {
  const std::string base = wanted.empty() ? "value" : wanted;
  if (!wanted.empty() && used_.insert(wanted).second) return wanted;
  std::string name;
  do {
    name = fmt::format("{}_{}", base, ++repeats_[base]);
  } while (!used_.insert(name).second);
  return name;
}

/// Runtimes want nodes told apart as well as values.
std::string GraphWriter::UniqueNode(const std::string& wanted) {
  std::string name = wanted;
  while (!used_nodes_.insert(name).second) name = fmt::format("{}_{}", wanted, ++node_repeats_[wanted]);
  return name;
}

const std::string* GraphWriter::DocOf(const std::string& node) const {
  if (docs_.empty()) return nullptr;
  auto doc = docs_.find(node);
  const size_t slash = node.rfind('/');
  if (doc == docs_.end() && slash != std::string::npos) doc = docs_.find(node.substr(0, slash));
  return doc == docs_.end() ? nullptr : &doc->second;
}

GraphWriter::Names GraphWriter::NameValues(const Graph& g, const Node* node, const Names* outer) {
  Names names(g.num_values());
  for (size_t i = 0; i < g.captures.size(); ++i) {
    if (g.captures[i] != kNone) names[g.captures[i]] = outer->at(node->captures.at(i));
  }
  const auto name = [&](ValueId v) {
    if (v != kNone && names[v].empty()) names[v] = Unique(g.value(v).name);
  };
  // Those that callers know come first, so that they keep their names.
  for (ValueId v : g.inputs) name(v);
  for (ValueId v : g.outputs) name(v);
  for (size_t v = 0; v < g.num_values(); ++v) name(static_cast<ValueId>(v));
  return names;
}

void GraphWriter::Write(pbf_writer& message, const Graph& g, const Node* node, const Names* outer) {
  namespace wire = field::graph;
  const Names names = NameValues(g, node, outer);
  for (NodeId id : g.order()) WriteNode(message, g, g.node(id), names);
  message.add_string(wire::kName, g.name.empty() ? "graph" : g.name);
  std::set<ValueId> told(g.inputs.begin(), g.inputs.end());
  told.insert(g.outputs.begin(), g.outputs.end());
  for (size_t i = 0; i < g.num_values(); ++i) {
    const auto v = static_cast<ValueId>(i);
    const Graph::ValueInfo& value = g.value(v);
    const bool fed = !node && overridable_.contains(value.name);
    if (value.constant && (fed || !value.users.empty() || g.IsOutput(v))) {
      if (!node && !external_ && onnx::IsLarge(*value.constant)) {
        large_.push_back({onnx::WriteHead(names[v], *value.constant), &*value.constant});
        continue;
      }
      pbf_writer tensor(message, wire::kInitializer);
      onnx::WriteTensor(tensor, names[v], *value.constant, external_);
    }
  }
  if (!g.doc.empty()) message.add_string(wire::kDoc, g.doc);
  for (ValueId v : g.inputs) WriteValueInfo(message, wire::kInput, names[v], g.value(v).type);
  for (size_t i = 0; i < g.num_values() && !node; ++i) {
    const Graph::ValueInfo& value = g.value(static_cast<ValueId>(i));
    if (value.constant && overridable_.contains(value.name))
      WriteValueInfo(message, wire::kInput, names[i], value.type);
  }
  WriteOutputs(message, g, names);
  for (size_t i = 0; i < g.num_values(); ++i) {
    const Graph::ValueInfo& value = g.value(static_cast<ValueId>(i));
    if (value.producer != kNone && value.type.known() && !told.contains(static_cast<ValueId>(i))) {
      WriteValueInfo(message, wire::kValueInfo, names[i], value.type);
    }
  }
}

/// The format wants every output under a name of its own, and a subgraph's made inside of it.
void GraphWriter::WriteOutputs(pbf_writer& message, const Graph& g, const Names& names) {
  std::set<ValueId> seen;
  for (ValueId v : g.captures) seen.insert(v);
  for (ValueId v : g.outputs) {
    std::string name = names[v];
    if (!seen.insert(v).second) {
      name = Unique(name);
      pbf_writer node(message, field::graph::kNode);
      node.add_string(field::node::kInput, names[v]);
      node.add_string(field::node::kOutput, name);
      node.add_string(field::node::kOpType, "Identity");
    }
    WriteValueInfo(message, field::graph::kOutput, name, g.value(v).type);
  }
}

void GraphWriter::WriteNode(pbf_writer& parent, const Graph& g, const Node& node, const Names& names) {
  namespace wire = field::node;
  pbf_writer message(parent, field::graph::kNode);
  const auto list = [&](uint32_t tag, const std::vector<ValueId>& values) {
    size_t count = values.size();
    while (count > 0 && values[count - 1] == kNone) --count;
    for (size_t i = 0; i < count; ++i) message.add_string(tag, values[i] == kNone ? "" : names[values[i]]);
  };
  list(wire::kInput, node.inputs);
  list(wire::kOutput, node.outputs);
  if (!node.name.empty()) message.add_string(wire::kName, UniqueNode(node.name));
  message.add_string(wire::kOpType, node.op_type);
  for (const auto& [name, value] : node.attributes) WriteAttribute(message, name, value, node, names);
  if (const std::string* doc = DocOf(node.name)) message.add_string(wire::kDoc, *doc);
  if (!node.domain.empty()) message.add_string(wire::kDomain, node.domain);
}

void GraphWriter::WriteAttribute(pbf_writer& parent, const std::string& name, const Attribute& value, const Node& node,
                                 const Names& names) {
  namespace wire = field::attribute;
  pbf_writer a(parent, field::node::kAttribute);
  a.add_string(wire::kName, name);
  const auto kind = [&](AttributeKind k) { a.add_enum(wire::kType, static_cast<int32_t>(k)); };
  const auto tensor = [&](uint32_t tag, const Tensor& t) {
    pbf_writer message(a, tag);
    onnx::WriteTensor(message, "", t, nullptr);
  };
  if (const auto* v = std::get_if<int64_t>(&value)) {
    kind(AttributeKind::kInt);
    a.add_int64(wire::kInt, *v);
  } else if (const auto* v = std::get_if<float>(&value)) {
    kind(AttributeKind::kFloat);
    a.add_float(wire::kFloat, *v);
  } else if (const auto* v = std::get_if<std::string>(&value)) {
    kind(AttributeKind::kString);
    a.add_bytes(wire::kString, *v);
  } else if (const auto* v = std::get_if<Tensor>(&value)) {
    kind(AttributeKind::kTensor);
    tensor(wire::kTensor, *v);
  } else if (const auto* v = std::get_if<Type>(&value)) {
    kind(AttributeKind::kType);
    pbf_writer message(a, wire::kType_);
    WriteType(message, *v);
  } else if (const auto* v = std::get_if<std::shared_ptr<Graph>>(&value)) {
    kind(AttributeKind::kGraph);
    pbf_writer message(a, wire::kGraph);
    Write(message, **v, &node, &names);
  } else if (const auto* v = std::get_if<std::vector<int64_t>>(&value)) {
    kind(AttributeKind::kInts);
    for (int64_t i : *v) a.add_int64(wire::kInts, i);
  } else if (const auto* v = std::get_if<std::vector<float>>(&value)) {
    kind(AttributeKind::kFloats);
    for (float f : *v) a.add_float(wire::kFloats, f);
  } else if (const auto* v = std::get_if<std::vector<std::string>>(&value)) {
    kind(AttributeKind::kStrings);
    for (const std::string& s : *v) a.add_bytes(wire::kStrings, s);
  } else if (const auto* v = std::get_if<std::vector<Tensor>>(&value)) {
    kind(AttributeKind::kTensors);
    for (const Tensor& t : *v) tensor(wire::kTensors, t);
  }
}

/// Calls f on the graph and on all graphs in its nodes.
template <class F>
void ForEachGraph(const Graph& g, const F& f) {
  f(g);
  for (NodeId id : g.order()) {
    for (const auto& [name, value] : g.node(id).attributes) {
      if (const auto* sub = std::get_if<std::shared_ptr<Graph>>(&value)) ForEachGraph(**sub, f);
    }
  }
}

int64_t WeightBytes(const Graph& graph) {
  int64_t sum = 0;
  ForEachGraph(graph, [&](const Graph& g) {
    for (size_t v = 0; v < g.num_values(); ++v) {
      if (const Tensor* t = g.Constant(static_cast<ValueId>(v))) sum += static_cast<int64_t>(t->bytes());
    }
  });
  return sum;
}

std::map<std::string, int64_t> Opsets(const Model& model, int64_t opset) {
  std::map<std::string, int64_t> opsets = {{"", opset}};
  ForEachGraph(*model.graph, [&](const Graph& g) {
    for (NodeId id : g.order()) {
      const std::string& domain = g.node(id).domain;
      if (domain.empty()) continue;
      const auto given = model.opsets.find(domain);
      opsets[domain] = given != model.opsets.end() ? given->second : domain == kMlDomain ? onnx::kNewestMlOpset : 1;
    }
  });
  return opsets;
}

/// A model's bytes, with places where large weights go: they are written from where they lie.
struct Pieces {
  std::string start;  ///< all up to the large weights, which end the graph, which ends the model
  std::vector<LargeWeight> weights;

  void WriteTo(std::ostream& out) const {
    out.write(start.data(), static_cast<std::streamsize>(start.size()));
    for (const LargeWeight& w : weights) {
      const std::string start = Start(field::graph::kInitializer, w.head.size() + w.tensor->bytes()) + w.head;
      out.write(start.data(), static_cast<std::streamsize>(start.size()));
      onnx::WriteData(out, *w.tensor);
    }
  }
  /// The beginning of a field of so many bytes.
  static std::string Start(uint32_t tag, size_t bytes) {
    constexpr uint32_t kLengthDelimited = 2;
    std::string start;
    protozero::add_varint_to_buffer(&start, tag << 3 | kLengthDelimited);
    protozero::add_varint_to_buffer(&start, bytes);
    return start;
  }
};

Pieces Serialize(const Model& model, int64_t opset, onnx::ExternalFile* external, const NodeDocs& docs = {}) {
  namespace wire = field::model;
  if (opset == kNewestWritten) opset = onnx::kNewestOpset;
  std::string bytes;
  pbf_writer message(bytes);
  const auto text = [&](uint32_t tag, const std::string& value) {
    if (!value.empty()) message.add_string(tag, value);
  };
  message.add_int64(wire::kIrVersion, onnx::IrVersionOf(opset));
  text(wire::kProducerName, model.producer_name);
  text(wire::kProducerVersion, model.producer_version);
  text(wire::kDomain, model.domain);
  if (model.model_version != 0) message.add_int64(wire::kModelVersion, model.model_version);
  text(wire::kDoc, model.doc);
  for (const auto& [domain, version] : Opsets(model, opset)) {
    pbf_writer opset(message, wire::kOpsetImport);
    opset.add_string(field::pair::kKey, domain);
    opset.add_int64(field::pair::kValue, version);
  }
  for (const auto& [key, value] : model.metadata) {
    pbf_writer entry(message, wire::kMetadata);
    entry.add_string(field::pair::kKey, key);
    entry.add_string(field::pair::kValue, value);
  }
  Pieces pieces;
  std::string graph_bytes;
  pbf_writer graph(graph_bytes);
  GraphWriter(model.overridable, external, pieces.weights, docs).Write(graph, *model.graph, nullptr, nullptr);
  size_t size = graph_bytes.size();
  for (const LargeWeight& w : pieces.weights) {
    const size_t field = w.head.size() + w.tensor->bytes();
    size += Pieces::Start(field::graph::kInitializer, field).size() + field;
  }
  pieces.start = bytes + Pieces::Start(wire::kGraph, size) + graph_bytes;
  return pieces;
}

/// Writes under another name and renames: the model may lie in a mapping of the very file that is replaced.
template <class F>
void NewFile(const std::string& path, const F& write) {
  const std::string draft = path + ".part";
  std::ofstream file(draft, std::ios::binary);
  write(file);
  file.close();
  std::error_code error;
  if (file) std::filesystem::rename(draft, path, error);
  if (!file || error) {
    std::error_code ignored;
    std::filesystem::remove(draft, ignored);
    throw Error(Code::kBadFile, fmt::format("cannot write '{}'.", path));
  }
}

}  // namespace

std::string WriteModel(const Model& model, int64_t opset) {
  if (WeightBytes(*model.graph) > kMostBytes) {
    throw Error(Code::kUnsupported,
                "the weights are more than the 2 GB that one .onnx file can hold: write to a path instead.");
  }
  std::ostringstream out;
  Serialize(model, opset, nullptr).WriteTo(out);
  return std::move(out).str();
}

std::string WriteCompiledGraph(const Model& model, std::ostream& out, int64_t* offset) {
  onnx::ExternalFile external{.out = &out, .name = "", .offset = *offset};
  std::ostringstream bytes;
  Serialize(model, onnx::kNewestOpset, &external).WriteTo(bytes);
  *offset = external.offset;
  return std::move(bytes).str();
}

void WriteModel(const Model& model, const std::string& path, int64_t external_above, int64_t opset,
                const NodeDocs& docs) {
  Pieces pieces;
  if (WeightBytes(*model.graph) >= std::min(external_above, kMostBytes)) {
    const std::string name = path + ".data";
    NewFile(name, [&](std::ostream& out) {
      onnx::ExternalFile external{&out, std::filesystem::path(name).filename().string()};
      pieces = Serialize(model, opset, &external, docs);
    });
  } else {
    pieces = Serialize(model, opset, nullptr, docs);
  }
  NewFile(path, [&](std::ostream& out) { pieces.WriteTo(out); });
}

}  // namespace slipway
