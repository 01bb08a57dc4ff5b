#include <algorithm>

#include "core/dtype_visit.h"
#include "ops/indexing.h"
#include "ops/shape_math.h"
#include "ops/windows.h"

namespace slipway {

/// Adds the columns [N, C * block, L] of a sliding window up to the images they came from. ONNX Col2Im, since 18.
struct Col2Im {
  WindowAttributes window;
  static Col2Im Parse(const Attributes& a) { return {.window = WindowAttributes::Parse(a)}; }

  void Infer(InferContext& c) const {
    c.ExpectElem(0, kColumnTypes);
    c.ExpectRank(0, 3, 3);
    for (int i = 1; i <= 2; ++i) {
      c.ExpectElem(i, {DType::kInt64});
      c.ExpectRank(i, 1, 1);
    }
    const auto image = c.Ints(1);
    const auto block = c.ConstInts(2);
    if (!image) {
      const bool counted = c.HasRank(1) && c.Shape(1)[0].is_const() && c.Shape(1)[0].value() <= 64;
      if (!counted) return c.Out(0, c.Elem(0));
      SymbolicShape out = SymbolicShape::OfRank(2 + static_cast<int>(c.Shape(1)[0].value()));
      if (c.HasRank(0)) out[0] = c.Shape(0)[0];
      return c.Out(0, c.Elem(0), std::move(out));
    }
    std::vector<Dim> out = {c.HasRank(0) ? c.Shape(0)[0] : Dim::Unknown(), Dim::Unknown()};
    out.insert(out.end(), image->begin(), image->end());
    for (const Dim& d : *image) {
      if (d.is_const() && d.value() < 0) c.Fail("a size of the image is negative: {}.", d.value());
    }
    if (block) {
      const WindowAttributes w = Filled(c, *block, static_cast<int>(image->size()));
      Dim size = 1, columns = 1;
      for (size_t i = 0; i < block->size(); ++i) {
        size = size * w.kernel[i];
        columns = columns * w.OutputSize(c, static_cast<int>(i), (*image)[i]);
      }
      if (c.HasRank(0)) {
        const SymbolicShape& x = c.Shape(0);
        if (x[1].is_const() && x[1].value() % size.value() != 0)
          c.Fail("{} rows are no multiple of the block's {} elements.", x[1].value(), size.value());
        if (x[2].Differs(columns))
          c.Fail("there are {} columns, but the window has {} places.", x[2].ToString(), columns.ToString());
        out[1] = FloorDiv(x[1], size);
      }
    }
    c.Out(0, c.Elem(0), std::move(out));
  }

  void Run(RunContext& c) const {
    if (c.Out(0).size() == 0) return;
    Visit(lists::kNumericTypes + Types<std::complex<float>, std::complex<double>>{}, c.In(0).dtype(), "a number",
          [&]<class T>() { RunTyped<T>(c); });
  }

 private:
  static constexpr TypeSet kColumnTypes = kNumericTypes | kComplexTypes;

  WindowAttributes Filled(const InferContext& c, const std::vector<int64_t>& block, int rank) const {
    if (static_cast<int>(block.size()) != rank) c.Fail("the block has {} axes, the image {}.", block.size(), rank);
    WindowAttributes w = window;
    w.kernel = block;
    w.Complete(c, rank);
    return w;
  }

  template <class T>
  void RunTyped(RunContext& c) const {
    using Acc = std::conditional_t<std::is_same_v<T, Float16> || std::is_same_v<T, BFloat16>, float, T>;
    const Shape& out = c.Out(0).shape();
    const int rank = out.rank() - 2;
    const std::vector<int64_t> block = ToInts(c.In(2));
    const auto filled = [&](const std::vector<int64_t>& list, int64_t value) {
      return list.empty() ? std::vector<int64_t>(2 * rank, value) : list;
    };
    const auto strides = filled(window.strides, 1), dilations = filled(window.dilations, 1),
               pads = filled(window.pads, 0);
    std::vector<int64_t> places(rank);
    int64_t taps = 1, columns = 1;
    for (int i = 0; i < rank; ++i) {
      const int64_t room = out[i + 2] + pads[i] + pads[rank + i] - dilations[i] * (block[i] - 1) - 1;
      places[i] = room < 0 ? 0 : room / strides[i] + 1;
      taps *= block[i];
      columns *= places[i];
    }
    const int64_t image = out.SizeFrom(2), last = rank - 1, width = out[last + 2], row = places[last];
    c.threads().ParallelFor(out[0] * out[1], GrainFor(taps * columns * 8), [&](int64_t begin, int64_t end) {
      std::vector<Acc> sums(image);
      std::vector<int64_t> tap(rank), place(rank);
      for (int64_t p = begin; p < end; ++p) {
        std::fill(sums.begin(), sums.end(), Acc(0));
        for (int64_t t = 0; t < taps; ++t) {
          Unravel(t, block, tap);
          // Along the last axis the window's places [first, past) put this tap inside of the image.
          const int64_t step = strides[last], start = tap[last] * dilations[last] - pads[last];
          const int64_t first = start >= 0 ? 0 : std::min(row, (-start + step - 1) / step);
          const int64_t past = start >= width ? first : std::min(row, (width - start + step - 1) / step);
          for (int64_t k = 0; k < columns; k += row) {
            Unravel(k, places, place);
            int64_t at = 0;
            bool inside = true;
            for (int i = 0; i < last; ++i) {
              const int64_t x = place[i] * strides[i] - pads[i] + tap[i] * dilations[i];
              inside &= x >= 0 && x < out[i + 2];
              at = at * out[i + 2] + x;
            }
            if (!inside) continue;
            const T* from = c.In(0).data<T>() + (p * taps + t) * columns + k;
            Acc* to = sums.data() + at * width;
            for (int64_t i = first; i < past; ++i)
              to[start + i * step] = static_cast<Acc>(to[start + i * step] + static_cast<Acc>(from[i]));
          }
        }
        for (int64_t i = 0; i < image; ++i) c.Out(0).data<T>()[p * image + i] = static_cast<T>(sums[i]);
      }
    });
  }

  static void Unravel(int64_t index, const std::vector<int64_t>& sizes, std::vector<int64_t>& out) {
    for (size_t i = sizes.size(); i-- > 0;) {
      out[i] = index % sizes[i];
      index /= sizes[i];
    }
  }
};
extern const OpDef kCol2Im = Define<Col2Im>({.name = "Col2Im", .since = 18, .min_inputs = 3, .max_inputs = 3});

}  // namespace slipway
