"""What strategies with register tiles share: the lines that make a tile of the result and keep it in registers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..ir.expr import product
from .nest import Dim, Nest
from .strategy import Case, power_at_least, reordered, sizes

CHUNK = 16 << 10  # elements that one chunk of a single loop takes
ENOUGH = 8  # iterations that threads can share well
ITEM = 4  # rows and columns of a work item's tile, at most
ODD = 7  # ... but where an odd number of rows is no more than this


@dataclass(frozen=True)
class Tile:
    """A tile of the result: `vectors` vectors of the dim `lanes` × so many of each row dim (the innermost first).

    `outer`: the loops around the tile, outermost first: labels of the parallel dims that are more than one, and of
    blocks. `blocks`: (dim, size) of loops that are cut once more before. `unroll`: of the innermost reduction; 0
    unrolls all reductions. `deep`: reductions that stand outside of the rows' loops, so that the part of a panel that
    the others need stays in a cache; `cut`: so much of the innermost one at a time, the rest of it outside too.
    `staged`: buffers of which each panel is copied before the rows use it."""

    lanes: int
    vectors: int
    rows: tuple[tuple[int, int], ...]
    outer: tuple[str, ...]
    unroll: int
    blocks: tuple[tuple[int, int], ...] = ()
    deep: int = 0
    cut: int = 0
    staged: tuple[str, ...] = ()


# ---- tiles of groups on devices


def fitting(size: int | None, options: Sequence[int], least: int) -> list[int]:
    """The options that a size is a multiple of; of a size that is none of any, its divisors up to the largest one; all
    options where these are less than `least`, or nothing is known."""
    if size is None:
        return list(options)
    found = [n for n in options if size % n == 0] or [n for n in range(options[0], 0, -1) if size % n == 0]
    return found if found[0] >= min(size, least) else list(options)


def tiles_line(dim: Dim, size: int) -> str:
    """The line that makes tiles of a dim."""
    word = "split" if dim.size is not None and dim.size % size == 0 else "cover"
    return f"{word} {dim.label} {size} -> {dim.label} {dim.label}g"


def covered(nest: Nest, dim: int, size: int) -> bool:
    """Whether tiles of this size can be made of a dim: they fit, or `cover` takes it."""
    known, extent = nest.dims[dim].size, nest.dims[dim].extent
    return (known is not None and known % size == 0) or nest.store.ends_with(dim, extent)


def item(size: int) -> int:
    """Rows or columns of a work item's tile, in a tile of this size."""
    return next((n for n in (ITEM, 2) if size % n == 0), size if size <= ODD else 1)


# ---- tiles of vectors on a CPU


def vector_width(case: Case, dim: int) -> int:
    """Lanes of the vectors over a dim: fewer than the target has where the dim is shorter."""
    size = case.nest.dims[dim].size
    return case.lanes if size is None else min(case.lanes, power_at_least(size))


def alignment(case: Case, dim: int) -> int:
    """Elements of a dim that vectors over it hold, where they begin at whole multiples of that; else 0."""
    return vector_width(case, dim) if case.nest.dims[dim].size is not None else 0


def singles(nest: Nest) -> tuple[int, ...]:
    """Dims of extent 1."""
    return tuple(i for i, d in enumerate(nest.dims) if d.size == 1)


def begin(nest: Nest, order: Sequence[str] = (), together: Sequence[str] | None = None) -> list[str]:
    """Lines that take the loops of one trip away, bring the others into an order, and make one nest of the phases, or
    of the loops called `together`, the outermost ones."""
    single = singles(nest)
    lines = [f"inline {nest.dims[d].label}" for d in single]
    parallel = [nest.dims[d].label for d in nest.parallel if d not in single]
    lines += reordered(parallel, order or parallel)
    if nest.phases > 1:
        lines += [f"fuse {label}" for label in (parallel if together is None else together)]
    return lines


def begin_around(nest: Nest) -> tuple[list[str], list[str]]:
    """The parallel loops of more than one trip, or else the last one, so that there is one to stage at; and the lines
    of `begin` that leave it."""
    single = singles(nest)
    dims = [d for d in nest.parallel if d not in single] or [nest.parallel[-1]]
    labels = [nest.dims[d].label for d in dims]
    lines = begin(nest)
    if dims[-1] in single:
        lines = [x for x in lines if x != f"inline {labels[-1]}"] + [f"fuse {labels[-1]}"] * (nest.phases > 1)
    return labels, lines


def reduced_rows(nest: Nest) -> list[int] | None:
    """The dims of a reduction along rows: neighbours in the last of them are neighbours in memory wherever they are
    read. None where there is none."""
    single = singles(nest)
    reduction = [d for d in nest.reduction if d not in single]
    varying = [r for r in nest.reads if reduction and reduction[-1] in r.dims]
    if not varying or not nest.parallel or not all(r.contiguous(reduction[-1]) for r in varying):
        return None
    return reduction


def share(case: Case, lane: int | None = None) -> tuple[int, ...]:
    """The dims that stand outside, whose iterations threads share together where that is worth it: the outermost ones,
    until they are enough; none where there is none. So a thread has what lies together, and the same of the next
    kernel. `lane`: the dim of the vectors, taken only where it is long, and then by itself."""
    sizes = {d: case.nest.dims[d].size for d in case.nest.parallel if case.nest.dims[d].size != 1}
    together, found = 1, list[int]()
    for dim, size in sizes.items():
        if dim != lane:
            found.append(dim)
            together *= ENOUGH if size is None else size
            if together >= ENOUGH:
                return tuple(found)
    if lane in sizes and ((size := sizes[lane]) is None or size > CHUNK):
        return (lane,)
    return tuple(found)


