#include "core/dtype_visit.h"
#include "kernels/elementwise/broadcast.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

constexpr int64_t kGrain = 16384;

void InferBinary(InferContext& c) {
  c.ExpectSameElem(1, 0);
  c.Out(0, c.Elem(0), Broadcast(c, c.Shape(0), c.Shape(1)));
}

}  // namespace

/// A logical function of two boolean tensors, broadcast. Elements are 0 or 1, so the bits are the logic.
template <class F>
struct Logical {
  void Infer(InferContext& c) const {
    InferBinary(c);
    const auto a = ShapeBools(c, 0), b = ShapeBools(c, 1);
    if (!a || !b) return;
    SymbolicInts out;
    for (size_t i = 0; i < (a->size() == 1 ? b->size() : a->size()); ++i) {
      const Dim &x = (*a)[a->size() == 1 ? 0 : i], &y = (*b)[b->size() == 1 ? 0 : i];
      if (!x.is_const() || !y.is_const()) return;
      out.push_back(static_cast<int64_t>(F()(static_cast<uint8_t>(x.value()), static_cast<uint8_t>(y.value()))));
    }
    c.OutInts(0, std::move(out));
  }
  void Run(RunContext& c) const {
    const kernels::BroadcastPlan plan(c.In(0).shape(), c.In(1).shape());
    kernels::BroadcastBinary(
        plan, c.In(0).data<uint8_t>(), c.In(1).data<uint8_t>(), c.Out(0).data<uint8_t>(),
        [](uint8_t a, uint8_t b) { return static_cast<uint8_t>(F()(a, b)); }, c.threads());
  }
};

template <class F>
constexpr OpDef DefineLogical(std::string_view name) {
  return Define<Logical<F>>(
      {.name = name, .since = 7, .min_inputs = 2, .max_inputs = 2, .types = {DType::kBool}, .in_place = 0});
}
extern const OpDef kAnd = DefineLogical<std::bit_and<>>("And");
extern const OpDef kOr = DefineLogical<std::bit_or<>>("Or");
extern const OpDef kXor = DefineLogical<std::bit_xor<>>("Xor");

/// ONNX Not, since 1.
struct Not {
  void Infer(InferContext& c) const {
    InferSameAsFirst(c);
    const auto bools = ShapeBools(c, 0);
    if (!bools) return;
    SymbolicInts out;
    for (const Dim& d : *bools) {
      if (!d.is_const()) return;
      out.push_back(d.value() ? 0 : 1);
    }
    c.OutInts(0, std::move(out));
  }
  void Run(RunContext& c) const {
    const auto* x = c.In(0).data<uint8_t>();
    auto* y = c.Out(0).data<uint8_t>();
    c.threads().ParallelFor(c.In(0).size(), kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = x[i] ^ 1;
    });
  }
};
extern const OpDef kNot = Define<Not>({.name = "Not", .types = {DType::kBool}, .in_place = 0});

/// A function of two integer tensors' bits, broadcast; the sign does not matter to it.
template <class F>
struct Bitwise {
  void Infer(InferContext& c) const { InferBinary(c); }
  void Run(RunContext& c) const {
    const kernels::BroadcastPlan plan(c.In(0).shape(), c.In(1).shape());
    VisitBySize(c.In(0).dtype(), [&]<class T>() {
      if constexpr (std::is_integral_v<T>) {
        kernels::BroadcastBinary(
            plan, c.In(0).data<T>(), c.In(1).data<T>(), c.Out(0).data<T>(),
            [](T a, T b) { return static_cast<T>(F()(a, b)); }, c.threads());
      }
    });
  }
};

template <class F>
constexpr OpDef DefineBitwise(std::string_view name) {
  return Define<Bitwise<F>>(
      {.name = name, .since = 18, .min_inputs = 2, .max_inputs = 2, .types = kIntTypes, .in_place = 0});
}
extern const OpDef kBitwiseAnd = DefineBitwise<std::bit_and<>>("BitwiseAnd");
extern const OpDef kBitwiseOr = DefineBitwise<std::bit_or<>>("BitwiseOr");
extern const OpDef kBitwiseXor = DefineBitwise<std::bit_xor<>>("BitwiseXor");

/// ONNX BitwiseNot, since 18.
struct BitwiseNot {
  void Infer(InferContext& c) const { InferSameAsFirst(c); }
  void Run(RunContext& c) const {
    const auto* x = c.In(0).data<uint8_t>();
    auto* y = c.Out(0).data<uint8_t>();
    c.threads().ParallelFor(static_cast<int64_t>(c.In(0).bytes()), kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = static_cast<uint8_t>(~x[i]);
    });
  }
};
extern const OpDef kBitwiseNot =
    Define<BitwiseNot>({.name = "BitwiseNot", .since = 18, .types = kIntTypes, .in_place = 0});

/// X shifted by Y bits to the left or the right, broadcast; the sign is shifted in for signed types. ONNX BitShift,
/// since 28.
struct BitShift {
  bool left = true;
  static BitShift Parse(const Attributes& a) {
    const std::string direction = a.RequiredString("direction");
    if (direction != "LEFT" && direction != "RIGHT") {
      throw Error(Code::kBadGraph, fmt::format("direction is '{}', but must be LEFT or RIGHT.", direction));
    }
    return {.left = direction == "LEFT"};
  }
  void Infer(InferContext& c) const { InferBinary(c); }
  void Run(RunContext& c) const {
    const kernels::BroadcastPlan plan(c.In(0).shape(), c.In(1).shape());
    VisitInteger(c.In(0).dtype(), [&]<class T>() {
      const auto shift = [left = left](T x, T by) -> T {
        constexpr int kBits = sizeof(T) * 8;
        // Past the width nothing of x is left, or its sign alone; the language leaves that open.
        const bool past = by < T(0) || static_cast<uint64_t>(by) >= uint64_t{kBits};
        if (left) return past ? T(0) : static_cast<T>(static_cast<uint64_t>(x) << by);
        return past ? (x < T(0) ? T(-1) : T(0)) : static_cast<T>(x >> by);
      };
      kernels::BroadcastBinary(plan, c.In(0).data<T>(), c.In(1).data<T>(), c.Out(0).data<T>(), shift, c.threads());
    });
  }
};
extern const OpDef kBitShift = Define<BitShift>(
    {.name = "BitShift", .since = 28, .min_inputs = 2, .max_inputs = 2, .types = kIntTypes, .in_place = 0});

}  // namespace slipway
