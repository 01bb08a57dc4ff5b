#include "core/dtype_visit.h"
#include "kernels/gemm/gemm.h"
#include "ops/in_float.h"
#include "ops/indexing.h"
#include "ops/taps.h"
#include "ops/windows.h"

namespace slipway {

/// A convolution each of whose taps is moved by an offset [N, groups * taps * axes, spatial...] and weighed by a mask.
/// Elements between pixels are linear in their neighbours; outside of the image are zeros. ONNX DeformConv, since 22.
struct DeformConv {
  WindowAttributes window;
  int64_t group = 1;
  int64_t offset_group = 1;
  static DeformConv Parse(const Attributes& a) {
    return {.window = WindowAttributes::Parse(a), .group = a.Int("group", 1), .offset_group = a.Int("offset_group", 1)};
  }

  void Infer(InferContext& c) const {
    for (int i = 1; i < c.num_inputs(); ++i) {
      if (c.Has(i)) c.ExpectSameElem(i, 0);
    }
    if (!c.HasRank(0) || !c.HasRank(1)) return c.Out(0, c.Elem(0));
    const SymbolicShape &x = c.Shape(0), &w = c.Shape(1);
    c.ExpectRank(0, 3, kMostAxes + 2);
    c.ExpectRank(1, x.rank(), x.rank());
    const int axes = x.rank() - 2;
    WindowAttributes full = window;
    for (int i = 0; i < axes; ++i) {
      if (!w[i + 2].is_const()) return c.Out(0, c.Elem(0), SymbolicShape::OfRank(x.rank()));
      if (static_cast<int>(full.kernel.size()) == axes && w[i + 2].Differs(full.kernel[i]))
        c.Fail("attribute 'kernel_shape' does not fit weights of shape {}.", w.ToString());
    }
    if (full.kernel.empty()) {
      for (int i = 0; i < axes; ++i) full.kernel.push_back(w[i + 2].value());
    }
    full.Complete(c, axes);
    CheckGroups(c, x[1], w);
    const SymbolicShape out = WindowOutput(c, full, x, w[0], false);
    int64_t taps = 1;
    for (int64_t k : full.kernel) taps *= k;
    ExpectPlaces(c, 2, taps * offset_group * axes, out);
    if (c.Has(3) && c.HasRank(3) && (c.Shape(3).rank() != 1 || c.Shape(3)[0].Differs(w[0])))
      c.Fail("{} has shape {}, but there are {} output channels.", c.InputName(3), c.Shape(3).ToString(),
             w[0].ToString());
    if (c.Has(4)) ExpectPlaces(c, 4, taps * offset_group, out);
    c.Out(0, c.Elem(0), out);
  }

  void Run(RunContext& c) const {
    if (c.Out(0).size() == 0) return;
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    Visit(Types<float, double>{}, c.In(0).dtype(), "a float", [&]<class T>() { RunTyped<T>(c); });
  }

 private:
  static constexpr int kMostAxes = 6;

  void CheckGroups(const InferContext& c, const Dim& channels, const SymbolicShape& w) const {
    if (group < 1 || offset_group < 1) c.Fail("attributes group and offset_group are {} and {}.", group, offset_group);
    const bool divided = !w[0].is_const() || w[0].value() % group == 0;
    if (!divided || channels.Differs(w[1] * group) || (channels.is_const() && channels.value() % offset_group != 0)) {
      c.Fail("{} channels in {} groups, {} for offsets, do not fit weights of shape {}.", channels.ToString(), group,
             offset_group, w.ToString());
    }
  }

  static void ExpectPlaces(const InferContext& c, int input, int64_t channels, const SymbolicShape& out) {
    if (!c.HasRank(input)) return;
    SymbolicShape wanted = out;
    wanted[1] = channels;
    const SymbolicShape& have = c.Shape(input);
    bool differ = have.rank() != wanted.rank();
    for (int i = 0; !differ && i < have.rank(); ++i) differ = have[i].Differs(wanted[i]);
    if (differ) c.Fail("{} has shape {}, but {} is wanted.", c.InputName(input), have.ToString(), wanted.ToString());
  }

