#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "core/mapped_file.h"
#include "onnx/tensor_writer.h"
#include "pt2/converter.h"
#include "thread/pool.h"

namespace slipway::pt2 {

using Kind = Argument::Kind;

slipway::Tensor Filled(DType dtype, Shape shape, double value) {
  slipway::Tensor t(dtype, std::move(shape));
  const auto fill = [&]<class T>(T v) { std::fill_n(t.data<T>(), t.size(), v); };
  switch (dtype) {
    case DType::kFloat:
      fill(static_cast<float>(value));
      break;
    case DType::kDouble:
      fill(value);
      break;
    case DType::kFloat16:
      fill(Float16(static_cast<float>(value)));
      break;
    case DType::kBFloat16:
      fill(BFloat16(static_cast<float>(value)));
      break;
    case DType::kBool:
      fill(value != 0);
      break;
    default: {
      const double low = -9223372036854775808.0, high = 9223372036854775807.0;
      const int64_t whole = std::isnan(value) ? 0
                            : value >= high   ? std::numeric_limits<int64_t>::max()
                            : value <= low    ? std::numeric_limits<int64_t>::min()
                                              : static_cast<int64_t>(value);
      switch (dtype) {
        case DType::kInt64:
          fill(whole);
          break;
        case DType::kInt32:
          fill(static_cast<int32_t>(whole));
          break;
        case DType::kInt16:
          fill(static_cast<int16_t>(whole));
          break;
        case DType::kInt8:
          fill(static_cast<int8_t>(whole));
          break;
        case DType::kUint8:
          fill(static_cast<uint8_t>(whole));
          break;
        case DType::kUint16:
          fill(static_cast<uint16_t>(whole));
          break;
        case DType::kUint32:
          fill(static_cast<uint32_t>(whole));
          break;
        case DType::kUint64:
          fill(static_cast<uint64_t>(whole));
          break;
        case DType::kFloat8E4M3FN:
          fill(Float8E4M3FN(static_cast<float>(value)));
          break;
        case DType::kFloat8E5M2:
          fill(Float8E5M2(static_cast<float>(value)));
          break;
        default:
          throw Error(Code::kUnsupported, fmt::format("a constant of type {} cannot be written.", Name(dtype)));
      }
    }
  }
  return t;
}

// ---- Arguments
// -------------------------------------------------------------------------------------------------------

const Argument* Call::Find(std::string_view name) const {
  const Argument* a = node_.Find(name);
  return a && !a->is(Kind::kNone) ? a : nullptr;
}

TensorRef Call::Tensor(std::string_view name) {
  TensorRef t = OptionalTensor(name);
  if (!t.defined()) Fail("argument '{}' is missing.", name);
  return t;
}

TensorRef Call::OptionalTensor(std::string_view name) {
  const Argument* a = Find(name);
  if (!a) return {};
  if (!a->is(Kind::kTensor)) Fail("argument '{}' is not a tensor.", name);
  return converter_.Read(a->text);
}

std::vector<TensorRef> Call::Tensors(std::string_view name) {
  const Argument* a = Find(name);
  if (!a) return {};
  if (!a->is(Kind::kList)) Fail("argument '{}' is not a list of tensors.", name);
  std::vector<TensorRef> tensors;
  for (const Argument& item : a->items) {
    if (!item.is(Kind::kTensor) && !item.is(Kind::kNone)) Fail("argument '{}' is not a list of tensors.", name);
    tensors.push_back(item.is(Kind::kTensor) ? converter_.Read(item.text) : TensorRef());
  }
  return tensors;
}

Expr Call::Size(std::string_view name) {
  const Argument* a = Find(name);
  if (!a) Fail("argument '{}' is missing.", name);
  return converter_.Symbolic(*a);
}
Expr Call::Size(std::string_view name, Expr otherwise) { return Has(name) ? Size(name) : otherwise; }

Exprs Call::Sizes(std::string_view name) {
  const Argument* a = Find(name);
  if (!a) return {};
  Exprs sizes;
  if (!a->is(Kind::kList)) return {converter_.Symbolic(*a)};
  for (const Argument& item : a->items) sizes.push_back(converter_.Symbolic(item));
  return sizes;
}

int64_t Call::Int(std::string_view name) {
  const Expr e = Size(name);
  if (e.kind() == Expr::Kind::kBool) return e.int_value();
  if (!e.is_int()) Fail("argument '{}' is {}, but must be a fixed number.", name, e.text());
  return e.int_value();
}
int64_t Call::Int(std::string_view name, int64_t otherwise) { return Has(name) ? Int(name) : otherwise; }

std::vector<int64_t> Call::Ints(std::string_view name) {
  std::vector<int64_t> ints;
  for (const Expr& e : Sizes(name)) {
    if (!e.is_int()) Fail("argument '{}' holds {}, but must be fixed numbers.", name, e.text());
    ints.push_back(e.int_value());
  }
  return ints;
}
std::vector<int64_t> Call::Ints(std::string_view name, size_t count, int64_t otherwise) {
  std::vector<int64_t> ints = Ints(name);
  if (ints.empty()) return std::vector<int64_t>(count, otherwise);
  if (ints.size() == 1) return std::vector<int64_t>(count, ints[0]);
  if (ints.size() != count) Fail("argument '{}' has {} numbers, not {}.", name, ints.size(), count);
  return ints;
}

bool Call::Bool(std::string_view name, bool otherwise) {
  const Argument* a = Find(name);
  if (!a) return otherwise;
  const Expr e = converter_.Symbolic(*a);
  if (!e.is_number()) Fail("argument '{}' is {}, but must be fixed.", name, e.text());
  return e.value() != 0;
}
double Call::Float(std::string_view name, double otherwise) {
  const Argument* a = Find(name);
  if (!a) return otherwise;
  const Expr e = converter_.Symbolic(*a);
  if (!e.is_number()) Fail("argument '{}' is {}, but must be a fixed number.", name, e.text());
  return e.value();
}
std::string Call::String(std::string_view name, std::string_view otherwise) {
  const Argument* a = Find(name);
  return a ? a->text : std::string(otherwise);
}
std::optional<DType> Call::Dtype(std::string_view name) {
  const Argument* a = Find(name);
  if (!a) return std::nullopt;
  if (!a->is(Kind::kScalarType)) Fail("argument '{}' is not a type.", name);
  const DType t = FromScalarType(a->number);
  if (t == DType::kUndefined) Fail("argument '{}' is a type that ONNX does not have.", name);
  return t;
}

Operand Call::ToOperand(const Argument& a) {
  if (a.is(Kind::kTensor)) return {converter_.Read(a.text), std::nullopt};
  return {{}, converter_.Symbolic(a)};
}
Operand Call::Operand(std::string_view name) {
  const Argument* a = Find(name);
  if (!a) Fail("argument '{}' is missing.", name);
  return ToOperand(*a);
}

ValueId Call::Use(const slipway::pt2::Operand& operand, DType dtype) {
  if (operand.tensor.defined()) return Cast(operand.tensor.id, dtype);
  return converter_.Number(*operand.number, dtype);
}

// ---- Results
// ------------------------------------------------------------------------------------------------------------

const std::vector<std::string>& Call::names_() const {
  if (!output_names_) {
    output_names_.emplace();
    const auto add = [&](const Argument& a, const auto& self) -> void {
      if (a.is(Kind::kList)) {
        for (const Argument& item : a.items) self(item, self);
      } else {
        output_names_->push_back(a.is(Kind::kTensor) ? a.text : std::string());
      }
    };
    for (const Argument& a : node_.outputs) add(a, add);
  }
  return *output_names_;
}

bool Call::Wants(int i) const {
  return i < num_outputs() && !names_()[i].empty() && converter_.Meta(names_()[i]) != nullptr;
}

DType Call::OutDtype(int i) const {
  const TensorMeta* meta = i < num_outputs() ? converter_.Meta(names_()[i]) : nullptr;
  if (!meta) Fail("the program says nothing of output {}.", i);
  return meta->dtype;
}

Exprs Call::OutShape(int i) const {
  const TensorMeta* meta = i < num_outputs() ? converter_.Meta(names_()[i]) : nullptr;
  if (!meta) Fail("the program says nothing of output {}.", i);
  return meta->sizes;
}

void Call::Out(int i, ValueId value) {
  if (i >= num_outputs() || names_()[i].empty()) return;
  if (static_cast<int>(results_.size()) <= i) results_.resize(i + 1, kNone);
  const TensorMeta* meta = converter_.Meta(names_()[i]);
  if (meta && !IsComplex(meta->dtype)) {
    if (meta->dtype == DType::kUndefined) Fail("its result has a type that ONNX does not have.");
    if (Elem(value) == DType::kUndefined) graph().value(value).type.elem = meta->dtype;
    value = Cast(value, meta->dtype);
    Type& type = graph().value(value).type;
    std::vector<Dim> dims;
    for (const Expr& e : meta->sizes) dims.push_back(converter_.ToDim(e));
    if (!type.shape.has_rank()) {
      type.shape = SymbolicShape(std::move(dims));
    } else {
      bool fits = type.shape.rank() == static_cast<int>(dims.size());
      for (int a = 0; fits && a < type.shape.rank(); ++a) fits = !type.shape[a].Differs(dims[a]);
      if (!fits) {
        throw Error(Code::kBadGraph, fmt::format("converted, it gives {} where torch gives {}.", type.ToString(),
                                                 SymbolicShape(std::move(dims)).ToString()));
      }
      for (int a = 0; a < type.shape.rank(); ++a) {
        if (!type.shape[a].is_const() && (dims[a].is_const() || type.shape[a].ToString().starts_with("?"))) {
          type.shape[a] = dims[a];
        }
      }
    }
    converter_.NoteAxes(value, meta->sizes);
  }
  results_[i] = value;
}

void Call::FailWith(const std::string& message) const {
  const std::string line = node_.SourceLine();
  throw Error(Code::kUnsupported, fmt::format("'{}' cannot be written as ONNX: {}\n  node '{}'{}{}", node_.target,
                                              message, node_.name, line.empty() ? "" : ", ", line));
}

// ---- Values
// -------------------------------------------------------------------------------------------------------------

std::vector<ValueId> Call::AddMany(std::string_view op, std::vector<ValueId> inputs, int outputs, Attributes attributes,
                                   std::string_view domain) {
  const std::string path = node_.ModulePath();
  while (!inputs.empty() && inputs.back() == kNone) inputs.pop_back();
  return converter_.AddNode({.op_type = std::string(op),
                             .domain = std::string(domain),
                             .inputs = std::move(inputs),
                             .attributes = std::move(attributes)},
                            outputs, path.empty() ? node_.name : path + "/" + node_.name);
}
ValueId Call::Add(std::string_view op, std::vector<ValueId> inputs, Attributes attributes, std::string_view domain) {
  return AddMany(op, std::move(inputs), 1, std::move(attributes), domain)[0];
}

ValueId Call::Constant(slipway::Tensor tensor, std::string name) {
  return converter_.Constant(std::move(tensor), std::move(name));
}
ValueId Call::IntsConstant(const std::vector<int64_t>& values) {
  return Constant(slipway::Tensor::From<int64_t>({static_cast<int64_t>(values.size())}, std::span(values)));
}
ValueId Call::Scalar(double value, DType dtype) { return Constant(Filled(dtype, Shape{}, value)); }

namespace {

/// A constant matrix the other way round.
/// A matrix the other way round, made when it is written: weights are most of a model, and need no copy.
class TurnedMatrix final : public onnx::DataSource {
 public:
  explicit TurnedMatrix(slipway::Tensor matrix) : matrix_(std::move(matrix)) {}

