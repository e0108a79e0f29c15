"""How to draw attention, regions of images, signals, losses and quantised convolutions: `recipes.py` for operators
whose operands hang together in ways of their own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx import numpy_helper

from .draw import DTYPES, Draw, Misfit, Variable
from .operators import axis, some_axes
from .recipes import Drawn, Types, conv, indices, recipe

INTEGERS = [DTYPES["int64"], DTYPES["int32"]]


@recipe("Gelu", "Det", "SwiGLU", "BitCast")
def gelu(d: Draw, types: Types, opset: int) -> Drawn:
    return [d.value(types)], {"approximate": d.rng.choice(("none", "tanh"))}


@recipe("Det")
def det(d: Draw, types: Types, opset: int) -> Drawn:
    n = d.rng.randint(1, 5)
    return [d.new([*d.shape((0, 1, 2), 1), n, n], d.dtype(types), -2, 2)], {}


@recipe("SwiGLU")
def swiglu(d: Draw, types: Types, opset: int) -> Drawn:
    a = d.value(types)
    return [a, d.value([a.array.dtype], shape=a.array.shape)], {"alpha": d.rng.choice((0.5, 1.0, 1.7))}


@recipe("BitCast")
def bit_cast(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value([t for t in types if t.kind in "iu"], exact=True)
    code = {1: (2, 3), 2: (4, 5, 10, 16), 4: (1, 6, 12), 8: (7, 11, 13)}[x.array.dtype.itemsize]
    return [x], {"to": d.rng.choice(code)}


# ---- attention


@recipe("Attention")
def attention(d: Draw, types: Types, opset: int) -> Drawn:
    element = d.dtype([t for t in types if t.name in ("float32", "float64", "float16")])
    heads = d.rng.randint(1, 2)
    groups, batch, length, past = d.rng.randint(1, 3), d.size(1) % 4 + 1, d.rng.randint(1, 6), d.rng.randint(1, 4)
    query, size, out = d.rng.randint(1, 6), d.rng.randint(1, 6), d.rng.randint(1, 6)
    shapes = [[batch, heads * groups, query, size], [batch, heads, length, size], [batch, heads, length, out]]
    attributes: dict[str, Any] = {"is_causal": int(d.flip(0.3)), "qk_matmul_output_mode": d.rng.randint(0, 3)}
    if d.flip(0.4):
        shapes = [[b, n, h * s] for b, h, n, s in shapes]
        attributes |= {"q_num_heads": heads * groups, "kv_num_heads": heads}
    if d.flip(0.3):
        attributes["scale"] = 0.5
    if d.flip(0.3):
        attributes["softcap"] = 2.0
    found: list[Variable | None] = [d.new(s, element) for s in shapes]
    cached = d.flip(0.3)
    total = length + past if cached else length
    mask = None
    if d.flip():
        shape = [batch, heads * groups, query, total][d.rng.choice((0, 1, 2)) :]
        shape = [1 if i < len(shape) - 2 and d.flip(0.3) else s for i, s in enumerate(shape)]
        mask = (
            d.new(shape, element) if d.flip() else d.new(shape, array=d.numbers().random(shape) < 0.8, dtype=np.bool_)
        )
    caches = [d.new([batch, heads, past, s], element) for s in (size, out)] if cached else [None, None]
    count = d.rng.choice((3, 4)) if cached else d.rng.choice((1, 1, 4))
    return [*found, mask, *caches], {**attributes, "outputs": count}


@recipe("RotaryEmbedding")
def rotary_embedding(d: Draw, types: Types, opset: int) -> Drawn:
    element, heads, half = d.dtype(types), d.rng.randint(1, 3), d.rng.randint(1, 4)
    batch, length, longest, rest = (
        d.rng.randint(1, 3),
        d.rng.randint(1, 5),
        d.rng.randint(5, 8),
        d.rng.choice((0, 0, 2)),
    )
    size, attributes = 2 * half + rest, {"interleaved": d.rng.randint(0, 1)}
    shape = [batch, heads, length, size]
    if d.flip():
        shape, attributes["num_heads"] = [batch, length, heads * size], heads
    if rest:
        attributes["rotary_embedding_dim"] = 2 * half
    if d.flip():
        caches = [d.new([longest, half], element) for _ in "cs"]
        return [d.new(shape, element), *caches, d.new([batch, length], np.int64, 0, longest - 1)], attributes
    return [d.new(shape, element), *(d.new([batch, length, half], element) for _ in "cs")], attributes


@recipe("LinearAttention")
def linear_attention(d: Draw, types: Types, opset: int) -> Drawn:
    element, heads, groups = d.dtype(types), d.rng.randint(1, 2), d.rng.randint(1, 2)
    batch, length, size, out = d.rng.randint(1, 3), d.rng.randint(1, 5), d.rng.randint(1, 4), d.rng.randint(1, 4)
    rule = d.rng.choice(("linear", "gated", "delta", "gated_delta"))
    lead = [batch, length]
    past = d.new([batch, heads, size, out], element) if d.flip() else None
    decay = beta = None
    if "gated" in rule:
        decay = d.new([*lead, heads * d.rng.choice((1, size))], element, -2, 0)
    if "delta" in rule:
        beta = d.new([*lead, d.rng.choice((1, heads))], element, 0, 1)
    key = d.new([*lead, heads * size], element, -0.5, 0.5)
    given = [d.new([*lead, heads * groups * size], element), key, d.new([*lead, heads * out], element)]
    attributes = {"q_num_heads": heads * groups, "kv_num_heads": heads, "update_rule": rule}
    return [*given, past, decay, beta], {**attributes, "outputs": 2}


@recipe("CausalConvWithState")
def causal_conv(d: Draw, types: Types, opset: int) -> Drawn:
    element, batch, channels, kernel = d.dtype(types), d.rng.randint(1, 3), d.rng.randint(1, 4), d.rng.randint(1, 4)
    x = d.new([batch, channels, d.size(1)], element)
    bias = d.new([channels], element) if d.flip() else None
    past = d.new([batch, channels, kernel - 1], element) if d.flip() else None
    attributes = {"activation": d.rng.choice(("none", "silu", "swish")), "outputs": 2}
    return [x, d.new([channels, 1, kernel], element, constant=0.7), bias, past], attributes


@recipe("TensorScatter")
def tensor_scatter(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (2, 3, 4), low=1)
    at = d.rng.randrange(1, x.array.ndim)
    shape = list(x.array.shape)
    longest, shape[at] = shape[at], d.rng.randint(1, shape[at])
    circular = d.flip()
    most = longest - 1 if circular else longest - shape[at]
    places = d.new([shape[0]], np.int64, 0, most) if d.flip(0.7) else None
    attributes = {"axis": at - x.array.ndim * d.rng.randint(0, 1), "mode": "circular" if circular else "linear"}
    return [x, d.value([x.array.dtype], shape=shape), places], attributes


# ---- images and regions


@recipe("AffineGrid")
def affine_grid(d: Draw, types: Types, opset: int) -> Drawn:
    n, space = d.rng.randint(1, 3), d.rng.choice((2, 3))
    size = [n, d.rng.randint(1, 3), *(d.rng.randint(2, 5) for _ in range(space))]
    return [d.new([n, space, space + 1], d.dtype(types)), d.fixed(size)], {"align_corners": d.rng.randint(0, 1)}


@recipe("GridSample")
def grid_sample(d: Draw, types: Types, opset: int) -> Drawn:
    space = d.rng.choice((2, 2, 3)) if opset >= 20 else 2
    x = d.new([d.rng.randint(1, 3), d.rng.randint(1, 3), *(d.rng.randint(2, 6) for _ in range(space))], d.dtype(types))
    modes = ("linear", "nearest", "cubic") if opset >= 20 else ("bilinear", "nearest", "bicubic")
    shape = [x.array.shape[0], *(d.rng.randint(1, 5) for _ in range(space)), space]
    grid = d.new(shape, np.float32, -1.3, 1.3, constant=0.3)
    return [x, grid], {
        "mode": d.rng.choice(modes[: 3 if space == 2 else 2]), "align_corners": d.rng.randint(0, 1),
        "padding_mode": d.rng.choice(("zeros", "border", "reflection")),
    }  # fmt: skip


def boxes(d: Draw, count: int, element: Any, high: float, low: float = 0.0) -> np.ndarray[Any, Any]:
    """Corners x1 y1 x2 y2 of boxes that are not empty."""
    rng = d.numbers()
    first = rng.uniform(low, high * 0.6, (count, 2))
    return np.concatenate([first, first + rng.uniform(0.1, high * 0.5, (count, 2))], 1).astype(element)


@recipe("RoiAlign")
def roi_align(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (4,), low=2, exact=True)
    count = d.rng.randint(1, 4)
    attributes: dict[str, Any] = {
        "output_height": d.rng.randint(1, 4), "output_width": d.rng.randint(1, 4), "mode": d.rng.choice(("avg", "max")),
        "sampling_ratio": d.rng.randint(1, 3), "spatial_scale": d.rng.choice((0.5, 1.0)),
    }  # fmt: skip
    if opset >= 16:
        attributes["coordinate_transformation_mode"] = d.rng.choice(("half_pixel", "output_half_pixel"))
    rois = d.new([count, 4], x.array.dtype, array=boxes(d, count, x.array.dtype, 8.0), constant=0.3)
    return [x, rois, d.new([count], np.int64, 0, x.array.shape[0] - 1)], attributes


@recipe("MaxRoiPool")
def max_roi_pool(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value([DTYPES["float32"]], (4,), low=2, exact=True)
    count = d.rng.randint(1, 4)
    corners = np.floor(boxes(d, count, np.float32, 6.0))
    batch = d.numbers().integers(0, x.array.shape[0], (count, 1))
    rois = d.new([count, 5], np.float32, array=np.concatenate([batch, corners], 1), constant=0.3)
    return [x, rois], {"pooled_shape": [d.rng.randint(1, 3), d.rng.randint(1, 3)]}


@recipe("NonMaxSuppression")
def non_max_suppression(d: Draw, types: Types, opset: int) -> Drawn:
    batch, classes, count = d.rng.randint(1, 2), d.rng.randint(1, 2), d.size(1)
    corners = np.stack([boxes(d, count, np.float32, 4.0) for _ in range(batch)])
    scores = d.new([batch, classes, count], np.float32, 0, 1)
    limits = [
        d.fixed([d.rng.randint(1, 4)]),
        d.fixed([d.rng.choice((0.3, 0.5))], np.float32),
        d.fixed([0.4], np.float32),
    ]
    return [d.new([batch, count, 4], np.float32, array=corners), scores, *limits[: d.rng.randint(1, 3)]], {
        "center_point_box": d.rng.randint(0, 1)
    }


@recipe("MaxUnpool")
def max_unpool(d: Draw, types: Types, opset: int) -> Drawn:
    n, c, h, w = d.rng.randint(1, 2), d.rng.randint(1, 2), d.rng.randint(1, 4), d.rng.randint(1, 4)
    size = n * c * h * 2 * w * 2
    places = np.array(sorted(d.rng.sample(range(size), n * c * h * w))).reshape(n, c, h, w)
    return [d.new([n, c, h, w], d.dtype(types)), d.new([n, c, h, w], np.int64, array=places)], {
        "kernel_shape": [2, 2], "strides": [2, 2],
    }  # fmt: skip


@recipe("Col2Im")
def col2im(d: Draw, types: Types, opset: int) -> Drawn:
    image, block = [d.rng.randint(3, 6) for _ in "hw"], [d.rng.randint(1, 3) for _ in "hw"]
    strides, dilations = [d.rng.randint(1, 2) for _ in "hw"], [1 if k == 1 else d.rng.choice((1, 1, 2)) for k in block]
    pads = [d.rng.randint(0, 1) for _ in "hwhw"]
    steps = [
        (s + pads[i] + pads[i + 2] - (block[i] - 1) * dilations[i] - 1) // strides[i] + 1 for i, s in enumerate(image)
    ]
    if min(steps) < 1:
        raise Misfit("no place for a block")
    shape = [d.rng.randint(1, 2), d.rng.randint(1, 3) * math.prod(block), math.prod(steps)]
    x = d.new(shape, d.dtype([t for t in types if t.name != "bool"]))
    return [x, d.fixed(image), d.fixed(block)], {"strides": strides, "dilations": dilations, "pads": pads}


@recipe("DeformConv")
def deform_conv(d: Draw, types: Types, opset: int) -> Drawn:
    element = d.dtype(types)
    n, c, h, w, groups = d.rng.randint(1, 2), d.rng.randint(1, 2), d.rng.randint(3, 6), d.rng.randint(3, 6), 1
    kernel, strides = [d.rng.randint(1, 2) for _ in "hw"], [d.rng.randint(1, 2) for _ in "hw"]
    pads = [d.rng.randint(0, 1) for _ in "hwhw"]
    if c == 2 and d.flip():
        groups = 2
    out = [(s + pads[i] + pads[i + 2] - kernel[i]) // strides[i] + 1 for i, s in enumerate((h, w))]
    count = math.prod(kernel)
    bias = d.new([2], element) if d.flip() else None
    mask = d.new([n, groups * count, *out], element, 0, 1) if d.flip() else None
    offsets = d.new([n, groups * count * 2, *out], element, -1.5, 1.5)
    return [d.new([n, c, h, w], element), d.new([2, c, *kernel], element, constant=0.7), offsets, bias, mask], {
        "strides": strides, "pads": pads, "kernel_shape": kernel, "offset_group": groups,
    }  # fmt: skip


@recipe("CenterCropPad")
def center_crop_pad(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (1, 2, 3), low=1)
    axes = some_axes(d, x.array.ndim) if d.flip() else None
    return [x, d.fixed([d.rng.randint(1, 9) for _ in (axes or x.array.shape)])], {"axes": axes} if axes else {}


@recipe("MeanVarianceNormalization")
def mean_variance(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (2, 3, 4), low=1)
    return [x], {"axes": some_axes(d, x.array.ndim)}


# ---- signals


@recipe("BlackmanWindow", "HannWindow", "HammingWindow")
def signal_window(d: Draw, types: Types, opset: int) -> Drawn:
    attributes: dict[str, Any] = {"periodic": d.rng.randint(0, 1)}
    if d.flip(0.4):
        attributes["output_datatype"] = d.rng.choice((1, 10, 11))
    return [d.fixed(d.rng.randint(2, 20), d.dtype(INTEGERS))], attributes


@recipe("MelWeightMatrix")
def mel_weights(d: Draw, types: Types, opset: int) -> Drawn:
    given = [d.rng.randint(1, 8), d.rng.choice((8, 16, 20)), d.rng.choice((8000, 8192))]
    edges = d.rng.choice((0.0, 100.0)), d.rng.choice((2000.0, 4000.0))
    kind = d.dtype(INTEGERS)
    return [*(d.fixed(v, kind) for v in given), *(d.fixed(e, np.float32) for e in edges)], {}


@recipe("DFT")
def dft(d: Draw, types: Types, opset: int) -> Drawn:
    parts, inverse = d.rng.randint(1, 2), d.rng.randint(0, 1)
    x = d.new([*d.shape((1, 2, 3), 1), parts], d.dtype([t for t in types if t.name in ("float32", "float64")]))
    at = d.rng.randrange(x.array.ndim - 1)
    onesided = int(parts == 1 and not inverse and d.flip())
    length = d.fixed(d.rng.randint(1, 12)) if d.flip(0.4) else None
    attributes = {"inverse": inverse, "onesided": onesided}
    at -= x.array.ndim * d.rng.randint(0, 1)
    return ([x, length, d.fixed(at)], attributes) if opset >= 20 else ([x, length], {**attributes, "axis": at})


@recipe("STFT")
def stft(d: Draw, types: Types, opset: int) -> Drawn:
    element = d.dtype([t for t in types if t.name in ("float32", "float64")])
    length = d.rng.randint(2, 8)
    x = d.new([d.rng.randint(1, 3), length + d.rng.randint(0, 12), 1], element)
    taper = d.new([length], element) if d.flip() else None
    return [x, d.fixed(d.rng.randint(1, 4)), taper, d.fixed(length)], {"onesided": d.rng.randint(0, 1)}


# ---- losses and integers


@recipe("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss")
def loss(d: Draw, types: Types, opset: int) -> Drawn:
    classes = d.rng.randint(1, 5)
    x = d.new([d.size(1), classes, *d.shape((0, 0, 1, 2), 1)], d.dtype(types))
    labels = d.new([x.array.shape[0], *x.array.shape[2:]], d.dtype(INTEGERS), 0, classes - 1)
    weights = d.new([classes], x.array.dtype, 0.1, 2.0) if d.flip() else None
    attributes: dict[str, Any] = {"reduction": d.rng.choice(("none", "mean", "sum"))}
    if d.flip(0.3) and (labels.array != 0).any():
        attributes["ignore_index"] = 0
    return [x, labels, weights], attributes


def quantised_conv(d: Draw) -> tuple[Variable, Variable, dict[str, Any]]:
    (x, w, *_), attributes = conv(d, [DTYPES["uint8"], DTYPES["int8"]], 13)
    assert x is not None and w is not None
    return x, d.new(w.array.shape, d.dtype([x.array.dtype, DTYPES["int8"]]), constant=0.7), attributes


@recipe("ConvInteger")
def conv_integer(d: Draw, types: Types, opset: int) -> Drawn:
    x, w, attributes = quantised_conv(d)
    zeros: list[Variable | None] = [d.new([], v.array.dtype, 0, 9) if d.flip(0.7) else None for v in (x, w)]
    return [x, w, *zeros], attributes


@recipe("QLinearConv")
def qlinear_conv(d: Draw, types: Types, opset: int) -> Drawn:
    """Scales are powers of two and zero points even, as those of QLinearMatMul."""
    x, w, attributes = quantised_conv(d)
    out = w.array.shape[0]
    each = [out] if d.flip() else []
    scale = lambda shape: d.new(shape, np.float32, array=2.0 ** d.numbers().integers(-3, 1, shape), constant=0.9)  # noqa: E731
    zero = lambda shape, kind: d.new(shape, kind, array=2 * d.numbers().integers(0, 4, shape), constant=0.9)  # noqa: E731
    bias = d.new([out], np.int32, -20, 20) if d.flip() else None
    kind = x.array.dtype
    return [
        x, scale([]), zero([], kind), w, scale(each), zero(each, w.array.dtype), scale([]), zero([], kind), bias,
    ], attributes  # fmt: skip


@recipe("TfIdfVectorizer")
def tf_idf(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.new(d.shape((1, 2), 1), d.dtype(INTEGERS), 0, 5)
    ones, pairs = d.rng.sample(range(6), 3), d.rng.sample([(a, b) for a in range(6) for b in range(6)], 4)
    least = d.rng.randint(1, 2)
    attributes: dict[str, Any] = {
        "mode": d.rng.choice(("TF", "IDF", "TFIDF")), "min_gram_length": least, "max_gram_length": 2,
        "max_skip_count": d.rng.randint(0, 3), "ngram_counts": [0, len(ones)], "ngram_indexes": [*range(7)],
        "pool_int64s": [*ones, *(v for pair in pairs for v in pair)],
    }  # fmt: skip
    if d.flip():
        attributes["weights"] = [d.rng.choice((0.5, 1.0, 2.0)) for _ in range(7)]
    return [x], attributes


@recipe("GatherElements")
def gather_elements(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(types, (1, 2, 3))
    at = axis(d, x.array.ndim)
    place, size = at % x.array.ndim, x.array.shape[at]
    shape = [d.size() if i == place else s for i, s in enumerate(x.array.shape)]
    return [x, indices(d, shape, size)], {"axis": at}


@recipe("GlobalLpPool")
def global_lp_pool(d: Draw, types: Types, opset: int) -> Drawn:
    return [d.value([DTYPES["float32"]], (3, 4, 5), low=1)], {"p": d.rng.randint(1, 3)}


@recipe("Constant")
def constant(d: Draw, types: Types, opset: int) -> Drawn:
    return [], {"value": numpy_helper.from_array(d.new(d.shape(), d.dtype([*DTYPES.values()])).array)}
