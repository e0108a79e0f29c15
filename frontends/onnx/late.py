"""Shapes and axes that arrive while the model runs.

An axis that is data is described by flags, one per dimension: an expression that is 1 where the axis is that dimension
and 0 elsewhere. Ranks are known all the same, from the number of axes.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...ir.expr import ONE, ZERO, Expr, ceildiv, maximum, minimum, product
from .builder import Value
from .node import Node
from .symbolic import Ratio, different


def equal(a: Expr, b: Expr | int) -> Expr:
    """1 where a = b, else 0."""
    return ONE - different(Ratio(a), Ratio(Expr.of(b)))


def negative(a: Expr) -> Expr:
    """1 where a < 0, else 0."""
    return minimum(maximum(-a, 0), 1)


def is_late(exprs: Sequence[Expr]) -> bool:
    """Whether some are not known before the run: they are made from data."""
    return any(s.startswith("$") for e in exprs for s in e.symbols)


def flags(n: Node, axes: Sequence[Expr], rank: int) -> list[Expr]:
    """For each dimension whether it is one of the axes, which may count from the end. Others end the run, and so
    does one that is given twice."""
    if rank:
        for axis in axes:
            outside = maximum(axis - (rank - 1), 0) + maximum(-rank - axis, 0)
            n.check(outside, f"an axis does not fit {rank} dimensions")
    found = n.named([sum((equal(a, d) + equal(a, d - rank) for a in axes), ZERO) for d in range(rank)], "axis")
    for flag in found if len(axes) > 1 else ():
        n.check(maximum(flag - 1, 0), "an axis is given twice")
    return found


def parted(n: Node, x: Value, chosen: Sequence[Expr]) -> Value:
    """x with each dimension as two: [what is not chosen, what is chosen]; one of the two is 1."""
    kept = [f + (ONE - f) * s for f, s in zip(chosen, x.sizes, strict=True)]
    taken = [(ONE - f) + f * s for f, s in zip(chosen, x.sizes, strict=True)]
    names = n.named([*kept, *taken], "parts")
    pairs = zip(names[: x.rank], names[x.rank :], strict=True)
    return n.reshape(x, [size for pair in pairs for size in pair])


def without(n: Node, sizes: Sequence[Expr], gone: Sequence[Expr], count: int) -> list[Expr]:
    """The sizes without those whose flag is 1, of which there are `count`."""
    before = n.named([sum((ONE - f for f in gone[:i]), ZERO) for i in range(len(sizes))], "place")
    places = range(len(sizes) - count)
    here = [[(ONE - f) * equal(b, p) for f, b in zip(gone, before, strict=True)] for p in places]
    return n.named([sum((h * s for h, s in zip(row, sizes, strict=True)), ZERO) for row in here], "d")


def with_ones(n: Node, sizes: Sequence[Expr], places: Sequence[Expr]) -> list[Expr]:
    """The sizes in order, and a 1 wherever a flag is 1."""
    before = n.named([sum((ONE - f for f in places[:i]), ZERO) for i in range(len(places))], "place")
    here = [sum((equal(b, i) * s for i, s in enumerate(sizes)), ZERO) for b in before]
    return n.named([f + (ONE - f) * h for f, h in zip(places, here, strict=True)], "d")


def around(n: Node, x: Value, chosen: Sequence[Expr]) -> Value:
    """x as three dimensions: before the one axis that is chosen, the axis, after it."""
    before, axis, after = [], [], []
    for d, size in enumerate(x.sizes):
        comes = sum(chosen[d + 1 :], ZERO)  # 1 where the axis comes later
        gone = sum(chosen[:d], ZERO)
        before.append((ONE - comes) + comes * size)
        axis.append((ONE - chosen[d]) + chosen[d] * size)
        after.append((ONE - gone) + gone * size)
    return n.reshape(x, n.named([product(before), product(axis), product(after)], "parts"))


def target(n: Node, x: Value, shape: Sequence[Expr], keep_zero: bool) -> list[Expr]:
    """The sizes of a Reshape to numbers that are data: 0 copies a size, -1 takes what is left."""
    sizes, ones = [], []
    for i, size in enumerate(shape):
        zero = ZERO if keep_zero or i >= x.rank else equal(size, 0)
        copied = x.sizes[i] if i < x.rank else ZERO
        free = equal(size, -1)
        n.check(maximum(-1 - size, 0), "a size of the shape is less than -1")
        sizes.append(maximum(size, 0) + zero * copied)
        ones.append(free)
    n.check(maximum(sum(ones, ZERO) - 1, 0), "the shape has more than one -1")
    given = n.named([s + f for s, f in zip(sizes, ones, strict=True)], "given")
    left = product(x.sizes) // product(given)
    return n.named([g + f * (left - 1) for g, f in zip(given, ones, strict=True)], "d")


def span(n: Node, size: Expr, start: Expr, end: Expr, step: Expr) -> tuple[Expr, Expr]:
    """First element and number of elements of `start:end:step` as NumPy has it, whatever the signs are; step != 0."""
    first, last = start + size * negative(start), end + size * negative(end)
    clamped = [
        minimum(maximum(first, 0), size),  # going up
        minimum(maximum(last, 0), size),
        minimum(maximum(first, -1), size - 1) + 1,  # going down, one more than the place
        minimum(maximum(last, -1), size - 1) + 1,
        minimum(maximum(step, 0), 1),
        maximum(step, -step),
    ]
    low, high, top, bottom, up, pace = n.named(clamped, "bound")
    rising, falling = ceildiv(maximum(high - low, 0), pace), ceildiv(maximum(top - bottom, 0), pace)
    begin = up * low + (ONE - up) * (top - 1)
    return begin, up * rising + (ONE - up) * falling
