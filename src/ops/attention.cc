#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "core/dtype_visit.h"
#include "kernels/attention/attention_halves.h"
#include "ops/in_float.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

/// Scores held back from the softmax, whatever their type.
constexpr double kHidden = -std::numeric_limits<double>::infinity();

/// What a call's inputs amount to: sizes, and how rows of [B, H, S, D] and of [B, S, H * D] are found.
struct Sizes {
  int64_t batch = 0, heads = 0, kv_heads = 0, queries = 0, fresh = 0, past = 0, keys = 0, size = 0, value_size = 0;
  bool flat = false;  // [B, S, H * D]

  template <class T>
  kernels::HeadsView<T> View(T* data, int64_t n_heads, int64_t rows, int64_t row) const {
    if (flat) return {data, rows * n_heads * row, row, n_heads * row};
    return {data, n_heads * rows * row, rows * row, row};
  }
  /// The same of columns from `first` on of wider rows.
  template <class T>
  static kernels::HeadsView<T> Columns(T* data, int64_t first, int64_t rows, int64_t width, int64_t row) {
    return {data + first, rows * width, row, width};
  }
};

/// Element strides of a mask over [batch, heads, queries, keys], 0 where it is repeated.
struct MaskStrides {
  int64_t at[4] = {0, 0, 0, 0};
  int64_t keys = 0;  // the mask's last axis may be shorter than the keys: those past it are hidden

  explicit MaskStrides(const Shape& mask) {
    int64_t step = 1;
    for (int i = 0; i < mask.rank() && i < 4; ++i) {
      const int64_t n = mask.Back(i);
      if (n != 1) at[3 - i] = step;
      step *= n;
    }
    keys = mask.rank() > 0 ? mask.Back(0) : 1;
  }
};

/// Past rows followed by new ones, as [B, H, past + fresh, row].
void Join(const Tensor& past, const Tensor& fresh, const Sizes& s, int64_t row, std::byte* out) {
  const size_t bytes = static_cast<size_t>(row) * SizeOf(fresh.dtype());
  const auto* old_rows = static_cast<const std::byte*>(past.raw());
  const auto* new_rows = static_cast<const std::byte*>(fresh.raw());
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t h = 0; h < s.kv_heads; ++h) {
      const int64_t head = b * s.kv_heads + h;
      std::memcpy(out, old_rows + head * s.past * bytes, s.past * bytes);
      out += s.past * bytes;
      for (int64_t i = 0; i < s.fresh; ++i) {
        const int64_t at = s.flat ? (b * s.fresh + i) * s.kv_heads + h : head * s.fresh + i;
        std::memcpy(out, new_rows + at * bytes, bytes);
        out += bytes;
      }
    }
  }
}

}  // namespace

/// Scaled dot-product attention with masks, grouped heads, windows and a key-value cache. ONNX Attention, since 25.
struct Attention {
  int64_t q_heads = 0;
  int64_t kv_heads = 0;
  bool causal = false;
  float scale = 0;
  bool has_scale = false;
  float softcap = 0;
  int64_t left = -1;
  int64_t right = -1;
  int64_t qk_mode = 0;
  std::vector<int64_t> columns;      ///< of Q, K and V, the first and how many; none: all of each are read
  std::optional<int64_t> precision;  ///< the type that the softmax of halves is computed in, else that of the queries

  static Attention Parse(const Attributes& a) {
    return {.q_heads = a.Int("q_num_heads", 0),
            .kv_heads = a.Int("kv_num_heads", 0),
            .causal = a.Int("is_causal", 0) != 0,
            .scale = a.Float("scale", 0),
            .has_scale = a.Has("scale"),
            .softcap = a.Float("softcap", 0),
            .left = a.Int("left_window_size", -1),
            .right = a.Int("right_window_size", -1),
            .qk_mode = a.Int("qk_matmul_output_mode", 0),
            .precision = a.Has("softmax_precision") ? std::optional(a.Int("softmax_precision", 1)) : std::nullopt};
  }

