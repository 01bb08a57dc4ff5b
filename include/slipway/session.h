#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "slipway/options.h"
#include "slipway/tensor.h"
#include "slipway/value.h"

namespace slipway {

/// An axis of an input or output: a size, or the symbol that the model names it by ("" where it has no name).
struct AxisInfo {
  int64_t size = -1;  ///< -1: known only when fed
  std::string symbol;
};

/// An input or output of a model.
struct ValueInfo {
  std::string name;
  std::string type;                ///< onnxruntime's spelling: "tensor(float)", "seq(tensor(int64))"
  DType elem = DType::kUndefined;  ///< of a tensor
  bool has_rank = false;
  std::vector<AxisInfo> shape;
};

/// What a model's file says about itself.
struct ModelInfo {
  std::string producer_name, producer_version, domain, description, graph_name, graph_description;
  int64_t ir_version = 0;
  int64_t model_version = 0;
  std::map<std::string, int64_t> opsets;
  std::map<std::string, std::string> metadata;
};

/// How Session::RunMany() runs requests of different sizes together.
struct PackingInfo {
  /// Tokens of all requests go through the model's products together, without padding. False: one request after
  /// another.
  bool packed = false;
  std::string reason;  ///< why not; names the node
  /// What reads tokens and yet runs request by request, as attention does: the node, and why.
  std::vector<std::pair<std::string, std::string>> apart;
};

/// Values fed to a model, by name.
using Inputs = std::vector<std::pair<std::string, Value>>;

/// A model, loaded, optimized and ready. Safe to use from many threads at once.
class SLIPWAY_EXPORT Session {
 public:
  /// Loads an .onnx file, whose external data must lie in the file's folder, or a model that CompileModel() wrote.
  /// Throws Error.
  explicit Session(const std::string& path, const SessionOptions& options = {});
  /// The same from the file's bytes, which are copied. External data is looked for in `folder`.
  static Session FromBytes(std::string_view bytes, const SessionOptions& options = {}, const std::string& folder = "");
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();

  const std::vector<ValueInfo>& inputs() const;
  const std::vector<ValueInfo>& outputs() const;
  /// Initializers that may be fed like inputs.
  const std::vector<ValueInfo>& overridable_initializers() const;
  const ModelInfo& info() const;

  /// Runs the model and gives the outputs named (all where none is), in that order. Inputs by name, shapes as inputs()
  /// gives them. Throws Error(kInvalidArgument) where a name, type or shape does not fit.
  std::vector<Value> Run(const Inputs& inputs, std::span<const std::string> outputs = {},
                         const RunOptions& options = {}) const;

  /// Runs several requests and gives each one's outputs, those that Run() would give it alone. Their sizes may differ:
  /// where packing() says so they run together, each token once and none added, so that the time follows the tokens.
  /// Throws as Run() does, the message saying which request it is about, counted from 0.
  std::vector<std::vector<Value>> RunMany(std::span<const Inputs> requests, std::span<const std::string> outputs = {},
                                          const RunOptions& options = {}) const;
  /// How RunMany() runs this model; found out when first asked for.
  const PackingInfo& packing() const;

  /// Bytes that a run with these inputs' shapes needs for intermediate values: the plan's arena.
  size_t ArenaBytes(const Inputs& inputs) const;
  /// The nodes that will run, one a line, with types and shapes: for people.
  std::string Describe() const;

 private:
  struct State;
  explicit Session(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Compiles a model: what `path` holds, optimized at the level of `options`, with its weights packed as this CPU wants
/// them, in one file that sessions map and use as it is. It loads in milliseconds, and the processes that do share its
/// memory. It holds for this version of Slipway and for CPUs of this kind. Throws Error.
SLIPWAY_EXPORT void CompileModel(const std::string& path, const std::string& out, const SessionOptions& options = {});

}  // namespace slipway
