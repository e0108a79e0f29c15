"""Types and attributes of all levels: text that comes back, constraints violated once each, lengths of layouts."""

from __future__ import annotations

import itertools

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdsl.dialects.builtin import ComplexType, IndexType, IntegerType, Signedness, bf16, f32, f64, i1, i8, i64
from xdsl.ir import Attribute
from xdsl.parser import Parser
from xdsl.utils.exceptions import ParseError, VerifyException

from ircc.dialects import context
from ircc.ir.expr import Expr, maximum
from ircc.ir.types import (
    DTYPES,
    SMALL_FLOATS,
    SMALL_INTEGERS,
    BufferType,
    Check,
    ExprAttr,
    TensorType,
    bits_of,
    dtype_of,
    element_of,
    is_bool,
    is_float,
    is_small,
    is_unsigned,
    padded_length,
    signless,
)

N, M = Expr.symbol("N"), Expr.symbol("seq len")
D0, D1 = Expr.dim(0), Expr.dim(1)
UI8 = IntegerType(8, Signedness.UNSIGNED)

ATTRIBUTES: dict[str, Attribute] = {
    "!graph.tensor<[], f32>": TensorType.of([], f32),
    "!graph.tensor<[N, 3, N floordiv 2], bf16>": TensorType.of([N, 3, N // 2], bf16),
    '!graph.tensor<["seq len" + 1, 0], ui8>': TensorType.of([M + 1, 0], UI8),
    "!loop.buffer<[N, 64], f32>": BufferType.of([N, 64], f32),
    '!loop.buffer<[8], i1, "stack">': BufferType.of([8], i1, "stack"),
    '!loop.buffer<[8, N], f64, "register", d1 * N + d0>': BufferType.of([8, N], f64, "register", D1 * N + D0),
    "!loop.buffer<[N, 64], f32, 64 * d0 + d1 mod 32>": BufferType.of([N, 64], f32, layout=D0 * 64 + D1 % 32),
    "#ir.expr<N floordiv 2 + d0>": ExprAttr(N // 2 + D0),
    '#ir.check<N - "seq len", "sizes of \\"a\\" differ">': Check.of(N - M, 'sizes of "a" differ'),
}


def parsed(text: str) -> Attribute:
    return Parser(context(), text).parse_attribute()


@pytest.mark.parametrize("text", ATTRIBUTES)
def test_text_comes_back(text: str) -> None:
    attribute = parsed(text)
    assert attribute == ATTRIBUTES[text] and hash(attribute) == hash(ATTRIBUTES[text])
    attribute.verify()
    assert parsed(str(attribute)) == attribute


@pytest.mark.parametrize(
    ("text", "constraint"),
    [
        ("!graph.tensor<[2], index>", "C1"),
        ("!graph.tensor<[2], i7>", "C1"),
        ("!graph.tensor<[2], complex<f32>>", "C1"),
        ("!graph.tensor<[d0], f32>", "C2"),
        ("!graph.tensor<[min(N, d3)], f32>", "C2"),
        ("!loop.buffer<[2], index>", "C1"),
        ("!loop.buffer<[d0 + 1], f32>", "C2"),
        ('!loop.buffer<[2], f32, "not a name">', "C3"),
        ("!loop.buffer<[2], f32, d0 + d1>", "C4"),
    ],
)
def test_every_constraint_violated_once(text: str, constraint: str) -> None:
    with pytest.raises((VerifyException, ParseError), match=rf"{constraint} "):
        parsed(text).verify()


@pytest.mark.parametrize(
    "text", ["!graph.tensor<[N,], f32>", "!graph.tensor<f32>", "!graph.tensor<[N] f32>", "#ir.expr<>", "#ir.expr<N +>",
             "#ir.check<N>", "!loop.buffer<[2], f32, >"]
)  # fmt: skip
def test_what_is_no_type_is_a_parse_error(text: str) -> None:
    with pytest.raises(ParseError):
        parsed(text)


def test_shapes() -> None:
    t = TensorType.of([N, 3, N * 2], f32)
    assert (t.rank, t.elements, t.symbols, t.static_shape) == (3, 6 * N * N, {"N"}, None)
    assert TensorType.of([2, 0], f32).static_shape == (2, 0) and TensorType.of([], f32).elements == 1


# ---- element types


def test_element_types_and_dtypes_are_one_to_one() -> None:
    assert len(set(DTYPES.values())) == len(DTYPES) == 25
    for element, dtype in DTYPES.items():
        assert dtype_of(element) == dtype and element_of(dtype) == element
        assert is_float(element) == ((dtype.kind == "f" and dtype.itemsize > 1) or dtype == ml_dtypes.bfloat16)
        assert is_unsigned(element) == (dtype.kind == "u" or "uint" in dtype.name) and is_bool(element) == (
            dtype.kind == "b"
        )
        assert parsed(str(TensorType.of([1], element))) == TensorType.of([1], element)
        assert is_small(element) == (signless(element) == i8 and dtype.kind not in "iu")
        assert bits_of(element) == 8 * dtype.itemsize or is_small(element)
    assert [bits_of(t) for t in SMALL_INTEGERS] == [2, 4, 2, 4]
    assert [bits_of(t) for t in SMALL_FLOATS] == [4, 6, 6, 8, 8, 8, 8, 8]
    assert signless(UI8) == i8 and signless(i64) == i64 and signless(bf16) == bf16
    for dtype in (np.dtype(np.complex64), np.dtype(object)):
        with pytest.raises(KeyError):
            element_of(dtype)
    for element in (IndexType(), ComplexType(f32), IntegerType(3)):
        with pytest.raises(KeyError):
            dtype_of(element)


# ---- layouts


def offsets(layout: Expr, shape: tuple[int, ...], symbols: dict[str, int]) -> list[int]:
    indices = itertools.product(*map(range, shape))
    return [layout.evaluate(dict(enumerate(index)), symbols) for index in indices]


@given(st.lists(st.integers(0, 6), min_size=1, max_size=3), st.booleans())
def test_row_major_is_numpys_order(shape: list[int], symbolic: bool) -> None:
    sizes = [Expr.symbol(f"s{i}") if symbolic else Expr.const(n) for i, n in enumerate(shape)]
    symbols = {f"s{i}": n for i, n in enumerate(shape)}
    buffer = BufferType.of(sizes, f32)
    assert offsets(buffer.offset, tuple(shape), symbols) == list(range(int(np.prod(shape))))
    assert buffer.length.evaluate(symbols=symbols) == np.prod(shape)
    assert buffer.bytes.evaluate(symbols=symbols) == 4 * np.prod(shape)


@given(st.integers(0, 20), st.integers(0, 20), st.sampled_from([1, 2, 3, 8]), st.booleans(), st.booleans())
def test_length_of_a_packed_layout(rows: int, columns: int, b: int, symbolic: bool, swapped: bool) -> None:
    """Panels of b columns: every element has a place of its own, and the last panel is whole.

    Where panels have one row or one column, what is left is row-major, without padding."""
    sizes = (N, Expr.symbol("M")) if symbolic else (Expr.const(rows), Expr.const(columns))
    symbols = {"N": rows, "M": columns}
    (i, j), (height, width) = ((D1, D0), sizes[::-1]) if swapped else ((D0, D1), sizes)
    layout = (j // b) * (height * b) + i * b + j % b
    found = offsets(layout, (rows, columns), symbols)
    assert len(set(found)) == len(found)
    length = padded_length(layout, sizes).evaluate(symbols=symbols)
    assert length > max(found, default=-1)
    if b > 1 and rows and columns and height != 1:
        assert length == ((width + b - 1) // b * height * b).evaluate(symbols=symbols)


@pytest.mark.parametrize(
    "layout",
    [
        D0 * 7 + D1,
        D1 * 5 + D0,
        (D1 // 4) * 32 + D0 * 4 + D1 % 4,
        D0 * 6 + D1 + 3,
        (D0 + D1) // 2,
        (D0 * 6 + D1) // 4 * 4,
    ],
    ids=str,
)
def test_every_offset_lies_within_the_length(layout: Expr) -> None:
    for rows, columns in itertools.product(range(1, 6), range(1, 7)):
        length = BufferType.of([rows, columns], f32, layout=layout).length
        assert length == padded_length(layout, (Expr.const(rows), Expr.const(columns)))
        assert length.constant is not None and max(offsets(layout, (rows, columns), {})) < length.constant


def test_nothing_takes_no_memory() -> None:
    assert BufferType.of([0, N], f32, layout=D1 * 8 + D0).length == 0
    assert BufferType.of([N], f32, layout=D0).length == maximum(N, 0) == N
