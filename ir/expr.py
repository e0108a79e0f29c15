"""Symbolic integers: sizes in types, index maps, loop bounds, layouts and memory offsets are all `Expr`.

An `Expr` is an integer polynomial in canonical form. Its atoms are

- symbols (`N`, `"seq len"`): sizes, integers >= 0, named; those whose name begins with `$` are values of any sign;
- dims (`d0`, `d1`): positions, bound to loop variables or operands by whoever holds the expression;
- `a floordiv b`, `a mod b`, `min(a, b, ...)`, `max(a, b, ...)` of expressions.

Equal canonical forms are equal objects by `==` and `hash`, so "the same size" is a comparison.
Division rounds down; `x floordiv 0` and `x mod 0` are 0 and `(x * y) floordiv y` is `x`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, lru_cache, reduce
from math import gcd
from typing import Any, NamedTuple, TypeAlias, Union

import numpy as np

ExprLike: TypeAlias = Union["Expr", int]
Range: TypeAlias = "tuple[Expr, Expr]"  # lowest and highest value, both reached or not, both valid bounds

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_$.]*\Z")
RESERVED = re.compile(r"(d\d+|floordiv|ceildiv|mod|min|max)\Z")


class Atom(NamedTuple):
    """An indivisible factor: kind `symbol` (name), `dim` (position) or an operation on expressions (args)."""

    kind: str
    args: tuple[Any, ...]

    @property
    def signed(self) -> bool:
        """Whether it is a value that may be negative."""
        return self.kind == "symbol" and self.args[0].startswith("$")

    def __str__(self) -> str:
        match self.kind:
            case "symbol":
                name: str = self.args[0]
                plain = IDENTIFIER.match(name) and not RESERVED.match(name)
                return name if plain else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
            case "dim":
                return f"d{self.args[0]}"
            case "min" | "max":
                return f"{self.kind}({', '.join(map(str, self.args))})"
            case _:
                a, b = self.args
                return f"{a.wrapped()} {self.kind} {b.wrapped()}"


Monomial: TypeAlias = "tuple[Atom, ...]"  # a product, sorted; () is 1


@lru_cache(maxsize=1 << 16)  # asked for in every product and every text
def _key(atom: Atom) -> tuple[int, int, str]:
    if atom.kind == "dim":
        return (0, atom.args[0], "")
    return (("symbol", "floordiv", "mod", "min", "max").index(atom.kind) + 1, 0, str(atom))


class Expr:
    """An integer polynomial over atoms in canonical form. Immutable."""

    __slots__ = ("__dict__", "_hash", "terms")
    terms: dict[Monomial, int]

    def __init__(self, terms: dict[Monomial, int]) -> None:
        """Trusts that coefficients are not 0 and monomials are sorted; others use `Expr.of` and operators."""
        self.terms = terms
        self._hash: int | None = None

    # ---- construction

    @staticmethod
    def of(value: ExprLike) -> Expr:
        """`value` as an expression."""
        return value if isinstance(value, Expr) else Expr.const(int(value))

    @staticmethod
    @lru_cache(maxsize=4096)
    def const(value: int) -> Expr:
        return Expr({(): value} if value else {})

    @staticmethod
    @lru_cache(maxsize=4096)
    def symbol(name: str) -> Expr:
        return Expr({(Atom("symbol", (name,)),): 1})

    @staticmethod
    @lru_cache(maxsize=256)
    def dim(position: int) -> Expr:
        return Expr({(Atom("dim", (position,)),): 1})

    # ---- inspection

    @property
    def constant(self) -> int | None:
        """The value when it is a number, else None."""
        if not self.terms:
            return 0
        return self.terms.get(()) if len(self.terms) == 1 else None

    @property
    def single(self) -> Atom | None:
        """The atom that the expression is, else None."""
        if len(self.terms) != 1:
            return None
        ((monomial, c),) = self.terms.items()
        return monomial[0] if len(monomial) == 1 and c == 1 else None

    @cached_property
    def symbols(self) -> frozenset[str]:
        """Names of all size symbols, nested ones included."""
        own, inner = self._named("symbol")
        return own.union(*(e.symbols for e in inner))

    @cached_property
    def dims(self) -> frozenset[int]:
        """Positions of all dims, nested ones included."""
        own, inner = self._named("dim")
        return own.union(*(e.dims for e in inner))

    def _named(self, kind: str) -> tuple[frozenset[Any], list[Expr]]:
        """The names of its own atoms of a kind, and the operands of its operations, which know theirs."""
        atoms = [a for m in self.terms for a in m]
        inner = [e for a in atoms if a[0] != "dim" and a[0] != "symbol" for e in a[1]]
        return frozenset([a[1][0] for a in atoms if a[0] == kind]), inner

    @property
    def plain(self) -> bool:
        """Whether there is no floordiv, mod, min or max in it."""
        return all(a[0] == "dim" or a[0] == "symbol" for m in self.terms for a in m)

    def atoms(self) -> Iterable[Atom]:
        """Every atom, nested ones included."""
        for monomial in self.terms:
            for atom in monomial:
                yield atom
                if atom.kind not in ("symbol", "dim"):
                    for arg in atom.args:
                        yield from arg.atoms()

    def linear(self) -> tuple[dict[int, Expr], Expr] | None:
        """`({dim: coefficient}, rest)` with neither coefficients nor rest naming a dim; None when not linear."""
        coefficients: dict[int, dict[Monomial, int]] = {}
        rest: dict[Monomial, int] = {}
        for monomial, c in self.terms.items():
            dims = [a for a in monomial if a.kind == "dim"]
            others = tuple(a for a in monomial if a.kind != "dim")
            if len(dims) > 1 or any(e.dims for a in others if a.kind != "symbol" for e in a.args):
                return None
            if dims:
                coefficients.setdefault(dims[0].args[0], {})[others] = c
            else:
                rest[others] = c
        return {d: Expr(t) for d, t in coefficients.items()}, Expr(rest)

    # ---- arithmetic

    def __add__(self, other: ExprLike) -> Expr:
        other = Expr.of(other)
        if not other.terms:
            return self
        if not self.terms:
            return other
        out = dict(self.terms)
        for m, c in other.terms.items():
            total = out.get(m, 0) + c
            if total:
                out[m] = total
            else:
                del out[m]
        return _recombined(out)

    def __mul__(self, other: ExprLike) -> Expr:
        other = Expr.of(other)
        if (k := other.constant) is not None:
            return self if k == 1 else Expr({m: c * k for m, c in self.terms.items()} if k else {})
        out: dict[Monomial, int] = {}
        for m, c in self.terms.items():
            for n, d in other.terms.items():
                product = tuple(sorted((*m, *n), key=_key)) if m and n else m or n
                out[product] = out.get(product, 0) + c * d
        return _recombined({m: c for m, c in out.items() if c})

    def __neg__(self) -> Expr:
        return self * -1

    def __sub__(self, other: ExprLike) -> Expr:
        return self + Expr.of(other) * -1

    def __rsub__(self, other: ExprLike) -> Expr:
        return Expr.of(other) - self

    __radd__ = __add__
    __rmul__ = __mul__

    def __floordiv__(self, other: ExprLike) -> Expr:
        return _divide(self, Expr.of(other))[0]

    def __mod__(self, other: ExprLike) -> Expr:
        return _divide(self, Expr.of(other))[1]

    def __rfloordiv__(self, other: ExprLike) -> Expr:
        return Expr.of(other) // self

    # ---- substitution and evaluation

    def substitute(
        self, dims: Mapping[int, ExprLike] | None = None, symbols: Mapping[str, ExprLike] | None = None
    ) -> Expr:
        """The expression with dims and symbols replaced, all at once."""
        dims, symbols = dims or {}, symbols or {}
        if not (self.dims & dims.keys() or self.symbols & symbols.keys()):
            return self
        return _substituted(self, tuple(dims.items()), tuple(symbols.items()))

    def rebuilt(self, replaced: Callable[[Atom], Expr]) -> Expr:
        """The expression with `replaced(atom)` for each of its atoms; nested ones are the caller's."""
        return sum((reduce(lambda p, a: p * replaced(a), m, Expr.const(c)) for m, c in self.terms.items()), ZERO)

    def evaluate(self, dims: Mapping[int, Any] | None = None, symbols: Mapping[str, int] | None = None) -> Any:
        """The value, an int; an int64 array (broadcast) where `dims` holds arrays.

        Raises KeyError for a dim or symbol without a value."""
        if (k := self.constant) is not None:
            return k
        dims, symbols = dims or {}, symbols or {}

        def value(atom: Atom) -> Any:
            if atom.kind == "symbol":
                return symbols[atom.args[0]]
            if atom.kind == "dim":
                return dims[atom.args[0]]
            args = [e.evaluate(dims, symbols) for e in atom.args]
            match atom.kind:
                case "min":
                    return reduce(np.minimum, args)
                case "max":
                    return reduce(np.maximum, args)
                case kind:
                    a, b = args
                    safe = np.where(np.equal(b, 0), 1, b)
                    quotient = a // safe if kind == "floordiv" else a % safe
                    return np.where(np.equal(b, 0), 0, quotient)

        total: Any = 0
        for monomial, c in self.terms.items():
            total = total + reduce(lambda p, a: p * value(a), monomial, c)
        return total if getattr(total, "ndim", 0) else int(total)

    # ---- what is known about the value

    def nonnegative(self, ranges: Mapping[int, Range] | None = None) -> bool:
        """True when provably >= 0, given the inclusive ranges of dims; symbols without `$` are >= 0."""
        if (k := self.constant) is not None:
            return k >= 0
        return _nonnegative(self, tuple(ranges.items()) if ranges and self.dims else ())

    def _has_sign(self, sign: int) -> bool:
        """Whether every term has the sign for all sizes: values, which have any, appear an even number of times."""
        return all(c * sign >= 0 and all(m.count(a) % 2 == 0 for a in m if a.signed) for m, c in self.terms.items())

    def _lowest(self, ranges: Mapping[int, Range]) -> Expr | None:
        """A lower bound without dims: each linear dim is put at the end of its range that makes the value least."""
        out = self
        for _ in range(16):
            pending = sorted(out.dims)
            if not pending and out.plain:
                return out
            form = out.linear()
            # with plain coefficients the dims go first: operations that their ranges bring in may cancel
            plain = form is not None and all(c.plain for c in form[0].values())
            if form is None or not plain or not pending:
                relaxed = out._without_operations(ranges)
                if relaxed is None or relaxed == out:
                    return None
                out = relaxed
                continue
            for d, c in form[0].items():
                if d not in ranges:
                    return None
                if c._has_sign(1):
                    out = out.substitute({d: ranges[d][0]})
                elif c._has_sign(-1):
                    out = out.substitute({d: ranges[d][1]})
                else:
                    return None
                break
        return None

    def _without_operations(self, ranges: Mapping[int, Range]) -> Expr | None:
        """A lower bound in which one nested operation has been replaced by a bound of its own."""
        for monomial, c in self.terms.items():
            for i, atom in enumerate(monomial):
                if atom.kind in ("symbol", "dim"):
                    continue
                others = Expr({monomial[:i] + monomial[i + 1 :]: c})
                rest = Expr({m: k for m, k in self.terms.items() if m != monomial})
                if any(a.kind != "symbol" or a.signed for m in others.terms for a in m):
                    return None
                bounds = [rest + others * bound for bound in _bounds_of(atom, c > 0, ranges)]
                return min(bounds, key=lambda e: len(e.terms), default=None)  # what cancels most says most
        return self

    def simplify(self, ranges: Mapping[int, Range]) -> Expr:
        """The expression with floordiv, mod, min and max resolved as far as the dims' ranges allow."""
        return self if self.plain else _simplified(self, tuple(ranges.items()))

    # ---- text and identity

    def __str__(self) -> str:
        return self._text

    @cached_property
    def _text(self) -> str:
        return self.text(str)

    def text(self, name: Callable[[Atom], str]) -> str:
        """The expression as text with atoms spelled by `name`."""

        def order(item: tuple[Monomial, int]) -> tuple[Any, ...]:
            return (not item[0], item[1] < 0, [_key(a) for a in item[0]])

        parts: list[str] = []
        for monomial, c in sorted(self.terms.items(), key=order):
            factors = [_factor(a, name, alone=len(monomial) == 1 and abs(c) == 1) for a in monomial]
            if abs(c) != 1 or not monomial:
                factors.insert(0, str(abs(c)))
            parts.append(("- " if parts else "-") if c < 0 else ("+ " if parts else ""))
            parts[-1] += " * ".join(factors)
        return " ".join(parts) or "0"

    def wrapped(self, name: Callable[[Atom], str] = str) -> str:
        """The text in parentheses unless it is a single atom or number."""
        plain = self.constant is not None or (
            len(self.terms) == 1 and [*self.terms.values()] == [1] and len(next(iter(self.terms))) == 1
            and next(iter(self.terms))[0].kind in ("symbol", "dim", "min", "max")
        )  # fmt: skip
        text = self.text(name)
        return text if plain and not text.startswith("-") else f"({text})"

    def __repr__(self) -> str:
        return f"Expr({self})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, int):
            return self.constant == other
        return isinstance(other, Expr) and (self is other or self.terms == other.terms)

    def __hash__(self) -> int:
        if self._hash is None:
            k = self.constant
            self._hash = hash(k) if k is not None else hash(frozenset(self.terms.items()))
        return self._hash

    def __bool__(self) -> bool:
        raise TypeError(f"the size {self} has no truth value; compare it")

    def __index__(self) -> int:
        if (k := self.constant) is None:
            raise TypeError(f"the size {self} is not a constant")
        return k


