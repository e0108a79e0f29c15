"""Which loops of a kernel threads share."""

from __future__ import annotations

from .ops import For

ENOUGH = 8  # iterations that threads can share: with more than one loop each takes a call


def shared(loop: For) -> list[For]:
    """A concurrent loop, and those right inside of it whose iterations threads share with its own: until they are
    enough together. A size that is not known may be 1 if it comes first, as a batch does, and is enough further in."""
    nest, sure = [loop], loop.trip or 1
    while sure < ENOUGH:
        inner = nest[-1].body.block.first_op
        if not isinstance(inner, For) or inner is not nest[-1].body.block.last_op:
            break
        if not inner.is_parallel or inner.run.data != "serial" or any(x.iv in inner.indices for x in nest):
            break
        nest.append(inner)
        sure *= ENOUGH if inner.trip is None else inner.trip
    return nest


def is_shared(loop: For) -> bool:
    """Whether threads have enough iterations for sure, but for a first size that is not known."""
    sure = loop.trip or 1
    for inner in shared(loop)[1:]:
        sure *= ENOUGH if inner.trip is None else inner.trip
    return sure >= ENOUGH
