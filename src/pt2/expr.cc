#include "pt2/expr.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "slipway/error.h"

namespace slipway::pt2 {
namespace {

constexpr int kMaxDepth = 200;

/// Floor division as Python's; b is not 0.
int64_t Floor(int64_t a, int64_t b) {
  if (b == -1) return static_cast<int64_t>(-static_cast<uint64_t>(a));
  return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

/// The result of a function on whole numbers, where that is one.
std::optional<Expr> OfInts(std::string_view name, const std::vector<int64_t>& v) {
  const auto two = [&](auto f) -> std::optional<Expr> {
    if (v.size() != 2) return std::nullopt;
    return f(v[0], v[1]);
  };
  if (name == "FloorDiv" || name == "CleanDiv") {
    return two([](int64_t a, int64_t b) { return b == 0 ? std::optional<Expr>() : Expr(Floor(a, b)); });
  }
  if (name == "CeilDiv") {
    return two([](int64_t a, int64_t b) {
      return b == 0 || b == -1 ? std::optional<Expr>() : Expr(Floor(a, b) + (a % b != 0));
    });
  }
  if (name == "Mod" || name == "PythonMod") {
    return two([](int64_t a, int64_t b) {
      if (b == 0) return std::optional<Expr>();
      if (b == -1) return std::optional<Expr>(0);
      const int64_t m = a % b;
      return std::optional<Expr>(m != 0 && (m < 0) != (b < 0) ? m + b : m);
    });
  }
  if (name == "Max" && !v.empty()) return Expr(*std::max_element(v.begin(), v.end()));
  if (name == "Min" && !v.empty()) return Expr(*std::min_element(v.begin(), v.end()));
  const auto compare = [&](auto f) { return two([&](int64_t a, int64_t b) { return Expr::Bool(f(a, b)); }); };
  if (name == "Equality") return compare(std::equal_to<>());
  if (name == "Unequality") return compare(std::not_equal_to<>());
  if (name == "StrictLessThan") return compare(std::less<>());
  if (name == "LessThan") return compare(std::less_equal<>());
  if (name == "StrictGreaterThan") return compare(std::greater<>());
  if (name == "GreaterThan") return compare(std::greater_equal<>());
  if ((name == "Identity" || name == "TruncToInt" || name == "CeilToInt" || name == "FloorToInt") && v.size() == 1) {
    return Expr(v[0]);
  }
  if ((name == "IntTrueDiv" || name == "FloatTrueDiv") && v.size() == 2 && v[1] != 0) {
    return Expr::Float(static_cast<double>(v[0]) / static_cast<double>(v[1]));
  }
  if (name == "ToFloat" && v.size() == 1) return Expr::Float(static_cast<double>(v[0]));
  return std::nullopt;
}

/// a op b, unless that leaves int64.
std::optional<int64_t> Sum(int64_t a, int64_t b) {
  int64_t r;
  return __builtin_add_overflow(a, b, &r) ? std::nullopt : std::optional(r);
}
std::optional<int64_t> Product(int64_t a, int64_t b) {
  int64_t r;
  return __builtin_mul_overflow(a, b, &r) ? std::nullopt : std::optional(r);
}

[[noreturn]] void Overflow() {
  throw Error(Code::kBadFile, "the program has a size expression whose numbers leave 64 bits.");
}

}  // namespace

Expr::Expr(int64_t value) : node_(nullptr) {
  static const auto small = [] {
    std::vector<std::shared_ptr<const Node>> nodes;
    for (int64_t i = 0; i < 64; ++i) {
      nodes.push_back(std::make_shared<const Node>(Node{.kind = Kind::kInt, .number = i, .text = std::to_string(i)}));
    }
    return nodes;
  }();
  if (value >= 0 && value < 64) {
    node_ = small[value];
  } else {
    node_ = std::make_shared<const Node>(Node{.kind = Kind::kInt, .number = value, .text = std::to_string(value)});
  }
}

Expr Expr::Make(Node node) { return Expr(std::make_shared<const Node>(std::move(node))); }
Expr Expr::Float(double value) {
  return Make({.kind = Kind::kFloat, .real = value, .text = fmt::format("{:#}", value)});
}
Expr Expr::Bool(bool value) { return Make({.kind = Kind::kBool, .number = value, .text = value ? "true" : "false"}); }
Expr Expr::Symbol(std::string name) {
  std::string text = name;
  return Make({.kind = Kind::kSymbol, .name = std::move(name), .text = std::move(text)});
}
Expr FloorDiv(const Expr& a, const Expr& b) { return Expr::Call("FloorDiv", {a, b}); }

namespace {

struct Term {
  int64_t coefficient;
  std::optional<Expr> rest;  // none: a plain number
};

/// 3*a*b as 3 and a*b.
Term SplitTerm(const Expr& e) {
  if (e.is_int()) return {e.int_value(), std::nullopt};
  if (e.kind() == Expr::Kind::kCall && e.name() == "Mul" && e.args()[0].is_int()) {
    std::vector<Expr> rest(e.args().begin() + 1, e.args().end());
    return {e.args()[0].int_value(), rest.size() == 1 ? rest[0] : Expr::Call("Mul", rest)};
  }
  return {1, e};
}

std::vector<Expr> Flatten(std::string_view name, const std::vector<Expr>& args) {
  std::vector<Expr> flat;
  for (const Expr& a : args) {
    if (a.kind() == Expr::Kind::kCall && a.name() == name) {
      flat.insert(flat.end(), a.args().begin(), a.args().end());
    } else {
      flat.push_back(a);
    }
  }
  return flat;
}

bool AnyFloat(const std::vector<Expr>& args) {
  return std::any_of(args.begin(), args.end(), [](const Expr& e) { return e.kind() == Expr::Kind::kFloat; });
}

}  // namespace

Expr Expr::Call(std::string_view name, std::vector<Expr> args) {
  const bool all_ints = std::all_of(args.begin(), args.end(), [](const Expr& e) { return e.is_int(); });
  const auto joined = [](const std::vector<Expr>& list, std::string_view sep, bool bracket_sums) {
    std::string text;
    for (const Expr& e : list) {
      const bool bracket = bracket_sums && e.kind() == Kind::kCall && e.name() == "Add";
      text += fmt::format("{}{}{}{}", text.empty() ? "" : sep, bracket ? "(" : "", e.text(), bracket ? ")" : "");
    }
    return text;
  };
  if (name == "Add" && !AnyFloat(args)) {
    int64_t constant = 0;
    std::map<std::string, Term> terms;
    for (const Expr& a : Flatten("Add", args)) {
      Term t = SplitTerm(a);
      int64_t& sum = t.rest ? terms.try_emplace(t.rest->text(), Term{0, t.rest}).first->second.coefficient : constant;
      const auto total = slipway::pt2::Sum(sum, t.coefficient);
      if (!total) Overflow();
      sum = *total;
    }
    std::vector<Expr> sum;
    for (const auto& [text, t] : terms) {
      if (t.coefficient == 1) sum.push_back(*t.rest);
      if (t.coefficient != 0 && t.coefficient != 1) sum.push_back(Call("Mul", {Expr(t.coefficient), *t.rest}));
    }
    if (constant != 0 || sum.empty()) sum.emplace_back(constant);
    if (sum.size() == 1) return sum[0];
    std::string text = joined(sum, " + ", false);
    return Make({.kind = Kind::kCall, .name = "Add", .args = std::move(sum), .text = std::move(text)});
  }
  if (name == "Mul" && !AnyFloat(args)) {
    int64_t constant = 1;
    std::vector<Expr> factors;
    for (const Expr& a : Flatten("Mul", args)) {
      if (!a.is_int()) {
        factors.push_back(a);
        continue;
      }
      const auto product = Product(constant, a.int_value());
      if (!product) Overflow();
      constant = *product;
    }
    constexpr size_t kMostFactors = 256;
    if (factors.size() > kMostFactors) throw Error(Code::kBadFile, "the program has a size of far too many factors.");
    if (constant == 0 || factors.empty()) return Expr(constant);
    if (constant == 1 && factors.size() == 1) return factors[0];
    if (factors.size() == 1 && factors[0].kind() == Kind::kCall && factors[0].name() == "Add") {
      std::vector<Expr> sum;
      for (const Expr& t : factors[0].args()) sum.push_back(Call("Mul", {Expr(constant), t}));
      return Call("Add", std::move(sum));
    }
    std::sort(factors.begin(), factors.end(), [](const Expr& a, const Expr& b) { return a.text() < b.text(); });
    if (constant != 1) factors.insert(factors.begin(), Expr(constant));
    std::string text = joined(factors, "*", true);
    return Make({.kind = Kind::kCall, .name = "Mul", .args = std::move(factors), .text = std::move(text)});
  }
  if (name == "Pow" && args.size() == 2 && args[1].is_int() && args[1].int_value() >= 1 && args[1].int_value() <= 8) {
    return Call("Mul", std::vector<Expr>(static_cast<size_t>(args[1].int_value()), args[0]));
  }
  if (name == "PowByNatural") return Call("Pow", std::move(args));
  if ((name == "FloorDiv" || name == "CleanDiv") && args.size() == 2 && args[1] == Expr(1)) return args[0];
  if (all_ints && !args.empty()) {
    std::vector<int64_t> values;
    for (const Expr& e : args) values.push_back(e.int_value());
    if (auto result = OfInts(name, values)) return *result;
  }
  if ((name == "Max" || name == "Min") && args.size() == 1) return args[0];
  if (name == "Identity" && args.size() == 1) return args[0];
  if (name == "FloorDiv" || name == "CleanDiv") {
    const auto bracket = [](const Expr& e) {
      return e.kind() == Kind::kCall && (e.name() == "Add" || e.name() == "Mul") ? fmt::format("({})", e.text())
                                                                                 : e.text();
    };
    std::string text = args.size() == 2 ? fmt::format("({}//{})", bracket(args[0]), bracket(args[1])) : "//";
    return Make({.kind = Kind::kCall, .name = "FloorDiv", .args = std::move(args), .text = std::move(text)});
  }
  std::string text = fmt::format("{}({})", name, joined(args, ", ", false));
  return Make({.kind = Kind::kCall, .name = std::string(name), .args = std::move(args), .text = std::move(text)});
}

namespace {

/// Reads srepr by recursive descent.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Expr Parse() {
    Expr e = ParseExpr(0);
    Skip();
    if (at_ != text_.size()) Fail();
    return e;
  }

