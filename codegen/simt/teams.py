"""Teams: lanes of a group that run in step and hand each other values (a warp, a wave). What they do together is
declared here with its meaning: they combine values that lie in memory that the group shares.

Each lane combines every so many of the values, then lanes combine what they have with those whose number differs in one
bit, for each bit. So a team may have any width, and there may be more values than lanes, or fewer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

MOST = 1024  # values that a team combines at once


class Combination(NamedTuple):
    """What the values of an element type are combined by."""

    word: str  # add, max or min
    element: str
    operation: str  # of the loop dialect


COMBINATIONS: Mapping[str, Combination] = {
    f"team_{c.word}_{c.element}": c
    for c in (
        Combination("add", "f32", "addf"),
        Combination("max", "f32", "maximumf"),
        Combination("min", "f32", "minimumf"),
        Combination("add", "f64", "addf"),
        Combination("add", "i32", "addi"),
        Combination("add", "i64", "addi"),
    )
}
_MEANING = """
loop.instruction @{name}(%parts "parts" : !loop.buffer<[K], {c.element}, "stack">,
    %all "all" : !loop.buffer<[1], {c.element}, "stack">) outputs 1 sizes ["K"] most [{most}] text "shuffle" {{
  loop.for "k" %k = 0 to K reduction {{
    %x = loop.load %all[0]
    %y = loop.load %parts[%k]
    %z = arith.{c.operation} %x, %y : {c.element}
    loop.store %z, %all[0]
  }}
}}
"""
INSTRUCTIONS = "".join(_MEANING.format(name=name, c=c, most=MOST) for name, c in COMBINATIONS.items())
