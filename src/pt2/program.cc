#include "pt2/program.h"

#include <cmath>
#include <limits>

#include <fmt/format.h>
#include <simdjson.h>

#include "slipway/error.h"

namespace slipway::pt2 {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;
using Kind = Argument::Kind;

constexpr int kMaxDepth = 64;

[[noreturn]] void Bad(std::string_view what) {
  throw Error(Code::kBadFile, fmt::format("this is not a program that torch.export wrote: {}.", what));
}

element Field(const object& o, std::string_view key) {
  element e;
  if (o[key].get(e)) Bad(fmt::format("'{}' is missing", key));
  return e;
}
bool Has(const object& o, std::string_view key) {
  element e;
  return !o[key].get(e) && !e.is_null();
}
object Object(const element& e, std::string_view what) {
  object o;
  if (e.get(o)) Bad(fmt::format("{} is no object", what));
  return o;
}
array Array(const element& e, std::string_view what) {
  array a;
  if (e.get(a)) Bad(fmt::format("{} is no list", what));
  return a;
}
std::string String(const element& e, std::string_view what) {
  std::string_view s;
  if (e.get(s)) Bad(fmt::format("{} is no string", what));
  return std::string(s);
}
std::string String(const object& o, std::string_view key) { return String(Field(o, key), key); }
int64_t Int(const element& e, std::string_view what) {
  int64_t i;
  if (!e.get(i)) return i;
  uint64_t u;
  if (!e.get(u)) return std::numeric_limits<int64_t>::max();
  Bad(fmt::format("{} is no whole number", what));
}
bool Bool(const element& e, std::string_view what) {
  bool b;
  if (e.get(b)) Bad(fmt::format("{} is neither true nor false", what));
  return b;
}
/// A float, which the writer spells as a string where JSON has no word for it.
double Float(const element& e, std::string_view what) {
  double d;
  if (!e.get(d)) return d;
  std::string_view s;
  if (!e.get(s)) {
    if (s == "Infinity") return std::numeric_limits<double>::infinity();
    if (s == "-Infinity") return -std::numeric_limits<double>::infinity();
    if (s == "NaN") return std::numeric_limits<double>::quiet_NaN();
  }
  Bad(fmt::format("{} is no number", what));
}

/// The one field of a tagged union.
std::pair<std::string_view, element> Tagged(const element& e, std::string_view what) {
  const object o = Object(e, what);
  for (auto [key, value] : o) {
    if (!value.is_null()) return {key, value};
  }
  // A union whose value is null: {"as_none": null} of older writers.
  return {"as_none", e};
}

class Reader {
 public:
  TorchGraph ReadGraph(const object& o, int depth) {
    if (depth > kMaxDepth) Bad("its graphs are nested too deeply");
    TorchGraph g;
    for (const element& e : Array(Field(o, "inputs"), "inputs")) g.inputs.push_back(ReadArgument(e, depth));
    for (const element& e : Array(Field(o, "outputs"), "outputs")) g.outputs.push_back(ReadArgument(e, depth));
    for (auto [name, meta] : Object(Field(o, "tensor_values"), "tensor_values")) {
      g.tensors.emplace(std::string(name), ReadMeta(meta));
    }
    for (const std::string_view key : {"sym_int_values", "sym_bool_values", "sym_float_values"}) {
      if (!Has(o, key)) continue;
      for (auto [name, value] : Object(Field(o, key), key)) g.symbols.emplace(std::string(name), ReadExpr(value));
    }
    for (const element& e : Array(Field(o, "nodes"), "nodes")) g.nodes.push_back(ReadNode(Object(e, "a node"), depth));
    if (Has(o, "is_single_tensor_return")) g.single_output = Bool(Field(o, "is_single_tensor_return"), "a flag");
    return g;
  }