  void Infer(InferContext& c) const {
    c.ExpectSameElem(1, 0);
    c.ExpectElem(2, kFloatTypes);
    if (left < -1 || right < -1) c.Fail("window sizes are {} and {}, but must be -1 or more.", left, right);
    if (qk_mode < 0 || qk_mode > 3) c.Fail("attribute 'qk_matmul_output_mode' is {}, but must be 0 to 3.", qk_mode);
    if (precision) {
      const DType type = ToDType(c, *precision, "softmax_precision");
      if (!kFloatTypes.Has(type))
        c.Fail("attribute 'softmax_precision' is {}, but must be {}.", Name(type), kFloatTypes.ToString());
    }
    if (q_heads < 0 || kv_heads < 0)
      c.Fail("there are {} and {} heads, but neither may be negative.", q_heads, kv_heads);
    if (!(softcap >= 0)) c.Fail("attribute 'softcap' is {}, but must be 0 or above.", softcap);
    if (c.Has(4) != c.Has(5)) c.Fail("past_key and past_value go together.");
    if (c.Has(6) && c.Has(4)) c.Fail("nonpad_kv_seqlen does not go with past_key.");
    if (!c.HasRank(0) || !c.HasRank(1) || !c.HasRank(2)) return InferUnknown(c);
    const SymbolicShape &q = c.Shape(0), &k = c.Shape(1), &v = c.Shape(2);
    c.ExpectRank(0, 3, 4);
    c.ExpectRank(1, q.rank(), q.rank());
    c.ExpectRank(2, q.rank(), q.rank());
    const bool flat = q.rank() == 3;
    if (flat && (q_heads < 1 || kv_heads < 1))
      c.Fail("inputs of rank 3 want attributes q_num_heads and kv_num_heads of 1 or more.");
    const auto part = [&](const Dim& width, int64_t heads, int input) {
      if (width.is_const() && width.value() % heads != 0)
        c.Fail("{} is {} wide, which {} heads do not divide.", c.InputName(input), width.ToString(), heads);
      return FloorDiv(width, heads);
    };
    const Dim nq = flat ? Dim(q_heads) : q[1], nk = flat ? Dim(kv_heads) : k[1];
    const Dim size = flat ? part(q[2], q_heads, 0) : q[3], key_size = flat ? part(k[2], kv_heads, 1) : k[3];
    const Dim value_size = flat ? part(v[2], kv_heads, 2) : v[3];
    const Dim queries = q[flat ? 1 : 2], fresh = k[flat ? 1 : 2];
    if (size.Differs(key_size))
      c.Fail("queries have {} elements a head, keys {}.", size.ToString(), key_size.ToString());
    if (fresh.Differs(v[flat ? 1 : 2]))
      c.Fail("there are {} keys, but {} values.", fresh.ToString(), v[flat ? 1 : 2].ToString());
    if (k[0].Differs(q[0]) || v[0].Differs(q[0]))
      c.Fail("Q, K and V have batches of {}, {} and {}.", q[0].ToString(), k[0].ToString(), v[0].ToString());
    if (!flat && nk.Differs(v[1])) c.Fail("K has {} heads, V {}.", nk.ToString(), v[1].ToString());
    if (nq.is_const() && nk.is_const() && (nk.value() < 1 || nq.value() % nk.value() != 0))
      c.Fail("{} query heads cannot share {} key heads.", nq.ToString(), nk.ToString());
    Dim keys = fresh;
    if (c.Has(4) && c.HasRank(4)) {
      c.ExpectRank(4, 4, 4);
      c.ExpectRank(5, 4, 4);
      CheckPast(c, 4, {q[0], nk, Dim::Unknown(), size});
      if (c.HasRank(5)) CheckPast(c, 5, {q[0], nk, c.Shape(4)[2], value_size});
      keys = c.Shape(4)[2] + fresh;
    } else if (c.Has(4)) {
      keys = Dim::Unknown();
    }
    CheckMask(c, {q[0], nq, queries, keys});
    if (c.Has(6)) {
      c.ExpectElem(6, {DType::kInt64});
      if (c.HasRank(6) && (c.Shape(6).rank() != 1 || c.Shape(6)[0].Differs(q[0])))
        c.Fail("{} must have shape [batch].", c.InputName(6));
    }
    c.Out(0, c.Elem(0),
          flat ? SymbolicShape{q[0], queries, nq * value_size} : SymbolicShape{q[0], nq, queries, value_size});
    c.Out(1, c.Elem(1), {q[0], nk, keys, size});
    c.Out(2, c.Elem(2), {q[0], nk, keys, value_size});
    c.Out(3, c.Elem(0), {q[0], nq, queries, keys});
  }

  void Run(RunContext& c) const {
    const DType type = c.In(0).dtype();
    if (RunHalvesInFloat(c, [&](RunContext& in_float) { RunFloats(in_float, type); })) return;
    RunFloats(c, type);
  }

