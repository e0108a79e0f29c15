"""Compute at compile time what depends on constants only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from xdsl.dialects import arith
from xdsl.dialects.builtin import FloatAttr, IndexType, IntegerAttr, IntegerType, ModuleOp
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.traits import IsTerminator, is_side_effect_free

from ..dialects.graph.base import GraphOp
from ..dialects.graph.data import Constant as GraphConstant
from ..dialects.tensor import Compute, Index, Put, Read, Update, WithBody
from ..dialects.tensor import Constant as TensorConstant
from ..ir.evaluator import Environment
from ..ir.expr import Expr, ExprLike, product
from ..ir.nodes import nodes_of, set_nodes
from ..ir.operands import walk
from ..ir.passes import Pass
from ..ir.scalars import evaluate_scalar, held_dtype
from ..ir.types import TensorType, held
from ..ir.weights import Weight
from ._computes import limits_of, own_indices, within

Array = np.ndarray[Any, Any]
STEP = 1 << 10  # elements that NumPy computes in the time of one step of an update
UNIFORM = 1 << 16  # longest constant that is looked at for being one number


@dataclass(frozen=True)
class FoldConstants(Pass):
    """Replace operations whose operands are all constants by their value: operators, computes, and scalar operations in
    the bodies of computes, where a read of a constant that is one number becomes that number.

    A result may have `limit` elements, or as many as its operands together; what would be larger (a broadcast) is left
    to run time. So is what takes more than 64 steps per element of the larger of `limit` and the operands."""

    name = "fold-constants"
    limit: int = 1 << 20

    def run(self, module: ModuleOp) -> bool:
        changed = False
        for op in list(walk(module)):
            if op.parent is None:
                continue
            match op:
                case GraphOp():
                    changed |= self.fold_operator(op)
                case Compute() | Update():
                    changed |= fold_body(op)
                    changed |= self.fold_compute(op)
                case _:
                    continue
        return changed

    def allowed(self, sizes: Sequence[TensorType], operands: Sequence[Array], steps: Expr) -> bool:
        """Whether results of these types are worth computing now."""
        given = sum(a.size for a in operands)
        elements = sum(product(t.sizes).constant or 0 for t in sizes)
        most = max(self.limit, given)
        return elements <= most and (steps.constant or 0) <= 64 * most

    def fold_operator(self, op: GraphOp) -> bool:
        types = [t for t in op.result_types if isinstance(t, TensorType)]
        if isinstance(op, GraphConstant) or op.regions or not is_side_effect_free(op):
            return False
        if any(t.static_shape is None for t in types) or len(types) != len(op.results):
            return False
        values = [None if v is None else v.owner for v in op.inputs]
        if not all(v is None or isinstance(v, GraphConstant) for v in values):
            return False
        arrays = [v.array if isinstance(v, GraphConstant) else None for v in values]
        steps = Expr.const(max((product(t.sizes).constant or 0 for t in types), default=0))
        if not self.allowed(types, [a for a in arrays if a is not None], steps):
            return False
        try:
            with np.errstate(all="ignore"):
                found = op.evaluate(arrays, number)
        except TypeError:  # an attribute depends on a symbol
            return False
        for array, type_ in zip(found, types, strict=True):
            if array.dtype != type_.dtype or array.shape != type_.static_shape:
                return False
        replace_by(op, [GraphConstant.of(np.asarray(a), nodes=nodes_of(op)) for a in found])
        return True

    def fold_compute(self, op: WithBody) -> bool:
        if op.type.static_shape is None or any(s.constant is None for s in op.sizes):
            return False
        sources = {v: v.owner for v in op.sources}
        if not all(isinstance(o, TensorConstant) for o in sources.values()):
            return False
        if not sources and op.type.rank:
            return False  # numbers that follow from the index are computed where they are used
        if any(isinstance(o, Read | Index | Put) and any(e.symbols for e in o.exprs) for o in walk(op)):
            return False
        arrays = {v: o.array for v, o in sources.items() if isinstance(o, TensorConstant)}
        steps = product(op.sizes)
        if isinstance(op, Update):  # NumPy takes them one by one
            steps = steps + product(op.sizes[op.rank :]) * STEP
        if not self.allowed([op.type], list(arrays.values()), steps):
            return False
        found = moved(op, arrays) if isinstance(op, Compute) else None
        if found is None:
            env = Environment(values=dict(arrays))
            op.interpret(env)
            found = env.values[op.result]
        made = TensorConstant(Weight.of(found), op.type)
        set_nodes(made, nodes_of(op))
        replace_by(op, [made])
        return True


def number(size: ExprLike) -> int:
    """The value of a size. Raises TypeError for one that is not known."""
    return Expr.of(size).__index__()


def replace_by(op: Operation, constants: Sequence[Operation]) -> None:
    """Put constants in the place of an operation's results."""
    block = op.parent
    assert block is not None
    for old, new in zip(op.results, constants, strict=True):
        block.insert_op_before(new, op)
        new.results[0].name_hint = old.name_hint
        old.replace_all_uses_with(new.results[0])
    op.detach()
    op.erase()


