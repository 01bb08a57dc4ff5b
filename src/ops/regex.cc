#include "ops/regex.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string>

#include <fmt/format.h>

#include "ops/text.h"
#include "slipway/error.h"

namespace slipway {
namespace {

using Range = Regex::Range;
using Ranges = std::vector<Range>;
constexpr char32_t kLast = 0x10FFFF;

struct CategoryRun {
  char32_t first, last;
  char name[3];  ///< "LC": upper and lower case take turns
};
constexpr CategoryRun kCategories[] = {
#define RUN(first, last, name) {first, last, #name},
#include "ops/unicode_categories.inc"
#undef RUN
};

struct Named {
  std::string_view name;
  std::initializer_list<Range> ranges;
};
const Named kPosix[] = {
    {"alnum", {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}}},
    {"alpha", {{'A', 'Z'}, {'a', 'z'}}},
    {"ascii", {{0, 0x7F}}},
    {"blank", {{'\t', '\t'}, {' ', ' '}}},
    {"cntrl", {{0, 0x1F}, {0x7F, 0x7F}}},
    {"digit", {{'0', '9'}}},
    {"graph", {{'!', '~'}}},
    {"lower", {{'a', 'z'}}},
    {"print", {{' ', '~'}}},
    {"punct", {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}}},
    {"space", {{'\t', '\r'}, {' ', ' '}}},
    {"upper", {{'A', 'Z'}}},
    {"word", {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}},
    {"xdigit", {{'0', '9'}, {'A', 'F'}, {'a', 'f'}}},
    // Perl's.
    {"d", {{'0', '9'}}},
    {"s", {{'\t', '\n'}, {'\f', '\r'}, {' ', ' '}}},
    {"w", {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}},
};

const Named* FindNamed(std::string_view name) {
  const auto found = std::find_if(std::begin(kPosix), std::end(kPosix), [&](const Named& n) { return n.name == name; });
  return found == std::end(kPosix) ? nullptr : found;
}

/// Sorted, with neighbours joined.
void Tidy(Ranges& ranges) {
  std::sort(ranges.begin(), ranges.end());
  size_t n = 0;
  for (const Range& r : ranges) {
    if (n > 0 && r.first <= ranges[n - 1].second + 1) {
      ranges[n - 1].second = std::max(ranges[n - 1].second, r.second);
    } else {
      ranges[n++] = r;
    }
  }
  ranges.resize(n);
}

Ranges Complement(Ranges ranges) {
  Tidy(ranges);
  Ranges out;
  char32_t next = 0;
  for (const Range& r : ranges) {
    if (r.first > next) out.push_back({next, r.first - 1});
    next = r.second + 1;
  }
  if (next <= kLast) out.push_back({next, kLast});
  return out;
}

bool Contains(const Ranges& tidy, char32_t c) {
  const auto after =
      std::upper_bound(tidy.begin(), tidy.end(), c, [](char32_t v, const Range& r) { return v < r.first; });
  return after != tidy.begin() && c <= std::prev(after)->second;
}

/// Adds what differs from a member in case alone.
void AddCases(Ranges& ranges) {
  static const auto* const pairs = [] {
    auto* out = new std::vector<Range>;
    const CaseMapper mapper;
    for (char32_t c = 'A'; c < 0x1F000; ++c) {
      if (mapper.Lower(c) != c) out->push_back({c, mapper.Lower(c)});
      if (mapper.Upper(c) != c) out->push_back({c, mapper.Upper(c)});
    }
    return out;
  }();
  for (int turn = 0; turn < 2; ++turn) {
    Tidy(ranges);
    const Ranges had = ranges;
    for (const auto& [a, b] : *pairs) {
      if (Contains(had, a)) ranges.push_back({b, b});
      if (Contains(had, b)) ranges.push_back({a, a});
    }
  }
  Tidy(ranges);
}

struct Tree {
  enum class Kind { kEmpty, kRanges, kAnyByte, kAssert, kAll, kAny, kRepeat } kind = Kind::kEmpty;
  Ranges ranges = {};
  Regex::Assertion assertion = {};
  std::vector<Tree> parts = {};
  int least = 0, most = -1;  ///< of kRepeat; most -1: without end
};

class Parser {
 public:
  explicit Parser(std::string_view pattern) : text_(pattern) {}
  Tree Parse() {
    Tree tree = ParseAny(0);
    if (!done()) Fail("an unmatched ')'");
    return tree;
  }