@lru_cache(maxsize=1 << 14)
def _substituted(e: Expr, dims: tuple[tuple[int, ExprLike], ...], symbols: tuple[tuple[str, ExprLike], ...]) -> Expr:
    given: dict[str, dict[Any, ExprLike]] = {"dim": dict(dims), "symbol": dict(symbols)}

    def replaced(atom: Atom) -> Expr:
        if (values := given.get(atom.kind)) is not None:
            return Expr.of(values[atom.args[0]]) if atom.args[0] in values else Expr({(atom,): 1})
        return OPERATIONS[atom.kind](*(arg.substitute(given["dim"], given["symbol"]) for arg in atom.args))

    if not e.plain or any(len(m) > 1 for m in e.terms):
        return e.rebuilt(replaced)
    parts = [(replaced(m[0]) if m else ONE, c) for m, c in e.terms.items()]
    if any(len(n) == 1 and n[0].kind == "mod" for part, _ in parts for n in part.terms):
        return e.rebuilt(replaced)  # which puts quotients and remainders together again
    total: dict[Monomial, int] = {}
    for part, c in parts:
        for n, k in part.terms.items():
            if left := total.get(n, 0) + k * c:
                total[n] = left
            else:
                del total[n]
    return Expr(total)


@lru_cache(maxsize=1 << 14)
def _nonnegative(e: Expr, ranges: tuple[tuple[int, Range], ...]) -> bool:
    lowest = e._lowest(dict(ranges))  # pyright: ignore[reportPrivateUsage]
    return lowest is not None and lowest._has_sign(1)  # pyright: ignore[reportPrivateUsage]


