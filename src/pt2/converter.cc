#include "pt2/converter.h"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

#include "ops/op.h"

namespace slipway::pt2 {
namespace {

using Kind = Argument::Kind;

/// A target without its overload: "aten.add.Tensor" -> "aten.add".
std::string_view Base(std::string_view target) {
  const size_t dot = target.find('.');
  const size_t last = target.rfind('.');
  return dot == std::string_view::npos || last == dot ? target : target.substr(0, last);
}

/// "aten.add_.Tensor" as "aten.add.Tensor"; "" for what does not work in place.
std::string OutOfPlace(std::string_view target) {
  const size_t dot = target.find('.');
  if (dot == std::string_view::npos) return {};
  const size_t end = std::min(target.find('.', dot + 1), target.size());
  if (target[end - 1] != '_' || target[end - 2] == '_' || end - 1 == dot + 1) return {};
  return std::string(target.substr(0, end - 1)) + std::string(target.substr(end));
}

/// Complex numbers as real ones with an axis more, [real, imaginary], which is how they lie in memory.
slipway::Tensor AsPairs(const slipway::Tensor& t) {
  if (!IsComplex(t.dtype())) return t;
  std::vector<int64_t> sizes;
  for (int i = 0; i < t.shape().rank(); ++i) sizes.push_back(t.shape()[i]);
  sizes.push_back(2);
  const DType real = t.dtype() == DType::kComplex128 ? DType::kDouble : DType::kFloat;
  return slipway::Tensor(real, Shape(sizes), const_cast<void*>(t.raw()), std::make_shared<slipway::Tensor>(t));
}

std::string Where(const TorchNode& node) {
  const std::string line = node.SourceLine();
  return line.empty() ? fmt::format("node '{}'", node.name) : fmt::format("node '{}', {}", node.name, line);
}

}  // namespace

const Conversion* FindConversion(std::string_view target) {
  static const auto* table = [] {
    auto* all = new std::unordered_map<std::string_view, const Conversion*>;
    for (const ConversionTable* t : {
#define TABLE(Name) &k##Name##Table,
#include "pt2/aten/aten.inc"
#undef TABLE
         }) {
      for (const Conversion* c = t->begin; c != t->end; ++c) all->emplace(c->target, c);
    }
    return all;
  }();
  if (auto it = table->find(target); it != table->end()) return it->second;
  if (auto it = table->find(Base(target)); it != table->end()) return it->second;
  return nullptr;
}

Converter::Converter(const Program& program, const TorchProgram& torch, const ConvertOptions& options, Report& report)
    : program_(program), torch_(torch), options_(options), report_(report), model_(std::make_unique<Graph>()) {
  root_.graph = model_.get();
}

void Converter::Warn(std::string message) {
  if (warned_.insert(message).second) report_.warnings.push_back(std::move(message));
}

std::unique_ptr<Graph> Converter::Run() {
  Scope scope{&torch_.graph};
  scope_ = &scope;
  AddInputs();
  RunNodes(torch_.graph);
  AddOutputs();
  report_.program_nodes = static_cast<int>(torch_.graph.nodes.size());
  report_.converted_nodes = static_cast<int>(model_->order().size());
  return std::move(model_);
}

// ---- Inputs and outputs ------------------------------------------------------------------------------------

void Converter::AddInputs() {
  size_t index = 0;
  const auto name_of = [&](const std::string& otherwise) {
    const size_t i = index++;
    return i < options_.input_names.size() && !options_.input_names[i].empty() ? options_.input_names[i] : otherwise;
  };
  // Names for symbols first: a shape may hold the symbol of a later input.
  for (const InputSpec& spec : torch_.inputs) {
    if (spec.kind != InputSpec::Kind::kUser) continue;
    if (!spec.argument.is(Kind::kTensor) && !spec.argument.is(Kind::kSymInt)) continue;
    const size_t i = index++;
    const TensorMeta* meta = spec.argument.is(Kind::kTensor) ? Meta(spec.argument.text) : nullptr;
    if (!meta || i >= options_.input_axes.size()) continue;
    for (const auto& [axis, name] : options_.input_axes[i]) {
      const auto a = static_cast<size_t>(axis < 0 ? axis + static_cast<int>(meta->sizes.size()) : axis);
      if (a >= meta->sizes.size() || meta->sizes[a].kind() != Expr::Kind::kSymbol || name.empty()) continue;
      const std::string& symbol = meta->sizes[a].name();
      const bool taken = std::any_of(symbol_names_.begin(), symbol_names_.end(),
                                     [&](const auto& known) { return known.second == name && known.first != symbol; });
      symbol_names_.try_emplace(symbol, taken ? fmt::format("{}_{}", name, symbol) : name);
    }
  }
  index = 0;
  for (const InputSpec& spec : torch_.inputs) {
    const Argument& a = spec.argument;
    if (spec.kind != InputSpec::Kind::kUser) {
      AddWeight(spec);
      continue;
    }
    if (a.is(Kind::kTensor)) {
      const TensorMeta* meta = Meta(a.text);
      if (!meta) throw Error(Code::kBadFile, fmt::format("the program says nothing of its input '{}'.", a.text));
      if (meta->dtype == DType::kUndefined || IsComplex(meta->dtype)) {
        throw Error(Code::kUnsupported,
                    fmt::format("input '{}' has a type that ONNX's operators do not take{}.", name_of(a.text),
                                IsComplex(meta->dtype) ? ": give torch.view_as_real of it" : ""));
      }
      std::vector<Dim> dims;
      for (const Expr& e : meta->sizes) dims.push_back(ToDim(e));
      const ValueId v = graph().AddValue(name_of(a.text), Type::TensorOf(meta->dtype, SymbolicShape(std::move(dims))));
      graph().inputs.push_back(v);
      scope_->names[a.text] = {.id = v, .frame = frame_};
      NoteAxes(v, meta->sizes);
    } else if (a.is(Kind::kSymInt) || a.is(Kind::kSymFloat) || a.is(Kind::kSymBool)) {
      const Expr e = Symbolic(a);
      const DType type = a.is(Kind::kSymInt) ? DType::kInt64 : a.is(Kind::kSymBool) ? DType::kBool : DType::kDouble;
      const ValueId v = graph().AddValue(name_of(a.text), Type::TensorOf(type, SymbolicShape(std::vector<Dim>())));
      graph().inputs.push_back(v);
      BindSymbol(e, v);
    }
  }
}

void Converter::AddWeight(const InputSpec& spec) {
  if (!spec.argument.is(Kind::kTensor)) return;
  const auto alias = program_.aliases.find(spec.target);
  const std::string& holder = alias == program_.aliases.end() ? spec.target : alias->second;
  ValueId& v = weights_.try_emplace(holder, kNone).first->second;
  const TensorMeta* meta = Meta(spec.argument.text);
  const bool complex = meta && IsComplex(meta->dtype);
  if (v == kNone) {
    const auto tensor = program_.tensors.find(holder);
    if (tensor == program_.tensors.end()) {
      throw Error(Code::kBadFile, fmt::format("the program's weights lack '{}'.", holder));
    }
    v = graph().AddConstant(holder, complex ? AsPairs(tensor->second) : tensor->second);
  }
  const slipway::Tensor& held = *graph().value(v).constant;
  DType type = meta ? meta->dtype : DType::kUndefined;
  Exprs sizes = meta ? meta->sizes : Exprs();
  if (complex) {
    type = type == DType::kComplex128 ? DType::kDouble : DType::kFloat;
    sizes.emplace_back(2);
  }
  bool same = meta && held.dtype() == type && held.shape().rank() == static_cast<int>(sizes.size());
  for (int i = 0; same && i < held.shape().rank(); ++i) same = sizes[i] == Expr(held.shape()[i]);
  if (!same) {
    throw Error(Code::kBadFile, fmt::format("weight '{}' is {} {}, which is not what the program says.", holder,
                                            Name(held.dtype()), held.shape().ToString()));
  }
  scope_->names[spec.argument.text] = {.id = v, .frame = frame_};
}

void Converter::AddOutputs() {
  size_t index = 0;
  for (const OutputSpec& spec : torch_.outputs) {
    if (spec.kind != OutputSpec::Kind::kUser) continue;
    const Argument& a = spec.argument;
    if (a.is(Kind::kTensor)) {
      if (const TensorMeta* meta = Meta(a.text); meta && IsComplex(meta->dtype)) {
        throw Error(Code::kUnsupported, fmt::format("output {} is complex, which ONNX's operators do not give: return "
                                                    "torch.view_as_real of it.",
                                                    index));
      }
      graph().outputs.push_back(Value(a.text));
    } else if (a.is(Kind::kSymInt)) {
      graph().outputs.push_back(Number(Symbolic(a), DType::kInt64));
    } else if (a.is(Kind::kSymFloat)) {
      graph().outputs.push_back(Number(Symbolic(a), DType::kDouble));
    } else if (a.is(Kind::kSymBool)) {
      graph().outputs.push_back(Number(Symbolic(a), DType::kBool));
    } else {
      if (!a.is(Kind::kNone)) Warn(fmt::format("output {} is a constant of Python's, not a tensor: left out", index));
      ++index;
      continue;
    }
    ++index;
  }
  if (graph().outputs.empty()) throw Error(Code::kUnsupported, "the model gives no tensor.");
}

// ---- Names and what they stand for --------------------------------------------------------------------------

const TensorMeta* Converter::Meta(const std::string& name) const {
  const auto it = scope_->graph->tensors.find(name);
  return it == scope_->graph->tensors.end() ? nullptr : &it->second;
}

Converter::Binding& Converter::Root(const std::string& name) {
  Binding* b = &scope_->names.at(name);
  while (!b->base.empty()) b = &scope_->names.at(b->base);
  return *b;
}

ValueId Converter::Value(const std::string& name) {
  const auto it = scope_->names.find(name);
  if (it == scope_->names.end()) {
    throw Error(Code::kBadFile, fmt::format("the program reads '{}' before anything gives it.", name));
  }
  Binding& b = it->second;
  if (!b.base.empty()) {
    if (!b.via) return Value(b.base);
    if (b.seen != Root(name).version) ConvertNode(*b.via, true);
  }
  const ValueId v = scope_->names.at(name).id;
  if (v == kNone) throw Error(Code::kBadFile, fmt::format("the program reads '{}', which has no value.", name));
  Frame* from = scope_->names.at(name).frame;
  return from == frame_ || !from ? v : Capture(v);
}

TensorRef Converter::Read(const std::string& name) {
  const ValueId v = Value(name);
  const TensorMeta* meta = Meta(name);
  if (meta) return {v, meta->dtype, meta->sizes};
  // An input of an inlined graph may be known from outside alone.
  TensorRef t{v, graph().value(v).type.elem, {}};
  return t;
}

void Converter::Bind(const std::string& name, ValueId id) {
  Binding& b = scope_->names[name];
  b.id = id;
  b.frame = frame_;
  if (!b.base.empty()) b.seen = Root(name).version;
}

void Converter::Write(const std::string& name, ValueId id) {
  Binding& b = scope_->names.at(name);
  if (b.base.empty()) {
    b.id = id;
    b.frame = frame_;
    ++b.version;
    return;
  }
  if (!b.via) return Write(b.base, id);
  const TorchNode& via = *b.via;
  const std::string base = b.base;
  const Conversion* conversion = FindConversion(via.target);
  Call call(*this, via, conversion->detail);
  const ValueId whole = conversion->write_back(call, Read(base), id, b.output);
  Write(base, call.Cast(whole, Meta(base) ? Meta(base)->dtype : graph().value(whole).type.elem));
  Binding& again = scope_->names.at(name);
  again.id = id;
  again.frame = frame_;
  again.seen = Root(name).version;
}

Expr Converter::Symbolic(const Argument& a) {
  switch (a.kind) {
    case Kind::kInt:
      return a.number;
    case Kind::kBool:
      return Expr::Bool(a.number != 0);
    case Kind::kFloat:
      return Expr::Float(a.real);
    case Kind::kSymInt:
    case Kind::kSymFloat:
    case Kind::kSymBool: {
      if (auto it = scope_->graph->symbols.find(a.text); it != scope_->graph->symbols.end()) return it->second;
      if (auto it = scope_->numbers.find(a.text); it != scope_->numbers.end()) return it->second;
      throw Error(Code::kBadFile, fmt::format("the program says nothing of its number '{}'.", a.text));
    }
    default:
      throw Error(Code::kBadFile, fmt::format("the program has something else where a number belongs ('{}').", a.text));
  }
}

Dim Converter::ToDim(const Expr& e) const {
  return e.ToDim([&](const std::string& symbol) {
    const auto it = symbol_names_.find(symbol);
    return it == symbol_names_.end() ? symbol : it->second;
  });
}

int64_t Converter::Low(const std::string& symbol) const {
  // torch takes 2 or more for granted where an example had 2 or more; the files that are written hold for 1 as well.
  const auto it = torch_.ranges.find(symbol);
  return it == torch_.ranges.end() ? 0 : std::clamp<int64_t>(it->second.low, 0, 1);
}

void Converter::NoteAxes(ValueId id, const Exprs& shape) {
  for (size_t i = 0; i < shape.size(); ++i) {
    if (!shape[i].is_int()) frame_->axes.try_emplace(shape[i].text(), id, static_cast<int>(i));
  }
}

void Converter::BindSymbol(const Expr& e, ValueId scalar) {
  if (e.kind() == Expr::Kind::kSymbol) frame_->symbol_values.try_emplace(e.name(), scalar);
}

// ---- Nodes and constants ---------------------------------------------------------------------------------------

std::vector<ValueId> Converter::AddNode(Node node, int outputs, const std::string& name) {
  if (node.name.empty()) node.name = name;
  if (node_ && !report_.node_docs.contains(node.name)) {
    if (std::string line = node_->SourceLine(); !line.empty()) report_.node_docs.emplace(node.name, std::move(line));
  }
  for (int i = 0; i < outputs; ++i) {
    node.outputs.push_back(graph().AddValue(i == 0 ? name : fmt::format("{}_{}", name, i)));
  }
  const std::vector<ValueId> out = node.outputs;
  const bool known = FindOp(node.domain, node.op_type) != nullptr;
  const NodeId id = graph().AddNode(std::move(node));
  if (known) InferNode(graph(), id, &frame_->ints);
  return out;
}

ValueId Converter::Constant(slipway::Tensor tensor, std::string name) {
  if (!name.empty() || tensor.bytes() > 256) {
    return graph().AddConstant(name.empty() ? fmt::format("constant_{}", graph().num_values()) : name,
                               std::move(tensor));
  }
  std::string key = fmt::format("{}{}", Name(tensor.dtype()), tensor.shape().ToString());
  key.append(static_cast<const char*>(tensor.raw()), tensor.bytes());
  ValueId& v = frame_->constants.try_emplace(std::move(key), kNone).first->second;
  if (v == kNone) v = graph().AddConstant(fmt::format("constant_{}", graph().num_values()), std::move(tensor));
  return v;
}

ValueId Converter::Capture(ValueId outer) {
  const auto [it, added] = frame_->captured.try_emplace(outer, kNone);
  if (added) {
    const Graph::ValueInfo& info = frame_->parent->graph->value(outer);
    it->second = graph().AddValue(info.name, info.type);
    graph().captures.push_back(it->second);
    frame_->outer.push_back(outer);
  }
  return it->second;
}

Subgraph Converter::Build(const std::string& name, const std::function<std::vector<ValueId>(Graph&)>& body) {
  auto g = std::make_shared<Graph>();
  g->name = name;
  Frame frame{.graph = g.get(), .parent = frame_};
  frame_ = &frame;
  try {
    g->outputs = body(*g);
  } catch (...) {
    frame_ = frame.parent;
    throw;
  }
  frame_ = frame.parent;
  return {std::move(g), std::move(frame.outer)};
}

// ---- Running the program ------------------------------------------------------------------------------------------

void Converter::RunNodes(const TorchGraph& torch) {
  for (const TorchNode& node : torch.nodes) ConvertNode(node);
}

std::vector<TensorRef> Converter::RunWith(const TorchGraph& torch, const std::vector<TensorRef>& inputs,
                                          std::unordered_map<std::string, Expr> numbers) {
  Scope inner{.graph = &torch, .numbers = std::move(numbers)};
  if (inputs.size() != torch.inputs.size()) throw Error(Code::kBadFile, "a graph is called with too few arguments.");
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!torch.inputs[i].is(Kind::kTensor)) continue;
    inner.names[torch.inputs[i].text] = {.id = inputs[i].id, .frame = frame_};
  }
  Scope* outer = std::exchange(scope_, &inner);
  std::vector<TensorRef> results;
  try {
    for (size_t i = 0; i < inputs.size(); ++i) {
      const TensorMeta* meta = torch.inputs[i].is(Kind::kTensor) ? Meta(torch.inputs[i].text) : nullptr;
      if (meta && inputs[i].defined()) NoteAxes(inputs[i].id, meta->sizes);
    }
    RunNodes(torch);
    for (const Argument& a : torch.outputs) {
      if (a.is(Kind::kTensor)) {
        results.push_back(Read(a.text));
      } else if (a.is(Kind::kNone)) {
        results.emplace_back();
      } else {
        const Expr e = Symbolic(a);
        const DType type = IsFloatExpr(e) || a.is(Kind::kSymFloat)     ? DType::kDouble
                           : a.is(Kind::kSymBool) || a.is(Kind::kBool) ? DType::kBool
                                                                       : DType::kInt64;
        results.push_back({Number(e, type), type, {}});
      }
    }
  } catch (...) {
    scope_ = outer;
    throw;
  }
  scope_ = outer;
  return results;
}

