#pragma once

#include "kernels/conv/conv.h"

namespace slipway::kernels {

/// Winograd's way with a kernel row of 3: `tile` outputs from `inputs` numbers, which become `values` numbers to
/// multiply with the kernel's 3 numbers transformed to `matrices`. Both axes of an image go by the same form.
struct WinogradForm {
  static constexpr int kMost = 6;
  int tile;
  int stride;
  int inputs;
  int values;
  int matrices;
  int matrix[kMost];        ///< by value; ascending
  bool whole[kMost];        ///< only a tile whose outputs all exist needs this value
  double kernel[kMost][3];  ///< by matrix
};

// F(4, 3) interpolates at 0, +-sqrt(1/2), +-sqrt(2) and infinity: a third of the rounding error of 0, +-1, +-2. With
// these the squares are 1/2 and 2, their product 1 and their sum 5/2.
inline constexpr double kP4 = 0.70710678118654752440;
inline constexpr double kQ4 = 1.41421356237309504880;
inline constexpr WinogradForm kForm4 = {
    .tile = 4,
    .stride = 1,
    .inputs = 6,
    .values = 6,
    .matrices = 6,
    .matrix = {0, 1, 2, 3, 4, 5},
    .whole = {false, false, false, false, false, true},
    .kernel = {{1, 0, 0},
               {-2.0 / 3, -2.0 / 3 * kP4, -1.0 / 3},
               {-2.0 / 3, 2.0 / 3 * kP4, -1.0 / 3},
               {1.0 / 6, 1.0 / 6 * kQ4, 1.0 / 3},
               {1.0 / 6, -1.0 / 6 * kQ4, 1.0 / 3},
               {0, 0, 1}},
};

// F(3, 3) interpolates at +-3/8, +-5/4 and infinity: of all pairs those with the least error, and no more work than
// with 0.
inline constexpr double kP3 = 0.375;
inline constexpr double kQ3 = 1.25;
inline constexpr double kNorm3 = kQ3 * kQ3 - kP3 * kP3;
inline constexpr WinogradForm kForm3 = {
    .tile = 3,
    .stride = 1,
    .inputs = 5,
    .values = 5,
    .matrices = 5,
    .matrix = {0, 1, 2, 3, 4},
    .whole = {false, false, false, false, true},
    .kernel = {{-0.5 / kP3 / kNorm3, -0.5 / kNorm3, -0.5 * kP3 / kNorm3},
               {-0.5 / kP3 / kNorm3, 0.5 / kNorm3, -0.5 * kP3 / kNorm3},
               {0.5 / kQ3 / kNorm3, 0.5 / kNorm3, 0.5 * kQ3 / kNorm3},
               {0.5 / kQ3 / kNorm3, -0.5 / kNorm3, 0.5 * kQ3 / kNorm3},
               {0, 0, 1}},
};

inline constexpr WinogradForm kForm2 = {
    .tile = 2,
    .stride = 1,
    .inputs = 4,
    .values = 4,
    .matrices = 4,
    .matrix = {0, 1, 2, 3},
    .whole = {false, false, false, true},
    .kernel = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}},
};

// At stride 2 the outer taps meet every second input, which makes F(2, 2), interpolated at 0, 1 and infinity; the
// middle one meets those between.
inline constexpr WinogradForm kFormStride2 = {
    .tile = 2,
    .stride = 2,
    .inputs = 5,
    .values = 5,
    .matrices = 4,
    .matrix = {0, 1, 2, 3, 3},
    .whole = {false, false, true, false, true},
    .kernel = {{1, 0, 0}, {1, 0, 1}, {0, 0, 1}, {0, 1, 0}},
};

/// Whether it goes by a form.
constexpr bool IsWinograd(ConvAlgorithm algorithm) {
  return algorithm == ConvAlgorithm::kWinograd2 || algorithm == ConvAlgorithm::kWinograd3 ||
         algorithm == ConvAlgorithm::kWinograd4 || algorithm == ConvAlgorithm::kWinogradStride2;
}

inline const WinogradForm& FormOf(ConvAlgorithm algorithm) {
  switch (algorithm) {
    case ConvAlgorithm::kWinogradStride2:
      return kFormStride2;
    case ConvAlgorithm::kWinograd4:
      return kForm4;
    case ConvAlgorithm::kWinograd3:
      return kForm3;
    default:
      return kForm2;
  }
}

}  // namespace slipway::kernels
