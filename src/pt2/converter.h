#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ops/infer.h"
#include "pt2/convert.h"
#include "pt2/program.h"

namespace slipway::pt2 {

using Exprs = std::vector<Expr>;

/// A tensor of the program in the graph that is being built: its value there, and what torch knows of it.
struct TensorRef {
  ValueId id = kNone;
  DType dtype = DType::kUndefined;
  Exprs shape;

  bool defined() const { return id != kNone; }
  int rank() const { return static_cast<int>(shape.size()); }
  /// An axis counted from the end where negative, as torch does it: -1 of a rank 0 is 0.
  int Axis(int64_t axis) const {
    const int64_t most = std::max(rank(), 1), at = axis < 0 ? axis + most : axis;
    if (at < 0 || at >= most) {
      throw Error(Code::kBadFile, fmt::format("axis {} does not exist: the tensor has rank {}.", axis, rank()));
    }
    return static_cast<int>(at);
  }
};

class Call;

/// How one operator of torch is converted.
struct Conversion {
  std::string_view target;  ///< "aten.add", or one overload: "aten.add.Scalar"
  void (*convert)(Call& c) = nullptr;
  std::string_view detail = {};  ///< for functions that serve many operators: the ONNX operator, usually
  /// Set where the result shares memory with the first argument: gives that argument anew where `value` has been
  /// written to output `index`.
  ValueId (*write_back)(Call& c, const TensorRef& base, ValueId value, int index) = nullptr;
};

/// The conversions of one family, one a file in aten/, listed in aten.inc.
struct ConversionTable {
  const Conversion* begin;
  const Conversion* end;
};

#define TABLE(Name) extern const ConversionTable k##Name##Table;
#include "pt2/aten/aten.inc"
#undef TABLE

/// The conversion of a target: the overload's own, else the operator's; null where there is none.
const Conversion* FindConversion(std::string_view target);

/// A graph under construction: the model's, or a subgraph of a control-flow node.
struct Frame {
  Graph* graph;
  Frame* parent = nullptr;
  KnownInts ints;
  std::unordered_map<std::string, ValueId> sizes;                 // expression -> value of shape [1]
  std::unordered_map<std::string, ValueId> scalars;               // expression, type -> value of rank 0
  std::unordered_map<std::string, ValueId> constants;             // contents -> constant
  std::unordered_map<std::string, std::pair<ValueId, int>> axes;  // expression -> an axis that has this size
  std::unordered_map<std::string, ValueId> symbol_values;         // symbol -> a number of rank 0 that the graph holds
  std::unordered_map<ValueId, ValueId> turned;                    // weights -> the same transposed
  std::vector<ValueId> outer;                                     // what is captured: the parent's values
  std::unordered_map<ValueId, ValueId> captured;                  // the parent's value -> ours
};

/// A finished subgraph, for an attribute of a control-flow node.
struct Subgraph {
  std::shared_ptr<Graph> graph;
  std::vector<ValueId> outer;  ///< what graph->captures stand for
};

/// Builds a Graph from a program, node by node.
class Converter {
 public:
  Converter(const Program& program, const TorchProgram& torch, const ConvertOptions& options, Report& report);
  std::unique_ptr<Graph> Run();
  const ConvertOptions& options() const { return options_; }
  /// The versions of other domains whose operators translations brought in.
  const std::map<std::string, int64_t>& opsets() const { return opsets_; }
  void Warn(std::string message);
  /// The model's weights that were turned round, and what they became.
  const std::unordered_map<ValueId, ValueId>& turned() const { return root_.turned; }

