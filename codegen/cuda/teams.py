"""What teams combine (codegen/simt/teams.py), in LLVM, by functions that PTX answers with `shfl.sync` and that anything
else may answer otherwise."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..simt.teams import COMBINATIONS, Combination

# lanes that carry out an instruction together, and must all come to it; what they do before is seen behind `meet`;
# `shuffle` gives the value of the lane whose number differs in these bits
WORDS = """\
declare i32 @llvm.nvvm.read.ptx.sreg.warpsize()
declare i32 @llvm.nvvm.shfl.sync.bfly.i32(i32, i32, i32, i32) convergent
declare void @llvm.nvvm.bar.warp.sync(i32) convergent
define internal i64 @ircc.team() alwaysinline nounwind {
  %x = call i32 @llvm.nvvm.read.ptx.sreg.warpsize()
  %wide = zext i32 %x to i64
  ret i64 %wide
}
define internal void @ircc.meet() alwaysinline convergent nounwind {
  call void @llvm.nvvm.bar.warp.sync(i32 -1)
  ret void
}
define internal i32 @ircc.shuffle(i32 %x, i32 %bits) alwaysinline convergent nounwind {
  %y = call i32 @llvm.nvvm.shfl.sync.bfly.i32(i32 -1, i32 %x, i32 %bits, i32 31)
  ret i32 %y
}
"""
_USED = re.compile(r"@ircc\.(team_\w+)\(")
_TYPES = {"f32": "float", "f64": "double"}
_NEUTRAL = {"maximumf": "0xFFF0000000000000", "minimumf": "0x7FF0000000000000", "addf": "-0.0", "addi": "0"}

# A value of another lane's, %{to}, of the type {t}; in halves where it is wider than a register.
_NARROW = """\
  %{to}.bits = bitcast {t} %{x} to i32
  %{to}.got = call i32 @ircc.shuffle(i32 %{to}.bits, i32 %{lane})
  %{to} = bitcast i32 %{to}.got to {t}
"""
_WIDE = """\
  %{to}.bits = bitcast {t} %{x} to i64
  %{to}.low = trunc i64 %{to}.bits to i32
  %{to}.up = lshr i64 %{to}.bits, 32
  %{to}.high = trunc i64 %{to}.up to i32
  %{to}.got.low = call i32 @ircc.shuffle(i32 %{to}.low, i32 %{lane})
  %{to}.got.high = call i32 @ircc.shuffle(i32 %{to}.high, i32 %{lane})
  %{to}.low.wide = zext i32 %{to}.got.low to i64
  %{to}.high.wide = zext i32 %{to}.got.high to i64
  %{to}.high.up = shl i64 %{to}.high.wide, 32
  %{to}.got = or i64 %{to}.low.wide, %{to}.high.up
  %{to} = bitcast i64 %{to}.got to {t}
"""
_COMBINE = """\
define internal void @ircc.{name}(ptr %parts, i64 %step, i64 %count, ptr %all) alwaysinline convergent nounwind {{
entry:
  %lane = call i64 @ircc.lane()
  %team = call i64 @ircc.team()
  %mine = urem i64 %lane, %team
  %half = lshr i64 %team, 1
  br label %gather
gather:
  %k = phi i64 [ %mine, %entry ], [ %k.next, %take ]
  %own = phi {t} [ {neutral}, %entry ], [ %own.next, %take ]
  %is.left = icmp slt i64 %k, %count
  br i1 %is.left, label %take, label %together
take:
  %at = mul i64 %k, %step
  %place = getelementptr {t}, ptr %parts, i64 %at
  %x = load {t}, ptr %place
  %own.next = {own}
  %k.next = add i64 %k, %team
  br label %gather
together:
  %bits = phi i64 [ %half, %gather ], [ %bits.next, %hand ]
  %sum = phi {t} [ %own, %gather ], [ %sum.next, %hand ]
  %is.more = icmp ne i64 %bits, 0
  br i1 %is.more, label %hand, label %end
hand:
  %to = trunc i64 %bits to i32
{shuffle}  %sum.next = {sum}
  %bits.next = lshr i64 %bits, 1
  br label %together
end:
  %is.first = icmp eq i64 %mine, 0
  br i1 %is.first, label %write, label %done
write:
  %old = load {t}, ptr %all
  %new = {new}
  store {t} %new, ptr %all
  br label %done
done:
  ret void
}}
"""


def functions(text: str) -> str:
    """The definitions of all that a text calls for teams, but for WORDS."""
    return "".join(_function(name, COMBINATIONS[name]) for name in sorted(set(_USED.findall(text))))


def _function(name: str, c: Combination) -> str:
    """What a team does: with values that are `step` elements apart, and what is at `all`."""
    t = _TYPES.get(c.element, c.element)
    shuffle = (_WIDE if c.element.endswith("64") else _NARROW).format(to="other", x="sum", lane="to", t=t)
    pairs: Sequence[tuple[str, str]] = (("own", "x"), ("sum", "other"), ("old", "sum"))
    own, sum_, new = (_operation(c, t, a, b) for a, b in pairs)
    code = _COMBINE.format(name=name, t=t, neutral=_NEUTRAL[c.operation], shuffle=shuffle, own=own, sum=sum_, new=new)
    extreme = f"@llvm.{c.operation.removesuffix('f')}.{c.element}"
    return (f"declare {t} {extreme}({t}, {t})\n" if extreme in code else "") + code


def _operation(c: Combination, t: str, a: str, b: str) -> str:
    if c.word == "add":
        return f"{'fadd' if c.operation == 'addf' else 'add'} {t} %{a}, %{b}"
    return f"call {t} @llvm.{c.operation.removesuffix('f')}.{c.element}({t} %{a}, {t} %{b})"
