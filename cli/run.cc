#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <memory>
#include <set>

#include "arguments.h"
#include "command.h"
#include "print.h"
#include "tools/npy.h"
#include "tools/statistics.h"

namespace slipway::cli {
namespace {

constexpr size_t kShownNodes = 20;

struct Arguments {
  ModelArguments model;
  InputArguments inputs;
  std::vector<std::string> outputs;
  std::string output_dir;
  int threads = 0;
  int level = 3;
  bool profile = false;
};

std::string Describe(const Value& value) {
  if (value.empty()) return "nothing";
  if (value.is_sequence()) return fmt::format("a sequence of {}", value.sequence().size());
  if (value.is_map())
    return std::visit([](const auto& m) { return fmt::format("a map of {}", m.size()); }, value.map());
  return fmt::format("{} {}", Name(value.tensor().dtype()), value.tensor().shape().ToString());
}

void Print(const std::string& name, const Value& value) {
  fmt::print("{}: {}\n", name, Describe(value));
  if (!value.is_tensor()) return;
  const Tensor& t = value.tensor();
  if (const auto s = Summarize(t)) {
    if (s->finite > 0) fmt::print("  min {:.6g}  max {:.6g}  mean {:.6g}\n", s->min, s->max, s->mean);
    if (s->not_finite > 0) fmt::print("  {} infinite or NaN\n", s->not_finite);
    fmt::print("  {:.6g}{}\n", fmt::join(s->first, " "),
               t.size() > static_cast<int64_t>(s->first.size()) ? " ..." : "");
  } else {
    for (int64_t i = 0; i < std::min<int64_t>(t.size(), 5); ++i) fmt::print("  \"{}\"\n", t.data<std::string>()[i]);
  }
}

Json ToJson(const std::string& name, const Value& value) {
  Json json = {{"name", name}};
  if (!value.is_tensor()) {
    json["value"] = Describe(value);
    return json;
  }
  const Tensor& t = value.tensor();
  json["type"] = Name(t.dtype());
  json["shape"] = cli::ToJson(t.shape());
  if (const auto s = Summarize(t)) {
    const bool any = s->finite > 0;
    json.update({{"min", any ? Json(s->min) : Json()},
                 {"max", any ? Json(s->max) : Json()},
                 {"mean", any ? Json(s->mean) : Json()},
                 {"not_finite", s->not_finite},
                 {"first", s->first}});
  } else {
    json["first"] =
        std::vector<std::string>(t.data<std::string>(), t.data<std::string>() + std::min<int64_t>(t.size(), 5));
  }
  return json;
}

void Save(const std::string& name, const Value& value, const std::string& file) {
  if (!value.is_tensor()) {
    throw Error(Code::kUnsupported,
                fmt::format("output '{}' is {}; only tensors can be written as .npy.", name, Describe(value)));
  }
  WriteNpy(file, value.tensor());
}

/// A file name of an output's name: what a path would take for something else becomes '_'.
std::string FileName(const std::string& name, std::set<std::string>& taken) {
  std::string base = name.empty() || name[0] == '.' ? "_" + name : name;
  for (char& c : base) {
    if (c == '/' || c == '\\' || c == ':' || static_cast<unsigned char>(c) < ' ') c = '_';
  }
  std::string file = base;
  for (int i = 2; !taken.insert(file).second; ++i) file = fmt::format("{}_{}", base, i);
  return file + ".npy";
}

void SaveAll(const Arguments& a, const std::vector<ValueInfo>& infos, const std::vector<Value>& values) {
  std::map<std::string, std::string> files;
  for (const std::string& text : a.outputs) files.insert(SplitPair("--output", text));
  std::set<std::string> taken;
  if (!a.output_dir.empty()) std::filesystem::create_directories(a.output_dir);
  for (size_t i = 0; i < infos.size(); ++i) {
    const auto file = files.find(infos[i].name);
    if (file != files.end()) Save(infos[i].name, values[i], file->second);
    if (!a.output_dir.empty()) Save(infos[i].name, values[i], a.output_dir + "/" + FileName(infos[i].name, taken));
  }
}

/// Before the run, which may take long.
void CheckOutputs(const Arguments& a, const Session& session) {
  std::set<std::string> names;
  for (const ValueInfo& info : session.outputs()) names.insert(info.name);
  for (const std::string& text : a.outputs) {
    const std::string name = SplitPair("--output", text).first;
    if (!names.contains(name)) {
      throw Error(Code::kInvalidArgument,
                  fmt::format("there is no output '{}'. The outputs: '{}'.", name, fmt::join(names, "', '")));
    }
  }
}

int Run(const Arguments& a) {
  const InputSizes sizes = a.model.Sizes();
  const RandomOptions random = a.inputs.Random();
  const Session session(a.model.path, {.intra_op_threads = a.threads, .optimization_level = a.level});
  CheckOutputs(a, session);
  std::vector<ValueInfo> feedable = session.inputs();
  feedable.insert(feedable.end(), session.overridable_initializers().begin(), session.overridable_initializers().end());
  const Inputs inputs = FillInputs(session.inputs(), sizes, random, a.inputs.Read(feedable));
  std::vector<NodeTime> times;
  const std::vector<Value> values = session.Run(inputs, {}, {.profile = a.profile ? &times : nullptr});
  SaveAll(a, session.outputs(), values);
  const Profile profile = Summarize(times, 1);
  if (!a.model.json) {
    for (size_t i = 0; i < values.size(); ++i) Print(session.outputs()[i].name, values[i]);
    if (a.profile) {
      fmt::print("\n");
      PrintProfile(profile, kShownNodes);
    }
    return kOk;
  }
  Json json = {{"model", a.model.path}, {"outputs", Json::array()}};
  for (size_t i = 0; i < values.size(); ++i) json["outputs"].push_back(ToJson(session.outputs()[i].name, values[i]));
  if (a.profile) json["profile"] = cli::ToJson(profile);
  PrintJson(json);
  return kOk;
}

}  // namespace

void AddRun(CLI::App& app, int& code) {
  CLI::App* command =
      app.add_subcommand("run", "Runs a model once, on given or generated inputs, and prints what comes out.");
  auto a = std::make_shared<Arguments>();
  a->model.Add(*command, "the size of an open dimension (otherwise 1); repeatable");
  a->inputs.Add(*command);
  auto* output = AddRepeated(*command, "--output", a->outputs, "save an output as .npy; repeatable", "NAME=FILE");
  command->add_option("--output-dir", a->output_dir, "save every output there, as its name and .npy")
      ->excludes(output)
      ->type_name("DIR");
  command->add_option("--threads", a->threads, "threads that the run may use; 0: one a core")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str()
      ->type_name("N");
  command->add_option("--level", a->level, "of optimization, 0 to 3")
      ->check(CLI::Range(0, 3))
      ->capture_default_str()
      ->type_name("N");
  command->add_flag("--profile", a->profile, "print the time by operator type and by node");
  command->footer(
      "Generated floats are normal, integers 0 or 1 unless --range says otherwise; equal seeds give equal inputs.\n"
      "Exit codes: 0 done; 2 bad usage or an error.\n"
      "Example:\n  slipway run model.onnx --input image=cat.npy --dim batch=1 --output logits=logits.npy");
  command->callback([=, &code] { code = Run(*a); });
}

}  // namespace slipway::cli
