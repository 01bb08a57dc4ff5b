#include "slipway/tensor.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "core/dtype_visit.h"

namespace slipway {
namespace {

TEST(Shape, GrowsAndShrinksAcrossTheInlineSize) {
  Shape shape;
  std::vector<int64_t> want;
  const auto expect_same = [&] {
    ASSERT_EQ(shape.rank(), static_cast<int>(want.size()));
    EXPECT_EQ(std::vector<int64_t>(shape.begin(), shape.end()), want);
  };
  for (int i = 0; i < 10; ++i) {
    const int at = i * 7 % (i + 1);
    shape.insert(at, i + 1);
    want.insert(want.begin() + at, i + 1);
    expect_same();
  }
  shape.push_back(42);
  want.push_back(42);
  for (int i = 10; i >= 0; --i) {
    const int at = i * 5 % (i + 1);
    shape.erase(at);
    want.erase(want.begin() + at);
    expect_same();
  }
}

TEST(Shape, CopiesAndMoves) {
  for (const size_t rank : {0, 3, 6, 7, 9}) {
    std::vector<int64_t> dims(rank);
    std::iota(dims.begin(), dims.end(), 1);
    const Shape shape{std::span<const int64_t>(dims)};
    Shape copy = shape;
    EXPECT_EQ(copy, shape);
    Shape moved = std::move(copy);
    EXPECT_EQ(moved, shape);
    for (const size_t other : {2, 8}) {
      Shape target{std::span<const int64_t>(std::vector<int64_t>(other, 5))};
      target = shape;
      EXPECT_EQ(target, shape);
      target = std::move(moved);
      EXPECT_EQ(target, shape);
      moved = std::move(target);
    }
    moved = *&moved;
    EXPECT_EQ(moved, shape);
  }
}

TEST(Shape, ToStringAndSizes) {
  EXPECT_EQ(Shape().ToString(), "[]");
  EXPECT_EQ(Shape({7}).ToString(), "[7]");
  const Shape shape = {2, 3, 4};
  EXPECT_EQ(shape.ToString(), "[2, 3, 4]");
  EXPECT_EQ(shape.size(), 24);
  EXPECT_EQ(shape.SizeFrom(1), 12);
  EXPECT_EQ(shape.SizeTo(1), 2);
  EXPECT_EQ(shape.Back(0), 4);
  EXPECT_EQ(Shape().size(), 1);
}

TEST(Tensor, AllocatesAlignedOfEveryType) {
  for (int i = 1; i < kNumDTypes; ++i) {
    const auto type = static_cast<DType>(i);
    for (const Shape& shape : {Shape{}, {0}, {3, 5}, {1, 2, 3, 4, 5, 6, 7}}) {
      const Tensor t(type, shape);
      EXPECT_EQ(t.bytes(), SizeOf(type) * shape.size());
      ASSERT_NE(t.raw(), nullptr);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(t.raw()) % 64, 0u);
    }
  }
}

TEST(Tensor, BadSizesThrow) {
  struct Case {
    DType type;
    Shape shape;
    Code code;
    std::string text;
  };
  constexpr int64_t kBig = int64_t{1} << 40;
  const Case cases[] = {
      {DType::kFloat, {2, -1}, Code::kInvalidArgument, "[2, -1]"},
      {DType::kUndefined, {2}, Code::kInvalidArgument, "type"},
      {DType::kFloat, {kBig, kBig}, Code::kInvalidArgument, "int64"},
      {DType::kFloat, {kBig, 0, kBig}, Code::kInvalidArgument, "int64"},
      {DType::kDouble, {int64_t{1} << 60}, Code::kInvalidArgument, "int64"},
      {DType::kFloat, {int64_t{1} << 45}, Code::kOutOfMemory, "140737488355328 bytes"},
      {DType::kString, {kBig, 64}, Code::kOutOfMemory, "bytes"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.shape.ToString());
    try {
      Tensor t(c.type, c.shape);
      ADD_FAILURE() << "no error";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), c.code);
      EXPECT_NE(std::string(e.what()).find(c.text), std::string::npos) << e.what();
    }
  }
}

