#include "ops/images/images.h"

#include <gtest/gtest.h>

#include <string>

namespace slipway::images {
namespace {

Bytes BytesOf(const std::string& text) { return {reinterpret_cast<const uint8_t*>(text.data()), text.size()}; }

TEST(Inflate, ReadsStoredFixedAndRepeated) {
  using namespace std::string_literals;
  struct Case {
    std::string zlib, want;
  };
  const Case cases[] = {
      {"\x78\x01\x01\x05\x00\xfa\xffhello"s, "hello"},
      {"\x78\x9c\xcb\x48\xcd\xc9\xc9\x07\x00"s, "hello"},
      {"\x78\xda\x4b\x4c\x84\x01\x00"s, std::string(10, 'a')},
      {"\x78\x9c\xcb\x48"s, "h"},                     // cut off
      {"\x78\x9d\xcb\x48\xcd\xc9\xc9\x07\x00"s, ""},  // a broken header
      {"", ""},
  };
  for (const Case& c : cases) {
    const std::vector<uint8_t> got = Inflate(BytesOf(c.zlib), 100);
    EXPECT_EQ(std::string(got.begin(), got.end()).substr(0, c.want.size()), c.want);
    if (c.zlib.size() > 5) EXPECT_EQ(got.size(), c.want.size());
  }
  EXPECT_EQ(Inflate(BytesOf(cases[2].zlib), 4).size(), 4u);
}

TEST(Decode, GivesNothingForWhatIsCutOff) {
  const std::string pnm = "P6 2 2 255\n0123456789ab";
  ASSERT_TRUE(Decode(BytesOf(pnm)));
  EXPECT_EQ(Decode(BytesOf(pnm))->pixels[5], '5');
  for (size_t n = 0; n < pnm.size(); ++n) EXPECT_FALSE(Decode(BytesOf(pnm.substr(0, n)))) << n;
  for (const char* text : {"P6 -1 2 255\n", "P5 99999999999999 9 255\n", "P2 2 2 255\n1 2 3", "P1 3 1\n01", "BM", "P4"})
    EXPECT_FALSE(Decode(BytesOf(text))) << text;
  ASSERT_TRUE(Decode(BytesOf("P1 3 1\n010")));
  EXPECT_EQ(Decode(BytesOf("P1 3 1\n010"))->pixels, (std::vector<uint8_t>{255, 0, 255}));
}

}  // namespace
}  // namespace slipway::images
