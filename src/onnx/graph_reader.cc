#include "onnx/graph_reader.h"

#include <algorithm>

#include <fmt/format.h>

#include "onnx/upgrade.h"

namespace slipway::onnx {
namespace {

constexpr int kMaxDepth = 200;

[[noreturn]] void Fail(const std::string& what) { throw Error(Code::kBadGraph, what); }

std::string Shown(const NodeFields& n) {
  const std::string& name = n.name.empty() && !n.outputs.empty() ? n.outputs[0] : n.name;
  return fmt::format("node '{}' ({}{}{})", name, n.domain, n.domain.empty() ? "" : ".", n.op_type);
}

/// Counts how deep subgraphs and calls are nested.
class Deeper {
 public:
  explicit Deeper(ModelContext& context) : context_(context) {
    if (++context_.depth > kMaxDepth) {
      --context_.depth;
      Fail("subgraphs and function calls are nested too deep");
    }
  }
  ~Deeper() { --context_.depth; }

 private:
  ModelContext& context_;
};

struct Named {
  std::string name;
  Type type;
};

Named ReadValueInfo(Bytes message) {
  Named out;
  auto reader = Read(message);
  Bytes type;
  while (reader.next()) {
    if (reader.tag() == field::value::kName) {
      out.name = reader.get_string();
    } else if (reader.tag() == field::value::kType) {
      type = View(reader.get_view());
    } else {
      reader.skip();
    }
  }
  try {
    out.type = ReadType(type);
  } catch (const Error& e) {
    throw Error(e.code(), fmt::format("value '{}': {}", out.name, e.what()));
  }
  return out;
}

std::string AttributeName(Bytes message) {
  auto reader = Read(message);
  std::string name;
  while (reader.next()) {
    if (reader.tag() == field::attribute::kName) {
      name = reader.get_string();
    } else {
      reader.skip();
    }
  }
  return name;
}

/// Names that a graph's nodes read, those of its own subgraphs too: what it may capture.
void CollectReads(Bytes graph, std::set<std::string>& out, int depth) {
  if (depth > kMaxDepth) Fail("subgraphs are nested too deep");
  auto reader = Read(graph);
  while (reader.next()) {
    if (reader.tag() == field::graph::kOutput) {
      out.insert(ReadValueInfo(View(reader.get_view())).name);
      continue;
    }
    if (reader.tag() != field::graph::kNode) {
      reader.skip();
      continue;
    }
    const NodeFields n = ReadNode(View(reader.get_view()));
    out.insert(n.inputs.begin(), n.inputs.end());
    for (Bytes attribute : n.attributes) {
      auto a = Read(attribute);
      while (a.next()) {
        if (a.tag() == field::attribute::kGraph) {
          CollectReads(View(a.get_view()), out, depth + 1);
        } else {
          a.skip();
        }
      }
    }
  }
}

}  // namespace

/// A GraphProto's parts, as bytes.
struct GraphReader::Parts {
  std::vector<Bytes> nodes, initializers, sparse, inputs, outputs, infos;
};

GraphReader::GraphReader(ModelContext& context, const Opsets& opsets, GraphReader* parent)
    : context_(context), parent_(parent), graph_(std::make_unique<Graph>()) {
  scope_.opsets = &opsets;
}

void GraphReader::Read(Bytes message, std::vector<std::string>* overridable) {
  Parts parts;
  auto reader = onnx::Read(message);
  while (reader.next()) {
    switch (reader.tag()) {
      case field::graph::kNode:
        parts.nodes.push_back(View(reader.get_view()));
        break;
      case field::graph::kName:
        graph_->name = reader.get_string();
        break;
      case field::graph::kDoc:
        graph_->doc = reader.get_string();
        break;
      case field::graph::kInitializer:
        parts.initializers.push_back(View(reader.get_view()));
        break;
      case field::graph::kSparseInitializer:
        parts.sparse.push_back(View(reader.get_view()));
        break;
      case field::graph::kInput:
        parts.inputs.push_back(View(reader.get_view()));
        break;
      case field::graph::kOutput:
        parts.outputs.push_back(View(reader.get_view()));
        break;
      case field::graph::kValueInfo:
        parts.infos.push_back(View(reader.get_view()));
        break;
      default:
        reader.skip();
    }
  }
  ReadValues(parts, overridable);
  ReadNodes(parts.nodes, scope_);
  for (Bytes output : parts.outputs) {
    const std::string name = ReadValueInfo(output).name;
    const ValueId id = Find(name, scope_);
    if (id == kNone) Fail(fmt::format("graph output '{}' is given by no node.", name));
    graph_->outputs.push_back(id);
  }
}

void GraphReader::ReadValues(const Parts& parts, std::vector<std::string>* overridable) {
  for (Bytes info : parts.infos) {
    Named v = ReadValueInfo(info);
    types_[v.name] = std::move(v.type);
  }
  for (Bytes info : parts.outputs) {
    Named v = ReadValueInfo(info);
    if (v.type.known()) types_[v.name] = std::move(v.type);
  }
  std::set<std::string> held;
  for (Bytes tensor : parts.initializers) {
    const std::string name = TensorReader::NameOf(tensor);
    if (name.empty()) Fail("an initializer has no name.");
    held.insert(name);
    DefineConstant(name, context_.tensors.ReadTensor(tensor), scope_);
  }
  for (Bytes sparse : parts.sparse) {
    auto reader = onnx::Read(sparse);
    std::string name;
    while (reader.next()) {
      if (reader.tag() == field::sparse::kValues) {
        name = TensorReader::NameOf(View(reader.get_view()));
      } else {
        reader.skip();
      }
    }
    if (name.empty()) Fail("a sparse initializer has no name.");
    held.insert(name);
    DefineConstant(name, context_.tensors.ReadSparse(sparse), scope_);
  }
  std::set<std::string> seen;
  for (Bytes info : parts.inputs) {
    Named v = ReadValueInfo(info);
    if (v.name.empty()) Fail("a graph input has no name.");
    if (!seen.insert(v.name).second) Fail(fmt::format("graph input '{}' is listed twice.", v.name));
    if (held.contains(v.name)) {
      if (overridable) overridable->push_back(v.name);
      continue;
    }
    types_[v.name] = std::move(v.type);
    graph_->inputs.push_back(Define(v.name, scope_));
  }
}

ValueId GraphReader::Define(const std::string& name, Scope& scope) {
  if (name.empty()) return kNone;
  const std::string full = scope.prefix + name;
  Type type;
  if (const auto declared = types_.find(full); declared != types_.end()) type = declared->second;
  const ValueId id = graph_->AddValue(full, std::move(type));
  if (!scope.names.emplace(name, id).second) Fail(fmt::format("value '{}' is defined twice.", name));
  return id;
}

ValueId GraphReader::DefineConstant(const std::string& name, Tensor tensor, Scope& scope) {
  const ValueId id = graph_->AddConstant(scope.prefix + name, std::move(tensor));
  if (!scope.names.emplace(name, id).second) Fail(fmt::format("value '{}' is defined twice.", name));
  return id;
}

ValueId GraphReader::Find(const std::string& name, const Scope& scope) {
  if (const auto own = scope.names.find(name); own != scope.names.end()) return own->second;
  // A function sees nothing but its own names; so does the main graph.
  if (&scope != &scope_ || !parent_) return kNone;
  const ValueId outside = parent_->Find(name, *outer_);
  if (outside == kNone) return kNone;
  const ValueId inside = graph_->AddValue(name, parent_->graph_->value(outside).type);
  graph_->captures.push_back(inside);
  captured_.push_back(outside);
  scope_.names.emplace(name, inside);
  return inside;
}

std::vector<NodeFields> GraphReader::Sort(const std::vector<Bytes>& nodes, const Scope& scope) const {
  std::vector<NodeFields> fields;
  std::unordered_map<std::string, size_t> producer;
  for (Bytes node : nodes) {
    if (--context_.budget < 0) Fail("the model has too many nodes.");
    fields.push_back(ReadNode(node));
    if (fields.back().op_type.empty()) Fail(fmt::format("{} has no operator type.", Shown(fields.back())));
    for (const std::string& out : fields.back().outputs) {
      if (!out.empty()) producer.emplace(out, fields.size() - 1);
    }
  }
  std::vector<std::vector<size_t>> after(fields.size());  // the nodes that a node must follow
  bool sorted = true;
  for (size_t i = 0; i < fields.size(); ++i) {
    std::set<std::string> reads(fields[i].inputs.begin(), fields[i].inputs.end());
    for (Bytes attribute : fields[i].attributes) {
      auto a = onnx::Read(attribute);
      while (a.next()) {
        if (a.tag() == field::attribute::kGraph) {
          CollectReads(View(a.get_view()), reads, 0);
        } else {
          a.skip();
        }
      }
    }
    for (const std::string& name : reads) {
      const auto found = producer.find(name);
      if (name.empty() || found == producer.end() || scope.names.contains(name)) continue;
      if (found->second >= i) sorted = false;
      after[i].push_back(found->second);
    }
  }
  if (sorted) return fields;
  // Depth first, so that nodes stay close to the order of the file.
  std::vector<NodeFields> out;
  std::vector<char> state(fields.size(), 0);  // 1: on the stack, 2: done
  std::vector<std::pair<size_t, size_t>> stack;
  for (size_t root = 0; root < fields.size(); ++root) {
    if (state[root] == 0) stack.emplace_back(root, 0);
    while (!stack.empty()) {
      auto& [i, next] = stack.back();
      state[i] = 1;
      if (next < after[i].size()) {
        const size_t before = after[i][next++];
        if (state[before] == 1) Fail(fmt::format("{} reads what depends on its own output: the graph has a cycle.", Shown(fields[i])));
        if (state[before] == 0) stack.emplace_back(before, 0);
        continue;
      }
      state[i] = 2;
      out.push_back(std::move(fields[i]));
      stack.pop_back();
    }
  }
  return out;
}

void GraphReader::ReadNodes(const std::vector<Bytes>& nodes, Scope& scope) {
  for (const NodeFields& n : Sort(nodes, scope)) {
    try {
      const auto function = context_.functions.find(FunctionKey(n.domain, n.op_type, n.overload));
      if (function != context_.functions.end()) {
        Inline(n, function->second, scope);
      } else if (n.domain.empty() && n.op_type == "Constant") {
        AddConstant(n, scope);
      } else {
        AddNode(n, scope);
      }
    } catch (const Error& e) {
      const std::string what = e.what();
      if (what.starts_with("node '")) throw;
      throw Error(e.code(), fmt::format("{}: {}", Shown(n), what));
    }
  }
}

void GraphReader::AddNode(const NodeFields& fields, Scope& scope) {
  const auto opset = scope.opsets->find(fields.domain);
  if (opset == scope.opsets->end()) {
    Fail(fmt::format("the model imports no opset for domain '{}'.", fields.domain.empty() ? "ai.onnx" : fields.domain));
  }
  Node node{.name = scope.prefix + fields.name, .op_type = fields.op_type, .domain = fields.domain};
  if (fields.name.empty()) node.name.clear();
  for (const std::string& name : fields.inputs) {
    const ValueId id = name.empty() ? kNone : Find(name, scope);
    if (id == kNone && !name.empty()) Fail(fmt::format("reads '{}', which nothing gives.", name));
    node.inputs.push_back(id);
  }
  for (Bytes attribute : fields.attributes) ReadAttribute(attribute, scope, node);
  for (const std::string& name : fields.outputs) node.outputs.push_back(Define(name, scope));
  const NodeId id = graph_->AddNode(std::move(node));
  Upgrade(*graph_, id, opset->second);
}

void GraphReader::AddConstant(const NodeFields& fields, Scope& scope) {
  Node node{.name = fields.name, .op_type = fields.op_type};
  for (Bytes attribute : fields.attributes) ReadAttribute(attribute, scope, node);
  if (fields.outputs.size() != 1 || !fields.inputs.empty()) Fail("has one output and no inputs.");
  const Attributes& a = node.attributes;
  if (std::distance(a.begin(), a.end()) != 1) Fail("needs exactly one value.");
  const auto& [name, value] = *a.begin();
  const auto n = [](const auto& list) { return Shape{static_cast<int64_t>(list.size())}; };
  Tensor t;
  if (name == "value" || name == "sparse_value") {
    t = a.GetTensor(name) ? *a.GetTensor(name) : Tensor();
  } else if (name == "value_int") {
    t = Tensor::From<int64_t>({}, {a.RequiredInt(name)});
  } else if (name == "value_float") {
    t = Tensor::From<float>({}, {a.Float(name, 0)});
  } else if (name == "value_string") {
    t = Tensor::From<std::string>({}, {a.RequiredString(name)});
  } else if (name == "value_ints") {
    t = Tensor::From<int64_t>(n(a.Ints(name)), a.Ints(name));
  } else if (name == "value_floats") {
    t = Tensor::From<float>(n(a.Floats(name)), a.Floats(name));
  } else if (name == "value_strings") {
    t = Tensor::From<std::string>(n(a.Strings(name)), a.Strings(name));
  }
  if (!t.defined()) Fail(fmt::format("attribute '{}' is not a value.", name));
  DefineConstant(fields.outputs[0], std::move(t), scope);
}

void GraphReader::Inline(const NodeFields& call, const FunctionFields& function, Scope& scope) {
  const Deeper deeper(context_);
  const std::string key = FunctionKey(function.domain, function.name, function.overload);
  if (!context_.calls.insert(key).second) Fail(fmt::format("function '{}' calls itself.", function.name));
  if (call.inputs.size() > function.inputs.size() || call.outputs.size() > function.outputs.size()) {
    Fail(fmt::format("function '{}' takes {} inputs and gives {} outputs.", function.name, function.inputs.size(), function.outputs.size()));
  }
  // References among the call's own attributes are resolved in the caller's scope before they are handed on.
  std::unordered_map<std::string, Bytes> arguments;
  for (Bytes attribute : function.defaults) arguments[AttributeName(attribute)] = attribute;
  for (Bytes attribute : call.attributes) {
    Bytes given = attribute;
    auto reader = onnx::Read(attribute);
    while (reader.next()) {
      if (reader.tag() != field::attribute::kRefName) {
        reader.skip();
        continue;
      }
      const std::string ref = reader.get_string();
      const auto found = scope.arguments ? scope.arguments->find(ref) : decltype(scope.arguments->end()){};
      given = scope.arguments && found != scope.arguments->end() ? found->second : Bytes();
    }
    if (!given.empty()) arguments[AttributeName(attribute)] = given;
  }
  Scope inner{.opsets = &function.opsets, .arguments = &arguments};
  static const std::string kUnnamed = "call";
  inner.prefix = scope.prefix + (call.name.empty() ? (call.outputs.empty() ? kUnnamed : call.outputs[0]) : call.name) + "/";
  for (size_t i = 0; i < function.inputs.size(); ++i) {
    const std::string given = i < call.inputs.size() ? call.inputs[i] : "";
    const ValueId id = given.empty() ? kNone : Find(given, scope);
    if (id == kNone && !given.empty()) Fail(fmt::format("reads '{}', which nothing gives.", given));
    inner.names.emplace(function.inputs[i], id);
  }
  ReadNodes(function.nodes, inner);
  for (size_t i = 0; i < call.outputs.size(); ++i) {
    if (call.outputs[i].empty()) continue;
    const auto found = inner.names.find(function.outputs[i]);
    if (found == inner.names.end() || found->second == kNone) Fail(fmt::format("function '{}' does not give '{}'.", function.name, function.outputs[i]));
    if (!scope.names.emplace(call.outputs[i], found->second).second) Fail(fmt::format("value '{}' is defined twice.", call.outputs[i]));
    // The caller's name is the one that users know.
    Graph::ValueInfo& value = graph_->value(found->second);
    const bool passed_through = std::find(function.inputs.begin(), function.inputs.end(), function.outputs[i]) != function.inputs.end();
    if (!passed_through) value.name = scope.prefix + call.outputs[i];
  }
  context_.calls.erase(key);
}

void GraphReader::ReadAttribute(Bytes message, Scope& scope, Node& node) {
  namespace wire = field::attribute;
  std::string name, ref, text;
  int64_t type = 0, number = 0;
  float real = 0;
  std::vector<int64_t> ints;
  std::vector<float> floats;
  std::vector<std::string> strings;
  std::vector<Bytes> tensors;
  Bytes tensor, sparse, graph, type_proto;
  int guess = 0;  // old files do not say the type
  auto reader = onnx::Read(message);
  while (reader.next()) {
    const bool packed = reader.wire_type() == protozero::pbf_wire_type::length_delimited;
    switch (reader.tag()) {
      case wire::kName:
        name = reader.get_string();
        break;
      case wire::kRefName:
        ref = reader.get_string();
        break;
      case wire::kType:
        type = reader.get_enum();
        break;
      case wire::kFloat:
        real = reader.get_float();
        guess = 1;
        break;
      case wire::kInt:
        number = reader.get_int64();
        guess = 2;
        break;
      case wire::kString:
        text = reader.get_string();
        guess = 3;
        break;
      case wire::kTensor:
        tensor = View(reader.get_view());
        guess = 4;
        break;
      case wire::kGraph:
        graph = View(reader.get_view());
        guess = 5;
        break;
      case wire::kFloats:
        if (packed) {
          for (float v : reader.get_packed_float()) floats.push_back(v);
        } else {
          floats.push_back(reader.get_float());
        }
        guess = 6;
        break;
      case wire::kInts:
        if (packed) {
          for (int64_t v : reader.get_packed_int64()) ints.push_back(v);
        } else {
          ints.push_back(reader.get_int64());
        }
        guess = 7;
        break;
      case wire::kStrings:
        strings.push_back(reader.get_string());
        guess = 8;
        break;
      case wire::kTensors:
        tensors.push_back(View(reader.get_view()));
        guess = 9;
        break;
      case wire::kSparse:
        sparse = View(reader.get_view());
        guess = 11;
        break;
      case wire::kType_:
        type_proto = View(reader.get_view());
        guess = 13;
        break;
      default:
        reader.skip();
    }
  }
  if (name.empty()) Fail("an attribute has no name.");
  if (!ref.empty()) {
    if (!scope.arguments) Fail(fmt::format("attribute '{}' refers to '{}', but that is for functions.", name, ref));
    const auto given = scope.arguments->find(ref);
    if (given == scope.arguments->end()) return;  // not passed, no default: absent
    Node holder;
    Scope plain{.opsets = scope.opsets};  // without arguments, so that a reference to a reference ends here
    ReadAttribute(given->second, plain, holder);
    if (!holder.attributes.empty()) node.attributes.Set(name, holder.attributes.begin()->second);
    return;
  }
  if (node.attributes.Has(name)) Fail(fmt::format("attribute '{}' is given twice.", name));
  if (type == 0) type = guess;
  const auto set = [&](Attribute value) { node.attributes.Set(name, std::move(value)); };
  switch (type) {
    case 1:
      return set(real);
    case 2:
      return set(number);
    case 3:
      return set(text);
    case 4:
      return set(context_.tensors.ReadTensor(tensor));
    case 5:
      return ReadGraphAttribute(name, graph, scope, node);
    case 6:
      return set(floats);
    case 7:
      return set(ints);
    case 8:
      return set(strings);
    case 9: {
      std::vector<Tensor> list;
      for (Bytes t : tensors) list.push_back(context_.tensors.ReadTensor(t));
      return set(list);
    }
    case 11:
      return set(context_.tensors.ReadSparse(sparse));
    case 13:
      return set(ReadType(type_proto));
    default:
      Fail(fmt::format("attribute '{}' has type {}, which no operator takes.", name, type));
  }
}

void GraphReader::ReadGraphAttribute(const std::string& name, Bytes message, Scope& scope, Node& node) {
  const Deeper deeper(context_);
  GraphReader reader(context_, *scope.opsets, this);
  reader.outer_ = &scope;
  reader.scope_.arguments = scope.arguments;
  reader.Read(message, nullptr);
  std::shared_ptr<Graph> sub = reader.Take();
  // One list of captures for all of the node's subgraphs.
  std::vector<ValueId> inside(node.captures.size(), kNone);
  for (size_t i = 0; i < reader.captured_.size(); ++i) {
    const auto at = std::find(node.captures.begin(), node.captures.end(), reader.captured_[i]);
    if (at != node.captures.end()) {
      inside[at - node.captures.begin()] = sub->captures[i];
    } else {
      node.captures.push_back(reader.captured_[i]);
      inside.push_back(sub->captures[i]);
    }
  }
  sub->captures = std::move(inside);
  node.attributes.Set(name, std::move(sub));
  for (auto& [key, attribute] : node.attributes) {
    if (auto* other = std::get_if<std::shared_ptr<Graph>>(&attribute)) (*other)->captures.resize(node.captures.size(), kNone);
  }
}

}  // namespace slipway::onnx