 private:
  [[noreturn]] void Fail() const {
    throw Error(Code::kBadFile, fmt::format("the program's expression '{}' is not one that sympy writes (at {}).",
                                            text_.substr(0, 200), at_));
  }
  void Skip() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool Eat(char c) {
    Skip();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  char Peek() {
    Skip();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  std::string_view Word() {
    Skip();
    const size_t start = at_;
    while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '_')) ++at_;
    return text_.substr(start, at_ - start);
  }
  std::string String() {
    const char quote = Peek();
    if (quote != '\'' && quote != '"') Fail();
    const size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) Fail();
    std::string s(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return s;
  }
  Expr Number() {
    Skip();
    const size_t start = at_;
    while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '.' ||
                                  text_[at_] == '-' || text_[at_] == '+')) {
      ++at_;
    }
    return ToNumber(text_.substr(start, at_ - start));
  }
  Expr ToNumber(std::string_view s) {
    int64_t i;
    const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), i);
    if (error == std::errc() && end == s.data() + s.size()) return i;
    double d;
    const auto [end2, error2] = std::from_chars(s.data(), s.data() + s.size(), d);
    if (error2 == std::errc() && end2 == s.data() + s.size()) return Expr::Float(d);
    Fail();
  }
  /// What is left of a call's arguments after the ones that count: "positive=True, integer=True)".
  void SkipKeywords() {
    while (Eat(',')) {
      Word();
      if (!Eat('=')) Fail();
      if (Word().empty()) Fail();
    }
    if (!Eat(')')) Fail();
  }

  Expr ParseExpr(int depth) {
    if (depth > kMaxDepth) Fail();
    const char c = Peek();
    if (c == '-' || std::isdigit(static_cast<unsigned char>(c))) return Number();
    const std::string_view word = Word();
    if (word.empty()) Fail();
    if (word == "true" || word == "True") return Expr::Bool(true);
    if (word == "false" || word == "False") return Expr::Bool(false);
    if (word == "oo" || word == "int_oo") return std::numeric_limits<int64_t>::max();
    if (!Eat('(')) Fail();
    if (word == "Symbol" || word == "Dummy") {
      Expr e = Expr::Symbol(String());
      SkipKeywords();
      return e;
    }
    if (word == "Float") {
      Expr e = ToNumber(String());
      SkipKeywords();
      return e.is_int() ? Expr::Float(e.value()) : e;
    }
    std::vector<Expr> args;
    while (Peek() != ')') {
      if (!args.empty() && !Eat(',')) Fail();
      args.push_back(ParseExpr(depth + 1));
    }
    Eat(')');
    if (word == "Integer") {
      if (args.size() != 1 || !args[0].is_int()) Fail();
      return args[0];
    }
    if (word == "Rational") {
      if (args.size() != 2 || !args[0].is_int() || !args[1].is_int() || args[1].int_value() == 0) Fail();
      return Expr::Float(args[0].value() / args[1].value());
    }
    if ((word == "Add" || word == "Mul") && args.empty()) Fail();
    const bool two =
        word == "FloorDiv" || word == "CleanDiv" || word == "CeilDiv" || word == "Mod" || word == "PythonMod";
    if (two && args.size() != 2) Fail();
    return Expr::Call(word, std::move(args));
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

Expr Expr::Parse(std::string_view text) { return Parser(text).Parse(); }

void Expr::ForEachSymbol(const std::function<void(const std::string&)>& f) const {
  if (kind() == Kind::kSymbol) f(name());
  for (const Expr& a : args()) a.ForEachSymbol(f);
}

std::optional<int64_t> Expr::LowerBound(const std::function<int64_t(const std::string&)>& low) const {
  if (is_int()) return int_value();
  if (kind() == Kind::kSymbol) return low(name());
  if (kind() != Kind::kCall) return std::nullopt;
  std::vector<int64_t> bounds;
  if (name() == "Mul" && args()[0].is_int() && args()[0].int_value() < 0) return std::nullopt;
  for (const Expr& a : args()) {
    const auto b = a.LowerBound(low);
    if (!b) {
      if (name() == "Max") continue;
      if (name() == "Mod" || name() == "PythonMod") return 0;
      return std::nullopt;
    }
    bounds.push_back(*b);
  }
  if (bounds.empty()) return std::nullopt;
  if (name() == "Add" || name() == "Mul") {
    std::optional<int64_t> total = bounds[0];
    for (size_t i = 1; i < bounds.size() && total; ++i) {
      if (name() == "Mul" && (bounds[i] < 0 || *total < 0)) return std::nullopt;
      total = name() == "Add" ? Sum(*total, bounds[i]) : Product(*total, bounds[i]);
    }
    return total;
  }
  if (name() == "Max") return *std::max_element(bounds.begin(), bounds.end());
  if (name() == "Min") return *std::min_element(bounds.begin(), bounds.end());
  if ((name() == "FloorDiv" || name() == "CeilDiv") && args()[1].is_int() && args()[1].int_value() > 0) {
    return Floor(bounds[0], args()[1].int_value());
  }
  if (name() == "FloorDiv" && bounds[0] >= 0 && bounds[1] >= 0) return 0;
  if ((name() == "Mod" || name() == "PythonMod") && bounds.size() == 2 && bounds[1] >= 0) return 0;
  return std::nullopt;
}

Dim Expr::ToDim(const std::function<std::string(const std::string&)>& rename) const {
  if (is_int()) return int_value();
  if (kind() == Kind::kSymbol) return Dim::Symbol(rename(name()));
  // A product of many sums has very many terms.
  const auto is_sum = [](const Expr& e) { return e.kind() == Kind::kCall && e.name() == "Add"; };
  if (kind() == Kind::kCall && !args().empty() && std::count_if(args().begin(), args().end(), is_sum) <= 3) {
    std::vector<Dim> dims;
    for (const Expr& a : args()) dims.push_back(a.ToDim(rename));
    const auto fold = [&](auto f) {
      Dim d = dims[0];
      for (size_t i = 1; i < dims.size(); ++i) d = f(d, dims[i]);
      return d;
    };
    if (name() == "Add") return fold([](const Dim& a, const Dim& b) { return a + b; });
    if (name() == "Mul") return fold([](const Dim& a, const Dim& b) { return a * b; });
    if (name() == "Max") return fold([](const Dim& a, const Dim& b) { return Max(a, b); });
    if (name() == "Min") return fold([](const Dim& a, const Dim& b) { return Min(a, b); });
    if (dims.size() == 2 && !(dims[1] == Dim(0))) {
      if (name() == "FloorDiv") return FloorDiv(dims[0], dims[1]);
      if (name() == "CeilDiv") return CeilDiv(dims[0], dims[1]);
    }
    std::string text = name() + "(";
    for (const Dim& d : dims) text += (text.back() == '(' ? "" : ", ") + d.ToString();
    return Dim::Symbol(text + ")");
  }
  return Dim::Symbol(text());
}

}  // namespace slipway::pt2
