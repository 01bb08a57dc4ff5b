#include "session/packed_runs.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

namespace slipway {
namespace {

/// Requests with more rows than this in all run in several goes: more of them make products no quicker, and take
/// memory.
constexpr int64_t kMaxRows = 2048;
/// Shapes of requests for which what runs request by request keeps a plan.
constexpr size_t kMaxRequestPlans = 256;

}  // namespace

PackedRuns::PackedRuns(const Program& program, const Threads& threads, size_t fed, size_t max_plans)
    : program_(program), threads_(threads), packed_(PackRequests(program.graph(), fed)) {
  if (packed_.why_not.empty())
    runner_ = std::make_unique<Program>(packed_.graph, program, packed_.same, max_plans, kMaxRequestPlans);
}

/// What the request chooses for each symbol; nothing where its inputs contradict one another or are empty: what such a
/// request gives is for the program itself to say.
std::optional<PackedRuns::Sizes> PackedRuns::SizesOf(const std::vector<Value>& request) const {
  Sizes sizes(packed_.symbols.size(), -1);
  for (size_t i = 0; i < request.size(); ++i) {
    for (size_t axis = 0; axis < packed_.axes[i].size(); ++axis) {
      if (!request[i].is_tensor() || request[i].tensor().shape().rank() != static_cast<int>(packed_.axes[i].size()))
        return std::nullopt;
      const int symbol = packed_.axes[i][axis];
      if (symbol < 0) continue;
      const int64_t size = request[i].tensor().shape()[static_cast<int>(axis)];
      if (size == 0 || (sizes[symbol] >= 0 && sizes[symbol] != size)) return std::nullopt;
      sizes[symbol] = size;
    }
  }
  if (std::find(sizes.begin(), sizes.end(), -1) != sizes.end()) return std::nullopt;
  return sizes;
}

Shape PackedRuns::LeadOf(const Sizes& sizes, int of_class) const {
  Shape lead;
  for (const RequestSize& size : packed_.classes[of_class]) {
    int64_t n = size.factor;
    for (const int symbol : size.symbols) n *= sizes[symbol];
    lead.push_back(n);
  }
  return lead;
}

int64_t PackedRuns::MostRows(const Sizes& sizes) const {
  int64_t most = 0;
  for (const int of : packed_.inputs) {
    if (of >= 0) most = std::max(most, LeadOf(sizes, of).size());
  }
  return most;
}

std::vector<Value> PackedRuns::RunAlone(size_t index, const std::vector<Value>& request,
                                        const RunOptions& options) const {
  try {
    return program_.Run(request, options);
  } catch (const Error& e) {
    throw Error(e.code(), fmt::format("request {}: {}", index, e.what()));
  }
}

/// A request a thread: short ones are quicker so than one after another on all threads.
void PackedRuns::RunEachAlone(std::span<const size_t> members, const std::vector<std::vector<Value>>& requests,
                              const RunOptions& options, std::vector<std::vector<Value>>& answers) const {
  threads_.ParallelFor(static_cast<int64_t>(members.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m) answers[members[m]] = RunAlone(members[m], requests[members[m]], options);
  });
}

std::vector<std::vector<Value>> PackedRuns::Run(std::vector<std::vector<Value>> requests,
                                                const RunOptions& options) const {
  std::vector<std::vector<Value>> answers(requests.size());
  std::vector<size_t> alone;
  Group group;
  int64_t rows = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    auto sizes = runner_ ? SizesOf(requests[i]) : std::nullopt;
    if (!sizes) {
      alone.push_back(i);
      continue;
    }
    const int64_t more = MostRows(*sizes);
    if (!group.members.empty() && rows + more > kMaxRows) {
      RunGroup(group, requests, options, answers);
      group = {};
      rows = 0;
    }
    group.members.push_back(i);
    group.sizes.push_back(std::move(*sizes));
    rows += more;
  }
  RunGroup(group, requests, options, answers);
  RunEachAlone(alone, requests, options, answers);
  return answers;
}

