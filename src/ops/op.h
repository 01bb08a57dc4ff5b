#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "graph/graph.h"
#include "kernels/packing.h"
#include "slipway/value.h"
#include "thread/pool.h"

namespace slipway {

/// A set of element types.
class TypeSet {
 public:
  constexpr TypeSet() = default;
  constexpr TypeSet(std::initializer_list<DType> types) {
    for (DType t : types) bits_ |= 1u << static_cast<int>(t);
  }
  constexpr bool Has(DType t) const { return (bits_ >> static_cast<int>(t)) & 1; }
  constexpr TypeSet operator|(TypeSet other) const {
    TypeSet out;
    out.bits_ = bits_ | other.bits_;
    return out;
  }
  /// "float, float16 or double"
  std::string ToString() const;

 private:
  uint32_t bits_ = 0;
};
inline constexpr TypeSet kFloatTypes = {DType::kFloat, DType::kDouble, DType::kFloat16, DType::kBFloat16};
inline constexpr TypeSet kSignedTypes = {DType::kInt8, DType::kInt16, DType::kInt32, DType::kInt64};
inline constexpr TypeSet kUnsignedTypes = {DType::kUint8, DType::kUint16, DType::kUint32, DType::kUint64};
inline constexpr TypeSet kIntTypes = kSignedTypes | kUnsignedTypes;
inline constexpr TypeSet kNumericTypes = kFloatTypes | kIntTypes;
inline constexpr TypeSet kIndexTypes = {DType::kInt32, DType::kInt64};
inline constexpr TypeSet kComplexTypes = {DType::kComplex64, DType::kComplex128};
inline constexpr TypeSet kSmallTypes = {DType::kFloat8E4M3FN,   DType::kFloat8E4M3FNUZ, DType::kFloat8E5M2,
                                        DType::kFloat8E5M2FNUZ, DType::kFloat8E8M0,     DType::kFloat4E2M1,
                                        DType::kFloat6E2M3,     DType::kFloat6E3M2,     DType::kUint4,
                                        DType::kInt4,           DType::kUint2,          DType::kInt2};
inline constexpr TypeSet kAllTypes =
    kNumericTypes | kComplexTypes | kSmallTypes | TypeSet{DType::kBool, DType::kString};

/// The contents of an integer tensor of one axis or none, each known as a number or a symbol: what shape arithmetic
/// works on.
using SymbolicInts = std::vector<Dim>;

/// What an operator's shape rule sees, and where it puts what it finds. The same rule runs on symbols when a model is
/// loaded and on numbers when a plan is made.
class InferContext {
 public:
  const Graph& graph;
  const Node& node;
  std::vector<const Type*> in_types;         ///< null: input left out
  std::vector<const Tensor*> in_constants;   ///< null: contents not known
  std::vector<const SymbolicInts*> in_ints;  ///< null: not known
  std::vector<Type> out_types;               ///< one an output, filled by the rule
  std::vector<std::optional<SymbolicInts>> out_ints;
  /// Types of a subgraph's outputs, given those of its inputs. By default those found at load, without sizes.
  std::function<std::vector<Type>(Graph&, std::span<const Type>)> infer_subgraph;

  InferContext(const Graph& g, const Node& n);

  int num_inputs() const { return static_cast<int>(in_types.size()); }
  int num_outputs() const { return static_cast<int>(out_types.size()); }
  bool Has(int i) const { return i < num_inputs() && in_types[i]; }
  bool HasOut(int i) const { return i < num_outputs() && node.outputs[i] != kNone; }
  /// The input's type; Fail()s where it is left out.
  const Type& In(int i) const;
  DType Elem(int i) const { return In(i).elem; }
  /// The input's shape; of unknown rank for what is not a tensor.
  const SymbolicShape& Shape(int i) const { return In(i).shape; }
  bool HasRank(int i) const { return In(i).shape.has_rank(); }
  /// The input's contents where known, else null.
  const Tensor* Constant(int i) const { return i < num_inputs() ? in_constants[i] : nullptr; }
  /// An int32 or int64 input's contents as numbers or symbols, where known (constants included).
  std::optional<SymbolicInts> Ints(int i) const;
  /// The same where every element is a number.
  std::optional<std::vector<int64_t>> ConstInts(int i) const;

  /// Sets an output; outputs left out are ignored.
  void Out(int i, DType elem, SymbolicShape shape = {});
  void Out(int i, Type type);
  void OutInts(int i, SymbolicInts ints);

  /// Axis in [-rank, rank) as [0, rank); Fail()s outside. `what` names it in the message: "axis".
  int64_t Axis(int64_t axis, int64_t rank, std::string_view what = "axis") const;
  /// Fail()s where input i has another element type than input j, or one outside the set, or another rank.
  void ExpectSameElem(int i, int j) const;
  void ExpectElem(int i, TypeSet types) const;
  void ExpectRank(int i, int low, int high) const;

  /// Throws Error(kBadGraph): "node 'cat_3' (Concat): " and the message.
  template <class... Args>
  [[noreturn]] void Fail(fmt::format_string<Args...> format, Args&&... args) const {
    FailWith(fmt::format(format, std::forward<Args>(args)...));
  }
  /// "input X 'pixels'": the i-th input as a message should name it.
  std::string InputName(int i) const;