 private:
  struct Flags {
    bool fold = false, lines = false, dot_all = false;
  };

  [[noreturn]] void Fail(std::string_view what) const {
    throw Error(Code::kBadGraph, fmt::format("pattern '{:.200}' is not valid: {} at byte {}.", text_, what,
                                             std::min(at_, text_.size())));
  }
  bool done() const { return at_ >= text_.size(); }
  bool Skip(std::string_view token) {
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }
  char32_t Next() {
    if (done()) Fail("an end too early");
    const char32_t c = DecodeUtf8(text_, at_);
    if (c == kBadByte) Fail("what is not UTF-8");
    return c;
  }

  Tree ParseAny(int depth) {
    if (depth > 1000) Fail("groups nested too deep");
    const Flags outer = flags_;
    Tree any{.kind = Tree::Kind::kAny};
    do {
      any.parts.push_back(ParseAll(depth));
    } while (Skip("|"));
    flags_ = outer;
    return any.parts.size() == 1 ? std::move(any.parts[0]) : std::move(any);
  }

  Tree ParseAll(int depth) {
    Tree all{.kind = Tree::Kind::kAll};
    bool repeated = false;
    while (!done() && text_[at_] != '|' && text_[at_] != ')') {
      int least = 0, most = 0;
      if (ParseRepeat(least, most)) {
        if (all.parts.empty()) Fail("a repetition of nothing");
        if (repeated) Fail("a repetition of a repetition");
        Skip("?");
        Tree repeat{.kind = Tree::Kind::kRepeat, .least = least, .most = most};
        repeat.parts.push_back(std::move(all.parts.back()));
        all.parts.back() = std::move(repeat);
        repeated = true;
        continue;
      }
      const size_t had = all.parts.size();
      if (Skip("\\Q")) {
        while (!done() && !Skip("\\E")) all.parts.push_back(Set({{Next(), 0}}));
      } else {
        ParseOne(depth, all.parts);
      }
      if (all.parts.size() > had) repeated = false;
    }
    return all;
  }

  /// A set of single characters where a range's end is 0.
  Tree Set(Ranges ranges) const {
    for (Range& r : ranges) r.second = std::max(r.first, r.second);
    if (flags_.fold) {
      AddCases(ranges);
    } else {
      Tidy(ranges);
    }
    return {.kind = Tree::Kind::kRanges, .ranges = std::move(ranges)};
  }
  static Tree Assert(Regex::Assertion a) { return {.kind = Tree::Kind::kAssert, .assertion = a}; }

  bool ParseRepeat(int& least, int& most) {
    if (Skip("*")) return least = 0, most = -1, true;
    if (Skip("+")) return least = 1, most = -1, true;
    if (Skip("?")) return least = 0, most = 1, true;
    // A brace that begins no repetition stands for itself.
    const size_t begin = at_;
    if (!Skip("{")) return false;
    const auto number = [&](int& n) {
      const size_t first = at_;
      for (n = 0; !done() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_)
        n = std::min(n * 10 + (text_[at_] - '0'), 9999);
      return at_ > first;
    };
    bool valid = number(least);
    most = least;
    if (valid && Skip(",") && !number(most)) most = -1;
    if (!valid || !Skip("}")) {
      at_ = begin;
      return false;
    }
    if (least > 1000 || most > 1000 || (most >= 0 && most < least)) Fail("a bad number of repetitions");
    return true;
  }

  void ParseOne(int depth, std::vector<Tree>& out) {
    const char32_t c = Next();
    switch (c) {
      case '(':
        return ParseGroup(depth, out);
      case '[':
        out.push_back(ParseClass());
        return;
      case '.':
        out.push_back({.kind = Tree::Kind::kRanges,
                       .ranges = flags_.dot_all ? Ranges{{0, kLast}} : Ranges{{0, '\n' - 1}, {'\n' + 1, kLast}}});
        return;
      case '^':
        out.push_back(Assert(flags_.lines ? Regex::Assertion::kLineBegin : Regex::Assertion::kTextBegin));
        return;
      case '$':
        out.push_back(Assert(flags_.lines ? Regex::Assertion::kLineEnd : Regex::Assertion::kTextEnd));
        return;
      case '\\':
        break;
      default:
        out.push_back(Set({{c, c}}));
        return;
    }
    if (Skip("A")) return out.push_back(Assert(Regex::Assertion::kTextBegin));
    if (Skip("z")) return out.push_back(Assert(Regex::Assertion::kTextEnd));
    if (Skip("b")) return out.push_back(Assert(Regex::Assertion::kWord));
    if (Skip("B")) return out.push_back(Assert(Regex::Assertion::kNotWord));
    if (Skip("C")) return out.push_back({.kind = Tree::Kind::kAnyByte});
    Ranges ranges;
    if (ParseNamed(ranges)) {
      out.push_back({.kind = Tree::Kind::kRanges, .ranges = std::move(ranges)});
      return;
    }
    const char32_t escaped = ParseEscape();
    out.push_back(Set({{escaped, escaped}}));
  }