@lru_cache(maxsize=1 << 14)  # quotient and remainder have the same operands, level by level
def _simplified(e: Expr, limits: tuple[tuple[int, Range], ...]) -> Expr:
    ranges = dict(limits)

    def replaced(atom: Atom) -> Expr:
        if atom.kind in ("symbol", "dim"):
            return Expr({(atom,): 1})
        args = [arg.simplify(ranges) for arg in atom.args]
        if atom.kind in ("min", "max"):
            return _extreme(atom.kind, args, ranges)
        return _divide(args[0], args[1], ranges)[0 if atom.kind == "floordiv" else 1]

    return e.rebuilt(replaced)


ZERO, ONE = Expr.const(0), Expr.const(1)


def _factor(atom: Atom, name: Callable[[Atom], str], alone: bool) -> str:
    match atom.kind:
        case "symbol" | "dim":
            return name(atom)
        case "min" | "max":
            return f"{atom.kind}({', '.join(e.text(name) for e in atom.args)})"
        case _:
            a, b = atom.args
            text = f"{a.wrapped(name)} {atom.kind} {b.wrapped(name)}"
            return text if alone else f"({text})"


def _recombined(terms: dict[Monomial, int]) -> Expr:
    """`k * (x mod c) + k * c * (x floordiv c)` → `k * x`, for constant c."""
    for m, k in terms.items():
        if len(m) != 1 or m[0].kind != "mod" or (c := m[0].args[1].constant) is None:
            continue
        quotient = m[0].args[0] // c  # in canonical form: (x floordiv 2) floordiv 3 is x floordiv 6
        if len(quotient.terms) != 1 or 1 not in quotient.terms.values():
            continue
        (q,) = quotient.terms
        if terms.get(q) == k * c:
            return Expr({n: v for n, v in terms.items() if n not in (m, q)}) + m[0].args[0] * k
    return Expr(terms)


