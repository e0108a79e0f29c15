"""Operations that are made, copied and asked often: what xDSL derives from a definition each time, at hand."""

# pyright: reportPrivateUsage=false
# `make` does what `Operation.__init__` does, a third as long; the version of xDSL is fixed.

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from xdsl.dialects.builtin import UNKNOWN_LOC, DenseArrayBase, i32
from xdsl.ir import Attribute, Block, Operation, OpResult, Region, SSAValue, Use
from xdsl.ir.core import SSAValues
from xdsl.irdl import IRDLOperation, OptOperandDef, VarOperandDef, VarRegionDef, VarResultDef

SEGMENTS = "operandSegmentSizes"
T = TypeVar("T", bound=type[IRDLOperation])
O = TypeVar("O", bound=Operation)  # noqa: E741
NOTHING: Mapping[str, Attribute] = {}


def walk(op: Operation) -> Iterator[Operation]:
    """`op` and what is in it, in order, as `op.walk()`, without a generator for each operation: what has been given may
    be erased, and what is put behind it is not given."""
    yield op
    waiting = _first(op)
    while waiting:
        at = waiting.pop()
        while at is not None:
            following = at.next_op
            yield at
            if at.regions:
                if following is not None:
                    waiting.append(following)
                waiting += _first(at)
                break
            at = following


def _first(op: Operation) -> list[Operation]:
    """The first operations of an operation's blocks, the last block first."""
    blocks = [block for region in op.regions for block in region.blocks]
    return [first for block in reversed(blocks) if (first := block.first_op) is not None]


# ---- making


def make(
    cls: type[O],
    operands: Iterable[SSAValue],
    types: Sequence[Attribute],
    properties: Mapping[str, Attribute] = NOTHING,
    attributes: Mapping[str, Attribute] = NOTHING,
) -> O:
    """An operation of a class, without regions, as `cls.create` makes it."""
    op = cls.__new__(cls)
    init(op, operands, types, properties, attributes)
    return op


def init(
    op: Operation,
    operands: Iterable[SSAValue],
    types: Sequence[Attribute],
    properties: Mapping[str, Attribute] = NOTHING,
    attributes: Mapping[str, Attribute] = NOTHING,
) -> None:
    """What `Operation.__init__` does for an operation without regions."""
    values = SSAValues(operands)
    uses = tuple([Use(op, i) for i in range(len(values))])
    for value, use in zip(values, uses, strict=True):
        value.add_use(use)
    op._operands, op._operand_uses = values, uses
    op.results = SSAValues([OpResult(type_, op, i) for i, type_ in enumerate(types)])
    op.properties, op.attributes, op.location = dict(properties), dict(attributes), UNKNOWN_LOC
    op._successors, op._successor_uses, op.regions = (), (), ()


def built(kind: Callable[..., Operation], *operands: SSAValue, extra: tuple[Any, ...] = ()) -> Operation:
    """`kind(*operands, *extra)`, for operations of which the types of the operands say all."""
    cls, types, properties, attributes = _parts(kind, extra, *[v.type for v in operands])
    return make(cls, operands, types, properties, attributes)


@lru_cache(maxsize=4096)
def _parts(kind: Callable[..., Operation], extra: tuple[Any, ...], *types: Attribute) -> tuple[Any, ...]:
    op = kind(*Block(arg_types=types).args, *extra)
    return type(op), op.result_types, op.properties, op.attributes


def put_before(op: Operation, anchor: Operation) -> None:
    """`anchor.parent.insert_op_before(op, anchor)`; what holds nothing is not asked whether it holds the anchor."""
    block = anchor.parent
    assert block is not None and op.parent is None
    if op.regions:
        block.insert_op_before(op, anchor)
        return
    previous = anchor._prev_op
    op.parent, op._prev_op, op._next_op, anchor._prev_op = block, previous, anchor, op
    if previous is None:
        block._first_op = op
    else:
        previous._next_op = op


