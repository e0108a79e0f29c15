"""Put elementwise computes into the `finish` of the reductions whose results they read.

    r[i] = sum(...);  e[j] = f(r[π(j)], x[j])   →   r'[i] = f(sum(...), x[π⁻¹(i)]);  e[j] = r'[π(j)]

π is any bijection: a permutation, a reshape. What is left of e is a movement, which `fuse-elementwise` puts into the
readers of e: between two convolutions the layout is then the first one's own.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.dialects.builtin import ModuleOp

from ..dialects.tensor import Compute, Read, Yield
from ..dialects.tensor.body import body_block
from ..ir.expr import Expr
from ..ir.nodes import merged, set_nodes
from ..ir.passes import Pass
from ..ir.types import signless
from ._computes import computes_in, formula_of, inverse, movement, own_indices, single_use, splice
from .eliminate_common_subexpressions import merge_equal


@dataclass(frozen=True)
class FuseEpilogues(Pass):
    """An elementwise compute that is the only reader of a reduction, and reads each of its elements once, becomes the
    `finish` of the reduction; where the two are laid out differently, a movement is left in its place. Element types
    are equal. `finish` grows to `max-ops` operations, not beyond."""

    name = "fuse-epilogues"
    max_ops: int = 64

    def run(self, module: ModuleOp) -> bool:
        changed = False
        for op in computes_in(module):
            if (read := epilogue_source(op)) is None:
                continue
            reduction = read.tensor.owner
            assert isinstance(reduction, Compute)
            size = sum(len(list(b.ops)) for b in (op.body.block, *reduction.finish.blocks))
            if size <= self.max_ops:
                fuse(reduction, op, read)
                changed = True
        return changed


def epilogue_source(op: Compute) -> Read | None:
    """The read of a reduction's result that makes `op` an epilogue of that reduction; the last one where there are
    several, because it is still in the cache. None where `op` is none."""
    if op.is_reduction or op.finish.blocks or (isinstance(op.yielded.owner, Read) and formula_of(op).movement):
        return None
    for read in reversed([o for o in op.body.block.ops if isinstance(o, Read)]):
        reduction = read.tensor.owner
        if (
            isinstance(reduction, Compute)
            and reduction.is_reduction
            and reduction.type.element_type == op.type.element_type
            and read.otherwise is None
            and reduction.parent is op.parent
            and single_use(reduction.result)
            and (indices := own_indices(read, op)) is not None
            and inverse(indices, op.sizes, reduction.type.sizes) is not None
        ):
            return read
    return None


def fuse(reduction: Compute, op: Compute, read: Read) -> None:
    """Make `op`, which reads `reduction` at `read`, its epilogue."""
    indices = own_indices(read, op)
    assert indices is not None
    back = inverse(indices, op.sizes, reduction.type.sizes)
    assert back is not None
    if not reduction.finish.blocks:
        block = body_block(reduction.rank, signless(op.type.element_type))
        block.add_op(Yield(block.args[-1]))
        reduction.finish.add_block(block)
    block = reduction.finish.block
    block.args[-1].name_hint = block.args[-1].name_hint or "acc"
    for arg, index in zip(block.args[: reduction.rank], reduction.indices, strict=False):
        arg.name_hint = arg.name_hint or index.name_hint
    end = block.last_op
    assert isinstance(end, Yield)
    value = end.value
    variables = list(block.args[: reduction.rank])
    result = splice(op.body.block, back, variables, reduction.ranges, end, known={read.value: value})
    end.operands = [result]
    merge_equal(block, {})
    place = op.parent
    assert place is not None
    set_nodes(reduction, merged(reduction, op))
    reduction.detach()  # what else the epilogue reads may be computed after the reduction
    place.insert_op_before(reduction, op)
    plain = op.sizes == reduction.type.sizes and all(
        e == Expr.dim(k) or s == 1 for k, (e, s) in enumerate(zip(indices, op.sizes, strict=True))
    )
    if plain:
        op.result.replace_all_uses_with(reduction.result)
    else:
        moved = movement(reduction.result, op.sizes, indices)  # computes no node: it names none
        place.insert_op_before(moved, op)
        op.result.replace_all_uses_with(moved.result)
    op.detach()
    op.erase()