def shared_lines(case: Case, dims: Sequence[int]) -> list[str]:
    """Lines that share the outermost dims among threads: several iterations a chunk where one has little to do."""
    label, size = case.nest.dims[dims[-1]].label, case.nest.dims[dims[-1]].size
    first = case.nest.dims[dims[0]].label
    inside = [d for i, d in enumerate(case.nest.dims) if i not in dims]
    if size is None or any(d.size is None for d in inside):
        return [f"parallel {first}"]
    around = product(case.nest.dims[d].extent for d in dims[:-1]).constant or 1
    points = product(max(d.extent.constant or 1, 1) for d in inside).constant or 1
    most = min(CHUNK // points, size * around // ENOUGH, size)
    if most < 2:
        return [f"parallel {first}"]
    even = next((n for n in range(most, most // 2, -1) if size % n == 0), -(-size // -(-size // most)))
    return [f"block {label} {even} -> {label}b {label}", f"parallel {first if len(dims) > 1 else f'{label}b'}"]


def columns(width: int | None, wide: int, lanes: int) -> str:
    """Sizes that cover the lanes' dim; of an unknown extent, what a vector does not fill goes by few."""
    if width is not None:
        return sizes(width, wide)
    parts = [wide, *(w for w in (lanes, lanes // 4) if 1 < w < wide), 1]
    return "|".join(map(str, dict.fromkeys(parts)))


def tile_lines(case: Case, tile: Tile) -> list[str]:
    """The schedule after `begin` and layouts: split, reorder, vectorize, unroll, stage, share."""
    nest = case.nest
    label = [d.label for d in nest.dims]
    single = singles(nest)
    v = label[tile.lanes]
    k = [label[d] for d in nest.reduction if d not in single]
    deep = bool(tile.deep or tile.cut)
    order = list(tile.outer) if deep else [label[d] for d in nest.parallel if d not in single]
    lanes = vector_width(case, tile.lanes)
    lines: list[str] = []
    cut: set[int] = set()
    for dim, block in tile.blocks:
        size = nest.dims[dim].size
        whole = size is not None and size % block == 0
        lines.append(f"{'split' if whole else 'block'} {label[dim]} {block} -> {label[dim]}b {label[dim]}")
        if f"{label[dim]}b" not in order:
            order.insert(order.index(label[dim]), f"{label[dim]}b")
        if not whole:
            cut.add(dim)
    width = nest.dims[tile.lanes].size
    lines.append(f"split {v} {columns(width, tile.vectors * lanes, lanes)} -> {v} {v}t")
    lines += reordered(order, tile.outer)
    below = tile.outer[tile.outer.index(v) + 1 :]
    if deep:
        lines.append(f"sink {v}t past {' '.join(below)}")
    tiles: list[str] = []
    for dim, size in tile.rows:
        if size <= 1:
            continue
        x = label[dim]
        known = None if dim in cut else dict(tile.blocks).get(dim, nest.dims[dim].size)
        lines.append(f"split {x} {sizes(known, size)} -> {x} {x}t")
        if past := [*tile.outer[tile.outer.index(x) + 1 :], *tiles[::-1]]:
            lines.append(f"sink {x}t past {' '.join(past)}")
        tiles.append(f"{x}t")
    if tile.cut:
        lines.append(f"split {k[-1]} {tile.cut}|rest -> {k[-1]}b {k[-1]}")
        k.insert(len(k) - 1, f"{k[-1]}b")
    if k:
        lines.append(f"sink {v}t past {' '.join(k)}")
        lines += [f"sink {t} past {' '.join(k)}" for t in reversed(tiles)]
    if deep:
        outside = " ".join(k[: tile.deep + bool(tile.cut)])
        lines += [f"sink {x} past {outside}" for x in reversed(below)]
    unrolled = [*tiles, f"{v}t"]
    if not tile.unroll:
        unrolled += k
    elif k and tile.unroll > 1:
        depth = nest.dims[next(d for d in reversed(nest.reduction) if d not in single)].size
        cover = f"{tile.unroll}|1" if depth is None else sizes(depth, tile.unroll)
        if tile.cut and depth is not None and depth % tile.cut:
            cover = f"{tile.unroll}|rest"
        lines.append(f"split {k[-1]} {cover} -> {k[-1]} {k[-1]}u")
        unrolled.append(f"{k[-1]}u")
    if lanes > 1:
        lines.append(f"split {v}t {lanes}|rest -> {v}t {v}l")
        lines.append(f"vectorize {v}l {lanes}")
    for i, buffer in enumerate(tile.staged):
        lines.append(f"stage {buffer} at {v} in stack as panel{i}")
        unrolled += [f"panel{i}.{x}" for x in unrolled if x in (f"{v}t", f"{k[-1]}u")]
    lines.append(f"unroll {' '.join(unrolled)}")
    if nest.reduction:
        lines.append(f"stage {nest.store.buffer} at {tile.outer[-1]} in register as acc")
    if case.worth_sharing:
        lines.append(f"parallel {tile.outer[0]}")
    return lines
