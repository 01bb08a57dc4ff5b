#pragma once

#include <nanobind/nanobind.h>

#include "slipway/value.h"

namespace slipway::python {

/// Loads NumPy's C interface; once, when the module is imported.
void InitArrays();

/// A value from what Python code passes: a NumPy array of any of ONNX's types (ml_dtypes' included) without a copy
/// where it lies in order; a list or tuple as a sequence; a dict as a map; None as an empty optional; a NumPy scalar or
/// Python number as a tensor of rank 0. Throws Error(kInvalidArgument) naming the Python type.
Value FromPython(nanobind::handle object);

/// The reverse; arrays share the tensor's memory and keep it alive.
nanobind::object ToPython(const Value& value);

}  // namespace slipway::python
