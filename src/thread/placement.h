#pragma once

#include <string>
#include <vector>

namespace slipway {

/// The CPUs in the process's affinity mask, one of each physical core first, then their hyperthread siblings. So
/// neighbours in the list lie on distinct cores. Never empty.
std::vector<int> UsableCpus();

/// The process's CPU quota in CPUs: the least of its cgroup (version 2 or 1) and that group's parents; infinity without
/// one. `root` is put before the paths read ("" for the machine's own).
double CpuQuota(const std::string& root = "");

}  // namespace slipway
