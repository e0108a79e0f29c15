"""Every operator of the graph dialect with operands, properties and values that try its rules, as one table.

A case may name sizes by symbols; whoever runs it can put numbers in their place. Values are drawn, or given where an
operator wants certain ones (indices, NaN, infinities).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
from xdsl.dialects.builtin import bf16, f16, f32, f64, i1, i8, i32, i64
from xdsl.ir import Attribute

from ..ir.expr import Expr
from ..ir.types import SMALL, SMALL_FLOATS, SMALL_INTEGERS, TensorType, element_of

N, M, K, H, W = (Expr.symbol(name) for name in "NMKHW")
SIZES = {"N": 2, "M": 3, "K": 4, "H": 5, "W": 6}
u8, u32, u64 = (element_of(np.dtype(f"uint{bits}")) for bits in (8, 32, 64))

Values = Callable[[np.random.Generator, tuple[int, ...]], Any]


@dataclass
class Case:
    """An operator on operands of these types (None: absent), run for each of `sizes`."""

    operator: str
    operands: list[TensorType | None]
    properties: dict[str, Any]
    values: dict[int, Values] = field(default_factory=dict)  # of operands that are not drawn at random
    sizes: list[Mapping[str, int]] = field(default_factory=lambda: [{}])

    def __str__(self) -> str:
        types = ",".join("_" if t is None else str(t).removeprefix("!graph.tensor") for t in self.operands)
        return f"{self.operator} {types} {self.properties}"


def t(*sizes: Any, e: Attribute = f32) -> TensorType:
    return TensorType.of(sizes, e)


def case(operator: str, *operands: TensorType | None, **properties: Any) -> Case:
    given = {k: properties.pop(k) for k in ("values", "sizes") if k in properties}
    return Case(operator, list(operands), properties, **given)


def indices(low: int, high: int) -> Values:
    return lambda rng, shape: rng.integers(low, high, shape)


def of(*numbers: Any) -> Values:
    return lambda rng, shape: np.array(numbers).reshape(shape)


def of_any(*numbers: Any) -> Values:
    return lambda rng, shape: rng.choice(numbers, shape)


ODD = np.array([0, -0.0, 1, -1, 0.5, -0.5, 1.5, 2.5, np.nan, np.inf, -np.inf, 1e-30, -3, 3, 100, -100])


def odd(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.choice(ODD, shape)


def far_apart(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Numbers of float32's whole range of exponents, its subnormal ones included."""
    return rng.uniform(-2, 2, shape) * 2.0 ** rng.integers(-148, 127, shape)