void PackedRuns::RunGroup(const Group& group, const std::vector<std::vector<Value>>& requests,
                          const RunOptions& options, std::vector<std::vector<Value>>& answers) const {
  if (group.members.size() < 2) return RunEachAlone(group.members, requests, options, answers);
  std::vector<Value> all;
  try {
    all = runner_->Run(Join(group, requests), options);
  } catch (const Error& e) {
    if (e.code() == Code::kCancelled) throw;
    // One of them is at fault, or they are too much together: alone each gives its own answer or error.
    return RunEachAlone(group.members, requests, options, answers);
  }
  for (const size_t i : group.members) answers[i].resize(all.size());
  for (size_t output = 0; output < all.size(); ++output) Part(group, output, all[output], answers);
}

std::vector<Value> PackedRuns::Join(const Group& group, const std::vector<std::vector<Value>>& requests) const {
  const auto n = static_cast<int64_t>(group.members.size());
  std::vector<int64_t> layout;
  std::vector<int64_t> totals(packed_.classes.size() + 1, 0);
  for (const Sizes& sizes : group.sizes) {
    for (size_t k = 0; k < packed_.classes.size(); ++k) {
      const Shape lead = LeadOf(sizes, static_cast<int>(k));
      layout.insert(layout.end(), lead.begin(), lead.end());
      totals[k] += lead.size();
    }
  }
  std::vector<Value> inputs;
  const auto columns = static_cast<int64_t>(layout.size()) / n;
  inputs.emplace_back(Tensor::From<int64_t>({n, columns}, std::span<const int64_t>(layout)));
  inputs.emplace_back(Tensor(DType::kInt64, Shape(std::span<const int64_t>(totals)), nullptr));
  for (size_t i = 0; i < packed_.inputs.size(); ++i) {
    const int of = packed_.inputs[i];
    if (of < 0) {
      Sequence each;
      for (const size_t r : group.members) each.push_back(requests[r][i]);
      inputs.emplace_back(std::move(each));
      continue;
    }
    const Tensor& first = requests[group.members[0]][i].tensor();
    Shape shape = first.shape();
    const auto lead = static_cast<int>(packed_.classes[of].size());
    for (int axis = 0; axis < lead; ++axis) shape[axis] = axis + 1 < lead ? 1 : totals[of];
    Tensor rows(first.dtype(), std::move(shape));
    auto* to = static_cast<std::byte*>(rows.raw());
    for (const size_t r : group.members) {
      const Tensor& t = requests[r][i].tensor();
      if (t.bytes() > 0) std::memcpy(to, t.raw(), t.bytes());
      to += t.bytes();
    }
    inputs.emplace_back(std::move(rows));
  }
  return inputs;
}

/// Gives each request its part of an output, in memory of its own.
void PackedRuns::Part(const Group& group, size_t output, const Value& all,
                      std::vector<std::vector<Value>>& answers) const {
  const int of = packed_.outputs[output];
  if (of < 0) {
    // Lists that nodes gave are new; constants and inputs are not.
    const bool own = packed_.graph->Producer(packed_.graph->outputs[output]) != nullptr;
    for (size_t m = 0; m < group.members.size(); ++m) {
      const Value& mine = of == RowState::kConstant ? all : all.sequence()[m];
      answers[group.members[m]][output] = own || !mine.is_tensor() ? mine : Value(mine.tensor().Clone());
    }
    return;
  }
  const Tensor& rows = all.tensor();
  const auto lead = static_cast<int>(packed_.classes[of].size());
  const size_t row = static_cast<size_t>(rows.shape().SizeFrom(lead)) * SizeOf(rows.dtype());
  std::vector<const std::byte*> from = {static_cast<const std::byte*>(rows.raw())};
  for (size_t m = 0; m < group.members.size(); ++m) {
    Shape shape = LeadOf(group.sizes[m], of);
    from.push_back(from.back() + static_cast<size_t>(shape.size()) * row);
    for (int axis = lead; axis < rows.shape().rank(); ++axis) shape.push_back(rows.shape()[axis]);
    answers[group.members[m]][output] = Tensor(rows.dtype(), std::move(shape));
  }
  constexpr int64_t kGrain = 1 << 18;  // bytes worth handing to another thread
  const int64_t each = 1 + static_cast<int64_t>(rows.bytes() / group.members.size());
  threads_.ParallelFor(static_cast<int64_t>(group.members.size()), 1 + kGrain / each, [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m) {
      Tensor& mine = answers[group.members[m]][output].tensor();
      if (mine.bytes() > 0) std::memcpy(mine.raw(), from[m], mine.bytes());
    }
  });
}

}  // namespace slipway