std::vector<TensorRef> Converter::Inline(const TorchGraph& torch, const std::vector<Argument>& arguments) {
  std::vector<TensorRef> inputs;
  std::unordered_map<std::string, Expr> numbers;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const Argument& a = arguments[i];
    inputs.push_back(a.is(Kind::kTensor) ? Read(a.text) : TensorRef());
    const bool number = a.is(Kind::kInt) || a.is(Kind::kFloat) || a.is(Kind::kBool) || a.is(Kind::kSymInt) ||
                        a.is(Kind::kSymFloat) || a.is(Kind::kSymBool);
    if (number && i < torch.inputs.size()) numbers.emplace(torch.inputs[i].text, Symbolic(a));
  }
  return RunWith(torch, inputs, std::move(numbers));
}

/// Whether the node reads or gives complex numbers, which have conversions of their own.
bool Converter::TouchesComplex(const TorchNode& node) const {
  const std::function<bool(const Argument&)> complex = [&](const Argument& a) {
    if (a.is(Kind::kComplex)) return true;
    if (a.is(Kind::kList)) return std::any_of(a.items.begin(), a.items.end(), complex);
    const TensorMeta* meta = a.is(Kind::kTensor) ? Meta(a.text) : nullptr;
    return meta && IsComplex(meta->dtype);
  };
  return std::any_of(node.inputs.begin(), node.inputs.end(), [&](const auto& i) { return complex(i.second); }) ||
         std::any_of(node.outputs.begin(), node.outputs.end(), complex);
}

