"""One way to write each thing: algebra of operators and of scalar operations, indices in simplest form."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.dialects import arith
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.traits import IsTerminator

from ..dialects.graph.base import GraphOp
from ..dialects.tensor import Compute, Index, Put, Read, WithBody, Yield
from ..ir.expr import ONE, ZERO, Atom, Expr, Range
from ..ir.operands import walk
from ..ir.passes import Pass
from ..ir.types import TensorType, is_float
from ._computes import bodies_in, limits_of, own_indices, rebuilt, within
from ._graph_rules import CHAINS
from ._rewrite import apply_rules
from ._scalar_rules import SCALAR_RULES, number


@dataclass(frozen=True)
class Canonicalize(Pass):
    """Apply the algebraic rules of operators (graph level) and of scalar operations in bodies (tensor level), simplify
    index expressions by the ranges of their variables, drop an `else` that is never taken, and bring computes into one
    form: no `finish` without a reduction, no reduced dims of size 1, digits of a reduced index as indices of their own.

    Values stay the same bit for bit, but for the bits of a NaN and the last bit of x^2, which is now rounded once."""

    name = "canonicalize"

    def run(self, module: ModuleOp) -> bool:
        changed = apply_rules([op for op in walk(module) if isinstance(op, GraphOp)], CHAINS)
        for op in bodies_in(module):
            changed |= simplify(op)
        return changed


def simplify(op: WithBody) -> bool:
    """Bring one compute or update into canonical form. True if it was not."""
    changed = False
    if isinstance(op, Compute) and not op.is_reduction and op.finish.blocks:
        finish_in_body(op)
        changed = True
    for domain in (without_unit_reductions, with_digits):
        if isinstance(op, Compute) and (new := domain(op)) is not None:
            place = op.parent
            assert place is not None
            place.insert_op_before(new, op)
            new.result.name_hint = op.result.name_hint
            op.result.replace_all_uses_with(new.result)
            op.detach()
            op.erase()
            op, changed = new, True
    ranges = op.ranges
    for region in op.regions:
        for block in region.blocks:
            changed |= simplify_indices(block, ranges)
            changed |= apply_rules([o for o in block.ops if not o.has_trait(IsTerminator)], SCALAR_RULES)
            # a rule may have made an index of what was data
            changed |= simplify_indices(block, ranges)
    return changed


# ---- indices


def simplify_indices(block: Block, ranges: dict[SSAValue, Range]) -> bool:
    """Simplify the index expressions of a body and the `else` of its reads."""
    changed = False
    for op in list(block.ops):
        if isinstance(op, Read | Index | Put):
            changed |= absorb(op)
            limits = limits_of(op, ranges)
            simple = [e.simplify(limits) for e in op.exprs]
            if simple != list(op.exprs):
                op.set_indices(simple, list(op.indices))
                changed = True
        if isinstance(op, Read) and op.otherwise is not None:
            changed |= simplify_else(op, ranges)
        elif isinstance(op, Index) and op.expr == Expr.dim(0) and isinstance(op.indices[0].owner, Operation):
            op.value.replace_all_uses_with(op.indices[0])  # tensor.index %v → %v, where %v comes from data
            block.erase_op(op)
            changed = True
    return changed


# %x[f(%v)] → %x[f(e)] where %v = tensor.index e, or a constant
def absorb(op: Read | Index | Put) -> bool:
    """Take the definitions of index operands into the expression."""
    changed = False
    while True:
        for value in op.indices:
            owner = value.owner
            if isinstance(owner, Index):
                op.replace_index(value, owner.expr, list(owner.indices))
                changed = True
                break
            if (known := constant_index(value)) is not None:
                op.replace_index(value, Expr.const(known), [])
                changed = True
                break
        else:
            return changed


def constant_index(value: SSAValue) -> int | None:
    """The number behind an index value."""
    owner = value.owner
    found = number(owner.input) if isinstance(owner, arith.IndexCastOp) else number(value)
    return int(found) if found is not None else None


# %x[e] else %v → %x[e] where e is always inside;  → %v where it is always outside
def simplify_else(read: Read, ranges: dict[SSAValue, Range]) -> bool:
    assert isinstance(read.tensor.type, TensorType) and read.otherwise is not None
    limits = limits_of(read, ranges)
    pairs = list(zip(read.exprs, read.tensor.type.sizes, strict=True))
    block = read.parent
    assert block is not None
    if all(within(e, s, limits) for e, s in pairs):
        new = Read(read.tensor, (read.exprs, list(read.indices)))
        block.insert_op_before(new, read)
        value = new.value
        value.name_hint = read.value.name_hint
    elif any((-1 - e).nonnegative(limits) or (e - s).nonnegative(limits) for e, s in pairs):
        value = read.otherwise
    else:
        return False
    read.value.replace_all_uses_with(value)
    block.erase_op(read)
    return True


# ---- domains


# finish(body(i)) → body'(i), where nothing is reduced
def finish_in_body(op: Compute) -> None:
    last, end = op.finish.block, op.body.block.last_op
    assert isinstance(end, Yield)
    for old, new in zip(last.args, (*op.indices, end.value), strict=True):
        old.replace_all_uses_with(new)
    body = op.body.block
    body.erase_op(end)
    for inner in list(last.ops):
        inner.detach()
        body.add_op(inner)
    op.finish.detach_block(last)
    last.erase()


# sum over k < 1 of body(k) → body(0), but one reduced dim stays in a sum of floats, because 0.0 + -0.0 is 0.0
def without_unit_reductions(op: Compute) -> Compute | None:
    """The compute without reduced dims of size 1, None if it has none."""
    reduced = range(op.rank, len(op.sizes))
    unit = [k for k in reduced if op.sizes[k] == ONE]
    if len(unit) == len(reduced) and op.combiner == "add" and is_float(op.type.element_type):
        unit = unit[1:]
    if not unit:
        return None
    kept = [k for k in range(len(op.sizes)) if k not in unit]
    indices = [Expr.dim(kept.index(k)) if k in kept else ZERO for k in range(len(op.sizes))]
    new = rebuilt(op, [op.sizes[k] for k in kept], op.rank, indices, [op.indices[k].name_hint for k in kept])
    if not new.is_reduction and new.finish.blocks:
        finish_in_body(new)
    return new


# sum over k < a * c of body(k floordiv c, k mod c) → sum over i < a, j < c of body(i, j)
def with_digits(op: Compute) -> Compute | None:
    """The compute with a reduced dim split in two, where an index is made of its digits; None where none is."""
    for k in range(op.rank, len(op.sizes)):
        if (base := digit_base(op, k)) is None:
            continue
        extents = [*op.sizes[:k], op.sizes[k] // base, base, *op.sizes[k + 1 :]]
        after = [Expr.dim(d + 1) for d in range(k + 1, len(op.sizes))]
        indices = [*map(Expr.dim, range(k)), Expr.dim(k) * base + Expr.dim(k + 1), *after]
        names = [a.name_hint for a in op.indices]
        new = rebuilt(op, extents, op.rank, indices, [*names[: k + 1], names[k], *names[k + 1 :]])
        return with_digits(new) or new
    return None


def digit_base(op: Compute, k: int) -> Expr | None:
    """The base in which the reads split index k into digits, the largest if there are several; it divides the size."""
    found: list[Expr] = []
    for read in op.body.block.ops:
        if isinstance(read, Read) and (indices := own_indices(read, op)) is not None:
            found += [b for e in indices for a in e.atoms() if (b := base_of(a, k)) is not None]
    bases = [b for b in found if b.constant not in (0, 1) and not (op.sizes[k] % b).terms and b != op.sizes[k]]
    if not bases:
        return None
    return max(bases, key=lambda b: (b.constant is not None, b.constant or 0, str(b)))


def base_of(atom: Atom, k: int) -> Expr | None:
    """c in `dim(k) floordiv c` and `dim(k) mod c`."""
    if atom.kind not in ("floordiv", "mod") or atom.args[0] != Expr.dim(k) or atom.args[1].dims:
        return None
    return atom.args[1]
