"""Vectors made of the lanes of other vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Put = Callable[[str], str]  # writes an instruction, or finds the value that it gives already
Source = tuple[str, str, int]  # value, its LLVM type, lane


def width(kind: str) -> int:
    """Lanes of an LLVM type; 0 for a scalar."""
    return int(kind[1:].split(" x ")[0]) if kind.startswith("<") else 0


def element(kind: str) -> str:
    return kind[1:-1].split(" x ")[1] if kind.startswith("<") else kind


def assembled(put: Put, sources: Sequence[Source | None], kind: str, lanes: int) -> str:
    """A value of type `kind` whose lanes are those of `sources`, where they are not None: by one shuffle where they are
    in one vector.

    A column of many rows is one of a transposed block; the whole block costs n log n shuffles, which its other columns
    share, for `put` finds them again."""
    known = [s for s in sources if s is not None]
    if not width(kind):
        (source,) = known
        return taken(put, source)
    rows = {s[0] for s in known}
    kinds, columns = {s[1] for s in known}, {s[2] for s in known}
    if len(columns) == len(kinds) == 1 and len(rows) == len(sources) > 2 and width(known[0][1]):
        values = [s[0] for s in known]
        return column(put, values, known[0][1], known[0][2], kind)
    if len(rows) == 1 and width(known[0][1]):
        mask = ", ".join("i32 poison" if s is None else f"i32 {s[2]}" for s in (*sources, *[None] * lanes)[:lanes])
        value, source_kind, _ = known[0]
        return put(f"shufflevector {source_kind} {value}, {source_kind} poison, <{lanes} x i32> <{mask}>")
    result = "poison"
    for i, source in enumerate(sources):
        if source is not None:
            value = taken(put, source)
            result = put(f"insertelement {kind} {result}, {element(kind)} {value}, i64 {i}")
    return result


def taken(put: Put, source: Source) -> str:
    """One lane."""
    value, kind, lane = source
    return put(f"extractelement {kind} {value}, i64 {lane}") if width(kind) else value


def column(put: Put, rows: Sequence[str], kind: str, at: int, result: str) -> str:
    """A column of rows that are vectors of type `kind`, as a vector of type `result`.

    The block is turned as a square of n rows: for each bit of the index, from the highest down, that bit of the row's
    number is swapped with that of the lane's, by two shuffles for a pair of rows (Eklundh, A fast computer method for
    matrix transposing, 1972)."""
    n = 1 << (max(width(kind), len(rows), width(result)) - 1).bit_length()
    square = f"<{n} x {element(kind)}>"

    def swapped(row: int, bit: int) -> str:
        """A row, with the bits from `bit` upwards swapped."""
        if bit == n:
            return resized(put, rows[row], kind, n) if row < len(rows) else "poison"
        low, high = swapped(row & ~bit, bit << 1), swapped(row | bit, bit << 1)
        if low == high == "poison":
            return "poison"
        moved = row & bit
        lanes = (j + moved if not j & bit else n + j - bit + moved for j in range(n))
        mask = ", ".join(f"i32 {j}" for j in lanes)
        return put(f"shufflevector {square} {low}, {square} {high}, <{n} x i32> <{mask}>")

    return resized(put, swapped(at, 1), square, width(result))


def resized(put: Put, value: str, kind: str, lanes: int) -> str:
    """The first lanes of a vector, or a longer one that begins with it."""
    have = width(kind)
    if have == lanes or value == "poison":
        return value
    mask = ", ".join(f"i32 {j}" if j < have else "i32 poison" for j in range(lanes))
    return put(f"shufflevector {kind} {value}, {kind} poison, <{lanes} x i32> <{mask}>")