  void ParseGroup(int depth, std::vector<Tree>& out) {
    const Flags outer = flags_;
    if (Skip("?P<") || Skip("?<")) {
      const size_t end = text_.find('>', at_);
      if (end == text_.npos || end == at_) Fail("a bad group name");
      const std::string_view name = text_.substr(at_, end - at_);
      for (char c : name) {
        if (!Contains(Ranges(FindNamed("word")->ranges), static_cast<unsigned char>(c))) Fail("a bad group name");
      }
      at_ = end + 1;
    } else if (Skip("?")) {
      bool on = true;
      while (true) {
        const char32_t c = Next();
        if (c == ':') break;
        if (c == ')') return;  // for the rest of the group around
        bool unused = false;
        bool& flag = c == 'i' ? flags_.fold : c == 'm' ? flags_.lines : c == 's' ? flags_.dot_all : unused;
        if (c == '-' && on) {
          on = false;
        } else if (c == 'i' || c == 'm' || c == 's' || c == 'U') {
          flag = on;
        } else {
          Fail("a group of a kind that there is not");
        }
      }
    }
    out.push_back(ParseAny(depth + 1));
    if (!Skip(")")) Fail("a missing ')'");
    flags_ = outer;
  }

  /// What stands behind a backslash for a set: d, s, w, p and their opposites.
  bool ParseNamed(Ranges& out) {
    if (done()) return false;
    const char c = text_[at_], lower = static_cast<char>(c | 0x20);
    if (lower == 'p') {
      ++at_;
      ParseProperty(c == 'P', out);
      return true;
    }
    if (lower != 'd' && lower != 's' && lower != 'w') return false;
    ++at_;
    Ranges ranges = FindNamed({&lower, 1})->ranges;
    if (flags_.fold) AddCases(ranges);
    if (c != lower) ranges = Complement(std::move(ranges));
    Tidy(ranges);
    out.insert(out.end(), ranges.begin(), ranges.end());
    return true;
  }

  void ParseProperty(bool negative, Ranges& out) {
    std::string_view name;
    if (Skip("{")) {
      const size_t end = text_.find('}', at_);
      if (end == text_.npos) Fail("a missing '}'");
      name = text_.substr(at_, end - at_);
      at_ = end + 1;
      if (name.starts_with('^')) {
        negative = !negative;
        name.remove_prefix(1);
      }
    } else {
      const size_t begin = at_;
      Next();
      name = text_.substr(begin, at_ - begin);
    }
    Ranges ranges;
    if (name == "Any") ranges = {{0, kLast}};
    const bool group = name.size() == 1;
    if (group || name.size() == 2) {
      for (const CategoryRun& run : kCategories) {
        if (run.name[1] == 'C') {
          for (char32_t c = run.first; c <= run.last; ++c) {
            if (group ? name[0] == 'L' : name == ((c - run.first) % 2 == 0 ? "Lu" : "Ll")) ranges.push_back({c, c});
          }
        } else if (group ? run.name[0] == name[0] : run.name == name) {
          ranges.push_back({run.first, run.last});
        }
      }
    }
    if (ranges.empty()) {
      throw Error(Code::kUnsupported,
                  fmt::format("pattern '{:.200}' asks for the Unicode property '{:.50}': only general categories are "
                              "supported.",
                              text_, name));
    }
    if (flags_.fold) AddCases(ranges);
    Tidy(ranges);
    if (negative) ranges = Complement(std::move(ranges));
    out.insert(out.end(), ranges.begin(), ranges.end());
  }

