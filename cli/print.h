#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "slipway/session.h"
#include "tools/bench.h"

namespace slipway::cli {

/// Keys stay in the order they are set.
using Json = nlohmann::ordered_json;

void PrintJson(const Json& json);
/// Rows under a heading, columns as wide as they need; the first column is aligned left, the rest right.
void PrintTable(const std::vector<std::string>& heading, const std::vector<std::vector<std::string>>& rows);

/// "12.3 MB" (powers of 1000).
std::string Bytes(int64_t bytes);
/// "1.82 G".
std::string Scaled(double number);
/// "float [batch, 3, 224, 224]".
std::string TypeAndShape(const ValueInfo& info);

Json ToJson(const ValueInfo& info);
Json ToJson(const Shape& shape);
/// With the rates beside the machine's peaks, where those are known.
Json ToJson(const Profile& profile, const kernels::Peaks& peaks = {});
/// By operator type, then the slowest nodes (0: all); with rates and their share of the machine's peaks, where known.
void PrintProfile(const Profile& profile, size_t max_nodes, const kernels::Peaks& peaks = {});

}  // namespace slipway::cli
