"""Put the formulas of elementwise computes and movements into the computes that read them.

    %p[e0, e1]  →  body(e0, e1)      where %p = [d0, d1] → body(d0, d1)

Layouts, slices, reshapes, broadcasts and elementwise chains are all index maps, so this one rule fuses them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block

from ..dialects.tensor import Compute, Read, Update, WithBody
from ..ir.expr import ONE, ZERO, Expr, product
from ..ir.nodes import merged, set_nodes
from ..ir.passes import Pass
from ..ir.types import TensorType
from ._computes import (
    Formula,
    bodies_in,
    digits_only,
    formula_of,
    in_body,
    inline,
    inverse,
    is_contraction,
    limits_of,
    own_indices,
    single_use,
    within,
)
from .eliminate_common_subexpressions import merge_equal
from .fuse_epilogues import epilogue_source


@dataclass(frozen=True)
class FuseElementwise(Pass):
    """Inline computes without reduction into their readers, where that saves a tensor and repeats no work:

    - movements (one read and nothing else) everywhere, but for paddings and indices that are not linear, which would
      make the inner loops of a reduction conditional or slow;
    - formulas that read no tensor, where they are cheap;
    - elementwise formulas with one reader that reads each element once; cheap ones (at most `cheap` operations, no
      division and no function) also into several readers and where elements are read again, outside of reductions; only
      cheap ones into updates, whose steps go one by one. What could become the epilogue of a reduction is left to
      `fuse-epilogues`.

    A body grows to `max-ops` operations that read `max-tensors` tensors, not beyond."""

    name = "fuse-elementwise"
    cheap: int = 2
    max_ops: int = 64
    max_tensors: int = 12

    def run(self, module: ModuleOp) -> bool:
        changed = False
        while sum(self.fuse_into(op) for op in bodies_in(module)):
            changed = True
        return changed

    def fuse_into(self, op: WithBody) -> bool:
        """Inline into the bodies of `op` what should be. True if there was anything."""
        changed = False
        while True:
            found = [(r, p) for r in op.reads if (p := self.producer(r, op)) is not None]
            if not found:
                return changed
            touched: set[Block] = set()
            for read, producer in found:
                if read.parent is None or (changed and self.producer(read, op) is None):
                    continue
                touched.add(read.parent)
                outside = outside_dims(read, producer, op) if read.otherwise is not None else []
                if outside:
                    hold_bounds(producer, outside)
                inline(read, producer, op, keep_else=bool(outside))
                set_nodes(op, merged(producer, op))
                if producer.result.first_use is None:
                    producer.detach()
                    producer.erase()
                changed = True
            for block in touched:
                merge_equal(block, {})

    def producer(self, read: Read, op: WithBody) -> Compute | None:
        """The compute whose formula should stand in the place of `read`, None if the read should stay."""
        producer = read.tensor.owner
        if not isinstance(producer, Compute) or producer.is_reduction or producer.finish.blocks:
            return None
        formula = formula_of(producer)
        if not self.fits(formula, read, op) or not keeps_else(read, producer, formula, op):
            return None
        inner = op.is_reduction and in_body(read, op)
        if formula.movement:
            if not inner:
                return producer
            return producer if not formula.conditional and stays_linear(read, producer, op) else None
        once = reads_once(read, producer, op)
        cheap = formula.operations <= self.cheap and formula.reads <= self.cheap and not formula.expensive
        if formula.reads == 0:
            return producer if cheap or once else None
        if isinstance(op, Update) and not cheap:
            return None
        if inner and (is_contraction(op) or formula.conditional):
            return None
        if epilogue_source(producer) is not None:
            alone = once and not op.is_reduction and single_use(producer.result)
            return producer if alone and same_points(read, producer, op) else None
        if once and single_use(producer.result):
            return producer
        return producer if cheap and (once or not inner) else None

    def fits(self, formula: Formula, read: Read, op: WithBody) -> bool:
        """Whether the body stays below the limits."""
        block = read.parent
        assert block is not None
        if len({r.tensor for r in op.reads} | formula.tensors) - 1 > self.max_tensors:
            return False
        size = sum(not isinstance(o, Read) for o in block.ops)
        return formula.movement or size + formula.operations <= self.max_ops


def outside_dims(read: Read, producer: Compute, op: WithBody) -> list[int]:
    """The dims in which a read with an `else` may be outside of `producer`."""
    limits = limits_of(read, op.ranges)
    return [j for j, (e, s) in enumerate(zip(read.exprs, producer.sizes, strict=True)) if not within(e, s, limits)]


def keeps_else(read: Read, producer: Compute, formula: Formula, op: WithBody) -> bool:
    """Whether an `else` of the read means the same on the read in the producer's formula."""
    if read.otherwise is None or not (outside := outside_dims(read, producer, op)):
        return True
    return formula.movement and not formula.conditional and bounds_held(producer, outside) is not None


def bounds_held(producer: Compute, outside: Sequence[int]) -> list[Expr] | None:
    """The index of the read in a movement, so that it is outside of its tensor exactly where an index of the movement
    is that may be so in the dims `outside`; None if there is none.

    Each such index goes as it is to a dim of the same size, and nowhere else. Of a dim of size 1, whose index is 0, any
    dim of size 1 that is read at 0 can hold the bounds."""
    inner = next(o for o in producer.body.block.ops if isinstance(o, Read))
    indices = own_indices(inner, producer)
    assert indices is not None and isinstance(inner.tensor.type, TensorType)
    held: set[int] = set()
    for e, size in zip(indices, inner.tensor.type.sizes, strict=True):
        for j in e.dims & set(outside):
            if e != Expr.dim(j) or size != producer.sizes[j]:
                return None
            held.add(j)
    for j in sorted(set(outside) - held):
        free = [k for k, s in enumerate(inner.tensor.type.sizes) if s == ONE and indices[k] == ZERO]
        if producer.sizes[j] != ONE or not free:
            return None
        indices[free[0]] = Expr.dim(j)
    return indices


def hold_bounds(producer: Compute, outside: Sequence[int]) -> None:
    """Let the read in a movement be outside of its tensor where the dims `outside` are."""
    inner = next(o for o in producer.body.block.ops if isinstance(o, Read))
    indices = bounds_held(producer, outside)
    assert indices is not None
    inner.set_indices(indices, list(producer.indices))


def stays_linear(read: Read, producer: Compute, op: WithBody) -> bool:
    """Whether the indices that a movement would put into a reduction are linear, but for digits of a reduced index,
    which `canonicalize` makes indices of their own."""
    inner = next(o for o in producer.body.block.ops if isinstance(o, Read))
    indices, outer = own_indices(inner, producer), own_indices(read, op)
    if indices is None or outer is None:
        return False
    limits = {i: (ZERO, s - ONE) for i, s in enumerate(op.sizes)}
    reduced = range(op.rank, len(op.sizes))
    for e in indices:
        found = e.substitute(dict(enumerate(outer))).simplify(limits)
        if found.linear() is None and not digits_only(found, reduced):
            return False
    return True


def reads_once(read: Read, producer: Compute, op: WithBody) -> bool:
    """Whether `op` reads at most as many elements as `producer` has."""
    points = product(op.sizes if in_body(read, op) else op.sizes[: op.rank])
    return (product(producer.sizes) - points).nonnegative()


def same_points(read: Read, producer: Compute, op: WithBody) -> bool:
    """Whether a read in an elementwise compute visits every element of `producer` once."""
    indices = own_indices(read, op)
    return read.otherwise is None and indices is not None and inverse(indices, op.sizes, producer.sizes) is not None
