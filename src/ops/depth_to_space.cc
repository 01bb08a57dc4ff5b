#include "kernels/copy/strided_copy.h"
#include "ops/shape_math.h"

namespace slipway {
namespace {

struct Blocks {
  int64_t size = 1;
  bool depth_first = true;  ///< mode DCR: the block's place is the outer part of the channel number
};

Blocks ParseBlocks(const Attributes& a) {
  const std::string mode = a.String("mode", "DCR");
  if (mode != "DCR" && mode != "CRD")
    throw Error(Code::kBadGraph, fmt::format("mode is '{}', but must be DCR or CRD.", mode));
  const int64_t size = a.RequiredInt("blocksize");
  if (size < 1 || size > INT32_MAX)
    throw Error(Code::kBadGraph, fmt::format("blocksize is {}, but must be 1 or more.", size));
  return {.size = size, .depth_first = mode == "DCR"};
}

/// Between [n, deep, h, w] and [n, channels, h * b, w * b]: one copy over six axes, n c bh bw h w, either way.
void MoveBlocks(RunContext& c, const Blocks& blocks, bool to_space) {
  const Tensor& x = c.In(0);
  Tensor& y = c.Out(0);
  const Shape& deep = to_space ? x.shape() : y.shape();
  const int64_t b = blocks.size, h = deep[2], w = deep[3], channels = deep[1] / (b * b);
  const int64_t plane = h * w, whole = deep[1] * plane;
  const int64_t c_step = blocks.depth_first ? plane : b * b * plane,
                block_step = blocks.depth_first ? channels * plane : plane;
  const int64_t deep_strides[] = {whole, c_step, w, b * block_step, 1, block_step};
  const int64_t wide_strides[] = {whole, b * b * plane, b * b * w, b * w, b, 1};
  const int64_t shape[] = {deep[0], channels, h, b, w, b};
  kernels::StridedCopy(x.dtype(), shape, x.raw(), to_space ? deep_strides : wide_strides, y.raw(),
                       to_space ? wide_strides : deep_strides, c.threads());
}

}  // namespace

/// Channels become blocks of pixels: [n, c * b * b, h, w] to [n, c, h * b, w * b]. ONNX DepthToSpace, since 28.
struct DepthToSpace {
  Blocks blocks;
  static DepthToSpace Parse(const Attributes& a) { return {ParseBlocks(a)}; }
  void Infer(InferContext& c) const {
    c.ExpectRank(0, 4, 4);
    if (!c.HasRank(0)) return c.Out(0, c.Elem(0), SymbolicShape::OfRank(4));
    const SymbolicShape& x = c.Shape(0);
    const Dim b = blocks.size;
    if (x[1].is_const() && x[1].value() % (b * b).value() != 0) {
      c.Fail("{} channels cannot be blocks of {} x {}.", x[1].value(), blocks.size, blocks.size);
    }
    c.Out(0, c.Elem(0), {x[0], FloorDiv(x[1], b * b), x[2] * b, x[3] * b});
  }
  void Run(RunContext& c) const { MoveBlocks(c, blocks, true); }
};
extern const OpDef kDepthToSpace = Define<DepthToSpace>({.name = "DepthToSpace", .since = 28});

/// Blocks of pixels become channels: the inverse of DepthToSpace. ONNX SpaceToDepth, since 28.
struct SpaceToDepth {
  Blocks blocks;
  static SpaceToDepth Parse(const Attributes& a) { return {ParseBlocks(a)}; }
  void Infer(InferContext& c) const {
    c.ExpectRank(0, 4, 4);
    if (!c.HasRank(0)) return c.Out(0, c.Elem(0), SymbolicShape::OfRank(4));
    const SymbolicShape& x = c.Shape(0);
    const Dim b = blocks.size;
    for (int i = 2; i < 4; ++i) {
      if (x[i].is_const() && x[i].value() % blocks.size != 0)
        c.Fail("axis {} of size {} is no multiple of {}.", i, x[i].value(), blocks.size);
    }
    c.Out(0, c.Elem(0), {x[0], x[1] * b * b, FloorDiv(x[2], b), FloorDiv(x[3], b)});
  }
  void Run(RunContext& c) const { MoveBlocks(c, blocks, false); }
};
extern const OpDef kSpaceToDepth = Define<SpaceToDepth>({.name = "SpaceToDepth", .since = 28});

}  // namespace slipway
