#include <charconv>
#include <cmath>

#include "core/dtype_visit.h"
#include "ops/ml/ml.h"

namespace slipway {
namespace {

/// Fail()s where input 0 is no map with these types of keys and values.
void ExpectMap(const InferContext& c, TypeSet keys, TypeSet values) {
  const Type& t = c.In(0);
  if (t.kind != Type::Kind::kMap) c.Fail("{} is {}, but must be a map.", c.InputName(0), t.ToString());
  if (!keys.Has(t.elem))
    c.Fail("{} has keys of {}, but they must be {}.", c.InputName(0), Name(t.elem), keys.ToString());
  if (!t.element || !t.element->known()) return;
  if (t.element->kind != Type::Kind::kTensor || !values.Has(t.element->elem)) {
    c.Fail("{} is {}, but its values must be {}.", c.InputName(0), t.ToString(), values.ToString());
  }
}

/// A map's value: one element.
const Tensor& Single(const RunContext& c, const Value& v) {
  if (!v.is_tensor() || v.tensor().size() != 1) c.Fail("a value of the map is not one element.");
  return v.tensor();
}

double NumberOf(const RunContext& c, const Tensor& t) {
  switch (t.dtype()) {
    case DType::kFloat:
      return *t.data<float>();
    case DType::kDouble:
      return *t.data<double>();
    case DType::kInt64:
      return static_cast<double>(*t.data<int64_t>());
    default:
      c.Fail("a value of the map is {}, which is no number.", Name(t.dtype()));
  }
}

int64_t Truncated(double v) {
  if (v != v) return 0;
  if (v >= 9223372036854775808.0) return INT64_MAX;
  return v < -9223372036854775808.0 ? INT64_MIN : static_cast<int64_t>(v);
}

}  // namespace

/// A map's values as a row, by ascending key: all there are, or with SPARSE each at the place that its key gives. ONNX
/// CastMap, since ai.onnx.ml 1.
struct CastMap {
  DType to = DType::kFloat;
  bool sparse = false;
  int64_t width = 1;

  static CastMap Parse(const Attributes& a) {
    const std::string to = a.String("cast_to", "TO_FLOAT"), form = a.String("map_form", "DENSE");
    CastMap op{.sparse = form == "SPARSE", .width = a.Int("max_map", 1)};
    if (to != "TO_FLOAT" && to != "TO_STRING" && to != "TO_INT64")
      ml::FailParse(fmt::format("cast_to is '{}', but must be TO_FLOAT, TO_STRING or TO_INT64.", to));
    if (form != "DENSE" && form != "SPARSE")
      ml::FailParse(fmt::format("map_form is '{}', but must be DENSE or SPARSE.", form));
    if (op.sparse && (op.width < 1 || op.width > int64_t{1} << 26))
      ml::FailParse(fmt::format("max_map is {}.", op.width));
    op.to = to == "TO_FLOAT" ? DType::kFloat : to == "TO_STRING" ? DType::kString : DType::kInt64;
    return op;
  }

  void Infer(InferContext& c) const {
    ExpectMap(c, {DType::kInt64}, {DType::kString, DType::kFloat});
    c.Out(0, to, {1, sparse ? Dim(width) : Dim::Unknown()});
  }

  void Run(RunContext& c) const {
    const auto* map = std::get_if<std::map<int64_t, Value>>(&c.InValue(0).map());
    // An empty map does not tell the type of its keys.
    static const std::map<int64_t, Value> kNothing;
    if (!map) map = &kNothing;
    Tensor& y = c.Allocate(0, to, {1, sparse ? width : static_cast<int64_t>(map->size())});
    if (sparse) Pad(y);
    int64_t at = 0;
    for (const auto& [key, value] : *map) {
      if (sparse && (key < 0 || key >= width)) c.Fail("key {} is outside [0, {}), which max_map allows.", key, width);
      Store(c, Single(c, value), y, sparse ? key : at++);
    }
  }

 private:
  static void Pad(Tensor& y) {
    if (y.dtype() == DType::kFloat) std::fill_n(y.data<float>(), y.size(), 0.0f);
    if (y.dtype() == DType::kInt64) std::fill_n(y.data<int64_t>(), y.size(), int64_t{0});
    // onnxruntime's filling.
    if (y.dtype() == DType::kString) std::fill_n(y.data<std::string>(), y.size(), "0.f");
  }
  void Store(const RunContext& c, const Tensor& from, Tensor& y, int64_t at) const {
    const bool text = from.dtype() == DType::kString;
    if (to == DType::kString) {
      y.data<std::string>()[at] = text ? *from.data<std::string>() : fmt::format("{:f}", NumberOf(c, from));
      return;
    }
    if (to == DType::kInt64 && text) {
      const std::string& s = *from.data<std::string>();
      const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), y.data<int64_t>()[at]);
      if (error == std::errc() && end == s.data() + s.size()) return;
    }
    const double v = text ? Parsed(c, *from.data<std::string>()) : NumberOf(c, from);
    if (to == DType::kFloat) {
      y.data<float>()[at] = static_cast<float>(v);
    } else {
      y.data<int64_t>()[at] = Truncated(v);
    }
  }
  static double Parsed(const RunContext& c, const std::string& s) {
    char* end = nullptr;
    const double v = std::strtod(s.c_str(), &end);
    if (end == s.c_str() || *end != '\0') c.Fail("'{:.100}' is not a number.", s);
    return v;
  }
};
extern const OpDef kCastMap = Define<CastMap>({.name = "CastMap", .since = 1, .domain = kMlDomain});

