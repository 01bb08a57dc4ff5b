#include <algorithm>
#include <map>
#include <unordered_map>

#include "core/dtype_visit.h"
#include "ops/indexing.h"

namespace slipway {
namespace {

[[noreturn]] void FailParse(const std::string& what) { throw Error(Code::kBadGraph, what); }

/// The n-grams of a pool as a tree: a node for each beginning of one.
class NGrams {
 public:
  static constexpr int64_t kNone = -1;

  /// The node that a token leads to, made where there is none.
  int64_t Extend(int64_t node, int64_t token) {
    const auto [at, made] = next_.try_emplace({node, token}, static_cast<int64_t>(column_.size()));
    if (made) column_.push_back(kNone);
    return at->second;
  }
  int64_t Find(int64_t node, int64_t token) const {
    const auto found = next_.find({node, token});
    return found == next_.end() ? kNone : found->second;
  }
  /// The output's column for the n-gram that ends at a node, or kNone.
  int64_t column(int64_t node) const { return column_[node]; }
  void SetColumn(int64_t node, int64_t column) { column_[node] = column; }

 private:
  struct Hash {
    size_t operator()(const std::pair<int64_t, int64_t>& p) const {
      return std::hash<int64_t>()(p.first * 0x9E3779B97F4A7C15 + p.second);
    }
  };
  std::unordered_map<std::pair<int64_t, int64_t>, int64_t, Hash> next_;
  std::vector<int64_t> column_ = {kNone};  // node 0: no token yet
};

}  // namespace

/// Counts n-grams, with up to some tokens skipped between neighbours, and weighs the counts. ONNX TfIdfVectorizer,
/// since 9.
struct TfIdfVectorizer {
  enum class Mode { kTf, kIdf, kTfIdf } mode = Mode::kTf;
  int64_t shortest = 1, longest = 1, max_skip = 0, width = 0;
  bool text = false;
  std::unordered_map<std::string, int64_t> tokens;  ///< numbers for the pool's strings
  std::map<int64_t, float> weights;                 ///< by column
  NGrams grams;

  static TfIdfVectorizer Parse(const Attributes& a) {
    TfIdfVectorizer op;
    const std::string mode = a.RequiredString("mode");
    if (mode != "TF" && mode != "IDF" && mode != "TFIDF")
      FailParse(fmt::format("mode is '{:.100}', but must be TF, IDF or TFIDF.", mode));
    op.mode = mode == "TF" ? Mode::kTf : mode == "IDF" ? Mode::kIdf : Mode::kTfIdf;
    op.shortest = a.RequiredInt("min_gram_length");
    op.longest = a.RequiredInt("max_gram_length");
    op.max_skip = a.RequiredInt("max_skip_count");
    if (op.shortest < 1 || op.longest < op.shortest || op.max_skip < 0) {
      FailParse(fmt::format("n-grams of {} to {} tokens with {} skips are not possible.", op.shortest, op.longest,
                            op.max_skip));
    }
    std::vector<int64_t> pool = a.Ints("pool_int64s");
    const std::vector<std::string> words = a.Strings("pool_strings");
    if (pool.empty() == words.empty()) FailParse("needs one of the attributes pool_int64s and pool_strings.");
    op.text = !words.empty();
    for (const std::string& word : words)
      pool.push_back(op.tokens.try_emplace(word, static_cast<int64_t>(op.tokens.size())).first->second);
    op.Fill(pool, a.RequiredInts("ngram_counts"), a.RequiredInts("ngram_indexes"), a.Floats("weights"));
    return op;
  }

  void Infer(InferContext& c) const {
    if ((c.Elem(0) == DType::kString) != text)
      c.Fail("{} is {}, but the pool holds {}.", c.InputName(0), Name(c.Elem(0)), text ? "strings" : "integers");
    c.ExpectRank(0, 1, 2);
    if (!c.HasRank(0)) return c.Out(0, DType::kFloat);
    if (c.Shape(0).rank() == 1) return c.Out(0, DType::kFloat, {width});
    c.Out(0, DType::kFloat, {c.Shape(0)[0], width});
  }