 private:
  /// `type` is that of the queries and keys, which are float or double here.
  void RunFloats(RunContext& c, DType type) const {
    Sizes s = SizesOf(c);
    Tensor k = c.In(1), v = c.In(2);
    bool joined = false;
    if (c.Has(4) || c.HasOut(1) || c.HasOut(2)) {
      const Tensor none(k.dtype(), {0}), none_v(v.dtype(), {0});
      Tensor keys = c.HasOut(1) ? c.Out(1) : Tensor(k.dtype(), {s.batch, s.kv_heads, s.keys, s.size});
      Tensor values = c.HasOut(2) ? c.Out(2) : Tensor(v.dtype(), {s.batch, s.kv_heads, s.keys, s.value_size});
      Join(c.Has(4) ? c.In(4) : none, k, s, s.size, static_cast<std::byte*>(keys.raw()));
      Join(c.Has(4) ? c.In(5) : none_v, v, s, s.value_size, static_cast<std::byte*>(values.raw()));
      k = keys;
      v = values;
      joined = true;
    }
    const bool halves = type == DType::kFloat16 || type == DType::kBFloat16;
    if (c.In(0).dtype() == DType::kFloat && v.dtype() == DType::kFloat && (halves || !c.HasOut(3)))
      return RunFast(c, s, k, v, joined, type);
    Visit(Types<float, double>{}, c.In(0).dtype(), "float or double", [&]<class T>() {
      Visit(Types<float, double>{}, v.dtype(), "float or double",
            [&]<class V>() { RunPlain<T, V>(c, s, k, v, joined); });
    });
  }

  void InferUnknown(InferContext& c) const {
    const SymbolicShape any;
    c.Out(0, c.Elem(0), c.HasRank(0) ? SymbolicShape::OfRank(c.Shape(0).rank()) : any);
    c.Out(1, c.Elem(1), SymbolicShape::OfRank(4));
    c.Out(2, c.Elem(2), SymbolicShape::OfRank(4));
    c.Out(3, c.Elem(0), SymbolicShape::OfRank(4));
  }

  static void CheckPast(const InferContext& c, int input, const SymbolicShape& wanted) {
    for (int i = 0; i < 4; ++i) {
      if (c.Shape(input)[i].Differs(wanted[i]))
        c.Fail("{} has shape {}, but must be {}.", c.InputName(input), c.Shape(input).ToString(), wanted.ToString());
    }
  }

  static void CheckMask(const InferContext& c, const SymbolicShape& scores) {
    if (!c.Has(3)) return;
    c.ExpectElem(3, kFloatTypes | TypeSet{DType::kBool});
    if (c.Elem(3) != DType::kBool && c.Elem(3) != c.Elem(0)) c.ExpectSameElem(3, 0);
    if (!c.HasRank(3)) return;
    c.ExpectRank(3, 0, 4);
    for (int i = 0; i < c.Shape(3).rank(); ++i) {
      const Dim& m = c.Shape(3)[c.Shape(3).rank() - 1 - i];
      const Dim& wanted = scores[3 - i];
      const bool shorter = i == 0 && m.is_const() && wanted.is_const() && m.value() < wanted.value();
      if (!(m == Dim(1)) && m.Differs(wanted) && !shorter)
        c.Fail("mask {} has shape {}, but the scores have {}.", c.InputName(3), c.Shape(3).ToString(),
               scores.ToString());
    }
  }

  Sizes SizesOf(const RunContext& c) const {
    const Shape &q = c.In(0).shape(), &k = c.In(1).shape(), &v = c.In(2).shape();
    Sizes s{.batch = q[0], .flat = q.rank() == 3};
    s.heads = s.flat ? q_heads : q[1];
    s.kv_heads = s.flat ? kv_heads : k[1];
    s.queries = q[s.flat ? 1 : 2];
    s.fresh = k[s.flat ? 1 : 2];
    s.size = s.flat ? (columns.empty() ? q[2] : columns[1]) / q_heads : q[3];
    s.value_size = s.flat ? (columns.empty() ? v[2] : columns[5]) / kv_heads : v[3];
    s.past = c.Has(4) ? c.In(4).shape()[2] : 0;
    s.keys = s.past + s.fresh;
    return s;
  }

  float Scale(const Sizes& s) const { return has_scale ? scale : 1 / std::sqrt(static_cast<float>(s.size)); }

  /// The first position of each batch item's queries among its keys.
  std::vector<int64_t> Offsets(const RunContext& c, const Sizes& s) const {
    std::vector<int64_t> out(s.batch, s.past);
    for (int64_t b = 0; c.Has(6) && b < s.batch; ++b) out[b] = c.In(6).data<int64_t>()[b] - s.queries;
    return out;
  }

