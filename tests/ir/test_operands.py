"""Operations that are made, copied and walked without xDSL's own way of doing it, which is the measure here."""

import random
from typing import Any

import pytest
from xdsl.dialects import arith, vector
from xdsl.dialects.builtin import VectorType, f32
from xdsl.ir import Block, Operation, Region, SSAValue

from ircc.ir.operands import built, copied, make, walk
from ircc.ir.verify import verify
from ircc.testing.loop_programs import random_nest


@pytest.fixture
def values():
    return Block(arg_types=[f32, f32]).args


@pytest.mark.parametrize(
    ("kind", "extra"), [(arith.AddfOp, ()), (arith.MaximumfOp, ()), (arith.CmpfOp, ("olt",)), (arith.CmpfOp, ("oge",))]
)
def test_what_is_built_is_what_the_constructor_makes(values: Any, kind: Any, extra: Any):
    op, same = built(kind, *values, extra=extra), kind(*values, *extra)
    assert op.is_structurally_equivalent(same) and type(op) is kind
    assert [use.operation for use in values[0].uses] == [same, op]
    op.erase()
    assert [use.operation for use in values[0].uses] == [same]


def test_what_is_made_is_what_create_makes(values: Any):
    types, marks = [VectorType(f32, [4])], {"a": f32}
    op = make(vector.BroadcastOp, values[:1], types, {}, marks)
    same = vector.BroadcastOp.create(operands=values[:1], result_types=types, attributes=marks)
    assert op.is_structurally_equivalent(same)
    op.attributes.clear()
    assert marks and same.attributes  # they are its own


@pytest.mark.parametrize("seed", range(5))
def test_programs_are_copied_and_walked_as_by_xdsl(seed: int):
    module = random_nest(random.Random(seed)).module
    assert list(walk(module)) == list(module.walk())
    own: dict[SSAValue, SSAValue] = {}
    copy = copied(module, own)
    verify(copy)
    assert str(copy) == str(module.clone()) == str(module)
    assert set(own) >= {v for op in walk(module) for v in op.results}
    uses = [[(u.operation.name, u.index) for u in v.uses] for op in walk(module.clone()) for v in op.results]
    assert uses == [[(u.operation.name, u.index) for u in v.uses] for op in walk(copy) for v in op.results]


def test_what_was_given_may_be_erased(values: Any):
    block = Block(arg_types=[f32])
    ops = [arith.NegfOp(block.args[0]) for _ in range(3)]
    block.add_ops(ops)
    holder = make(arith.NegfOp, values[:1], [f32])
    holder.add_region(Region(block))
    seen: list[Operation] = []
    for op in walk(holder):
        seen.append(op)
        if op is ops[1]:
            op.detach()
            op.erase()
    assert seen == [holder, *ops]