  Argument ReadArgument(const element& e, int depth) {
    if (depth > kMaxDepth) Bad("its arguments are nested too deeply");
    const auto [tag, v] = Tagged(e, "an argument");
    return ReadTagged(tag, v, depth);
  }

 private:
  Argument ReadTagged(std::string_view tag, const element& v, int depth) {
    const auto text = [&](Kind kind, std::string s) { return Argument{.kind = kind, .text = std::move(s)}; };
    const auto number = [&](Kind kind) { return Argument{.kind = kind, .number = Int(v, tag)}; };
    const auto list = [&](auto read) {
      Argument a{.kind = Kind::kList};
      for (const element& item : Array(v, tag)) a.items.push_back(read(item));
      return a;
    };
    const auto named = [&](const element& item) { return text(Kind::kTensor, String(Object(item, tag), "name")); };
    const auto sym_int = [&](const element& item) { return ReadSym(item, Kind::kSymInt); };
    const auto sym_float = [&](const element& item) { return ReadSym(item, Kind::kSymFloat); };
    const auto sym_bool = [&](const element& item) { return ReadSym(item, Kind::kSymBool); };
    const auto integer = [&](const element& item) { return Argument{.kind = Kind::kInt, .number = Int(item, tag)}; };
    const auto real = [&](const element& item) { return Argument{.kind = Kind::kFloat, .real = Float(item, tag)}; };
    const auto optional = [&](const element& item) { return ReadArgument(item, depth + 1); };
    if (tag == "as_none") return {};
    if (tag == "as_tensor") return named(v);
    if (tag == "as_tensors") return list(named);
    if (tag == "as_int") return integer(v);
    if (tag == "as_ints") return list(integer);
    if (tag == "as_float") return real(v);
    if (tag == "as_floats") return list(real);
    if (tag == "as_string") return text(Kind::kString, String(v, tag));
    if (tag == "as_strings") return list([&](const element& s) { return text(Kind::kString, String(s, tag)); });
    if (tag == "as_sym_int") return sym_int(v);
    if (tag == "as_sym_ints") return list(sym_int);
    if (tag == "as_sym_float") return sym_float(v);
    if (tag == "as_sym_floats") return list(sym_float);
    if (tag == "as_sym_bool") return sym_bool(v);
    if (tag == "as_sym_bools") return list(sym_bool);
    if (tag == "as_scalar_type") return number(Kind::kScalarType);
    if (tag == "as_memory_format") return number(Kind::kMemoryFormat);
    if (tag == "as_layout") return number(Kind::kLayout);
    if (tag == "as_device") return text(Kind::kDevice, String(Object(v, tag), "type"));
    if (tag == "as_bool") return {.kind = Kind::kBool, .number = Bool(v, tag)};
    if (tag == "as_bools") {
      return list([&](const element& b) { return Argument{.kind = Kind::kBool, .number = Bool(b, tag)}; });
    }
    if (tag == "as_optional_tensor") return optional(v);
    if (tag == "as_optional_tensors") return list(optional);
    if (tag == "as_operator") return text(Kind::kOperator, String(v, tag));
    if (tag == "as_custom_obj") return text(Kind::kCustomObject, String(Object(v, tag), "name"));
    if (tag == "as_complex") {
      const object o = Object(v, tag);
      return {.kind = Kind::kComplex, .real = Float(Field(o, "real"), tag), .imaginary = Float(Field(o, "imag"), tag)};
    }
    if (tag == "as_graph") {
      const object o = Object(v, tag);
      Argument a = text(Kind::kGraph, String(o, "name"));
      a.graph = std::make_shared<const TorchGraph>(ReadGraph(Object(Field(o, "graph"), "a graph"), depth + 1));
      return a;
    }
    const auto lists = [&](auto read) {
      return list([&](const element& inner) {
        Argument a{.kind = Kind::kList};
        for (const element& item : Array(inner, tag)) a.items.push_back(read(item));
        return a;
      });
    };
    if (tag == "as_nested_tensors") return lists(named);
    if (tag == "as_int_lists") return lists(integer);
    if (tag == "as_float_lists") return lists(real);
    if (tag == "as_string_to_argument") {
      Argument a{.kind = Kind::kDict};
      for (auto [key, item] : Object(v, tag)) {
        a.keys.emplace_back(key);
        a.items.push_back(ReadArgument(item, depth + 1));
      }
      return a;
    }
    Bad(fmt::format("an argument is of the kind '{}', which this version of Slipway does not know", tag));
  }

