"""Every scalar operation on values at the edges of its types, for those who make code of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
from xdsl.dialects import arith, math
from xdsl.dialects.builtin import IndexType, VectorType, bf16, f16, f32, f64, i1, i8, i16, i32, i64
from xdsl.ir import Attribute, Block, Operation, Region
from xdsl.irdl import IRDLOperation

from ..dialects.loop import For, Kernel, Load, Store
from ..dialects.loop.lanes import lifted
from ..dialects.loop.program import kernel_block
from ..ir.expr import Expr
from ..ir.scalars import SIMPLE, held_dtype
from ..ir.types import BufferType, is_float

FLOATS: Sequence[Attribute] = (f32, f64, f16, bf16)
INTEGERS: Sequence[Attribute] = (i8, i16, i32, i64)
MOST = 16

# ---- operations


@dataclass(frozen=True)
class Case:
    """An operation on operands of these types; `exact`: the bits are those of the reference."""

    cls: type[IRDLOperation]
    operands: tuple[Attribute, ...]
    result: Attribute
    predicate: int | None = None
    exact: bool = True

    @property
    def name(self) -> str:
        types = ".".join(map(str, (*self.operands, self.result)))
        return f"{self.cls.name}{'' if self.predicate is None else self.predicate}.{types}"

    def op(self, block: Block) -> Operation:
        """The operation on the block's arguments."""
        if self.predicate is not None:
            return self.cls(*block.args, self.predicate)  # pyright: ignore[reportCallIssue]
        return self.cls.create(operands=block.args, result_types=[self.result], properties=self.properties())

    def properties(self) -> dict[str, Attribute]:
        block = Block(arg_types=self.operands)
        if self.cls in CASTS or self.cls is arith.SelectOp:
            return {}
        return dict(self.cls(*block.args).properties)  # pyright: ignore[reportCallIssue]


CASTS = (
    arith.SIToFPOp, arith.UIToFPOp, arith.FPToSIOp, arith.FPToUIOp, arith.ExtFOp, arith.TruncFOp, arith.ExtSIOp,
    arith.ExtUIOp, arith.TruncIOp, arith.BitcastOp, arith.IndexCastOp,
)  # fmt: skip
INEXACT = (  # functions of a library, or (fma) a reference that rounds twice
    math.AcosOp, math.AcoshOp, math.AsinOp, math.AsinhOp, math.AtanOp, math.Atan2Op, math.AtanhOp, math.CosOp,
    math.CoshOp, math.ErfOp, math.ExpOp, math.Exp2Op, math.ExpM1Op, math.LogOp, math.Log2Op, math.Log10Op, math.Log1pOp,
    math.PowFOp, math.RsqrtOp, math.SinOp, math.SinhOp, math.TanOp, math.TanhOp, math.FmaOp,
)  # fmt: skip
ULPS = 8
BITWISE = (arith.AndIOp, arith.OrIOp, arith.XOrIOp)


def width(type_: Attribute) -> int:
    return held_dtype(type_).itemsize * 8 if type_ != i1 else 1


def cases() -> Iterator[Case]:
    for cls in (*SIMPLE, math.FmaOp):
        assert issubclass(cls, IRDLOperation)
        if cls is arith.SelectOp:
            for t in (*FLOATS, *INTEGERS, i1):
                yield Case(cls, (i1, t, t), t)
            continue
        integers = cls.__name__.endswith(("iOp", "IOp"))
        count = len(cls.get_irdl_definition().operands)
        for t in INTEGERS if integers else FLOATS:
            yield Case(cls, (t,) * count, t, exact=cls not in INEXACT)
        if cls in BITWISE:
            yield Case(cls, (i1, i1), i1)
    for predicate in range(10):
        for t in INTEGERS if predicate else (*INTEGERS, i1):
            yield Case(arith.CmpiOp, (t, t), i1, predicate)
    for predicate in range(16):
        for t in FLOATS:
            yield Case(arith.CmpfOp, (t, t), i1, predicate)
    for f, i in itertools.product(FLOATS, INTEGERS):
        for cls in (arith.FPToSIOp, arith.FPToUIOp):
            yield Case(cls, (f,), i)
        for cls in (arith.SIToFPOp, arith.UIToFPOp):
            yield Case(cls, (i,), f)
        if width(f) == width(i):
            yield Case(arith.BitcastOp, (f,), i)
            yield Case(arith.BitcastOp, (i,), f)
    for f in FLOATS:
        yield Case(arith.UIToFPOp, (i1,), f)
        for g in FLOATS:
            if width(f) < width(g):
                yield Case(arith.ExtFOp, (f,), g)
                yield Case(arith.TruncFOp, (g,), f)
    for narrow, wide in itertools.combinations((i1, *INTEGERS), 2):
        yield Case(arith.ExtSIOp, (narrow,), wide)
        yield Case(arith.ExtUIOp, (narrow,), wide)
        yield Case(arith.TruncIOp, (wide,), narrow)
    for i in (i1, *INTEGERS):
        yield Case(arith.IndexCastOp, (i,), IndexType())


