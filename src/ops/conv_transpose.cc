#include <algorithm>

#include "core/dtype_visit.h"
#include "kernels/conv/layout.h"
#include "kernels/gemm/gemm.h"
#include "ops/in_float.h"
#include "ops/shape_math.h"
#include "ops/windows.h"

namespace slipway {
namespace {

/// The weights [groups, group_c, rows], each group's matrix transposed.
template <class T>
void TurnWeights(const T* from, int64_t groups, int64_t group_c, int64_t rows, T* to, const Threads& threads) {
  if constexpr (std::is_same_v<T, float>) {
    kernels::TransposeMatrices(from, groups, group_c, rows, to, threads);
  } else {
    for (int64_t g = 0; g < groups; ++g, from += group_c * rows, to += group_c * rows) {
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t k = 0; k < group_c; ++k) to[r * group_c + k] = from[k * rows + r];
      }
    }
  }
}

/// c[m, n] = a[m, k] b[k, n], all dense.
template <class T>
void Product(int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c, const Threads& threads) {
  if constexpr (std::is_same_v<T, float>) {
    kernels::GemmUnpacked(m, n, k, a, k, b, n, 1, c, n, {}, threads);
  } else {
    threads.ParallelFor(m, 1 + 65536 / (1 + n * k), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        std::fill_n(c + i * n, n, T{0});
        for (int64_t l = 0; l < k; ++l) {
          for (int64_t j = 0; j < n; ++j) c[i * n + j] += a[i * k + l] * b[l * n + j];
        }
      }
    });
  }
}

}  // namespace

/// The transpose of a convolution: each input pixel adds the kernel, scaled, to the output. ONNX ConvTranspose,
/// since 22.
struct ConvTranspose {
  using AutoPad = WindowAttributes::AutoPad;
  int64_t group = 1;
  AutoPad auto_pad = AutoPad::kNotSet;
  std::vector<int64_t> kernel, strides, pads, dilations, output_padding, output_shape;
  std::shared_ptr<const std::byte> turned_weights;  // null: not constant floats, turned in each run

  static ConvTranspose Parse(const Attributes& a) {
    return {.group = a.Int("group", 1),
            .auto_pad = WindowAttributes::ParseAutoPad(a),
            .kernel = a.Ints("kernel_shape"),
            .strides = a.Ints("strides"),
            .pads = a.Ints("pads"),
            .dilations = a.Ints("dilations"),
            .output_padding = a.Ints("output_padding"),
            .output_shape = a.Ints("output_shape")};
  }

  void Infer(InferContext& c) const {
    c.ExpectSameElem(1, 0);
    if (c.Has(2)) c.ExpectSameElem(2, 0);
    if (!c.HasRank(0) || !c.HasRank(1)) return c.Out(0, c.Elem(0));
    const SymbolicShape &x = c.Shape(0), &w = c.Shape(1);
    if (x.rank() < 3) c.Fail("{} has shape {}, but an image wants [N, C, spatial...].", c.InputName(0), x.ToString());
    if (w.rank() != x.rank())
      c.Fail("{} has rank {}, but weight {} has rank {}.", c.InputName(0), x.rank(), c.InputName(1), w.rank());
    if (x[1].Differs(w[0])) {
      c.Fail("{} has {} channels, but weight {} wants {}.", c.InputName(0), x[1].ToString(), c.InputName(1),
             w[0].ToString());
    }
    if (group < 1 || (w[0].is_const() && w[0].value() % group))
      c.Fail("group {} does not divide {} channels.", group, w[0].ToString());
    const Dim channels = w[1] * Dim(group);
    if (c.Has(2) && c.HasRank(2) && (c.Shape(2).rank() != 1 || c.Shape(2)[0].Differs(channels))) {
      c.Fail("bias {} has shape {}, but must be [{}].", c.InputName(2), c.Shape(2).ToString(), channels.ToString());
    }
    CheckLists(c, x.rank() - 2);
    std::vector<Dim> out = {x[0], channels};
    for (int i = 0; i < x.rank() - 2; ++i) out.push_back(OutputSize(c, i, x[i + 2], w[i + 2]));
    c.Out(0, c.Elem(0), std::move(out));
  }