  void Run(RunContext& c) const {
    const Tensor& x = c.In(0);
    const int64_t rows = x.shape().rank() == 1 ? 1 : x.shape()[0], length = x.shape().Back(0);
    Visit(Types<int32_t, int64_t, std::string>{}, x.dtype(), "int32, int64 or string", [&]<class T>() {
      c.threads().ParallelFor(rows, GrainFor(64 * length), [&](int64_t begin, int64_t end) {
        std::vector<int64_t> row(length);
        for (int64_t r = begin; r < end; ++r) {
          std::transform(x.data<T>() + r * length, x.data<T>() + (r + 1) * length, row.begin(),
                         [&](const T& v) { return TokenOf(v); });
          CountRow(row, c.Out(0).data<float>() + r * width);
        }
      });
    });
  }

 private:
  /// Each of the pool's n-grams gets the next of the columns.
  void Fill(const std::vector<int64_t>& pool, const std::vector<int64_t>& starts, const std::vector<int64_t>& columns,
            const std::vector<float>& given) {
    const auto size = static_cast<int64_t>(pool.size());
    if (static_cast<int64_t>(starts.size()) < longest)
      FailParse(fmt::format("ngram_counts has {} starts for n-grams of up to {} tokens.", starts.size(), longest));
    if (!given.empty() && given.size() != columns.size())
      FailParse(fmt::format("there are {} weights for {} n-grams.", given.size(), columns.size()));
    for (int64_t column : columns) {
      // A row of more than a gigabyte is no one's vocabulary.
      if (column < 0 || column >= int64_t{1} << 28) FailParse(fmt::format("ngram_indexes has {}.", column));
      width = std::max(width, column + 1);
    }
    size_t gram = 0;
    for (size_t n = 1; n <= starts.size(); ++n) {
      const int64_t begin = starts[n - 1], end = n < starts.size() ? starts[n] : size;
      const auto length = static_cast<int64_t>(n);
      if (begin < 0 || end < begin || end > size || (end - begin) % length != 0)
        FailParse(
            fmt::format("ngram_counts gives {}-grams the elements [{}, {}) of a pool of {}.", n, begin, end, size));
      for (int64_t at = begin; at < end; at += length, ++gram) {
        if (gram >= columns.size()) FailParse(fmt::format("ngram_indexes has {} columns, too few.", columns.size()));
        if (!given.empty()) weights[columns[gram]] = given[gram];
        if (length < shortest || length > longest) continue;
        int64_t node = 0;
        for (int64_t i = 0; i < length; ++i) node = grams.Extend(node, pool[at + i]);
        grams.SetColumn(node, columns[gram]);
      }
    }
    if (gram != columns.size())
      FailParse(fmt::format("ngram_indexes has {} columns for {} n-grams.", columns.size(), gram));
  }

  int64_t TokenOf(int64_t v) const { return v; }
  int64_t TokenOf(const std::string& v) const {
    const auto found = tokens.find(v);
    return found == tokens.end() ? -1 : found->second;
  }

  void CountRow(const std::vector<int64_t>& row, float* out) const {
    std::fill(out, out + width, 0.0f);
    const auto length = static_cast<int64_t>(row.size());
    for (int64_t step = 1; step <= max_skip + 1 && step <= std::max<int64_t>(length, 1); ++step) {
      for (int64_t begin = 0; begin < length; ++begin) {
        int64_t node = 0, n = 1;
        for (int64_t at = begin; at < length && n <= longest; at += step, ++n) {
          node = grams.Find(node, row[at]);
          if (node == NGrams::kNone) break;
          // Skips change nothing for a token alone.
          if (const int64_t column = grams.column(node); column != NGrams::kNone && (n > 1 || step == 1)) ++out[column];
        }
      }
    }
    if (mode == Mode::kTf) return;
    for (int64_t i = 0; mode == Mode::kIdf && i < width; ++i) out[i] = std::min(out[i], 1.0f);
    for (const auto& [column, weight] : weights) out[column] *= weight;
  }
};
extern const OpDef kTfIdfVectorizer = Define<TfIdfVectorizer>(
    {.name = "TfIdfVectorizer", .since = 9, .types = {DType::kString, DType::kInt32, DType::kInt64}});

}  // namespace slipway
