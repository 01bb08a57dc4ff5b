#include <fmt/format.h>

#include "graph/attribute_reads.h"

namespace slipway {

namespace {

thread_local AttributeReads* innermost = nullptr;

}  // namespace

AttributeReads::AttributeReads(const Attributes& watched) : watched_(watched), outer_(innermost) { innermost = this; }
AttributeReads::~AttributeReads() { innermost = outer_; }

void AttributeReads::Note(const Attributes* asked, std::string_view name) {
  if (innermost && &innermost->watched_ == asked) innermost->names_.emplace(name);
}

std::string_view AttributeReads::Unread() const {
  for (const auto& [name, value] : watched_) {
    if (!names_.contains(name)) return name;
  }
  return {};
}

const Attribute* Attributes::Find(std::string_view name) const {
  AttributeReads::Note(this, name);
  for (const auto& [key, value] : items_) {
    if (key == name) return &value;
  }
  return nullptr;
}

void Attributes::Set(std::string name, Attribute value) {
  for (auto& [key, held] : items_) {
    if (key == name) {
      held = std::move(value);
      return;
    }
  }
  items_.emplace_back(std::move(name), std::move(value));
}

void Attributes::Remove(std::string_view name) {
  std::erase_if(items_, [&](const auto& item) { return item.first == name; });
}

template <class T>
const T* Attributes::Get(std::string_view name, const char* wanted) const {
  const Attribute* found = Find(name);
  if (!found) return nullptr;
  const T* value = std::get_if<T>(found);
  if (!value)
    throw Error(Code::kBadGraph, fmt::format("attribute '{}' should be {}, but is of another type", name, wanted));
  return value;
}

int64_t Attributes::Int(std::string_view name, int64_t otherwise) const {
  const auto* v = Get<int64_t>(name, "an int");
  return v ? *v : otherwise;
}
float Attributes::Float(std::string_view name, float otherwise) const {
  const auto* v = Get<float>(name, "a float");
  return v ? *v : otherwise;
}
std::string Attributes::String(std::string_view name, std::string_view otherwise) const {
  const auto* v = Get<std::string>(name, "a string");
  return v ? *v : std::string(otherwise);
}
std::vector<int64_t> Attributes::Ints(std::string_view name, std::vector<int64_t> otherwise) const {
  const auto* v = Get<std::vector<int64_t>>(name, "a list of ints");
  return v ? *v : otherwise;
}
std::vector<float> Attributes::Floats(std::string_view name, std::vector<float> otherwise) const {
  const auto* v = Get<std::vector<float>>(name, "a list of floats");
  return v ? *v : otherwise;
}
std::vector<std::string> Attributes::Strings(std::string_view name, std::vector<std::string> otherwise) const {
  const auto* v = Get<std::vector<std::string>>(name, "a list of strings");
  return v ? *v : otherwise;
}
const Tensor* Attributes::GetTensor(std::string_view name) const { return Get<Tensor>(name, "a tensor"); }
std::shared_ptr<Graph> Attributes::GetGraph(std::string_view name) const {
  const auto* v = Get<std::shared_ptr<Graph>>(name, "a graph");
  return v ? *v : nullptr;
}

namespace {
[[noreturn]] void Missing(std::string_view name) {
  throw Error(Code::kBadGraph, fmt::format("attribute '{}' is missing", name));
}
}  // namespace

int64_t Attributes::RequiredInt(std::string_view name) const {
  if (!Has(name)) Missing(name);
  return Int(name, 0);
}
std::string Attributes::RequiredString(std::string_view name) const {
  if (!Has(name)) Missing(name);
  return String(name, "");
}
std::vector<int64_t> Attributes::RequiredInts(std::string_view name) const {
  if (!Has(name)) Missing(name);
  return Ints(name);
}

}  // namespace slipway
