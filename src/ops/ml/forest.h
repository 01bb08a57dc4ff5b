#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ops/op.h"

namespace slipway::ml {

/// The order is that of the attributes of TreeEnsemble.
enum class Mode : uint8_t { kLeq, kLt, kGte, kGt, kEq, kNeq, kMember };
enum class Aggregate { kAverage, kSum, kMin, kMax };

/// Where a branch leads: to split i, or to leaf i, which is written ~i.
using Branch = int32_t;

struct Split {
  int32_t feature = 0;
  Mode mode = Mode::kLeq;
  bool nan_yes = false;  ///< where NaN goes; kNeq holds for it anyway
  double value = 0;
  int32_t set = 0;  ///< for kMember: which of Ensemble::sets
  Branch yes = 0, no = 0;
};

struct Vote {
  int32_t target = 0;
  double weight = 0;
};

/// Decision trees as the attributes give them. Roots and branches are in range; CheckTrees tells the rest.
struct Ensemble {
  std::vector<Split> splits;
  std::vector<std::vector<double>> sets;
  std::vector<Branch> roots;
  std::vector<Vote> votes;        ///< of all leaves, leaf by leaf
  std::vector<size_t> vote_ends;  ///< of each leaf
  int64_t targets = 1;
  Aggregate aggregate = Aggregate::kSum;
  bool in_double = false;  ///< some value is not exact as a float

  size_t leaves() const { return vote_ends.size(); }
  size_t vote_begin(size_t leaf) const { return leaf == 0 ? 0 : vote_ends[leaf - 1]; }
};

/// Throws Error(kBadGraph) where a path runs in a circle.
void CheckTrees(const Ensemble& ensemble);

/// An ensemble in the form that is walked. Safe to use from several threads.
class Forest {
 public:
  virtual ~Forest() = default;
  /// scores[row, target] of x (any rank; `rows` times `features` elements); the same for a row alone and among others,
  /// and with any number of threads.
  virtual void Score(const Tensor& x, int64_t rows, int64_t features, const Threads& threads, double* scores) const = 0;
};

/// For rows of float, float16, double, int32 or int64.
std::unique_ptr<Forest> MakeForest(const Ensemble& ensemble, DType x);

}  // namespace slipway::ml
