#include <algorithm>
#include <map>
#include <unordered_map>

#include "onnx/downgrade/rewrite.h"

namespace slipway::onnx {
namespace {

using TypeMask = uint64_t;

constexpr TypeMask Bit(DType type) { return TypeMask{1} << static_cast<int>(type); }

TypeMask MaskOf(std::string_view codes) {
  static const std::map<char, std::vector<DType>> kCodes = {
      {'o', {DType::kBool}},
      {'a', {DType::kInt8}},
      {'b', {DType::kInt16}},
      {'c', {DType::kInt32}},
      {'d', {DType::kInt64}},
      {'A', {DType::kUint8}},
      {'B', {DType::kUint16}},
      {'C', {DType::kUint32}},
      {'D', {DType::kUint64}},
      {'h', {DType::kFloat16}},
      {'f', {DType::kFloat}},
      {'g', {DType::kDouble}},
      {'w', {DType::kBFloat16}},
      {'s', {DType::kString}},
      {'z', {DType::kComplex64}},
      {'Z', {DType::kComplex128}},
      {'e', {DType::kFloat8E4M3FN, DType::kFloat8E4M3FNUZ, DType::kFloat8E5M2, DType::kFloat8E5M2FNUZ}},
      {'x', {DType::kFloat8E8M0}},
      {'r', {DType::kFloat4E2M1}},
      {'q', {DType::kInt4, DType::kUint4}},
      {'p', {DType::kInt2, DType::kUint2}},
  };
  TypeMask mask = 0;
  for (char code : codes) {
    const auto found = kCodes.find(code);
    if (found == kCodes.end()) continue;  // types that tensors here do not have
    for (DType type : found->second) mask |= Bit(type);
  }
  return mask;
}

/// What an operator takes since an opset.
struct Form {
  struct Slot {
    std::string param;  ///< "" for no tensor
    bool repeats = false, each = false;
  };
  int64_t since;
  std::vector<Slot> inputs, outputs;
  std::map<std::string, TypeMask> sets;
};

std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> words;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    if (end > at) words.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

Form MakeForm(int64_t since, std::string_view slots, std::string_view sets) {
  Form form{.since = since};
  for (const std::string& set : Words(sets)) {
    const size_t at = set.find('=');
    form.sets[set.substr(0, at)] = MaskOf(std::string_view(set).substr(at + 1));
  }
  std::vector<Form::Slot>* list = &form.inputs;
  for (std::string word : Words(slots)) {
    if (word == ">") {
      list = &form.outputs;
      continue;
    }
    Form::Slot slot;
    slot.each = word.back() == '~';
    slot.repeats = slot.each || word.back() == '*';
    if (slot.repeats) word.pop_back();
    if (word[0] == '=') form.sets[word] = MaskOf(std::string_view(word).substr(1));
    if (word != "-") slot.param = word;
    list->push_back(std::move(slot));
  }
  return form;
}

/// The form of an operator at an opset; null for what the table does not have.
const Form* FormAt(std::string_view op, int64_t opset) {
  static const auto* const kForms = [] {
    auto* forms = new std::unordered_map<std::string_view, std::vector<Form>>;
#define FORM(op, since, slots, sets) (*forms)[#op].push_back(MakeForm(since, slots, sets));
#include "onnx/downgrade/types.inc"
#undef FORM
    return forms;
  }();
  const auto found = kForms->find(op);
  if (found == kForms->end()) return nullptr;
  const Form* best = nullptr;
  for (const Form& form : found->second) {
    if (form.since <= opset) best = &form;
  }
  return best;
}

/// Types that hold every value of `type`, and in which arithmetic cast back gives the same.
std::vector<DType> WiderThan(DType type) {
  switch (type) {
    case DType::kBFloat16:
    case DType::kFloat16:
      return {DType::kFloat, DType::kDouble};
    case DType::kBool:
      return {DType::kUint8, DType::kInt32, DType::kInt64, DType::kFloat};
    case DType::kInt8:
    case DType::kUint8:
    case DType::kInt16:
    case DType::kUint16:
      return {DType::kInt32, DType::kInt64, DType::kFloat, DType::kDouble};
    case DType::kInt32:
    case DType::kUint32:
      return {DType::kInt64, DType::kDouble};
    case DType::kFloat:
      return {DType::kDouble};
    default:
      return {};
  }
}

/// Operators that only carry values, and those whose meaning lies in their types.
bool MayCast(std::string_view op) {
  static constexpr std::string_view kNever[] = {"BitCast",
                                                "Cast",
                                                "CastLike",
                                                "DequantizeLinear",
                                                "DynamicQuantizeLinear",
                                                "If",
                                                "Loop",
                                                "Optional",
                                                "QLinearConv",
                                                "QLinearMatMul",
                                                "QuantizeLinear",
                                                "Scan",
                                                "SequenceMap",
                                                "SequenceEmpty",
                                                "SequenceInsert",
                                                "SequenceConstruct",
                                                "SequenceAt",
                                                "OptionalGetElement"};
  return std::find(std::begin(kNever), std::end(kNever), op) == std::end(kNever);
}

class Widener {
 public:
  explicit Widener(Rewrite& r) : r_(r), op_(r.node().op_type), form_(*FormAt(op_, r.target)) {}