void Converter::ConvertNode(const TorchNode& node, bool refresh) {
  const TorchNode* outer = std::exchange(node_, &node);
  try {
    const bool numbers_only =
        !node.outputs.empty() && std::all_of(node.outputs.begin(), node.outputs.end(), [](const Argument& a) {
          return a.is(Kind::kSymInt) || a.is(Kind::kSymFloat) || a.is(Kind::kSymBool) || a.is(Kind::kInt) ||
                 a.is(Kind::kFloat) || a.is(Kind::kBool) || a.is(Kind::kToken);
        });
    if (!Translate(node)) {
      const std::string target = TouchesComplex(node) ? "complex." + node.target : node.target;
      const Conversion* conversion = FindConversion(target);
      const std::string pure = conversion || target != node.target ? std::string() : OutOfPlace(target);
      if (!pure.empty()) conversion = FindConversion(pure);
      if (conversion) {
        ConvertKnown(node, *conversion, refresh);
      } else if (!numbers_only) {
        Unsupported(node);
      }
    }
  } catch (const Error& e) {
    node_ = outer;
    const std::string message = e.what();
    if (message.find("while converting") != std::string::npos || e.code() == Code::kUnsupported) throw;
    throw Error(e.code(), fmt::format("{}\n  while converting {} ({})", message, node.target, Where(node)));
  } catch (const std::logic_error&) {
    node_ = outer;
    throw Error(Code::kBadFile, fmt::format("the arguments of {} do not fit together ({}).", node.target, Where(node)));
  }
  node_ = outer;
}

