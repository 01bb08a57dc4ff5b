"""Random nodes: for each operator, shapes with axes of 0 and 1, broadcasting, negative axes, attributes and all types
that its schema allows. A maker takes a Draw and gives the node's inputs (arrays, or None) and attributes."""

import math

import ml_dtypes
import numpy as np

from onnx import defs

OPSET = 21  # What the peers know; operators that came later are taken at their first opset.

DTYPES = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(double)": np.dtype(np.float64),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(bfloat16)": np.dtype(ml_dtypes.bfloat16),
    "tensor(bool)": np.dtype(bool),
    "tensor(string)": np.dtype(object),
    **{f"tensor({s}int{b})": np.dtype(f"{s}int{b}") for s in ("", "u") for b in (8, 16, 32, 64)},
}


def is_float(dtype):
    return dtype.kind in "fV" or dtype == ml_dtypes.bfloat16


class Draw:
    """A seeded source of shapes, numbers and choices; `dtype` is the type drawn for the operator's first input."""

    def __init__(self, seed, dtype):
        self.rng = np.random.default_rng(seed)
        self.dtype = dtype

    def pick(self, *choices):
        return choices[self.rng.integers(len(choices))]

    def maybe(self, chance=0.5):
        return self.rng.random() < chance

    def size(self, low=0, high=7):
        """Mostly small, 1 often, 0 now and then."""
        n = int(self.pick(1, self.rng.integers(2, high + 1), self.rng.integers(2, high + 1), self.rng.integers(2, 40)))
        return max(low, 0 if self.maybe(0.05) else n)

    def shape(self, low=0, high=4, least=0):
        return tuple(self.size(least) for _ in range(self.rng.integers(low, high + 1)))

    def axis(self, rank):
        return int(self.rng.integers(-rank, rank))

    def axes(self, rank):
        count = self.rng.integers(0, rank + 1)
        chosen = self.rng.permutation(rank)[:count]
        return np.array([a - rank if self.maybe() else a for a in chosen], np.int64)

    def fill(self, shape, dtype=None, low=-4, high=4):
        dtype = np.dtype(dtype or self.dtype)
        if dtype.kind == "O":
            return np.array([f"s{n}" for n in self.rng.integers(0, 9, math.prod(shape))], object).reshape(shape)
        if dtype.kind == "b":
            return np.asarray(self.rng.random(shape) < 0.5)
        if is_float(dtype):
            return np.asarray(self.rng.uniform(low, high, shape)).astype(dtype)
        return np.asarray(self.rng.integers(0 if dtype.kind == "u" else low, high + 1, shape)).astype(dtype)

    def ints(self, low, high, shape=(), dtype=np.int64):
        return np.asarray(self.rng.integers(low, max(low + 1, high), shape)).astype(dtype)

    def broadcastable(self, shape):
        """A shape that broadcasts to this one."""
        kept = shape[self.rng.integers(0, len(shape) + 1) :]
        return tuple(1 if self.maybe(0.3) else d for d in kept)


def unary(low=-4, high=4, **attributes):
    def make(d):
        return [d.fill(d.shape(), low=low, high=high)], {k: f(d) for k, f in attributes.items() if d.maybe()}

    return make


def binary(low=-4, high=4, second_low=None):
    def make(d):
        shape = d.shape()
        other = d.broadcastable(shape)
        a, b = d.fill(shape, low=low, high=high), d.fill(other, low=second_low or low, high=high)
        if second_low and not is_float(a.dtype):
            b = np.where(b == 0, 1, b).astype(b.dtype)
        return [a, b] if second_low or d.maybe() else [b, a], {}

    return make


def variadic(d):
    shape = d.shape()
    return [d.fill(shape)] + [d.fill(d.broadcastable(shape)) for _ in range(d.rng.integers(0, 3))], {}


def reduction(low=-3, least=0):
    def make(d):
        shape = d.shape(least=least)
        axes = d.axes(len(shape)) if d.maybe(0.8) else None
        return [d.fill(shape, low=low, high=3), axes], {
            "keepdims": int(d.maybe()),
            "noop_with_empty_axes": int(d.maybe(0.3)),
        }

    return make


def along_axis(d):
    shape = d.shape(1, least=1)
    return [d.fill(shape)], {"axis": d.axis(len(shape))} if d.maybe(0.8) else {}


