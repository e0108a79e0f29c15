"""Each numbered constraint of each operator, violated once: the message names it."""

import re
from collections.abc import Callable, Iterable
from typing import Any

import ml_dtypes
import pytest
from xdsl.dialects.builtin import f32, f64, i1, i16, i32, i64
from xdsl.dialects.test import TestOp
from xdsl.ir import Attribute, SSAValue
from xdsl.utils.exceptions import VerifyException

from ircc.dialects.graph import BY_NAME, OPERATORS, GraphOp
from ircc.dialects.graph.binary import Binary, Variadic
from ircc.dialects.graph.data import Constant
from ircc.dialects.graph.normalization import AlongAxis, FromAxis, PerChannel
from ircc.dialects.graph.pooling import GlobalPool, Pool
from ircc.dialects.graph.reduction import Position, Reduction, Running
from ircc.dialects.graph.unary import Unary
from ircc.ir.expr import Expr
from ircc.ir.types import DTYPES, TensorType, element_of
from ircc.testing.graph_builder import kind_of
from ircc.testing.inventory import families

u8 = next(t for t, d in DTYPES.items() if d.name == "uint8")
N = Expr.symbol("N")

Violation = Callable[[], Any]
VIOLATIONS: dict[tuple[str, str], Violation] = {}


def x(*sizes: Any, of: Attribute = f32) -> SSAValue:
    return TestOp(result_types=[TensorType.of(sizes, of)]).results[0]


def of_other_kind(kinds: str) -> Attribute | None:
    """An element type that is of none of these kinds."""
    return next((t for t in (i1, f32, u8, i64) if kind_of(t) not in kinds), None)


def of_kind(kinds: str) -> Attribute:
    return next(t for t in (f32, i64, u8, i1) if kind_of(t) in kinds)


def violate(operator: str, constraint: str, *operands: Any, **properties: Any) -> None:
    """The operator breaks the constraint on these operands, with these properties."""
    assert (operator, constraint) not in VIOLATIONS, f"{operator} {constraint} stands here twice"
    VIOLATIONS[operator, constraint] = lambda: BY_NAME[operator].make(*operands, **properties)


# ---- families

NEEDED: dict[str, dict[str, Any]] = {  # properties without a default
    "BitShift": {"direction": "LEFT"}, "LRN": {"size": 3}, "Mod": {"fmod": True},
}  # fmt: skip


def family(*bases: type[GraphOp]) -> Iterable[tuple[str, type[Any], dict[str, Any]]]:
    for op in OPERATORS:
        if issubclass(op, bases):
            yield op.__name__, op, NEEDED.get(op.__name__, {})


for name, op, needed in family(Unary):
    if (wrong := of_other_kind(op.KINDS)) is not None:
        violate(name, "C1", x(2, of=wrong), **needed)

for name, op, needed in family(Binary):
    good, wrong = of_kind(op.KINDS), of_other_kind(op.KINDS)
    violate(name, "C1", x(2, of=good), x(3, of=good), **needed)
    if name != "Pow":
        violate(name, "C2", x(2, of=good), x(2, of=f64 if good != f64 else f32), **needed)
        if wrong is not None:
            violate(name, "C3", x(2, of=wrong), x(2, of=wrong), **needed)

for name, op, _ in family(Variadic):
    violate(name, "C1", [x(2), x(3)])
    violate(name, "C2", [x(2), x(2, of=f64)])
    violate(name, "C3", [x(2, of=of_other_kind(op.KINDS) or i1)])
    violate(name, "C4", [])

