"""Compute in the order in which the operands lie, and read the result in another order instead.

    e[i, j] = f(x[j, i], y[j, i]);  ... e[k, l] ...   →   e'[j, i] = f(x[j, i], y[j, i]);  ... e'[l, k] ...

Readers are looked at after what they read: permutations wander down the program until they cancel or end at an output.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import ReturnOp
from xdsl.ir import Operation

from ..dialects.tensor import Compute, Constant, Read
from ..ir.expr import ONE, Expr, product
from ..ir.passes import Pass
from ._computes import computes_in, formula_of, is_contraction, own_indices, rebuilt, single_use


@dataclass(frozen=True)
class PropagateLayouts(Pass):
    """Where most full reads of a compute have the parallel dims in another order than the result, compute in that
    order, and let readers name its dims so. Only where computes read the result: an output has to be moved anyway.

    Products of matrices choose their own order. But one of which an output is the result in another order is computed
    in that order where a factor lies so too, and rows are no shorter: a convolution 1 × 1 between a model's borders is
    W · X for each image as it is, and nothing is turned around."""

    name = "propagate-layouts"

    def run(self, module: ModuleOp) -> bool:
        return sum(propagate(op) for op in computes_in(module)) > 0


def propagate(op: Compute) -> bool:
    """Reorder one compute if that makes its reads plain. True if it did."""
    order = border_order(op) or better_order(op)
    if order is None or not all(any_order(u.operation) for u in op.result.uses):
        return False
    rank, place = op.rank, op.parent
    assert place is not None
    position = {d: k for k, d in enumerate(order)}  # old dim d is dim position[d] of the new domain
    extents = [*(op.sizes[d] for d in order), *op.sizes[rank:]]
    indices = [*(Expr.dim(position[d]) for d in range(rank)), *map(Expr.dim, range(rank, len(op.sizes)))]
    hints = [*(op.indices[d].name_hint for d in order), *(a.name_hint for a in op.indices[rank:])]
    new = rebuilt(op, extents, rank, indices, hints)
    new.result.name_hint = op.result.name_hint
    place.insert_op_before(new, op)
    for use in list(op.result.uses):
        read = use.operation
        assert isinstance(read, Read)
        read.set_indices([read.exprs[d] for d in order], list(read.indices))
        read.operands[use.index] = new.result
    op.detach()
    op.erase()
    return True


def any_order(op: Operation) -> bool:
    """Whether a use of a tensor is a read that may go in any order: the ones of a contraction are as it chose them."""
    parent = op.parent_op()
    return isinstance(op, Read) and not (isinstance(parent, Compute) and orders_itself(parent))


def orders_itself(op: Compute) -> bool:
    """Whether a compute is a product of matrices, which has an order of its own: each factor has a dim that the other
    lacks. A depthwise convolution is none."""
    if not is_contraction(op):
        return False
    indices = [own_indices(r, op) for r in op.body.block.ops if isinstance(r, Read)]
    dims = [{d for e in at or () for d in e.dims if d < op.rank} for at in indices]
    return None in indices or not any(a <= b for a in dims for b in dims if a is not b)


def better_order(op: Compute) -> list[int] | None:
    """The order of the parallel dims in which most reads are plain, None if that is the one it has."""
    if op.rank < 2 or orders_itself(op):
        return None
    votes: Counter[tuple[int, ...]] = Counter()
    for read in op.reads:
        if not isinstance(read.tensor.owner, Constant) and (order := order_of(read, op)) is not None:
            votes[order] += 1
    if not votes:
        return None
    plain = tuple(range(op.rank))
    best = max(votes, key=lambda order: (votes[order], order == plain, order))
    return list(best) if votes[best] > votes[plain] else None


def border_order(op: Compute) -> list[int] | None:
    """The order of the parallel dims in which a product of matrices goes out, if it lies in another one now, one factor
    has its elements side by side in that order and not in this one, and the dims that they lie in are no shorter; None
    for any other."""
    if not orders_itself(op) or not single_use(op.result):
        return None
    read = next(iter(op.result.uses)).operation
    reader = read.parent_op()
    if not isinstance(read, Read) or not isinstance(reader, Compute) or not formula_of(reader).movement:
        return None
    goes_out = all(isinstance(use.operation, ReturnOp) for use in reader.result.uses)
    found = order_of(read, reader)
    if not goes_out or found is None or op.rank != reader.rank:
        return None
    order = sorted(range(op.rank), key=found.__getitem__)
    long = [d for d in range(op.rank) if op.sizes[d] != ONE]
    inner = next((d for d in reversed(order) if d in long), None)
    if inner is None or inner == long[-1]:
        return None
    rows = product(op.sizes[d] for d in tail(order, long))
    lying = [at for r in op.body.block.ops if isinstance(r, Read) and (at := own_indices(r, op))]
    beside = any(at[-1] == Expr.dim(inner) and not any(inner in e.dims for e in at[:-1]) for at in lying)
    return order if beside and (rows - op.sizes[long[-1]]).nonnegative() else None


def tail(order: Sequence[int], long: Sequence[int]) -> list[int]:
    """The last dims of an order that follow one another, as they are numbered."""
    last = [d for d in order if d in long]
    count = 1
    while count < len(last) and long.index(last[-count - 1]) + 1 == long.index(last[-count]):
        count += 1
    return last[-count:]


def order_of(read: Read, op: Compute) -> tuple[int, ...] | None:
    """The order in which a read goes through the parallel dims: None unless each index depends on at most one of them
    and each is named once. Dims of size 1 go where they change nothing."""
    indices = own_indices(read, op)
    if indices is None:
        return None
    order: list[int] = []
    for e in indices:
        dims = [d for d in e.dims if d < op.rank and op.sizes[d] != ONE]
        if len(dims) > 1:
            return None
        order += dims
    needed = [d for d in range(op.rank) if op.sizes[d] != ONE]
    if sorted(order) != needed:
        return None
    found = iter(order)  # dims of size 1 stay in their places
    return tuple(next(found) if op.sizes[d] != ONE else d for d in range(op.rank))
