"""Operations that are made, copied and walked without xDSL's own way of doing it, which is the measure here."""

import random
from typing import Any

import pytest
from xdsl.dialects import arith, vector
from xdsl.dialects.builtin import VectorType, f32
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.irdl import IRDLOperation

from ircc.ir.operands import SEGMENTS, append, built, copied, make, put_before, walk
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


@pytest.mark.parametrize("seed", range(3))
def test_operands_results_and_regions_are_found_where_the_definition_says(seed: int):
    for op in walk(random_nest(random.Random(seed)).module):
        assert isinstance(op, IRDLOperation)
        for (name, _), values in zip(op.get_irdl_definition().operands, _segments(op), strict=True):
            found = getattr(op, name)
            assert (found is None and not values) or list(found if isinstance(found, tuple) else [found]) == values
        assert [getattr(op, name) for name, _ in op.get_irdl_definition().results] == list(op.results)
        assert [getattr(op, name) for name, _ in op.get_irdl_definition().regions] == list(op.regions)


def _segments(op: Any) -> list[list[SSAValue]]:
    """The operands of each definition: as many as the attribute says, else all that are left for the last one."""
    count, own = len(op.get_irdl_definition().operands), list(op.operands)
    given = op.properties.get(SEGMENTS)
    lengths = list(given.get_values()) if given is not None else [1] * (count - 1) + [len(own) - count + 1]
    return [[own.pop(0) for _ in range(length)] for length in lengths[:count]]


def test_what_is_put_stands_where_xdsl_would_insert_it(values: Any):
    def block(before: Any, end: Any) -> Block:
        found = Block(arg_types=[f32])
        ops = [arith.NegfOp(found.args[0]) for _ in range(5)]
        end(ops[0], found)
        before(ops[1], ops[0])
        end(ops[2], found)
        before(ops[3], ops[2])
        before(ops[4], ops[1])
        for op, name in zip(ops, "abcde", strict=True):
            op.results[0].name_hint = name
        return found

    own = block(put_before, append)
    same = block(lambda op, anchor: anchor.parent.insert_op_before(op, anchor), lambda op, block: block.add_op(op))
    for found in (own, same):
        assert [op.results[0].name_hint for op in found.ops] == [*"ebadc"]
        assert [op.prev_op for op in list(found.ops)[1:]] == list(found.ops)[:-1]
        assert all(op.parent is found for op in found.ops) and found.last_op is list(found.ops)[-1]
