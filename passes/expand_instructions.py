"""Write a machine's instructions out as the loops that they mean."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.dialects.builtin import ModuleOp

from ..dialects.loop import Instruction
from ..dialects.loop.instruction import expand
from ..ir.passes import Pass


@dataclass(frozen=True)
class ExpandInstructions(Pass):
    """Replace each invocation of an instruction by its meaning, and drop waits and declarations: what is scheduled for
    one machine then runs on every other one, and a wrong schedule can be told from a wrong machine."""

    name = "expand-instructions"

    def run(self, module: ModuleOp) -> bool:
        declared = [op for op in module.body.ops if isinstance(op, Instruction)]
        changed = expand(module)
        for op in declared:
            op.detach()
            op.erase()
        return changed or bool(declared)
