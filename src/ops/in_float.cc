#include "ops/in_float.h"

#include "core/dtype_visit.h"
#include "kernels/elementwise/halves.h"
#include "ops/indexing.h"

namespace slipway {
namespace {

bool IsHalf(DType type) { return type == DType::kFloat16 || type == DType::kBFloat16; }
bool IsHalf(const Value* v) { return v && v->is_tensor() && IsHalf(v->tensor().dtype()); }

}  // namespace

Tensor ToFloat(const Tensor& t, const Threads& threads) {
  if (t.dtype() == DType::kFloat) return t;
  Tensor out(DType::kFloat, t.shape());
  if (IsHalf(t.dtype())) {
    kernels::HalvesToFloats(t.dtype(), t.raw(), out.data<float>(), t.size(), threads);
    return out;
  }
  VisitFloat(t.dtype(), [&]<class T>() {
    const T* from = t.data<T>();
    float* to = out.data<float>();
    threads.ParallelFor(t.size(), GrainFor(sizeof(float)), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) to[i] = static_cast<float>(from[i]);
    });
  });
  return out;
}

void FromFloat(const Tensor& from, Tensor& to, const Threads& threads) {
  if (IsHalf(to.dtype())) return kernels::FloatsToHalves(to.dtype(), from.data<float>(), to.raw(), to.size(), threads);
  VisitFloat(to.dtype(), [&]<class T>() {
    const float* in = from.data<float>();
    T* out = to.data<T>();
    threads.ParallelFor(to.size(), GrainFor(sizeof(float)), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) out[i] = static_cast<T>(in[i]);
    });
  });
}

bool RunHalvesInFloat(RunContext& c, FunctionRef<void(RunContext&)> run) {
  const auto half = [](const Value* v) { return IsHalf(v); };
  const bool any = std::any_of(c.in.begin(), c.in.end(), half) || std::any_of(c.out.begin(), c.out.end(), half);
  if (!any) return false;
  RunContext wide = c;
  std::vector<Value> in(c.in.size()), out(c.out.size());
  for (size_t i = 0; i < in.size(); ++i) {
    if (!IsHalf(c.in[i])) continue;
    in[i] = ToFloat(c.in[i]->tensor(), c.threads());
    wide.in[i] = &in[i];
  }
  for (size_t i = 0; i < out.size(); ++i) {
    if (!IsHalf(c.out[i])) continue;
    out[i] = Tensor(DType::kFloat, c.out[i]->tensor().shape());
    wide.out[i] = &out[i];
  }
  run(wide);
  for (size_t i = 0; i < out.size(); ++i) {
    if (wide.out[i] == &out[i]) FromFloat(out[i].tensor(), c.out[i]->tensor(), c.threads());
  }
  return true;
}

template <class Acc>
std::vector<Acc> ToVectorOf(const Tensor& t) {
  std::vector<Acc> out(t.size());
  VisitFloat(t.dtype(), [&]<class T>() {
    for (size_t i = 0; i < out.size(); ++i) {
      if constexpr (std::is_arithmetic_v<T>) {
        out[i] = static_cast<Acc>(t.data<T>()[i]);
      } else {
        out[i] = static_cast<float>(t.data<T>()[i]);
      }
    }
  });
  return out;
}
template std::vector<float> ToVectorOf<float>(const Tensor& t);
template std::vector<double> ToVectorOf<double>(const Tensor& t);

}  // namespace slipway
