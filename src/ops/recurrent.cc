#include "ops/recurrent.h"

#include <algorithm>
#include <cmath>

#include "core/dtype_visit.h"
#include "kernels/elementwise/cells.h"
#include "kernels/elementwise/unary.h"
#include "ops/in_float.h"

namespace slipway {
namespace {

const Threads& OneThread() {
  static const Threads one(1);
  return one;
}

struct Known {
  std::string_view name;
  float alpha, beta;
  double (*f)(double x, double a, double b);
};
constexpr Known kKnown[] = {
    {"Relu", 0, 0, [](double x, double, double) { return x < 0 ? 0 : x; }},
    {"Tanh", 0, 0, [](double x, double, double) { return std::tanh(x); }},
    {"Sigmoid", 0, 0, [](double x, double, double) { return 1 / (1 + std::exp(-x)); }},
    {"Affine", 1, 0, [](double x, double a, double b) { return a * x + b; }},
    {"LeakyRelu", 0.01f, 0, [](double x, double a, double) { return x < 0 ? a * x : x; }},
    {"ThresholdedRelu", 1, 0, [](double x, double a, double) { return x < a ? 0 : x; }},
    {"ScaledTanh", 1, 1, [](double x, double a, double b) { return a * std::tanh(b * x); }},
    {"HardSigmoid", 0.2f, 0.5f, [](double x, double a, double b) { return std::min(std::max(a * x + b, 0.0), 1.0); }},
    {"Elu", 1, 0, [](double x, double a, double) { return x < 0 ? a * std::expm1(x) : x; }},
    {"Softsign", 0, 0, [](double x, double, double) { return x / (1 + std::abs(x)); }},
    {"Softplus", 0, 0, [](double x, double, double) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }},
};

const Known& Find(std::string_view name) {
  const auto same = [](char a, char b) { return std::tolower(a) == std::tolower(b); };
  for (const Known& k : kKnown) {
    // The specification does not say so, but files have them in any case.
    if (std::equal(name.begin(), name.end(), k.name.begin(), k.name.end(), same)) return k;
  }
  throw Error(Code::kBadGraph, fmt::format("activation '{}' is not known", name));
}

}  // namespace

bool CellActivation::Is(std::string_view known) const { return Find(name).name == known; }

template <class T>
void CellActivation::Apply(T* x, int64_t n) const {
  const Known& known = Find(name);
  if constexpr (std::is_same_v<T, float>) {
    const auto unary = [&](kernels::UnaryOp op) { kernels::UnaryFloat(op, x, x, n, alpha, beta, OneThread()); };
    if (known.name == "Sigmoid") return unary(kernels::UnaryOp::kSigmoid);
    if (known.name == "Tanh") return unary(kernels::UnaryOp::kTanh);
    if (known.name == "Relu") return unary(kernels::UnaryOp::kRelu);
  }
  for (int64_t i = 0; i < n; ++i) x[i] = static_cast<T>(known.f(x[i], alpha, beta));
}

Recurrent Recurrent::Parse(Cell cell, const Attributes& a) {
  Recurrent r{.cell = cell};
  const std::string direction = a.String("direction", "forward");
  if (direction != "forward" && direction != "reverse" && direction != "bidirectional") {
    throw Error(Code::kBadGraph, fmt::format("attribute 'direction' is '{}'", direction));
  }
  r.reverse = direction == "reverse";
  r.bidirectional = direction == "bidirectional";
  r.batch_first = a.Int("layout", 0) != 0;
  if (cell == Cell::kLstm) r.input_forget = a.Int("input_forget", 0) != 0;
  if (cell == Cell::kGru) r.linear_before_reset = a.Int("linear_before_reset", 0) != 0;
  r.clip = a.Float("clip", 0);
  if (!(r.clip >= 0)) throw Error(Code::kBadGraph, fmt::format("attribute 'clip' is {}, but must be above 0", r.clip));
  if (a.Has("hidden_size")) r.hidden_size = a.RequiredInt("hidden_size");
  const size_t count = r.per_direction() * r.directions();
  std::vector<std::string> names = a.Strings("activations");
  if (names.empty()) {
    for (size_t i = 0; i < count; ++i)
      names.push_back(cell != Cell::kRnn && i % r.per_direction() == 0 ? "Sigmoid" : "Tanh");
  }
  // RNN's default names two directions, whatever the node has.
  const bool names_two = cell == Cell::kRnn && names.size() == 2;
  if (names.size() != count && !names_two)
    throw Error(Code::kBadGraph, fmt::format("attribute 'activations' has {} names, not {}", names.size(), count));
  const std::vector<float> alphas = a.Floats("activation_alpha"), betas = a.Floats("activation_beta");
  size_t alpha = 0, beta = 0;
  for (size_t i = 0; i < count; ++i) {
    const Known& known = Find(names[i]);
    // The lists hold values for those functions only that have the parameter.
    const bool has_alpha = known.alpha != 0, has_beta = known.beta != 0 || known.name == "Affine";
    r.activations.push_back({names[i], has_alpha && alpha < alphas.size() ? alphas[alpha] : known.alpha,
                             has_beta && beta < betas.size() ? betas[beta] : known.beta});
    alpha += has_alpha;
    beta += has_beta;
  }
  return r;
}

