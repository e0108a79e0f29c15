"""How to draw operators whose operands hang together: by shapes, ranges of indices, or attributes.

An operator that has no recipe is drawn by its schema alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from onnx import helper

from .draw import DTYPES, Draw, Misfit, Variable
from .operators import Operands, axis, some_axes

Drawn: TypeAlias = "tuple[Operands, dict[str, Any]]"
Recipe: TypeAlias = "Callable[[Draw, Types, int], Drawn]"  # of the opset
Types: TypeAlias = "Sequence[Any]"  # element types of the first operand

RECIPES: dict[str, Recipe] = {}
INT64 = [DTYPES["int64"]]


def recipe(*operators: str) -> Callable[[Recipe], Recipe]:
    def enter(function: Recipe) -> Recipe:
        RECIPES.update(dict.fromkeys(operators, function))
        return function

    return enter


@recipe("MatMul")
def matmul(d: Draw, types: Types, opset: int) -> Drawn:
    a = d.value(types, (1, 2, 2, 3, 4))
    sizes = list(a.array.shape)
    inner, batch = sizes[-1], sizes[:-2]
    if d.flip(0.2):
        return [a, d.value([a.array.dtype], shape=[inner])], {}
    lead = [1 if d.flip(0.2) else s for s in batch[d.rng.randint(0, len(batch)) :]]
    return [a, d.value([a.array.dtype], shape=[*lead, inner, d.size()])], {}


@recipe("Gemm")
def gemm(d: Draw, types: Types, opset: int) -> Drawn:
    a = d.value([t for t in types if t.kind not in "iu"], (2,))  # integers overflow on different ways
    ta, tb = d.flip(), d.flip()
    k, m = a.array.shape if ta else a.array.shape[::-1]
    n = d.size()
    b = d.value([a.array.dtype], shape=[n, k] if tb else [k, n])
    floats = a.array.dtype.kind not in "iu"
    attributes: dict[str, Any] = {"transA": int(ta), "transB": int(tb)}
    if floats and d.flip():
        attributes |= {"alpha": d.rng.choice((0.5, 2.0)), "beta": d.rng.choice((0.5, 1.0, -1.0))}
    return [a, b, d.partner([m, n], [a.array.dtype])] if d.flip(0.7) or opset < 11 else [a, b], attributes


@recipe("Einsum")
def einsum(d: Draw, types: Types, opset: int) -> Drawn:
    a = d.value(types, (2, 3))
    letters = "abc"[: a.array.ndim]
    b = d.value([a.array.dtype], shape=[a.array.shape[-1], d.size()])
    out = "".join(d.rng.sample([*letters[:-1], "d"], len(letters)))
    return [a, b], {"equation": f"{letters},{letters[-1]}d->{out}"}


def window(d: Draw, sizes: Sequence[int], *, pads: bool = True) -> dict[str, Any]:
    """A kernel, strides, dilations and pads over axes of these sizes."""
    kernel = [d.rng.randint(1, min(3, max(s, 1))) for s in sizes]
    found: dict[str, Any] = {"kernel_shape": kernel}
    if d.flip():
        found["strides"] = [d.rng.choice((1, 2, 3)) for _ in sizes]
    if d.flip(0.3):
        found["dilations"] = [d.rng.choice((1, 2)) for _ in sizes]
    if pads and d.flip():
        if d.flip(0.4):
            found["auto_pad"] = d.rng.choice(("SAME_UPPER", "SAME_LOWER", "VALID"))
        else:
            found["pads"] = [d.rng.randint(0, k - 1) for k in kernel * 2]
    elif "dilations" in found:  # a window beyond what it looks at has no place, and the peers fail in their own ways
        found["dilations"] = [
            n if n * (k - 1) < s else 1 for n, k, s in zip(found["dilations"], kernel, sizes, strict=True)
        ]
    return found


@recipe("Conv", "ConvTranspose")
def conv(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (3, 4, 4, 5), low=1)
    channels, *space = x.array.shape[1:]
    found = window(d, space)
    group = d.rng.choice([g for g in (1, 1, 2, 3, channels) if channels % g == 0])
    out = group * d.rng.randint(1, 3)
    w = d.new([out, channels // group, *found["kernel_shape"]], x.array.dtype, constant=0.7)
    inputs = [x, w, d.new([out], x.array.dtype)] if d.flip() else [x, w]
    return inputs, {**found, "group": group}


@recipe("ConvTranspose")
def conv_transpose(d: Draw, types: Types, opset: int) -> Drawn:
    (x, w, *_), found = conv(d, types, opset)
    assert x is not None and w is not None
    group, out = found["group"], d.rng.randint(1, 3)
    if found.get("auto_pad", "") in ("SAME_UPPER", "SAME_LOWER"):
        del found["auto_pad"]
    w = d.new([x.array.shape[1], out, *found["kernel_shape"]], x.array.dtype, constant=0.7)
    if "strides" in found and d.flip(0.3):
        found["output_padding"] = [d.rng.randrange(s) for s in found["strides"]]
    return [x, w, d.new([out * group], x.array.dtype)] if d.flip() else [x, w], found


@recipe("MaxPool", "AveragePool", "LpPool")
def pool(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (3, 4, 4, 5), low=1)
    found = window(d, x.array.shape[2:])
    if opset < 19:
        found.pop("dilations", None)
    if opset >= 19 and d.flip(0.3) and "auto_pad" not in found:
        found["ceil_mode"] = 1
    return [x], found


@recipe("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def global_pool(d: Draw, types: Types, opset: int) -> Drawn:
    return [d.value(types, (3, 4, 5), low=1)], {}


@recipe("LpNormalization")
def lp_normalization(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (1, 2, 3), low=1)
    return [x], {"p": 2, "axis": axis(d, x.array.ndim)}  # the reference has no magnitudes for p = 1


def vectors(count: int, size: int, x: Variable, d: Draw, positive: int = -1) -> list[Variable]:
    bounds = [(0.1, 2.0) if i == positive else (None, None) for i in range(count)]
    return [d.new([size], x.array.dtype, low, high, constant=0.6) for low, high in bounds]


@recipe("BatchNormalization")
def batch_normalization(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (2, 3, 4), low=1)
    return [x, *vectors(4, x.array.shape[1], x, d, 3)], {}


@recipe("InstanceNormalization")
def instance_normalization(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (3, 4), low=1)
    return [x, *vectors(2, x.array.shape[1], x, d)], {}


@recipe("LayerNormalization", "RMSNormalization")
def layer_normalization(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (1, 2, 3, 4), low=1)
    at = axis(d, x.array.ndim)
    shape = x.array.shape[at:]
    return [x, *(d.new(shape, x.array.dtype) for _ in range(1))], {"axis": at}


@recipe("GroupNormalization")
def group_normalization(d: Draw, types: Types, opset: int) -> Drawn:
    group, x = d.rng.randint(1, 3), None
    each = d.rng.randint(1, 3)
    x = d.new([d.size(1), group * each, *d.shape((1, 2), 1)], d.dtype(types))
    return [x, *vectors(2, group * each if opset >= 21 else group, x, d)], {"num_groups": group}


@recipe("LRN")
def lrn(d: Draw, types: Types, opset: int) -> Drawn:
    return [d.value(types, (3, 4), low=1)], {"size": d.rng.choice((1, 3, 5))}


@recipe("Concat")
def concat(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (1, 2, 3, 4))
    at = axis(d, x.array.ndim)
    others: list[Variable] = []
    for _ in range(d.rng.randint(0, 3)):
        shape = list(x.array.shape)
        shape[at] = d.size()
        others.append(d.value([x.array.dtype], shape=shape))
    found = [x, *others]
    d.rng.shuffle(found)
    return found, {"axis": at}


def indices(d: Draw, shape: Sequence[int], size: int) -> Variable:
    if size == 0 and math.prod(shape):
        raise Misfit("nothing to take")
    return d.new(shape, d.dtype([DTYPES["int64"], DTYPES["int32"]]), -size, max(size - 1, 0), constant=0.4)


@recipe("Gather")
def gather(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (1, 2, 3))
    at = axis(d, x.array.ndim)
    return [x, indices(d, d.shape((0, 1, 1, 2)), x.array.shape[at])], {"axis": at}


@recipe("GatherND")
def gather_nd(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (1, 2, 3), low=1)
    rank = x.array.ndim
    batch = d.rng.randrange(rank) if opset >= 12 and d.flip(0.3) else 0
    depth = d.rng.randint(1, rank - batch)
    shape = [*x.array.shape[:batch], *d.shape((0, 1, 2)), depth]
    most = min(x.array.shape[batch : batch + depth])
    found = d.new(shape, np.int64, -most if opset >= 12 else 0, most - 1)
    found.rigid = d.flip(0.97)
    return [x, found], {"batch_dims": batch} if opset >= 12 else {}


@recipe("ScatterElements", "Scatter")
def scatter_elements(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (1, 2, 3), low=1)
    at = axis(d, x.array.ndim) % x.array.ndim
    shape = [d.rng.randint(1, s) for s in x.array.shape]
    size = x.array.shape[at]
    rows = [d.rng.sample(range(size), shape[at]) for _ in range(math.prod(shape) // shape[at])]
    places = np.moveaxis(np.array(rows).reshape([s for i, s in enumerate(shape) if i != at] + [shape[at]]), -1, at)
    found: dict[str, Any] = {"axis": at}
    if opset >= 18 and x.array.dtype != np.bool_ and d.flip():
        found["reduction"] = d.rng.choice(("add", "mul", "max", "min"))
    return [x, d.fixed(places, constant=0.4), d.value([x.array.dtype], shape=shape, exact=True)], found


@recipe("ScatterND")
def scatter_nd(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (1, 2, 3), low=1)
    depth = d.rng.randint(1, x.array.ndim)
    lead = x.array.shape[:depth]
    count = d.rng.randint(1, min(math.prod(lead), 5))
    places = np.stack(np.unravel_index(d.rng.sample(range(math.prod(lead)), count), lead), 1)
    return [
        x, d.fixed(places, constant=0.4), d.value([x.array.dtype], shape=[count, *x.array.shape[depth:]], exact=True),
    ], {}  # fmt: skip


@recipe("OneHot")
def one_hot(d: Draw, types: Types, opset: int) -> Drawn:
    kinds = [DTYPES["int64"], DTYPES["int32"]]
    x = d.value(kinds, (1, 2))
    element = d.dtype([DTYPES["float32"], DTYPES["int64"], DTYPES["int32"]])
    depth = d.fixed(d.rng.randint(1, 6))
    return [x, depth, d.new([2], element)], {"axis": d.rng.randint(-x.array.ndim - 1, x.array.ndim)}


@recipe("TopK")
def top_k(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (1, 2, 3), low=1, exact=True, fits=lambda a: not np.isnan(a.astype(np.float64)).any())
    at = axis(d, x.array.ndim)
    k = d.rng.randint(0 if d.zero else 1, x.array.shape[at])
    found: dict[str, Any] = {"axis": at}
    if opset >= 11:
        found |= {"largest": d.rng.randint(0, 1), "sorted": 1}
    return [x, d.fixed([k])], found


@recipe("CumSum", "CumProd")
def running(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (1, 2, 3))
    return [x, d.fixed(axis(d, x.array.ndim))], {"exclusive": d.rng.randint(0, 1), "reverse": d.rng.randint(0, 1)}


@recipe("Slice")
def slice_(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (1, 2, 3, 4))
    axes = some_axes(d, x.array.ndim)
    far = [-(2**31), -20, 20, 2**31 - 1, 2**63 - 1]
    bounds = [[d.rng.choice([*range(-s - 1, s + 2), *far]) for s in (x.array.shape[a] for a in axes)] for _ in "se"]
    if opset < 10:
        return [x], {"starts": bounds[0], "ends": bounds[1], "axes": axes}
    steps = [d.rng.choice((1, 1, 2, 3, -1, -2)) for _ in axes]
    given = [d.fixed(b) for b in (*bounds, axes, steps)]
    return [x, *given[: d.rng.choice((3, 4, 4))]], {}


@recipe("Split")
def split(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (1, 2, 3))
    at = axis(d, x.array.ndim)
    left, sizes = x.array.shape[at], list[int]()
    for _ in range(d.rng.randint(0, 2)):
        sizes.append(d.rng.randint(0 if d.zero else min(1, left), left))
        left -= sizes[-1]
    sizes.append(left)
    if not d.zero and 0 in sizes:
        raise Misfit("empty part")
    if opset < 13:
        return [x], {"axis": at, "split": sizes, "outputs": len(sizes)}
    if opset >= 18 and d.flip(0.3):
        return [x], {"axis": at, "num_outputs": len(sizes), "outputs": len(sizes)}
    return [x, d.fixed(sizes)], {"axis": at, "outputs": len(sizes)}


@recipe("Pad")
def pad(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (1, 2, 3, 4), low=1)
    mode = d.rng.choice(("constant", "constant", "reflect", "edge", *(("wrap",) if opset >= 19 else ())))
    most = [3 if mode in ("constant", "edge") else s - 1 for s in x.array.shape]
    low = [-1 if mode == "constant" and s > 3 and d.flip(0.2) else 0 for s in x.array.shape]
    pads = [d.rng.randint(a, b) for a, b in zip(low * 2, most * 2, strict=True)]
    if opset < 11:
        return [x], {"pads": pads, "mode": mode}
    inputs: list[Variable | None] = [x, d.fixed(pads)]
    if mode == "constant" and d.flip():
        inputs.append(d.new([], x.array.dtype))
    return inputs, {"mode": mode}


@recipe("Reshape")
def reshape(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types)
    left, shape = x.array.size, list[int]()
    for _ in range(d.rng.randint(0, 3)):
        if left == 0:
            break
        factor = d.rng.choice([f for f in range(1, left + 1) if left % f == 0])
        shape.append(factor)
        left //= factor
    shape.append(left)
    if x.array.size == 0:
        shape = list(x.array.shape)
        d.rng.shuffle(shape)
        return [x, d.fixed(shape)], {"allowzero": 1} if opset >= 14 else {}
    d.rng.shuffle(shape)
    if d.flip(0.4):
        shape[d.rng.randrange(len(shape))] = -1
    return [x, d.fixed(shape)], {}


@recipe("Expand")
def expand(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types)
    shape = [d.size() if s == 1 else d.rng.choice((1, s)) for s in x.array.shape]
    if d.flip(0.3):
        shape = [d.size(), *shape]
    if math.prod(shape) > 3000:
        raise Misfit("too large")
    return [x, d.fixed(shape)], {}


@recipe("Squeeze")
def squeeze(d: Draw, types: Types, opset: int) -> Drawn:
    shape = d.shape((0, 1, 2))
    shape.insert(d.rng.randint(0, len(shape)), 1)
    x = d.new(shape, d.dtype(types)) if d.flip() else d.value(types, (1, 2, 3, 4), fits=lambda a: 1 in a.shape)
    axes = [i - (x.array.ndim if d.flip(0.3) else 0) for i, s in enumerate(x.array.shape) if s == 1]
    axes = axes[: d.rng.randint(1, len(axes))]
    if d.flip(0.15):
        return [x], {}
    return ([x], {"axes": axes}) if opset < 13 else ([x, d.fixed(axes)], {})


@recipe("Unsqueeze")
def unsqueeze(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (0, 1, 2, 3))
    more = d.rng.randint(1, 2)
    rank = x.array.ndim + more
    axes = [a - (rank if d.flip(0.3) else 0) for a in d.rng.sample(range(rank), more)]
    return ([x], {"axes": axes}) if opset < 13 else ([x, d.fixed(axes)], {})


@recipe("Range")
def arange(d: Draw, types: Types, opset: int) -> Drawn:
    element = d.dtype([t for t in types if t.name in ("int64", "int32", "float32", "float64")])
    step = d.rng.choice((1, 2, 3, -1, -2))
    start, count = d.rng.randint(-4, 4), d.rng.randint(0, 9)
    return [d.fixed(np.asarray(v), element) for v in (start, start + count * step, step)], {}


@recipe("ConstantOfShape")
def constant_of_shape(d: Draw, types: Types, opset: int) -> Drawn:
    return [d.fixed(d.shape((0, 1, 2, 3)))], {}


@recipe("EyeLike")
def eye_like(d: Draw, types: Types, opset: int) -> Drawn:
    return [d.value(types, (2,))], {"k": d.rng.randint(-3, 3)}


@recipe("DepthToSpace", "SpaceToDepth")
def depth_to_space(d: Draw, types: Types, opset: int) -> Drawn:
    block = d.rng.choice((1, 2, 3))
    c, h, w = d.rng.randint(1, 3), d.rng.randint(1, 3), d.rng.randint(1, 3)
    x = d.new([d.size(1), c * block * block, h * block, w * block], d.dtype(types))
    return [x], {"blocksize": block}


@recipe("ReverseSequence")
def reverse_sequence(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (2, 3), low=1)
    batch = d.rng.randint(0, 1)
    sizes = x.array.shape
    return [x, d.new([sizes[batch]], np.int64, 1, sizes[1 - batch])], {"batch_axis": batch, "time_axis": 1 - batch}


@recipe("Clip")
def clip(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types)
    if opset < 11:
        return [x], {"min": -0.5, "max": 1.25}
    low, high = (d.new([], x.array.dtype, a, b) if d.flip(0.7) else None for a, b in ((0, 1), (2, 5)))
    return [x, low, high], {}


@recipe("Resize")
def resize(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (2, 3, 4), low=1, exact=True)
    if x.array.dtype.kind in "iu":
        return resize_integers(d, x, opset)
    mode = d.rng.choice(("nearest", "linear", "cubic")) if x.array.ndim in (2, 4) else "nearest"
    places = ("half_pixel", "asymmetric", "pytorch_half_pixel", "align_corners")
    found: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": d.rng.choice(places)}
    if mode == "nearest":
        found["nearest_mode"] = d.rng.choice(("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"))
    keep = x.array.ndim - 2
    none = None if opset >= 13 else d.new([0], np.float32, constant=1)
    if d.flip():
        scales = [1.0] * keep + [d.rng.choice((0.5, 1.0, 1.5, 2.0, 3.0)) for _ in range(2)]
        return [x, none, d.fixed(scales, np.float32, 1)], found
    sizes = [*x.array.shape[:keep], *(d.rng.randint(1, 9) for _ in range(2))]
    return [x, none, None if opset >= 13 else d.new([0], np.float32, constant=1), d.fixed(sizes, constant=1)], found


def resize_integers(d: Draw, x: Variable, opset: int) -> Drawn:
    """By scales with which all weights are exact, because a fraction is dropped."""
    mode = d.rng.choice(("nearest", "linear"))
    scales = d.fixed([1.0] * (x.array.ndim - 2) + [d.rng.choice((0.5, 1.0, 2.0, 4.0)) for _ in range(2)], np.float32, 1)
    places = {"mode": mode, "coordinate_transformation_mode": d.rng.choice(("half_pixel", "asymmetric"))}
    return [x, None if opset >= 13 else d.new([0], np.float32, constant=1), scales], places


@recipe("Upsample")
def upsample(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (4,), low=1)
    floats = x.array.dtype.kind not in "iu"
    scales = [1.0, 1.0, d.rng.choice((1.0, 2.0, 3.0 if floats else 4.0)), d.rng.choice((1.0, 2.0))]
    mode = d.rng.choice(("nearest", "linear"))
    return (
        ([x], {"scales": scales, "mode": mode}) if opset < 9 else ([x, d.fixed(scales, np.float32, 1)], {"mode": mode})
    )


@recipe("Cast")
def cast(d: Draw, types: Types, opset: int) -> Drawn:
    to = d.dtype(list(DTYPES.values()))
    fits = lambda a: castable(a, to)  # noqa: E731
    return [d.value(types, exact=True, fits=fits)], {"to": helper.np_dtype_to_tensor_dtype(to)}


def castable(array: Any, to: Any) -> bool:
    """Whether the elements have a value in the other type: what they become otherwise is open."""
    if to.kind not in "iu" or array.dtype.kind == "b" or not array.size:
        return True
    wide = array.astype(np.float64)
    info = np.iinfo(to)
    return bool(np.isfinite(wide).all() and wide.min() > info.min - 1 and wide.max() < info.max)


@recipe("CastLike")
def cast_like(d: Draw, types: Types, opset: int) -> Drawn:
    like = d.value(list(DTYPES.values()))
    return [d.value(types, exact=True, fits=lambda a: castable(a, like.array.dtype)), like], {}


@recipe("Where")
def where(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types)
    return [d.partner(x.array.shape, [DTYPES["bool"]]), x, d.partner(x.array.shape, [x.array.dtype])], {}


@recipe("Div", "Mod")
def div(d: Draw, types: Types, opset: int) -> Drawn:
    """Division of integers by 0 is open, and so is that of the least one by -1."""
    x = d.value(types, exact=True)
    whole = x.array.dtype.kind in "iu"
    fits = (lambda a: bool((a != 0).all() and (a.astype(np.int64) != -1).all())) if whole else lambda _: True
    y = d.value([x.array.dtype], shape=[1 if d.flip(0.2) else s for s in x.array.shape], fits=fits, exact=True)
    return [x, y], {}


@recipe("Mod")
def mod(d: Draw, types: Types, opset: int) -> Drawn:
    inputs, _ = div(d, [t for t in types if t.kind in "iu" or opset < 28], opset)
    assert inputs[0] is not None
    return inputs, {"fmod": 1 if inputs[0].array.dtype.kind not in "iu" else d.rng.randint(0, 1)}


@recipe("Pow")
def power(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types)
    if x.array.dtype.kind in "iu":
        return [x, d.new([], x.array.dtype, 0, 3)], {}
    return [x, d.new([], x.array.dtype, array=d.rng.choice((0, 0.5, 1, 2, 3, -1)))], {}


@recipe("BitShift")
def bit_shift(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value([t for t in types if t.kind == "u"])
    y = d.new([1 if d.flip(0.2) else s for s in x.array.shape], x.array.dtype, 0, 7)
    return [x, y], {"direction": d.rng.choice(("LEFT", "RIGHT"))}


@recipe("Trilu")
def trilu(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (2, 3))
    return [x, d.fixed(d.rng.randint(-4, 4))] if d.flip(0.7) else [x], {"upper": d.rng.randint(0, 1)}


@recipe("QuantizeLinear", "DequantizeLinear")
def dequantize(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value([t for t in types if t.name in ("int8", "uint8")], (1, 2, 3, 4))
    at = axis(d, x.array.ndim) if opset >= 13 and d.flip() else None
    shape = [] if at is None else [x.array.shape[at]]
    scale = d.new(shape, np.float32, 0.01, 1.0, constant=0.9)
    inputs = [x, scale, d.new(shape, x.array.dtype, 0, 20)] if d.flip(0.7) else [x, scale]
    return inputs, {} if at is None else {"axis": at}


@recipe("QuantizeLinear")
def quantize(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value([DTYPES["float32"]], (1, 2, 3, 4), exact=True, fits=lambda a: bool(np.isfinite(a).all()))
    at = axis(d, x.array.ndim) if opset >= 13 and d.flip() else None
    shape = [] if at is None else [x.array.shape[at]]
    scale = d.new(shape, np.float32, array=2.0 ** d.numbers().integers(-4, 2, shape), constant=0.9)
    kind = d.dtype([DTYPES["int8"], DTYPES["uint8"]])
    return [x, scale, d.new(shape, kind, 0, 20)], {} if at is None else {"axis": at}


@recipe("MatMulInteger")
def matmul_integer(d: Draw, types: Types, opset: int) -> Drawn:
    a = d.value(types, (2, 3))
    b = d.new([a.array.shape[-1], d.size()], d.dtype([DTYPES["int8"], DTYPES["uint8"]]))
    return [a, b, *(d.new([], v.array.dtype, 0, 9) for v in (a, b) if d.flip(1.0))][: d.rng.choice((2, 4))], {}


@recipe("QLinearMatMul")
def qlinear_matmul(d: Draw, types: Types, opset: int) -> Drawn:
    """Scales are powers of two and zero points even, so that ties are rounded alike before and after they are added."""
    kinds = [t for t in types if t.name in ("int8", "uint8")]
    m, k, n = d.size(1), d.size(1), d.size(1)
    found: list[Variable] = []
    for shape in ([m, k], [k, n], None):
        kind = d.dtype(kinds)
        found += [] if shape is None else [d.new(shape, kind)]
        scale = d.new([], np.float32, array=2.0 ** d.rng.randint(-3, 1), constant=0.9)
        found += [scale, d.new([], kind, array=d.rng.choice((0, 2, 4, 8)), constant=0.9)]
    return found, {}


@recipe("Compress")
def compress(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (1, 2, 3), low=1)
    if d.flip(0.3):
        return [x, d.new([x.array.size], np.bool_)], {}
    at = axis(d, x.array.ndim)
    return [x, d.new([d.rng.randint(1, x.array.shape[at])], np.bool_)], {"axis": at}


@recipe("Dropout")
def dropout(d: Draw, types: Types, opset: int) -> Drawn:
    return [d.value(types)], {}


def recurrent(d: Draw, gates: int) -> Drawn:
    time, batch, size, hidden = d.size(1), d.rng.randint(1, 3), d.rng.randint(1, 5), d.rng.randint(1, 5)
    direction = d.rng.choice(("forward", "reverse", "bidirectional"))
    both = 2 if direction == "bidirectional" else 1
    x = d.new([time, batch, size], np.float32)
    w = d.new([both, gates * hidden, size], np.float32, constant=0.9)
    r = d.new([both, gates * hidden, hidden], np.float32, constant=0.9)
    bias = d.new([both, 2 * gates * hidden], np.float32) if d.flip() else None
    lengths = d.new([batch], np.int32, 1, time) if d.flip(0.3) else None
    start = d.new([both, batch, hidden], np.float32) if d.flip() else None
    return [x, w, r, bias, lengths, start], {"hidden_size": hidden, "direction": direction}


for gates, operator in ((1, "RNN"), (3, "GRU"), (4, "LSTM")):
    RECIPES[operator] = lambda d, types, opset, gates=gates: recurrent(d, gates)