  void Write(std::ostream& out) const override {
    const int64_t rows = matrix_.shape()[0], columns = matrix_.shape()[1];
    const auto item = static_cast<int64_t>(SizeOf(matrix_.dtype()));
    // Some columns at a time.
    constexpr int64_t kPart = int64_t{4} << 20;
    const int64_t step = std::max<int64_t>(1, kPart / std::max<int64_t>(1, rows * item));
    std::vector<char> part(static_cast<size_t>(std::min(step, columns) * rows * item));
    for (int64_t c = 0; c < columns; c += step) {
      const int64_t end = std::min(columns, c + step);
      Turn(c, end, part.data());
      out.write(part.data(), static_cast<std::streamsize>((end - c) * rows * item));
    }
    ReleasePages(matrix_);
  }

  slipway::Tensor Copy() const {
    slipway::Tensor out(matrix_.dtype(), {matrix_.shape()[1], matrix_.shape()[0]});
    Turn(0, matrix_.shape()[1], static_cast<char*>(out.raw()));
    return out;
  }

 private:
  /// Columns [begin, end) as rows.
  void Turn(int64_t begin, int64_t end, char* to) const {
    switch (SizeOf(matrix_.dtype())) {
      case 1:
        return TurnAs<uint8_t>(begin, end, to);
      case 2:
        return TurnAs<uint16_t>(begin, end, to);
      case 4:
        return TurnAs<uint32_t>(begin, end, to);
      default:
        return TurnAs<uint64_t>(begin, end, to);
    }
  }
  template <class T>
  void TurnAs(int64_t begin, int64_t end, char* bytes) const {
    const int64_t rows = matrix_.shape()[0], columns = matrix_.shape()[1];
    const T* from = static_cast<const T*>(matrix_.raw());
    T* to = reinterpret_cast<T*>(bytes);
    constexpr int64_t kTile = 16;
    Threads(0).ParallelFor((rows + kTile - 1) / kTile, 4, [&](int64_t first, int64_t last) {
      for (int64_t tile = first; tile < last; ++tile) {
        const int64_t r0 = tile * kTile, r1 = std::min(rows, r0 + kTile);
        for (int64_t c0 = begin; c0 < end; c0 += kTile) {
          for (int64_t c = c0; c < std::min(end, c0 + kTile); ++c) {
            for (int64_t r = r0; r < r1; ++r) to[(c - begin) * rows + r] = from[r * columns + c];
          }
        }
      }
    });
  }

