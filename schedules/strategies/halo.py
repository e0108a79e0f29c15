"""Depthwise convolutions and pools on devices: a group has the piece of the picture that its tile of the result needs.

The piece comes into memory that the group shares, with what lies around the tile (its halo), so that each element is
read from far away once for all windows that hold it (Micikevicius, 3D finite difference computation on GPUs, 2009);
each work item has a few neighbours along a row in registers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

from ..nest import Nest, Read
from ..strategy import Case, Choice, Choices, Strategy
from ..tile import begin, covered, fitting, item, singles, tiles_line

CHANNELS = (32, 16, 8, 4)
COLUMNS = (8, 4, 16)
ROWS = (4, 2, 8)
SMALL = 4  # channels, and
FEW = 2  # ... rows or columns of a tile, with less than which tiles that fit are worse than those that do not
UNROLLED = 16  # points of a window that are written out


class Window(NamedTuple):
    """What slides over a picture: the read; the dims of channels, columns, and rows where windows overlap there."""

    read: Read
    channels: int
    columns: int
    rows: int | None

    @property
    def dims(self) -> tuple[int, ...]:
        """The dims of a tile, outermost first."""
        return (*(() if self.rows is None else (self.rows,)), self.columns, self.channels)


class Halo(Strategy):
    """`rows` × `columns` × `channels` of the result for a group."""

    name = "halo"
    rank = 15
    device = True

    def choices(self, case: Case) -> Choices | None:
        nest = case.nest
        if (window := window_of(nest)) is None:
            return None
        options = {
            "rows": [1] if window.rows is None else fitting(nest.dims[window.rows].size, ROWS, FEW),
            "columns": fitting(nest.dims[window.columns].size, COLUMNS, FEW),
            "channels": fitting(nest.dims[window.channels].size, CHANNELS, SMALL),
        }
        for dim, name in zip(window.dims[::-1], ("channels", "columns", "rows"), strict=False):
            if not covered(nest, dim, options[name][0]):
                return None
        fits = [t for t in product(*options.values()) if self.bytes(nest, window, t) <= case.target.shared]
        if not fits:
            return None
        best = min(fits, key=lambda t: (abs(t[0] - ROWS[0]) + abs(t[1] - COLUMNS[0]), -t[2]))
        return {n: Choice(v, tuple(o)) for (n, o), v in zip(options.items(), best, strict=True)}

    def bytes(self, nest: Nest, window: Window, tile: tuple[int, ...]) -> int:
        size = window.read.type.dtype.itemsize
        for n in reach(nest, window, dict(zip(window.dims, tile[-len(window.dims) :], strict=True))):
            size *= n
        return size

    def lines(self, case: Case, values: Mapping[str, int]) -> Sequence[str]:
        nest = case.nest
        window = window_of(nest)
        assert window is not None
        names = ("rows", "columns", "channels")[-len(window.dims) :]
        tile = dict(zip(window.dims, (values[name] for name in names), strict=True))
        labels = [nest.dims[d].label for d in window.dims]
        single = singles(nest)
        others = [nest.dims[d].label for d in nest.parallel if d not in (*single, *window.dims)]
        reduction = [nest.dims[d].label for d in nest.reduction if d not in single]
        lines = begin(nest, [*others, *labels])
        lines += [tiles_line(nest.dims[d], n) for d, n in tile.items()]
        for at in range(len(labels) - 1, 0, -1):
            lines.append(f"sink {labels[at - 1]}g past {' '.join(labels[at:])}")
        c, x = labels[-1], labels[-2]
        copied = [f"window.d{i}" for i, n in enumerate(reach(nest, window, tile)) if n > 1]
        lines += [
            f"stage {window.read.buffer} at {c} in stack as window",
            f"split {x}g {item(values['columns'])} -> {x}g {x}r",
            f"sink {x}r past {c}g {' '.join(reduction)}",
            f"unroll {x}r",
        ]
        points = 1
        for d in nest.reduction:
            points *= nest.dims[d].size or 1
        if points <= UNROLLED:
            lines.append(f"unroll {' '.join(reduction)}")
        lines += [
            f"stage {nest.store.buffer} at {c}g in register as total",
            f"lanes {' '.join(f'{label}g' for label in labels)}",
            f"lanes {' '.join(copied)}",
            f"parallel {[*others, labels[0]][0]}",
        ]
        return lines


def window_of(nest: Nest) -> Window | None:
    """What slides in a nest; None where nothing does, or the innermost dim is not one of neighbours in memory."""
    single = singles(nest)
    parallel = [d for d in nest.parallel if d not in single]
    reduction = [d for d in nest.reduction if d not in single]
    if len(parallel) < 2 or not reduction or any(nest.dims[d].size is None for d in reduction):
        return None
    channels, columns = parallel[-1], parallel[-2]
    slides = [r for r in nest.reads if overlaps(r, columns, reduction)]
    if len(slides) != 1 or not slides[0].contiguous(channels) or slides[0].data or not slides[0].constant:
        return None
    read = slides[0]
    if sum(r.buffer == read.buffer for r in (*nest.reads, *nest.finish_reads)) > 1:
        return None
    rows = parallel[-3] if len(parallel) > 2 and overlaps(read, parallel[-3], reduction) else None
    window = Window(read, channels, columns, rows)
    return None if any(read.step(d) is None for d in (*window.dims, *reduction)) else window


def overlaps(read: Read, dim: int, reduction: Sequence[int]) -> bool:
    """Whether neighbouring results in a dim read from a common window."""
    return any(dim in e.dims and not e.dims.isdisjoint(reduction) for e in read.index)


def reach(nest: Nest, window: Window, tile: Mapping[int, int]) -> list[int]:
    """Elements of the piece that a tile needs, in each dimension of the picture."""
    sizes = dict(tile) | {d: nest.dims[d].size or 1 for d in nest.reduction}
    found = [1] * window.read.type.rank
    for dim, size in sizes.items():
        for i, step in enumerate(window.read.step(dim) or ()):
            found[i] += abs(step) * (size - 1)
    return found
