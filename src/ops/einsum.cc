#include <algorithm>
#include <map>

#include "core/dtype_visit.h"
#include "kernels/copy/strided_copy.h"
#include "ops/arithmetic.h"
#include "ops/matmul.h"

namespace slipway {
namespace {

/// An equation's terms: letters, and '.' for the place of an ellipsis.
struct Equation {
  std::vector<std::string> inputs;
  std::string output;
  bool explicit_output = false;
};

std::string Term(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, 3) == "...") {
      if (out.find('.') != std::string::npos) throw Error(Code::kBadGraph, fmt::format("'{}' has two ellipses", text));
      out += '.';
      i += 2;
    } else if (std::isalpha(static_cast<unsigned char>(text[i]))) {
      out += text[i];
    } else {
      throw Error(Code::kBadGraph, fmt::format("'{}' in an equation's term '{}'", text[i], text));
    }
  }
  return out;
}

Equation ParseEquation(std::string text) {
  std::erase(text, ' ');
  Equation e;
  const size_t arrow = text.find("->");
  std::string left = text.substr(0, arrow);
  for (size_t start = 0;;) {
    const size_t comma = left.find(',', start);
    e.inputs.push_back(Term(std::string_view(left).substr(start, comma == std::string::npos ? comma : comma - start)));
    if (comma == std::string::npos) break;
    start = comma + 1;
  }
  e.explicit_output = arrow != std::string::npos;
  if (e.explicit_output) {
    e.output = Term(std::string_view(text).substr(arrow + 2));
  } else {
    std::map<char, int> count;
    for (const std::string& term : e.inputs) {
      for (char l : term) ++count[l];
    }
    if (count.contains('.')) e.output = ".";
    for (const auto& [l, n] : count) {
      if (n == 1 && l != '.') e.output += l;
    }
  }
  return e;
}

/// A term's axes as numbers: letters as themselves, an ellipsis of k axes as -k … -1, so that they align at their ends.
std::vector<int> Labels(const std::string& term, int ellipsis) {
  std::vector<int> out;
  for (char l : term) {
    if (l != '.') {
      out.push_back(l);
    } else {
      for (int k = ellipsis; k > 0; --k) out.push_back(-k);
    }
  }
  return out;
}
int EllipsisRank(const std::string& term, int rank) {
  return term.find('.') == std::string::npos ? 0 : rank - static_cast<int>(term.size()) + 1;
}

using Sizes = std::map<int, int64_t>;

/// An operand's step along a label: all axes that bear it, together; 0 along those it lacks or repeats over.
int64_t StrideOf(const std::vector<int>& labels, const Shape& shape, int label) {
  int64_t total = 0, step = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    if (labels[i] == label && shape[i] != 1) total += step;
    step *= shape[i];
  }
  return total;
}

}  // namespace

/// ONNX Einsum, since 28. A float product of two operands becomes a batched matrix product; anything else is summed
/// plainly.
struct Einsum {
  Equation equation;
  static Einsum Parse(const Attributes& a) { return {.equation = ParseEquation(a.RequiredString("equation"))}; }

  void Infer(InferContext& c) const {
    const int n = c.num_inputs();
    if (n != static_cast<int>(equation.inputs.size()))
      c.Fail("{} inputs, but the equation has {} terms.", n, equation.inputs.size());
    std::map<int, Dim> sizes;
    int most = 0;
    for (int i = 0; i < n; ++i) {
      c.ExpectSameElem(i, 0);
      if (!c.HasRank(i)) return c.Out(0, c.Elem(0));
      const int rank = c.Shape(i).rank(), ellipsis = EllipsisRank(equation.inputs[i], rank);
      const std::vector<int> labels = Labels(equation.inputs[i], std::max(0, ellipsis));
      if (ellipsis < 0 || static_cast<int>(labels.size()) != rank) {
        c.Fail("{} has rank {}, but its term is '{}'.", c.InputName(i), rank, equation.inputs[i]);
      }
      most = std::max(most, ellipsis);
      for (int k = 0; k < rank; ++k) Meet(c, sizes, labels[k], c.Shape(i)[k]);
    }
    std::vector<Dim> out;
    std::vector<int> seen;
    for (int label : Labels(equation.output, most)) {
      if (!sizes.contains(label)) c.Fail("the output has '{}', which no input has.", static_cast<char>(label));
      if (std::find(seen.begin(), seen.end(), label) != seen.end())
        c.Fail("the output repeats '{}'.", static_cast<char>(label));
      seen.push_back(label);
      out.push_back(sizes.at(label));
    }
    c.Out(0, c.Elem(0), std::move(out));
  }