/// A map's values as a row, each at its key's place in the vocabulary; the rest is zero. Keys outside the vocabulary
/// are left out. ONNX DictVectorizer, since ai.onnx.ml 1.
struct DictVectorizer {
  ml::Labels vocabulary;
  static DictVectorizer Parse(const Attributes& a) {
    return {.vocabulary = ml::Labels::Parse(a, "int64_vocabulary", "string_vocabulary")};
  }

  void Infer(InferContext& c) const {
    ExpectMap(c, {vocabulary.dtype()}, {DType::kInt64, DType::kFloat, DType::kDouble, DType::kString});
    const Type& t = c.In(0);
    const DType elem = t.element ? t.element->elem : DType::kUndefined;
    if (elem != DType::kUndefined && elem == t.elem)
      c.Fail("{} is {}: keys and values must differ in type.", c.InputName(0), t.ToString());
    const Graph::ValueInfo* declared =
        elem == DType::kUndefined && c.node.output(0) != kNone ? &c.graph.value(c.node.output(0)) : nullptr;
    c.Out(0, declared ? declared->type.elem : elem, {1, static_cast<int64_t>(vocabulary.size())});
  }

  void Run(RunContext& c) const {
    std::visit(
        [&](const auto& map) {
          using Key = typename std::decay_t<decltype(map)>::key_type;
          const DType type = map.empty() ? DeclaredType(c) : Single(c, map.begin()->second).dtype();
          Tensor& y = c.Allocate(0, type, {1, static_cast<int64_t>(vocabulary.size())});
          Visit(Types<int64_t, float, double, std::string>{}, type, "an int64, float, double or string",
                [&]<class T>() {
                  for (int64_t i = 0; i < y.size(); ++i) {
                    const Value* v = nullptr;
                    if constexpr (std::is_same_v<Key, int64_t>) {
                      if (!vocabulary.ints.empty()) v = Find(map, vocabulary.ints[i]);
                    } else {
                      if (!vocabulary.strings.empty()) v = Find(map, vocabulary.strings[i]);
                    }
                    if (v && Single(c, *v).dtype() != type) c.Fail("the values of the map are of several types.");
                    y.data<T>()[i] = v ? *v->tensor().data<T>() : T{};
                  }
                });
        },
        c.InValue(0).map());
  }

 private:
  template <class M>
  static const Value* Find(const M& map, const typename M::key_type& key) {
    const auto found = map.find(key);
    return found == map.end() ? nullptr : &found->second;
  }
  static DType DeclaredType(const RunContext& c) {
    const ValueId out = c.node->output(0);
    const DType type = out == kNone ? DType::kUndefined : c.graph->value(out).type.elem;
    return type == DType::kUndefined ? DType::kFloat : type;
  }
};
extern const OpDef kDictVectorizer =
    Define<DictVectorizer>({.name = "DictVectorizer", .since = 1, .domain = kMlDomain});

/// Each row as a map from class labels to the columns' values. ONNX ZipMap, since ai.onnx.ml 1.
struct ZipMap {
  ml::Labels labels;
  static ZipMap Parse(const Attributes& a) {
    return {.labels = ml::Labels::Parse(a, "classlabels_int64s", "classlabels_strings")};
  }
  void Infer(InferContext& c) const {
    ml::InferRows(c);
    const Dim columns = ml::InferFeatures(c);
    if (columns.is_const() && columns.value() != static_cast<int64_t>(labels.size()))
      c.Fail("{} has {} columns, but there are {} class labels.", c.InputName(0), columns.value(), labels.size());
    const Type one = Type::TensorOf(DType::kFloat, SymbolicShape(Shape{}));
    c.Out(0, Type::SequenceOf(Type::MapOf(labels.dtype(), one)));
  }
  void Run(RunContext& c) const {
    const auto [rows, columns] = ml::RowsOf(c.In(0).shape());
    const float* x = c.In(0).data<float>();
    Sequence out;
    for (int64_t r = 0; r < rows; ++r) {
      const float* row = x + r * columns;
      out.push_back(labels.strings.empty() ? Zip(labels.ints, row) : Zip(labels.strings, row));
    }
    c.SetOut(0, Value(std::move(out)));
  }

 private:
  template <class Key>
  static Value Zip(const std::vector<Key>& keys, const float* row) {
    std::map<Key, Value> map;
    for (size_t j = 0; j < keys.size(); ++j) map.insert_or_assign(keys[j], Tensor::From<float>({}, {row[j]}));
    return Map(std::move(map));
  }
};
extern const OpDef kZipMap =
    Define<ZipMap>({.name = "ZipMap", .since = 1, .domain = kMlDomain, .types = {DType::kFloat}});

}  // namespace slipway
