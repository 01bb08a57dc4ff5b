#include <nanobind/nanobind.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <atomic>

#include "arrays.h"
#include "program.h"
#include "quantization.h"
#include "session/convert.h"
#include "session/describe.h"
#include "slipway/session.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace slipway::python {
namespace {

/// RunOptions of Python: its `terminate` may be set from another thread while the run goes on.
struct Options {
  std::atomic<bool> terminate = false;
};

nb::list Axes(const ValueInfo& info) {
  nb::list out;
  for (const AxisInfo& axis : info.shape) {
    if (axis.size >= 0) {
      out.append(axis.size);
    } else if (axis.symbol.empty()) {
      out.append(nb::none());
    } else {
      out.append(axis.symbol);
    }
  }
  return out;
}

Inputs ReadFeed(nb::dict feed) {
  Inputs inputs;
  inputs.reserve(feed.size());
  for (auto [name, array] : feed) {
    if (!PyUnicode_Check(name.ptr())) throw Error(Code::kInvalidArgument, "the names of inputs are strings");
    auto key = nb::cast<std::string>(name);
    try {
      inputs.emplace_back(key, FromPython(array));
    } catch (const Error& e) {
      throw Error(e.code(), "input '" + key + "': " + e.what());
    }
  }
  return inputs;
}

std::vector<std::string> ReadNames(nb::handle names) {
  if (names.is_none()) return {};
  return nb::cast<std::vector<std::string>>(names);
}

void AddTimes(const std::vector<NodeTime>& times, nb::handle profile) {
  for (const NodeTime& t : times)
    nb::borrow<nb::list>(profile).append(nb::make_tuple(t.name, t.op_type, t.nanoseconds));
}

nb::list Run(const Session& session, nb::handle names, nb::dict feed, const Options* options, nb::handle profile) {
  const Inputs inputs = ReadFeed(feed);
  const std::vector<std::string> wanted = ReadNames(names);
  RunOptions run;
  if (options) run.terminate = &options->terminate;
  std::vector<NodeTime> times;
  if (!profile.is_none()) run.profile = &times;
  std::vector<Value> outputs;
  {
    nb::gil_scoped_release release;
    outputs = session.Run(inputs, wanted, run);
  }
  AddTimes(times, profile);
  nb::list out;
  for (const Value& value : outputs) out.append(ToPython(value));
  return out;
}

nb::list RunMany(const Session& session, nb::handle names, nb::handle feeds, const Options* options,
                 nb::handle profile) {
  std::vector<Inputs> requests;
  for (nb::handle feed : feeds) {
    try {
      if (!nb::isinstance<nb::dict>(feed))
        throw Error(Code::kInvalidArgument, "a request is a dict of arrays by input");
      requests.push_back(ReadFeed(nb::borrow<nb::dict>(feed)));
    } catch (const Error& e) {
      throw Error(e.code(), "request " + std::to_string(requests.size()) + ": " + e.what());
    }
  }
  const std::vector<std::string> wanted = ReadNames(names);
  RunOptions run;
  if (options) run.terminate = &options->terminate;
  std::vector<NodeTime> times;
  if (!profile.is_none()) run.profile = &times;
  std::vector<std::vector<Value>> answers;
  {
    nb::gil_scoped_release release;
    answers = session.RunMany(requests, wanted, run);
  }
  AddTimes(times, profile);
  nb::list out;
  for (const std::vector<Value>& answer : answers) {
    nb::list values;
    for (const Value& value : answer) values.append(ToPython(value));
    out.append(std::move(values));
  }
  return out;
}

const PackingInfo& PackingOf(const Session& session) {
  nb::gil_scoped_release release;
  return session.packing();
}

nb::list Apart(const PackingInfo& info) {
  nb::list out;
  for (const auto& [node, why] : info.apart) out.append(nb::make_tuple(node, why));
  return out;
}

Session Load(const std::string& path, const SessionOptions& options) {
  nb::gil_scoped_release release;
  return Session(path, options);
}

Session LoadBytes(nb::bytes bytes, const SessionOptions& options) {
  const std::string_view view(bytes.c_str(), bytes.size());
  nb::gil_scoped_release release;
  return Session::FromBytes(view, options);
}

void ConvertModelFile(const std::string& model, const std::string& path, int64_t opset) {
  nb::gil_scoped_release release;
  ConvertFile(model, path, opset);
}

template <class Convert>
nb::bytes Converted(const Convert& convert) {
  std::string out;
  {
    nb::gil_scoped_release release;
    out = convert();
  }
  return nb::bytes(out.data(), out.size());
}

nb::bytes ConvertModelToBytes(const std::string& model, int64_t opset) {
  return Converted([&] { return ConvertFile(model, opset); });
}

nb::bytes ConvertModelBytes(nb::bytes model, int64_t opset) {
  const std::string_view view(model.c_str(), model.size());
  return Converted([&] { return ConvertBytes(view, opset); });
}

/// Python's class for each code, made in slipway/errors.py.
constexpr const char* ClassOf(Code code) {
  switch (code) {
    case Code::kInvalidArgument:
      return "InvalidArgument";
    case Code::kBadFile:
      return "InvalidProtobuf";
    case Code::kBadGraph:
      return "InvalidGraph";
    case Code::kUnsupported:
      return "NotImplemented";
    case Code::kRuntime:
      return "RuntimeException";
    case Code::kOutOfMemory:
      return "OutOfMemory";
    case Code::kCancelled:
      return "Cancelled";
  }
  return "Fail";
}

void TranslateErrors() {
  nb::register_exception_translator([](const std::exception_ptr& p, void*) {
    try {
      std::rethrow_exception(p);
    } catch (const Error& e) {
      const nb::object type = nb::module_::import_("slipway.errors").attr(ClassOf(e.code()));
      PyErr_SetString(type.ptr(), e.what());
    }
  });
}

}  // namespace