  /// A character behind a backslash.
  char32_t ParseEscape() {
    const auto digit = [&](int base) {
      if (done()) return -1;
      const char c = text_[at_], lower = static_cast<char>(c | 0x20);
      const int v = c >= '0' && c <= '9' ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 99;
      if (v >= base) return -1;
      ++at_;
      return v;
    };
    const char32_t c = Next();
    if (c >= '0' && c <= '7') {
      char32_t v = c - '0';
      int d = digit(8);
      if (c != '0' && d < 0) Fail("a reference to a group, which is not supported,");
      for (int i = 0; i < 2 && d >= 0; ++i, d = i < 2 ? digit(8) : -1) v = v * 8 + static_cast<char32_t>(d);
      return v;
    }
    if (c == 'x') {
      char32_t v = 0;
      const bool braces = Skip("{");
      int count = 0;
      for (int d; (braces || count < 2) && (d = digit(16)) >= 0; ++count)
        v = std::min<char32_t>(v * 16 + static_cast<char32_t>(d), kLast + 1);
      if (v > kLast || (braces ? count == 0 || !Skip("}") : count < 2)) Fail("a bad escape");
      return v;
    }
    static constexpr std::string_view kLetters = "aftnrv", kMeant = "\a\f\t\n\r\v";
    if (const size_t found = c < 0x80 ? kLetters.find(static_cast<char>(c)) : kLetters.npos; found != kLetters.npos)
      return static_cast<unsigned char>(kMeant[found]);
    if (c >= 0x80 || Contains(Ranges(FindNamed("alnum")->ranges), c)) Fail("a bad escape");
    return c;
  }

  Tree ParseClass() {
    const bool negative = Skip("^");
    Ranges ranges;
    for (bool first = true; first || !Skip("]"); first = false) {
      if (Skip("[:")) {
        const size_t end = text_.find(":]", at_);
        const bool opposite = Skip("^");
        const Named* named = end == text_.npos ? nullptr : FindNamed(text_.substr(at_, end - at_));
        if (!named || named->name.size() < 4) Fail("a class name that there is not");
        at_ = end + 2;
        Ranges add = named->ranges;
        if (flags_.fold) AddCases(add);
        if (opposite) add = Complement(std::move(add));
        ranges.insert(ranges.end(), add.begin(), add.end());
        continue;
      }
      if (done()) Fail("a missing ']'");
      if (text_[at_] == '\\') {
        ++at_;
        if (ParseNamed(ranges)) continue;
        --at_;
      }
      // A '-' stands for itself at either end only.
      if (text_[at_] == '-' && !first && text_.substr(at_, 2) != "-]") Fail("a bad range");
      const char32_t low = ClassChar();
      char32_t high = low;
      if (text_.substr(at_).starts_with("-") && text_.substr(at_, 2) != "-]") {
        ++at_;
        high = ClassChar();
        if (high < low) Fail("a bad range");
      }
      Ranges add = {{low, high}};
      if (flags_.fold) AddCases(add);
      ranges.insert(ranges.end(), add.begin(), add.end());
    }
    if (negative) ranges = Complement(std::move(ranges));
    Tidy(ranges);
    return {.kind = Tree::Kind::kRanges, .ranges = std::move(ranges)};
  }
  char32_t ClassChar() {
    const char32_t c = Next();
    return c == '\\' ? ParseEscape() : c;
  }

  std::string_view text_;
  size_t at_ = 0;
  Flags flags_;
};

/// Writes the steps for a tree from its end to its beginning.
class Writer {
 public:
  Writer(std::vector<Regex::Step>& steps, Ranges& ranges) : steps_(steps), ranges_(ranges) {}

  /// The step that the tree begins with, given the one behind it.
  int32_t Put(const Tree& t, int32_t next) {
    switch (t.kind) {
      case Tree::Kind::kEmpty:
        return next;
      case Tree::Kind::kRanges: {
        const auto first = static_cast<int32_t>(ranges_.size());
        ranges_.insert(ranges_.end(), t.ranges.begin(), t.ranges.end());
        return Add(
            {.kind = Regex::Kind::kRanges, .next = next, .other = first, .end = static_cast<int32_t>(ranges_.size())});
      }
      case Tree::Kind::kAnyByte:
        return Add({.kind = Regex::Kind::kAnyByte, .next = next});
      case Tree::Kind::kAssert:
        return Add({.kind = Regex::Kind::kAssert, .assertion = t.assertion, .next = next});
      case Tree::Kind::kAll:
        for (auto part = t.parts.rbegin(); part != t.parts.rend(); ++part) next = Put(*part, next);
        return next;
      case Tree::Kind::kAny: {
        int32_t start = Put(t.parts.back(), next);
        for (size_t i = t.parts.size() - 1; i-- > 0;) start = Split(Put(t.parts[i], next), start);
        return start;
      }
      case Tree::Kind::kRepeat:
        return PutRepeat(t, next);
    }
    return next;
  }

