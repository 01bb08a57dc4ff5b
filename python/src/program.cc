#include "program.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>

#include "arrays.h"
#include "onnx/writer.h"
#include "pt2/convert.h"
#include "pt2/converter.h"
#include "session/convert.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace slipway::python {
namespace {

using Json = nlohmann::json;

pt2::AxisNames ReadAxes(const Json& list) {
  pt2::AxisNames names;
  for (const Json& axes : list) {
    auto& named = names.emplace_back();
    if (axes.is_null()) continue;
    for (const auto& [axis, name] : axes.items()) named[std::stoi(axis)] = name.get<std::string>();
  }
  return names;
}

pt2::ConvertOptions ReadOptions(const std::string& text) {
  try {
    const Json json = Json::parse(text.empty() ? "{}" : text);
    pt2::ConvertOptions options;
    const auto names = [&](const char* key) {
      std::vector<std::string> list;
      for (const Json& name : json.value(key, Json::array()))
        list.push_back(name.is_null() ? "" : name.get<std::string>());
      return list;
    };
    options.opset = json.value("opset", 0);
    options.input_names = names("input_names");
    options.output_names = names("output_names");
    options.input_axes = ReadAxes(json.value("input_axes", Json::array()));
    options.output_axes = ReadAxes(json.value("output_axes", Json::array()));
    options.fold_constants = json.value("fold_constants", true);
    options.weights = json.value("weights", true);
    options.metadata = json.value("metadata", std::map<std::string, std::string>());
    return options;
  } catch (const std::exception& e) {
    throw Error(Code::kInvalidArgument, std::string("the options of the conversion: ") + e.what());
  }
}

Json Describe(const Graph& graph, const std::vector<ValueId>& values) {
  Json list = Json::array();
  for (const ValueId v : values) {
    const Graph::ValueInfo& info = graph.value(v);
    Json shape = Json::array();
    for (const Dim& d : info.type.shape.has_rank() ? info.type.shape.dims() : std::vector<Dim>()) {
      if (d.is_const()) {
        shape.push_back(d.value());
      } else {
        shape.push_back(d.ToString());
      }
    }
    list.push_back({{"name", info.name}, {"type", std::string(Name(info.type.elem))}, {"shape", shape}});
  }
  return list;
}

std::string ConvertProgram(nb::bytes json, nb::dict tensors, const std::string& options_json, nb::dict translations,
                           const std::string& path) {
  pt2::ConvertOptions options = ReadOptions(options_json);
  for (auto [target, function] : translations) {
    const auto bytes = nb::cast<nb::bytes>(function);
    options.translations[nb::cast<std::string>(target)] = std::string(bytes.c_str(), bytes.size());
  }
  pt2::Program program{.json = std::string(json.c_str(), json.size())};
  std::map<std::pair<const void*, std::string>, std::string> holders;
  for (auto [key, array] : tensors) {
    const auto name = nb::cast<std::string>(key);
    const Value value = FromPython(array);
    if (!value.is_tensor()) throw Error(Code::kInvalidArgument, "weight '" + name + "' is not an array");
    const Tensor& t = value.tensor();
    const std::string form = std::string(Name(t.dtype())) + t.shape().ToString();
    const auto [holder, first] = holders.try_emplace({t.size() ? t.raw() : nullptr, form}, name);
    if (first || t.size() == 0) {
      program.tensors[name] = t;
    } else {
      program.aliases[name] = holder->second;
    }
  }
  pt2::Report report;
  Json out;
  {
    nb::gil_scoped_release release;
    Model model = pt2::Convert(program, options, &report);
    out["inputs"] = Describe(*model.graph, model.graph->inputs);
    out["outputs"] = Describe(*model.graph, model.graph->outputs);
    const int64_t opset = options.opset ? options.opset : 17;
    const auto timed = [&](const char* stage, const auto& work) {
      const auto start = std::chrono::steady_clock::now();
      work();
      report.seconds[stage] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    timed("opset", [&] { ConvertOpset(model, opset); });
    timed("write", [&] { WriteModel(model, path, int64_t{2000} << 20, opset, report.node_docs); });
    out["nodes_after"] = model.graph->order().size();
  }
  out["program_nodes"] = report.program_nodes;
  out["converted_nodes"] = report.converted_nodes;
  out["nodes"] = report.nodes;
  out["seconds"] = report.seconds;
  out["warnings"] = report.warnings;
  return out.dump();
}

}  // namespace

void AddProgram(nb::module_& m) {
  m.def(
      "converts", [](const std::string& target) { return pt2::FindConversion(target) != nullptr; }, "target"_a,
      "Whether an operator of torch (\"aten.add.Tensor\") has a conversion.");
  m.def("convert_program", &ConvertProgram, "json"_a, "tensors"_a, "options_json"_a, "translations"_a, "path"_a,
        "Converts a program of torch.export (its JSON, and its weights by name) and writes it as an .onnx file. The "
        "options are JSON: input_names, output_names, input_axes and output_axes (a list of {axis: name}), "
        "fold_constants, weights, metadata, opset. Returns a report as JSON.");
}

}  // namespace slipway::python
