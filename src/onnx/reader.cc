#include "onnx/reader.h"

#include <cstring>
#include <filesystem>

#include <fmt/format.h>

#include "onnx/graph_reader.h"
#include "onnx/upgrade/upgrade.h"

namespace slipway {

namespace {

using onnx::Bytes;
using onnx::View;
namespace wire = onnx::field::model;
namespace pair = onnx::field::pair;

/// The newest IR version that this reader knows all of.
constexpr int64_t kNewestIr = 14;

std::pair<std::string, std::string> ReadPair(Bytes message) {
  std::pair<std::string, std::string> out;
  auto reader = onnx::Read(message);
  while (reader.next()) {
    if (reader.tag() == pair::kKey) {
      out.first = reader.get_string();
    } else if (reader.tag() == pair::kValue) {
      out.second = reader.get_string();
    } else {
      reader.skip();
    }
  }
  return out;
}

std::pair<std::string, int64_t> ReadOpset(Bytes message) {
  std::pair<std::string, int64_t> out{"", 0};
  auto reader = onnx::Read(message);
  while (reader.next()) {
    if (reader.tag() == pair::kKey) {
      out.first = reader.get_string();
    } else if (reader.tag() == pair::kValue) {
      out.second = reader.get_int64();
    } else {
      reader.skip();
    }
  }
  if (out.first == "ai.onnx") out.first.clear();
  return out;
}

void CheckOpsets(const onnx::Opsets& opsets) {
  for (const auto& [domain, version] : opsets) {
    const int64_t newest = domain.empty() ? onnx::kNewestOpset : domain == kMlDomain ? onnx::kNewestMlOpset : INT64_MAX;
    if (version >= 1 && version <= newest) continue;
    const std::string_view shown = domain.empty() ? "ai.onnx" : std::string_view(domain);
    throw Error(
        Code::kUnsupported,
        newest == INT64_MAX
            ? fmt::format("opset version {} of '{}' is none.", version, shown)
            : fmt::format("opset version {} of {} is not one of 1 to {}.\n  Export the model for opset {} or older.",
                          version, shown, newest, newest));
  }
}

void CheckVersions(const Model& model) {
  if (model.ir_version <= 0) throw Error(Code::kBadFile, "the file says no IR version: it is not an ONNX model");
  if (model.ir_version > kNewestIr) {
    throw Error(Code::kUnsupported,
                fmt::format("IR version {} is newer than {}, the newest that is known", model.ir_version, kNewestIr));
  }
  if (model.opsets.empty()) throw Error(Code::kBadGraph, "the model imports no opset");
  CheckOpsets(model.opsets);
}

Model ReadBytes(Bytes bytes, onnx::TensorReader tensors, bool as_written = false) {
  Model model;
  onnx::ModelContext context{.tensors = std::move(tensors), .as_written = as_written};
  Bytes graph;
  bool has_graph = false;
  auto reader = onnx::Read(bytes);
  while (reader.next()) {
    switch (reader.tag()) {
      case wire::kIrVersion:
        model.ir_version = reader.get_int64();
        break;
      case wire::kProducerName:
        model.producer_name = reader.get_string();
        break;
      case wire::kProducerVersion:
        model.producer_version = reader.get_string();
        break;
      case wire::kDomain:
        model.domain = reader.get_string();
        break;
      case wire::kModelVersion:
        model.model_version = reader.get_int64();
        break;
      case wire::kDoc:
        model.doc = reader.get_string();
        break;
      case wire::kGraph:
        graph = View(reader.get_view());
        has_graph = true;
        break;
      case wire::kOpsetImport:
        model.opsets.insert(ReadOpset(View(reader.get_view())));
        break;
      case wire::kMetadata:
        model.metadata.insert(ReadPair(View(reader.get_view())));
        break;
      case wire::kFunctions: {
        onnx::FunctionFields f = onnx::ReadFunction(View(reader.get_view()));
        const std::string key = onnx::FunctionKey(f.domain, f.name, f.overload);
        if (!context.functions.emplace(key, std::move(f)).second)
          throw Error(Code::kBadGraph, fmt::format("function '{}' is defined twice", key));
        break;
      }
      default:
        reader.skip();
    }
  }
  CheckVersions(model);
  if (!has_graph) throw Error(Code::kBadFile, "the file holds no graph");
  for (const auto& [key, function] : context.functions) CheckOpsets(function.opsets);
  onnx::CheckCalls(context.functions, graph, bytes.size());
  onnx::GraphReader graph_reader(context, model.opsets, nullptr);
  graph_reader.Read(graph, &model.overridable);
  model.graph = graph_reader.Take();
  return model;
}

template <class F>
Model Guarded(F&& read) {
  try {
    return read();
  } catch (const protozero::exception& e) {
    throw Error(Code::kBadFile, fmt::format("the file is damaged, or not an ONNX model ({})", e.what()));
  } catch (const std::bad_alloc&) {
    throw Error(Code::kOutOfMemory, "not enough memory to read the model");
  }
}

}  // namespace

Model ReadModel(const std::string& path) {
  const auto file = MappedFile::Open(path);
  std::string folder = std::filesystem::path(path).parent_path().string();
  if (folder.empty()) folder = ".";
  const Bytes bytes(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  Model model = Guarded([&] { return ReadBytes(bytes, {file, folder}); });
  model.path = path;
  return model;
}

Model ReadModel(std::string_view bytes, const std::string& folder, bool as_written) {
  Tensor copy(DType::kUint8, {static_cast<int64_t>(bytes.size())});
  if (!bytes.empty()) std::memcpy(copy.raw(), bytes.data(), bytes.size());
  const Bytes view(copy.data<char>(), bytes.size());
  return Guarded([&] { return ReadBytes(view, {copy.keep(), folder}, as_written); });
}

Model ReadCompiledGraph(std::string_view bytes, std::shared_ptr<const MappedFile> file) {
  return Guarded([&] { return ReadBytes(Bytes(bytes.data(), bytes.size()), onnx::TensorReader(std::move(file))); });
}

}  // namespace slipway