def _divide(a: Expr, b: Expr, ranges: Mapping[int, Range] | None = None) -> tuple[Expr, Expr]:
    """Quotient (rounded down) and remainder in canonical form.

    Terms that b divides leave the quotient's operand: `(b*q + r) floordiv b = q + r floordiv b`. What is left
    disappears when the ranges show `0 <= r < b`."""
    if b == ONE:
        return a, ZERO
    if not b.terms or not a.terms:
        return ZERO, ZERO
    if (c := b.constant) is not None and c < 0:
        q, r = _divide(-a, -b, ranges)
        return q, -r
    quotient, rest = _split(a, b)
    if not rest.terms:
        return quotient, ZERO
    if (k := rest.constant) is not None and c is not None:  # only constants smaller than c are left
        return quotient + k // c, Expr.const(k % c)
    if rest.nonnegative(ranges) and (b - 1 - rest).nonnegative(ranges):
        return quotient, rest
    if c is not None:
        common = reduce(gcd, rest.terms.values(), c)
        if common > 1:
            inner = Expr({m: v // common for m, v in rest.terms.items()})
            q, r = _divide(inner, Expr.const(c // common), ranges)
            return quotient + q, r * common
        if (inner := _flattened(rest)) is not None:  # (x floordiv k + e) floordiv c = (x + k*e) floordiv (k*c)
            q = _divide(inner[0], Expr.const(inner[1] * c), ranges)[0]
            return quotient + q, Expr({(Atom("mod", (rest, b)),): 1})
    return quotient + Expr({(Atom("floordiv", (rest, b)),): 1}), Expr({(Atom("mod", (rest, b)),): 1})


def _flattened(a: Expr) -> tuple[Expr, int] | None:
    """(x + k*e, k) when a = x floordiv k + e for a positive constant k, and e holds no other operation."""
    operations = [(m, c) for m, c in a.terms.items() if any(x.kind not in ("symbol", "dim") for x in m)]
    if len(operations) != 1:
        return None
    (monomial, coefficient), = operations  # fmt: skip
    if coefficient != 1 or len(monomial) != 1 or monomial[0].kind != "floordiv":
        return None
    k = monomial[0].args[1].constant
    if k is None or k <= 0:
        return None
    return monomial[0].args[0] + Expr({m: c * k for m, c in a.terms.items() if m != monomial}), k


def _split(a: Expr, b: Expr) -> tuple[Expr, Expr]:
    """(q, r) with a = b*q + r: q takes the terms that b divides, r keeps the others."""
    q: dict[Monomial, int] = {}
    r: dict[Monomial, int] = {}
    if (c := b.constant) is not None:
        for m, k in a.terms.items():
            if k // c:
                q[m] = k // c
            if k % c:
                r[m] = k % c
        return Expr(q), Expr(r)
    if len(b.terms) == 1:
        ((divisor, c),) = b.terms.items()
        for m, k in a.terms.items():
            left = list(m)
            if k % c == 0 and all(_removed(left, atom) for atom in divisor):
                q[tuple(left)] = k // c
            else:
                r[m] = k
        return Expr(q), Expr(r)
    quotient, rest = ZERO, a  # a sum: exact polynomial division by leading terms, or nothing
    lead = max(b.terms, key=lambda m: (len(m), [_key(x) for x in m]))
    for _ in range(16):
        if not rest.terms:
            return quotient, rest
        top = max(rest.terms, key=lambda m: (len(m), [_key(x) for x in m]))
        left = list(top)
        if rest.terms[top] % b.terms[lead] or not all(_removed(left, atom) for atom in lead):
            break
        step = Expr({tuple(left): rest.terms[top] // b.terms[lead]})
        quotient, rest = quotient + step, rest - step * b
    return ZERO, a


def _removed(monomial: list[Atom], atom: Atom) -> bool:
    if atom in monomial:
        monomial.remove(atom)
        return True
    return False


def _extreme(kind: str, args: Iterable[Expr], ranges: Mapping[int, Range] | None = None) -> Expr:
    """min or max with nested ones flattened and dominated operands dropped."""
    nested = ((e, e.single) for e in args)
    flat = [x for e, atom in nested for x in (atom.args if atom is not None and atom.kind == kind else (e,))]

    def beaten(x: Expr, y: Expr) -> bool:
        """y is always at least as extreme as x."""
        return (x - y if kind == "min" else y - x).nonnegative(ranges)

    kept: list[Expr] = []
    for x in flat:
        if not any(beaten(x, y) for y in kept):
            kept = [*(y for y in kept if not beaten(y, x)), x]
    if len(kept) == 1:
        return kept[0]
    return Expr({(Atom(kind, tuple(sorted(kept, key=str))),): 1})


def _bounds_of(atom: Atom, lower: bool, ranges: Mapping[int, Range]) -> Iterable[Expr]:
    """A lower (or upper) bound of an operation, without that operation."""
    args = atom.args
    match atom.kind:
        case "mod" if args[1].nonnegative(ranges):  # by 0 it is not asked for
            yield ZERO if lower else args[1] - 1
        case "min" if not lower:
            yield from sorted(args, key=lambda e: e.constant is None)
        case "max" if lower:
            yield from sorted(args, key=lambda e: e.constant is None)
            if len(args) == 2 and (args[0] + args[1]).nonnegative(ranges):  # the larger of x and -x
                yield ZERO
        case "min" if all(e.nonnegative(ranges) for e in args):
            yield ZERO
        case "floordiv" if lower and args[0].nonnegative(ranges) and args[1].nonnegative(ranges):
            yield ZERO
        case "floordiv" if not lower and (args[1] - 1).nonnegative(ranges):
            highest = (-args[0])._lowest(ranges)  # pyright: ignore[reportPrivateUsage]
            if highest is not None:
                yield -highest // args[1]
            elif args[0].nonnegative(ranges):
                yield args[0]
        case _:
            return


def ceildiv(a: ExprLike, b: ExprLike) -> Expr:
    """a / b rounded up: `(a + b - 1) floordiv b`."""
    return (Expr.of(a) + b - 1) // Expr.of(b)


def minimum(*args: ExprLike) -> Expr:
    return _extreme("min", map(Expr.of, args))


def maximum(*args: ExprLike) -> Expr:
    return _extreme("max", map(Expr.of, args))


def product(sizes: Iterable[ExprLike]) -> Expr:
    return reduce(lambda p, s: p * s, sizes, ONE)


OPERATIONS: dict[str, Callable[..., Expr]] = {
    "floordiv": operator.floordiv, "mod": operator.mod, "ceildiv": ceildiv, "min": minimum, "max": maximum,
}  # fmt: skip
