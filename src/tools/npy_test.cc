#include "tools/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <complex>
#include <cstring>
#include <fstream>

#include "core/dtype_visit.h"

namespace slipway {
namespace {

std::string Path(const std::string& name) { return testing::TempDir() + "npy_test_" + name; }

/// A file of format 1 with this header and these bytes.
std::string Write(const std::string& name, const std::string& header, const std::string& data) {
  const std::string path = Path(name);
  std::ofstream file(path, std::ios::binary);
  file << "\x93NUMPY" << '\1' << '\0' << static_cast<char>(header.size()) << '\0' << header << data;
  return path;
}

TEST(Npy, GivesBackWhatWasWritten) {
  for (int i = 1; i < kNumDTypes; ++i) {
    const auto type = static_cast<DType>(i);
    if (type == DType::kString) continue;
    for (const Shape& shape : {Shape{}, Shape{3}, Shape{2, 3}, Shape{0, 4}}) {
      Tensor t(type, shape);
      for (size_t b = 0; b < t.bytes(); ++b)
        static_cast<uint8_t*>(t.raw())[b] = static_cast<uint8_t>(type == DType::kBool ? b % 2 : b);
      WriteNpy(Path("round"), t);
      const Tensor back = ReadNpy(Path("round"), type);
      ASSERT_EQ(back.dtype(), type) << Name(type);
      ASSERT_EQ(back.shape(), shape) << Name(type);
      EXPECT_EQ(std::memcmp(back.raw(), t.raw(), t.bytes()), 0) << Name(type);
    }
  }
}

TEST(Npy, ReadsOtherOrders) {
  const std::string big("\0\1\0\2\0\3\0\4\0\5\0\6", 12);
  const std::string path = Write("orders", "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }", big);
  const Tensor t = ReadNpy(path);
  EXPECT_EQ(t.dtype(), DType::kInt16);
  EXPECT_THAT(t.span<int16_t>(), testing::ElementsAre(1, 3, 5, 2, 4, 6));
}

TEST(Npy, RefusesWhatItCannotRead) {
  const struct {
    std::string header, data, want;
  } cases[] = {
      {"{'descr': '<U3', 'fortran_order': False, 'shape': (1,), }", "", "strings"},
      {"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "", "strings or objects"},
      {"{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (1,), }", "", "records"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "1234", "cut short"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4611686018427387904), }", "",
       "cut short"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", "", "header"},
      {"{'descr': '<f4', 'fortran_order'", "", "header"},
      {"", "", "header"},
      {"{'descr': '|V2', 'fortran_order': False, 'shape': (1,), }", "12", "V2"},
      {"{'descr': '', 'fortran_order': False, 'shape': (1,), }", "12", "none of a tensor's"},
  };
  for (const auto& c : cases) {
    const std::string path = Write("bad", c.header, c.data);
    try {
      ReadNpy(path);
      ADD_FAILURE() << c.header;
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), testing::HasSubstr(c.want)) << c.header;
    }
  }
  EXPECT_THROW(ReadNpy(Path("absent")), Error);
  EXPECT_THROW(WriteNpy(Path("text"), Tensor::From<std::string>({1}, {"a"})), Error);
  EXPECT_THROW(WriteNpy(Path("no/folder"), Tensor::From<float>({1}, {1})), Error);
}

}  // namespace
}  // namespace slipway
