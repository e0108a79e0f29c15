"""Remove what nobody uses."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Region
from xdsl.transforms.dead_code_elimination import is_trivially_dead

from ..ir.passes import Pass


@dataclass(frozen=True)
class EliminateDeadCode(Pass):
    """Remove operations without effect whose results nobody uses, and what only they used."""

    name = "eliminate-dead-code"

    def run(self, module: ModuleOp) -> bool:
        return erase_dead(module.body)


def erase_dead(region: Region) -> bool:
    """Erase the dead operations of a region and of regions in it. True if there were any.

    Uses come after their definitions, so one walk backwards sees every chain of dead operations from its end."""
    changed = False
    for block in region.blocks:
        op = block.last_op
        while op is not None:
            previous = op.prev_op
            if is_trivially_dead(op):
                block.erase_op(op)
                changed = True
            else:
                for inner in op.regions:
                    changed |= erase_dead(inner)
            op = previous
    return changed