void Recurrent::Infer(InferContext& c) const {
  const auto expect = [&](int i, std::vector<Dim> want) {
    if (!c.Has(i) || !c.HasRank(i)) return;
    const SymbolicShape& got = c.Shape(i);
    bool fits = got.rank() == static_cast<int>(want.size());
    for (size_t k = 0; fits && k < want.size(); ++k) fits = !got[static_cast<int>(k)].Differs(want[k]);
    if (!fits)
      c.Fail("{} has shape {}, but must be {}.", c.InputName(i), got.ToString(), SymbolicShape(want).ToString());
  };
  c.ExpectRank(0, 3, 3);
  c.ExpectRank(2, 3, 3);
  for (int i : {1, 2, 3, 5, 6, 7}) {
    if (c.Has(i)) c.ExpectSameElem(i, 0);
  }
  if (c.Has(4)) c.ExpectElem(4, {DType::kInt32});
  const SymbolicShape x = c.HasRank(0) ? c.Shape(0) : SymbolicShape::OfRank(3);
  Dim hidden = c.HasRank(2) ? c.Shape(2)[2] : Dim::Unknown();
  if (hidden_size && (*hidden_size < 1 || hidden.Differs(*hidden_size)))
    c.Fail("attribute 'hidden_size' is {}, but {} has shape {}.", *hidden_size, c.InputName(2), c.Shape(2).ToString());
  if (hidden_size) hidden = *hidden_size;
  const Dim d = directions(), g = Dim(gates()) * hidden;
  const Dim seq = x[batch_first ? 1 : 0], batch = x[batch_first ? 0 : 1];
  expect(1, {d, g, x[2]});
  expect(2, {d, g, hidden});
  expect(3, {d, g * Dim(2)});
  expect(4, {batch});
  const std::vector<Dim> state = batch_first ? std::vector<Dim>{batch, d, hidden} : std::vector<Dim>{d, batch, hidden};
  expect(5, state);
  expect(6, state);
  expect(7, {d, hidden * Dim(3)});
  c.Out(0, c.Elem(0), batch_first ? SymbolicShape{batch, seq, d, hidden} : SymbolicShape{seq, d, batch, hidden});
  c.Out(1, c.Elem(0), state);
  c.Out(2, c.Elem(0), state);
}

bool Recurrent::Prepack(int input, const InferContext& c, const kernels::Packing& packing) {
  if (input != 1 && input != 2) return false;
  const Tensor& value = *c.Constant(input);
  if (value.dtype() != DType::kFloat || value.shape().rank() != 3) return false;
  const int64_t rows = value.shape()[1], columns = value.shape()[2];
  if (rows % gates() || value.shape()[0] != directions()) return false;
  for (int d = 0; d < directions(); ++d) {
    // No address to add to where the weights are packed in a compiled model.
    const float* from = value.raw() ? value.data<float>() + d * rows * columns : nullptr;
    if (input == 1) {
      packed_w.emplace_back().Pack(from, columns, rows, 1, columns, packing);
      continue;
    }
    packed_r.emplace_back();
    for (int part : Parts(rows / gates())) {
      const int64_t part_rows = rows / gates() * part;
      packed_r.back().emplace_back().Pack(from, columns, part_rows, 1, columns, packing);
      if (from) from += part_rows * columns;
    }
  }
  return true;
}

/// One direction's weights and state, and its walk over the sequence.
template <class T>
class Recurrent::Direction {
 public:
  /// Elements of scratch memory.
  static int64_t Memory(const Recurrent& r, const RunContext& c) {
    const Shape& x = c.In(0).shape();
    return (x[0] * x[1] + 2 * x[r.batch_first ? 0 : 1]) * r.gates() * c.In(2).shape()[2];
  }

