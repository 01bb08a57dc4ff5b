#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "graph/dim.h"

namespace slipway::pt2 {

/// A size, number or condition that torch.export knows as an expression over symbols: "s77 + 1". Immutable; sums and
/// products are brought into one form, so that equal texts mean equal values.
class Expr {
 public:
  enum class Kind : uint8_t { kInt, kFloat, kBool, kSymbol, kCall };

  Expr(int64_t value = 0);  // NOLINT(google-explicit-constructor)
  static Expr Float(double value);
  static Expr Bool(bool value);
  static Expr Symbol(std::string name);
  /// A function by sympy's name for it: "FloorDiv", "Max". Sums, products and what has numbers alone are worked out.
  static Expr Call(std::string_view name, std::vector<Expr> args);
  /// sympy's srepr form: "Add(Symbol('s77', positive=True, integer=True), Integer(1))". Throws Error(kBadFile).
  static Expr Parse(std::string_view text);

  Kind kind() const { return node_->kind; }
  bool is_int() const { return kind() == Kind::kInt; }
  /// An int, float or bool.
  bool is_number() const { return kind() != Kind::kSymbol && kind() != Kind::kCall; }
  int64_t int_value() const { return node_->number; }
  /// The number as a double, of any kind that is_number().
  double value() const { return kind() == Kind::kFloat ? node_->real : static_cast<double>(node_->number); }
  /// A symbol's or function's name.
  const std::string& name() const { return node_->name; }
  const std::vector<Expr>& args() const { return node_->args; }
  /// "s77 + 1"
  const std::string& text() const { return node_->text; }
  bool operator==(const Expr& other) const { return node_ == other.node_ || text() == other.text(); }

  /// Calls f with the name of each symbol in it.
  void ForEachSymbol(const std::function<void(const std::string&)>& f) const;
  /// The least that it can be, where each symbol is at least `low(name)` and that is easy to tell.
  std::optional<int64_t> LowerBound(const std::function<int64_t(const std::string&)>& low) const;
  /// As the graph writes sizes; `rename` gives symbols their names there.
  Dim ToDim(const std::function<std::string(const std::string&)>& rename) const;

  friend Expr operator+(const Expr& a, const Expr& b) { return Call("Add", {a, b}); }
  friend Expr operator-(const Expr& a, const Expr& b) { return Call("Add", {a, Call("Mul", {Expr(-1), b})}); }
  friend Expr operator*(const Expr& a, const Expr& b) { return Call("Mul", {a, b}); }

 private:
  struct Node {
    Kind kind;
    int64_t number = 0;
    double real = 0;
    std::string name;
    std::vector<Expr> args;
    std::string text;
  };
  explicit Expr(std::shared_ptr<const Node> node) : node_(std::move(node)) {}
  static Expr Make(Node node);
  std::shared_ptr<const Node> node_;
};

Expr FloorDiv(const Expr& a, const Expr& b);

}  // namespace slipway::pt2