def moved(op: Compute, arrays: dict[SSAValue, Array]) -> Array | None:
    """The result of a compute that only moves elements along linear indices, None for any other: a view of the source
    with the index's coefficients as strides, copied. That is as fast as memory."""
    read = op.body.block.first_op
    if not isinstance(read, Read) or op.yielded is not read.value or op.is_reduction or op.finish.blocks:
        return None
    exprs = own_indices(read, op)
    if read.otherwise is not None or exprs is None:
        return None
    source = np.asarray(arrays[read.tensor], order="C")
    shape = [s.__index__() for s in op.sizes]
    strides, offset = [0] * len(shape), 0
    for e, stride in zip(exprs, source.strides, strict=True):
        form = e.linear()
        if form is None:
            return None
        offset += form[1].__index__() * stride
        for d, c in form[0].items():
            strides[d] += c.__index__() * stride
    if 0 in shape:
        return np.empty(shape, op.type.dtype)
    first = source.reshape(-1)[offset // source.itemsize :]
    return as_strided(first, shape, strides, writeable=False).copy()


# ---- scalars


def fold_body(op: WithBody) -> bool:
    """Fold scalar operations in the bodies of a compute or update. True if there were any."""
    changed = False
    ranges = op.ranges
    for region in op.regions:
        for block in region.blocks:
            for inner in list(block.ops):
                if inner.has_trait(IsTerminator) or isinstance(inner, arith.ConstantOp) or len(inner.results) != 1:
                    continue
                if isinstance(inner, Read):
                    value = uniform(inner) if inside(inner, op, ranges) else None
                else:
                    value = scalar(inner)
                if value is None:
                    continue
                attribute = scalar_attribute(value, inner.results[0].type)
                made = arith.ConstantOp(attribute)
                replace_by(inner, [made])
                changed = True
    return changed


def inside(read: Read, op: WithBody, ranges: Any) -> bool:
    """Whether the index is inside of the tensor for sure."""
    assert isinstance(read.tensor.type, TensorType)
    limits = limits_of(read, ranges)
    return read.otherwise is None or all(
        within(e, s, limits) for e, s in zip(read.exprs, read.tensor.type.sizes, strict=True)
    )


def uniform(read: Read) -> Any:
    """The number that a constant holds everywhere, None if it holds several or is no constant."""
    constant = read.tensor.owner
    if not isinstance(constant, TensorConstant):
        return None
    assert isinstance(constant.result.type, TensorType)
    elements = product(constant.result.type.sizes).constant
    if not elements or elements > UNIFORM:
        return None
    array = constant.array
    first = array.reshape(-1)[:1]
    bits = f"u{array.itemsize}"
    return first[0] if (np.ascontiguousarray(array).view(bits) == first.view(bits)).all() else None


def scalar(op: Operation) -> Any:
    """The value of an operation on numbers, None when an operand is none or the operation has no known meaning."""
    if isinstance(op, Index):
        return op.expr.constant if op.expr.constant is not None and is_index_used_as_number(op) else None
    operands = [o.owner for o in op.operands]
    if not operands or not all(isinstance(o, arith.ConstantOp) for o in operands):
        return None
    try:
        return evaluate_scalar(op, [evaluate_scalar(o, []) for o in operands if isinstance(o, Operation)])
    except NotImplementedError:
        return None


def is_index_used_as_number(op: Index) -> bool:
    """Whether something else than an index expression uses the value: an expression takes the number in by itself."""
    return all(not isinstance(u.operation, Read | Index | Put) for u in op.value.uses)


def scalar_attribute(value: Any, type_: Attribute) -> IntegerAttr | FloatAttr:
    """A number as the value of an `arith.constant` of a scalar type."""
    array = np.asarray(value)
    array = held(array).astype(held_dtype(type_))
    if isinstance(type_, IntegerType):
        return IntegerAttr(-int(array) if type_.width.data == 1 else int(array), type_)
    if isinstance(type_, IndexType):
        return IntegerAttr(int(array), type_)
    return FloatAttr(float(array), type_)  # pyright: ignore[reportArgumentType, reportCallIssue]