TEST(Tensor, CopiesShareAndClonesDoNot) {
  const auto a = Tensor::From<float>({2, 2}, {1, 2, 3, 4});
  Tensor shared = a;
  EXPECT_EQ(shared.raw(), a.raw());
  Tensor clone = a.Clone();
  EXPECT_NE(clone.raw(), a.raw());
  clone.data<float>()[0] = 9;
  EXPECT_EQ(a.data<float>()[0], 1);
  EXPECT_EQ(a.Reshaped({4}).shape(), Shape({4}));
  EXPECT_FALSE(Tensor().Clone().defined());
  EXPECT_EQ(Tensor(DType::kFloat, {0, 3}).Clone().shape(), Shape({0, 3}));
}

TEST(Tensor, StringsAreMadeAndFreed) {
  const std::string longer(100, 'x');
  Tensor a(DType::kString, {3});
  for (const auto& s : a.span<std::string>()) EXPECT_TRUE(s.empty());
  a.data<std::string>()[1] = longer;
  Tensor b = a.Clone();
  a.data<std::string>()[1] = "short";
  EXPECT_EQ(b.data<std::string>()[1], longer);
}

TEST(Tensor, FromChecksTheCount) { EXPECT_THROW(Tensor::From<int64_t>({3}, {1, 2}), Error); }

TEST(DType, NamesAreDistinct) {
  std::set<std::string_view> names;
  for (int i = 0; i < kNumDTypes; ++i) names.insert(Name(static_cast<DType>(i)));
  EXPECT_EQ(names.size(), static_cast<size_t>(kNumDTypes));
  EXPECT_EQ(Name(DType::kUndefined), "undefined");
  EXPECT_EQ(Name(DType::kFloat8E4M3FNUZ), "float8e4m3fnuz");
  EXPECT_EQ(Name(DType::kInt2), "int2");
  EXPECT_EQ(Name(static_cast<DType>(200)), "undefined");
}

TEST(Visit, GivesTheTypeOfEachDType) {
  for (int i = 1; i < kNumDTypes; ++i) {
    const auto type = static_cast<DType>(i);
    EXPECT_EQ(VisitAll(type, []<class T>() { return kDTypeOf<T>; }), type);
    EXPECT_EQ(VisitAll(type, []<class T>() { return sizeof(T); }), SizeOf(type));
    EXPECT_EQ(VisitBySize(type, []<class T>() { return sizeof(T); }), SizeOf(type));
  }
}

TEST(Visit, CoversWhatItSays) {
  struct Case {
    DType type;
    bool is_float, numeric, integer, index;
  };
  const Case cases[] = {
      {DType::kFloat, true, true, false, false},       {DType::kFloat16, true, true, false, false},
      {DType::kInt64, false, true, true, true},        {DType::kUint8, false, true, true, false},
      {DType::kInt32, false, true, true, true},        {DType::kBool, false, false, false, false},
      {DType::kString, false, false, false, false},    {DType::kInt4, false, false, false, false},
      {DType::kUndefined, false, false, false, false},
  };
  const auto covers = [](auto visit) {
    try {
      visit();
      return true;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Code::kUnsupported);
      return false;
    }
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(Name(c.type));
    const auto nothing = []<class T>() {};
    EXPECT_EQ(covers([&] { VisitFloat(c.type, nothing); }), c.is_float);
    EXPECT_EQ(covers([&] { VisitNumeric(c.type, nothing); }), c.numeric);
    EXPECT_EQ(covers([&] { VisitInteger(c.type, nothing); }), c.integer);
    EXPECT_EQ(covers([&] { VisitIndex(c.type, nothing); }), c.index);
    EXPECT_EQ(covers([&] { VisitAll(c.type, nothing); }), c.type != DType::kUndefined);
  }
}

}  // namespace
}  // namespace slipway
