#pragma once

#include <clocale>
#include <cstdint>
#include <string>
#include <string_view>

namespace slipway {

/// What a byte that begins no valid UTF-8 sequence decodes to.
inline constexpr char32_t kBadByte = 0xFFFFFFFF;

/// The code point at text[at], with `at` moved behind it. Overlong forms, surrogates and what is past U+10FFFF are not
/// valid.
char32_t DecodeUtf8(std::string_view text, size_t& at);
void AppendUtf8(char32_t c, std::string& out);

/// Upper and lower case of code points.
class CaseMapper {
 public:
  /// By the rules of a locale ("en_US"); one that the system does not have is taken for the plain Unicode rules, unless
  /// its language is known to have others: then Error(kUnsupported).
  explicit CaseMapper(const std::string& locale = "");
  ~CaseMapper();
  CaseMapper(const CaseMapper&) = delete;
  CaseMapper& operator=(const CaseMapper&) = delete;
  char32_t Lower(char32_t c) const;
  char32_t Upper(char32_t c) const;
  /// Bytes that are not UTF-8 stay as they are.
  std::string Lower(std::string_view text) const { return Map(text, &CaseMapper::Lower); }
  std::string Upper(std::string_view text) const { return Map(text, &CaseMapper::Upper); }

 private:
  std::string Map(std::string_view text, char32_t (CaseMapper::*map)(char32_t) const) const;
  locale_t locale_;
};

}  // namespace slipway