CASES = list(cases())

# ---- values


def values(type_: Attribute) -> np.ndarray[Any, Any]:
    dtype = held_dtype(type_)
    if dtype.kind == "b":
        return np.array([False, True])
    if dtype.kind == "i":
        info, bits = np.iinfo(dtype), dtype.itemsize * 8
        found = [
            0,
            1,
            2,
            3,
            7,
            -1,
            -2,
            -7,
            100,
            bits - 1,
            bits,
            bits + 1,
            info.max,
            info.max - 1,
            info.min,
            info.min + 1,
        ]
        return np.array(sorted(set(found)), dtype)
    finfo = ml_dtypes.finfo(dtype)
    smallest = float(finfo.smallest_subnormal)
    found = [
        0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.14159, 9.5, 100.7, 127.5, 255.5, 65504.0, 2.0**24 + 2, 2.0**31,
        2.0**63, 2.0**64, float(finfo.max), float(finfo.tiny), smallest, smallest * 3,
        float(np.nextafter(np.float32(0.5), np.float32(0))), 2.0**-25, np.inf, 1 + 2.0**-8, 1 + 2.0**-9 + 2.0**-11,
        1 + 2.0**-8 + 2.0**-30,
    ]  # fmt: skip
    with np.errstate(all="ignore"):
        return np.array([*found, *(-x for x in found), np.nan]).astype(dtype)


@cache
def operands(case: Case) -> Sequence[np.ndarray[Any, Any]]:
    """Every combination of edge values, some random ones, and padding to whole vectors."""
    rng = np.random.default_rng(0)
    grids = [values(t) for t in case.operands]
    if len(grids) == 3:
        grids = [g if len(g) < 3 else g[rng.choice(len(g), 11, replace=False)] for g in grids]
    columns = [np.asarray(g).reshape(-1) for g in np.meshgrid(*grids, indexing="ij")]
    found: list[np.ndarray[Any, Any]] = []
    for type_, column in zip(case.operands, columns, strict=True):
        dtype = held_dtype(type_)
        more = -len(column) % MOST + 4 * MOST
        if dtype.kind == "b":
            extra = rng.integers(0, 2, more).astype(bool)
        elif dtype.kind == "i":
            extra = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, more, dtype, endpoint=True)
        else:
            extra = (rng.standard_normal(more) * 10.0 ** rng.integers(-3, 4, more)).astype(dtype)
        found.append(np.concatenate([column, extra]))
    return found


# ---- kernels


def storage(type_: Attribute) -> Attribute:
    return i64 if isinstance(type_, IndexType) else type_


def kernel(case: Case, lanes: int, length: int) -> Kernel:
    """out[i] = op(in0[i], in1[i] ...), `lanes` at a time."""
    types = [*map(storage, case.operands), storage(case.result)]
    names = [*(f"in{i}" for i in range(len(case.operands))), "out"]
    block = kernel_block([BufferType.of([length], t) for t in types], names)
    loop = For((0, length // lanes), "i", "parallel")
    block.add_op(loop)
    inner = loop.body.block
    at = ([Expr.dim(0) * lanes], [loop.iv])

    def put(op: Operation) -> Any:
        inner.add_op(op)
        return op.results[0]

    loaded = [
        put(Load(b, at, type_=t if lanes == 1 else VectorType(t, [lanes])))
        for b, t in zip(block.args, types[:-1], strict=False)
    ]
    scalar = case.op(Block(arg_types=case.operands))
    if lanes == 1:
        scalar.operands = loaded
        value = put(scalar)
    else:
        value = put(lifted(scalar, loaded, lanes))
    if isinstance(case.result, IndexType) and lanes == 1:
        value = put(arith.IndexCastOp(value, i64))
    elif isinstance(case.result, IndexType):
        value = put(lifted(arith.IndexCastOp(Block(arg_types=[IndexType()]).args[0], i64), [value], lanes))
    inner.add_op(Store(value, block.args[-1], at))
    return Kernel(f"{case.name}.{lanes}", names, 1, Region(block))


def ulps(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """How many numbers lie between a and b."""

    def ordered(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        bits = x.view(f"i{x.dtype.itemsize}").astype(object)
        return np.where(bits < 0, -(bits & ((1 << (8 * x.dtype.itemsize - 1)) - 1)), bits)

    return np.abs(ordered(a) - ordered(b))


def wrong(case: Case, expected: np.ndarray[Any, Any], actual: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Where the results differ."""
    if not is_float(case.result):
        return expected != actual
    neither = np.isnan(expected.astype(np.float64)) & np.isnan(actual.astype(np.float64))
    return (ulps(expected, actual) > (0 if case.exact else ULPS)) & ~neither
