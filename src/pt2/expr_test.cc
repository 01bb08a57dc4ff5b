#include "pt2/expr.h"

#include <gtest/gtest.h>

#include <string>

#include "slipway/error.h"

namespace slipway::pt2 {
namespace {

TEST(Expr, ReadsWhatSympyWrites) {
  const std::string s = "Symbol('s77', positive=True, integer=True)";
  const std::pair<std::string, const char*> cases[] = {
      {"Integer(5)", "5"},
      {"Integer(-1)", "-1"},
      {s, "s77"},
      {"Add(" + s + ", Integer(1))", "s77 + 1"},
      {"Mul(Integer(5), " + s + ")", "5*s77"},
      {"Add(Mul(Integer(-1), " + s + "), " + s + ")", "0"},
      {"Mul(Integer(2), Add(" + s + ", Integer(3)))", "2*s77 + 6"},
      {"FloorDiv(Add(" + s + ", Integer(-1)), Integer(2))", "((s77 + -1)//2)"},
      {"FloorDiv(Integer(-7), Integer(2))", "-4"},
      {"Mod(Integer(-7), Integer(3))", "2"},
      {"PythonMod(" + s + ", Integer(3))", "PythonMod(s77, 3)"},
      {"Max(Integer(1), Integer(4))", "4"},
      {"Pow(" + s + ", Integer(2))", "s77*s77"},
      {"IntTrueDiv(Integer(1), Integer(2))", "0.5"},
      {"Float('0.5', precision=53)", "0.5"},
      {"Rational(1, 4)", "0.25"},
      {"Equality(Integer(2), Integer(2))", "true"},
      {"StrictLessThan(Integer(2), Integer(2))", "false"},
      {"true", "true"},
  };
  for (const auto& [text, want] : cases) EXPECT_EQ(Expr::Parse(text).text(), want) << text;
}

TEST(Expr, SaysWhereTextIsNone) {
  std::string deep;
  for (int i = 0; i < 5000; ++i) deep += "Max(";
  const std::string cases[] = {"",
                               "(",
                               "Add(",
                               "Add()",
                               "Symbol(s)",
                               "Symbol('s'",
                               "Integer('a')",
                               "Integer(1) x",
                               "Integer(99999999999999999999)",
                               "Rational(1, 0)",
                               "Float('x')",
                               "1e",
                               deep};
  for (const std::string& text : cases) {
    try {
      Expr::Parse(text);
      ADD_FAILURE() << text.substr(0, 40) << " is taken for an expression";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Code::kBadFile) << text.substr(0, 40);
    }
  }
}

TEST(Expr, OverflowIsAnError) {
  EXPECT_THROW(Expr::Parse("Mul(Integer(9223372036854775807), Integer(2))"), Error);
  EXPECT_THROW(Expr::Parse("Add(Integer(9223372036854775807), Integer(1))"), Error);
}

TEST(Expr, EqualTextsAreEqualHoweverTheyAreBuilt) {
  const Expr s = Expr::Symbol("s"), t = Expr::Symbol("t");
  EXPECT_EQ(s + t + Expr(1), Expr(1) + t + s);
  EXPECT_EQ(s * t * Expr(2), Expr(2) * (t * s));
  EXPECT_EQ(s + s, Expr(2) * s);
  EXPECT_EQ(s - s, Expr(0));
  EXPECT_EQ(FloorDiv(s, 1), s);
  EXPECT_FALSE(s == t);
}

TEST(Expr, KnowsTheLeastOfSimpleForms) {
  const auto low = [](const std::string&) { return int64_t{1}; };
  const Expr s = Expr::Symbol("s");
  EXPECT_EQ((s + Expr(2)).LowerBound(low), 3);
  EXPECT_EQ((s * Expr(3) - Expr(1)).LowerBound(low), 2);
  EXPECT_EQ(FloorDiv(s - Expr(1), 2).LowerBound(low), 0);
  EXPECT_EQ((Expr(4) - s).LowerBound(low), std::nullopt);
}

TEST(Expr, IsASizeOfTheGraph) {
  const Expr s = Expr::Symbol("s");
  const auto rename = [](const std::string& name) { return name == "s" ? std::string("batch") : name; };
  EXPECT_EQ((s * Expr(2) + Expr(1)).ToDim(rename).ToString(), "2 * batch + 1");
  EXPECT_TRUE(FloorDiv(s * Expr(4), 2).ToDim(rename) == Dim(2) * Dim::Symbol("batch"));
  EXPECT_EQ(Expr(7).ToDim(rename).value(), 7);
}

}  // namespace
}  // namespace slipway::pt2
