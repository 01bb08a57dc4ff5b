#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace slipway {

/// A regular expression in RE2's syntax, matched in time proportional to the text times the expression. There are no
/// captures to report, so groups only group, and a lazy repetition is as good as a greedy one. Of Unicode's properties
/// the general categories are known, scripts are not.
class Regex {
 public:
  /// Throws Error(kBadGraph) where the pattern is not valid, Error(kUnsupported) for scripts.
  explicit Regex(std::string_view pattern);
  /// Whether the whole text matches. What is not UTF-8 is matched by \C alone.
  bool FullMatch(std::string_view text) const;

  using Range = std::pair<char32_t, char32_t>;  ///< both ends included
  enum class Kind : uint8_t { kRanges, kAnyByte, kSplit, kAssert, kMatch };
  enum class Assertion : uint8_t { kTextBegin, kTextEnd, kLineBegin, kLineEnd, kWord, kNotWord };
  struct Step {
    Kind kind;
    Assertion assertion = Assertion::kTextBegin;
    int32_t next = 0;   ///< a split has two
    int32_t other = 0;  ///< of a split; of kRanges the first range
    int32_t end = 0;    ///< of kRanges behind the last
  };

 private:
  bool Takes(const Step& step, char32_t c) const;

  std::vector<Step> steps_;
  std::vector<Range> ranges_;
  int32_t start_ = 0;
};

}  // namespace slipway