  // ---- For Call; see there -------------------------------------------------------------------------------
  Graph& graph() { return *frame_->graph; }
  TensorRef Read(const std::string& name);
  /// The tensor's first value, or a later one: what the program calls `name` is now `id`.
  void Bind(const std::string& name, ValueId id);
  /// An in-place operator wrote `id` to the tensor: those that share its memory see it.
  void Write(const std::string& name, ValueId id);
  Expr Symbolic(const Argument& argument);
  const TensorMeta* Meta(const std::string& name) const;
  ValueId Size(const Expr& e);                 // int64 [1]
  ValueId Number(const Expr& e, DType dtype);  // rank 0
  ValueId Constant(Tensor tensor, std::string name = {});
  std::vector<ValueId> AddNode(Node node, int outputs, const std::string& name);
  void BindSymbol(const Expr& e, ValueId scalar);
  void RunNodes(const TorchGraph& graph);
  /// Runs a graph in place: its inputs are these arguments; returns its outputs.
  std::vector<TensorRef> Inline(const TorchGraph& graph, const std::vector<Argument>& arguments);
  /// Builds a graph of its own for If, Loop or Scan. `body` gives its outputs; what it reads from around is captured.
  Subgraph Build(const std::string& name, const std::function<std::vector<ValueId>(Graph&)>& body);
  /// A value of the graph around as one of the graph under construction.
  ValueId Capture(ValueId outer);
  /// Runs a program's graph within Build, with these tensors (of the graph under construction) for its inputs.
  /// `numbers` are its inputs that are no tensors.
  std::vector<TensorRef> RunWith(const TorchGraph& graph, const std::vector<TensorRef>& inputs,
                                 std::unordered_map<std::string, Expr> numbers = {});
  Dim ToDim(const Expr& e) const;
  /// The least a symbol can be.
  int64_t Low(const std::string& symbol) const;
  /// Remembers that these axes have these sizes, so that sizes need not be computed.
  void NoteAxes(ValueId id, const Exprs& shape);

 private:
  friend class Call;
  struct Binding {
    ValueId id = kNone;
    Frame* frame = nullptr;
    std::string base;                // what it is a view of
    const TorchNode* via = nullptr;  // the node that made the view
    int output = 0;
    int seen = 0;     // the version of the root that id shows
    int version = 0;  // of a root
  };
  /// The names of one of the program's graphs.
  struct Scope {
    const TorchGraph* graph;
    std::unordered_map<std::string, Binding> names;
    std::unordered_map<std::string, Expr> numbers;
  };

  void AddInputs();
  void AddOutputs();
  void AddWeight(const InputSpec& spec);
  void ConvertNode(const TorchNode& node, bool refresh = false);
  void ConvertKnown(const TorchNode& node, const Conversion& conversion, bool refresh);
  bool Translate(const TorchNode& node);
  bool TouchesComplex(const TorchNode& node) const;
  [[noreturn]] void Unsupported(const TorchNode& node) const;
  Binding& Root(const std::string& name);
  ValueId Value(const std::string& name);
  ValueId SolveFor(const Expr& symbol, bool scalar);
  ValueId Compute(const Expr& e, bool scalar);

  const Program& program_;
  const TorchProgram& torch_;
  const ConvertOptions& options_;
  Report& report_;
  std::unique_ptr<Graph> model_;
  Frame root_;
  Frame* frame_ = &root_;
  Scope* scope_ = nullptr;
  std::map<std::string, std::string> symbol_names_;
  std::map<std::string, int64_t> opsets_;
  std::unordered_map<std::string, ValueId> weights_;  // by the name that holds the data
  const TorchNode* node_ = nullptr;
  std::set<std::string> warned_;
};

/// A tensor or number that takes part in type promotion.
struct Operand {
  TensorRef tensor;            // where it is one
  std::optional<Expr> number;  // else
};
/// The type that torch computes in.
DType Promote(const std::vector<Operand>& operands);
bool IsFloating(DType type);
bool IsComplex(DType type);
bool IsInteger(DType type);

/// One node of the program while it is converted: its arguments by the names of torch's schema, and ways to add nodes.
class Call {
 public:
  Call(Converter& converter, const TorchNode& node, std::string_view detail)
      : converter_(converter), node_(node), detail_(detail) {}

  Converter& converter() { return converter_; }
  const TorchNode& node() const { return node_; }
  std::string_view detail() const { return detail_; }
  Graph& graph() { return converter_.graph(); }

  // ---- Arguments ------------------------------------------------------------------------------------------
  /// Null where absent or None.
  const Argument* Find(std::string_view name) const;
  bool Has(std::string_view name) const { return Find(name) != nullptr; }
  TensorRef Tensor(std::string_view name);
  /// Not defined() where absent or None.
  TensorRef OptionalTensor(std::string_view name);
  /// Those of a list; not defined() for None.
  std::vector<TensorRef> Tensors(std::string_view name);
  /// A size or other whole number, which may be symbolic.
  Expr Size(std::string_view name);
  Expr Size(std::string_view name, Expr otherwise);
  /// A list of them; one number counts as a list.
  Exprs Sizes(std::string_view name);
  int64_t Int(std::string_view name);
  int64_t Int(std::string_view name, int64_t otherwise);
  std::vector<int64_t> Ints(std::string_view name);
  /// A list of `count`: one number is repeated, an absent or empty list is `otherwise`.
  std::vector<int64_t> Ints(std::string_view name, size_t count, int64_t otherwise);
  bool Bool(std::string_view name, bool otherwise);
  double Float(std::string_view name, double otherwise);
  std::string String(std::string_view name, std::string_view otherwise);
  std::optional<DType> Dtype(std::string_view name);
  slipway::pt2::Operand Operand(std::string_view name);
  slipway::pt2::Operand ToOperand(const Argument& argument);
  /// An operand as a value of this type; numbers have rank 0.
  ValueId Use(const slipway::pt2::Operand& operand, DType dtype);