  Direction(const Recurrent& r, RunContext& c, int d, T* memory)
      : r_(r),
        c_(c),
        d_(d),
        h_(c.In(2).shape()[2]),
        gh_(r.gates() * h_),
        input_(c.In(0).shape()[2]),
        seq_(c.In(0).shape()[r.batch_first ? 1 : 0]),
        batch_(c.In(0).shape()[r.batch_first ? 0 : 1]),
        backwards_(r.reverse || d == 1),
        act_(&r.activations[d * r.per_direction()]),
        part_gates_(r.Parts(h_)),
        projected_(memory),
        gates_(memory + seq_ * batch_ * gh_),
        scratch_(gates_ + batch_ * gh_) {
    usual_ = r.clip <= 0 && r.cell != Cell::kRnn;
    for (int i = 0; i < r.per_direction(); ++i) usual_ &= act_[i].Is(i == 0 ? "Sigmoid" : "Tanh");
    ReadBiases();
    hidden_ = State(5);
    cell_ = State(6);
    lengths_.assign(batch_, seq_);
    if (c.Has(4)) {
      for (int64_t b = 0; b < batch_; ++b) {
        lengths_[b] = c.In(4).template data<int32_t>()[b];
        if (lengths_[b] < 0 || lengths_[b] > seq_)
          c.Fail("a sequence length is {}, but X has {} steps.", lengths_[b], seq_);
      }
    }
  }