 private:
  int32_t PutRepeat(const Tree& t, int32_t next) {
    int32_t start = next;
    int copies = t.least;
    if (t.most < 0) {
      const int32_t loop = Split(0, next);
      const int32_t body = Put(t.parts[0], loop);
      steps_[loop].next = body;
      start = t.least == 0 ? loop : body;
      copies = std::max(0, t.least - 1);
    }
    for (int i = t.least; i < t.most; ++i) start = Split(Put(t.parts[0], start), next);
    for (int i = 0; i < copies; ++i) start = Put(t.parts[0], start);
    return start;
  }
  int32_t Split(int32_t a, int32_t b) { return Add({.kind = Regex::Kind::kSplit, .next = a, .other = b}); }
  int32_t Add(Regex::Step step) {
    if (steps_.size() > 200'000 || ranges_.size() > 4'000'000)
      throw Error(Code::kBadGraph, "the pattern is too large with its repetitions written out.");
    steps_.push_back(step);
    return static_cast<int32_t>(steps_.size() - 1);
  }

  std::vector<Regex::Step>& steps_;
  Ranges& ranges_;
};

bool IsWord(std::string_view text, size_t at) {
  if (at >= text.size()) return false;
  const char c = text[at];
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || c == '_' || (c >= 'a' && c <= 'z');
}

bool Holds(Regex::Assertion a, std::string_view text, size_t at) {
  switch (a) {
    case Regex::Assertion::kTextBegin:
      return at == 0;
    case Regex::Assertion::kTextEnd:
      return at == text.size();
    case Regex::Assertion::kLineBegin:
      return at == 0 || text[at - 1] == '\n';
    case Regex::Assertion::kLineEnd:
      return at == text.size() || text[at] == '\n';
    default:
      return (IsWord(text, at) != (at > 0 && IsWord(text, at - 1))) == (a == Regex::Assertion::kWord);
  }
}

}  // namespace

Regex::Regex(std::string_view pattern) {
  const Tree tree = Parser(pattern).Parse();
  steps_.push_back({.kind = Kind::kMatch});
  start_ = Writer(steps_, ranges_).Put(tree, 0);
}

bool Regex::Takes(const Step& step, char32_t c) const {
  if (c == kBadByte) return false;
  const auto begin = ranges_.begin() + step.other, end = ranges_.begin() + step.end;
  const auto after = std::upper_bound(begin, end, c, [](char32_t v, const Range& r) { return v < r.first; });
  return after != begin && c <= std::prev(after)->second;
}

bool Regex::FullMatch(std::string_view text) const {
  // A character takes up to four bytes, so a step may put others up to four places ahead.
  constexpr size_t kAhead = 5;
  struct Place {
    std::vector<int32_t> steps;
    std::vector<size_t> seen;  // the place for which the step was last met
  };
  std::array<Place, kAhead> places;
  for (Place& p : places) p.seen.assign(steps_.size(), SIZE_MAX);
  std::vector<int32_t> stack;
  const auto enter = [&](int32_t first, size_t at) {
    Place& place = places[at % kAhead];
    stack.push_back(first);
    while (!stack.empty()) {
      const int32_t s = stack.back();
      stack.pop_back();
      if (place.seen[s] == at) continue;
      place.seen[s] = at;
      const Step& step = steps_[s];
      if (step.kind == Kind::kSplit) {
        stack.push_back(step.other);
        stack.push_back(step.next);
      } else if (step.kind != Kind::kAssert) {
        place.steps.push_back(s);
      } else if (Holds(step.assertion, text, at)) {
        stack.push_back(step.next);
      }
    }
  };
  enter(start_, 0);
  for (size_t at = 0; at < text.size(); ++at) {
    std::vector<int32_t> steps;
    steps.swap(places[at % kAhead].steps);
    if (steps.empty()) continue;
    size_t behind = at;
    const char32_t c = DecodeUtf8(text, behind);
    for (int32_t s : steps) {
      const Step& step = steps_[s];
      if (step.kind == Kind::kAnyByte) {
        enter(step.next, at + 1);
      } else if (step.kind == Kind::kRanges && Takes(step, c)) {
        enter(step.next, behind);
      }
    }
  }
  return places[text.size() % kAhead].seen[0] == text.size();
}

}  // namespace slipway
