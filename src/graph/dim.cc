#include "graph/dim.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include <fmt/format.h>

namespace slipway {
namespace {

[[noreturn]] void Overflow() { throw Error(Code::kBadGraph, "a size computed from the shapes does not fit 64 bits"); }

int64_t Add(int64_t a, int64_t b) {
  int64_t out;
  if (__builtin_add_overflow(a, b, &out)) Overflow();
  return out;
}
int64_t Multiply(int64_t a, int64_t b) {
  int64_t out;
  if (__builtin_mul_overflow(a, b, &out)) Overflow();
  return out;
}
int64_t DivideDown(int64_t a, int64_t b) {
  if (b == -1) return Multiply(a, -1);
  return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

}  // namespace

Dim Dim::FromTerms(Terms terms) {
  std::sort(terms.begin(), terms.end(), [](const Term& a, const Term& b) { return a.symbols < b.symbols; });
  Terms merged;
  for (Term& t : terms) {
    if (!merged.empty() && merged.back().symbols == t.symbols) {
      merged.back().coefficient = Add(merged.back().coefficient, t.coefficient);
    } else {
      merged.push_back(std::move(t));
    }
  }
  std::erase_if(merged, [](const Term& t) { return t.coefficient == 0; });
  if (merged.empty()) return Dim(0);
  if (merged.size() == 1 && merged[0].symbols.empty()) return Dim(merged[0].coefficient);
  Dim out;
  out.terms_ = std::make_shared<const Terms>(std::move(merged));
  return out;
}

Dim::Terms Dim::ToTerms() const {
  if (terms_) return *terms_;
  return value_ == 0 ? Terms{} : Terms{{.symbols = {}, .coefficient = value_}};
}

Dim Dim::Symbol(std::string name) { return FromTerms({{.symbols = {std::move(name)}, .coefficient = 1}}); }

Dim Dim::Unknown() {
  static std::atomic<int64_t> count = 0;
  return Symbol(fmt::format("?{}", count.fetch_add(1, std::memory_order_relaxed)));
}

bool Dim::operator==(const Dim& other) const {
  if (is_const() || other.is_const()) return is_const() && other.is_const() && value_ == other.value_;
  return terms_ == other.terms_ || *terms_ == *other.terms_;
}

std::string Dim::ToString() const {
  if (is_const()) return std::to_string(value_);
  std::string out;
  // The constant term, sorted first, reads best last: "seq + 1".
  Terms terms = *terms_;
  if (terms.front().symbols.empty()) std::rotate(terms.begin(), terms.begin() + 1, terms.end());
  for (const Term& t : terms) {
    const bool negative = t.coefficient < 0;
    if (!out.empty()) {
      out += negative ? " - " : " + ";
    } else if (negative) {
      out += "-";
    }
    const uint64_t size = negative ? 0 - static_cast<uint64_t>(t.coefficient) : static_cast<uint64_t>(t.coefficient);
    if (size != 1 || t.symbols.empty()) out += std::to_string(size);
    for (size_t i = 0; i < t.symbols.size(); ++i) out += (i > 0 || size != 1 ? " * " : "") + t.symbols[i];
  }
  return out;
}

Dim operator+(const Dim& a, const Dim& b) {
  if (a.is_const() && b.is_const()) return Add(a.value_, b.value_);
  Dim::Terms terms = a.ToTerms();
  const Dim::Terms more = b.ToTerms();
  terms.insert(terms.end(), more.begin(), more.end());
  return Dim::FromTerms(std::move(terms));
}

Dim operator-(const Dim& a, const Dim& b) {
  if (a.is_const() && b.is_const()) {
    int64_t out;
    if (__builtin_sub_overflow(a.value_, b.value_, &out)) Overflow();
    return out;
  }
  return a + Dim(-1) * b;
}

Dim operator*(const Dim& a, const Dim& b) {
  if (a.is_const() && b.is_const()) return Multiply(a.value_, b.value_);
  Dim::Terms terms;
  for (const Dim::Term& x : a.ToTerms()) {
    for (const Dim::Term& y : b.ToTerms()) {
      Dim::Term t{.symbols = x.symbols, .coefficient = Multiply(x.coefficient, y.coefficient)};
      t.symbols.insert(t.symbols.end(), y.symbols.begin(), y.symbols.end());
      std::sort(t.symbols.begin(), t.symbols.end());
      terms.push_back(std::move(t));
    }
  }
  return Dim::FromTerms(std::move(terms));
}

Dim FloorDiv(const Dim& a, const Dim& b) {
  if (b == Dim(0)) throw Error(Code::kBadGraph, "a size computed from the shapes is divided by 0");
  if (a.is_const() && b.is_const()) return DivideDown(a.value_, b.value_);
  if (b == Dim(1)) return a;
  if (a == b) return 1;
  // Term by term, where the divisor is a single term that divides each.
  const Dim::Terms divisor = b.ToTerms();
  if (divisor.size() == 1) {
    Dim::Terms out;
    for (const Dim::Term& t : a.ToTerms()) {
      Dim::Term rest;
      std::set_difference(t.symbols.begin(), t.symbols.end(), divisor[0].symbols.begin(), divisor[0].symbols.end(),
                          std::back_inserter(rest.symbols));
      const bool divides = rest.symbols.size() + divisor[0].symbols.size() == t.symbols.size() &&
                           t.coefficient % divisor[0].coefficient == 0;
      if (!divides) break;
      rest.coefficient = t.coefficient / divisor[0].coefficient;
      out.push_back(std::move(rest));
    }
    if (out.size() == a.ToTerms().size()) return Dim::FromTerms(std::move(out));
  }
  return Dim::Symbol(fmt::format("floor(({}) / ({}))", a.ToString(), b.ToString()));
}

Dim CeilDiv(const Dim& a, const Dim& b) {
  if (a.is_const() && b.is_const()) return Dim(0) - FloorDiv(Dim(0) - a, b);
  return FloorDiv(a + b - 1, b);
}

namespace {
Dim Extreme(const char* name, const Dim& a, const Dim& b) {
  std::string x = a.ToString(), y = b.ToString();
  if (y < x) std::swap(x, y);
  return Dim::Symbol(fmt::format("{}({}, {})", name, x, y));
}
}  // namespace

Dim Max(const Dim& a, const Dim& b) {
  if (a.is_const() && b.is_const()) return std::max(a.value_, b.value_);
  return a == b ? a : Extreme("max", a, b);
}
Dim Min(const Dim& a, const Dim& b) {
  if (a.is_const() && b.is_const()) return std::min(a.value_, b.value_);
  return a == b ? a : Extreme("min", a, b);
}

bool IsCapped(const Dim& part, const Dim& whole) {
  const std::string text = part.ToString();
  if (!text.starts_with("min(")) return false;
  const int64_t cap = std::strtoll(text.c_str() + 4, nullptr, 10);
  return cap >= 1 && part == Min(cap, whole);
}

SymbolicShape SymbolicShape::OfRank(int rank) {
  std::vector<Dim> dims;
  for (int i = 0; i < rank; ++i) dims.push_back(Dim::Unknown());
  return dims;
}

std::optional<Shape> SymbolicShape::Concrete() const {
  if (!dims_) return std::nullopt;
  Shape out;
  for (const Dim& d : *dims_) {
    if (!d.is_const()) return std::nullopt;
    out.push_back(d.value());
  }
  return out;
}

Dim SymbolicShape::size() const {
  Dim out = 1;
  for (const Dim& d : *dims_) out = out * d;
  return out;
}

std::string SymbolicShape::ToString() const {
  if (!dims_) return "[...]";
  std::string out = "[";
  for (size_t i = 0; i < dims_->size(); ++i) out += (i > 0 ? ", " : "") + (*dims_)[i].ToString();
  return out + "]";
}

}  // namespace slipway
