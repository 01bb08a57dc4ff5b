#include "ops/text.h"

#include <cwctype>

#include <fmt/format.h>

#include "slipway/error.h"

namespace slipway {

char32_t DecodeUtf8(std::string_view text, size_t& at) {
  const auto first = static_cast<uint8_t>(text[at++]);
  if (first < 0x80) return first;
  const int more = first >= 0xF0 && first < 0xF5   ? 3
                   : first >= 0xE0 && first < 0xF0 ? 2
                                                   : first >= 0xC2 && first < 0xE0;
  if (more == 0 || text.size() - at < static_cast<size_t>(more)) return kBadByte;
  char32_t c = first & (0x3F >> more);
  for (int i = 0; i < more; ++i) {
    const auto next = static_cast<uint8_t>(text[at + i]);
    if ((next & 0xC0) != 0x80) return kBadByte;
    c = c << 6 | (next & 0x3F);
  }
  constexpr char32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
  if (c < kLeast[more] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) return kBadByte;
  at += more;
  return c;
}

void AppendUtf8(char32_t c, std::string& out) {
  const auto byte = [&](char32_t v) { out += static_cast<char>(v); };
  if (c < 0x80) return byte(c);
  if (c < 0x800) {
    byte(0xC0 | c >> 6);
  } else {
    if (c < 0x10000) {
      byte(0xE0 | c >> 12);
    } else {
      byte(0xF0 | c >> 18);
      byte(0x80 | (c >> 12 & 0x3F));
    }
    byte(0x80 | (c >> 6 & 0x3F));
  }
  byte(0x80 | (c & 0x3F));
}

CaseMapper::CaseMapper(const std::string& locale) {
  const auto open = [](const std::string& name) { return newlocale(LC_CTYPE_MASK, name.c_str(), nullptr); };
  locale_ = nullptr;
  if (!locale.empty()) {
    locale_ = open(locale.find('.') == std::string::npos ? locale + ".UTF-8" : locale);
    const std::string language = locale.substr(0, locale.find_first_of("_.-@"));
    if (!locale_ && (language == "tr" || language == "az" || language == "lt")) {
      throw Error(Code::kUnsupported,
                  fmt::format("this system has no locale '{:.100}', whose upper and lower case are its own.\n"
                              "  Install it, or use another.",
                              locale));
    }
  }
  if (!locale_) locale_ = open("C.UTF-8");
  if (!locale_) throw Error(Code::kUnsupported, "this system has no locale C.UTF-8.");
}
CaseMapper::~CaseMapper() { freelocale(locale_); }

char32_t CaseMapper::Lower(char32_t c) const { return c == kBadByte ? c : towlower_l(c, locale_); }
char32_t CaseMapper::Upper(char32_t c) const { return c == kBadByte ? c : towupper_l(c, locale_); }

std::string CaseMapper::Map(std::string_view text, char32_t (CaseMapper::*map)(char32_t) const) const {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const char32_t c = DecodeUtf8(text, at);
    if (c == kBadByte) {
      out += text[begin];
    } else {
      AppendUtf8((this->*map)(c), out);
    }
  }
  return out;
}

}  // namespace slipway
