"""What the rules of `graph-to-tensor` share: the table by operator, and what puts their results into the module."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from xdsl.dialects import arith
from xdsl.dialects.builtin import UnitAttr, f32
from xdsl.ir import Attribute, Block, Operation, SSAValue

from ...dialects.graph.base import GraphOp
from ...dialects.tensor import Constant
from ...dialects.tensor.builder import Body, Place, Scalar, compute, update
from ...ir.expr import ONE, ZERO, Expr, ExprLike, minimum
from ...ir.nodes import nodes_of, set_nodes
from ...ir.scalars import ROUNDED
from ...ir.types import TensorType, element_of, is_float
from ...ir.weights import Weight

Values: TypeAlias = "SSAValue | Sequence[SSAValue]"
Rule: TypeAlias = "Callable[[Any, Emitter], Values]"
Index: TypeAlias = "Sequence[ExprLike]"

RULES: dict[type[GraphOp], Rule] = {}
REFUSALS: dict[type[GraphOp], Callable[[Any], str | None]] = {}


def lowers(*operators: type[GraphOp]) -> Callable[[Rule], Rule]:
    """Enter a rule for these operators: it makes computes by the emitter and returns what replaces the results."""

    def enter(rule: Rule) -> Rule:
        for operator in operators:
            RULES[operator] = rule
        return rule

    return enter


def refuses(*operators: type[GraphOp]) -> Callable[[Callable[[Any], str | None]], Callable[[Any], str | None]]:
    """Enter a function that says why a rule cannot lower an operation, or None where it can."""

    def enter(why: Callable[[Any], str | None]) -> Callable[[Any], str | None]:
        for operator in operators:
            REFUSALS[operator] = why
        return why

    return enter


class Emitter:
    """Puts operations in front of the operator that they replace, and names its nodes on them."""

    def __init__(self, op: GraphOp) -> None:
        self.op = op
        self.nodes = nodes_of(op)

    def insert(self, new: Operation) -> SSAValue:
        """Insert an operation and give its result."""
        set_nodes(new, self.nodes)
        block = self.op.parent
        assert block is not None
        block.insert_op_before(new, self.op)
        return new.results[0]

    def compute(
        self,
        shape: Sequence[ExprLike],
        body: Callable[..., Scalar],
        element: Attribute,
        *,
        reduce: Sequence[ExprLike] = (),
        combine: str | None = None,
        finish: Callable[..., Scalar] | None = None,
    ) -> SSAValue:
        """A compute as by the builder; `combine` may be given where there turns out to be nothing to reduce."""
        kind = combine if reduce else None
        return self.insert(compute(shape, body, element, reduce=reduce, combine=kind, finish=finish))

    def update(
        self,
        init: SSAValue,
        parallel: Sequence[ExprLike],
        ordered: Sequence[ExprLike],
        body: Callable[..., Place | list[Place]],
    ) -> SSAValue:
        """An update as by the builder."""
        return self.insert(update(init, parallel, ordered, body))

    def move(
        self,
        shape: Sequence[ExprLike],
        source: SSAValue,
        index: Callable[..., Index],
        otherwise: float | bool | None = None,
    ) -> SSAValue:
        """Elements of `source` at `index(*dims)`, simplified; outside of it `otherwise`, if given."""

        def body(b: Body, *dims: Expr) -> Scalar:
            where = simplified(index(*dims), shape)
            return b.read(source, *where, otherwise=otherwise)

        return self.compute(shape, body, type_of(source).element_type)

    def constant(self, array: Any) -> SSAValue:
        """Constant data."""
        array = np.asarray(array)
        return self.insert(Constant(Weight.of(array), TensorType.of(array.shape, element_of(array.dtype))))

    def cast(self, source: SSAValue, element: Attribute) -> SSAValue:
        """The tensor in another element type; itself if it has that."""
        if type_of(source).element_type == element:
            return source
        return self.compute(sizes_of(source), lambda b, *i: b.read(source, *i).cast(element), element)

    def scalar(self, source: SSAValue) -> SSAValue:
        """A tensor of one element as one of rank 0."""
        rank = type_of(source).rank
        return self.move([], source, lambda: [0] * rank) if rank else source

    def elementwise(
        self, shape: Sequence[Expr], element: Attribute, body: Callable[..., Scalar], *sources: SSAValue | None
    ) -> SSAValue:
        """`body` of the elements of sources that broadcast to `shape`; None for an absent source. Short floats come as
        f32, and the value is cast to `element`. A formula in which nothing is to be contracted rounds, as ONNX says of
        a node: no product of one node becomes one instruction with the sum of the next."""

        def inner(b: Body, *dims: Expr) -> Scalar:
            elements = [None if s is None else widened(broadcast_read(b, s, dims, shape)) for s in sources]
            found = body(*elements).cast(element)
            round_what_is_not_contracted(b.block)
            return found

        return self.compute(shape, inner, element)


def round_what_is_not_contracted(body: Block) -> None:
    """Mark what a formula adds and multiplies, unless it does both."""
    products = [op for op in body.ops if isinstance(op, arith.MulfOp)]
    sums = [op for op in body.ops if isinstance(op, arith.AddfOp | arith.SubfOp)]
    if not (products and sums):
        for op in (*products, *sums):
            op.attributes[ROUNDED] = UnitAttr()


# ---- types


def type_of(value: SSAValue) -> TensorType:
    """The type of a tensor."""
    assert isinstance(value.type, TensorType)
    return value.type


def sizes_of(value: SSAValue) -> tuple[Expr, ...]:
    """The sizes of a tensor."""
    return type_of(value).sizes


def element_type(value: SSAValue) -> Attribute:
    """The element type of a tensor."""
    return type_of(value).element_type


def wide(element: Attribute) -> Attribute:
    """The element type in which arithmetic is done: f32 for float16 and bfloat16, else the type itself."""
    return f32 if is_float(element) and TensorType.of([], element).dtype.itemsize == 2 else element


def lowest(element: Attribute) -> float | int:
    """The least value of an element type of numbers."""
    dtype = TensorType.of([], element).dtype
    return -math.inf if is_float(element) else int(np.iinfo(dtype).min)


def highest(element: Attribute) -> float | int:
    """The greatest value of an element type of numbers."""
    dtype = TensorType.of([], element).dtype
    return math.inf if is_float(element) else int(np.iinfo(dtype).max)


def widened(x: Scalar) -> Scalar:
    """The scalar in the type in which arithmetic is done."""
    return x.cast(wide(x.element))


def size_of(b: Body, size: Expr, element: Attribute) -> Scalar:
    """A size as a scalar, a constant if it is known."""
    known = size.constant
    return b.from_index(size, element) if known is None else b.constant(known, element)


# ---- indices


def ranges_of(shape: Sequence[ExprLike]) -> Mapping[int, tuple[Expr, Expr]]:
    """The ranges of the dims of a domain."""
    return {i: (ZERO, Expr.of(s) - 1) for i, s in enumerate(shape)}


def simplified(index: Index, shape: Sequence[ExprLike]) -> list[Expr]:
    """Index expressions over the dims of a domain, in simplest form."""
    ranges = ranges_of(shape)
    return [Expr.of(e).simplify(ranges) for e in index]


def broadcast_index(dim: ExprLike, size: Expr, out: Expr) -> Expr:
    """The index into an axis of this size that broadcasts to size `out`: the dim itself, or 0 where the size is 1."""
    if size == out:
        return Expr.of(dim)
    if size == ONE:
        return ZERO
    if size.constant is not None:
        return Expr.of(dim)
    return Expr.of(dim) * minimum(ONE, size - 1)


def broadcast_read(b: Body, source: SSAValue, dims: Sequence[ExprLike], shape: Sequence[Expr]) -> Scalar:
    """The element of `source` that belongs to index `dims` of `shape`, to which it broadcasts."""
    sizes = sizes_of(source)
    lead = len(shape) - len(sizes)
    return b.read(source, *(broadcast_index(d, s, o) for d, s, o in zip(dims[lead:], sizes, shape[lead:], strict=True)))
