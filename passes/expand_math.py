"""Write elementary functions out as arithmetic, which vectors can do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from xdsl.dialects import arith, math
from xdsl.dialects.builtin import BFloat16Type, Float16Type, Float32Type, FloatAttr, ModuleOp, f32
from xdsl.ir import Operation, SSAValue

from ..dialects.loop import Kernel
from ..dialects.tensor.builder import Body, Scalar
from ..ir.operands import walk
from ..ir.passes import Pass
from ._functions import FUNCTIONS, erf_beside_one, exp_beside_one

EXACT = (
    math.AbsFOp,
    math.CeilOp,
    math.CopySignOp,
    math.FloorOp,
    math.RoundEvenOp,
    math.RoundOp,
    math.SqrtOp,
    math.TruncOp,
)


@dataclass(frozen=True)
class ExpandMath(Pass):
    """In kernels, replace exp, expm1, log, log1p, tanh, erf, sin, cos and tan of f32 by polynomials, right to a few
    units in the last place, for NaN, infinities, zeros and denormals too; sin, cos and tan for arguments up to
    2^31. Functions of f16 and bf16 are computed in f32. Those of f64, and the rarer ones, stay for the backend's
    library."""

    name = "expand-math"

    def run(self, module: ModuleOp) -> bool:
        changed = False
        for kernel in [op for op in module.body.ops if isinstance(op, Kernel)]:
            for op in [op for op in walk(kernel) if op.name.startswith("math.") and op.name != "math.fma"]:
                changed |= expand(op)
        return changed


def formula_for(op: Operation) -> Callable[[Scalar], Scalar] | None:
    """What computes a function of f32; a cheaper one where it only meets the 1 of a sigmoid or of gelu."""
    sums = [u.operation for u in op.results[0].uses]
    ones = [v for s in sums if isinstance(s, arith.AddfOp) for v in s.operands if v is not op.results[0]]
    if len(ones) == len(sums) and all(map(is_one, ones)):
        if isinstance(op, math.ErfOp):
            return erf_beside_one
        below = (isinstance(u.operation, arith.DivfOp) and u.index == 1 for s in sums for u in s.results[0].uses)
        if isinstance(op, math.ExpOp) and all(below):
            return exp_beside_one
    return FUNCTIONS.get(type(op))


def is_one(value: SSAValue) -> bool:
    constant = value.owner.value if isinstance(value.owner, arith.ConstantOp) else None
    return isinstance(constant, FloatAttr) and constant.value.data == 1.0


def expand(op: Operation) -> bool:
    """Replace one function of scalars; False where it stays."""
    element = op.results[0].type
    half = isinstance(element, Float16Type | BFloat16Type) and not isinstance(op, EXACT)
    formula = formula_for(op)
    if not half and (formula is None or not isinstance(element, Float32Type)):
        return False
    assert op.parent is not None
    body = Body(op.parent, 0)
    body.before = op
    operands = [Scalar(body, v, element).cast(f32) for v in op.operands]
    if formula is not None:
        result = formula(operands[0])
    else:
        result = body.op(
            type(op).create(operands=[o.value for o in operands], result_types=[f32], properties=op.properties), f32
        )
    op.results[0].replace_all_uses_with(result.cast(element).value)
    op.detach()
    op.erase()
    return True
