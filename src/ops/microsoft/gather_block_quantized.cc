#include "core/dtype_visit.h"
#include "ops/in_float.h"
#include "ops/indexing.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

constexpr TypeSet kFloats = {DType::kFloat8E4M3FN, DType::kFloat8E4M3FNUZ, DType::kFloat8E5M2, DType::kFloat8E5M2FNUZ,
                             DType::kFloat4E2M1};
constexpr Types<uint8_t, Uint4, Int4, Float8E4M3FN, Float8E4M3FNUZ, Float8E5M2, Float8E5M2FNUZ, Float4E2M1> kData;

/// Element i of a tensor of T, or of numbers of `bits` bits packed into bytes along its last axis, which `row` of them
/// fill.
template <class T>
float Number(const T* data, int64_t i, int64_t bits, int64_t row) {
  if constexpr (std::is_same_v<T, uint8_t>) {
    const int64_t per_byte = 8 / bits, bytes = (row + per_byte - 1) / per_byte, at = i % row;
    return static_cast<float>(data[i / row * bytes + at / per_byte] >> (at % per_byte * bits) & ((1 << bits) - 1));
  } else if constexpr (requires(T t) { t.bits; }) {
    return static_cast<float>(data[i]);
  } else {
    return static_cast<float>(static_cast<int64_t>(data[i]));
  }
}

}  // namespace

/// Gather from a tensor that is quantized in blocks along an axis, dequantized; an index out of range gives zeros.
/// com.microsoft GatherBlockQuantized.
struct GatherBlockQuantized {
  int64_t bits = 4, block_size = 128, quantize_axis = 1, gather_axis = 0;

  static GatherBlockQuantized Parse(const Attributes& a) {
    return {.bits = a.Int("bits", 4),
            .block_size = a.Int("block_size", 128),
            .quantize_axis = a.Int("quantize_axis", 1),
            .gather_axis = a.Int("gather_axis", 0)};
  }

