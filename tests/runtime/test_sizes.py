"""Size expressions of the header: the same values as the compiler's Expr, and nothing but values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ircc.errors import EngineError
from ircc.ir.expr import Expr, ceildiv, maximum, minimum
from ircc.runtime.sizes import UnknownSymbol, evaluate, symbol_name

NAMES = ["N", "H", "seq len", 'q"uote', "min", "back\\slash"]
VALUES = {name: 3 * i + 2 for i, name in enumerate(NAMES)}


def exprs() -> st.SearchStrategy[Expr]:
    leaves = st.one_of(st.integers(-9, 99).map(Expr.const), st.sampled_from(NAMES).map(Expr.symbol))

    def grow(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
        pair = st.tuples(inner, inner)
        return st.one_of(
            pair.map(lambda p: p[0] + p[1]),
            pair.map(lambda p: p[0] - p[1]),
            pair.map(lambda p: p[0] * p[1]),
            pair.map(lambda p: p[0] // p[1]),
            pair.map(lambda p: p[0] % p[1]),
            pair.map(lambda p: ceildiv(*p)),
            pair.map(lambda p: minimum(*p)),
            pair.map(lambda p: maximum(*p)),
        )

    return st.recursive(leaves, grow, max_leaves=8)


@given(exprs())
def test_agrees_with_expr(expr: Expr) -> None:
    assert evaluate(str(expr), VALUES) == expr.evaluate(symbols=VALUES)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("-7 floordiv 2", -3),
        ("2 + 3 * 4", 14),
        ("(2 + 3) * 4 - 1", 19),
        ("N ceildiv 2 + H mod 3", 3),
        ("min(N, 3, H) * max(1)", 2),
        ("N floordiv 0 + N mod 0 + N ceildiv 0", 0),
        ('"seq len"*2', 16),
    ],
)
def test_values(text: str, value: int) -> None:
    assert evaluate(text, VALUES) == value


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "1 +", "(1", "1)", "min()", "min(1", "max 1", "1 2", "N N", "*3", "1 ** 2", "2 / 3",
        "__import__('os')", "floordiv", "3 floordiv", '"open', "1.5", "9" * 50, "(" * 5_000 + ")" * 5_000,
        "1" + "+1" * 20_000, "N" + "*99999999999999999999" * 50, "N; N", "N\n;", ",", "min(,)", "- -1",
    ],
)  # fmt: skip
def test_malformed(text: str) -> None:
    with pytest.raises(EngineError):
        evaluate(text, VALUES)


def test_unknown_symbol() -> None:
    with pytest.raises(UnknownSymbol, match="'K'"):
        evaluate("N + K", VALUES)


def test_symbol_name() -> None:
    assert symbol_name("N") == "N"
    assert symbol_name('"seq len"') == "seq len"
    assert [symbol_name(t) for t in ("N + 1", "3", "(N)", "")] == [None] * 4
