#include "onnx/graph_reader.h"

#include <set>

#include <fmt/format.h>

#include "onnx/upgrade/upgrade.h"

namespace slipway::onnx {
namespace {

/// What a name that nothing defines stands for.
constexpr ValueId kUnknown = -2;

[[noreturn]] void Fail(const std::string& what) { throw Error(Code::kBadGraph, what); }

std::string Shown(const NodeFields& n) {
  const std::string& name = n.name.empty() && !n.outputs.empty() ? n.outputs[0] : n.name;
  return fmt::format("node '{:.200}' ({:.200}{}{:.200})", name, n.domain, n.domain.empty() ? "" : ".", n.op_type);
}

constexpr size_t kMaxPrefix = 200;

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
      if (const auto inner = GraphOf(attribute)) CollectReads(*inner, out, depth + 1);
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
    ValueId id = Find(name, scope_);
    if (id < 0) Fail(fmt::format("graph output '{}' is given by no node.", name));
    if (!parent_ && graph_->value(id).name != name) {
      // A function that hands its input on gave the value another name than callers ask for.
      const ValueId copy = graph_->AddValue(name, graph_->value(id).type);
      graph_->AddNode({.op_type = "Identity", .inputs = {id}, .outputs = {copy}});
      id = copy;
    }
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
    if (!parent_ && !v.type.known()) Fail(fmt::format("graph input '{}' has no type.", v.name));
    if (held.contains(v.name)) {
      const Type& given = graph_->value(scope_.names.at(v.name)).type;
      if (v.type.known() && (v.type.kind != Type::Kind::kTensor || v.type.elem != given.elem)) {
        Fail(fmt::format("graph input '{}' is {}, but its initializer is {}.", v.name, v.type.ToString(),
                         given.ToString()));
      }
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
  if (&scope != &scope_ || !parent_) return kUnknown;
  const ValueId outside = parent_->Find(name, *outer_);
  if (outside < 0) return outside;
  const ValueId inside = graph_->AddValue(name, parent_->graph_->value(outside).type);
  graph_->captures.push_back(inside);
  captured_.push_back(outside);
  scope_.names.emplace(name, inside);
  return inside;
}

ValueId GraphReader::Resolve(const std::string& name, const Scope& scope) {
  if (name.empty()) return kNone;
  const ValueId id = Find(name, scope);
  if (id == kUnknown) Fail(fmt::format("reads '{}', which nothing gives.", name));
  return id;
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
      if (const auto graph = GraphOf(attribute)) CollectReads(*graph, reads, 0);
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
        if (state[before] == 1)
          Fail(fmt::format("{} reads what depends on its own output: the graph has a cycle.", Shown(fields[i])));
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
      if (!scope.opsets->contains(n.domain)) {
        Fail(fmt::format("no opset is imported for its domain '{}'.", n.domain.empty() ? "ai.onnx" : n.domain));
      }
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
  Node node{.name = scope.prefix + fields.name, .op_type = fields.op_type, .domain = fields.domain};
  if (fields.name.empty()) node.name.clear();
  for (const std::string& name : fields.inputs) {
    node.inputs.push_back(Resolve(name, scope));
  }
  for (Bytes attribute : fields.attributes) ReadAttribute(attribute, scope, node);
  for (const std::string& name : fields.outputs) node.outputs.push_back(Define(name, scope));
  const NodeId id = graph_->AddNode(std::move(node));
  if (context_.as_written && !fields.domain.empty() && fields.domain != kMlDomain) return;
  Upgrade(*graph_, id, scope.opsets->at(fields.domain));
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
  if (call.inputs.size() > function.inputs.size() || call.outputs.size() > function.outputs.size()) {
    Fail(fmt::format("function '{}' takes {} inputs and gives {} outputs.", function.name, function.inputs.size(),
                     function.outputs.size()));
  }
  // References among the call's own attributes are resolved in the caller's scope before they are handed on.
  std::unordered_map<std::string, Bytes> arguments;
  for (Bytes attribute : function.defaults) arguments[ReadAttributeFields(attribute).name] = attribute;
  for (Bytes attribute : call.attributes) {
    const AttributeFields a = ReadAttributeFields(attribute);
    if (a.ref.empty()) {
      arguments[a.name] = attribute;
    } else if (scope.arguments && scope.arguments->contains(a.ref)) {
      arguments[a.name] = scope.arguments->at(a.ref);
    }
  }
  Scope inner{.opsets = &function.opsets, .arguments = &arguments};
  static const std::string kUnnamed = "call";
  inner.prefix =
      scope.prefix + (call.name.empty() ? (call.outputs.empty() ? kUnnamed : call.outputs[0]) : call.name) + "/";
  // The prefix is part of every name within: what nested calls make of it must not grow with their depth.
  if (inner.prefix.size() > kMaxPrefix) inner.prefix = fmt::format("call_{}/", context_.long_prefixes++);
  const auto first_own = static_cast<ValueId>(graph_->num_values());
  for (size_t i = 0; i < function.inputs.size(); ++i) {
    const std::string given = i < call.inputs.size() ? call.inputs[i] : "";
    inner.names.emplace(function.inputs[i], Resolve(given, scope));
  }
  ReadNodes(function.nodes, inner);
  for (size_t i = 0; i < call.outputs.size(); ++i) {
    if (call.outputs[i].empty()) continue;
    const auto found = inner.names.find(function.outputs[i]);
    if (found == inner.names.end() || found->second < 0)
      Fail(fmt::format("function '{}' does not give '{}'.", function.name, function.outputs[i]));
    if (!scope.names.emplace(call.outputs[i], found->second).second)
      Fail(fmt::format("value '{}' is defined twice.", call.outputs[i]));
    // The caller's name is the one that users know; a value that was there before keeps its own.
    if (found->second < first_own) continue;
    Graph::ValueInfo& value = graph_->value(found->second);
    value.name = scope.prefix + call.outputs[i];
    if (const auto declared = types_.find(value.name); declared != types_.end()) value.type = declared->second;
  }
}

void GraphReader::ReadAttribute(Bytes message, Scope& scope, Node& node) {
  const AttributeFields a = ReadAttributeFields(message);
  if (!a.ref.empty()) {
    if (!scope.arguments) Fail(fmt::format("attribute '{}' refers to '{}', but that is for functions.", a.name, a.ref));
    const auto given = scope.arguments->find(a.ref);
    if (given == scope.arguments->end()) return;  // not passed, no default: absent
    Node holder;
    Scope plain{.opsets = scope.opsets};  // without arguments, so that a reference to a reference ends here
    ReadAttribute(given->second, plain, holder);
    if (!holder.attributes.empty()) node.attributes.Set(a.name, holder.attributes.begin()->second);
    return;
  }
  if (node.attributes.Has(a.name)) Fail(fmt::format("attribute '{}' is given twice.", a.name));
  const auto set = [&](Attribute value) { node.attributes.Set(a.name, std::move(value)); };
  switch (a.kind) {
    case AttributeKind::kFloat:
      return set(a.real);
    case AttributeKind::kInt:
      return set(a.number);
    case AttributeKind::kString:
      return set(a.text);
    case AttributeKind::kTensor:
      return set(context_.tensors.ReadTensor(a.message));
    case AttributeKind::kGraph:
      return ReadGraphAttribute(a.name, a.message, scope, node);
    case AttributeKind::kFloats:
      return set(a.floats);
    case AttributeKind::kInts:
      return set(a.ints);
    case AttributeKind::kStrings:
      return set(a.strings);
    case AttributeKind::kTensors: {
      std::vector<Tensor> list;
      for (Bytes t : a.tensors) list.push_back(context_.tensors.ReadTensor(t));
      return set(list);
    }
    case AttributeKind::kSparse:
      return set(context_.tensors.ReadSparse(a.message));
    case AttributeKind::kType:
      return set(ReadType(a.message));
    default:
      Fail(fmt::format("attribute '{}' has type {}, which no operator takes.", a.name, static_cast<int>(a.kind)));
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
  std::unordered_map<ValueId, size_t> known;
  for (size_t i = 0; i < node.captures.size(); ++i) known.emplace(node.captures[i], i);
  for (size_t i = 0; i < reader.captured_.size(); ++i) {
    if (const auto at = known.find(reader.captured_[i]); at != known.end()) {
      inside[at->second] = sub->captures[i];
    } else {
      node.captures.push_back(reader.captured_[i]);
      inside.push_back(sub->captures[i]);
    }
  }
  sub->captures = std::move(inside);
  node.attributes.Set(name, std::move(sub));
  for (auto& [key, attribute] : node.attributes) {
    if (auto* other = std::get_if<std::shared_ptr<Graph>>(&attribute))
      (*other)->captures.resize(node.captures.size(), kNone);
  }
}

}  // namespace slipway::onnx