  void Run() {
    if (batch_ == 0 || h_ == 0) return;
    PackR();
    ProjectInputs();
    // Items apart need no meeting of threads in each step. R is then read by each thread: it should stay in its cache.
    constexpr int64_t kNear = 768 << 10;
    const int64_t threads = c_.threads().count(), bytes = gh_ * h_ * static_cast<int64_t>(sizeof(T));
    if (threads > 1 && batch_ > 1 && (bytes <= kNear || batch_ >= 4 * threads)) {
      const int64_t slice = (batch_ + threads - 1) / threads;
      c_.threads().ParallelFor((batch_ + slice - 1) / slice, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) Walk(i * slice, std::min(batch_, (i + 1) * slice), OneThread());
      });
    } else {
      Walk(0, batch_, c_.threads());
    }
    WriteStates();
  }

 private:
  /// The time that item b is at in this step; -1 once its sequence is over.
  int64_t TimeOf(int64_t step, int64_t b) const {
    if (step >= lengths_[b]) return -1;
    return backwards_ ? lengths_[b] - 1 - step : step;
  }
  /// The steps of items [begin, end).
  void Walk(int64_t begin, int64_t end, const Threads& threads) {
    const bool together =
        std::all_of(&lengths_[begin], &lengths_[begin] + (end - begin), [&](int64_t n) { return n == seq_; });
    for (int64_t step = 0; step < seq_; ++step) {
      const T* from = &gates_[begin * gh_];
      int64_t stride = gh_;
      if (together) {
        from = projected_ + XRow(TimeOf(step, begin), begin) * gh_;
        if (r_.batch_first) stride = seq_ * gh_;
      } else {
        for (int64_t b = begin; b < end; ++b) {
          const int64_t time = TimeOf(step, b);
          if (time < 0) {
            std::fill_n(&gates_[b * gh_], gh_, T{0});
          } else {
            std::copy_n(projected_ + XRow(time, b) * gh_, gh_, &gates_[b * gh_]);
          }
        }
      }
      if (together && UnitsApart(end - begin, threads)) {
        StepByUnits(begin, end, from, stride, threads);
        WriteStep(step, begin, end);
        continue;
      }
      AddRecurrent(step, begin, end, from, stride, threads);
      for (int64_t b = begin; b < end; ++b) {
        if (TimeOf(step, b) < 0) continue;
        T* row = &gates_[b * gh_];
        if (r_.cell == Cell::kLstm) {
          StepLstm(row, b);
        } else if (r_.cell == Cell::kRnn) {
          Clip(row, h_);
          act_[0].template Apply<T>(row, h_);
          std::copy_n(row, h_, &hidden_[b * h_]);
        } else {
          StepGru(row, &hidden_[b * h_]);
        }
      }
      WriteStep(step, begin, end);
    }
  }

  static constexpr int64_t kUnits = 64;  // of an LSTM that a thread takes together: whole panels of each gate
  bool UnitsApart(int64_t m, const Threads& threads) const {
    constexpr int64_t kWork = 1 << 17;  // multiplications worth a meeting of threads
    const bool gates_apart = part_gates_.size() == 4 && !parts_.empty();
    return threads.count() > 1 && gates_apart && usual_ && !c_.Has(7) && !r_.input_forget && m * gh_ * h_ >= kWork;
  }

  /// A step of LSTM cells, some units of all gates a thread, so that threads meet once.
  void StepByUnits(int64_t begin, int64_t end, const T* from, int64_t stride, const Threads& threads) {
    if constexpr (std::is_same_v<T, float>) {
      float *gates = gates_ + begin * gh_, *hidden = &hidden_[begin * h_], *next = scratch_ + begin * gh_;
      threads.ParallelFor(h_ / kUnits, 1, [&](int64_t first, int64_t last) {
        const int64_t at = first * kUnits, n = (last - first) * kUnits;
        for (int64_t gate = 0; gate < 4; ++gate) {
          kernels::PackedMatrix units = Part(gate)->matrix();
          units.data += at * units.k;
          units.n = n;
          const kernels::Epilogue e{.residual = from + gate * h_ + at, .residual_stride = stride};
          kernels::Gemm(end - begin, hidden, h_, units, gates + gate * h_ + at, gh_, e, OneThread());
        }
        for (int64_t b = 0; b < end - begin; ++b)
          kernels::LstmCells(gates + b * gh_ + at, h_, &cell_[(begin + b) * h_ + at], next + b * h_ + at, n);
      });
      std::copy_n(next, (end - begin) * h_, hidden);
    }
  }

  int64_t XRow(int64_t time, int64_t b) const { return r_.batch_first ? b * seq_ + time : time * batch_ + b; }
  int64_t StateRow(int64_t b) const { return r_.batch_first ? b * r_.directions() + d_ : d_ * batch_ + b; }

  std::vector<T> State(int input) const {
    std::vector<T> out(batch_ * h_, T{0});
    if (!c_.Has(input)) return out;
    for (int64_t b = 0; b < batch_; ++b)
      std::copy_n(c_.In(input).template data<T>() + StateRow(b) * h_, h_, &out[b * h_]);
    return out;
  }

  void ReadBiases() {
    bias_.assign(gh_, T{0});
    reset_bias_.assign(h_, T{0});
    if (!c_.Has(3)) return;
    const T* b = c_.In(3).template data<T>() + d_ * 2 * gh_;
    const bool apart = r_.cell == Cell::kGru && r_.linear_before_reset;
    for (int64_t i = 0; i < gh_; ++i) bias_[i] = b[i] + (apart && i >= 2 * h_ ? T{0} : b[gh_ + i]);
    if (apart) std::copy_n(b + gh_ + 2 * h_, h_, reset_bias_.data());
  }

  /// out[m, n] = a[m, k] w[n, k]^T + bias + add; rows of `out` are gh_ apart, those of `add`, which may be out, as
  /// told.
  void Product(int64_t m, int64_t n, int64_t k, const T* a, const T* w, const PackedWeights* packed, const T* bias,
               const T* add, int64_t add_stride, T* out, const Threads& threads) const {
    if constexpr (std::is_same_v<T, float>) {
      const kernels::Epilogue e{.bias = bias, .residual = add, .residual_stride = add_stride};
      if (packed) return kernels::Gemm(m, a, k, packed->matrix(), out, gh_, e, threads);
      return kernels::GemmUnpacked(m, n, k, a, k, w, 1, k, out, gh_, e, threads);
    } else {
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
          T sum = bias ? bias[j] : T{0};
          if (add) sum += add[i * add_stride + j];
          for (int64_t l = 0; l < k; ++l) sum += a[i * k + l] * w[j * k + l];
          out[i * gh_ + j] = sum;
        }
      }
    }
  }

  void ProjectInputs() {
    const PackedWeights* packed = r_.packed_w.empty() ? nullptr : &r_.packed_w[d_];
    const T* w = packed ? nullptr : c_.In(1).template data<T>() + d_ * gh_ * input_;
    Product(seq_ * batch_, gh_, input_, c_.In(0).template data<T>(), w, packed, bias_.data(), nullptr, 0, projected_,
            c_.threads());
  }

  /// R is read once a step: packing it pays even for one run.
  void PackR() {
    if (!r_.packed_r.empty()) {
      for (const PackedWeights& p : r_.packed_r[d_]) parts_.push_back(&p);
    } else if constexpr (std::is_same_v<T, float>) {
      const float* from = c_.In(2).template data<float>() + d_ * gh_ * h_;
      const std::vector<int> sizes = r_.Parts(h_);
      local_.resize(sizes.size());
      for (size_t i = 0; i < local_.size(); ++i) {
        const int64_t rows = sizes[i] * h_;
        local_[i].Pack(from, h_, rows, 1, h_, {c_.threads(), store_});
        from += rows * h_;
        parts_.push_back(&local_[i]);
      }
    }
  }

  const PackedWeights* Part(size_t i) const { return parts_.empty() ? nullptr : parts_[i]; }
  const T* R(int64_t gate) const {
    return parts_.empty() ? c_.In(2).template data<T>() + (d_ * gh_ + gate * h_) * h_ : nullptr;
  }

  /// gates = from + hidden R^T for items [begin, end), with what a GRU does between its two products.
  void AddRecurrent(int64_t step, int64_t begin, int64_t end, const T* from, int64_t stride, const Threads& threads) {
    const int64_t m = end - begin;
    T *gates = &gates_[begin * gh_], *hidden = &hidden_[begin * h_], *scratch = &scratch_[begin * gh_];
    const std::vector<int>& parts = part_gates_;
    if (r_.cell != Cell::kGru) {
      const auto n = static_cast<int>(parts.size());
      const auto run = [&](int p, const Threads& threads) {
        const int64_t at = p * parts[0] * h_;
        Product(m, parts[p] * h_, h_, hidden, R(p * parts[0]), Part(p), nullptr, from + at, stride, gates + at,
                threads);
      };
      // Back and forth over R, so that what one step read last, and the cache still has, the next one reads first.
      for (int i = 0; i < n; ++i) run(step % 2 ? n - 1 - i : i, threads);
      return;
    }
    Product(m, 2 * h_, h_, hidden, R(0), Part(0), nullptr, from, stride, gates, threads);
    for (int64_t b = 0; b < m; ++b) {
      T* row = gates + b * gh_;
      if constexpr (std::is_same_v<T, float>) {
        if (usual_) {
          kernels::GruGates(row, row + h_, hidden + b * h_, scratch + b * h_, h_);
          continue;
        }
      }
      Clip(row, 2 * h_);
      act_[0].template Apply<T>(row, 2 * h_);
      for (int64_t i = 0; i < h_; ++i) scratch[b * h_ + i] = row[h_ + i] * hidden[b * h_ + i];
    }
    if (r_.linear_before_reset) {
      Product(m, h_, h_, hidden, R(2), Part(1), reset_bias_.data(), nullptr, 0, scratch, threads);
      for (int64_t b = 0; b < m; ++b) {
        T* row = gates + b * gh_;
        const T* fresh = from + b * stride + 2 * h_;
        for (int64_t i = 0; i < h_; ++i) row[2 * h_ + i] = fresh[i] + row[h_ + i] * scratch[b * gh_ + i];
      }
    } else {
      Product(m, h_, h_, scratch, R(2), Part(1), nullptr, from + 2 * h_, stride, gates + 2 * h_, threads);
    }
  }

  void StepGru(T* row, T* h) const {
    if constexpr (std::is_same_v<T, float>) {
      if (usual_) return kernels::GruCells(row, row + 2 * h_, h, h_);
    }
    Clip(row + 2 * h_, h_);
    act_[1].template Apply<T>(row + 2 * h_, h_);
    for (int64_t i = 0; i < h_; ++i) h[i] = (1 - row[i]) * row[2 * h_ + i] + row[i] * h[i];
  }

  /// Gates lie as input, output, forget, cell; peepholes as input, output, forget.
  void StepLstm(T* row, int64_t b) {
    T *in = row, *out = row + h_, *forget = row + 2 * h_, *fresh = row + 3 * h_, *cell = &cell_[b * h_],
      *hidden = &hidden_[b * h_];
    if constexpr (std::is_same_v<T, float>) {
      if (usual_ && !c_.Has(7) && !r_.input_forget) return kernels::LstmCells(row, h_, cell, hidden, h_);
    }
    const T* p = c_.Has(7) ? c_.In(7).template data<T>() + d_ * 3 * h_ : nullptr;
    for (int64_t i = 0; p && i < h_; ++i) {
      in[i] += p[i] * cell[i];
      forget[i] += p[2 * h_ + i] * cell[i];
    }
    Clip(in, h_);
    Clip(forget, 2 * h_);
    act_[0].template Apply<T>(in, h_);
    act_[0].template Apply<T>(forget, h_);
    act_[1].template Apply<T>(fresh, h_);
    for (int64_t i = 0; i < h_; ++i) cell[i] = (r_.input_forget ? 1 - in[i] : forget[i]) * cell[i] + in[i] * fresh[i];
    for (int64_t i = 0; p && i < h_; ++i) out[i] += p[h_ + i] * cell[i];
    Clip(out, h_);
    act_[0].template Apply<T>(out, h_);
    std::copy_n(cell, h_, hidden);
    act_[2].template Apply<T>(hidden, h_);
    for (int64_t i = 0; i < h_; ++i) hidden[i] *= out[i];
  }

  void Clip(T* x, int64_t n) const {
    if (r_.clip <= 0) return;
    for (int64_t i = 0; i < n; ++i) x[i] = std::min<T>(std::max<T>(x[i], -r_.clip), r_.clip);
  }

  void WriteStep(int64_t step, int64_t begin, int64_t end) const {
    if (!c_.HasOut(0)) return;
    T* y = c_.Out(0).template data<T>();
    const int64_t d = r_.directions();
    for (int64_t b = begin; b < end; ++b) {
      const int64_t time = TimeOf(step, b), place = time < 0 ? step : time;
      T* to = y + (r_.batch_first ? (b * seq_ + place) * d + d_ : (place * d + d_) * batch_ + b) * h_;
      if (time < 0) {
        std::fill_n(to, h_, T{0});
      } else {
        std::copy_n(&hidden_[b * h_], h_, to);
      }
    }
  }

  void WriteStates() const {
    for (int i : {1, 2}) {
      if (!c_.HasOut(i)) continue;
      const std::vector<T>& from = i == 1 ? hidden_ : cell_;
      for (int64_t b = 0; b < batch_; ++b)
        std::copy_n(&from[b * h_], h_, c_.Out(i).template data<T>() + StateRow(b) * h_);
    }
  }

  const Recurrent& r_;
  RunContext& c_;
  const int d_;
  const int64_t h_, gh_, input_, seq_, batch_;
  const bool backwards_;
  const CellActivation* act_;
  const std::vector<int> part_gates_;
  T *const projected_, *const gates_, *const scratch_;
  bool usual_ = false;  // the default activations, no clipping
  std::vector<T> bias_, reset_bias_, hidden_, cell_;
  std::vector<int64_t> lengths_;
  std::vector<const PackedWeights*> parts_;
  MemoryStore store_;
  std::vector<PackedWeights> local_;
};

