"""Index expressions over operands: canonical order, text, and operands that are replaced."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdsl.dialects.builtin import IndexType, ModuleOp, f32
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.dialects.test import TestOp as AnyOp
from xdsl.ir import SSAValue
from xdsl.parser import Parser

from ircc.dialects import context
from ircc.dialects.tensor import Read
from ircc.dialects.tensor.builder import Body, Scalar, compute
from ircc.ir.expr import Expr, minimum
from ircc.ir.indexed import indexed
from ircc.ir.syntax import canonical_indices
from ircc.ir.types import TensorType

N = Expr.symbol("N")
D = [Expr.dim(i) for i in range(4)]


def values(count: int = 4) -> list[SSAValue]:
    return list(AnyOp(result_types=[IndexType()] * count).results)


def meaning(exprs: list[Expr], operands: list[SSAValue], numbers: dict[SSAValue, int]) -> list[int]:
    return [e.evaluate({i: numbers[v] for i, v in enumerate(operands)}, {"N": 10}) for e in exprs]


@st.composite
def indices(draw: st.DrawFn) -> list[Expr]:
    """Up to three expressions over four dims."""
    found: list[Expr] = []
    for _ in range(draw(st.integers(0, 3))):
        total = Expr.const(draw(st.integers(-2, 2)))
        for _ in range(draw(st.integers(0, 3))):
            term = draw(st.sampled_from(D)) * draw(st.integers(-3, 3))
            wrap: Any = draw(
                st.sampled_from([lambda e: e, lambda e: e // 2, lambda e: minimum(e, N - 1), lambda e: e * N])
            )
            total = total + wrap(term + draw(st.sampled_from(D)))
        found.append(total)
    return found


@given(indices(), st.permutations(range(4)), st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_canonical_order_is_one_for_all_that_mean_the_same(
    exprs: list[Expr], order: list[int], which: list[int]
) -> None:
    available = values()
    operands = [available[i] for i in which]  # the same operand may stand for two dims
    numbers = {v: 3 * i + 1 for i, v in enumerate(available)}
    new, named = canonical_indices(exprs, operands)
    assert meaning(new, named, numbers) == meaning(exprs, operands, numbers)
    assert len(set(named)) == len(named) and all(d < len(named) for e in new for d in e.dims)
    # no operand without a use
    assert {d for e in new for d in e.dims} == set(range(len(named)))
    # a second time nothing changes
    assert canonical_indices(new, named) == (new, named)
    # operands in another order: the same
    shuffled = [e.substitute({old: D[position] for position, old in enumerate(order)}) for e in exprs]
    again = canonical_indices(shuffled, [operands[old] for old in order])
    assert meaning(again[0], again[1], numbers) == meaning(new, named, numbers)
    assert set(again[1]) == set(named)


def read_of(exprs: list[Expr], count: int = 4) -> tuple[ModuleOp, Read]:
    """A module with one read at these expressions, over `count` positions; outside the tensor it is 0."""
    main = FuncOp("main", ([TensorType.of([N] * len(exprs), f32)], [TensorType.of([N] * count, f32)]))
    (x,) = main.body.block.args

    def body(b: Body, *positions: Expr) -> Scalar:
        return b.read(x, *(e.substitute(dict(enumerate(positions))) for e in exprs), otherwise=0.0)

    y = compute([N] * count, body, f32)
    main.body.block.add_ops([y, ReturnOp(y)])
    module = ModuleOp([main])
    (read,) = [op for op in module.walk() if isinstance(op, Read)]
    return module, read


def positions_of(read: Read) -> list[SSAValue]:
    """What the body that reads is computed for."""
    block = read.parent_block()
    assert block is not None
    return list(block.args)


@given(indices())
def test_text_names_the_operands(exprs: list[Expr]) -> None:
    module, _ = read_of(exprs)
    module.verify()
    text = str(module)
    again = Parser(context(), text).parse_module()
    again.verify()
    assert again.is_structurally_equivalent(module) and str(again) == text
    assert "d0" not in text and "map" not in text


def test_text_of_an_operand_named_twice() -> None:
    module, read = read_of([D[1] + D[0], D[1] * 2], 2)
    index = positions_of(read)
    assert read.dims == {0: index[0], 1: index[1]} or read.dims == {0: index[1], 1: index[0]}
    again = Parser(context(), str(module)).parse_module()
    assert again.is_structurally_equivalent(module)


@given(indices(), indices(), st.integers(0, 3))
def test_an_operand_is_replaced_by_an_expression(exprs: list[Expr], other: list[Expr], which: int) -> None:
    module, read = read_of(exprs)
    index = positions_of(read)
    numbers = {v: 3 * i + 1 for i, v in enumerate(index)}
    value = other[0] if other else Expr.const(7)
    replaced = dict(numbers)
    replaced[index[which]] = meaning([value], index, numbers)[0]
    expected = meaning(list(read.exprs), list(read.indices), replaced)
    tensor, otherwise = read.tensor, read.otherwise
    if index[which] in list(read.indices):
        read.replace_index(index[which], value, index)
    assert meaning(list(read.exprs), list(read.indices), numbers) == expected
    assert read.tensor is tensor and read.otherwise is otherwise
    read.verify()
    assert Parser(context(), str(module)).parse_module().is_structurally_equivalent(module)


def test_indices_of_an_operation_that_had_none() -> None:
    _, read = read_of([Expr.const(2), N - 1], 1)
    (i,) = positions_of(read)
    assert not list(read.indices)
    read.set_indices([D[0], D[0] // 2], [i])
    read.verify()
    assert list(read.indices) == [i] and read.exprs == (D[0], D[0] // 2) and read.otherwise is not None
    read.set_indices([0, 1], [])
    read.verify()
    assert not list(read.indices) and read.otherwise is not None


def test_the_map_is_in_canonical_order() -> None:
    a, b, *_ = values()
    operands, attribute = indexed(([D[1], D[0] + D[1]], [a, b]))
    assert [e.data for e in attribute] == [D[0], D[0] + D[1]] and operands == [b, a]


@pytest.mark.parametrize("name", ["N", "seq len", "d0"])
def test_symbols_stand_beside_operands(name: str) -> None:
    module, _ = read_of([(D[0] + Expr.symbol(name)) // 2], 1)
    again = Parser(context(), str(module)).parse_module()
    assert again.is_structurally_equivalent(module)
    (read,) = [op for op in again.walk() if isinstance(op, Read)]
    assert read.exprs[0].symbols == {name}
