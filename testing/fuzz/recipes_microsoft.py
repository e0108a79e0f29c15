"""How to draw operators of com.microsoft. ONNX Runtime alone has them, so it says what their results are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .draw import DTYPES, Draw, Variable
from .peers import MICROSOFT
from .recipes import RECIPES, Drawn, Recipe, Types, recipe, window

FLOAT, BYTES = [DTYPES["float32"]], [DTYPES["uint8"], DTYPES["int8"]]


@dataclass(frozen=True)
class Foreign:
    """What stands for a schema: all that is to be known is in the recipe."""

    name: str
    domain: str = MICROSOFT
    inputs: tuple[Any, ...] = ()
    outputs: tuple[Any, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    type_constraints: tuple[Any, ...] = ()
    min_output: int = 1
    max_output: int = 1


def contributed(*operators: str) -> Any:
    """A recipe of operators of this domain."""

    def enter(function: Recipe) -> Recipe:
        return recipe(*(f"{MICROSOFT}.{operator}" for operator in operators))(function)

    return enter


def foreign() -> dict[str, Foreign]:
    """The operators that have a recipe, by their names with the domain."""
    return {key: Foreign(key.removeprefix(f"{MICROSOFT}.")) for key in RECIPES if key.startswith(MICROSOFT)}


# ---- floats


@contributed("Gelu", "FastGelu", "QuickGelu")
def one(d: Draw, types: Types, opset: int) -> Drawn:
    return [d.value(FLOAT, (1, 2, 3, 4), low=1)], {}


@contributed("BiasGelu")
def biased(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(FLOAT, (2, 3), low=1)
    return [x, d.new(x.array.shape[-1:], x.array.dtype)], {}


@contributed("ExpandDims")
def expand_dims(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value([*FLOAT, DTYPES["int64"]], (1, 2, 3))
    return [x, d.fixed(d.rng.randint(-x.array.ndim - 1, x.array.ndim), np.int32, 1)], {}


@contributed("FusedMatMul")
def fused_matmul(d: Draw, types: Types, opset: int) -> Drawn:
    a = d.value(FLOAT, (2, 3), low=1)
    ta, tb = d.rng.randint(0, 1), d.rng.randint(0, 1)
    inner, n = a.array.shape[-2 if ta else -1], d.size(1)
    b = d.value(FLOAT, shape=[*a.array.shape[:-2], *((n, inner) if tb else (inner, n))])
    return [a, b], {"transA": ta, "transB": tb, "alpha": d.rng.choice((0.5, 1.0))}


@contributed("FusedGemm")
def fused_gemm(d: Draw, types: Types, opset: int) -> Drawn:
    a, n = d.value(FLOAT, (2,), low=1), d.size(1)
    found = [a, d.new([a.array.shape[1], n], np.float32), d.new([n], np.float32)]
    return found, {"activation": d.rng.choice(("Relu", "Tanh", "Sigmoid"))}


@contributed("FusedConv")
def fused_conv(d: Draw, types: Types, opset: int) -> Drawn:
    inputs, found = RECIPES["Conv"](d, FLOAT, opset)
    return inputs, {**found, "activation": d.rng.choice(("Relu", "Tanh", "Sigmoid"))}


@contributed("SkipLayerNormalization", "SkipSimplifiedLayerNormalization")
def skip_layer(d: Draw, types: Types, opset: int) -> Drawn:
    return skipped(d, 3), {"epsilon": 1e-5}


@contributed("SkipSimplifiedLayerNormalization")
def skip_simplified(d: Draw, types: Types, opset: int) -> Drawn:
    return skipped(d, 2), {"epsilon": 1e-5}


def skipped(d: Draw, vectors: int) -> list[Variable | None]:
    shape = [d.rng.randint(1, 3), d.rng.randint(1, 5), d.rng.randint(2, 9)]
    x = d.value(FLOAT, shape=shape)
    found: list[Variable | None] = [x, d.new(shape, np.float32)]
    return [*found, *(d.new(shape[-1:], np.float32) for _ in range(vectors - d.rng.randint(0, 1)))]


@contributed("MultiHeadAttention")
def heads(d: Draw, types: Types, opset: int) -> Drawn:
    count, batch = d.rng.randint(1, 3), d.rng.randint(1, 3)
    size, length, other = d.rng.randint(1, 4) * count, d.rng.randint(1, 5), d.rng.randint(1, 5)
    q, k, v = (d.new([batch, n, size], np.float32) for n in (length, other, other))
    for operand in (q, k, v):
        operand.rigid = True  # the size of a head is a number
    bias = d.new([3 * size], np.float32) if d.flip(0.3) else None
    return [q, k, v, bias], {"num_heads": count}


@contributed("RotaryEmbedding")
def rotary(d: Draw, types: Types, opset: int) -> Drawn:
    count, half, longest = d.rng.randint(1, 3), d.rng.randint(1, 4), d.rng.randint(5, 8)
    batch, length = d.rng.randint(1, 3), d.rng.randint(1, 5)
    x = d.new([batch, length, 2 * half * count], np.float32)
    places = d.new([batch, length], np.int64, 0, longest - 1)
    caches = [d.new([longest, half], np.float32, constant=0.8) for _ in "cs"]
    return [x, places, *caches], {"interleaved": d.rng.randint(0, 1)}


# ---- bytes: scales are powers of two and zero points even, as those of QLinearMatMul


def scale(d: Draw, low: int = -3, high: int = 1) -> Variable:
    return d.new([], np.float32, array=2.0 ** d.rng.randint(low, high), constant=0.95)


def zero(d: Draw, kind: Any) -> Variable:
    return d.new([], kind, array=d.rng.choice((0, 2, 4, 8)), constant=0.95)


def quantised(d: Draw, kind: Any, shape: list[int]) -> list[Variable | None]:
    return [d.new(shape, kind), scale(d), zero(d, kind)]


@contributed("QLinearAdd", "QLinearMul")
def qlinear_binary(d: Draw, types: Types, opset: int) -> Drawn:
    kind, shape = d.dtype(BYTES), d.shape((1, 2, 3), 1)
    other = [1 if d.flip(0.2) else s for s in shape]
    return [*quantised(d, kind, shape), *quantised(d, kind, other), scale(d), zero(d, kind)], {}


@contributed("QLinearLeakyRelu", "QLinearGlobalAveragePool", "QLinearAveragePool")
def qlinear_leaky_relu(d: Draw, types: Types, opset: int) -> Drawn:
    kind = d.dtype(BYTES)
    return [*quantised(d, kind, d.shape((1, 2, 3), 1)), scale(d), zero(d, kind)], {"alpha": d.rng.choice((0.25, 0.5))}


@contributed("QLinearConcat")
def qlinear_concat(d: Draw, types: Types, opset: int) -> Drawn:
    kind, shape = d.dtype(BYTES), d.shape((1, 2, 3), 1)
    at = d.rng.randrange(len(shape))
    found: list[Variable | None] = [scale(d), zero(d, kind)]
    for _ in range(d.rng.randint(1, 3)):
        shape[at] = d.size(1)
        found += quantised(d, kind, shape)
    return found, {"axis": at}


@contributed("MatMulIntegerToFloat")
def matmul_integer_to_float(d: Draw, types: Types, opset: int) -> Drawn:
    m, k, n = (d.size(1) for _ in "mkn")
    kinds = d.dtype(BYTES), d.dtype(BYTES)
    bias = d.new([n], np.float32) if d.flip() else None
    zeros = [zero(d, kind) for kind in kinds]
    return [d.new([m, k], kinds[0]), d.new([k, n], kinds[1], constant=0.9), scale(d), scale(d), *zeros, bias], {}


@contributed("DequantizeLinear")
def dequantise(d: Draw, types: Types, opset: int) -> Drawn:
    return quantised(d, d.dtype(BYTES), d.shape((1, 2, 3), 1)), {}


@contributed("QuantizeLinear")
def quantise(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value(FLOAT, (1, 2, 3), low=1, exact=True, fits=lambda a: bool(np.isfinite(a).all()))
    return [x, scale(d), zero(d, d.dtype(BYTES))], {}


@contributed("QLinearGlobalAveragePool")
def qlinear_global_pool(d: Draw, types: Types, opset: int) -> Drawn:
    """Over areas that are powers of two, so that means are exact."""
    kind = d.dtype(BYTES)
    shape = [d.rng.randint(1, 2), d.rng.randint(1, 4), d.rng.choice((1, 2, 4)), d.rng.choice((1, 2, 4))]
    return [*quantised(d, kind, shape), scale(d), zero(d, kind)], {}


@contributed("QLinearAveragePool")
def qlinear_pool(d: Draw, types: Types, opset: int) -> Drawn:
    kind = d.dtype(BYTES)
    shape = [d.rng.randint(1, 2), d.rng.randint(1, 3), d.rng.randint(2, 6), d.rng.randint(2, 6)]
    found = window(d, shape[2:], pads=False)
    found.pop("dilations", None)
    found["kernel_shape"] = [2, d.rng.choice((1, 2))]
    return [*quantised(d, kind, shape), scale(d), zero(d, kind)], found


@contributed("MatMulNBits")
def matmul_nbits(d: Draw, types: Types, opset: int) -> Drawn:
    m, n, block, blocks = d.size(1), d.rng.randint(1, 6), 16, d.rng.randint(1, 3)
    k = block * blocks - d.rng.choice((0, 0, 4))
    packed = d.new([n, blocks, block // 2], np.uint8, 0, 255, constant=1)
    scales = d.new([n * blocks], np.float32, 0.05, 0.5, constant=1)
    return [d.new([m, k], np.float32), packed, scales], {"K": k, "N": n, "bits": 4, "block_size": block}


@contributed("Trilu")
def trilu(d: Draw, types: Types, opset: int) -> Drawn:
    x = d.value([*FLOAT, DTYPES["int64"]], (2, 3), low=1)
    return [x, d.fixed(d.rng.randint(-3, 3))], {"upper": d.rng.randint(0, 1)}