def arg(d):
    inputs, attributes = along_axis(d)
    return inputs, attributes | {"keepdims": int(d.maybe()), "select_last_index": int(d.maybe())}


def transpose(d):
    shape = d.shape(0, 5)
    return [d.fill(shape)], {"perm": [int(p) for p in d.rng.permutation(len(shape))]} if d.maybe(0.8) and shape else {}


def concat(d):
    shape = list(d.shape(1))
    axis = d.axis(len(shape))
    parts = []
    for _ in range(d.rng.integers(1, 4)):
        shape[axis] = d.size()
        parts.append(d.fill(tuple(shape)))
    return parts, {"axis": axis}


def split(d):
    shape = list(d.shape(1))
    axis = d.axis(len(shape))
    lengths = d.ints(0, 5, 3)
    shape[axis] = int(lengths.sum())
    return [d.fill(tuple(shape)), lengths], {"axis": axis}


def slices(d):
    shape = d.shape(1)
    axes = d.axes(len(shape))
    n = len(axes)
    limits = [d.ints(-12, 13, n), d.ints(-12, 13, n)]
    steps = np.where(d.rng.random(n) < 0.5, d.ints(1, 4, n), d.ints(-3, 0, n))
    index = d.pick(np.int32, np.int64)
    return [d.fill(shape), *(v.astype(index) for v in (*limits, axes, steps))], {}


def pad(d):
    shape = d.shape(1, least=1)
    mode = d.pick("constant", "constant", "reflect", "edge", "wrap")
    if mode == "reflect":
        pads = np.array([d.rng.integers(0, max(1, s)) for s in shape * 2])
    else:
        pads = d.ints(0 if mode != "constant" else -1, 4, 2 * len(shape))
        pads = np.where(np.array(shape * 2) < 3, np.abs(pads), pads)
    value = d.fill(()) if mode == "constant" and d.maybe() else None
    return [d.fill(shape), pads.astype(np.int64), value], {"mode": mode}


def gather(d):
    shape = d.shape(1, 3, least=1)
    axis = d.axis(len(shape))
    n = shape[axis]
    return [d.fill(shape), d.ints(-n, n, d.shape(0, 2), d.pick(np.int32, np.int64))], {"axis": axis}


def gather_elements(d):
    shape = d.shape(1, 3, least=1)
    axis = d.axis(len(shape))
    n = shape[axis]
    index = list(shape)
    index[axis] = d.size(1)
    return [d.fill(shape), d.ints(-n, n, index)], {"axis": axis}


def gather_nd(d):
    shape = d.shape(1, 4, least=1)
    batch = int(d.rng.integers(0, len(shape)))
    depth = int(d.rng.integers(1, len(shape) - batch + 1))
    head = shape[:batch] + d.shape(1 if not batch else 0, 2, least=1)
    columns = [d.ints(-n, n, head) for n in shape[batch : batch + depth]]
    return [d.fill(shape), np.stack(columns, -1)], {"batch_dims": batch}


def reductions_of(d):
    return d.pick("none", *(("add", "mul", "max", "min") if d.dtype.kind in "iuf" else ()))


def scatter_elements(d):
    shape = d.shape(1, 3, least=1)
    axis = d.axis(len(shape))
    reduction = reductions_of(d)
    n = shape[axis]
    part = list(shape)
    part[axis] = int(d.rng.integers(1, n + 1))
    order = np.argsort(d.rng.random(shape), axis)  # no place twice
    index = np.take(order, range(part[axis]), axis) - (n if d.maybe() else 0)
    return [d.fill(shape), index.astype(np.int64), d.fill(part)], {"axis": axis, "reduction": reduction}


def scatter_nd(d):
    shape = d.shape(1, 3, least=1)
    count = int(d.rng.integers(1, shape[0] + 1))
    index = d.rng.permutation(shape[0])[:count, None].astype(np.int64)
    return [d.fill(shape), index, d.fill((count, *shape[1:]))], {"reduction": reductions_of(d)}


def reshape(d):
    shape = d.shape(0, 4)
    target = list(d.rng.permutation(np.array(shape, np.int64)))
    if target and 0 not in shape and d.maybe():
        target[d.rng.integers(len(target))] = -1
    return [d.fill(shape), np.array(target, np.int64)], {"allowzero": 1} if 0 in shape else {}