 private:
  [[noreturn]] void FailWith(const std::string& message) const;
};

/// ONNX's multidirectional broadcast of two shapes; `c` reports sizes that cannot be broadcast.
SymbolicShape Broadcast(const InferContext& c, const SymbolicShape& a, const SymbolicShape& b);

/// What an operator computes with: inputs and outputs as tensors, threads, scratch memory.
class RunContext {
 public:
  const Graph* graph = nullptr;
  const Node* node = nullptr;
  std::vector<Value*> in;   ///< null: left out
  std::vector<Value*> out;  ///< null: left out
  const Threads* pool = nullptr;
  /// Runs subgraph `attribute` of the node with these values for its inputs (captures are bound already).
  std::function<std::vector<Value>(std::string_view attribute, std::vector<Value> inputs)> run_subgraph;

  int num_inputs() const { return static_cast<int>(in.size()); }
  int num_outputs() const { return static_cast<int>(out.size()); }
  bool Has(int i) const { return i < num_inputs() && in[i]; }
  bool HasOut(int i) const { return i < num_outputs() && out[i]; }
  const Tensor& In(int i) const { return in[i]->tensor(); }
  const Value& InValue(int i) const { return *in[i]; }
  /// The output, of the type and shape that Infer gave, not initialised.
  Tensor& Out(int i) const { return out[i]->tensor(); }
  /// For a shape that only the data tells: makes the output and returns it.
  Tensor& Allocate(int i, DType elem, Shape shape) const;
  void SetOut(int i, Value value) const { *out[i] = std::move(value); }
  const Threads& threads() const { return *pool; }
  /// `bytes` of 64-byte-aligned memory that is the operator's until Run returns; one call a run. Not initialised.
  void* Scratch(size_t bytes) const;

  /// Throws Error(kRuntime): "node 'gather_3' (Gather): " and the message.
  template <class... Args>
  [[noreturn]] void Fail(fmt::format_string<Args...> format, Args&&... args) const {
    FailWith(fmt::format(format, std::forward<Args>(args)...));
  }

  /// Grown as needed and kept from run to run by the owner of the context.
  struct ScratchBuffer {
    std::shared_ptr<void> data;
    size_t bytes = 0;
  };
  ScratchBuffer* scratch = nullptr;

 private:
  [[noreturn]] void FailWith(const std::string& message) const;
};

/// One node's operator: its attributes, its shape rule and its computation. Run may be called from several threads at
/// once.
class Op {
 public:
  virtual ~Op() = default;
  virtual void Infer(InferContext& c) const = 0;
  virtual void Run(RunContext& c) const = 0;
  /// Offers a constant input, c.Constant(input), once, before any run; the types in `c` are those known at load. True:
  /// the operator keeps its own packed form, in blocks of packing.store, and reads In(input) for its type and shape
  /// only, so that the original's memory may go. In a compiled model it is gone already: the data is for `fill` to
  /// read.
  virtual bool Prepack(int input, const InferContext& c, const kernels::Packing& packing) { return false; }
};

/// What is fixed for an operator. What is left out means "no".
struct OpDef {
  std::string_view name;
  int since = 1;  ///< the opset of the newest form, which is the one that the code knows; older files are upgraded
  std::string_view domain = kOnnxDomain;
  int min_inputs = 1;
  int max_inputs = 1;  ///< kVariadic: any number
  int min_outputs = 1;
  int max_outputs = 1;
  TypeSet types = kAllTypes;  ///< of input 0 where that is a tensor; the rest is for Infer to check
  int in_place = kNone;  ///< output 0 may take this input's memory where it has as many bytes and nobody else reads it
  bool alias = false;    ///< output 0 is input 0's data under another shape: nothing is computed
  bool shape_only = false;  ///< reads input 0's shape, not its data
  bool impure = false;      ///< gives something else every time: not folded, not merged
  std::unique_ptr<Op> (*make)(const Node& node) = nullptr;
};
inline constexpr int kVariadic = 1 << 30;

namespace internal {

template <class T>
class OpOf final : public Op {
 public:
  explicit OpOf(T op) : op_(std::move(op)) {}
  void Infer(InferContext& c) const override { op_.Infer(c); }
  void Run(RunContext& c) const override {
    if constexpr (requires { op_.Run(c); }) op_.Run(c);
  }
  bool Prepack(int input, const InferContext& c, const kernels::Packing& packing) override {
    if constexpr (requires { &T::Prepack; }) {
      return op_.Prepack(input, c, packing);
    } else {
      return false;
    }
  }

 private:
  T op_;
};

}  // namespace internal

/// An operator from a struct with `void Infer(InferContext&) const`, `void Run(RunContext&) const` (an alias needs
/// none), and where wanted `static T Parse(const Attributes&)` and `bool Prepack(int, const InferContext&, const
/// kernels::Packing&)`.
template <class T>
constexpr OpDef Define(OpDef def) {
  def.make = [](const Node& node) -> std::unique_ptr<Op> {
    if constexpr (requires { T::Parse(node.attributes); }) {
      return std::make_unique<internal::OpOf<T>>(T::Parse(node.attributes));
    } else {
      return std::make_unique<internal::OpOf<T>>(T{});
    }
  };
  return def;
}

/// The operator, or null where Slipway has none of that name.
const OpDef* FindOp(std::string_view domain, std::string_view name);
/// All operators, in the order of ops.inc.
std::span<const OpDef* const> AllOps();
/// The node's operator: checks that it exists, the number of inputs and outputs and the attributes' types. Throws Error
/// naming the node.
std::unique_ptr<Op> MakeOp(const Graph& graph, const Node& node);

/// Runs the shape rules over the graph in order and sets every value's type; what the file declared is checked against
/// it. Contents known at load (constants, shape arithmetic on symbols) take part. Throws Error naming the node.
void InferTypes(Graph& graph);

}  // namespace slipway
