"""What there is to an operation, as something to look it up by: text would do, but takes ten times as long to make."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence

from xdsl.ir import Block, Operation, SSAValue


def structure(op: Operation, given: Sequence[SSAValue] = (), ignored: Collection[str] = ()) -> Hashable:
    """Equal for operations that are written alike, but for what they are applied to and what their results are called:
    their operands are left out. Of the values from outside that their bodies use, those of `given` stand for their
    positions in it, others for themselves. `ignored` attributes and properties of the operation are left out."""
    number: dict[SSAValue, int] = {v: i for i, v in enumerate(given)}
    parts: list[Hashable] = [op.name, *(v.type for v in given)]

    def described(op: Operation, left_out: Collection[str]) -> None:
        for held in (op.properties, op.attributes):
            parts.extend([item for item in sorted(held.items()) if item[0] not in left_out])
            parts.append(None)
        parts.extend([v.type for v in op.results])
        for region in op.regions:
            parts.append(len(region.blocks))
            for block in region.blocks:
                inside(block)

    def inside(block: Block) -> None:
        for arg in block.args:
            number[arg] = len(number)
            parts.append((arg.type, arg.name_hint))
        for op in block.ops:
            parts.append((op.name, *[number.get(v, v) for v in op.operands]))
            described(op, ())
            for value in op.results:
                number[value] = len(number)
                parts.append(value.name_hint)
        parts.append(None)

    described(op, ignored)
    return tuple(parts)