def append(op: Operation, block: Block) -> None:
    """`block.add_op(op)`, see `put_before`."""
    assert op.parent is None
    last = block._last_op
    if op.regions or last is None:
        block.add_op(op)
        return
    op.parent, op._prev_op, last._next_op, block._last_op = block, last, op, op


def copied(op: O, values: dict[SSAValue, SSAValue] | None = None) -> O:
    """`op.clone(values)`, where values are made before they are used, as they are at all levels here."""
    values = {} if values is None else values
    new = make(type(op), [values.get(v, v) for v in op._operands], op.result_types, op.properties, op.attributes)
    for old, result in zip(op.results, new.results, strict=True):
        values[old] = result
        result._name = old._name
    for region in op.regions:
        blocks: list[Block] = []
        for block in region.blocks:
            blocks.append(Block(arg_types=[a.type for a in block.args]))
            for old, arg in zip(block.args, blocks[-1].args, strict=True):
                values[old] = arg
                arg._name = old._name
            for inner in block.ops:
                append(copied(inner, values), blocks[-1])
        new.add_region(Region(blocks))
    return new


@lru_cache(maxsize=1024)
def segments(*sizes: int) -> DenseArrayBase[Any]:
    """How many operands each of an operation's definitions has, as the attribute that says so."""
    return DenseArrayBase.from_list(i32, sizes)


@lru_cache(maxsize=1024)
def _ends(data: bytes) -> tuple[int, ...]:
    """Where the operands of each definition end, from the attribute's bytes."""
    sizes = memoryview(data).cast("i")
    return tuple(sum(sizes[: n + 1]) for n in range(len(sizes)))


class _Operands:
    """The operands of one definition."""

    def __init__(self, position: int, definition: object) -> None:
        self.position = position
        self.optional = isinstance(definition, OptOperandDef)
        self.variadic = isinstance(definition, VarOperandDef) and not self.optional

    def __get__(self, op: Operation, owner: type | None = None) -> SSAValue | Sequence[SSAValue] | None:
        attribute: Any = op.properties[SEGMENTS]
        ends = _ends(attribute.data.data)
        start, end = ends[self.position - 1] if self.position else 0, ends[self.position]
        if self.variadic:
            return op._operands[start:end]
        return tuple.__getitem__(op._operands, start) if end > start else None


def direct(cls: T) -> T:
    """Class decorator of an operation of which only the last operands are variadic: its operands, results and regions
    are found by where they are."""
    found = cls.get_irdl_definition()
    for position, (name, definition) in enumerate(found.operands):
        variadic = isinstance(definition, VarOperandDef)
        setattr(cls, name, property(_operands_from(position) if variadic else _operand_at(position)))
    for position, (name, definition) in enumerate(found.results):
        assert not isinstance(definition, VarResultDef)
        setattr(cls, name, property(_result_at(position)))
    for position, (name, definition) in enumerate(found.regions):
        assert not isinstance(definition, VarRegionDef)
        setattr(cls, name, property(_region_at(position)))
    return cls


def _operands_from(position: int) -> Callable[[Operation], Sequence[SSAValue]]:
    return lambda op: op._operands[position:]


def _operand_at(position: int) -> Callable[[Operation], SSAValue]:
    return lambda op: tuple.__getitem__(op._operands, position)


def _result_at(position: int) -> Callable[[Operation], SSAValue]:
    return lambda op: tuple.__getitem__(op.results, position)


def _region_at(position: int) -> Callable[[Operation], Region]:
    return lambda op: op.regions[position]


def segmented(cls: T) -> T:
    """Class decorator of an operation whose operands come in segments: they are found without decoding the attribute
    that says how long these are, which takes most of the time of a pass over bodies."""
    for position, (name, definition) in enumerate(cls.get_irdl_definition().operands):
        setattr(cls, name, _Operands(position, definition))
    return cls