  bool Prepack(int input, const InferContext& c, const kernels::Packing& packing) {
    if (input != 1) return false;
    const Tensor& w = *c.Constant(1);
    if (w.dtype() != DType::kFloat || w.shape().rank() < 3 || w.size() == 0) return false;
    turned_weights = packing.store.Block(w.bytes(), [&](std::byte* memory) {
      TurnWeights(w.data<float>(), group, w.shape()[0] / group, w.shape().SizeFrom(1), reinterpret_cast<float*>(memory),
                  packing.threads);
    });
    return true;
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    if (c.Out(0).size() == 0) return;
    Visit(Types<float, double>{}, c.In(0).dtype(), "a float", [&]<class T>() { RunTyped<T>(c); });
  }

 private:
  static int64_t At(const std::vector<int64_t>& list, int i, int64_t otherwise) {
    return list.empty() ? otherwise : list[i];
  }

  void CheckLists(const InferContext& c, int rank) const {
    const auto check = [&](const std::vector<int64_t>& list, const char* name, int count, int64_t least) {
      if (list.empty()) return;
      if (static_cast<int>(list.size()) != count)
        c.Fail("attribute '{}' has {} values, but wants {}.", name, list.size(), count);
      for (int64_t v : list) {
        if (v < least || v > (int64_t{1} << 31)) c.Fail("attribute '{}' holds {}.", name, v);
      }
    };
    check(kernel, "kernel_shape", rank, 1);
    check(strides, "strides", rank, 1);
    check(dilations, "dilations", rank, 1);
    check(pads, "pads", 2 * rank, 0);
    check(output_padding, "output_padding", rank, 0);
    check(output_shape, "output_shape", rank, 0);
    for (int i = 0; i < rank && !output_padding.empty(); ++i) {
      const int64_t below = std::max(At(strides, i, 1), At(dilations, i, 1));
      if (output_padding[i] >= below)
        c.Fail("attribute 'output_padding' holds {}, but must be below stride and dilation, {}.", output_padding[i],
               below);
    }
    const bool padded = std::any_of(pads.begin(), pads.end(), [](int64_t pad) { return pad != 0; });
    if (padded && auto_pad != AutoPad::kNotSet) c.Fail("has both attribute 'pads' and attribute 'auto_pad'.");
  }

  bool Same() const { return auto_pad == AutoPad::kSameUpper || auto_pad == AutoPad::kSameLower; }

  Dim OutputSize(const InferContext& c, int i, const Dim& size, const Dim& kernel_size) const {
    if (!kernel.empty() && kernel_size.Differs(kernel[i]))
      c.Fail("attribute 'kernel_shape' does not agree with {}.", c.InputName(1));
    if (!output_shape.empty()) return output_shape[i];
    const Dim stride = At(strides, i, 1);
    if (Same()) return size * stride;
    const bool valid = auto_pad == AutoPad::kValid;
    const int64_t cut = valid || pads.empty() ? 0 : pads[i] + pads[i + pads.size() / 2];
    const Dim out =
        stride * (size - 1) + At(output_padding, i, 0) + ((kernel_size - 1) * Dim(At(dilations, i, 1)) + 1) - cut;
    if (out.is_const() && out.value() < 0) c.Fail("axis {} of the output would be {}.", i + 2, out.value());
    return out;
  }

  /// What is cut off before the output begins.
  int64_t PadBegin(int i, int64_t size, int64_t extent, int64_t out) const {
    if (output_shape.empty() && !Same()) return auto_pad == AutoPad::kValid || pads.empty() ? 0 : pads[i];
    const int64_t total = At(strides, i, 1) * (size - 1) + At(output_padding, i, 0) + extent - out;
    if (total <= 0) return 0;
    return auto_pad == AutoPad::kSameUpper ? total / 2 : total - total / 2;
  }

  template <class T>
  void RunTyped(RunContext& c) const {
    const Shape &x = c.In(0).shape(), &w = c.In(1).shape(), &y = c.Out(0).shape();
    const int64_t group_c = x[1] / group, group_oc = w[1], taps = w.SizeFrom(2), pixels = x.SizeFrom(2),
                  out_pixels = y.SizeFrom(2);
    const int64_t rows = group_oc * taps, width = w.Back(0);
    // Two taps side by side fill a row at stride 2.
    const bool paired = At(strides, w.rank() - 3, 1) == 2 && At(dilations, w.rank() - 3, 1) == 1;
    const int64_t to_turn = turned_weights ? 0 : c.In(1).size();
    auto* memory = static_cast<T*>(c.Scratch(sizeof(T) * (to_turn + rows * pixels + 16)));
    T* columns = memory + to_turn;
    const T* turned = turned_weights ? reinterpret_cast<const T*>(turned_weights.get()) : memory;
    if (!turned_weights) TurnWeights(c.In(1).data<T>(), group, group_c, rows, memory, c.threads());
    for (int64_t n = 0; n < x[0]; ++n) {
      for (int64_t g = 0; g < group; ++g) {
        Product<T>(rows, pixels, group_c, turned + g * rows * group_c,
                   c.In(0).data<T>() + (n * x[1] + g * group_c) * pixels, columns, c.threads());
        c.threads().ParallelFor(group_oc, 1 + 16384 / (1 + taps * pixels), [&](int64_t begin, int64_t end) {
          for (int64_t o = begin; o < end; ++o) {
            const int64_t channel = g * group_oc + o;
            T* to = c.Out(0).data<T>() + (n * y[1] + channel) * out_pixels;
            std::fill_n(to, out_pixels, c.Has(2) ? c.In(2).data<T>()[channel] : T{0});
            for (int64_t t = 0; t < taps; ++t) {
              const T* from = columns + (o * taps + t) * pixels;
              const bool pair = paired && t % width + 1 < width;
              AddTap(from, pair ? from + pixels : nullptr, t, x, w, y, to);
              t += pair;
            }
          }
        });
      }
    }
  }