def expand(d):
    shape = d.shape()
    return [d.fill(d.broadcastable(shape)), np.array(shape, np.int64)], {}


def tile(d):
    shape = d.shape(0, 3)
    return [d.fill(shape), d.ints(0, 4, len(shape))], {}


def squeeze(d):
    shape = d.shape(1)
    ones = [i for i, s in enumerate(shape) if s == 1]
    chosen = [i - len(shape) if d.maybe() else i for i in ones if d.maybe(0.7)]
    return [d.fill(shape), np.array(chosen, np.int64) if chosen or d.maybe() else None], {}


def unsqueeze(d):
    shape = d.shape(0, 3)
    rank = len(shape) + int(d.rng.integers(1, 3))
    axes = d.rng.permutation(rank)[: rank - len(shape)]
    return [d.fill(shape), np.array([a - rank if d.maybe() else a for a in axes], np.int64)], {}


def flatten(d):
    shape = d.shape(1)
    return [d.fill(shape)], {"axis": int(d.rng.integers(-len(shape), len(shape) + 1))}


def top_k(d):
    shape = d.shape(1, 3, least=1)
    axis = d.axis(len(shape))
    k = int(d.rng.integers(0, shape[axis] + 1))
    values = d.rng.permutation(math.prod(shape)).reshape(shape).astype(d.dtype)  # no equal ones within reach
    return [values % 120 if values.dtype.itemsize == 1 else values, np.array([k])], {
        "axis": axis,
        "largest": int(d.maybe()),
    }


def cumulative(d):
    shape = d.shape(1)
    return [d.fill(shape), np.array(d.axis(len(shape)), np.int64)], {
        "exclusive": int(d.maybe()),
        "reverse": int(d.maybe()),
    }


def where(d):
    shape = d.shape()
    return [d.fill(d.broadcastable(shape), bool), d.fill(shape), d.fill(d.broadcastable(shape))], {}


def clip(d):
    bounds = sorted(d.fill((2,)).tolist())
    return [d.fill(d.shape()), *(np.array(b, d.dtype) if d.maybe(0.8) else None for b in bounds)], {}


def matmul(d):
    m, k, n = d.size(), d.size(), d.size()
    batch = d.shape(0, 2, least=1)
    a, b = (*batch, m, k), (*d.broadcastable(batch), k, n)
    if d.maybe(0.15):
        a = (k,)
    elif d.maybe(0.15):
        b = (k,)
    return [d.fill(a), d.fill(b)], {}


def gemm(d):
    m, k, n = d.size(1), d.size(1), d.size(1)
    ta, tb = int(d.maybe()), int(d.maybe())
    c = d.fill(d.pick((), (n,), (1, n), (m, 1), (m, n))) if d.maybe(0.7) else None
    integers = not is_float(d.dtype)
    scales = {} if integers else {"alpha": d.pick(1.0, 0.5), "beta": d.pick(1.0, 2.0)}
    return [d.fill((k, m) if ta else (m, k)), d.fill((n, k) if tb else (k, n)), c], {
        "transA": ta,
        "transB": tb,
    } | scales


def einsum(d):
    equation = d.pick(
        "ij,jk->ik", "bij,bjk->bik", "bhid,bhjd->bhij", "i,j->ij", "ii->i", "ij->ji", "bij->b", "...ij,...jk->...ik"
    )
    sizes = {c: d.size(1) for c in "bhijkd"}
    terms = equation.split("->")[0].split(",")
    shapes = [tuple(sizes[c] for c in t.replace("...", "b")) for t in terms]
    return [d.fill(s) for s in shapes], {"equation": equation}


def windowed(d, rank, channels):
    kernel = [int(k) for k in d.ints(1, 4, rank)]
    attributes = {"strides": [int(s) for s in d.ints(1, 4, rank)]}
    extent = kernel
    if d.maybe(0.3):
        attributes["dilations"] = [int(s) for s in d.ints(1, 3, rank)]
        extent = [(k - 1) * s + 1 for k, s in zip(kernel, attributes["dilations"], strict=True)]
    # Peers differ from the specification, and from each other, where windows leave gaps or are dilated.
    gaps = any(s > k for s, k in zip(attributes["strides"], kernel, strict=True))
    if d.maybe(0.25) and not gaps and extent == kernel:
        attributes["auto_pad"] = d.pick("SAME_UPPER", "SAME_LOWER", "VALID")
    else:
        attributes["pads"] = [int(p) for p in d.ints(0, 2, 2 * rank) * (np.array(kernel * 2) > 1)]
    image = (d.size(0, 3), channels, *(int(d.rng.integers(e, e + 9)) for e in extent))
    return image, kernel, attributes


