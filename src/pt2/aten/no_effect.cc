#include "pt2/converter.h"

namespace slipway::pt2 {
namespace {

/// What only checks, or only tells the compiler something.
void Nothing(Call& c) {}

void Same(Call& c) { c.Out(c.converter().Read(c.node().inputs.at(0).second.text).id); }
ValueId WriteSame(Call& c, const TensorRef& base, ValueId value, int) { return value; }

void Clone(Call& c) { c.Out(c.converter().Read(c.node().inputs.at(0).second.text).id); }

/// Dropout in evaluation; in training it would be random, and the export is of the model in evaluation.
void Dropout(Call& c) {
  if (c.Bool("train", false) && c.Float("p", 0.5) > 0) {
    c.Warn("a dropout was traced in training mode: it is left out, as in evaluation");
  }
  Same(c);
}

void NativeDropout(Call& c) {
  const TensorRef x = c.Tensor("input");
  c.Out(0, x.id);
  if (c.Wants(1)) c.Out(1, c.Full(x.shape, Expr::Bool(true), DType::kBool));
}

constexpr Conversion kConversions[] = {
    {"aten._assert_async", Nothing},
    {"aten._assert_scalar", Nothing},
    {"aten._assert_tensor_metadata", Nothing},
    {"aten._functional_assert_async", Nothing},
    {"aten._functional_assert_scalar", Nothing},
    {"aten._functional_sym_constrain_range", Nothing},
    {"aten._functional_sym_constrain_range_for_size", Nothing},
    {"aten._make_dep_token", Nothing},
    {"aten.sym_constrain_range", Nothing},
    {"aten.sym_constrain_range_for_size", Nothing},
    {"aten.alias", Same, "", WriteSame},
    {"aten.conj", Same, "", WriteSame},
    {"aten.contiguous", Same, "", WriteSame},
    {"aten.detach", Same, "", WriteSame},
    {"aten.detach_", Same, "", WriteSame},
    {"aten.lift_fresh", Same, "", WriteSame},
    {"aten.lift", Same, "", WriteSame},
    {"aten.positive", Same, "", WriteSame},
    {"aten.requires_grad_", Same, "", WriteSame},
    {"aten.resolve_conj", Same, "", WriteSame},
    {"aten.resolve_neg", Same, "", WriteSame},
    {"aten.alias_copy", Clone},
    {"aten.clone", Clone},
    {"aten.detach_copy", Clone},
    {"aten.lift_fresh_copy", Clone},
    {"aten.alpha_dropout", Dropout, "", WriteSame},
    {"aten.dropout", Dropout, "", WriteSame},
    {"aten.feature_alpha_dropout", Dropout, "", WriteSame},
    {"aten.feature_dropout", Dropout, "", WriteSame},
    {"aten.native_dropout", NativeDropout},
};

}  // namespace

const ConversionTable kNoEffectTable = {std::begin(kConversions), std::end(kConversions)};

}  // namespace slipway::pt2