  /// Adds one tap's products, one a pixel of the input, to where they fall in the output; where there are any, those of
  /// the tap to its right, too.
  template <class T>
  void AddTap(const T* from, const T* right, int64_t tap, const Shape& x, const Shape& w, const Shape& y, T* to) const {
    const int rank = x.rank() - 2;
    std::vector<int64_t> shift(rank), index(rank, 0);
    for (int i = rank - 1; i >= 0; --i) {
      const int64_t dilation = At(dilations, i, 1);
      shift[i] = tap % w[i + 2] * dilation - PadBegin(i, x[i + 2], (w[i + 2] - 1) * dilation + 1, y[i + 2]);
      tap /= w[i + 2];
    }
    const int64_t width = x[rank + 1], stride = At(strides, rank - 1, 1), last = shift[rank - 1];
    // The pixels of a row that fall inside.
    const auto first_of = [&](int64_t at) { return at >= 0 ? 0 : (-at + stride - 1) / stride; };
    const auto end_of = [&](int64_t at) {
      return std::min(width, at >= y[rank + 1] ? int64_t{0} : (y[rank + 1] - 1 - at) / stride + 1);
    };
    const int64_t first = first_of(last), end = end_of(last), right_first = first_of(last + 1),
                  right_end = end_of(last + 1);
    const int64_t rows = x.SizeFrom(2) / std::max<int64_t>(1, width);
    for (int64_t r = 0; r < rows; ++r, from += width, right += right ? width : 0) {
      int64_t offset = 0;
      bool inside = true;
      for (int i = 0; i < rank - 1; ++i) {
        const int64_t at = index[i] * At(strides, i, 1) + shift[i];
        inside &= at >= 0 && at < y[i + 2];
        offset = offset * y[i + 2] + at;
      }
      if (inside) {
        T* row = to + offset * y[rank + 1] + last;
        if (!right) {
          for (int64_t i = first; i < end; ++i) row[i * stride] += from[i];
        } else {
          AddPair(from, first, end, right, right_first, right_end, row);
        }
      }
      for (int i = rank - 2; i >= 0 && ++index[i] == x[i + 2]; --i) index[i] = 0;
    }
  }

  /// row[2 i] += a[i] and row[2 i + 1] += b[i] where i lies in the one range and the other.
  template <class T>
  static void AddPair(const T* a, int64_t a_begin, int64_t a_end, const T* b, int64_t b_begin, int64_t b_end, T* row) {
    const int64_t begin = std::max(a_begin, b_begin), end = std::max(begin, std::min(a_end, b_end));
    for (int64_t i = a_begin; i < std::min(begin, a_end); ++i) row[2 * i] += a[i];
    for (int64_t i = b_begin; i < std::min(begin, b_end); ++i) row[2 * i + 1] += b[i];
#pragma GCC ivdep
    for (int64_t i = begin; i < end; ++i) {
      const T even = row[2 * i] + a[i], odd = row[2 * i + 1] + b[i];
      row[2 * i] = even;
      row[2 * i + 1] = odd;
    }
    for (int64_t i = std::max(end, a_begin); i < a_end; ++i) row[2 * i] += a[i];
    for (int64_t i = std::max(end, b_begin); i < b_end; ++i) row[2 * i + 1] += b[i];
  }
};
extern const OpDef kConvTranspose = Define<ConvTranspose>(
    {.name = "ConvTranspose", .since = 22, .min_inputs = 2, .max_inputs = 3, .types = kFloatTypes});

}  // namespace slipway