  Argument ReadSym(const element& e, Kind kind) {
    const auto [tag, v] = Tagged(e, "a symbolic argument");
    if (tag == "as_name") return {.kind = kind, .text = String(v, tag)};
    if (tag == "as_int") return {.kind = Kind::kInt, .number = Int(v, tag)};
    if (tag == "as_float") return {.kind = Kind::kFloat, .real = Float(v, tag)};
    if (tag == "as_bool") return {.kind = Kind::kBool, .number = Bool(v, tag)};
    Bad(fmt::format("a symbolic argument is of the kind '{}'", tag));
  }

  Expr ReadExpr(const element& e) {
    const auto [tag, v] = Tagged(e, "a size");
    if (tag == "as_int") return Int(v, tag);
    if (tag == "as_bool") return Expr::Bool(Bool(v, tag));
    if (tag == "as_float") return Expr::Float(Float(v, tag));
    if (tag != "as_expr") Bad(fmt::format("a size is of the kind '{}'", tag));
    std::string text = String(Object(v, tag), "expr_str");
    auto known = exprs_.find(text);
    if (known == exprs_.end()) {
      Expr parsed = Expr::Parse(text);
      known = exprs_.emplace(std::move(text), std::move(parsed)).first;
    }
    return known->second;
  }

  TensorMeta ReadMeta(const element& e) {
    const object o = Object(e, "a tensor's description");
    TensorMeta meta{.dtype = FromScalarType(Int(Field(o, "dtype"), "dtype"))};
    for (const element& size : Array(Field(o, "sizes"), "sizes")) meta.sizes.push_back(ReadExpr(size));
    if (Has(o, "strides")) {
      for (const element& stride : Array(Field(o, "strides"), "strides")) meta.strides.push_back(ReadExpr(stride));
    }
    return meta;
  }

  TorchNode ReadNode(const object& o, int depth) {
    TorchNode n{.target = String(o, "target")};
    constexpr std::string_view kPrefix = "torch.ops.";
    if (n.target.starts_with(kPrefix)) n.target.erase(0, kPrefix.size());
    for (const element& e : Array(Field(o, "inputs"), "inputs")) {
      const object input = Object(e, "an input");
      n.inputs.emplace_back(String(input, "name"), ReadArgument(Field(input, "arg"), depth + 1));
    }
    for (const element& e : Array(Field(o, "outputs"), "outputs")) n.outputs.push_back(ReadArgument(e, depth + 1));
    if (Has(o, "name")) n.name = String(o, "name");
    if (Has(o, "metadata")) {
      const object metadata = Object(Field(o, "metadata"), "metadata");
      if (Has(metadata, "stack_trace")) n.stack_trace = String(metadata, "stack_trace");
      if (Has(metadata, "nn_module_stack")) n.module_stack = String(metadata, "nn_module_stack");
    }
    return n;
  }

