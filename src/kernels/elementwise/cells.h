#pragma once

#include <cstdint>

namespace slipway::kernels {

/// One step of n LSTM cells with their usual activations. `gates` holds input, output, forget and fresh, `apart` from
/// one to the next: cell = sigmoid(forget) cell + sigmoid(input) tanh(fresh), hidden = sigmoid(output) tanh(cell).
void LstmCells(const float* gates, int64_t apart, float* cell, float* hidden, int64_t n);

/// The first half of a step of n GRU cells: update and reset become their sigmoids, reset_hidden = reset * hidden.
void GruGates(float* update, float* reset, const float* hidden, float* reset_hidden, int64_t n);
/// The second: hidden = (1 - update) tanh(fresh) + update * hidden.
void GruCells(const float* update, const float* fresh, float* hidden, int64_t n);

}  // namespace slipway::kernels
