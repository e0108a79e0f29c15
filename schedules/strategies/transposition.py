"""Maps that turn memory around: what lies side by side in one buffer lies far apart in another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..nest import Nest, Read
from ..strategy import Case, Choice, Choices, Strategy, reordered, sizes
from ..tile import ENOUGH

ROOM = 4  # the part of the L2 cache that a chunk may fill: one in so many
WIDEST = 16  # lanes of the vectors that are turned: a block of them is kept in registers


class Transposition(Strategy):
    """Square blocks: vectors are loaded along one dim, turned in registers, and stored along another one."""

    name = "transposition"
    rank = 38

    def choices(self, case: Case) -> Choices | None:
        nest = case.nest
        lanes = min(case.lanes, WIDEST)
        if nest.reduction or case.lanes < 2 or turned(nest, lanes) is None:
            return None
        return {"block": Choice(lanes, tuple(n for n in (2, 4, 8, 16) if n <= lanes))}

    def lines(self, case: Case, values: Mapping[str, int]) -> Sequence[str]:
        nest, block = case.nest, values["block"]
        found = turned(nest, min(case.lanes, WIDEST))
        assert found is not None
        lane, across, buffers = found
        v, u = nest.dims[lane].label, nest.dims[across].label
        outside, inside = around(nest, lane, across, block)
        order = [*outside, u, *inside, v]
        lines = [f"inline {d.label}" for d in nest.dims if d.size == 1]
        current = [d.label for d in nest.dims if d.size != 1]
        first = shared(nest, outside, u, inside, block) if case.worth_sharing else None
        if first in inside:
            size = next(d.size for d in nest.dims if d.label == first)
            rows = ENOUGH if size is None else at_once(case, size)
            lines.append(f"block {first} {rows} -> {first}b {first}")
            current.insert(current.index(first), f"{first}b")
            first = f"{first}b"
        if first is not None:
            order = [first, *(x for x in order if x != first)]
        lines += reordered(current, order)
        for x, dim in ((u, across), (v, lane)):
            size = nest.dims[dim].size
            lines.append(f"split {x} {f'{block}|1' if size is None else sizes(size, block)} -> {x} {x}t")
        lines.append(f"sink {u}t past {' '.join(order[order.index(u) + 1 :])}")
        lines.append(f"unroll {u}t {v}t")
        for i, buffer in enumerate(buffers):
            name = f"turned{i}"
            lines.append(f"stage {buffer} at {v} in register as {name}")
            lines.append(f"sink {name}.{u}t past {name}.{v}t")
            lines.append(f"vectorize {name}.{u}t {block}")
        lines.append(f"vectorize {v}t {block}")
        if first is not None:
            lines.append(f"parallel {first}")
        return lines


def at_once(case: Case, size: int) -> int:
    """Iterations of a loop that are one chunk: few enough for all threads to have some. What they read stays in the L2
    cache, so that the kernel which writes it may run chunk by chunk with this one."""
    most, each = -(-size // ENOUGH), case.nest.store.bytes.constant
    fitting = most if not each else max(1, case.target.l2 // ROOM * size // each)
    return most if most <= fitting else next(n for n in range(fitting, 0, -1) if size % n == 0 or 2 * n <= fitting)


def in_rows(access: Read, lane: int, across: int, block: int) -> bool:
    """Whether elements lie side by side in `lane`, within whole blocks, in a row for each index of `across`; not by
    way of data."""
    return access.contiguous(lane, block) and any(across in e.dims for e in access.index)


def around(nest: Nest, lane: int, across: int, block: int) -> tuple[list[str], list[str]]:
    """The other loops: those outside of the one over blocks of rows, and those inside, in which the rows go on."""
    access = next(a for a in (nest.store, *nest.reads) if in_rows(a, lane, across, block))
    row = min(i for i, e in enumerate(access.index) if across in e.dims)
    goes_on = frozenset[int]().union(*(e.dims for e in access.index[row:]))
    others = [i for i, d in enumerate(nest.dims) if d.size != 1 and i not in (lane, across)]
    outside, inside = ([nest.dims[i].label for i in others if (i in goes_on) == inner] for inner in (False, True))
    return outside, inside


def shared(nest: Nest, outside: Sequence[str], rows: str, inside: Sequence[str], block: int) -> str | None:
    """The loop whose iterations threads share: one that is long for certain, the outermost first."""
    size = {d.label: d.size for d in nest.dims}
    long = [x for x in outside if (size[x] or 0) >= ENOUGH] + [x for x in inside if (size[x] or 0) >= ENOUGH // 2]
    long += [rows] if (size[rows] or 0) >= 2 * block else []
    return next(iter([*long, *(x for x in (*outside, *inside, rows) if size[x] is None)]), None)


def turned(nest: Nest, block: int) -> tuple[int, int, tuple[str, ...]] | None:
    """The dim that vectors go along, the one that those of other buffers go along, and the names of these buffers: of
    all ways that leave no access uneven, one that turns the fewest buffers and whose rows go on for the longest."""
    accesses = (*nest.reads, nest.store)
    found: list[tuple[int, int, int, int, tuple[str, ...]]] = []
    for lane in nest.parallel:
        for across in nest.parallel:
            if lane == across or 1 in (nest.dims[lane].size, nest.dims[across].size):
                continue
            rows = any(in_rows(a, lane, across, block) for a in accesses)
            if rows and (buffers := crossed(accesses, lane, across, block)):
                goes_on = len(around(nest, lane, across, block)[1])
                found.append((len(buffers), -goes_on, lane, across, buffers))
    return min(found)[2:] if found else None


def crossed(accesses: Sequence[Read], lane: int, across: int, block: int) -> tuple[str, ...] | None:
    """The buffers whose elements lie side by side in `across` and not in `lane`; None where an access cannot be had
    with whole vectors along either."""
    names: list[str] = []
    for access in accesses:
        if lane not in access.dims or access.contiguous(lane, block):
            continue
        steps, lanes = access.step(across), access.step(lane)
        if steps is None or lanes is None or not access.contiguous(across, block):
            return None
        if any(s and t for s, t in zip(steps, lanes, strict=True)) or not access.constant or access.data:
            return None
        names.append(access.buffer)
    alone = all(sum(a.buffer == name for a in accesses) == 1 for name in names)
    return tuple(names) if alone else None
