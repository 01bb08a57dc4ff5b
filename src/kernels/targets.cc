#include "kernels/targets.h"

#include <hwy/highway.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "slipway/error.h"

namespace slipway::kernels {
namespace {

/// The sets that kernels are compiled for and the CPU has, best first; plain scalar code comes last.
std::vector<int64_t> UsableTargets() {
  std::vector<int64_t> usable;
  for (int64_t rest = hwy::SupportedTargets() & HWY_TARGETS; rest != 0; rest &= rest - 1) {
    usable.push_back(rest & -rest);
  }
  if (usable.empty()) usable.push_back(HWY_STATIC_TARGET);
  return usable;
}

/// Makes dispatch go to `target`, also where it has gone elsewhere before.
void Use(int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(target);
}

bool SameName(std::string_view a, std::string_view b) {
  if (b == "EMU128") b = "SCALAR";
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

int64_t FirstChoice() {
  const std::vector<int64_t> usable = UsableTargets();
  const char* wanted = std::getenv("SLIPWAY_ISA");
  if (wanted == nullptr || *wanted == '\0') return usable[0];
  std::string names;
  for (const int64_t target : usable) {
    if (SameName(wanted, hwy::TargetName(target))) return target;
    names += names.empty() ? "" : ", ";
    names += hwy::TargetName(target);
  }
  throw Error(Code::kInvalidArgument,
              std::string("SLIPWAY_ISA is '") + wanted + "', but this CPU and build have " + names + ".");
}

int64_t& Chosen() {
  static int64_t target = [] {
    const int64_t first = FirstChoice();
    Use(first);
    return first;
  }();
  return target;
}

}  // namespace

void ChooseTarget() { Chosen(); }

const char* IsaName() { return hwy::TargetName(Chosen()); }

void ForEachTarget(FunctionRef<void()> f) {
  int64_t& chosen = Chosen();
  struct Restore {
    int64_t& chosen;
    int64_t first;
    ~Restore() {
      chosen = first;
      Use(first);
    }
  } restore{chosen, chosen};
  hwy::SetSupportedTargetsForTest(0);
  for (const int64_t target : UsableTargets()) {
    chosen = target;
    Use(target);
    f();
  }
}

}  // namespace slipway::kernels
