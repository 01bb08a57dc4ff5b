#pragma once

#include <nanobind/nanobind.h>

namespace slipway::python {

/// Adds convert_program, which turns a program of torch.export into an .onnx file.
void AddProgram(nanobind::module_& m);

}  // namespace slipway::python