  slipway::Tensor matrix_;
};

std::optional<std::vector<int64_t>> Fixed(const Exprs& sizes) {
  std::vector<int64_t> ints;
  for (const Expr& e : sizes) {
    if (!e.is_int()) return std::nullopt;
    ints.push_back(e.int_value());
  }
  return ints;
}

}  // namespace

ValueId Call::SizeVector(const Exprs& sizes) {
  if (const auto fixed = Fixed(sizes)) return IntsConstant(*fixed);
  Frame& frame = *converter_.frame_;
  std::string key = "[";
  for (const Expr& e : sizes) key += e.text() + ";";
  if (auto it = frame.sizes.find(key); it != frame.sizes.end()) return it->second;
  // A run of one tensor's axes is one Shape.
  const auto run = [&](size_t start) -> size_t {
    const auto at = frame.axes.find(sizes[start].text());
    if (sizes[start].is_int() || at == frame.axes.end()) return 0;
    const Type& type = graph().value(at->second.first).type;
    size_t n = 1;
    while (start + n < sizes.size() && type.shape.has_rank() &&
           at->second.second + static_cast<int>(n) < type.shape.rank()) {
      const Dim& d = type.shape[at->second.second + static_cast<int>(n)];
      const Expr& want = sizes[start + n];
      if (want.is_int() ? !(d == Dim(want.int_value())) : !(d == converter_.ToDim(want))) break;
      ++n;
    }
    return n;
  };
  std::vector<ValueId> parts;
  std::vector<int64_t> numbers;
  const auto flush = [&] {
    if (!numbers.empty()) parts.push_back(IntsConstant(numbers));
    numbers.clear();
  };
  for (size_t i = 0; i < sizes.size();) {
    if (sizes[i].is_int()) {
      numbers.push_back(sizes[i++].int_value());
      continue;
    }
    flush();
    const size_t n = run(i);
    if (n > 1) {
      const auto [v, axis] = frame.axes.at(sizes[i].text());
      parts.push_back(Add("Shape", {v}, {{"start", int64_t{axis}}, {"end", axis + static_cast<int64_t>(n)}}));
      i += n;
    } else {
      parts.push_back(converter_.Size(sizes[i++]));
    }
  }
  flush();
  const ValueId v = parts.size() == 1 ? parts[0] : Add("Concat", parts, {{"axis", int64_t{0}}});
  frame.sizes.emplace(key, v);
  return v;
}

ValueId Call::Full(const Exprs& shape, const Expr& value, DType dtype) {
  constexpr int64_t kSmall = 64;
  const auto fixed = Fixed(shape);
  int64_t count = 1;
  bool small = value.is_number() && fixed;
  for (size_t i = 0; small && i < fixed->size(); ++i) {
    small = (*fixed)[i] >= 0 && !__builtin_mul_overflow(count, (*fixed)[i], &count) && count <= kSmall;
  }
  if (small) {
    return Constant(Filled(dtype, Shape(*fixed), value.value()));
  }
  if (value.is_number()) {
    return Add("ConstantOfShape", {SizeVector(shape)}, {{"value", Filled(dtype, Shape{1}, value.value())}});
  }
  return Add("Expand", {converter_.Number(value, dtype), SizeVector(shape)});
}

ValueId Call::Cast(ValueId v, DType to) {
  if (Elem(v) == to) return v;
  if (const slipway::Tensor* t = graph().Constant(v); t && t->size() == 1 && t->shape().rank() == 0) {
    // A number: as the type at once.
    double value = 0;
    switch (t->dtype()) {
      case DType::kFloat:
        value = *t->data<float>();
        break;
      case DType::kDouble:
        value = *t->data<double>();
        break;
      case DType::kInt64:
        if (std::abs(*t->data<int64_t>()) < (int64_t{1} << 53)) value = static_cast<double>(*t->data<int64_t>());
        break;
      default:
        break;
    }
    if (value != 0 && IsFloating(to) && t->dtype() != DType::kFloat16 && SizeOf(to) >= 2) return Scalar(value, to);
  }
  return Add("Cast", {v}, {{"to", static_cast<int64_t>(to)}});
}
TensorRef Call::Cast(const TensorRef& t, DType to) { return {Cast(t.id, to), to, t.shape}; }

ValueId Call::Reshape(ValueId v, const Exprs& from, const Exprs& to) {
  if (from == to) return v;
  const bool empty = std::any_of(to.begin(), to.end(), [](const Expr& e) { return e == Expr(0); });
  if (Fixed(to) || empty) {
    Attributes attributes;
    if (empty) attributes.Set("allowzero", int64_t{1});
    return Add("Reshape", {v, SizeVector(to)}, std::move(attributes));
  }
  // 0 keeps the axis's size, one -1 is worked out.
  Exprs sizes = to;
  int infer = -1;
  bool computed = false;
  for (size_t i = 0; i < to.size(); ++i) {
    if (to[i].is_int()) continue;
    if (i < from.size() && from[i] == to[i]) {
      sizes[i] = 0;
      continue;
    }
    if (infer < 0) {
      infer = static_cast<int>(i);
      sizes[i] = -1;
    } else {
      computed = true;
    }
  }
  if (computed) {
    // Keep the hardest to compute for -1.
    const auto cost = [&](const Expr& e) { return e.kind() == Expr::Kind::kCall ? e.text().size() + 1 : 0; };
    for (size_t i = 0; i < to.size(); ++i) {
      if (to[i].is_int() || sizes[i].is_int()) continue;
      if (cost(to[i]) > cost(to[infer])) {
        sizes[infer] = to[infer];
        sizes[i] = -1;
        infer = static_cast<int>(i);
      }
    }
  }
  return Add("Reshape", {v, SizeVector(sizes)});
}

ValueId Call::Transpose(ValueId v, const std::vector<int64_t>& perm) {
  if (std::is_sorted(perm.begin(), perm.end())) return v;
  return Add("Transpose", {v}, {{"perm", perm}});
}
ValueId Call::SwapLast(ValueId v, int rank) {
  std::vector<int64_t> perm(rank);
  for (int i = 0; i < rank; ++i) perm[i] = i;
  if (rank >= 2) std::swap(perm[rank - 1], perm[rank - 2]);
  return Transpose(v, perm);
}
ValueId Call::Transposed(const TensorRef& matrix) {
  const slipway::Tensor* t = graph().Constant(matrix.id);
  if (!t || t->dtype() == DType::kString || SizeOf(t->dtype()) > 8) return SwapLast(matrix.id, 2);
  ValueId& turned = converter_.frame_->turned.try_emplace(matrix.id, kNone).first->second;
  if (turned == kNone) {
    constexpr size_t kSmall = size_t{64} << 10;
    const auto source = std::make_shared<TurnedMatrix>(*t);
    turned = Constant(
        t->bytes() < kSmall ? source->Copy() : onnx::TensorFrom(t->dtype(), {t->shape()[1], t->shape()[0]}, source),
        graph().value(matrix.id).name + "_transposed");
  }
  return turned;
}
ValueId Call::Unsqueeze(ValueId v, const std::vector<int64_t>& axes) {
  return axes.empty() ? v : Add("Unsqueeze", {v, IntsConstant(axes)});
}
ValueId Call::Squeeze(ValueId v, const std::vector<int64_t>& axes) {
  return axes.empty() ? v : Add("Squeeze", {v, IntsConstant(axes)});
}
ValueId Call::Slice(ValueId v, int axis, const Expr& start, const Expr& end, int64_t step) {
  return Add("Slice", {v, SizeVector({start}), SizeVector({end}), IntsConstant({axis}),
                       step == 1 ? kNone : IntsConstant({step})});
}
ValueId Call::Select(ValueId v, int axis, const Expr& index) {
  return Add("Gather", {v, SizeScalar(index)}, {{"axis", int64_t{axis}}});
}
ValueId Call::Concat(const std::vector<ValueId>& values, int axis) {
  return values.size() == 1 ? values[0] : Add("Concat", values, {{"axis", int64_t{axis}}});
}
ValueId Call::Expand(ValueId v, const Exprs& from, const Exprs& to) {
  if (from == to) return v;
  Exprs sizes = to;
  if (from.size() > to.size()) Fail("it expands rank {} to rank {}.", from.size(), to.size());
  const size_t shift = to.size() - from.size();
  for (size_t i = 0; i < from.size(); ++i) {
    if (from[i] == to[i + shift]) sizes[i + shift] = 1;
  }
  return Add("Expand", {v, SizeVector(sizes)});
}

}  // namespace slipway::pt2
