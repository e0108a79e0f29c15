"""Put the formulas of elementwise computes and movements into the computes that read them.

    %p[e0, e1]  →  body(e0, e1)      where %p = [d0, d1] → body(d0, d1)

Layouts, slices, reshapes, broadcasts and elementwise chains are all index maps, so this one rule fuses them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue

from ..dialects.tensor import Compute, Index, Read, Update, WithBody
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
    length,
    limits_of,
    own_indices,
    single_use,
    within,
)
from .eliminate_common_subexpressions import merge_equal
from .fuse_epilogues import epilogue_source

Formulas: TypeAlias = "dict[Operation, Formula]"


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

    A body grows to `max-ops` operations that read `max-tensors` tensors, and an index to `max-index` positions, sizes
    and operations, not beyond: each reshape of what was transposed doubles it."""

    name = "fuse-elementwise"
    cheap: int = 2
    max_ops: int = 64
    max_tensors: int = 12
    max_index: int = 32

    def run(self, module: ModuleOp) -> bool:
        changed = False
        formulas: Formulas = {}
        while sum(self.fuse_into(op, formulas) for op in bodies_in(module)):
            changed = True
        return changed

    def fuse_into(self, op: WithBody, formulas: Formulas) -> bool:
        """Inline into the bodies of `op` what should be. True if there was anything. `formulas` is what is known of
        computes; those that change are taken out."""
        changed = False
        while True:
            found = [(r, p) for r in op.reads if (p := self.producer(r, op, formulas)) is not None]
            if not found:
                return changed
            touched: set[Block] = set()
            for read, producer in found:
                if read.parent is None or (changed and self.producer(read, op, formulas) is None):
                    continue
                touched.add(read.parent)
                outside = outside_dims(read, producer, op) if read.otherwise is not None else []
                if outside:
                    hold_bounds(producer, outside)
                inline(read, producer, op, keep_else=bool(outside))
                set_nodes(op, merged(producer, op))
                formulas.pop(op, None)
                if producer.result.first_use is None:
                    formulas.pop(producer, None)
                    producer.detach()
                    producer.erase()
                changed = True
            for block in touched:
                merge_equal(block, {})

    def producer(self, read: Read, op: WithBody, formulas: Formulas) -> Compute | None:
        """The compute whose formula should stand in the place of `read`, None if the read should stay."""
        producer = read.tensor.owner
        if not isinstance(producer, Compute) or producer.is_reduction or producer.finish.blocks:
            return None
        if (formula := formulas.get(producer)) is None:
            formula = formulas[producer] = formula_of(producer)
        if not self.saves(read, producer, formula, op) or not keeps_else(read, producer, formula, op):
            return None
        return producer if self.fits(formula, read, op) and self.stays_small(read, producer, op) else None

    def saves(self, read: Read, producer: Compute, formula: Formula, op: WithBody) -> bool:
        """Whether a tensor is saved, and no work repeated, by the producer's formula in the place of `read`."""
        inner = op.is_reduction and in_body(read, op)
        if formula.movement:
            return not inner or (not formula.conditional and stays_linear(read, producer, op))
        once = reads_once(read, producer, op)
        cheap = formula.operations <= self.cheap and formula.reads <= self.cheap and not formula.expensive
        if formula.reads == 0:
            return cheap or once
        if isinstance(op, Update) and not cheap:
            return False
        if inner and (is_contraction(op) or formula.conditional):
            return False
        if epilogue_source(producer) is not None:
            alone = once and not op.is_reduction and single_use(producer.result)
            return alone and same_points(read, producer, op)
        if once and single_use(producer.result):
            return True
        return cheap and (once or not inner)

    def fits(self, formula: Formula, read: Read, op: WithBody) -> bool:
        """Whether the body stays below the limits."""
        block = read.parent
        assert block is not None
        if len({r.tensor for r in op.reads} | formula.tensors) - 1 > self.max_tensors:
            return False
        size = sum(not isinstance(o, Read) for o in block.ops)
        return formula.movement or size + formula.operations <= self.max_ops

    def stays_small(self, read: Read, producer: Compute, op: WithBody) -> bool:
        """Whether no index of the formula grows beyond the limit."""
        longest = max(map(length, read.exprs), default=0)
        position: dict[SSAValue, int] = {v: k for k, v in enumerate(producer.indices)}
        for inner in producer.body.block.ops:
            if not isinstance(inner, Read | Index):
                continue
            if max(map(length, inner.exprs), default=0) * longest <= self.max_index:
                continue
            free = len(read.indices)  # what is computed in the body has positions behind those of the read
            moved = {d: read.exprs[position[v]] if v in position else Expr.dim(free + d) for d, v in inner.dims.items()}
            limits = limits_of(read, op.ranges)
            if any(length(e.substitute(moved).simplify(limits)) > self.max_index for e in inner.exprs):
                return False
        return True


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
