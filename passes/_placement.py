"""Places in one arena for buffers that live for a while: those that live at the same time lie side by side.

With sizes that are known this is dynamic storage allocation, which is NP-hard: several greedy orders are tried, and
what ends last goes earlier the next time ("squeaky wheel" optimisation, Joslin and Clements, 1999), until the arena is
as small as the most bytes that are alive at once, or enough was tried. With symbolic sizes this is done for typical
ones. Of it the order is kept, which of two buffers lies below the other, and every place becomes an expression: the
highest end of those below. So no sizes make buffers overlap, and where all grow alike, with a batch say, the arena is
as good for any of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import combinations
from typing import TypeAlias

from ..ir.expr import Atom, Expr, ceildiv, maximum

ALIGNMENT = 64  # bytes: one cache line, one widest vector
TYPICAL = 64  # of a symbol: buffers are arranged for it
TRIES = 64
WORK = 1 << 20  # pairs of buffers that are looked at in all tries together
MOST_PARTS = 8  # polynomials of which an offset is the largest

Life: TypeAlias = "tuple[int, int]"  # first and last position of the program that needs it


def placed(sizes: Sequence[Expr], lives: Sequence[Life]) -> tuple[list[Expr], Expr]:
    """Byte offsets for buffers of these bytes, multiples of ALIGNMENT, and the bytes of the arena."""
    typical = [_aligned(size.constant if size.constant is not None else _at_typical_sizes(size)) for size in sizes]
    near = neighbours(lives)
    offsets = arranged(typical, lives, near)
    if all(size.constant is not None for size in sizes):
        end = max((o + size for o, size in zip(offsets, typical, strict=True)), default=0)
        return [Expr.const(o) for o in offsets], Expr.const(end)
    return _symbolic(sizes, offsets, near)


def neighbours(lives: Sequence[Life]) -> list[list[int]]:
    """For each buffer those that live at the same time as it."""
    near: list[list[int]] = [[] for _ in lives]
    alive: list[int] = []
    for i in sorted(range(len(lives)), key=lambda i: lives[i]):
        alive = [j for j in alive if lives[j][1] >= lives[i][0]]
        for j in alive:
            near[i].append(j)
            near[j].append(i)
        alive.append(i)
    return near


def most_alive(sizes: Sequence[int], lives: Sequence[Life]) -> int:
    """The largest sum of sizes that are alive at once: no arena is smaller."""
    changes: dict[int, int] = {}
    for size, (first, last) in zip(sizes, lives, strict=True):
        changes[first] = changes.get(first, 0) + size
        changes[last + 1] = changes.get(last + 1, 0) - size
    now = most = 0
    for at in sorted(changes):
        now += changes[at]
        most = max(most, now)
    return most


def arranged(sizes: Sequence[int], lives: Sequence[Life], near: Sequence[Sequence[int]]) -> list[int]:
    """Offsets that make the arena small. `near` are the `neighbours`."""
    least = most_alive(sizes, lives)
    everything = range(len(sizes))
    long = [last - first + 1 for first, last in lives]
    orders = [
        sorted(everything, key=lambda i: (-sizes[i], lives[i])),
        sorted(everything, key=lambda i: (-sizes[i] * long[i], lives[i])),
        sorted(everything, key=lambda i: (-long[i], -sizes[i], lives[i])),
    ]
    best: list[int] = []
    smallest = 0
    pairs = sum(map(len, near))
    for turn in range(min(TRIES, max(len(orders), WORK // max(pairs, 1)))):
        order = orders[turn % len(orders)]
        offsets = _lowest(order, sizes, near)
        end = max((offsets[i] + sizes[i] for i in everything), default=0)
        if not best or end < smallest:
            best, smallest = offsets, end
        if smallest <= least:
            break
        late = {i for i in everything if offsets[i] + sizes[i] > least}
        order.sort(key=lambda i: i not in late)
    return best


def _lowest(order: Iterable[int], sizes: Sequence[int], near: Sequence[Sequence[int]]) -> list[int]:
    """Each in turn at the lowest offset that is free while it lives."""
    offsets = [-1] * len(sizes)
    for i in order:
        offset = 0
        for start, stop in sorted((offsets[j], offsets[j] + sizes[j]) for j in near[i] if offsets[j] >= 0):
            if start - offset >= sizes[i]:
                break
            offset = max(offset, stop)
        offsets[i] = offset
    return offsets


# ---- sizes that are not known

Ends: TypeAlias = "list[Expr]"  # polynomials; what is meant is the largest of them


def _symbolic(sizes: Sequence[Expr], order: Sequence[int], near: Sequence[Sequence[int]]) -> tuple[list[Expr], Expr]:
    """`order`: of two buffers that live at the same time the one with the lower number here lies lower.

    Sums are taken of the sizes as they are: rounded up, no two of them could be compared. A place is rounded when it
    is complete, and what lies on one that had to be ends up to ALIGNMENT - 1 bytes further up."""
    ends: list[Ends] = [[] for _ in sizes]
    offsets = [Expr.const(0)] * len(sizes)
    done: set[int] = set()
    for i in sorted(range(len(sizes)), key=lambda i: (order[i], i)):
        place = _largest(end for j in near[i] if j in done for end in ends[j]) or [Expr.const(0)]
        offsets[i] = _rounded(place)
        ends[i] = [sizes[i] + p + (0 if _is_aligned(p) else ALIGNMENT - 1) for p in place]
        done.add(i)
    return offsets, _rounded(_largest(end for some in ends for end in some))


def _largest(ends: Iterable[Expr]) -> Ends:
    """Without those that another one is never below, but for a few bytes, which are added to it. Too many become fewer
    that are as large as any."""
    kept: Ends = []
    for end in dict.fromkeys(ends):
        if (i := next((i for i, other in enumerate(kept) if _covers(other, end)), None)) is not None:
            kept[i] += max(_extra(end) - _extra(kept[i]), 0)
            continue
        below = [other for other in kept if _covers(end, other)]
        kept = [other for other in kept if other not in below]
        kept.append(end + max(max(map(_extra, below), default=0) - _extra(end), 0))
    while len(kept) > MOST_PARTS:
        pairs = combinations(sorted(kept, key=_at_typical_sizes), 2)  # the smallest first
        found = next(((pair, both) for pair in pairs if (both := _joined(*pair)) is not None), None)
        if found is None:
            break
        kept = _largest([*(end for end in kept if end not in found[0]), found[1]])
    return kept


def _covers(a: Expr, b: Expr) -> bool:
    """Whether a is certainly never below b, leaving aside numbers that stand alone."""
    return _adds(a - b + _extra(b) - _extra(a))


def _adds(e: Expr) -> bool:
    """Whether every term is at least 0. Terms are not weighed against each other: of sizes that are quotients this
    takes long, and thousands of pairs are compared."""
    return all(c >= 0 and all(map(_is_positive, monomial)) for monomial, c in e.terms.items())


@lru_cache(maxsize=1 << 14)
def _is_positive(atom: Atom) -> bool:
    return Expr({(atom,): 1}).nonnegative()


def _extra(end: Expr) -> int:
    return end.terms.get((), 0)


@lru_cache(maxsize=1 << 14)
def _joined(a: Expr, b: Expr) -> Expr | None:
    """A polynomial that is never below either: of every term the larger one."""
    terms = {m: max(a.terms.get(m, 0), b.terms.get(m, 0)) for m in (*a.terms, *b.terms)}
    both = Expr({m: c for m, c in terms.items() if c})
    return both if _adds(both - a) and _adds(both - b) else None


@lru_cache(maxsize=1 << 14)
def _at_typical_sizes(size: Expr) -> int:
    """At least one byte: where it would be negative, the typical sizes are none of the model's."""
    return max(size.evaluate(symbols=dict.fromkeys(size.symbols, TYPICAL)), 1)


def _rounded(ends: Ends) -> Expr:
    return maximum(*(end if _is_aligned(end) else ceildiv(end, ALIGNMENT) * ALIGNMENT for end in ends))


def _is_aligned(offset: Expr) -> bool:
    return all(c % ALIGNMENT == 0 for c in offset.terms.values())


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
