"""Which nodes of the model an operation came from: the attribute `nodes`, carried through every level."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from xdsl.dialects.builtin import ArrayAttr, StringAttr
from xdsl.ir import Operation

NODES = "nodes"


def nodes_of(op: Operation) -> tuple[str, ...]:
    """Names of the model's nodes that `op` computes (a part of)."""
    found = op.attributes.get(NODES)
    if not isinstance(found, ArrayAttr):
        return ()
    return tuple(n.data for n in found if isinstance(n, StringAttr))


def set_nodes(op: Operation, names: Iterable[str]) -> None:
    """Say that `op` computes these nodes; without names the attribute goes."""
    unique = [_name(n) for n in dict.fromkeys(names)]
    if unique:
        op.attributes[NODES] = ArrayAttr(unique)
    else:
        op.attributes.pop(NODES, None)


@lru_cache(maxsize=1 << 14)  # a name goes from operation to operation, hundreds of times
def _name(text: str) -> StringAttr:
    return StringAttr(text)


def merged(*ops: Operation) -> tuple[str, ...]:
    """The names of all the operations' nodes, in order, each once."""
    return tuple(dict.fromkeys(n for op in ops for n in nodes_of(op)))
