#pragma once

#include <nanobind/nanobind.h>

namespace slipway::python {

/// What slipway.quantization is made of.
void InitQuantization(nanobind::module_& m);

}  // namespace slipway::python
