#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ops/regex.h"
#include "ops/testing.h"

namespace slipway {
namespace {

using ::testing::ElementsAre;
using testing::RunOp;
using testing::RunOp1;
using testing::ToVector;
using Strings = std::vector<std::string>;
using Ints = std::vector<int64_t>;

Tensor S(Shape shape, Strings v) { return Tensor::From<std::string>(std::move(shape), v); }

TEST(Regex, FullMatch) {
  const struct {
    const char* pattern;
    const char* text;
    bool want;
  } cases[] = {
      {"abc", "abc", true},
      {"abc", "abcd", false},
      {"", "", true},
      {"a|bc*", "bccc", true},
      {"(a|b)*c", "ababc", true},
      {"a{2,3}", "aaaa", false},
      {"a{,2}", "a{,2}", true},
      {"[^a-c\\d]+", "xyz", true},
      {"[]a-]+", "-]a", true},
      {"[[:^digit:]]+", "a1", false},
      {".", "\xC3\xA9", true},
      {".", "\n", false},
      {"(?s).", "\n", true},
      {".", "\xFF", false},
      {"\\C", "\xFF", true},
      {"\\C\\C", "\xC3\xA9", true},
      {"(?i)stra\xC3\x9F"
       "E",
       "STRA\xC3\x9F"
       "e",
       true},
      {"(?i:a)b", "AB", false},
      {"\\p{Lu}\\pL+", "Ab\xC3\xA9", true},
      {"\\PN", "1", false},
      {"(?m)^a$\\n^b$", "a\nb", true},
      {"^a$\\nb", "a\nb", false},
      {"\\bfoo\\b.*", "foo bar", true},
      {"\\bfoo\\b.*", "foobar", false},
      {"\\Qa.*\\E", "a.*", true},
      {"\\x{41}\\101\\x41", "AAA", true},
      {"(a*)*", "aaa", true},
      {"(|a)+", "aa", true},
  };
  for (const auto& c : cases) EXPECT_EQ(Regex(c.pattern).FullMatch(c.text), c.want) << c.pattern << " on " << c.text;
}

TEST(Regex, TakesLinearTime) {
  EXPECT_FALSE(Regex("(a*)*b").FullMatch(std::string(20000, 'a')));
  EXPECT_FALSE(Regex("(a|aa)+$b").FullMatch(std::string(20000, 'a')));
  EXPECT_TRUE(Regex("(a?){100}a{100}").FullMatch(std::string(100, 'a')));
}

TEST(Regex, RefusesWhatIsNotValid) {
  for (const char* pattern : {"(", ")", "*a", "a**", "[", "[b-a]", "\\1", "(?=a)", "a{1001}", "a{3,2}", "\\Z", "\\xg",
                              "[[:foo:]]", "(?z)", "\\", "\\p{Greek}", "((a{1000}){1000}){1000}", "\xFF"}) {
    EXPECT_THROW(Regex{pattern}, Error) << pattern;
  }
}

TEST(Strings, ConcatAndSplit) {
  EXPECT_THAT(ToVector<std::string>(RunOp1({"StringConcat", {S({2, 1}, {"a", "b"}), S({2}, {"x", "y"})}})),
              ElementsAre("ax", "ay", "bx", "by"));
  const struct {
    Strings x;
    std::string delimiter;
    int64_t most;
    Strings want;
    Ints counts;
  } cases[] = {
      {{"a b  c", "", " a\t"}, "", -1, {"a", "b", "c", "", "", "", "a", "", ""}, {3, 0, 1}},
      {{"a  b c ", "x"}, "", 1, {"a", "b c", "x", ""}, {2, 1}},
      {{"a,,b", ","}, ",", -1, {"a", "", "b", "", "", ""}, {3, 2}},
      {{"a--b---c"}, "--", 1, {"a", "b---c"}, {2}},
  };
  for (const auto& c : cases) {
    const auto out = RunOp({"StringSplit",
                            {S({static_cast<int64_t>(c.x.size())}, c.x)},
                            {{"delimiter", c.delimiter}, {"maxsplit", c.most}},
                            2});
    EXPECT_EQ(ToVector<std::string>(out[0].tensor()), c.want);
    EXPECT_EQ(ToVector<int64_t>(out[1].tensor()), c.counts);
  }
}

TEST(Strings, Normalizer) {
  const Tensor x = S({3}, {"Monday", "\xC3\x89T\xC3\x89", "ok"});
  EXPECT_THAT(
      ToVector<std::string>(RunOp1(
          {"StringNormalizer", {x}, {{"stopwords", Strings{"MONDAY"}}, {"case_change_action", std::string("LOWER")}}})),
      ElementsAre("\xC3\xA9t\xC3\xA9", "ok"));
  EXPECT_THAT(
      ToVector<std::string>(RunOp1(
          {"StringNormalizer", {S({1, 1}, {"a"})}, {{"stopwords", Strings{"a"}}, {"is_case_sensitive", int64_t{1}}}})),
      ElementsAre(""));
}

TEST(Strings, TfIdf) {
  const auto count = [](const char* mode, int64_t skips) {
    return ToVector<float>(RunOp1({"TfIdfVectorizer",
                                   {Tensor::From<int64_t>({5}, {2, 5, 2, 7, 5})},
                                   {{"mode", std::string(mode)},
                                    {"min_gram_length", int64_t{1}},
                                    {"max_gram_length", int64_t{2}},
                                    {"max_skip_count", skips},
                                    {"ngram_counts", Ints{0, 2}},
                                    {"ngram_indexes", Ints{3, 0, 1}},
                                    {"pool_int64s", Ints{2, 9, 2, 5}},
                                    {"weights", std::vector<float>{10, 20, 30}}}}));
  };
  EXPECT_THAT(count("TF", 0), ElementsAre(0, 1, 0, 2));
  EXPECT_THAT(count("TF", 1), ElementsAre(0, 2, 0, 2));
  EXPECT_THAT(count("IDF", 1), ElementsAre(0, 30, 0, 10));
  EXPECT_THAT(count("TFIDF", 1), ElementsAre(0, 60, 0, 20));
}

}  // namespace
}  // namespace slipway
