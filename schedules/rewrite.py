"""What primitives rewrite with: moving bodies between loops, replacing a loop's variable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xdsl.ir import Block, Operation, SSAValue

from ..dialects.loop.ops import For, Index
from ..dialects.loop.program import Kernel
from ..ir.expr import Expr
from ..ir.indexed import Indexed
from ..ir.operands import append, put_before

__all__ = ["add", "before", "erase", "fresh", "move_body", "replace_variable"]


def before(anchor: Operation, ops: Iterable[Operation]) -> None:
    """Put ops before another."""
    for op in list(ops):
        put_before(op, anchor)


def add(block: Block, ops: Iterable[Operation]) -> None:
    """Move ops, from wherever they are, to the end of a block."""
    for op in list(ops):
        if op.parent is not None:
            op.detach()
        append(op, block)


def erase(op: Operation) -> None:
    """Take an op out, with what is in it."""
    op.detach()
    op.erase(safe_erase=False)


def replace_variable(old: SSAValue, value: Expr, operands: Sequence[SSAValue]) -> None:
    """Replace a loop variable by an expression over `operands`, in indices, bounds and scalar operations."""
    plain: SSAValue | None = None
    if len(operands) == 1 and value == Expr.dim(0):
        plain = operands[0]
    for op in {use.operation: None for use in old.uses}:
        if isinstance(op, Indexed) and any(v is old for v in op.indices):
            op.replace_index(old, value, operands)
            continue
        new = plain
        if new is None:
            index = Index(value, operands)
            before(op, [index])
            new = index.value
        op.operands = [new if v is old else v for v in op.operands]


def move_body(source: For, target: For, value: Expr | None = None, operands: Sequence[SSAValue] = ()) -> None:
    """Move a loop's body to the end of another's; its variable becomes the other's, or an expression."""
    add(target.body.block, source.body.block.ops)
    if value is None:
        value, operands = Expr.dim(0), [target.iv]
    replace_variable(source.iv, value, operands)


def fresh(kernel: Kernel, name: str) -> str:
    """`name`, or with a number where a loop or buffer is called that already."""
    taken = {loop.tag for loop in kernel.loops()} | kernel.buffers().keys()
    if name not in taken:
        return name
    count = 2
    while f"{name}.{count}" in taken:
        count += 1
    return f"{name}.{count}"
