"""Weights too small to matter become 0, where multiplying with them would take a hundred times as long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from xdsl.dialects import arith
from xdsl.dialects.builtin import Float32Type, Float64Type, ModuleOp
from xdsl.ir import SSAValue

from ..dialects.tensor import Compute, Constant, Read
from ..ir.nodes import nodes_of, set_nodes
from ..ir.passes import Pass
from ..ir.types import TensorType
from ..ir.weights import Weight
from ._computes import computes_in

Array = np.ndarray[Any, Any]
SCANNED = 1 << 20  # elements that are looked at in one go, so that no copy of a large constant is made


@dataclass(frozen=True)
class FlushSubnormals(Pass):
    """Replace factors of sums of products, and what is added to the sums, by 0 in constants where that makes subnormal
    numbers: training leaves such weights where they decay, and many processors take some 100 cycles for a vector
    operation with a subnormal number.

    Those go whose product with a number of the size of a rounding error is subnormal: below 9.9e-32 in `float32`,
    1.0e-292 in `float64`, others stay as they are. And only in a constant whose largest number is so large that this is
    less than half a unit in its last place. What else reads the constant goes on reading all of it."""

    name = "flush-subnormals"

    def run(self, module: ModuleOp) -> bool:
        made: dict[Constant, Constant | None] = {}
        for op in computes_in(module):
            if op.combiner != "add":
                continue
            for read in (*factors(op.yielded), *addends(op)):
                constant = read.tensor.owner
                if not isinstance(constant, Constant):
                    continue
                if constant not in made:
                    made[constant] = without_subnormals(constant)
                if (new := made[constant]) is not None:
                    read.operands[0] = new.result
        for old, new in made.items():
            if new is not None and not old.result.uses:
                old.detach()
                old.erase()
        return any(new is not None for new in made.values())


def factors(value: SSAValue) -> Iterator[Read]:
    """The reads whose product a value is, as far as it is one."""
    match value.owner:
        case arith.MulfOp():
            for operand in value.owner.operands:
                yield from factors(operand)
        case Read():
            yield value.owner
        case _:
            pass


def addends(op: Compute) -> Iterator[Read]:
    """The reads that the finish adds to a sum, one after the other."""
    value = op.finish.block.args[-1] if op.finish.blocks else None
    while value is not None:
        following = [u.operation for u in value.uses if isinstance(u.operation, arith.AddfOp)]
        if len(following) != 1:
            return
        (addition,) = following
        yield from (v.owner for v in addition.operands if v is not value and isinstance(v.owner, Read))
        value = addition.result


def without_subnormals(constant: Constant) -> Constant | None:
    """The constant with 0 for what is too small, right behind it; None where all of it stays."""
    assert isinstance(constant.result.type, TensorType)
    if not isinstance(constant.result.type.element_type, Float32Type | Float64Type):
        return None
    array: Array = constant.array
    limits = np.finfo(array.dtype)
    least = limits.tiny / limits.eps
    flat = np.ascontiguousarray(array).reshape(-1)
    if not any(small(flat[i : i + SCANNED], least).any() for i in range(0, flat.size, SCANNED)):
        return None
    if not np.abs(flat).max() * limits.eps > 2 * least:  # not so for NaN
        return None
    found = flat.copy()
    found[small(flat, least)] = 0
    made = Constant(Weight.of(found.reshape(array.shape)), constant.result.type)
    set_nodes(made, nodes_of(constant))
    made.result.name_hint = constant.result.name_hint
    block = constant.parent
    assert block is not None
    block.insert_op_after(made, constant)
    return made


def small(array: Array, least: float) -> Array:
    """Where a number that is not 0 is below `least`."""
    magnitude = np.abs(array)
    return (magnitude < least) & (magnitude > 0)