NB_MODULE(_slipway, m) {
  InitArrays();
  TranslateErrors();
  InitQuantization(m);
  AddProgram(m);

  nb::class_<ValueInfo>(m, "NodeArg", "An input or output of a model.")
      .def_ro("name", &ValueInfo::name)
      .def_ro("type", &ValueInfo::type, "As onnxruntime spells it: 'tensor(float)'.")
      .def_prop_ro("shape", &Axes, "A list: a size, the name of an axis that varies, or None for one without a name.")
      .def("__repr__", [](const ValueInfo& v) {
        return "NodeArg(name='" + v.name + "', type='" + v.type +
               "', shape=" + nb::cast<std::string>(nb::str(Axes(v))) + ")";
      });

  nb::class_<ModelInfo>(m, "ModelMetadata", "What a model's file says about itself.")
      .def_ro("producer_name", &ModelInfo::producer_name)
      .def_ro("producer_version", &ModelInfo::producer_version)
      .def_ro("domain", &ModelInfo::domain)
      .def_ro("description", &ModelInfo::description)
      .def_ro("graph_name", &ModelInfo::graph_name)
      .def_ro("graph_description", &ModelInfo::graph_description)
      .def_ro("version", &ModelInfo::model_version)
      .def_ro("ir_version", &ModelInfo::ir_version)
      .def_ro("opsets", &ModelInfo::opsets, "Opset versions by domain, as the file has them.")
      .def_ro("custom_metadata_map", &ModelInfo::metadata);

  nb::class_<PackingInfo>(m, "Packing", "How InferenceSession.run_many runs requests of different sizes together.")
      .def_ro("packed", &PackingInfo::packed,
              "True where tokens of all requests go through the products together; else requests run in turn.")
      .def_ro("reason", &PackingInfo::reason, "Why requests run in turn, with the node's name; '' where they do not.")
      .def_prop_ro("apart", &Apart, "What reads tokens and yet runs request by request: (node, why) pairs.")
      .def("__repr__", [](const PackingInfo& p) {
        return p.packed
                   ? "Packing(packed=True, apart=" + nb::cast<std::string>(nb::repr(Apart(p))) + ")"
                   : "Packing(packed=False, reason=" + nb::cast<std::string>(nb::repr(nb::str(p.reason.c_str()))) + ")";
      });

  m.def("convert_file", &ConvertModelFile, "model"_a, "path"_a, "opset"_a);
  m.def("convert_file_to_bytes", &ConvertModelToBytes, "model"_a, "opset"_a);
  m.def("convert_bytes", &ConvertModelBytes, "model"_a, "opset"_a);

  nb::class_<SessionOptions>(m, "NativeSessionOptions")
      .def(nb::init<>())
      .def_rw("intra_op_threads", &SessionOptions::intra_op_threads)
      .def_rw("spin", &SessionOptions::spin)
      .def_rw("pack_at_load", &SessionOptions::pack_at_load)
      .def_rw("optimization_level", &SessionOptions::optimization_level)
      .def_rw("disabled_passes", &SessionOptions::disabled_passes);

  nb::class_<Options>(m, "RunOptions", "How one run is done; pass it to InferenceSession.run.")
      .def(nb::init<>())
      .def_prop_rw(
          "terminate", [](const Options& o) { return o.terminate.load(); },
          [](Options& o, bool value) { o.terminate = value; },
          "Set to True from any thread to stop the run, which then raises slipway.errors.Cancelled.");

  m.def(
      "compile_model",
      [](const std::string& path, const std::string& out, const SessionOptions& options) {
        const nb::gil_scoped_release unlocked;
        CompileModel(path, out, options);
      },
      "path"_a, "out"_a, "options"_a);

  nb::class_<Session>(m, "NativeSession")
      .def_static("load", &Load, "path"_a, "options"_a)
      .def_static("load_bytes", &LoadBytes, "model"_a, "options"_a)
      .def_prop_ro("inputs", &Session::inputs)
      .def_prop_ro("outputs", &Session::outputs)
      .def_prop_ro("overridable_initializers", &Session::overridable_initializers)
      .def_prop_ro("info", &Session::info)
      .def("describe", &Session::Describe)
      .def(
          "arena_bytes", [](const Session& s, nb::dict feed) { return s.ArenaBytes(ReadFeed(feed)); }, "feed"_a)
      .def_prop_ro("packing", &PackingOf, nb::rv_policy::reference_internal)
      .def("run_many", &RunMany, "names"_a.none(), "feeds"_a, "options"_a.none() = nb::none(),
           "profile"_a.none() = nb::none())
      .def("run", &Run, "names"_a.none(), "feed"_a, "options"_a.none() = nb::none(), "profile"_a.none() = nb::none());
}

}  // namespace slipway::python
