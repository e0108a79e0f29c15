"""Symbolic integers against Python's own: every rewriting of an expression keeps its value."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from xdsl.context import Context
from xdsl.parser import Parser

from ircc.ir.broadcast import broadcast, broadcast_condition
from ircc.ir.expr import (
    ONE,
    Expr,
    ceildiv,
    maximum,
    minimum,
    product,
)
from ircc.ir.syntax import parse_expr

Tree: TypeAlias = "int | str | tuple[Any, ...]"  # a number, a symbol or dim by name, an operation on trees
Values: TypeAlias = "Mapping[str, int]"

SYMBOLS, DIMS = ("N", "M"), (0, 1)
N, M = map(Expr.symbol, SYMBOLS)
D0, D1 = map(Expr.dim, DIMS)
OPERATIONS: dict[str, tuple[Callable[..., Expr], Callable[..., int]]] = {
    "+": (lambda a, b: a + b, lambda a, b: a + b),
    "-": (lambda a, b: a - b, lambda a, b: a - b),
    "*": (lambda a, b: a * b, lambda a, b: a * b),
    "neg": (lambda a: -a, lambda a: -a),
    "floordiv": (operator.floordiv, lambda a, b: a // b),
    "mod": (operator.mod, lambda a, b: a % b),
    "ceildiv": (ceildiv, lambda a, b: (a + b - 1) // b),
    "min": (minimum, min),
    "max": (maximum, max),
}

leaves: st.SearchStrategy[Tree] = st.one_of(st.integers(-7, 9), st.sampled_from(("N", "M", "d0", "d1")))


def operations(children: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    divisors = st.one_of(st.integers(1, 8), st.integers(1, 8), children)
    return st.one_of(
        st.tuples(st.sampled_from(("+", "-", "*", "min", "max")), children, children),
        st.tuples(st.sampled_from(("floordiv", "mod", "ceildiv")), children, divisors),
        st.tuples(st.just("neg"), children),
    )


trees = st.recursive(leaves, operations, max_leaves=8)
values = st.fixed_dictionaries(
    {"N": st.integers(0, 12), "M": st.integers(0, 12), "d0": st.integers(-12, 12), "d1": st.integers(-12, 12)}
)
many = settings(max_examples=3 * settings().max_examples // 2)


def expr(tree: Tree) -> Expr:
    """The tree as an expression."""
    if isinstance(tree, tuple):
        return OPERATIONS[tree[0]][0](*map(expr, tree[1:]))
    if isinstance(tree, str):
        return Expr.dim(int(tree[1:])) if tree.startswith("d") else Expr.symbol(tree)
    return Expr.of(tree)


def number(tree: Tree, given: Values) -> int:
    """The tree's value by Python's arithmetic; a division by 0, which has no meaning to compare, drops the example."""
    if isinstance(tree, tuple):
        args = [number(t, given) for t in tree[1:]]
        assume(tree[0] not in ("floordiv", "mod", "ceildiv") or args[1])
        return OPERATIONS[tree[0]][1](*args)
    return given[tree] if isinstance(tree, str) else tree


def evaluated(e: Expr, given: Values) -> int:
    symbols = {name: given[name] for name in SYMBOLS}
    return e.evaluate({i: given[f"d{i}"] for i in DIMS}, symbols)


def parsed(text: str) -> Expr:
    parser = Parser(Context(), text)
    return parse_expr(parser)


# ---- the value


@many
@given(trees, values)
@example(("floordiv", ("floordiv", "d0", 3), -2), {"N": 0, "M": 0, "d0": -7, "d1": 0})
@example(("mod", ("*", "d0", 6), 4), {"N": 0, "M": 0, "d0": -5, "d1": 0})
@example(("ceildiv", ("-", "N", 5), 3), {"N": 0, "M": 0, "d0": 0, "d1": 0})
def test_canonical_form_keeps_the_value(tree: Tree, given: Values) -> None:
    expected = number(tree, given)
    assert evaluated(expr(tree), given) == expected


@given(trees, values)
def test_whatever_is_divided_by_has_a_value(tree: Tree, given: Values) -> None:
    """By 0 too: the value is a number, not an exception."""
    assert isinstance(evaluated(expr(tree), given), int)


@given(trees, st.lists(values, min_size=1, max_size=5), st.integers(0, 12), st.integers(0, 12))
def test_arrays_of_positions_are_evaluated_at_once(tree: Tree, points: list[Values], n: int, m: int) -> None:
    e = expr(tree)
    together = e.evaluate({i: np.array([p[f"d{i}"] for p in points]) for i in DIMS}, {"N": n, "M": m})
    singly = [e.evaluate({i: p[f"d{i}"] for i in DIMS}, {"N": n, "M": m}) for p in points]
    assert np.broadcast_to(together, len(points)).tolist() == singly


@many
@given(trees, trees, trees, trees, values)
def test_substitution_is_evaluation_in_steps(tree: Tree, n: Tree, d0: Tree, d1: Tree, given: Values) -> None:
    inner = {name: number(t, given) for name, t in (("N", n), ("d0", d0), ("d1", d1))}
    assume(inner["N"] >= 0)
    expected = number(tree, {**given, **inner})
    substituted = expr(tree).substitute({0: expr(d0), 1: expr(d1)}, {"N": expr(n)})
    assert evaluated(substituted, given) == expected


@given(trees)
def test_substitution_replaces_all_at_once(tree: Tree) -> None:
    e = expr(tree)
    swapped = e.substitute({0: D1, 1: D0}, {"N": M, "M": N})
    assert swapped.substitute({0: D1, 1: D0}, {"N": M, "M": N}) == e.substitute({}, {})
    assert swapped.dims == {1 - d for d in e.dims}


# ---- what is known of the value


@st.composite
def ranges(draw: st.DrawFn) -> tuple[dict[int, tuple[Expr, Expr]], Callable[[Values], dict[int, range]]]:
    """Ranges of both dims, and the positions they allow for given symbols."""
    bounds: dict[int, tuple[Expr, Expr]] = {}
    for d in DIMS:
        low = Expr.const(draw(st.integers(-4, 4)))
        high = draw(st.sampled_from([low + 7, low + N, N - 1, N + M, N * M - 1, 2 * N, Expr.const(5)]))
        bounds[d] = low, high

    def allowed(given: Values) -> dict[int, range]:
        symbols = {name: given[name] for name in SYMBOLS}
        return {d: range(a.evaluate({}, symbols), b.evaluate({}, symbols) + 1) for d, (a, b) in bounds.items()}

    return bounds, allowed


def within(data: st.DataObject, given: Values, allowed: dict[int, range]) -> dict[str, int]:
    """`given` with positions that the ranges allow."""
    assume(all(allowed.values()))
    drawn = {f"d{d}": data.draw(st.integers(r.start, r.stop - 1)) for d, r in allowed.items()}
    return {**given, **drawn}


@many
@given(trees, ranges(), values, st.data())
def test_simplify_keeps_the_value_within_the_ranges(tree: Tree, known: Any, given: Values, data: st.DataObject) -> None:
    point = within(data, given, known[1](given))
    expected = number(tree, point)
    simple = expr(tree).simplify(known[0])
    assert evaluated(simple, point) == expected
    assert not simple.dims - expr(tree).dims


@many
@given(trees, ranges(), values, st.data())
@example(("mod", "d0", ("-", "N", 5)), ({0: (Expr.const(0), Expr.const(5))}, lambda _: {0: range(6)}),
         {"N": 3, "M": 1, "d0": 0, "d1": 0}, None)  # fmt: skip
def test_nonnegative_is_never_wrong(tree: Tree, known: Any, given: Values, data: st.DataObject | None) -> None:
    e = expr(tree)
    assume(e.nonnegative(known[0]))
    points = [within(data, given, known[1](given))] if data else [{**given, "d0": i} for i in known[1](given)[0]]
    for point in points:
        assert number(tree, point) >= 0


@pytest.mark.parametrize(
    "e",
    [
        N,
        N * M + 3,
        N - D0 - 1,
        7 - D0 % 8,
        D0 % 8,
        N // 2,
        minimum(N, M),
        maximum(N - 5, 0),
        maximum(N, 3) - 3,
        N * M - (D0 * M + D1) - 1,
    ],
    ids=str,
)
def test_what_bounds_checks_need_is_proved(e: Expr) -> None:
    assert e.nonnegative({0: (Expr.const(0), N - 1), 1: (Expr.const(0), M - 1)})


@pytest.mark.parametrize("e", [N - 1, -N, N - M, D0, -D0, N - 2 * (N // 2) - 1, D0 % 8 - 1, minimum(N, M) - 1], ids=str)
def test_what_is_not_so_is_not_proved(e: Expr) -> None:
    assert not e.nonnegative({})


@pytest.mark.parametrize(
    ("e", "simple"),
    [
        (D0 // 8, Expr.const(0)),
        (D0 % 8, D0),
        ((D1 * 8 + D0) // 8, D1),
        ((D1 * 8 + D0) % 8, D0),
        ((D1 * 8 + D0) // 4 % 2, D0 // 4),
        (minimum(D0, 7), D0),
        (maximum(D0, D1 + 8), D1 + 8),
        (minimum(D0, N + 8), D0),
        ((D1 * N + D0 // 8) // N, D1),
    ],
    ids=lambda e: str(e),
)
def test_ranges_resolve(e: Expr, simple: Expr) -> None:
    assert e.simplify({0: (Expr.const(0), Expr.const(7)), 1: (Expr.const(0), N - 1)}) == simple


@given(trees, values)
def test_linear_is_the_expression(tree: Tree, given: Values) -> None:
    e = expr(tree)
    form = e.linear()
    expected = number(tree, given)
    if form is None:
        assert e.dims
        return
    coefficients, rest = form
    assert not rest.dims and not any(c.dims for c in coefficients.values())
    assert product([rest]) + sum((c * Expr.dim(d) for d, c in coefficients.items()), Expr.const(0)) == e
    symbols = {name: given[name] for name in SYMBOLS}
    total = sum(c.evaluate({}, symbols) * given[f"d{d}"] for d, c in coefficients.items())
    assert total + rest.evaluate({}, symbols) == expected


# ---- canonical form


@given(trees, trees, trees)
def test_ring_laws_are_equalities(a: Tree, b: Tree, c: Tree) -> None:
    x, y, z = expr(a), expr(b), expr(c)
    zero = Expr.const(0)
    assert x + zero == x and x * ONE == x and x * zero == zero and x - x == zero
    assert hash(x + y) == hash(y + x) and x * y == y * x
    assert minimum(x, y) == minimum(y, x) and maximum(x, y) == maximum(y, x)
    # recombination and products can meet in another order: equal as soon as both are plain polynomials
    if all(a.kind in ("symbol", "dim") for e in (x, y, z) for a in e.atoms()):
        assert (x + y) + z == x + (y + z)
        assert (x * y) * z == x * (y * z)
        assert x * (y + z) == x * y + x * z


@given(trees, st.integers(-6, 6).filter(bool), st.integers(-6, 6).filter(bool))
def test_what_a_divisor_divides_leaves_the_quotient(tree: Tree, k: int, c: int) -> None:
    x = expr(tree)
    assert (x * c) // c == x and (x * c) % c == 0
    assert (x + k * c) // c == x // c + k
    assert (x + k * c) % c == x % c
    if x.symbols or x.dims:
        assert (x * M) // M == x


@given(trees, st.integers(1, 8), st.integers(1, 8))
def test_divisions_nest_and_recombine(tree: Tree, b: int, c: int) -> None:
    x = expr(tree)
    if all(atom.kind in ("symbol", "dim") for atom in x.atoms()):
        assert x // b // c == x // (b * c)
    assert x % b + b * (x // b) == x
    assert 3 * (x % b) + 3 * b * (x // b) == 3 * x


def test_minima_of_minima_are_flat() -> None:
    assert minimum(minimum(N, M), D0) == minimum(N, M, D0) == minimum(D0, minimum(M, N), N)
    assert minimum(N, N + 1) == N and maximum(N, N + 1, 0) == N + 1
    assert minimum(maximum(N, 0), M) == minimum(N, M)


@given(trees)
def test_canonical_form_is_reached_at_once(tree: Tree) -> None:
    """Building an expression again from its parts changes nothing."""
    e = expr(tree)
    replaced = e.substitute({0: Expr.dim(7), 1: Expr.dim(8)}, {"N": Expr.symbol("a"), "M": Expr.symbol("b")})
    back = replaced.substitute({7: D0, 8: D1}, {"a": N, "b": M})
    assert evaluated_everywhere(back) == evaluated_everywhere(e)
    assert back == back.substitute({}, {}) == e.substitute({0: D0, 1: D1}, {"N": N, "M": M})


def evaluated_everywhere(e: Expr) -> list[int]:
    return [
        e.evaluate({0: a, 1: b}, {"N": n, "M": m}) for a, b, n, m in itertools.product((-5, 4), (0, 3), (1, 6), (2, 7))
    ]


# ---- text


@many
@given(trees)
def test_text_is_read_as_the_same_expression(tree: Tree) -> None:
    e = expr(tree)
    assert parsed(str(e)) == e
    assert hash(parsed(str(e))) == hash(e)
    assert str(parsed(str(e))) == str(e)


@pytest.mark.parametrize(
    "name", ["N", "seq len", "d0", "min", "floordiv", 'a"b', "a\\b", "größe", "2x", "", "a.b$c_1", "-", "N floordiv 2"]
)
def test_every_name_of_a_symbol_is_read_again(name: str) -> None:
    e = Expr.symbol(name) * 2 - Expr.symbol(name) // 3
    assert parsed(str(e)) == e and parsed(str(e)).symbols == {name}


@pytest.mark.parametrize(
    ("text", "e"),
    [
        ("N ceildiv 4", ceildiv(N, 4)),
        ("-(N - 2) * 3", 6 - 3 * N),
        ("min(N, d0 + 1, 3)", minimum(N, D0 + 1, 3)),
        ("2 * d0 floordiv 4", D0 // 2),
        ("d0 - -3", D0 + 3),
        ('"seq len" mod 8', Expr.symbol("seq len") % 8),
    ],
)
def test_what_people_write_is_read(text: str, e: Expr) -> None:
    assert parsed(text) == e


# ---- sizes that broadcast


@given(trees, trees, values)
def test_broadcast_is_right_where_its_condition_holds(a: Tree, b: Tree, given: Values) -> None:
    x, y = number(a, given), number(b, given)
    assume(x >= 0 and y >= 0)
    condition = evaluated(broadcast_condition(expr(a), expr(b)), given)
    if condition == 0:
        assert evaluated(broadcast(expr(a), expr(b)), given) == (y if x == 1 else x)
        assert x == y or 1 in (x, y)
    else:
        assert x != y and (1 not in (x, y) or 0 in (x, y))


# ---- objects


def test_truth_and_numbers() -> None:
    assert Expr.const(3) == 3 and hash(Expr.const(3)) == hash(3) and Expr.of(True) == 1
    assert list(range(5))[Expr.const(2)] == 2 and N != 3
    with pytest.raises(TypeError, match="truth"):
        bool(N)
    with pytest.raises(TypeError, match="not a constant"):
        range(N)
    with pytest.raises(KeyError):
        N.evaluate()
    assert (N // 2).symbols == {"N"} and (D1 % N).dims == {1}
