"""Remove what gives its operand back."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from ..dialects.graph.base import GraphOp
from ..dialects.tensor import Compute, Read
from ..ir.expr import ONE, Expr
from ..ir.operands import walk
from ..ir.passes import Pass
from ._computes import formula_of, own_indices
from ._graph_rules import IDENTITIES
from ._rewrite import Rules, apply_rules, enter

MOVES: Rules = {}


@dataclass(frozen=True)
class EliminateIdentities(Pass):
    """Remove operators that give their operand back: Identity, casts, expansions and reshapes to the type that is
    there, paddings by nothing, whole slices, sums of one; on the tensor level, computes that copy a tensor."""

    name = "eliminate-identities"

    def run(self, module: ModuleOp) -> bool:
        operations = [op for op in walk(module) if isinstance(op, GraphOp | Compute)]
        return apply_rules(operations, {**IDENTITIES, **MOVES})


# out[d0, d1] = x[d0, d1] → x
@enter(MOVES, Compute)
def copy(op: Compute) -> SSAValue | None:
    read = op.body.block.first_op
    if not isinstance(read, Read) or op.is_reduction or op.finish.blocks or read.tensor.type != op.result.type:
        return None
    formula = formula_of(op)
    indices = own_indices(read, op) if formula.movement and not formula.conditional else None
    if indices is None:
        return None
    plain = all(e == Expr.dim(i) or s == ONE for i, (e, s) in enumerate(zip(indices, op.sizes, strict=True)))
    return read.tensor if plain else None
