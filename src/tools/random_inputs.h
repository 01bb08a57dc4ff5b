#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "slipway/session.h"

namespace slipway {

/// Sizes for axes that a model leaves open: by the symbol's name, and whole shapes by the input's name.
struct InputSizes {
  std::map<std::string, int64_t> dims;
  std::map<std::string, Shape> shapes;
};

/// What generated inputs hold: floats are normal, integers lie in [low, high], booleans are even odds.
struct RandomOptions {
  uint64_t seed = 0;
  int64_t low = 0;
  int64_t high = 1;
};

/// The shape of every tensor input: as `sizes` and `given` say; an open axis that neither settles is 1. A symbol that a
/// shape in `sizes.shapes` or a given value settles has that size in the other inputs too. Throws
/// Error(kInvalidArgument) for a symbol or input that the model does not have, and for a shape that does not fit.
std::map<std::string, Shape> InputShapes(const std::vector<ValueInfo>& inputs, const InputSizes& sizes,
                                         const Inputs& given = {});

/// A tensor of the type and shape; equal seeds give equal contents on every machine.
Tensor RandomTensor(DType type, const Shape& shape, const RandomOptions& options);

/// `given`, and a generated value for each input that it lacks (optional inputs are left out). An input's contents
/// depend on the seed, its name and its shape alone. Throws Error as InputShapes does, and for an input that is a
/// sequence or map.
Inputs FillInputs(const std::vector<ValueInfo>& inputs, const InputSizes& sizes, const RandomOptions& options,
                  Inputs given = {});

}  // namespace slipway