def positive(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.random(shape) + 0.5


def nonzero(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.choice([-3, -2, -1, 1, 2, 3], shape)


def steep(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """All orders of magnitude of small floats, with few digits so that ties are met."""
    return rng.integers(-40, 40, shape) * 2.0 ** rng.integers(-20, 16, shape)


FLOATS = (f16, bf16, f32, f64)
FLOAT8, POWER = element_of(ml_dtypes.float8_e4m3fn), element_of(ml_dtypes.float8_e8m0fnu)
UNARY = [
    "Floor",
    "Ceil",
    "Round",
    "Exp",
    "Log",
    "Sqrt",
    "Sin",
    "Cos",
    "Tan",
    "Asin",
    "Acos",
    "Atan",
    "Sinh",
    "Cosh",
    "Tanh",
    "Asinh",
    "Acosh",
    "Atanh",
    "Reciprocal",
    "Erf",
    "Abs",
    "Neg",
    "Sign",
    "Relu",
    "LeakyRelu",
    "ThresholdedRelu",
    "Elu",
    "Selu",
    "Celu",
    "Sigmoid",
    "HardSigmoid",
    "HardSwish",
    "Swish",
    "Mish",
    "Softplus",
    "Softsign",
    "Gelu",
    "Shrink",
    "IsNaN",
    "IsInf",
    "Identity",
]
BINARY = ["Add", "Sub", "Mul", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"]

CASES = [
    *(case(name, t(64, e=e), values={0: odd}) for name in UNARY for e in FLOATS),
    *(
        case(name, t(N, 3, e=e))
        for name in ("Abs", "Neg", "Sign", "Relu", "Erf", "Shrink", "BitwiseNot")
        for e in (i8, i64)
    ),
    *(case(name, t(N, 3, e=u8)) for name in ("Abs", "Sign", "Erf", "Shrink", "BitwiseNot")),
    case("Not", t(N, e=i1)),
    case("Gelu", t(N, 3), approximate="tanh"),
    case("IsInf", t(16), detect_positive=False, values={0: odd}),
    case("IsInf", t(16), detect_negative=False, values={0: odd}),
    case("IsInf", t(16), detect_negative=False, detect_positive=False, values={0: odd}),
    case("Celu", t(N), alpha=2.0),
    case("Elu", t(N), alpha=0.5),
    case("Swish", t(N), alpha=1.5),
    case("Shrink", t(N, 9), bias=1.5, lambd=0.2),
    *(case("Cast", t(N, 3, e=a), to=b) for a in (*FLOATS, i1, i8, u8, i64) for b in (*FLOATS, i8, i32, i64, i1)),
    *(case("Cast", t(N, 3, e=a), to=b, values={0: indices(0, 9)}) for a in (*FLOATS, i1, i64) for b in (u8, u64)),
    *(case("Cast", t(N, 9, e=a), to=b) for a in SMALL for b in (*FLOATS, i1)),
    *(case("Cast", t(N, 9, e=a), to=b) for a in SMALL_INTEGERS for b in (i8, u8, i64)),
    *(case("Cast", t(N, 9, e=a), to=b) for a in (*FLOATS, i1, i8, u8, i64) for b in SMALL_INTEGERS),
    *(case("Cast", t(256, e=f32), to=b, values={0: odd}) for b in SMALL_FLOATS),
    *(case("Cast", t(N, 99, e=a), to=b, values={0: steep}) for a in FLOATS for b in SMALL_FLOATS),
    *(case("Cast", t(N, 99, e=a), to=b, saturate=False, values={0: steep}) for a in FLOATS for b in SMALL_FLOATS),
    *(case("Cast", t(N, 99), to=POWER, round_mode=r, values={0: steep}) for r in ("up", "down", "nearest")),
    *(case("Cast", t(N, 9, e=i32), to=b) for b in SMALL_FLOATS),
    *(case("BitCast", t(N, 9, e=a), to=b) for a, b in ((f32, i32), (i64, f64), (u8, i1), (i1, i8), (i8, FLOAT8))),
    *(case(name, t(N, 1, 3, e=e), t(M, 1, e=e), values={1: nonzero}) for name in BINARY for e in (*FLOATS, i8, i64)),
    *(case(name, t(64), t(64), values={0: odd, 1: odd}) for name in BINARY),
    *(case(name, t(N, 3, e=u8), t(3, e=u8), values={1: indices(1, 9)}) for name in (*BINARY, "Mod")),
    *(
        case(
            "Add",
            t(N, M),
            t(K, M),
            sizes=[{"N": n, "K": k, "M": m} for n, k in ((1, 4), (4, 1), (4, 4), (1, 0)) for m in (1, 3)],
        ),
    ),
    case("Add", t(), t()),
    case("Add", t(N), t()),
    case("Mul", t(N), t(3), sizes=[{"N": 1}, {"N": 3}]),
    *(case(name, t(N, e=i1), t(N, e=i1)) for name in ("And", "Or", "Xor", "Equal")),
    *(case(name, t(N, e=e), t(N, e=e)) for name in ("BitwiseAnd", "BitwiseOr", "BitwiseXor") for e in (i32, u8)),
    *(
        case("BitShift", t(64, e=e), t(64, e=e), direction=d, values={1: indices(0, 70)})
        for e in (u8, u64)
        for d in ("LEFT", "RIGHT")
    ),
    *(case("Mod", t(64, e=e), t(64, e=e), fmod=f, values={1: nonzero}) for e in (i8, i64) for f in (True, False)),
    *(case("Mod", t(64, e=e), t(64, e=e), fmod=True, values=v) for e in FLOATS for v in ({}, {0: odd, 1: odd})),
    *(case("Mod", t(64, e=e), t(64, e=e), fmod=True, values={0: far_apart, 1: far_apart}) for e in (bf16, f32, f64)),
    *(case("Pow", t(64, e=e), t(64, e=e), values={0: odd, 1: odd}) for e in FLOATS),
    *(
        case("Pow", t(64, e=a), t(64, e=b), values={0: indices(-4, 5), 1: indices(0, 12)})
        for a in (i32, i64, f32)
        for b in (i32, i64, f32, u8)
    ),
    case("Pow", t(32, e=i64), t(32, e=i64), values={0: indices(-1, 2), 1: indices(60, 140)}),
    *(case(name, t(N, 1), t(M), t(), values={0: odd}) for name in ("Max", "Min", "Sum", "Mean")),
    *(case(name, t(N, e=e), t(N, e=e)) for name in ("Max", "Min") for e in (u8, i64, bf16)),
    case("Where", t(N, 1, e=i1), t(M, e=i64), t(e=i64)),
    case("Where", t(N, e=i1), t(N), t(1)),
    case("PRelu", t(N, 3, H), t(3, 1)),
    case("PRelu", t(N, e=i32), t(N, e=i32)),
    case("PRelu", t(N, e=u8), t(N, e=u8)),
    case("PRelu", t(N, 3), t(M), sizes=[{"M": 1}, {"M": 3}]),
    case("Clip", t(16), t(), t(), values={0: odd}),
    case("Clip", t(N), None, t()),
    case("Clip", t(N, e=i8), t(e=i8), None),
    case("Clip", t(), t(1), None),
    case("Clip", t(N)),
    case("Clip", t(N, e=u8), t(e=u8), t(e=u8)),
    # movement
    case("Reshape", t(N, 3, 4), shape=[N, 12]),
    case("Reshape", t(N, 12), shape=[N, 3, 4]),
    case("Reshape", t(2, 6), shape=[3, 4]),
    case("Reshape", t(N, H, W), shape=[N * H, W]),
    case("Reshape", t(N, 6), shape=[6, N]),
    case("Reshape", t(1), shape=[]),
    case("Reshape", t(N, 1, 4), shape=[1, N, 4, 1]),
    case("Reshape", t(N, H), shape=[H, N]),
    case("Reshape", t(N, 0), shape=[0, 5]),
    case("Reshape", t(N, M), shape=[K], sizes=[{"N": 2, "M": 3, "K": 6}]),
    case("Reshape", t(N, 3, 4, 5), shape=[N, 4, 3, 5]),
    case("Reshape", t(N, H * 2, W), shape=[N, H, 2, W]),
    case("Reshape", t(N), shape=[N // 2, 2], sizes=[{"N": 6}]),
    case("Transpose", t(N, 3, H), perm=[2, 0, 1]),
    case("Transpose", t(N, 3, e=i1), perm=[0, 1]),
    case("Expand", t(3, 1), shape=[N, 1, M]),
    case("Expand", t(N), shape=[M], sizes=[{"N": 1}, {"M": 1}, {"N": 3}]),
    case("Tile", t(N, 1, 3), repeats=[2, M, 1]),
    case("Tile", t(N, 2), repeats=[0, 1]),
    case("Concat", t(N, 2), t(N, 3), t(N, H), axis=1),
    case("Concat", t(N, 2, e=i1), t(M, 2, e=i1), axis=-2),
    case("Concat", t(0, 2), t(N, 2), axis=0),
    case("Concat", t(N), axis=0),
    case("Concat", t(N, e=u8), t(0, e=u8), axis=0),
    case("Split", t(N, 7), axis=1, sizes_=[2, 4, 1]),
    case("Split", t(N + M), axis=-1, sizes_=[N, M]),
    case("Slice", t(N, 9), starts=[0, 8], sizes_=[N, 4], steps=[1, -2]),
    case("Slice", t(N, 9), starts=[1, 2], sizes_=[N - 1, 3], steps=[1, 2]),
    case("Slice", t(N), starts=[N - 1], sizes_=[N], steps=[-1]),
    case("Slice", t(N), starts=[0], sizes_=[0], steps=[1]),
    *(case("Pad", t(5, W), pads=[1, 2, 0, 3], mode=mode) for mode in ("constant", "edge", "reflect", "wrap")),
    *(case("Pad", t(5, W), pads=[-1, 2, 2, -2], mode=mode) for mode in ("constant", "edge", "reflect", "wrap")),
    case("Pad", t(N, 3), t(), pads=[M, 0, 1, 1]),
    case("Pad", t(N, e=i1), pads=[1, 1]),
    case("Pad", t(H), pads=[-1, -1]),
    case("Pad", t(H), pads=[0, 0]),
    case("Pad", t(H, e=i64), t(1, e=i64), pads=[0, 2]),
    case("Pad", t(3), pads=[4, 7], mode="wrap"),
    *(case("DepthToSpace", t(N, 12, H, W), blocksize=2, mode=mode) for mode in ("DCR", "CRD")),
    case("SpaceToDepth", t(N, 3, H * 2, 4), blocksize=2),
    case("SpaceToDepth", t(N, M, 4, 4), blocksize=2),
    *(case("Trilu", t(N, M, 4, e=e), upper=u, k=k) for e in (f32, i64, i1) for u in (True, False) for k in (0, -1, 2)),
    case("Trilu", t(M, 4), k=N, values={0: lambda rng, shape: np.full(shape, np.nan)}),
    # contraction
    case("MatMul", t(N, 4), t(4, M)),
    case("MatMul", t(K), t(K)),
    case("MatMul", t(N, 3, K), t(K)),
    case("MatMul", t(K), t(M, K, 3)),
    case("MatMul", t(M, 1, N, K), t(3, K, 5)),
    case("MatMul", t(N, 0), t(0, M)),
    case("MatMul", t(N, M, K), t(H, K, 2), sizes=[{"N": 1}, {"H": 2}, {"H": 1}]),
    *(case("MatMul", t(N, K, e=e), t(K, 3, e=e)) for e in (f16, bf16, f64, i32, i64, u8)),
    case("Gemm", t(N, K), t(K, 3)),
    case("Gemm", t(K, N), t(3, K), t(3), trans_a=True, trans_b=True, alpha=0.5, beta=2.0),
    case("Gemm", t(N, K), t(K, M), t(N, 1)),
    case("Gemm", t(N, K, e=f16), t(K, M, e=f16), t(e=f16)),
    case("Gemm", t(N, K), t(K, M), t(H), sizes=[{"H": 1}, {"H": 3}]),
    case("Gemm", t(N, K, e=i32), t(K, 3, e=i32), t(3, e=i32), alpha=1.5, beta=2.5),
    case("Gemm", t(N, K, e=i32), t(K, 3, e=i32), t(3, e=i32)),
    case("Conv", t(N, 3, H, W), t(8, 3, 3, 3), t(8), strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]),
    case("Conv", t(N, 4, 9, W + 3), t(8, 2, 3, 2), t(8), strides=[2, 1], pads=[0, 1, 1, 0], dilations=[2, 3], group=2),
    case("Conv", t(N, 4, 9), t(4, 1, 3), strides=[2], pads=[0, 0], dilations=[1], group=4),
    case("Conv", t(N, 4, 9), t(8, 1, 3), t(8), strides=[2], pads=[1, 0], dilations=[1], group=4),
    case("Conv", t(N, 2, 4, 4, H), t(3, 2, 1, 1, 2), strides=[1, 1, 1], pads=[0] * 6, dilations=[1, 1, 1]),
    case("Conv", t(N, 2, H), t(3, 2, 3), strides=[1], pads=[-1, 0], dilations=[1]),
    *(
        case("Conv", t(1, 2, 5, e=e), t(3, 2, 3, e=e), t(3, e=e), strides=[1], pads=[1, 1], dilations=[1])
        for e in (f16, bf16, f64)
    ),
    case("Conv", t(1, 2, H), t(3, 2, K), strides=[1], pads=[K // 2, K // 2], dilations=[1]),
    case(
        "ConvTranspose",
        t(N, 3, H, W),
        t(3, 4, 3, 3),
        t(4),
        strides=[2, 1],
        pads=[1, 0, 0, 1],
        dilations=[1, 2],
        output_padding=[1, 0],
    ),
    case(
        "ConvTranspose",
        t(N, 4, H),
        t(4, 3, 2),
        t(6),
        strides=[3],
        pads=[0, 0],
        dilations=[1],
        output_padding=[0],
        group=2,
    ),
    case("ConvTranspose", t(N, 4, H), t(4, 1, 2), strides=[2], pads=[0, 0], dilations=[1], output_padding=[0], group=4),
    # pools
    *(
        case(name, t(N, 3, H, W), kernel=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1], ceil_mode=ceil, **more)
        for name, more in (
            ("MaxPool", {"dilations": [1, 2]}),
            ("MaxPool", {"dilations": [1, 1], "indices": True}),
            ("MaxPool", {"dilations": [1, 1], "indices": True, "storage_order": 1}),
            ("AveragePool", {"dilations": [1, 1]}),
            ("AveragePool", {"dilations": [2, 1], "count_include_pad": True}),
            ("LpPool", {"dilations": [1, 1]}),
            ("LpPool", {"dilations": [1, 1], "p": 1}),
            ("LpPool", {"dilations": [1, 1], "p": 3}),
        )
        for ceil in (False, True)
    ),
    case("MaxPool", t(1, 1, 8, e=u8), kernel=[2], strides=[2], pads=[1, 1], dilations=[1]),
    case("MaxPool", t(1, 1, 8, e=i8), kernel=[2], strides=[2], pads=[0, 0], dilations=[1], indices=True),
    case("MaxPool", t(1, 2, 16), kernel=[3], strides=[1], pads=[1, 1], dilations=[1], indices=True, values={0: odd}),
    case("MaxPool", t(1, 2, 16, e=f16), kernel=[3], strides=[1], pads=[1, 1], dilations=[1]),
    case("AveragePool", t(1, 2, 6, e=bf16), kernel=[3], strides=[1], pads=[0, 0], dilations=[1]),
    *(
        case(name, t(N, 3, H, W, e=e))
        for name in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
        for e in (f32, f16)
    ),
    case("GlobalAveragePool", t(N, 3)),
    case("GlobalLpPool", t(N, 3, 4), p=3),
    case("GlobalAveragePool", t(N, 3, 7)),
    # reductions
    *(
        case(name, t(N, 3, H, e=e), axes=axes, keepdims=keep, values={0: indices(1, 4)})
        for name in (
            "ReduceSum",
            "ReduceMean",
            "ReduceProd",
            "ReduceMax",
            "ReduceMin",
            "ReduceL1",
            "ReduceL2",
            "ReduceSumSquare",
            "ReduceLogSum",
            "ReduceLogSumExp",
        )
        for e, axes, keep in (
            (f32, [1], True),
            (f16, [-1, 0], False),
            (i32, [0, 1, 2], True),
            (u8, [], False),
            (i64, [2], False),
        )
    ),
    *(
        case(name, t(16, 8), axes=[1], values={0: odd})
        for name in ("ReduceMax", "ReduceMin", "ReduceLogSumExp", "ReduceMean")
    ),
    *(
        case(name, t(4, 0), axes=[1], keepdims=False)
        for name in ("ReduceSum", "ReduceProd", "ReduceMax", "ReduceMin", "ReduceMean", "ReduceLogSumExp")
    ),
    *(case(name, t(N, 3, e=i1), axes=axes) for name in ("ReduceMax", "ReduceMin") for axes in ([1], [0, 1], [])),
    case("ReduceMin", t(4, 0, e=i1), axes=[1]),
    case("ReduceMax", t(4, 0, e=i1), axes=[1]),
    case("ReduceMax", t(4, 0, e=i8), axes=[1]),
    case("ReduceMean", t(N, 5, e=i8), axes=[1]),
    case("ReduceSum", t(), axes=[]),
    *(
        case(name, t(N, 6, 3, e=e), axis=axis, keepdims=keep, select_last_index=last, values={0: value})
        for name in ("ArgMax", "ArgMin")
        for last in (False, True)
        for e, axis, keep, value in (
            (f32, 1, True, odd),
            (i64, -1, False, indices(0, 2)),
            (u8, 0, False, indices(0, 3)),
            (f16, 1, False, odd),
        )
    ),
    *(
        case("TopK", t(N, 7, e=e), k=k, axis=axis, largest=largest, values={0: value})
        for largest in (True, False)
        for e, k, axis, value in (
            (f32, 3, 1, odd),
            (i64, 7, -1, indices(0, 3)),
            (f32, 1, 0, odd),
            (u8, M, 1, indices(0, 9)),
        )
    ),
    *(
        case(name, t(N, 5, e=e), axis=axis, exclusive=x, reverse=r)
        for name in ("CumSum", "CumProd")
        for e, axis in ((f32, 1), (i64, 0), (f16, -1))
        for x in (True, False)
        for r in (True, False)
    ),
    # normalisation
    *(
        case(name, t(N, 3, H, e=e), axis=axis)
        for name in ("Softmax", "LogSoftmax", "Hardmax", "LpNormalization")
        for e, axis in ((f32, 1), (f16, -1), (f64, 0))
    ),
    *(case(name, t(), axis=0) for name in ("Softmax", "LogSoftmax", "Hardmax", "LpNormalization")),
    *(case(name, t(16, 4), values={0: odd}) for name in ("Softmax", "LogSoftmax", "Hardmax", "LpNormalization")),
    case("LpNormalization", t(N, 4), p=1),
    case("LpNormalization", t(N, 4), values={0: lambda rng, shape: np.zeros(shape)}),
    case("Softmax", t(N, 0)),
    case("LRN", t(N, 5, H, W), size=3),
    case("LRN", t(N, 5), size=2, alpha=0.5, beta=0.5, bias=2.0),
    case("LRN", t(N, 3, 2, e=f16), size=4),
    case("BatchNormalization", t(N, 3, H), t(3), t(3), t(3), t(3), values={4: positive}),
    case("BatchNormalization", t(N, 3, e=f16), t(3), t(3), t(3), t(3), values={4: positive}, epsilon=0.1),
    case("InstanceNormalization", t(N, 3, H, W), t(3), t(3)),
    case("InstanceNormalization", t(N, M, 8, e=f16), t(M, e=f16), t(M, e=f16)),
    case("LayerNormalization", t(N, 3, 8), t(8), t(8)),
    case("LayerNormalization", t(N, 3, 8), t(3, 8), axis=1),
    case("LayerNormalization", t(N, K, e=f16), t(K, e=f16), t(e=f16)),
    case("RMSNormalization", t(N, 3, 8), t(8)),
    case("RMSNormalization", t(N, 3, 8, e=bf16), t(3, 1, e=bf16), axis=-2),
    # indexing
    *(
        case("Gather", t(N, 5, 3, e=e), t(*shape, e=i), axis=1, values={1: indices(-5, 5)})
        for e, i, shape in ((f32, i64, (M,)), (i8, i32, ()), (u8, i64, (2, M)))
    ),
    case("Gather", t(N, 0), t(0, e=i64), axis=1),
    case("Gather", t(N), t(M, 2, e=i64), values={1: indices(-2, 2)}),
    case("GatherElements", t(N, 5, 3), t(N, 2, 3, e=i64), axis=1, values={1: indices(-5, 5)}),
    case("GatherElements", t(5, 4), t(3, K, e=i32), axis=0, values={1: indices(-5, 5)}),
    case("Take", t(N, 4, H), t(M, 1, e=i64), t(K, e=i32), values={1: indices(-2, 4), 2: indices(-2, 6)}),
    case("Take", t(N, H, e=i1), t(M, e=i64), values={1: indices(-3, 5)}),
    case("Take", t(0, H), t(M, e=i64), t(N, 1, e=i64), values={1: indices(-1, 2), 2: indices(-1, 6)}),
    case("GatherND", t(4, 3, H), t(N, 2, e=i64), values={1: indices(-3, 3)}),
    case("GatherND", t(4, 3), t(N, M, 2, e=i64), values={1: indices(-3, 3)}),
    case("GatherND", t(N, 3, H), t(N, M, 1, e=i64), batch_dims=1, values={1: indices(-3, 3)}),
    *(
        case(
            "TreeLeaves",
            t(N, 2, e=e),
            t(5, e=i32),
            t(5, e=e),
            t(5, e=u8),
            t(5, 2, e=i32),
            t(M, e=i32),
            steps=steps,
            modes=[0, 5],
            tracks=True,
            values={
                0: of_any(0, 1, np.nan),
                1: of(0, 1, 0, 1, 0),
                2: of(0.5, 1, 0, 0, 0),
                3: of(0, 5, 8, 13, 0),
                4: of(1, 2, 3, 4, 4, 1, 3, 3, 4, 4),
                5: of_any(0, 2),
            },
        )
        for e in (f32, f64, f16)
        for steps in (0, 1, 4, 17)
    ),
    *(
        case("ScatterElements", t(H, 4, e=e), t(3, 4, e=i64), t(3, 4, e=e), axis=0, reduction=r, values={1: v})
        for e in (f32, i8, f16)
        for r, v in (
            ("none", of(*range(4), *range(1, 5), *(-1, -2, -5, -5))),
            *((r, indices(-5, 5)) for r in ("add", "mul", "max", "min")),
        )
    ),
    case(
        "ScatterElements", t(N, 6), t(N, 2, e=i32), t(N, 2), axis=1, values={1: lambda rng, shape: [[0, -1]] * shape[0]}
    ),
    *(
        case("ScatterND", t(H, 4, e=e), t(3, depth, e=i64), t(*shape, e=e), reduction=r, values={1: v})
        for e in (f32, i64)
        for depth, shape, unique in ((1, (3, 4), of(0, -1, 2)), (2, (3,), of(0, 1, -1, -2, 3, 3)))
        for r, v in (("none", unique), *((r, indices(-4, 4)) for r in ("add", "mul", "max", "min")))
    ),
    case(
        "ScatterND",
        t(4, H),
        t(N, 3, 2, e=i64),
        t(N, 3),
        values={1: of(*(v for i in range(6) for v in (i % 4, -1 - i % 5)))},
    ),
    *(
        case("OneHot", t(N, M, e=e), t(2, e=v), depth=d, axis=a, values={0: indices(-6, 7)})
        for e, v, d, a in ((i64, f32, 5, -1), (f32, i64, H, 1), (u8, i1, 5, 0))
    ),
    *(
        case("ReverseSequence", t(4, 3, H), t(n, e=i64), batch_axis=b, time_axis=1 - b, values={1: indices(0, 4)})
        for b, n in ((1, 3), (0, 4))
    ),
    case("SuppressOverlaps", t(N, 7, 4), t(N, 7, e=i1), t()),
    # contraction by letters
    *(
        case("Einsum", *operands, equation=e)
        for e, *operands in (
            ("bij,bjk->bik", t(N, 3, K), t(N, K, 5)),
            ("ii->i", t(3, 3)),
            ("ij->ji", t(N, M)),
            ("ij->", t(N, M, e=i32)),
            ("i,j", t(N), t(M)),
            ("...ij,...jk", t(N, 1, 3, K), t(M, K, 2)),
            ("bhqd,bhkd->bhqk", t(N, 2, 3, K, e=f16), t(N, 2, M, K, e=f16)),
            ("ij,jk,kl->il", t(N, 3), t(3, K), t(K, 2)),
            ("i->", t(K)),
            ("...->...", t(N, 3)),
        )
    ),
    # resize
    *(
        case("Resize", t(N, 2, size, 6, e=e), sizes_=[N, 2, *new], mode=mode, coordinate_transformation_mode=c, **more)
        for size, new in ((4, (7, 3)), (H, (W, 12)), (5, (5, 1)))
        for mode, e, more in (
            ("nearest", f32, {}),
            ("nearest", u8, {"nearest_mode": "floor"}),
            ("nearest", i1, {"nearest_mode": "ceil"}),
            ("nearest", f32, {"nearest_mode": "round_prefer_ceil"}),
            ("linear", f32, {}),
            ("linear", u8, {}),
            ("linear", f16, {"exclude_outside": True}),
            ("cubic", f32, {}),
            ("cubic", f32, {"exclude_outside": True, "cubic_coeff_a": -0.5}),
        )
        for c in ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric")
    ),
    *(
        case("Resize", t(N, 2, size, 8), sizes_=[N, 2, *new], mode=mode, antialias=True)
        for mode in ("linear", "cubic")
        for size, new in ((9, (4, 3)), (4, (7, 8)))
    ),
    *(
        case(
            "Resize",
            t(1, size, 6),
            sizes_=[1, 7, 4],
            mode=mode,
            roi=[0.0, 0.2, 0.1, 1.0, 0.7, 1.4],
            coordinate_transformation_mode="tf_crop_and_resize",
            extrapolation_value=3.5,
        )
        for mode in ("nearest", "linear", "cubic")
        for size in (5, H)
    ),
    *(
        case(
            "Resize",
            t(1, H, 6),
            sizes_=[1, H * 2, 15],
            scales=[1.0, 2.0, 2.5],
            mode=mode,
            nearest_mode=n,
            coordinate_transformation_mode=c,
        )
        for mode, n, c in (
            ("nearest", "floor", "asymmetric"),
            ("nearest", "round_prefer_floor", "half_pixel"),
            ("linear", "floor", "half_pixel"),
            ("nearest", "ceil", "asymmetric"),
        )
    ),
    case("Resize", t(1, H, 6), sizes_=[1, H * 3, 3], nearest_mode="floor", coordinate_transformation_mode="asymmetric"),
    case("Resize", t(N, 4), sizes_=[N, 0]),
    # known before the run
    *(case("Range", t(e=e), t(e=e), size=N * 3) for e in (f32, i64, i32, f16)),
    case("Range", t(1), t(), size=0),
    *(case("EyeLike", t(N, M), k=k, to=e) for k in (0, 1, -1) for e in (f32, i64, i1)),
    case("SizesOf", values_=[N, M * 2, 7], shape=[3]),
    case("SizesOf", values_=[N], shape=[]),
    case("SizesOf", values_=[N, M, K, 1], shape=[2, 2]),
    case("SizesOf", values_=[], shape=[0]),
]
