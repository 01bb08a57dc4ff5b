#include "quantization.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <limits>

#include "onnx/reader.h"
#include "onnx/writer.h"
#include "quant/quantize_dynamic.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace slipway::python {
namespace {

/// Reads a model from a path or from bytes, quantizes it, writes it; how many nodes were rewritten.
int Quantize(nb::object input, const std::string& output, const DynamicQuantization& options, bool external_data) {
  const bool is_bytes = nb::isinstance<nb::bytes>(input);
  const std::string path = is_bytes ? "" : nb::cast<std::string>(input);
  const std::string_view bytes =
      is_bytes ? std::string_view(nb::borrow<nb::bytes>(input).c_str(), nb::borrow<nb::bytes>(input).size()) : "";
  nb::gil_scoped_release release;
  Model model = is_bytes ? ReadModel(bytes, "") : ReadModel(path);
  const int rewritten = QuantizeDynamic(model, options);
  if (external_data) {
    WriteModel(model, output, 0);
  } else {
    WriteModel(model, output);
  }
  return rewritten;
}

}  // namespace

void InitQuantization(nb::module_& m) {
  using Options = DynamicQuantization;
  nb::class_<Options>(m, "DynamicQuantization")
      .def(nb::init<>())
      .def_rw("signed_weights", &Options::signed_weights)
      .def_rw("symmetric", &Options::symmetric)
      .def_rw("per_channel", &Options::per_channel)
      .def_rw("reduce_range", &Options::reduce_range)
      .def_rw("constant_b_only", &Options::constant_b_only)
      .def_rw("subgraphs", &Options::subgraphs)
      .def_rw("op_types", &Options::op_types)
      .def_rw("nodes", &Options::nodes)
      .def_rw("exclude_nodes", &Options::exclude_nodes);
  m.def("quantize_dynamic", &Quantize, "input"_a, "output"_a, "options"_a, "external_data"_a);
}

}  // namespace slipway::python