  void RunFast(RunContext& c, const Sizes& s, const Tensor& k, const Tensor& v, bool joined, DType type) const {
    Sizes kv = s;
    kv.flat = s.flat && !joined;
    kernels::AttentionArgs args{.batch = s.batch,
                                .heads = s.heads,
                                .kv_heads = s.kv_heads,
                                .queries = s.queries,
                                .keys = s.keys,
                                .size = s.size,
                                .value_size = s.value_size,
                                .q = s.View(c.In(0).data<float>(), s.heads, s.queries, s.size),
                                .k = kv.View(k.data<float>(), s.kv_heads, s.keys, s.size),
                                .v = kv.View(v.data<float>(), s.kv_heads, s.keys, s.value_size),
                                .out = s.View(c.Out(0).data<float>(), s.heads, s.queries, s.value_size),
                                .scale = Scale(s),
                                .softcap = softcap,
                                .window_left = left,
                                .window_right = causal ? 0 : right,
                                .offset = s.past,
                                .masked_rows_are_zero = true};
    if (!columns.empty()) {
      args.q = Sizes::Columns(c.In(0).data<float>(), columns[0], s.queries, c.In(0).shape()[2], s.size);
      args.k = Sizes::Columns(k.data<float>(), columns[2], s.keys, k.shape()[2], s.size);
      args.v = Sizes::Columns(v.data<float>(), columns[4], s.keys, v.shape()[2], s.value_size);
    }
    std::vector<int64_t> counts(s.batch, s.keys), offsets;
    if (c.Has(6)) {
      offsets = Offsets(c, s);
      for (int64_t b = 0; b < s.batch; ++b) counts[b] = std::clamp<int64_t>(c.In(6).data<int64_t>()[b], 0, s.keys);
      args.offsets = offsets.data();
      args.key_counts = counts.data();
    }
    if (c.Has(3)) {
      const Tensor& mask = c.In(3);
      const MaskStrides strides(mask.shape());
      args.mask = {.batch_stride = strides.at[0],
                   .head_stride = strides.at[1],
                   .row_stride = strides.at[2],
                   .col_stride = strides.at[3]};
      (mask.dtype() == DType::kBool ? void(args.mask.keep = mask.data<uint8_t>())
                                    : void(args.mask.add = mask.data<float>()));
      if (strides.keys != 1 && strides.keys < s.keys) {
        for (int64_t& n : counts) n = std::min(n, strides.keys);
        args.key_counts = counts.data();
      }
    }
    if (type == DType::kFloat) return kernels::Attention(args, c.threads());
    const kernels::HalfSteps steps{.type = type,
                                   .softmax = precision ? static_cast<DType>(*precision) : type,
                                   .kept = c.HasOut(3) ? c.Out(3).data<float>() : nullptr,
                                   .stage = qk_mode};
    kernels::AttentionInHalves(args, steps, c.threads());
  }

  /// Every form and type, one row of scores at a time.
  template <class T, class V>
  void RunPlain(RunContext& c, const Sizes& s, const Tensor& k, const Tensor& v, bool joined) const {
    Sizes kv = s;
    kv.flat = s.flat && !joined;
    const auto q_view = s.View(c.In(0).data<T>(), s.heads, s.queries, s.size);
    const auto k_view = kv.View(k.data<T>(), s.kv_heads, s.keys, s.size);
    const auto v_view = kv.View(v.data<V>(), s.kv_heads, s.keys, s.value_size);
    const auto out_view = s.View(c.Out(0).data<T>(), s.heads, s.queries, s.value_size);
    const auto row_of = [](const auto& view, int64_t b, int64_t h, int64_t i) {
      return view.data + b * view.batch_stride + h * view.head_stride + i * view.row_stride;
    };
    const std::vector<int64_t> offsets = Offsets(c, s);
    const int64_t share = s.heads / s.kv_heads;
    T* kept = c.HasOut(3) ? c.Out(3).data<T>() : nullptr;
    c.threads().ParallelFor(s.batch * s.heads, 1, [&](int64_t begin, int64_t end) {
      std::vector<double> scores(s.keys), sum(s.value_size);
      for (int64_t bh = begin; bh < end; ++bh) {
        const int64_t b = bh / s.heads, h = bh % s.heads;
        for (int64_t i = 0; i < s.queries; ++i) {
          T* keep = kept ? kept + (bh * s.queries + i) * s.keys : nullptr;
          const auto note = [&](int64_t mode) {
            if (keep && qk_mode == mode) std::copy(scores.begin(), scores.end(), keep);
          };
          const T* q = row_of(q_view, b, h, i);
          for (int64_t j = 0; j < s.keys; ++j) {
            const T* key = row_of(k_view, b, h / share, j);
            double dot = 0;
            for (int64_t d = 0; d < s.size; ++d) dot += static_cast<double>(q[d]) * static_cast<double>(key[d]);
            scores[j] = dot * Scale(s);
          }
          note(0);
          for (double& x : scores) x = softcap > 0 ? softcap * std::tanh(x / softcap) : x;
          note(1);
          for (int64_t j = 0; j < s.keys; ++j) scores[j] += Bias(c, s, b, h, i, j, offsets[b]);
          note(2);
          Softmax(scores);
          note(3);
          std::fill(sum.begin(), sum.end(), 0);
          for (int64_t j = 0; j < s.keys; ++j) {
            const V* value = row_of(v_view, b, h / share, j);
            for (int64_t d = 0; scores[j] != 0 && d < s.value_size; ++d)
              sum[d] += scores[j] * static_cast<double>(value[d]);
          }
          T* out = row_of(out_view, b, h, i);
          for (int64_t d = 0; d < s.value_size; ++d) out[d] = static_cast<T>(sum[d]);
        }
      }
    });
  }