  void Run(RunContext& c) const {
    if (RunHalvesInFloat(c, [&](RunContext& wide) { Run(wide); })) return;
    if (c.Out(0).size() == 0) return;
    const Problem p = MakeProblem(c);
    if (c.Out(0).dtype() == DType::kFloat && RunProduct(c, p)) return;
    VisitNumeric(c.Out(0).dtype(), [&]<class T>() {
      if constexpr (std::is_arithmetic_v<T>) RunPlain<T>(c, p);
    });
  }

 private:
  struct Problem {
    std::vector<std::vector<int>> labels;  // of each input
    std::vector<int> out;
    Sizes sizes;
  };

  static void Meet(const InferContext& c, std::map<int, Dim>& sizes, int label, const Dim& size) {
    const auto [at, added] = sizes.emplace(label, size);
    if (added || at->second == size || size == Dim(1)) return;
    if (at->second == Dim(1) || size.is_const()) {
      if (at->second.Differs(size) && !(at->second == Dim(1))) {
        c.Fail("an axis is {} in one term and {} in another.", at->second.ToString(), size.ToString());
      }
      at->second = size;
    } else if (!at->second.is_const()) {
      at->second = Dim::Unknown();
    }
  }

  Problem MakeProblem(const RunContext& c) const {
    Problem p;
    int most = 0;
    for (int i = 0; i < c.num_inputs(); ++i) {
      const Shape& shape = c.In(i).shape();
      const int ellipsis = EllipsisRank(equation.inputs[i], shape.rank());
      most = std::max(most, ellipsis);
      p.labels.push_back(Labels(equation.inputs[i], ellipsis));
      for (int k = 0; k < shape.rank(); ++k) {
        int64_t& size = p.sizes.emplace(p.labels[i][k], 1).first->second;
        if (size != 1 && shape[k] != 1 && size != shape[k])
          c.Fail("an axis is {} in one term and {} in another.", size, shape[k]);
        if (shape[k] != 1) size = shape[k];
      }
    }
    p.out = Labels(equation.output, most);
    return p;
  }

  /// The operand with its labels in this order, each group of them one axis.
  static Tensor Arranged(RunContext& c, const Problem& p, int input,
                         const std::vector<const std::vector<int>*>& groups) {
    const Tensor& x = c.In(input);
    Shape shape, grouped;
    std::vector<int64_t> strides;
    for (const auto* group : groups) {
      int64_t size = 1;
      for (int label : *group) {
        shape.push_back(p.sizes.at(label));
        strides.push_back(StrideOf(p.labels[input], x.shape(), label));
        size *= p.sizes.at(label);
      }
      grouped.push_back(size);
    }
    const std::vector<int64_t> dense = kernels::DenseStrides(shape);
    if (strides == dense) return x.Reshaped(grouped);
    Tensor out(x.dtype(), grouped);
    kernels::StridedCopy(x.dtype(), shape, x.raw(), strides, out.raw(), dense, c.threads());
    return out;
  }

