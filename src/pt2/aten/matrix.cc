#include "pt2/converter.h"

namespace slipway::pt2 {
namespace {

/// Scales by a number, unless that is 1.
ValueId Scale(Call& c, ValueId v, std::string_view name) {
  const Expr by = c.Size(name, 1);
  return by.is_number() && by.value() == 1 ? v : c.Add("Mul", {v, c.Scalar(by, c.Elem(v))});
}

/// y = x W^T + b. A matrix for x is one Gemm; more axes are a product with the weight turned round, once.
void Linear(Call& c) {
  const TensorRef x = c.Tensor("input"), w = c.Tensor("weight"), b = c.OptionalTensor("bias");
  if (x.rank() == 2 && w.rank() == 2 && (!b.defined() || b.rank() <= 1)) {
    return c.Out(c.Add("Gemm", {x.id, w.id, b.id}, {{"transB", int64_t{1}}}));
  }
  ValueId turned = w.id;
  if (w.rank() == 2) turned = c.Transposed(w);
  ValueId y = c.Add("MatMul", {x.id, turned});
  if (b.defined()) y = c.Add("Add", {y, b.id});
  c.Out(y);
}

void MatMul(Call& c) {
  const auto& inputs = c.node().inputs;
  const TensorRef a = c.Tensor(inputs.at(0).first), b = c.Tensor(inputs.at(1).first);
  c.Out(c.Add("MatMul", {a.id, b.id}));
}

/// beta*input + alpha*(a @ b), of matrices.
void AddMm(Call& c) {
  const TensorRef input = c.Tensor("self");
  const TensorRef a = c.Tensor("mat1"), b = c.Tensor("mat2");
  const double alpha = c.Float("alpha", 1), beta = c.Float("beta", 1);
  if (!IsFloating(a.dtype)) {
    const ValueId product = Scale(c, c.Add("MatMul", {a.id, b.id}), "alpha");
    return c.Out(beta == 0 ? product : c.Add("Add", {Scale(c, input.id, "beta"), product}));
  }
  Attributes attributes;
  if (alpha != 1) attributes.Set("alpha", static_cast<float>(alpha));
  if (beta != 1 && beta != 0) attributes.Set("beta", static_cast<float>(beta));
  c.Out(c.Add("Gemm", {a.id, b.id, beta == 0 ? kNone : input.id}, std::move(attributes)));
}

/// beta*input + alpha*(a @ b), where a product of more axes, or with a vector, is meant. `detail` names a and b.
void AddProduct(Call& c) {
  const size_t comma = c.detail().find(',');
  const TensorRef a = c.Tensor(c.detail().substr(0, comma)), b = c.Tensor(c.detail().substr(comma + 1));
  const ValueId product = Scale(c, c.Add("MatMul", {a.id, b.id}), "alpha");
  if (c.Float("beta", 1) == 0) return c.Out(product);
  c.Out(c.Add("Add", {Scale(c, c.Tensor("self").id, "beta"), product}));
}

/// As AddProduct, with the products of a batch added up.
void AddBmm(Call& c) {
  const TensorRef a = c.Tensor("batch1"), b = c.Tensor("batch2");
  ValueId sum = c.Add("ReduceSum", {c.Add("MatMul", {a.id, b.id}), c.IntsConstant({0})}, {{"keepdims", int64_t{0}}});
  sum = Scale(c, sum, "alpha");
  if (c.Float("beta", 1) == 0) return c.Out(sum);
  c.Out(c.Add("Add", {Scale(c, c.Tensor("self").id, "beta"), sum}));
}

/// input + alpha * (a outer b)
void AddR(Call& c) {
  const TensorRef a = c.Tensor("vec1"), b = c.Tensor("vec2");
  const ValueId product = Scale(c, c.Add("Mul", {c.Unsqueeze(a.id, {1}), c.Unsqueeze(b.id, {0})}), "alpha");
  c.Out(c.Add("Add", {Scale(c, c.Tensor("self").id, "beta"), product}));
}

void Outer(Call& c) {
  const TensorRef a = c.Tensor("self"), b = c.Tensor("vec2");
  const DType type = c.OutDtype();
  c.Out(c.Add("Mul", {c.Cast(c.Unsqueeze(a.id, {1}), type), c.Cast(c.Unsqueeze(b.id, {0}), type)}));
}

void Einsum(Call& c) {
  std::string equation;
  for (const char ch : c.String("equation", "")) {
    if (ch != ' ') equation += ch;
  }
  std::vector<ValueId> inputs;
  for (const TensorRef& t : c.Tensors("tensors")) inputs.push_back(t.id);
  c.Out(c.Add("Einsum", inputs, {{"equation", equation}}));
}

/// x1 W x2 + b, with W of [out, in1, in2].
void Bilinear(Call& c) {
  const TensorRef a = c.Tensor("input1"), w = c.Tensor("weight"), b = c.Tensor("input2"),
                  bias = c.OptionalTensor("bias");
  ValueId y = c.Add("Einsum", {a.id, w.id, b.id}, {{"equation", std::string("...i,oij,...j->...o")}});
  if (bias.defined()) y = c.Add("Add", {y, bias.id});
  c.Out(y);
}

/// Contracts axes of a with axes of b.
void TensorDot(Call& c) {
  const TensorRef a = c.Tensor("self"), b = c.Tensor("other");
  const std::vector<int64_t> da = c.Ints("dims_self"), db = c.Ints("dims_other");
  std::string ta(a.rank(), ' '), tb(b.rank(), ' '), out;
  char next = 'a';
  for (size_t i = 0; i < da.size(); ++i) ta.at(a.Axis(da[i])) = tb.at(b.Axis(db.at(i))) = next++;
  for (std::string* t : {&ta, &tb}) {
    for (char& ch : *t) {
      if (ch == ' ') out += ch = next++;
    }
  }
  c.Out(c.Add("Einsum", {a.id, b.id}, {{"equation", ta + "," + tb + "->" + out}}));
}

/// Rows that are sorted by group, each times its group's matrix: `offs` says where each group's rows end. (A mixture of
/// experts.)
void GroupedMatMul(Call& c) {
  const TensorRef x = c.Tensor(c.node().inputs.at(0).first), w = c.Tensor(c.node().inputs.at(1).first);
  const TensorRef ends = c.OptionalTensor(c.Has("offsets") ? "offsets" : "offs");
  if (x.rank() != 2 || w.rank() != 3 || !ends.defined() || c.Has("bias")) {
    c.Fail("of other than a matrix and a stack of matrices it has no form in ONNX.");
  }
  if (!w.shape[0].is_int()) c.Fail("the number of groups must be fixed.");
  const int64_t groups = w.shape[0].int_value();
  // Rows after the last group's are left as 0.
  const ValueId stops = c.Concat({c.Cast(ends.id, DType::kInt64), c.SizeVector({x.shape[0]})}, 0);
  const ValueId starts = c.Concat({c.IntsConstant({0}), c.Cast(ends.id, DType::kInt64)}, 0);
  const auto parts =
      c.AddMany("Split", {x.id, c.Add("Sub", {stops, starts})}, static_cast<int>(groups + 1), {{"axis", int64_t{0}}});
  std::vector<ValueId> products;
  for (int64_t i = 0; i < groups; ++i) products.push_back(c.Add("MatMul", {parts[i], c.Select(w.id, 0, i)}));
  const ValueId left = c.Add("Shape", {parts[groups]}, {{"start", int64_t{0}}, {"end", int64_t{1}}});
  products.push_back(c.Add("ConstantOfShape", {c.Concat({left, c.SizeVector({w.shape[2]})}, 0)},
                           {{"value", Filled(c.Elem(products[0]), Shape{1}, 0)}}));
  c.Out(c.Concat(products, 0));
}

/// Products over the last axes of both.
void Inner(Call& c) {
  const TensorRef a = c.Tensor("self"), b = c.Tensor("other");
  if (a.rank() == 0 || b.rank() == 0) return c.Out(c.Add("Mul", {a.id, b.id}));
  std::string left, right;
  for (int i = 0; i + 1 < a.rank(); ++i) left += static_cast<char>('a' + i);
  for (int i = 0; i + 1 < b.rank(); ++i) right += static_cast<char>('A' + i);
  c.Out(c.Add("Einsum", {a.id, b.id}, {{"equation", left + "z," + right + "z->" + left + right}}));
}

void Determinant(Call& c) { c.Out(c.Add("Det", {c.Tensor(c.node().inputs.at(0).first).id})); }

constexpr Conversion kConversions[] = {
    {"aten.__rmatmul__", MatMul},
    {"aten._grouped_mm", GroupedMatMul},
    {"aten._linalg_det", Determinant},
    {"aten.addbmm", AddBmm},
    {"aten.addmm", AddMm},
    {"aten.addmv", AddProduct, "mat,vec"},
    {"aten.addr", AddR},
    {"aten.baddbmm", AddProduct, "batch1,batch2"},
    {"aten.bilinear", Bilinear},
    {"aten.bmm", MatMul},
    {"aten.det", Determinant},
    {"aten.dot", MatMul},
    {"aten.einsum", Einsum},
    {"aten.inner", Inner},
    {"aten.linalg_det", Determinant},
    {"aten.linalg_matmul", MatMul},
    {"aten.linear", Linear},
    {"aten.matmul", MatMul},
    {"aten.mm", MatMul},
    {"aten.mv", MatMul},
    {"aten.outer", Outer},
    {"aten.ger", Outer},
    {"aten.tensordot", TensorDot},
    {"aten.vdot", MatMul},
    {"transformers.grouped_mm_fallback", GroupedMatMul},
};

}  // namespace

const ConversionTable kMatrixTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
