#include "print.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "session/describe.h"

namespace slipway::cli {

void PrintJson(const Json& json) {
  // Names in a model need not be UTF-8; JSON must be.
  fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
}

void PrintTable(const std::vector<std::string>& heading, const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const std::string& h : heading) widths.push_back(h.size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  auto print = [&](const std::vector<std::string>& row) {
    std::string line = fmt::format("{:<{}}", row[0], widths[0]);
    for (size_t i = 1; i < row.size(); ++i) line += fmt::format("  {:>{}}", row[i], widths[i]);
    fmt::print("{}\n", line);
  };
  print(heading);
  for (const auto& row : rows) print(row);
}

std::string Scaled(double number) {
  constexpr std::string_view kUnits[] = {"", " k", " M", " G", " T", " P"};
  size_t unit = 0;
  for (; std::abs(number) >= 1000 && unit + 1 < std::size(kUnits); ++unit) number /= 1000;
  return unit == 0 ? fmt::format("{:.0f}", number) : fmt::format("{:.3g}{}", number, kUnits[unit]);
}

std::string Bytes(int64_t bytes) {
  const std::string scaled = Scaled(static_cast<double>(bytes));
  return scaled + (scaled.find(' ') == std::string::npos ? " B" : "B");
}

std::string TypeAndShape(const ValueInfo& info) { return DescribeValue(info); }

Json ToJson(const ValueInfo& info) {
  Json json = {{"name", info.name}, {"type", info.type}, {"shape", nullptr}};
  if (!info.has_rank) return json;
  json["shape"] = Json::array();
  for (const AxisInfo& axis : info.shape) {
    json["shape"].push_back(axis.size >= 0 ? Json(axis.size) : axis.symbol.empty() ? Json() : Json(axis.symbol));
  }
  return json;
}

Json ToJson(const Shape& shape) { return std::vector<int64_t>(shape.begin(), shape.end()); }

namespace {

/// A second, of what takes `ms` in a run.
double Rate(int64_t work, double ms) { return ms > 0 ? static_cast<double>(work) / ms * 1e3 : 0; }

/// What an entry does a second, and how far that is from the peaks: "812 G", "84%", …; "-" where there is nothing.
std::vector<std::string> Rates(const ProfileEntry& e, const kernels::Peaks& peaks) {
  std::vector<std::string> out;
  for (const auto& [work, peak] : {std::pair(e.flops, peaks.flops), std::pair(e.bytes, peaks.bytes)}) {
    const double rate = Rate(work, e.milliseconds);
    out.push_back(work > 0 ? Scaled(rate) : "-");
    out.push_back(work > 0 && peak > 0 ? fmt::format("{:.0f}%", rate / peak * 100) : "-");
  }
  return out;
}

}  // namespace

Json ToJson(const Profile& profile, const kernels::Peaks& peaks) {
  const bool rates = peaks.flops > 0;
  auto list = [&](const std::vector<ProfileEntry>& entries, bool names) {
    Json json = Json::array();
    for (const ProfileEntry& e : entries) {
      Json entry = {{"op_type", e.op_type}, {"calls", e.calls}, {"ms", e.milliseconds}, {"share", e.share}};
      if (names) entry["name"] = e.name;
      if (rates) {
        entry["flops"] = e.flops;
        entry["bytes"] = e.bytes;
        entry["flops_per_second"] = Rate(e.flops, e.milliseconds);
        entry["bytes_per_second"] = Rate(e.bytes, e.milliseconds);
      }
      json.push_back(std::move(entry));
    }
    return json;
  };
  Json json = {{"operators", list(profile.operators, false)}, {"nodes", list(profile.nodes, true)}};
  if (rates) json["peak"] = {{"flops_per_second", peaks.flops}, {"bytes_per_second", peaks.bytes}};
  return json;
}

void PrintProfile(const Profile& profile, size_t max_nodes, const kernels::Peaks& peaks) {
  const bool rates = peaks.flops > 0;
  auto rows = [&](const std::vector<ProfileEntry>& entries, size_t count, bool names) {
    std::vector<std::vector<std::string>> out;
    for (size_t i = 0; i < count; ++i) {
      const ProfileEntry& e = entries[i];
      out.push_back({e.op_type, std::to_string(e.calls), fmt::format("{:.3f}", e.milliseconds),
                     fmt::format("{:.1f}%", e.share * 100)});
      if (names) out.back().insert(out.back().begin(), e.name);
      if (!rates) continue;
      for (std::string& rate : Rates(e, peaks)) out.back().push_back(std::move(rate));
    }
    return out;
  };
  auto heading = [&](std::vector<std::string> names) {
    if (rates) names.insert(names.end(), {"FLOP/s", "of peak", "B/s", "of peak"});
    return names;
  };
  if (rates) {
    fmt::print("measured peaks: {}FLOP/s of multiply-adds, {}B/s read\n\n", Scaled(peaks.flops), Scaled(peaks.bytes));
  }
  PrintTable(heading({"operator", "calls", "ms", "share"}), rows(profile.operators, profile.operators.size(), false));
  const size_t shown = max_nodes == 0 ? profile.nodes.size() : std::min(max_nodes, profile.nodes.size());
  fmt::print("\n");
  PrintTable(heading({"node", "operator", "calls", "ms", "share"}), rows(profile.nodes, shown, true));
  if (shown < profile.nodes.size()) fmt::print("... {} more; --json lists all\n", profile.nodes.size() - shown);
}

}  // namespace slipway::cli
