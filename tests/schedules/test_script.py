"""A schedule as text."""

import pytest

from ircc.errors import ScheduleError
from ircc.schedules.loops import Sink, Split
from ircc.schedules.script import PRIMITIVES, Schedule
from ircc.schedules.stage import Stage

TEXT = """\
layout b (d0, d1) -> 4 * d0 + 28 * (d1 floordiv 4) + d1 mod 4
fuse i
split j 4|rest -> j jt
block i 128 -> ib i
sink i past j jt
peel k as first
inline first
reassociate k 64|1 at k -> k kl as part
reassociate k 64|1 at k -> k kl as part by 32
vectorize jl 16
unroll it jt ku
stage c at i in register as acc
stage c at k in stack as sum combine
parallel j
lanes i j
prefetch b 1 at j i k
collapse i j
commute k past l m
cover j 32 -> j jg
replace jl by mma.f32
double k a b"""


def test_text_goes_round() -> None:
    schedule = Schedule.parse(TEXT)
    assert str(schedule) == TEXT
    assert Schedule.parse(str(schedule)) == schedule
    assert {type(p) for p in schedule} == set(PRIMITIVES.values())


def test_comments_and_spaces_are_free() -> None:
    loose = "\n".join(f"   {line.replace(' ', '   ')}   # because" for line in TEXT.splitlines())
    assert Schedule.parse(f"# a schedule\n\n{loose}\n") == Schedule.parse(TEXT)


def test_primitives_are_data() -> None:
    split, sink, stage = Schedule.parse("split i 8|4|rest -> a b\nsink b past k l\nstage c at k in stack as s combine")
    assert split == Split("i", (8, 4, "rest"), "a", "b")
    assert sink == Sink("b", ("k", "l"))
    assert stage == Stage("c", "k", "stack", "s", combine=True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("tile i 8", "there is no primitive tile"),
        ("split i 8", "cannot read 'split i 8'"),
        ("split i 8 -> a b c", "what is 'c'?"),
        ("split i rest|8 -> a b", "`rest` comes last"),
        ("split i eight -> a b", "are no sizes"),
        ("split i 0 -> a b", "are no sizes"),
        ("sink i past", "cannot read 'sink i past'"),
        ("vectorize i 0", "no positive number"),
        ("prefetch b -1 at j", "no positive number"),
        ("reassociate k 4 at k -> k l as p by two", "'two' is no positive number"),
        ("reassociate k 4 at k -> k l as p by", "cannot read"),
        ("reassociate k 4 at k -> k l as p by 2 by 2", "what is 'by'?"),
        ("layout b d0 -> d0", "cannot read"),
        ("layout b (d1, d0) -> d0", "written (d0, d1, ...)"),
        ("layout b (d0) -> d0 +", "cannot read the offset"),
        ("layout b (d0) -> d0 d0", "cannot read the offset"),
    ],
)
def test_what_cannot_be_read_is_an_error(text: str, reason: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        Schedule.parse(text)
    assert reason in str(caught.value)