template <class T>
void Recurrent::RunTyped(RunContext& c) const {
  auto* memory = static_cast<T*>(c.Scratch(std::max<size_t>(1, Direction<T>::Memory(*this, c) * sizeof(T))));
  for (int d = 0; d < directions(); ++d) Direction<T>(*this, c, d, memory).Run();
}

void Recurrent::Run(RunContext& c) const {
  if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
  Visit(Types<float, double>{}, c.In(0).dtype(), "a float", [&]<class T>() { RunTyped<T>(c); });
}

namespace {

template <Recurrent::Cell kCell>
struct RecurrentOf : Recurrent {
  explicit RecurrentOf(Recurrent r) : Recurrent(std::move(r)) {}
  static RecurrentOf Parse(const Attributes& a) { return RecurrentOf(Recurrent::Parse(kCell, a)); }
};

template <Recurrent::Cell kCell>
constexpr OpDef DefineRecurrent(std::string_view name) {
  constexpr bool kLstm = kCell == Recurrent::Cell::kLstm;
  return Define<RecurrentOf<kCell>>({.name = name,
                                     .since = 22,
                                     .min_inputs = 3,
                                     .max_inputs = kLstm ? 8 : 6,
                                     .min_outputs = 0,
                                     .max_outputs = kLstm ? 3 : 2,
                                     .types = kFloatTypes});
}

}  // namespace

extern const OpDef kRNN = DefineRecurrent<Recurrent::Cell::kRnn>("RNN");
extern const OpDef kGRU = DefineRecurrent<Recurrent::Cell::kGru>("GRU");
extern const OpDef kLSTM = DefineRecurrent<Recurrent::Cell::kLstm>("LSTM");

}  // namespace slipway