  void Infer(InferContext& c) const {
    const bool bytes = c.Elem(0) == DType::kUint8, floats = kFloats.Has(c.Elem(0));
    c.ExpectElem(1, kIndexTypes);
    c.ExpectElem(2, {DType::kFloat, DType::kFloat16, DType::kBFloat16});
    if (bytes && bits != 2 && bits != 4 && bits != 8) c.Fail("attribute 'bits' is {}, but must be 2, 4 or 8.", bits);
    const bool power = block_size >= 16 && (block_size & (block_size - 1)) == 0;
    if (!power && !(floats && block_size == 0))
      c.Fail("attribute 'block_size' is {}, but must be a power of 2 and 16 or more.", block_size);
    if (c.Has(3) && floats) c.Fail("has zero points, but {} has none.", Name(c.Elem(0)));
    if (c.Has(3)) c.ExpectSameElem(3, 0);
    SymbolicShape data = c.Shape(0);
    if (!data.has_rank()) return c.Out(0, c.Elem(2));
    if (data.rank() < 1) c.Fail("{} is a scalar.", c.InputName(0));
    const auto gather = static_cast<int>(c.Axis(gather_axis, data.rank(), "gather_axis"));
    const auto along = static_cast<int>(c.Axis(quantize_axis, data.rank(), "quantize_axis"));
    const int last = data.rank() - 1;
    if (bytes && gather != 0) c.Fail("attribute 'gather_axis' is {}, but must be 0 for uint8.", gather_axis);
    if (bytes && bits < 8 && gather == along) c.Fail("attributes 'gather_axis' and 'quantize_axis' are one.");
    if (bytes) data[last] = data[last] * Dim(8 / bits);
    if (c.HasRank(2)) CheckScales(c, data, along);
    if (c.Has(3) && c.HasRank(3) && c.HasRank(2)) {
      const SymbolicShape &z = c.Shape(3), &s = c.Shape(2);
      if (z.rank() != s.rank()) c.Fail("{} has rank {}, but the scales have {}.", c.InputName(3), z.rank(), s.rank());
      for (int i = 0; i < z.rank(); ++i) {
        const Dim wanted = bytes && i == last ? CeilDiv(s[i] * Dim(bits), Dim(8)) : s[i];
        if (z[i].Differs(wanted))
          c.Fail("{} has shape {}, which does not fit the scales' {}.", c.InputName(3), z.ToString(), s.ToString());
      }
    }
    if (!c.HasRank(1)) return c.Out(0, c.Elem(2));
    std::vector<Dim> out(data.dims().begin(), data.dims().begin() + gather);
    out.insert(out.end(), c.Shape(1).dims().begin(), c.Shape(1).dims().end());
    out.insert(out.end(), data.dims().begin() + gather + 1, data.dims().end());
    c.Out(0, c.Elem(2), std::move(out));
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    Tensor& y = c.Out(0);
    if (y.size() == 0) return;
    const Tensor &data = c.In(0), &scales = c.In(2);
    Shape shape = data.shape();
    const int rank = shape.rank(), gather = ModAxis(gather_axis, rank), along = ModAxis(quantize_axis, rank);
    const bool bytes = data.dtype() == DType::kUint8, floats = kFloats.Has(data.dtype());
    if (bytes) shape[rank - 1] *= 8 / bits;
    const int64_t size = shape[gather], inner = shape.SizeFrom(gather + 1), count = c.In(1).size();
    const int64_t block = block_size == 0 ? shape[along] : block_size;
    const float middle = bytes ? static_cast<float>(1 << (bits - 1)) : 0;
    std::vector<int64_t> indices(count);
    VisitIndex(c.In(1).dtype(), [&]<class I>() { std::copy_n(c.In(1).data<I>(), count, indices.begin()); });
    Visit(kData, data.dtype(), "a block-quantized type", [&]<class T>() {
      const T* zeros = c.Has(3) ? c.In(3).data<T>() : nullptr;
      c.threads().ParallelFor(y.size() / inner, GrainFor(8 * inner), [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          float* out = y.data<float>() + r * inner;
          int64_t index = indices[r % count];
          if (index < 0) index += size;
          if (index < 0 || index >= size) {
            std::fill_n(out, inner, 0.0f);
            continue;
          }
          const int64_t first = (r / count * size + index) * inner;
          for (int64_t i = 0; i < inner; ++i) {
            const int64_t scale = ScaleIndex(shape, scales.shape(), first + i, along, block);
            const float zero = zeros ? Number(zeros, scale, bits, scales.shape()[rank - 1]) : floats ? 0 : middle;
            out[i] = (Number(data.data<T>(), first + i, bits, shape[rank - 1]) - zero) * scales.data<float>()[scale];
          }
        }
      });
    });
  }

 private:
  void CheckScales(const InferContext& c, const SymbolicShape& data, int along) const {
    const SymbolicShape& s = c.Shape(2);
    bool fits = s.rank() == data.rank();
    for (int i = 0; fits && i < s.rank(); ++i) {
      const Dim wanted = i != along ? data[i] : block_size == 0 ? Dim(1) : CeilDiv(data[i], Dim(block_size));
      fits = !s[i].Differs(wanted) || (i != along && kFloats.Has(c.Elem(0)) && s[i] == Dim(1));
    }
    if (!fits)
      c.Fail("{} has shape {}, which does not fit blocks of {} along axis {} of {}.", c.InputName(2), s.ToString(),
             block_size, along, data.ToString());
  }
  static int64_t ScaleIndex(const Shape& data, const Shape& scales, int64_t at, int along, int64_t block) {
    int64_t index = 0, step = 1;
    for (int i = data.rank() - 1; i >= 0; --i) {
      const int64_t position = at % data[i];
      at /= data[i];
      if (scales[i] != 1) index += (i == along ? position / block : position) * step;
      step *= scales[i];
    }
    return index;
  }
};
extern const OpDef kMicrosoftGatherBlockQuantized =
    Define<GatherBlockQuantized>({.name = "GatherBlockQuantized",
                                  .domain = kMicrosoftDomain,
                                  .min_inputs = 3,
                                  .max_inputs = 4,
                                  .types = kFloats | TypeSet{DType::kUint8, DType::kUint4, DType::kInt4}});

}  // namespace slipway
