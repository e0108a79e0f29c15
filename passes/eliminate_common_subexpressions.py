"""Compute equal things once."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Attribute, Block, BlockArgument, Operation
from xdsl.traits import IsTerminator, is_side_effect_free

from ..ir.nodes import NODES, merged, nodes_of, set_nodes
from ..ir.operands import walk
from ..ir.passes import Pass
from ..ir.types import TensorType
from ..ir.weights import Content, Weight

Known = dict[Hashable, list[Operation]]


@dataclass(frozen=True)
class EliminateCommonSubexpressions(Pass):
    """Operations without effect that have the same operands, attributes and bodies become one; the one that stays names
    the model's nodes of all. Constants are equal when their data is: large ones are compared, not hashed."""

    name = "eliminate-common-subexpressions"

    def run(self, module: ModuleOp) -> bool:
        return merge_equal(module.body.block, {})


def merge_equal(block: Block, *outer: Known) -> bool:
    """Replace operations of a block (and of regions in it) by equal ones before them. True if there were any.

    `outer` holds the operations of the blocks around, by what is cheap to compare; what is not is compared pairwise."""
    known: Known = {}
    names: dict[Operation, list[Operation]] = {}  # set at the end: a constant may stand for thousands of others
    changed = False
    for op in list(block.ops):
        for region in op.regions:
            for inner in region.blocks:
                changed |= merge_equal(inner, known, *outer)
        if op.has_trait(IsTerminator) or not op.results or not is_side_effect_free(op):
            continue
        key = _key(op)
        twin = next((o for ops in (known, *outer) for o in ops.get(key, ()) if equal(o, op)), None)
        if twin is None:
            known.setdefault(key, []).append(op)
            continue
        if nodes_of(op):
            names.setdefault(twin, [twin]).append(op)
        for old, new in zip(op.results, twin.results, strict=True):
            old.replace_all_uses_with(new)
        block.erase_op(op)
        changed = True
    for twin, ops in names.items():
        set_nodes(twin, merged(*ops))
    return changed


def _key(op: Operation) -> Hashable:
    own = (
        op.name,
        tuple(map(id, op.operands)),
        tuple(op.result_types),
        tuple((k, _cheap(v, op)) for k, v in sorted(op.properties.items())),
        tuple((k, v) for k, v in sorted(op.attributes.items()) if k != NODES),
    )
    return (*own, *_inside(op)) if op.regions else own


def _inside(op: Operation) -> tuple[Hashable, ...]:
    """What is cheap to compare of an operation's regions: names, and tensors that are used."""
    inside = [inner for inner in walk(op) if inner is not op]
    tensors = [v for inner in inside for v in inner.operands if isinstance(v.type, TensorType)]
    return (
        tuple(inner.name for inner in inside),
        tuple(id(v) for v in tensors if not (isinstance(v, BlockArgument) and v.owner.parent_op() is op)),
    )


def _cheap(attribute: Attribute, op: Operation) -> Hashable:
    """The attribute; of constant data a few bytes, because hashing hundreds of megabytes takes seconds."""
    if not isinstance(attribute, Weight):
        return attribute
    content = attribute.data
    if content.values is not None:
        return tuple(content.values)
    array = array_in_memory(content)
    if array is None:
        return content.sha256
    flat = array.reshape(-1) if array.flags.c_contiguous else array.ravel()
    sample = flat[:: max(1, flat.size // 64)]
    return array.dtype.str, array.shape, np.ascontiguousarray(sample).tobytes()


def array_in_memory(content: Content) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]] | None:
    """The array of a constant, if it need not be read from somewhere."""
    return content.held


def equal(a: Operation, b: Operation) -> bool:
    """Whether two operations with the same key compute the same."""
    for name, x in a.properties.items():
        y = b.properties.get(name)
        if isinstance(x, Weight) and isinstance(y, Weight):
            if not _same_content(x.data, y.data):
                return False
        elif x != y:
            return False
    return all(r.is_structurally_equivalent(s) for r, s in zip(a.regions, b.regions, strict=True))


def _same_content(a: Content, b: Content) -> bool:
    x, y = array_in_memory(a), array_in_memory(b)
    if a is b or x is None or y is None or a.values is not None or b.values is not None:
        return a == b
    return x is y or (x.dtype == y.dtype and x.shape == y.shape and np.array_equal(_bits(x), _bits(y)))


def _bits(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