  template <class T>
  void RunTyped(RunContext& c) const {
    const Shape &in = c.In(0).shape(), &w = c.In(1).shape(), &out = c.Out(0).shape();
    const int64_t places = out.SizeFrom(2), taps = w.SizeFrom(2), inputs = w[1] * taps, outputs = w[0] / group;
    const int64_t image = in.SizeFrom(2), column_bytes = inputs * group * places * static_cast<int64_t>(sizeof(T));
    T* columns = static_cast<T*>(c.Scratch(static_cast<size_t>(column_bytes)));
    for (int64_t n = 0; n < in[0]; ++n) {
      FillColumns(c, n, c.In(0).data<T>() + n * in[1] * image, columns);
      for (int64_t m = 0; m < w[0]; ++m) {
        T* row = c.Out(0).data<T>() + (n * w[0] + m) * places;
        std::fill(row, row + places, c.Has(3) ? c.In(3).data<T>()[m] : T(0));
      }
      for (int64_t g = 0; g < group; ++g) {
        const T* weights = c.In(1).data<T>() + g * outputs * inputs;
        T* to = c.Out(0).data<T>() + (n * w[0] + g * outputs) * places;
        AddProduct(outputs, places, inputs, weights, columns + g * inputs * places, to, c.threads());
      }
    }
  }

  static void AddProduct(int64_t m, int64_t n, int64_t k, const float* a, const float* b, float* to,
                         const Threads& threads) {
    kernels::GemmUnpacked(m, n, k, a, k, b, n, 1, to, n, {.residual = to, .residual_stride = n}, threads);
  }
  static void AddProduct(int64_t m, int64_t n, int64_t k, const double* a, const double* b, double* to,
                         const Threads& threads) {
    threads.ParallelFor(m, GrainFor(n * k * 8), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        for (int64_t j = 0; j < k; ++j) {
          for (int64_t p = 0; p < n; ++p) to[i * n + p] += a[i * k + j] * b[j * n + p];
        }
      }
    });
  }

  /// One image as [channels * taps, places]: what each tap sees from each place.
  template <class T>
  void FillColumns(RunContext& c, int64_t n, const T* x, T* columns) const {
    const Shape &in = c.In(0).shape(), &kernel = c.In(1).shape(), &out = c.Out(0).shape();
    const int axes = in.rank() - 2;
    const int64_t places = out.SizeFrom(2), taps = kernel.SizeFrom(2), image = in.SizeFrom(2);
    const int64_t share = in[1] / offset_group;
    const auto at = [](const std::vector<int64_t>& list, int i, int64_t otherwise) {
      return list.empty() ? otherwise : list[i];
    };
    std::vector<int64_t> base(axes * places);  // where a window begins, by axis
    for (int64_t p = 0; p < places; ++p) {
      int64_t rest = p;
      for (int i = axes - 1; i >= 0; --i) {
        base[i * places + p] = rest % out[i + 2] * at(window.strides, i, 1) - at(window.pads, i, 0);
        rest /= out[i + 2];
      }
    }
    c.threads().ParallelFor(offset_group * taps, 1, [&](int64_t begin, int64_t end) {
      Taps<T> point(int64_t{1} << axes);
      constexpr int64_t kPoints = 512;
      TapBlock<T> block(kPoints, int64_t{1} << axes, in.Back(0));
      for (int64_t row = begin; row < end; ++row) {
        const int64_t g = row / taps, tap = row % taps;
        const T* offset = c.In(2).data<T>() + (n * offset_group * taps + row) * axes * places;
        const T* mask = c.Has(4) ? c.In(4).data<T>() + (n * offset_group * taps + row) * places : nullptr;
        std::vector<int64_t> shift(axes);
        int64_t rest = tap;
        for (int i = axes - 1; i >= 0; --i) {
          shift[i] = rest % kernel[i + 2] * at(window.dilations, i, 1);
          rest /= kernel[i + 2];
        }
        for (int64_t first = 0; first < places; first += kPoints) {
          const int64_t count = std::min(kPoints, places - first);
          block.Clear();
          for (int64_t p = first; p < first + count; ++p) {
            const auto at = [&](int i) {
              return static_cast<T>(base[i * places + p] + shift[i]) + offset[i * places + p];
            };
            if (axes == 2 && block.SetSquare(p - first, in[2], at(0), at(1))) continue;
            point.Start();
            for (int i = 0; i < axes; ++i) point.AddLinear(in[i + 2], at(i));
            point.Finish();
            block.Set(p - first, point);
          }
          for (int64_t k = g * share; k < (g + 1) * share; ++k) {
            T* to = columns + (k * taps + tap) * places + first;
            block.Sample(x + k * image, count, to);
            for (int64_t p = 0; mask && p < count; ++p) to[p] *= mask[first + p];
          }
        }
      }
    });
  }
};
extern const OpDef kDeformConv =
    Define<DeformConv>({.name = "DeformConv", .since = 22, .min_inputs = 3, .max_inputs = 5, .types = kFloatTypes});

}  // namespace slipway