  double Bias(const RunContext& c, const Sizes& s, int64_t b, int64_t h, int64_t i, int64_t j, int64_t offset) const {
    const int64_t place = i + offset;
    if ((causal && j > place) || (left >= 0 && place - j > left) || (right >= 0 && j - place > right)) return kHidden;
    if (c.Has(6) && j >= c.In(6).data<int64_t>()[b]) return kHidden;
    if (!c.Has(3)) return 0;
    const Tensor& mask = c.In(3);
    const MaskStrides strides(mask.shape());
    if (strides.keys != 1 && j >= strides.keys) return kHidden;
    const int64_t at = b * strides.at[0] + h * strides.at[1] + i * strides.at[2] + j * strides.at[3];
    if (mask.dtype() == DType::kBool) return mask.data<bool>()[at] ? 0 : kHidden;
    return mask.dtype() == DType::kFloat ? static_cast<double>(mask.data<float>()[at]) : mask.data<double>()[at];
  }

  /// A row with every score at -inf gives zeros.
  static void Softmax(std::vector<double>& scores) {
    double most = kHidden, sum = 0;
    for (double x : scores) most = std::max(most, x);
    for (double& x : scores) sum += x = most == kHidden ? 0 : std::exp(x - most);
    for (double& x : scores) x = sum == 0 ? 0 : x / sum;
  }
};
extern const OpDef kAttention = Define<Attention>(
    {.name = "Attention", .since = 25, .min_inputs = 3, .max_inputs = 7, .max_outputs = 4, .types = kFloatTypes});

/// Attention of [B, S, H * D] that lie in columns of wider matrices, which may all be one: the result of a product that
/// gives queries, keys and values. Attribute columns: the first and how many of Q, K and V. ai.slipway.
struct StridedAttention {
  Attention attention;

  static StridedAttention Parse(const Attributes& a) {
    StridedAttention op{Attention::Parse(a)};
    op.attention.columns = a.RequiredInts("columns");
    return op;
  }

  void Infer(InferContext& c) const {
    const std::vector<int64_t>& columns = attention.columns;
    if (columns.size() != 6) c.Fail("attribute 'columns' has {} numbers, but must have 6.", columns.size());
    std::array<Type, 3> types;
    InferContext narrow = c;
    for (int i = 0; i < 3; ++i) {
      const int64_t first = columns[2 * i], count = columns[2 * i + 1];
      c.ExpectRank(i, 3, 3);
      constexpr int64_t kFar = int64_t{1} << 40;
      if (first < 0 || count < 1 || first > kFar || count > kFar)
        c.Fail("attribute 'columns' has {} columns from {} on for {}.", count, first, c.InputName(i));
      types[i] = c.In(i);
      narrow.in_types[i] = &types[i];
      if (!c.HasRank(i)) continue;
      const Dim& width = c.Shape(i)[2];
      if (width.is_const() && width.value() < first + count)
        c.Fail("{} has shape {}, but columns up to {} are to be read.", c.InputName(i), c.Shape(i).ToString(),
               first + count);
      types[i].shape[2] = count;
    }
    attention.Infer(narrow);
    c.Out(0, narrow.out_types[0]);
  }

  void Run(RunContext& c) const { attention.Run(c); }
};
extern const OpDef kSlipwayStridedAttention = Define<StridedAttention>(
    {.name = "StridedAttention", .domain = kSlipwayDomain, .min_inputs = 3, .max_inputs = 4, .types = {DType::kFloat}});

}  // namespace slipway
