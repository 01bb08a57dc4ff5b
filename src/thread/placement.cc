#include "thread/placement.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>
#include <string_view>
#include <utility>

namespace slipway {
namespace {

constexpr double kNoQuota = std::numeric_limits<double>::infinity();

/// How many CPUs of the same core come before `cpu`.
int SiblingRank(int cpu) {
  std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list");
  int rank = 0;
  int first = 0;
  while (file >> first) {
    int last = first;
    if (file.peek() == '-') file.ignore() >> last;
    if (file.peek() == ',') file.ignore();
    rank += std::clamp(cpu - first, 0, std::max(last - first + 1, 0));
  }
  return rank;
}

/// Whether a comma-separated list holds `item`.
bool Lists(std::string_view list, std::string_view item) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (list.substr(0, comma) == item) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

struct Groups {
  std::string v2;
  std::string v1_cpu;
};

/// The process's cgroup paths, from lines like "0::/a/b" (version 2) and "3:cpu,cpuacct:/a/b".
Groups ReadGroups(const std::string& root) {
  Groups groups;
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t controllers = line.find(':');
    if (controllers == std::string::npos) continue;
    const size_t path = line.find(':', controllers + 1);
    if (path == std::string::npos) continue;
    const auto list = std::string_view(line).substr(controllers + 1, path - controllers - 1);
    if (list.empty()) groups.v2 = line.substr(path + 1);
    if (Lists(list, "cpu")) groups.v1_cpu = line.substr(path + 1);
  }
  return groups;
}

/// The quota set in one cgroup's folder; a file that is missing or says "max" or -1 sets none.
double QuotaOf(const std::string& folder, bool v2) {
  double quota = 0;
  double period = 0;
  if (v2) {
    std::ifstream(folder + "/cpu.max") >> quota >> period;
  } else {
    std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
    std::ifstream(folder + "/cpu.cfs_period_us") >> period;
  }
  return quota > 0 && period > 0 ? quota / period : kNoQuota;
}

/// The least quota from `mount`/`group` up to `mount`.
double QuotaOnPath(const std::string& mount, std::string group, bool v2) {
  double quota = kNoQuota;
  while (true) {
    quota = std::min(quota, QuotaOf(mount + group, v2));
    const size_t slash = group.rfind('/');
    if (slash == std::string::npos) return quota;
    group.resize(slash);
  }
}

}  // namespace

std::vector<int> UsableCpus() {
  std::vector<std::pair<int, int>> ranked;
  // The mask of the main thread, not of the caller: a pool's worker is pinned to one CPU.
  for (size_t cpus = 1024; cpus <= (size_t{1} << 20); cpus *= 4) {
    cpu_set_t* set = CPU_ALLOC(cpus);
    if (set == nullptr) break;
    const size_t bytes = CPU_ALLOC_SIZE(cpus);
    const bool fits = sched_getaffinity(getpid(), bytes, set) == 0;
    for (size_t cpu = 0; fits && cpu < cpus; ++cpu) {
      if (CPU_ISSET_S(cpu, bytes, set)) ranked.emplace_back(SiblingRank(static_cast<int>(cpu)), static_cast<int>(cpu));
    }
    CPU_FREE(set);
    if (fits) break;
  }
  std::sort(ranked.begin(), ranked.end());
  std::vector<int> usable;
  for (const auto& [rank, cpu] : ranked) usable.push_back(cpu);
  if (usable.empty()) usable.push_back(0);
  return usable;
}

double CpuQuota(const std::string& root) {
  const Groups groups = ReadGroups(root);
  double quota = kNoQuota;
  std::ifstream mounts(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream fields(line);
    std::string skip, mount_root, mount, type, source, options;
    fields >> skip >> skip >> skip >> mount_root >> mount;
    while (fields >> skip && skip != "-") {
    }
    fields >> type >> source >> options;
    const bool v2 = type == "cgroup2";
    if (!v2 && !(type == "cgroup" && Lists(options, "cpu"))) continue;
    std::string group = v2 ? groups.v2 : groups.v1_cpu;
    // A container without its own cgroup namespace sees the host's path, while only the part below it is mounted.
    if (mount_root != "/" && group.compare(0, mount_root.size(), mount_root) == 0) group.erase(0, mount_root.size());
    quota = std::min(quota, QuotaOnPath(root + mount, group, v2));
  }
  return quota;
}

}  // namespace slipway
