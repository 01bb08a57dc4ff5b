#pragma once

#include <cstdint>
#include <vector>

#include "kernels/attention/attention.h"

namespace slipway::kernels {

/// What a mask leaves of a query's row of scores: keys before `begin` and from `end` on are hidden, and where it is
/// `plain`, it does nothing to those in between.
struct MaskedRow {
  int64_t begin = 0;
  int64_t end = 0;
  bool plain = false;
};

/// The rows of a mask, each looked at once, whatever the number of heads that read it: a mask made from data most often
/// hides what comes later or what fills a batch up, and lets the rest be.
class MaskedRows {
 public:
  /// Looks at nothing where there is no mask, or one whose rows do not lie in one piece.
  MaskedRows(const AttentionArgs& args, const Threads& threads);

  /// The row for that query, or null.
  const MaskedRow* Find(int64_t batch, int64_t head, int64_t query) const {
    if (rows_.empty()) return nullptr;
    return &rows_[batch * batch_stride_ + head * head_stride_ + query * row_stride_];
  }

 private:
  std::vector<MaskedRow> rows_;
  int64_t batch_stride_ = 0, head_stride_ = 0, row_stride_ = 0;  // of rows_, 0 where the mask repeats
};

}  // namespace slipway::kernels
