#pragma once

#include <string>

#include "slipway/tensor.h"

namespace slipway {

/// Reads a .npy file (format 1 to 3, any byte order, C or Fortran order) as a row-major tensor. NumPy stores types that
/// it does not know (bfloat16 and smaller) as raw bytes: those take the type `wanted`, where its size fits. Throws
/// Error naming the file for what is not a .npy file, is cut short, or holds strings, objects or records.
Tensor ReadNpy(const std::string& path, DType wanted = DType::kUndefined);

/// Writes a tensor as .npy, format 1 where that can hold it. Types that NumPy lacks are written as raw bytes ("V2" for
/// bfloat16), as ml_dtypes does: read them with numpy.load(file).view(type). Throws Error for strings and where the
/// file cannot be written.
void WriteNpy(const std::string& path, const Tensor& tensor);

}  // namespace slipway
