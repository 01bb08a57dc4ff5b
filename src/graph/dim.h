#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "slipway/tensor.h"

namespace slipway {

/// The size of an axis: a number, or a polynomial with integer coefficients over named symbols ("batch * seq + 2").
/// What no polynomial expresses (a floor division, a maximum) is a symbol of its own named by its text, so that equal
/// texts are equal sizes. Arithmetic on numbers that leaves int64 throws Error(kBadGraph).
class Dim {
 public:
  Dim(int64_t value = 0) : value_(value) {}  // NOLINT(google-explicit-constructor)
  static Dim Symbol(std::string name);
  /// A size known only when data is: equal to nothing but itself.
  static Dim Unknown();

  bool is_const() const { return !terms_; }
  /// The number; the caller has checked is_const().
  int64_t value() const { return value_; }
  bool operator==(const Dim& other) const;
  /// True where the two can never be the same size: two numbers that differ.
  bool Differs(const Dim& other) const { return is_const() && other.is_const() && value_ != other.value_; }
  std::string ToString() const;

  friend Dim operator+(const Dim& a, const Dim& b);
  friend Dim operator-(const Dim& a, const Dim& b);
  friend Dim operator*(const Dim& a, const Dim& b);
  /// Rounds towards minus infinity. b is not 0. Exact where every coefficient of a is a multiple of the number b, or a
  /// is a product with the factor b.
  friend Dim FloorDiv(const Dim& a, const Dim& b);
  friend Dim CeilDiv(const Dim& a, const Dim& b);
  friend Dim Max(const Dim& a, const Dim& b);
  friend Dim Min(const Dim& a, const Dim& b);
  /// True where `part` is Min(n, whole) for some number n of 1 or more, so that the two are the same wherever either
  /// may be broadcast to the other.
  friend bool IsCapped(const Dim& part, const Dim& whole);

 private:
  struct Term {
    std::vector<std::string> symbols;  // sorted; empty for the constant term
    int64_t coefficient;
    bool operator==(const Term&) const = default;
  };
  using Terms = std::vector<Term>;  // sorted by symbols, no zero coefficients
  static Dim FromTerms(Terms terms);
  Terms ToTerms() const;

  int64_t value_ = 0;
  std::shared_ptr<const Terms> terms_;  // null: value_ is the size
};

/// A shape whose sizes may be symbolic, or whose rank is not known at all.
class SymbolicShape {
 public:
  /// Unknown rank.
  SymbolicShape() = default;
  SymbolicShape(std::vector<Dim> dims) : dims_(std::move(dims)) {}  // NOLINT(google-explicit-constructor)
  SymbolicShape(std::initializer_list<Dim> dims) : dims_(std::vector<Dim>(dims)) {}
  SymbolicShape(const Shape& shape) : dims_(std::vector<Dim>(shape.begin(), shape.end())) {}  // NOLINT
  /// `rank` axes of unknown size.
  static SymbolicShape OfRank(int rank);

  bool has_rank() const { return dims_.has_value(); }
  /// The caller has checked has_rank() before any of these.
  int rank() const { return static_cast<int>(dims_->size()); }
  const std::vector<Dim>& dims() const { return *dims_; }
  std::vector<Dim>& dims() { return *dims_; }
  const Dim& operator[](int axis) const { return (*dims_)[axis]; }
  Dim& operator[](int axis) { return (*dims_)[axis]; }

  /// The shape in numbers, where every axis has one.
  std::optional<Shape> Concrete() const;
  /// The number of elements.
  Dim size() const;
  /// "[batch, seq, 768]", or "[...]" for an unknown rank.
  std::string ToString() const;
  bool operator==(const SymbolicShape& other) const = default;

 private:
  std::optional<std::vector<Dim>> dims_;
};

}  // namespace slipway
