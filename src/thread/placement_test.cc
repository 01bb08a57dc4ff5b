#include "thread/placement.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <set>

namespace slipway {
namespace {

constexpr double kNone = std::numeric_limits<double>::infinity();
constexpr char kV2Mount[] = "30 23 0:26 / /cg rw shared:4 - cgroup2 cgroup2 rw\n";
constexpr char kV1Mount[] = "33 32 0:30 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n";

TEST(UsableCpus, AreDistinct) {
  const auto cpus = UsableCpus();
  EXPECT_FALSE(cpus.empty());
  EXPECT_EQ(std::set<int>(cpus.begin(), cpus.end()).size(), cpus.size());
}

TEST(CpuQuota, LeastOnThePath) {
  struct Case {
    std::string name;
    std::map<std::string, std::string> files;
    double want;
  };
  const Case cases[] = {
      {"nothing", {}, kNone},
      {"v2 max",
       {{"proc/self/cgroup", "0::/a\n"}, {"proc/self/mountinfo", kV2Mount}, {"cg/a/cpu.max", "max 100000\n"}},
       kNone},
      {"v2 leaf",
       {{"proc/self/cgroup", "0::/a/b\n"}, {"proc/self/mountinfo", kV2Mount}, {"cg/a/b/cpu.max", "150000 100000\n"}},
       1.5},
      {"v2 parent",
       {{"proc/self/cgroup", "0::/a/b\n"},
        {"proc/self/mountinfo", kV2Mount},
        {"cg/a/cpu.max", "50000 100000\n"},
        {"cg/a/b/cpu.max", "max 100000\n"}},
       0.5},
      {"v2 root of a namespace",
       {{"proc/self/cgroup", "0::/\n"}, {"proc/self/mountinfo", kV2Mount}, {"cg/cpu.max", "400000 100000\n"}},
       4},
      {"v2 mounted from below",
       {{"proc/self/cgroup", "0::/docker/x/y\n"},
        {"proc/self/mountinfo", "30 23 0:26 /docker/x /cg rw - cgroup2 cgroup2 rw\n"},
        {"cg/y/cpu.max", "300000 100000\n"}},
       3},
      {"v1",
       {{"proc/self/cgroup", "4:memory:/m\n3:cpu,cpuacct:/a\n0::/\n"},
        {"proc/self/mountinfo", kV1Mount},
        {"cg/cpu/a/cpu.cfs_quota_us", "200000\n"},
        {"cg/cpu/a/cpu.cfs_period_us", "100000\n"}},
       2},
      {"v1 without a quota",
       {{"proc/self/cgroup", "3:cpu:/a\n"},
        {"proc/self/mountinfo", kV1Mount},
        {"cg/cpu/a/cpu.cfs_quota_us", "-1\n"},
        {"cg/cpu/a/cpu.cfs_period_us", "100000\n"}},
       kNone},
      {"nonsense",
       {{"proc/self/cgroup", "\n:\n0::\n"},
        {"proc/self/mountinfo", "a\n- -\n" + std::string(kV2Mount)},
        {"cg/cpu.max", "x\n"}},
       kNone},
  };
  const auto root = std::filesystem::temp_directory_path() / ("slipway_quota_" + std::to_string(::getpid()));
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    std::filesystem::remove_all(root);
    for (const auto& [path, text] : c.files) {
      std::filesystem::create_directories((root / path).parent_path());
      std::ofstream(root / path) << text;
    }
    EXPECT_EQ(CpuQuota(root.string()), c.want);
  }
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace slipway
