#pragma once

#include <cstdint>

#include "thread/pool.h"

namespace slipway::kernels {

/// A normalization of rows: y = (t - mean) / sqrt(variance + epsilon) * scale + bias, with t = x + residual +
/// residual_bias and the population variance; or, for `rms`, y = t / sqrt(mean of squares + epsilon) * scale + bias.
struct NormArgs {
  int64_t rows = 0;
  int64_t size = 0;  ///< of a row; rows are contiguous in all of x, y, residual, sum
  const float* x = nullptr;
  float* y = nullptr;            ///< may be x or residual
  const float* scale = nullptr;  ///< [size]; null: 1
  const float* bias = nullptr;   ///< [size]; null: 0
  float epsilon = 1e-5f;
  bool rms = false;
  const float* residual = nullptr;       ///< [rows, size]; null: none
  const float* residual_bias = nullptr;  ///< [size], added along with residual; null: none
  float* sum = nullptr;                  ///< receives t; may be x or residual; null: not wanted
  float* mean = nullptr;                 ///< [rows]; null: not wanted; not written for rms
  float* inv_std = nullptr;              ///< [rows]: 1 / sqrt(…); null: not wanted
};

/// LayerNormalization, RMSNormalization and their forms with a residual.
void NormalizeRows(const NormArgs& args, const Threads& threads);

/// Group normalization of x [batch, channels, spatial]: each group of channels / groups channels is normalized over
/// itself, then scaled and shifted by channel ([channels]; null: 1 and 0). groups = channels is instance normalization.
/// y may be x.
void NormalizeGroups(const float* x, float* y, int64_t batch, int64_t channels, int64_t spatial, int64_t groups,
                     const float* scale, const float* bias, float epsilon, const Threads& threads);

}  // namespace slipway::kernels