  // ---- Results --------------------------------------------------------------------------------------------
  int num_outputs() const { return static_cast<int>(names_().size()); }
  /// What torch knows of an output.
  DType OutDtype(int i = 0) const;
  Exprs OutShape(int i = 0) const;
  int OutRank(int i = 0) const { return static_cast<int>(OutShape(i).size()); }
  /// False where nothing is known of the output: nobody uses it.
  bool Wants(int i) const;
  /// Sets an output; it is cast where its type is another.
  void Out(int i, ValueId value);
  void Out(ValueId value) { Out(0, value); }
  /// For conversions with a write_back: this time the result has memory of its own.
  void NotAView() { not_view_ = true; }

  // ---- Values ---------------------------------------------------------------------------------------------
  ValueId Add(std::string_view op, std::vector<ValueId> inputs, Attributes attributes = {},
              std::string_view domain = kOnnxDomain);
  std::vector<ValueId> AddMany(std::string_view op, std::vector<ValueId> inputs, int outputs,
                               Attributes attributes = {}, std::string_view domain = kOnnxDomain);
  ValueId Constant(slipway::Tensor tensor, std::string name = {});
  ValueId IntsConstant(const std::vector<int64_t>& values);
  ValueId Scalar(double value, DType dtype);
  ValueId Scalar(const Expr& value, DType dtype) { return converter_.Number(value, dtype); }
  /// int64 of shape [n]; numbers and symbols may be mixed.
  ValueId SizeVector(const Exprs& sizes);
  ValueId SizeScalar(const Expr& size) { return converter_.Number(size, DType::kInt64); }
  /// A constant filled with a number.
  ValueId Full(const Exprs& shape, const Expr& value, DType dtype);
  DType Elem(ValueId v) { return graph().value(v).type.elem; }
  ValueId Cast(ValueId v, DType to);
  /// A tensor as another type.
  TensorRef Cast(const TensorRef& t, DType to);
  ValueId Reshape(ValueId v, const Exprs& from, const Exprs& to);
  ValueId Transpose(ValueId v, const std::vector<int64_t>& perm);
  /// The last two of `rank` axes exchanged.
  ValueId SwapLast(ValueId v, int rank);
  /// A matrix the other way round; of a constant it is one too, made once.
  ValueId Transposed(const TensorRef& matrix);
  ValueId Unsqueeze(ValueId v, const std::vector<int64_t>& axes);
  ValueId Squeeze(ValueId v, const std::vector<int64_t>& axes);
  ValueId Slice(ValueId v, int axis, const Expr& start, const Expr& end, int64_t step = 1);
  ValueId Select(ValueId v, int axis, const Expr& index);
  ValueId Concat(const std::vector<ValueId>& values, int axis);
  ValueId Expand(ValueId v, const Exprs& from, const Exprs& to);

  /// Throws Error(kUnsupported) with the node, its source line and the message.
  template <class... Args>
  [[noreturn]] void Fail(fmt::format_string<Args...> format, Args&&... args) const {
    FailWith(fmt::format(format, std::forward<Args>(args)...));
  }
  void Warn(std::string message) { converter_.Warn(std::move(message)); }

 private:
  friend class Converter;
  [[noreturn]] void FailWith(const std::string& message) const;
  const std::vector<std::string>& names_() const;
  mutable std::optional<std::vector<std::string>> output_names_;

  Converter& converter_;
  const TorchNode& node_;
  std::string_view detail_;
  std::vector<ValueId> results_;
  bool not_view_ = false;
};

/// Whether an expression's value is a real number and not a whole one or a truth.
bool IsFloatExpr(const Expr& e);

/// All the elements are one and the same scalar of the type.
slipway::Tensor Filled(DType dtype, Shape shape, double value);

}  // namespace slipway::pt2
