"""Whether a module is valid: what its operations say of themselves, and that values are used where they are there."""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, OpResult, SSAValue
from xdsl.utils.exceptions import VerifyException


def verify(module: ModuleOp) -> None:
    """Raises VerifyException for an operation that is not as its definition says, or that uses a value out of its
    scope: before it is made, or outside the body whose argument or result it is. Of these xDSL's own check sees the
    first, and what a function takes from outside.
    """
    module.verify()
    check_scopes(module.body.block, set())


def check_scopes(block: Block, there: set[SSAValue]) -> None:
    """Each operand is one of the values that are `there` around the block, or of those made in it before. Regions have
    one block at all levels, so that the order within it is all there is to dominance. Raises VerifyException."""
    own: list[SSAValue] = [*block.args]
    there.update(own)
    for op in block.ops:
        for operand in op.operands:
            if operand not in there:
                raise VerifyException(f"{op.name} uses {origin(operand)} out of its scope")
        for region in op.regions:
            for inner in region.blocks:
                check_scopes(inner, there)
        own += op.results
        there.update(op.results)
    there.difference_update(own)


def origin(value: SSAValue) -> str:
    """A value in words: its name and whose result or argument it is."""
    name = f"%{value.name_hint}, " if value.name_hint else ""
    if isinstance(value, OpResult):
        return f"{name}a result of {value.op.name},"
    parent = value.owner.parent_op() if isinstance(value.owner, Block) else None
    return f"{name}an argument of {parent.name if isinstance(parent, Operation) else 'a block'},"