void Converter::ConvertKnown(const TorchNode& node, const Conversion& conversion, bool refresh) {
  Call call(*this, node, conversion.detail);
  conversion.convert(call);
  const bool in_place = !OutOfPlace(node.target).empty() && !FindConversion(node.target);
  const Argument* first = node.inputs.empty() ? nullptr : &node.inputs[0].second;
  const auto& names = call.names_();
  if (in_place && first && first->is(Kind::kTensor)) {
    if (call.results_.empty() || call.results_[0] == kNone) return;
    Write(first->text, call.results_[0]);
    if (!names.empty() && !names[0].empty() && names[0] != first->text) {
      Binding& b = scope_->names[names[0]];
      b = {.base = first->text};
    }
    return;
  }
  const bool view = conversion.write_back && !call.not_view_ && first && first->is(Kind::kTensor);
  for (size_t i = 0; i < call.results_.size(); ++i) {
    if (call.results_[i] == kNone || names[i].empty()) continue;
    if (view && !refresh) {
      Binding& b = scope_->names[names[i]];
      b.base = first->text;
      b.via = &node;
      b.output = static_cast<int>(i);
    }
    Bind(names[i], call.results_[i]);
  }
}

void Converter::Unsupported(const TorchNode& node) const {
  const std::string line = node.SourceLine();
  throw Error(
      Code::kUnsupported,
      fmt::format("Slipway has no ONNX form for the operator '{0}'{1}.\n  node '{2}'{3}{4}\n  Write that line with "
                  "other operators, or say how ONNX writes it: custom_translation_table={{torch.ops.{0}: function}}, "
                  "a function over onnxscript's operators.",
                  node.target, options_.opset ? fmt::format(" at opset {}", options_.opset) : "", node.name,
                  line.empty() ? "" : ", ", line));
}

}  // namespace slipway::pt2