  /// As a matrix product for each of the labels that both operands and the output have, where each label occurs once in
  /// an operand and at its full size, and none is to be summed in one operand alone.
  bool RunProduct(RunContext& c, const Problem& p) const {
    if (c.num_inputs() != 2) return false;
    std::vector<int> batch, rows, columns, summed;
    for (const auto& [label, size] : p.sizes) {
      const auto in_a = std::count(p.labels[0].begin(), p.labels[0].end(), label);
      const auto in_b = std::count(p.labels[1].begin(), p.labels[1].end(), label);
      const bool in_out = std::find(p.out.begin(), p.out.end(), label) != p.out.end();
      if (in_a > 1 || in_b > 1 || (!in_out && !(in_a && in_b))) return false;
      if (!in_out) summed.push_back(label);
    }
    for (int i : {0, 1}) {
      for (int k = 0; k < c.In(i).shape().rank(); ++k) {
        if (c.In(i).shape()[k] != p.sizes.at(p.labels[i][k])) return false;
      }
    }
    // In the output's order, so that it need not be rearranged where it is batch, rows, columns.
    for (int label : p.out) {
      const bool in_a = std::find(p.labels[0].begin(), p.labels[0].end(), label) != p.labels[0].end();
      const bool in_b = std::find(p.labels[1].begin(), p.labels[1].end(), label) != p.labels[1].end();
      (in_a && in_b ? batch : in_a ? rows : columns).push_back(label);
    }
    const Tensor a = Arranged(c, p, 0, {&batch, &rows, &summed}), b = Arranged(c, p, 1, {&batch, &summed, &columns});
    std::vector<int> order = batch;
    order.insert(order.end(), rows.begin(), rows.end());
    order.insert(order.end(), columns.begin(), columns.end());
    const Shape product_shape{a.shape()[0], a.shape()[1], b.shape()[2]};
    Tensor& out = c.Out(0);
    Tensor product = order == p.out ? out.Reshaped(product_shape) : Tensor(DType::kFloat, product_shape);
    MatrixProduct().RunFloat(c, a, b, product, {});
    if (order == p.out) return true;
    Shape shape;
    for (int label : order) shape.push_back(p.sizes.at(label));
    std::vector<int64_t> to;
    for (int label : order) to.push_back(StrideOf(p.out, out.shape(), label));
    kernels::StridedCopy(DType::kFloat, shape, product.raw(), kernels::DenseStrides(shape), out.raw(), to, c.threads());
    return true;
  }

  template <class T>
  void RunPlain(RunContext& c, const Problem& p) const {
    std::vector<int> order = p.out, summed;
    for (const auto& [label, size] : p.sizes) {
      if (std::find(p.out.begin(), p.out.end(), label) == p.out.end()) summed.push_back(label);
    }
    order.insert(order.end(), summed.begin(), summed.end());
    const int inputs = c.num_inputs();
    std::vector<std::vector<int64_t>> strides(inputs);
    int64_t terms = 1;
    for (int label : summed) terms *= p.sizes.at(label);
    for (int i = 0; i < inputs; ++i) {
      for (int label : order) strides[i].push_back(StrideOf(p.labels[i], c.In(i).shape(), label));
    }
    std::vector<int64_t> sizes;
    for (int label : order) sizes.push_back(p.sizes.at(label));
    c.threads().ParallelFor(c.Out(0).size(), 1 + 4096 / (1 + terms), [&](int64_t begin, int64_t end) {
      for (int64_t at = begin; at < end; ++at) {
        T sum = 0;
        for (int64_t term = 0; term < terms; ++term) {
          T product = 1;
          for (int i = 0; i < inputs; ++i) {
            int64_t rest = at * terms + term, offset = 0;
            for (size_t k = order.size(); k-- > 0; rest /= sizes[k]) offset += rest % sizes[k] * strides[i][k];
            product = MulFunction()(product, c.In(i).data<T>()[offset]);
          }
          sum = AddFunction()(sum, product);
        }
        c.Out(0).data<T>()[at] = sum;
      }
    });
  }
};
extern const OpDef kEinsum =
    Define<Einsum>({.name = "Einsum", .since = 28, .max_inputs = kVariadic, .types = kNumericTypes});

}  // namespace slipway