def conv(d):
    rank, group = d.pick(1, 2, 2, 2, 3), d.pick(1, 1, 2, 4)
    per, outs = d.pick(1, 2, 3), d.pick(1, 2, 5)
    image, kernel, attributes = windowed(d, rank, per * group)
    bias = d.fill((outs * group,)) if d.maybe() else None
    return [d.fill(image, low=-1, high=1), d.fill((outs * group, per, *kernel), low=-1, high=1), bias], attributes | {
        "group": group
    }


def conv_transpose(d):
    rank, group = d.pick(1, 2, 2), d.pick(1, 1, 2)
    per, outs = d.pick(1, 2, 3), d.pick(1, 2, 4)
    kernel = [int(k) for k in d.ints(1, 4, rank)]
    strides = [int(s) for s in d.ints(1, 4, rank)]
    pads = [int(p) for p in d.ints(0, 2, 2 * rank) * (np.array(kernel * 2) > 2)]
    extra = [int(d.rng.integers(0, s)) for s in strides]
    x = d.fill((d.size(1, 3), per * group, *(d.size(2) for _ in range(rank))), low=-1, high=1)
    return [x, d.fill((per * group, outs, *kernel), low=-1, high=1), d.fill((outs * group,)) if d.maybe() else None], {
        "strides": strides,
        "pads": pads,
        "output_padding": extra,
        "group": group,
    }


def pool(**more):
    def make(d):
        image, kernel, attributes = windowed(d, d.pick(1, 2, 2, 3), d.size(1, 5))
        more_now = {k: f(d) for k, f in more.items()}
        if attributes.get("auto_pad") and "ceil_mode" in more_now:
            more_now["ceil_mode"] = 0
        return [d.fill(image)], attributes | {"kernel_shape": kernel} | more_now

    return make


def batch_normalization(d):
    shape = (d.size(1), d.size(1), *d.shape(0, 2, least=1))
    c = (shape[1],)
    return [d.fill(shape), d.fill(c), d.fill(c), d.fill(c), d.fill(c, low=0.2)], {"epsilon": d.pick(1e-5, 1e-3)}


def channel_normalization(d):
    shape = (d.size(1), d.size(1), *(d.size(2) for _ in range(d.rng.integers(1, 3))))
    return [d.fill(shape), d.fill((shape[1],)), d.fill((shape[1],))], {}


def group_normalization(d):
    groups, per = d.pick(1, 2, 3), d.pick(2, 4)
    shape = (d.size(1), groups * per, d.size(2), d.size(2))
    return [d.fill(shape), d.fill((groups * per,)), d.fill((groups * per,))], {"num_groups": groups}


def layer_normalization(d):
    shape = d.shape(1, 4, least=2)
    axis = d.axis(len(shape))
    rest = shape[axis:]
    return [d.fill(shape), d.fill(rest), d.fill(rest) if d.maybe() else None], {"axis": axis}


def image_normalization(d):
    return [d.fill((d.size(1), d.size(1), d.size(1), d.size(1)))], {"size": d.pick(1, 3, 5)}


def p_norm(d):
    inputs, attributes = along_axis(d)
    return inputs, attributes | {"p": d.pick(1, 2)}


def one_hot(d):
    shape = d.shape(0, 3)
    index = d.pick(np.int32, np.int64, np.float32)
    return [d.ints(-5, 8, shape, index), np.array(d.size(1)), d.fill((2,), np.float32)], {
        "axis": d.axis(len(shape) + 1)
    }


def trilu(d):
    shape = d.shape(2, 4)
    return [d.fill(shape), np.array(d.rng.integers(-5, 6)) if d.maybe() else None], {"upper": int(d.maybe())}


def blocks_to_space(d):
    b = d.pick(1, 2, 3)
    shape = (d.size(1), d.size(1, 3) * b * b, d.size(1), d.size(1))
    return [d.fill(shape)], {"blocksize": b, "mode": d.pick("DCR", "CRD")}