  void Run() {
    Find(form_.inputs, r_.node().inputs);
    Find(form_.outputs, r_.node().outputs);
    if (wide_.empty()) return;
    CastInputs();
    CastOutputs();
  }

 private:
  static const Form::Slot* SlotAt(const std::vector<Form::Slot>& slots, size_t i) {
    if (i < slots.size()) return &slots[i];
    return !slots.empty() && slots.back().repeats ? &slots.back() : nullptr;
  }

  void Find(const std::vector<Form::Slot>& slots, const std::vector<ValueId>& values) {
    for (size_t i = 0; i < values.size(); ++i) {
      const Form::Slot* slot = SlotAt(slots, i);
      if (values[i] == kNone || !slot || slot->param.empty()) continue;
      const Type& type = r_.g.value(values[i]).type;
      if (type.kind != Type::Kind::kTensor || !type.known()) continue;
      const TypeMask allowed = form_.sets.at(slot->param);
      if (allowed & Bit(type.elem)) continue;
      if (slot->each || !MayCast(op_)) Refuse(values[i], type.elem);
      Choose(*slot, values[i], type.elem, allowed);
    }
  }

  void Choose(const Form::Slot& slot, ValueId value, DType type, TypeMask allowed) {
    if (wide_.contains(slot.param)) return;
    // Casts come in several opsets too.
    const Form& cast = *FormAt("Cast", r_.target);
    if (cast.sets.begin()->second & Bit(type)) {
      for (DType wider : WiderThan(type)) {
        if (!(allowed & Bit(wider))) continue;
        wide_[slot.param] = wider;
        return;
      }
    }
    Refuse(value, type);
  }

  [[noreturn]] void Refuse(ValueId value, DType type) {
    int64_t since = r_.target + 1;
    while (since <= 64 && !Takes(op_, since, type)) ++since;
    const std::string when = since > 64 ? "" : fmt::format(" before opset {}", since);
    r_.Fail(fmt::format("{} does not take {} ('{}'){}.\n  Convert to {} or cast the value to another type.", op_,
                        Name(type), r_.g.value(value).name, when,
                        since > 64 ? "a newer opset" : fmt::format("opset {} or newer", since)));
  }

  void CastInputs() {
    for (size_t i = 0; i < r_.node().inputs.size(); ++i) {
      const Form::Slot* slot = SlotAt(form_.inputs, i);
      const ValueId value = r_.node().inputs[i];
      if (value == kNone || !slot || !wide_.contains(slot->param)) continue;
      r_.g.SetInput(r_.id, i, r_.Cast(value, wide_.at(slot->param)));
    }
  }

  /// The node gives a new value, and a cast after it the old one.
  void CastOutputs() {
    bool changes = false;
    for (size_t i = 0; i < r_.node().outputs.size(); ++i) {
      const Form::Slot* slot = SlotAt(form_.outputs, i);
      changes = changes || (slot && r_.node().outputs[i] != kNone && wide_.contains(slot->param));
    }
    if (!changes) return;
    std::vector<ValueId> results;
    Node copy = r_.node();
    for (size_t i = 0; i < copy.outputs.size(); ++i) {
      const Form::Slot* slot = SlotAt(form_.outputs, i);
      const ValueId old = copy.outputs[i];
      if (old == kNone) continue;
      Type type = r_.g.value(old).type;
      if (slot && wide_.contains(slot->param)) {
        if (copy.attributes.Has("dtype")) copy.attributes.Set("dtype", static_cast<int64_t>(wide_.at(slot->param)));
        type.elem = wide_.at(slot->param);
      }
      copy.outputs[i] = r_.g.AddValue(r_.g.value(old).name + "/wide", std::move(type));
    }
    const std::vector<ValueId> given = copy.outputs;
    r_.Place(std::move(copy));
    for (size_t i = 0; i < given.size(); ++i) {
      const ValueId old = r_.node().outputs[i];
      results.push_back(old == kNone ? kNone : r_.Cast(given[i], r_.g.value(old).type.elem));
    }
    r_.Become(results);
  }

  Rewrite& r_;
  const std::string op_;
  const Form& form_;
  std::map<std::string, DType> wide_;
};

}  // namespace

bool Takes(std::string_view op, int64_t opset, DType type) {
  const Form* form = FormAt(op, opset);
  if (!form || form->inputs.empty()) return form != nullptr;
  const auto set = form->sets.find(form->inputs[0].param);
  return set == form->sets.end() || (set->second & Bit(type)) != 0;
}

void WidenTypes(Rewrite& r) {
  if (FormAt(r.node().op_type, r.target)) Widener(r).Run();
}

}  // namespace slipway::onnx
