"""What primitives ask before they rewrite: ranges of loop variables, forms of indices, disjointness of slices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import gcd
from typing import TypeAlias

from xdsl.ir import Block, Operation, SSAValue

from ..dialects.loop.alloc import Alloc
from ..dialects.loop.instruction import invoked
from ..dialects.loop.ops import For, Load, Store, loops_around
from ..dialects.loop.program import Kernel
from ..errors import ScheduleError
from ..ir.expr import Atom, Expr, Monomial
from ..ir.indexed import Indexed
from ..ir.operands import walk

Access: TypeAlias = "Load | Store"
Interval: TypeAlias = "tuple[int | None, int | None]"  # lowest and highest value; None where not known

ANY: Interval = (None, None)


def require(ok: object, *why: object) -> None:
    """Raise ScheduleError, made of `why`, unless ok."""
    if not ok:
        raise ScheduleError(" ".join(map(str, why)))


# ---- what is there


def loops_of(kernel: Kernel, label: str) -> list[For]:
    """The loops of a label. Raises ScheduleError where there is none."""
    found = kernel.loops(label)
    if not found:
        labels = sorted({loop.tag for loop in kernel.loops()})
        raise ScheduleError(f"no loop is named {label}", hint=f"loops are {', '.join(labels) or 'none'}")
    return found


def buffer_of(kernel: Kernel, name: str) -> SSAValue:
    """The buffer of a name. Raises ScheduleError where there is none."""
    buffers = kernel.buffers()
    if name not in buffers:
        raise ScheduleError(f"no buffer is named {name}", hint=f"buffers are {', '.join(buffers)}")
    return buffers[name]


def accesses(root: Operation, buffer: SSAValue | None = None) -> list[Access]:
    """Loads and stores below `root`, of all buffers or of one, in order. Raises ScheduleError where instructions work
    on it."""
    for op in invoked(root, buffer):
        raise ScheduleError(f"{op.instruction} works on it already: instructions come last")
    return [o for o in walk(root) if isinstance(o, Load | Store) and (buffer is None or o.buf is buffer)]


def private_buffers(root: Operation) -> set[SSAValue]:
    """Buffers that are allocated below `root`."""
    return {o.buffer for o in walk(root) if isinstance(o, Alloc)}


def loop_of(value: SSAValue) -> For | None:
    """The loop whose variable a value is."""
    owner = value.owner
    parent = owner.parent_op() if isinstance(owner, Block) else None
    return parent if isinstance(parent, For) else None


def name_of(kernel: Kernel, buffer: SSAValue) -> str:
    """A buffer's name, for messages."""
    return next((n for n, v in kernel.buffers().items() if v is buffer), "a buffer")


# ---- ranges