  std::unordered_map<std::string, Expr> exprs_;  // by what the file says
};

std::string TargetName(const object& o, std::string_view key) { return Has(o, key) ? String(o, key) : std::string(); }

InputSpec ReadInputSpec(const element& e) {
  const auto [tag, v] = Tagged(e, "an input");
  const object o = Object(v, tag);
  const auto named = [&](InputSpec::Kind kind, Kind argument, std::string_view key) {
    const object a = Object(Field(o, "arg"), "arg");
    return InputSpec{kind, {.kind = argument, .text = String(a, "name")}, TargetName(o, key)};
  };
  if (tag == "user_input") return {InputSpec::Kind::kUser, Reader().ReadArgument(Field(o, "arg"), 0), ""};
  if (tag == "parameter") return named(InputSpec::Kind::kParameter, Kind::kTensor, "parameter_name");
  if (tag == "buffer") return named(InputSpec::Kind::kBuffer, Kind::kTensor, "buffer_name");
  if (tag == "tensor_constant") return named(InputSpec::Kind::kConstant, Kind::kTensor, "tensor_constant_name");
  if (tag == "custom_obj") return named(InputSpec::Kind::kCustomObject, Kind::kCustomObject, "custom_obj_name");
  if (tag == "token") return named(InputSpec::Kind::kToken, Kind::kToken, "");
  if (tag == "constant_input") return {InputSpec::Kind::kFixed, {}, String(o, "name")};
  Bad(fmt::format("an input is a '{}'", tag));
}

OutputSpec ReadOutputSpec(const element& e) {
  const auto [tag, v] = Tagged(e, "an output");
  const object o = Object(v, tag);
  if (tag == "user_output") return {OutputSpec::Kind::kUser, Reader().ReadArgument(Field(o, "arg"), 0), ""};
  for (const auto& [kind, key] : {std::pair{"buffer_mutation", "buffer_name"},
                                  {"parameter_mutation", "parameter_name"},
                                  {"user_input_mutation", "user_input_name"}}) {
    if (tag == kind) return {OutputSpec::Kind::kMutation, {}, String(o, key)};
  }
  return {OutputSpec::Kind::kOther, {}, ""};
}

template <class F>
auto WithDocument(std::string_view json, const F& f) {
  simdjson::dom::parser parser;
  element root;
  const simdjson::padded_string padded(json);
  if (const auto error = parser.parse(padded).get(root)) Bad(simdjson::error_message(error));
  return f(Object(root, "the document"));
}

}  // namespace

DType FromScalarType(int64_t code) {
  constexpr DType kTypes[] = {DType::kUndefined, DType::kUint8,      DType::kInt8,  DType::kInt16,   DType::kInt32,
                              DType::kInt64,     DType::kFloat16,    DType::kFloat, DType::kDouble,  DType::kUndefined,
                              DType::kComplex64, DType::kComplex128, DType::kBool,  DType::kBFloat16};
  if (code >= 0 && code < static_cast<int64_t>(std::size(kTypes))) return kTypes[code];
  switch (code) {
    case 28:
      return DType::kUint16;
    case 29:
      return DType::kFloat8E4M3FN;
    case 30:
      return DType::kFloat8E5M2;
    case 31:
      return DType::kFloat8E4M3FNUZ;
    case 32:
      return DType::kFloat8E5M2FNUZ;
    case 33:
      return DType::kFloat8E8M0;
    case 34:
      return DType::kUint32;
    case 35:
      return DType::kUint64;
    default:
      return DType::kUndefined;
  }
}

TorchProgram ReadProgram(std::string_view json) {
  return WithDocument(json, [](const object& root) {
    TorchProgram p;
    const object version = Object(Field(root, "schema_version"), "schema_version");
    const int64_t major = Int(Field(version, "major"), "the schema's version");
    if (major != 8) {
      throw Error(Code::kUnsupported,
                  fmt::format("the program's schema is version {}; Slipway reads version 8 (torch 2.6 and newer).\n"
                              "  Export it again with a newer PyTorch.",
                              major));
    }
    const object module = Object(Field(root, "graph_module"), "graph_module");
    p.graph = Reader().ReadGraph(Object(Field(module, "graph"), "graph"), 0);
    const object signature = Object(Field(module, "signature"), "signature");
    for (const element& e : Array(Field(signature, "input_specs"), "input_specs")) p.inputs.push_back(ReadInputSpec(e));
    for (const element& e : Array(Field(signature, "output_specs"), "output_specs")) {
      p.outputs.push_back(ReadOutputSpec(e));
    }
    if (Has(root, "range_constraints")) {
      for (auto [name, value] : Object(Field(root, "range_constraints"), "range_constraints")) {
        const object o = Object(value, "a range");
        Range range;
        if (Has(o, "min_val")) range.low = Int(Field(o, "min_val"), "min_val");
        if (Has(o, "max_val")) range.high = Int(Field(o, "max_val"), "max_val");
        p.ranges.emplace(std::string(name), range);
      }
    }
    if (Has(root, "torch_version")) p.torch_version = String(root, "torch_version");
    return p;
  });
}

