#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ops/packed_weights.h"

namespace slipway {

/// An activation of a recurrent cell: a name that ONNX lists, alpha and beta.
struct CellActivation {
  std::string name;
  float alpha = 0;
  float beta = 0;

  bool Is(std::string_view known) const;  ///< is that one of ONNX's names, in whatever case it is written
  /// x[i] = f(x[i]) for n numbers. T is float or double.
  template <class T>
  void Apply(T* x, int64_t n) const;
};

/// What RNN, GRU and LSTM have in common: attributes, shapes, packed weights, directions.
struct Recurrent {
  enum class Cell : uint8_t { kRnn, kGru, kLstm };
  Cell cell = Cell::kRnn;
  bool reverse = false;        ///< the first direction runs backwards
  bool bidirectional = false;  ///< a second one does
  bool batch_first = false;
  bool input_forget = false;
  bool linear_before_reset = false;
  float clip = 0;                           ///< 0: none
  std::optional<int64_t> hidden_size;       ///< what R has, too
  std::vector<CellActivation> activations;  ///< per direction: RNN 1, GRU 2, LSTM 3
  /// One a direction; of R one a part (see Parts). Empty: packed in the run.
  std::vector<PackedWeights> packed_w;
  std::vector<std::vector<PackedWeights>> packed_r;

  static Recurrent Parse(Cell cell, const Attributes& a);
  void Infer(InferContext& c) const;
  bool Prepack(int input, const InferContext& c, const kernels::Packing& packing);
  void Run(RunContext& c) const;

  int gates() const { return cell == Cell::kRnn ? 1 : cell == Cell::kGru ? 3 : 4; }
  int directions() const { return bidirectional ? 2 : 1; }
  int per_direction() const { return cell == Cell::kRnn ? 1 : cell == Cell::kGru ? 2 : 3; }
  /// How many gates each product with R computes: the last of a GRU waits for the reset gate, and those of an LSTM are
  /// apart where that leaves no panel of a product partly empty.
  std::vector<int> Parts(int64_t hidden) const {
    if (cell == Cell::kGru) return {2, 1};
    if (cell == Cell::kLstm && hidden % 64 == 0) return {1, 1, 1, 1};
    return {gates()};
  }

 private:
  template <class T>
  class Direction;
  template <class T>
  void RunTyped(RunContext& c) const;
};

}  // namespace slipway