def interval(e: Expr, dims: Callable[[int], Interval]) -> Interval:
    """Bounds of an expression's value, given those of its dims; symbols are >= 0."""

    def of_atom(a: Atom) -> Interval:
        match a.kind:
            case "symbol":
                return (0, None)
            case "dim":
                return dims(a.args[0])
            case "mod":
                n = a.args[1].constant
                return (0, n - 1) if n is not None and n > 0 else ANY
            case "floordiv":
                (lo, hi), n = interval(a.args[0], dims), a.args[1].constant
                if n is None or n <= 0:
                    return ANY
                return (None if lo is None else lo // n, None if hi is None else hi // n)
            case kind:
                lows, highs = zip(*(interval(x, dims) for x in a.args), strict=True)
                known_low = [x for x in lows if x is not None]
                known_high = [x for x in highs if x is not None]
                if kind == "min":
                    low = min(known_low) if len(known_low) == len(lows) else None
                    return (low, min(known_high, default=None))
                high = max(known_high) if len(known_high) == len(highs) else None
                return (max(known_low, default=None), high)

    def times(a: Interval, b: Interval) -> Interval:
        if a == (1, 1):
            return b
        if None not in (*a, *b):
            ends = [x * y for x in a for y in b]  # pyright: ignore[reportOperatorIssue]
            return (min(ends), max(ends))
        if a[0] is not None and b[0] is not None and a[0] >= 0 and b[0] >= 0:
            return (a[0] * b[0], None)
        return ANY

    low: int | None = 0
    high: int | None = 0
    for monomial, c in e.terms.items():
        at: Interval = (1, 1)
        for factor in monomial:
            at = times(at, of_atom(factor))
        lo, hi = at if c > 0 else at[::-1]
        low = None if low is None or lo is None else low + c * lo
        high = None if high is None or hi is None else high + c * hi
    return low, high


def range_of(loop: For) -> Interval:
    """Bounds of a loop's variable, both inclusive; of the values that it takes, if it takes any."""
    if (s := loop.static) is not None:
        return (s[0], s[0] + max(0, (loop.trip or 0) - 1) * s[2])
    operands = list(loop.indices)
    low = interval(loop.lower, lambda d: value_range(operands[d]))[0]
    high = interval(loop.upper, lambda d: value_range(operands[d]))[1]
    if high is not None:
        whole = all(c % loop.stride == 0 for c in (loop.upper - loop.lower).terms.values())
        high -= loop.stride if whole else 1
    return low, high


def value_range(value: SSAValue) -> Interval:
    """Bounds of an index value: of a loop variable's, else nothing is known."""
    loop = loop_of(value)
    return range_of(loop) if loop is not None else ANY


# ---- forms of indices


class Numbering:
    """Gives SSA values numbers, so that expressions of several operations can be compared."""

    def __init__(self) -> None:
        self.values: dict[SSAValue, int] = {}

    def number(self, value: SSAValue) -> int:
        return self.values.setdefault(value, len(self.values))

    def exprs(self, op: Indexed) -> list[Expr]:
        """The op's index expressions, with dims that are the numbers of its operands."""
        mapping = {i: Expr.dim(self.number(v)) for i, v in enumerate(op.indices)}
        return [e.substitute(mapping) for e in op.exprs]


def monomial_dims(monomial: Monomial) -> set[int]:
    """The dims in a product, nested ones included."""
    found: set[int] = set()
    for atom in monomial:
        if atom.kind == "dim":
            found.add(atom.args[0])
        elif atom.kind != "symbol":
            for e in atom.args:
                found |= e.dims
    return found


@dataclass(frozen=True)
class Form:
    """An index as `base + sum(coefficient * variable)` over some of its variables (by number)."""

    base: Expr
    coefficients: Mapping[int, int]


def form_of(e: Expr, inner: Iterable[int]) -> Form | None:
    """`e` split over the variables `inner`; None where it is not linear in them with constant coefficients."""
    wanted = set(inner)
    base: dict[Monomial, int] = {}
    coefficients: dict[int, int] = {}
    for monomial, c in e.terms.items():
        dims = monomial_dims(monomial)
        if not dims & wanted:
            base[monomial] = c
        elif len(monomial) == 1 and monomial[0].kind == "dim":
            coefficients[monomial[0].args[0]] = c
        else:
            return None
    return Form(Expr(base), coefficients)


def lane_form(e: Expr, lane: int, width: int, divisor: Callable[[int], int]) -> tuple[Expr, int] | None:
    """`(first, step)` with `e = first + step * d(lane)` for d(lane) in 0..width, None where lanes do not step evenly.

    `divisor` gives a number that divides a dim's every value: where the lanes stay within one block of a floordiv
    or mod, that block is the same for all of them: (32 i + l) floordiv 64 = (32 i) floordiv 64 for l < 16."""
    total, step = Expr.const(0), 0
    for monomial, c in e.terms.items():
        if lane not in monomial_dims(monomial):
            total = total + Expr({monomial: c})
            continue
        if len(monomial) != 1:
            return None
        atom = monomial[0]
        if atom.kind == "dim":
            step += c
            continue
        if atom.kind not in ("floordiv", "mod") or (n := atom.args[1].constant) is None or n <= 0:
            return None
        inner = lane_form(atom.args[0], lane, width, divisor)
        if inner is None:
            return None
        base, pace = inner
        block = reduce(gcd, (_multiple(m, k, divisor) for m, k in base.terms.items() if m), n)
        if pace < 0 or base.terms.get((), 0) % block + pace * (width - 1) >= block:
            return None
        total = total + (base // n if atom.kind == "floordiv" else base % n) * c
        step += 0 if atom.kind == "floordiv" else c * pace
    return total, step


def _multiple(monomial: Monomial, coefficient: int, divisor: Callable[[int], int]) -> int:
    """A number that divides every value of a term; 0 where that is always 0."""

    def of_atom(a: Atom) -> int:
        match a.kind:
            case "dim":
                return divisor(a.args[0])
            case "mod" | "floordiv" if n := a.args[1].constant:
                k = divisor_of_all(a.args[0], divisor)
                return gcd(k, n) if a.kind == "mod" else k // n if k % n == 0 else 1
            case _:
                return 1

    return reduce(lambda k, a: k * of_atom(a), monomial, abs(coefficient))


def divisor_of_all(e: Expr, divisor: Callable[[int], int]) -> int:
    """A number that divides every value of an expression; 0 where that is always 0."""
    return reduce(gcd, (_multiple(m, k, divisor) for m, k in e.terms.items()), 0)


def divisor_of(value: SSAValue) -> int:
    """A number that divides all values of a loop variable; 0 for one that is always 0."""
    loop = loop_of(value)
    if loop is None:
        return 1
    outer = list(loop.indices)
    low = divisor_of_all(loop.lower, lambda d: divisor_of(outer[d]))
    return gcd(low, loop.stride) if loop.trip != 1 else low


def spread(coefficients: Mapping[int, int], ranges: Mapping[int, Interval]) -> tuple[int, int] | None:
    """Least and greatest value of a linear combination, None when not known."""
    low = high = 0
    for d, c in coefficients.items():
        a, b = ranges[d]
        if a is None or b is None:
            return None
        low, high = low + min(c * a, c * b), high + max(c * a, c * b)
    return low, high


def lane_span(op: Access, dim: int) -> tuple[int, int]:
    """Least and greatest distance of a live lane from the first one, in a dimension."""
    far = op.steps[dim] * (op.live - 1)
    return min(0, far), max(0, far)


def disjoint(ops: Sequence[Access], home: Callable[[Access], For]) -> bool:
    """The one dependence test: do different iterations of a loop touch disjoint slices of the buffer that `ops` access?

    True when in some dimension all of them are `c * x + base + rest`: x the variable of the access's own loop
    (`home`: fuse asks about two loops at once), the base the same outside variables for all, and the rest, variables
    of inner loops and lanes, staying in a window no longer than `c * step`."""
    numbering = Numbering()
    indices = [numbering.exprs(op) for op in ops]
    inner: list[dict[int, For]] = []
    for op in ops:
        loops = loops_around(op, home(op))
        inner.append({numbering.number(x.iv): x for x in loops})
    known: dict[int, Interval] = {d: range_of(x) for loops in inner for d, x in loops.items()}
    local = [_values_inside(op, home(op)) for op in ops]
    for dim in range(ops[0].type.rank):
        steps: set[int] = set()
        bases: set[Expr] = set()
        lows: list[int] = []
        highs: list[int] = []
        for op, at, loops, values in zip(ops, indices, inner, local, strict=True):
            x = home(op)
            own = numbering.number(x.iv)
            form = form_of(at[dim], [own, *loops])
            if form is None or form.coefficients.get(own, 0) <= 0:
                break
            if any(numbering.number(v) in form.base.dims for v in values):
                break  # computed inside of the loop: nothing is known about it
            rest = {d: c for d, c in form.coefficients.items() if d != own}
            span = spread(rest, known)
            if span is None:
                break
            constant = form.base.terms.get((), 0)
            steps.add(form.coefficients[own] * x.stride)
            bases.add(form.base - constant)
            near, far = lane_span(op, dim)
            lows.append(span[0] + constant + near)
            highs.append(span[1] + constant + far)
        else:
            if len(steps) == len(bases) == 1 and max(highs) - min(lows) < steps.pop():
                return True
    return False


def _values_inside(op: Access, loop: For) -> list[SSAValue]:
    """Index operands of an access that an operation inside of the loop computes."""
    found: list[SSAValue] = []
    for value in op.indices:
        owner = value.owner
        if isinstance(owner, Operation) and loop.is_ancestor(owner):
            found.append(value)
    return found


def stores_conflict(loops: Sequence[For]) -> SSAValue | None:
    """A buffer that iterations of these neighbours share, where one writes it; None when all slices are disjoint."""
    private = {b for loop in loops for b in private_buffers(loop)}
    groups: dict[SSAValue, list[Access]] = {}
    home: dict[Access, For] = {}
    for loop in loops:
        for op in accesses(loop):
            if op.buf not in private:
                groups.setdefault(op.buf, []).append(op)
                home[op] = loop
    for buffer, ops in groups.items():
        shared = len(loops) == 1 or len({home[op] for op in ops}) > 1
        if shared and any(isinstance(op, Store) for op in ops) and not disjoint(ops, home.__getitem__):
            return buffer
    return None


def is_parallel(loop: For) -> bool:
    """Derived from the accesses alone, and conservative; tests hold the declared kinds against it."""
    return stores_conflict([loop]) is None