std::vector<StoredTensor> ReadWeightsConfig(std::string_view json) {
  return WithDocument(json, [](const object& root) {
    std::vector<StoredTensor> tensors;
    for (auto [name, value] : Object(Field(root, "config"), "config")) {
      const object o = Object(value, "a weight");
      StoredTensor t{.name = std::string(name), .path = String(o, "path_name")};
      t.pickled = Has(o, "use_pickle") && Bool(Field(o, "use_pickle"), "use_pickle");
      if (Has(o, "tensor_meta")) {
        const object meta = Object(Field(o, "tensor_meta"), "tensor_meta");
        const auto number = [](const element& e) {
          const auto [tag, v] = Tagged(e, "a size");
          if (tag != "as_int") Bad("a weight's size is not a number");
          return Int(v, tag);
        };
        t.has_meta = true;
        t.meta.dtype = FromScalarType(Int(Field(meta, "dtype"), "dtype"));
        for (const element& e : Array(Field(meta, "sizes"), "sizes")) t.meta.sizes.push_back(number(e));
        for (const element& e : Array(Field(meta, "strides"), "strides")) t.meta.strides.push_back(number(e));
        t.meta.offset = number(Field(meta, "storage_offset"));
      }
      tensors.push_back(std::move(t));
    }
    return tensors;
  });
}

const Argument* TorchNode::Find(std::string_view argument) const {
  for (const auto& [key, value] : inputs) {
    if (key == argument) return &value;
  }
  return nullptr;
}

std::string TorchNode::SourceLine() const {
  // Pairs of lines: `File "model.py", line 12, in forward` and the code. The first that is not a library's own.
  std::string found;
  size_t at = 0;
  while ((at = stack_trace.find("File \"", at)) != std::string::npos) {
    const size_t path = at + 6;
    const size_t quote = stack_trace.find('"', path);
    if (quote == std::string::npos) break;
    const size_t end = std::min(stack_trace.find('\n', quote), stack_trace.size());
    const size_t number = stack_trace.find("line ", quote);
    std::string line = stack_trace.substr(path, quote - path);
    if (number < end)
      line += ":" + stack_trace.substr(number + 5, stack_trace.find_first_of(",\n", number) - number - 5);
    if (end < stack_trace.size()) {
      const size_t start = stack_trace.find_first_not_of(" \t", end + 1);
      const size_t code_end = std::min(stack_trace.find('\n', end + 1), stack_trace.size());
      if (start < code_end) line += ": " + stack_trace.substr(start, code_end - start);
    }
    const bool library = line.find("site-packages/torch/") != std::string::npos || line.starts_with("torch/");
    if (found.empty() || !library) found = line;
    at = end;
  }
  return found;
}

std::string TorchNode::ModulePath() const {
  const size_t last = module_stack.rfind(';');
  const std::string entry = last == std::string::npos ? module_stack : module_stack.substr(last + 1);
  const size_t comma = entry.find(',');
  if (comma == std::string::npos) return {};
  std::string path = entry.substr(comma + 1, entry.find(',', comma + 1) - comma - 1);
  return path.starts_with("_empty_nn_module_stack") ? std::string() : path;
}

}  // namespace slipway::pt2