def space_to_blocks(d):
    b = d.pick(1, 2, 3)
    return [d.fill((d.size(1), d.size(1), d.size(1, 3) * b, d.size(1, 3) * b))], {"blocksize": b}


def reverse_sequence(d):
    shape = d.shape(2, 4, least=1)
    batch = d.pick(0, 1)
    lens = d.ints(1, shape[1 - batch] + 1, shape[batch])
    return [d.fill(shape), lens], {"batch_axis": batch, "time_axis": 1 - batch}


def compress(d):
    shape = d.shape(1, least=1)
    axis = d.axis(len(shape)) if d.maybe() else None
    n = shape[axis] if axis is not None else math.prod(shape)
    return [d.fill(shape), d.fill((int(d.rng.integers(0, n + 1)),), bool)], {} if axis is None else {"axis": axis}


def sequence_range(d):
    start, delta = (float(v) for v in d.ints(-9, 9, 2))
    return [np.array(v, d.dtype) for v in (start, d.rng.integers(-30, 30), delta or 2.0)], {}


def eye(d):
    return [d.fill(d.shape(2, 2))], {"k": int(d.rng.integers(-4, 5))}


def unique(d):
    shape = d.shape(1, 3, least=1)
    return [d.fill(shape)], {"sorted": 1} | ({"axis": d.axis(len(shape))} if d.maybe() else {})


def cast(d):
    numbers = [t for t in DTYPES.values() if t.kind != "O"]
    to = d.pick(*numbers)
    from onnx import helper

    return [d.fill(d.shape(), low=0, high=4)], {"to": helper.np_dtype_to_tensor_dtype(to)}


def recurrent(gates, **more):
    def make(d):
        steps, batch, size, hidden = (d.size(1, 5) for _ in range(4))
        direction = d.pick("forward", "reverse", "bidirectional")
        n = 2 if direction == "bidirectional" else 1
        inputs = [
            d.fill((steps, batch, size), low=-1, high=1),
            d.fill((n, gates * hidden, size), low=-1, high=1),
            d.fill((n, gates * hidden, hidden), low=-1, high=1),
            d.fill((n, 2 * gates * hidden), low=-1, high=1) if d.maybe() else None,
            d.ints(1, steps + 1, (batch,), np.int32) if d.maybe(0.3) else None,
            d.fill((n, batch, hidden), low=-1, high=1) if d.maybe() else None,
        ]
        return inputs, {"hidden_size": hidden, "direction": direction} | {k: f(d) for k, f in more.items()}

    return make