WINDOW = {"kernel": [2, 2], "strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0]}
for name, _, _ in family(Pool):
    violate(name, "C1", x(1, 1), **WINDOW)
    violate(name, "C2", x(1, 1, 4, 4, of=i32), **WINDOW)
    violate(name, "C3", x(1, 1, 4, 4), **{**WINDOW, "strides": [0, 1]})
    violate(name, "C4", x(1, 1, 0, 4), **WINDOW)

for name, _, _ in family(GlobalPool):
    violate(name, "C1", x(3))
    violate(name, "C2", x(1, 3, 4, of=i32))

for name, op, _ in family(Reduction):
    violate(name, "C1", x(2, 3), axes=[0, -2])
    if (wrong := of_other_kind(op.KINDS)) is not None:
        violate(name, "C2", x(2, of=wrong), axes=[0])

for name, _, _ in family(Position):
    violate(name, "C1", x(2), axis=1)
    violate(name, "C2", x(2, of=i1), axis=0)
    violate(name, "C3", x(2, 0), axis=1)

for name, _, _ in family(Running):
    violate(name, "C1", x(2), axis=-2)
    violate(name, "C2", x(2, of=i1), axis=0)

for name, op, _ in family(PerChannel):
    vectors = len(op.get_irdl_definition().operands) - 1
    violate(name, "C1", x(3), *[x(3)] * vectors)
    violate(name, "C2", x(1, 3, of=i64), *[x(3)] * vectors)
    violate(name, "C3", x(1, 3, 5), *[x(3)] * (vectors - 1), x(5))
    violate(name, "C4", x(1, 3, 5), *[x(3)] * (vectors - 1), x(3, of=i64))

for name, _, _ in family(FromAxis):
    violate(name, "C1", x(2, 3), x(2, 1, 3))
    violate(name, "C2", x(2, 3), x(3), axis=2)
    violate(name, "C3", x(2, 3), x(3, of=f64))

for name, _, _ in family(AlongAxis):
    violate(name, "C1", x(2, 3), axis=2)
    violate(name, "C2", x(2, 3, of=i64), axis=0)

# ---- elementwise

violate("Cast", "C1", x(2), to=element_of(ml_dtypes.float8_e8m0fnu), round_mode="even")
violate("BitCast", "C1", x(2), to=i64)
violate("Gelu", "C2", x(2), approximate="erf")
violate("Pow", "C2", x(2, of=u8), x(2))
violate("Pow", "C3", x(2), x(2, of=i1))
violate("Mod", "C4", x(2), x(2), fmod=False)
violate("BitShift", "C4", x(2, of=u8), x(2, of=u8), direction="UP")
violate("Where", "C1", x(2, of=i1), x(3), x(3))
violate("Where", "C2", x(2), x(2), x(2))
violate("Where", "C3", x(2, of=i1), x(2), x(2, of=f64))
violate("PRelu", "C1", x(1), x(2))
violate("PRelu", "C2", x(2), x(2, of=f64))
violate("PRelu", "C3", x(2, of=i1), x(2, of=i1))
violate("Clip", "C1", x(2), x(2))
violate("Clip", "C2", x(2), x(of=f64))
violate("Clip", "C3", x(2, of=i1))

# ---- contractions and pools

violate("MatMul", "C1", x(2, 3, 4), x(3, 4, 5))
violate("MatMul", "C2", x(), x(2))
violate("MatMul", "C3", x(2, 3), x(3, 2, of=f64))
violate("MatMul", "C4", x(2, 3), x(4, 2))
violate("MatMul", "C5", x(2, 3, of=i1), x(3, 2, of=i1))
violate("Gemm", "C1", x(2, 3), x(3, 4), x(3, 4))
violate("Gemm", "C2", x(2, 3), x(3))
violate("Gemm", "C3", x(2, 3), x(3, 4), x(4, of=f64))
violate("Gemm", "C4", x(2, 3), x(4, 3))
violate("Gemm", "C5", x(2, 3, of=i1), x(3, 4, of=i1))
CONV = {"strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0]}
for name, more in (("Conv", {}), ("ConvTranspose", {"output_padding": [0, 0]})):
    image, filters = x(1, 4, 5, 5), x(4, 4, 3, 3)
    violate(name, "C1", x(1, 4), x(4, 4), **CONV, **more)
    violate(name, "C2", image, x(4, 4, 3, 3, of=f64), **CONV, **more)
    violate(name, "C3", image, filters, **{**CONV, "pads": [0, 0]}, **more)
    violate(name, "C4", image, x(3, 3, 3, 3), **CONV, **more)
    violate(name, "C5", image, filters, x(3), **CONV, **more)
violate("Conv", "C6", x(1, 4, 1, 5), x(4, 4, 3, 3), **CONV)
violate("ConvTranspose", "C6", x(1, 4, 1, 5), x(4, 4, 1, 1), **{**CONV, "pads": [1, 0, 1, 0]}, output_padding=[0, 0])
violate("Einsum", "C1", [x(2, 3), x(3, 3)], equation="...i,...i")
violate("Einsum", "C2", [x(2, 3)], equation="i->i")
violate("Einsum", "C3", [x(2), x(2, of=f64)], equation="i,i")
violate("Einsum", "C4", [x(2), x(3)], equation="i,i")
violate("Einsum", "C5", [x(2, of=i1)], equation="i")
violate("MaxPool", "C5", x(1, 1, 4, 4), **WINDOW, storage_order=2)
violate("LpPool", "C5", x(1, 1, 4, 4), **WINDOW, p=0)
violate("GlobalLpPool", "C3", x(1, 1, 4), p=0)

# ---- along axes

violate("TopK", "C1", x(2), k=1, axis=1)
violate("TopK", "C2", x(2, of=i1), k=1)
violate("TopK", "C3", x(2), k=3)
violate("LRN", "C1", x(3), size=3)
violate("LRN", "C2", x(1, 3, of=i64), size=3)
violate("LRN", "C3", x(1, 3), size=0)
violate("LpNormalization", "C3", x(3), p=3)

# ---- movement

violate("Reshape", "C1", x(2, 3), shape=[7])
violate("Reshape", "C2", x(2, 3), shape=[-2, -3])
violate("Transpose", "C1", x(2, 3), perm=[0, 0])
violate("Expand", "C1", x(2), shape=[3])
violate("Expand", "C2", x(2), shape=[-1, 2])
violate("Tile", "C1", x(2), repeats=[2, 2])
violate("Tile", "C2", x(2), repeats=[-1])
violate("Concat", "C1", [x(2)], axis=1)
violate("Concat", "C2", [], axis=0)
violate("Concat", "C3", [x(2), x(2, 1)], axis=0)
violate("Concat", "C4", [x(2, 1), x(2, 3)], axis=0)
violate("Split", "C1", x(4), axis=1, sizes=[4])
violate("Split", "C2", x(4), axis=0, sizes=[5, -1])
violate("Split", "C3", x(4), axis=0, sizes=[2, 3])
violate("Slice", "C1", x(4), starts=[0, 0], sizes=[1, 1], steps=[1, 1])
violate("Slice", "C2", x(4), starts=[0], sizes=[1], steps=[0])
violate("Slice", "C3", x(4), starts=[3], sizes=[2], steps=[1])
violate("Slice", "C4", x(4), starts=[0], sizes=[-1], steps=[1])
violate("Pad", "C1", x(4), pads=[1])
violate("Pad", "C2", x(4), pads=[1, 1], mode="mirror")
violate("Pad", "C3", x(4), x(2), pads=[1, 1])
violate("Pad", "C4", x(2), pads=[0, 2], mode="reflect")
violate("DepthToSpace", "C1", x(4, 4), blocksize=2)
violate("DepthToSpace", "C2", x(1, 4, 1, 1), blocksize=2, mode="CDR")
violate("DepthToSpace", "C3", x(1, 6, 1, 1), blocksize=2)
violate("SpaceToDepth", "C1", x(4, 4), blocksize=2)
violate("SpaceToDepth", "C2", x(1, 4, 2, 2), blocksize=0)
violate("SpaceToDepth", "C3", x(1, 4, 3, 2), blocksize=2)
TABLES = [x(5, of=i32), x(5), x(5, of=u8), x(5, 2, of=i32), x(2, of=i32)]
violate("TreeLeaves", "C1", x(N), *TABLES, steps=1, modes=[0])
violate("TreeLeaves", "C2", x(N, 3, of=f64), *TABLES, steps=1, modes=[0])
violate("TreeLeaves", "C3", x(N, 3), x(4, of=i32), *TABLES[1:], steps=1, modes=[0])
violate("TreeLeaves", "C4", x(N, 3), x(5, of=i64), *TABLES[1:], steps=1, modes=[0])
violate("TreeLeaves", "C5", x(N, 3), *TABLES, steps=1, modes=[6])
violate("Trilu", "C1", x(4))
violate("Resize", "C1", x(2, 3), sizes=[2, 3], scales=[1.0, 0.0])
violate("Resize", "C2", x(2, 3, of=i64), sizes=[2, 6], mode="cubic")
violate("Resize", "C3", x(2, 3), sizes=[2, 6], nearest_mode="up")
violate("Resize", "C4", x(2, 0), sizes=[2, 6])

# ---- indexing and data

violate("Gather", "C1", x(2), x(of=i64), axis=1)
violate("Gather", "C2", x(2), x(of=i16))
violate("GatherElements", "C1", x(2), x(2, of=i64), axis=1)
violate("GatherElements", "C2", x(2), x(2))
violate("GatherElements", "C3", x(2), x(2, 1, of=i64))
violate("GatherElements", "C4", x(2, 3), x(1, 4, of=i64))
violate("GatherND", "C1", x(2), x(2, of=i64), batch_dims=1)
violate("GatherND", "C2", x(2), x(1))
violate("GatherND", "C3", x(2), x(N, of=i64))
violate("GatherND", "C4", x(2, 3), x(3, 1, of=i64), batch_dims=1)
violate("Take", "C1", x(2), [x(1, of=i64), x(1, of=i64)])
violate("Take", "C2", x(2), [x(1)])
violate("Take", "C3", x(2, 2), [x(2, of=i64), x(3, of=i64)])
for name in ("ScatterElements", "ScatterND"):
    violate(name, "C1", x(2, 2), x(2, 2), x(2, 2))
    violate(name, "C2", x(2, 2), x(2, 2, of=i64), x(2, 2, of=f64))
    violate(name, "C3", x(2, 2, of=i1), x(2, 2, of=i64), x(2, 2, of=i1), reduction="add")
violate("ScatterElements", "C4", x(2, 2), x(2, of=i64), x(2))
violate("ScatterElements", "C5", x(4, 2), x(3, 2, of=i64), x(2, 2))
violate("ScatterElements", "C6", x(4, 2), x(4, 3, of=i64), x(4, 3))
violate("ScatterND", "C4", x(2, 2), x(2, 3, of=i64), x(2))
violate("ScatterND", "C5", x(2, 2), x(1, 1, of=i64), x(1, 3))
violate("OneHot", "C1", x(2, of=i64), x(2), depth=3, axis=2)
violate("OneHot", "C2", x(2, of=i1), x(2), depth=3)
violate("OneHot", "C3", x(2, of=i64), x(3), depth=3)
violate("OneHot", "C4", x(2, of=i64), x(2), depth=-1)
violate("ReverseSequence", "C1", x(2, 3), x(3, of=i64), batch_axis=1, time_axis=1)
violate("ReverseSequence", "C2", x(2, 3), x(2, of=i64))
violate("ReverseSequence", "C3", x(2), x(2, of=i64))
violate("SuppressOverlaps", "C1", x(2, 3, 5), x(2, 3, of=i1), x())
violate("SuppressOverlaps", "C2", x(2, 3, 4), x(2, 3), x())
violate("SuppressOverlaps", "C3", x(2, 3, 4), x(2, 3, of=i1), x(1))
violate("EyeLike", "C1", x(2), to=f32)
violate("Range", "C1", x(2), x(), size=3)
violate("Range", "C2", x(), x(of=f64), size=3)
violate("Range", "C3", x(), x(), size=-1)


def symbolic_constant() -> None:
    import numpy as np

    op = Constant.of(np.zeros(3, np.float32))
    Constant(properties=op.properties, result_types=[TensorType.of([N], f32)]).verify()


VIOLATIONS["Constant", "C1"] = symbolic_constant


@pytest.mark.parametrize("operator, constraint", VIOLATIONS, ids=lambda text: text)
def test_violated(operator: str, constraint: str) -> None:
    with pytest.raises(VerifyException, match=rf"(\A|\n.*){constraint} "):
        VIOLATIONS[operator, constraint]()


def documented(op: type[GraphOp]) -> set[str]:
    texts = [vars(cls).get("__doc__") or "" for cls in (op, *families(op))]
    found = {f"C{n}" for text in texts for n in re.findall(r"\bC(\d+)\b", text)}
    for first, last in (m for text in texts for m in re.findall(r"\bC(\d+)–C(\d+)\b", text)):
        found |= {f"C{n}" for n in range(int(first), int(last) + 1)}
    return found


CANNOT_BE_VIOLATED = {("Identity", "C1"), ("Equal", "C3"), ("ReduceMax", "C2"), ("ReduceMin", "C2")}  # any type goes


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.__name__)
def test_each_constraint_is_violated_here(op: type[GraphOp]) -> None:
    here = {c for name, c in VIOLATIONS if name == op.__name__}
    assert here == documented(op) - {c for name, c in CANNOT_BE_VIOLATED if name == op.__name__}