def resize(d):
    rank = d.pick(1, 2, 2, 3)
    shape = (d.size(1, 3), d.size(1, 3), *(int(d.rng.integers(1, 9)) for _ in range(rank)))
    mode = d.pick("nearest", "linear", "cubic") if rank == 2 else d.pick("nearest", "linear")
    scales = np.array([1, 1, *(float(d.pick(0.5, 0.8, 1, 1.5, 2, 3)) for _ in range(rank))], np.float32)
    scales = np.where(np.floor(np.array(shape) * scales) < 1, 1, scales).astype(np.float32)
    coordinates = d.pick("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
    return [d.fill(shape), None, scales], {
        "mode": mode,
        "coordinate_transformation_mode": coordinates,
        **({"nearest_mode": d.pick("floor", "ceil", "round_prefer_floor")} if mode == "nearest" else {}),
    }


def small(d):
    return float(d.pick(0.1, 0.5, 2.0))


MAKERS = {
    **dict.fromkeys(["Abs", "Ceil", "Erf", "Exp", "Floor", "HardSwish", "Neg", "Round", "Sigmoid", "Sign"], unary()),
    **dict.fromkeys(["Relu", "Softplus", "Softsign", "Tanh", "Mish", "Sin", "Cos", "Atan", "Sinh", "Cosh"], unary()),
    **dict.fromkeys(["Asinh", "Identity", "IsNaN", "Not", "BitwiseNot", "NonZero", "Shape", "Size"], unary()),
    **dict.fromkeys(["Log", "Sqrt", "Reciprocal"], unary(1, 6)),
    **dict.fromkeys(["Asin", "Acos", "Atanh"], unary(-0.9, 0.9)),
    "Acosh": unary(1.1, 5),
    "Tan": unary(-1.2, 1.2),
    "IsInf": unary(detect_negative=lambda d: int(d.maybe()), detect_positive=lambda d: int(d.maybe())),
    "Elu": unary(alpha=small),
    "Celu": unary(alpha=small),
    "LeakyRelu": unary(alpha=small),
    "ThresholdedRelu": unary(alpha=small),
    "Selu": unary(alpha=small, gamma=small),
    "HardSigmoid": unary(alpha=small, beta=small),
    "Shrink": unary(lambd=small, bias=small),
    "Gelu": unary(approximate=lambda d: d.pick("none", "tanh")),
    **dict.fromkeys(["Add", "Sub", "Mul", "And", "Or", "Xor", "BitwiseAnd", "BitwiseOr", "BitwiseXor"], binary()),
    **dict.fromkeys(["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"], binary()),
    "Div": binary(second_low=1),
    "Mod": lambda d: (binary(second_low=1)(d)[0], {"fmod": int(is_float(d.dtype) or d.maybe())}),
    "Pow": binary(1, 3, second_low=1),
    "PRelu": lambda d: (lambda s: ([d.fill(s), d.fill(d.broadcastable(s))], {}))(d.shape()),
    **dict.fromkeys(["Max", "Min", "Sum", "Mean"], variadic),
    **dict.fromkeys(["ReduceSum", "ReduceSumSquare", "ReduceL1", "ReduceProd"], reduction()),
    **dict.fromkeys(["ReduceMean", "ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceMin"], reduction(least=1)),
    "ReduceLogSum": reduction(low=1, least=1),
    **dict.fromkeys(["Softmax", "LogSoftmax", "Hardmax"], along_axis),
    **dict.fromkeys(["ArgMax", "ArgMin"], arg),
    "LpNormalization": p_norm,
    "Transpose": transpose,
    "Concat": concat,
    "Split": split,
    "Slice": slices,
    "Pad": pad,
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
    "Reshape": reshape,
    "Expand": expand,
    "Tile": tile,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Flatten": flatten,
    "TopK": top_k,
    "CumSum": cumulative,
    "Where": where,
    "Clip": clip,
    "MatMul": matmul,
    "Gemm": gemm,
    "Einsum": einsum,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "MaxPool": pool(ceil_mode=lambda d: int(d.maybe(0.3))),
    "AveragePool": pool(ceil_mode=lambda d: int(d.maybe(0.3)), count_include_pad=lambda d: int(d.maybe())),
    "LpPool": pool(p=lambda d: d.pick(1, 2, 3)),
    **dict.fromkeys(["GlobalAveragePool", "GlobalMaxPool"], lambda d: (channel_normalization(d)[0][:1], {})),
    "BatchNormalization": batch_normalization,
    "InstanceNormalization": channel_normalization,
    "GroupNormalization": group_normalization,
    "LayerNormalization": layer_normalization,
    "LRN": image_normalization,
    "OneHot": one_hot,
    "Trilu": trilu,
    "DepthToSpace": blocks_to_space,
    "SpaceToDepth": space_to_blocks,
    "ReverseSequence": reverse_sequence,
    "Compress": compress,
    "Range": sequence_range,
    "EyeLike": eye,
    "Unique": unique,
    "Cast": cast,
    "RNN": recurrent(1),
    "GRU": recurrent(3, linear_before_reset=lambda d: int(d.maybe())),
    "LSTM": recurrent(4),
    "Resize": resize,
}
OUTPUTS = {"TopK": 2, "Split": 3, "RNN": 2, "GRU": 2, "LSTM": 3, "Unique": 4}


def schema(op):
    newest = defs.onnx_opset_version()
    try:
        return defs.get_schema(op, OPSET), OPSET
    except defs.SchemaError:
        return defs.get_schema(op, newest), newest


def types_of(op):
    """The types of the operator's first input that NumPy and ml_dtypes can hold."""
    form, _ = schema(op)
    allowed = [DTYPES[t] for t in sorted(form.inputs[0].types) if t in DTYPES]
    # The reference evaluator rounds some coordinates otherwise than onnxruntime, which has these.
    return [t for t in allowed if t.name in ("float32", "float64", "float16")] if op == "Resize" else allowed
