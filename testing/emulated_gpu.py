"""A GPU made of the CPU, for machines without one: it runs the very text that becomes PTX (codegen/cuda/emit.py).

What a kernel asks of the GPU, which work item it is and that all lanes of a group wait for each other, is answered here
by other definitions of the same functions. No code assumes how wide a group is, so a group may be one lane: then loops
run the grid. Groups of more lanes are threads, which meet at barriers as on a GPU, and hand each other values in teams
of any width. Where some of them are to meet, or hand over, and others do something else, the launch fails.
"""

from __future__ import annotations

import ctypes
import re
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..codegen.cpu.jit import LoadedObject
from ..codegen.cpu.llvm import compile_object, host
from ..codegen.cpu.text import CONVERSIONS
from ..codegen.cuda import matrix, teams
from ..codegen.cuda.emit import CONVENTION, QUESTIONS

_FUNCTION = re.compile(rf'define {CONVENTION}void @"([^"]+)"\(([^)]*)\)')
_ANSWER = "define internal i64 @ircc.{name}() alwaysinline nounwind {{\n{body}}}\n"


# Lanes of a team as the first one of it does what all do together: products of tiles, element by element.
_MATRIX = """
define internal void @ircc.{name}.{layout}(ptr %a, i64 %la, ptr %b, i64 %lb, ptr %c, i64 %lc) nounwind {{
entry:
  %lane = call i64 @ircc.lane()
  %team = call i64 @ircc.team()
  %mine = urem i64 %lane, %team
  %is.first = icmp eq i64 %mine, 0
  br i1 %is.first, label %next, label %done
next:
  %n = phi i64 [ 0, %entry ], [ %after, %next ]
  %k = lshr i64 %n, 8
  %rest = lshr i64 %n, 4
  %i = and i64 %rest, 15
  %j = and i64 %n, 15
  %a.row = mul i64 %{a[0]}, %la
  %a.at = add i64 %a.row, %{a[1]}
  %b.row = mul i64 %{b[0]}, %lb
  %b.at = add i64 %b.row, %{b[1]}
  %c.row = mul i64 %i, %lc
  %c.at = add i64 %c.row, %j
  %pa = getelementptr i16, ptr %a, i64 %a.at
  %pb = getelementptr i16, ptr %b, i64 %b.at
  %pc = getelementptr float, ptr %c, i64 %c.at
  %x = load {type}, ptr %pa
  %y = load {type}, ptr %pb
  %u = fpext {type} %x to float
  %v = fpext {type} %y to float
  %old = load float, ptr %pc
  %p = fmul float %u, %v
  %s = fadd float %old, %p
  store float %s, ptr %pc
  %after = add i64 %n, 1
  %more = icmp ult i64 %after, 4096
  br i1 %more, label %next, label %done
done:
  ret void
}}
"""
_TILES = "".join(
    _MATRIX.format(name=name, type=kind, layout=x + y, a="ik" if x == "r" else "ki", b="kj" if y == "r" else "jk")
    for name, kind in matrix.LLVM.items()
    for x in "rc"
    for y in "rc"
)
# a team of one lane hands nothing over
_ALONE = """\
define internal i64 @ircc.team() alwaysinline nounwind { ret i64 1 }
define internal void @ircc.meet() alwaysinline nounwind { ret void }
define internal void @ircc.barrier() alwaysinline nounwind { ret void }
define internal i32 @ircc.shuffle(i32 %x, i32 %bits) alwaysinline nounwind { ret i32 %x }
"""
PATIENCE = 10  # seconds that a lane waits for the others


def _together(text: str) -> str:
    """The text with what teams do in it."""
    own = teams.functions(text)
    known = {line for line in text.splitlines() if line.startswith("declare ")}
    lines = [line for line in own.splitlines() if line not in known]
    return (
        _TILES
        + "\n".join(dict.fromkeys(x for x in lines if x.startswith("declare ")))
        + "\n"
        + "\n".join(x for x in lines if not x.startswith("declare "))
        + "\n"
        + text.replace(CONVENTION, "")
    )


class Grid:
    """Functions, loaded for groups of one lane."""

    def __init__(self, text: str) -> None:
        self.parameters = {name: [p.split()[0] for p in p.split(", ") if p] for name, p in _FUNCTION.findall(text)}
        bodies = re.split(f"(?=define {CONVENTION})", text)
        self.shared = {match[1] for b in bodies if "@ircc.barrier()" in b and (match := _FUNCTION.match(b))}
        answers = "".join(
            f"@ircc.{name}.now = internal global i64 {int(name == 'width')}\n"
            + _ANSWER.format(name=name, body=f"  %x = load i64, ptr @ircc.{name}.now\n  ret i64 %x\n")
            for name in QUESTIONS
        )
        runs = "".join(_run(name, kinds) for name, kinds in self.parameters.items())
        code = compile_object(CONVERSIONS + answers + _ALONE + _together(text) + runs, host(), passes=1)
        self.code = LoadedObject(code, [f"run.{name}" for name in self.parameters])
        self.lock = threading.Lock()  # which group it is, and what a group shares, are places that all launches have

    def is_shared(self, function: str) -> bool:
        """Whether a function is for whole groups: its lanes wait for each other."""
        return function in self.shared

    def launch(self, function: str, groups: int, args: Sequence[int]) -> None:
        """Run a function with `groups` groups of one lane; addresses of buffers, then sizes."""
        run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(self.code.address(f"run.{function}"))
        with self.lock:
            run(ctypes.cast((ctypes.c_int64 * len(args))(*args), ctypes.c_void_p), groups)


def _run(name: str, kinds: Sequence[str]) -> str:
    """A function that runs another once for each group."""
    loads = "".join(
        f"  %p{i} = getelementptr i64, ptr %args, i64 {i}\n  %a{i} = load {kind}, ptr %p{i}\n"
        for i, kind in enumerate(kinds)
    )
    args = ", ".join(f"{kind} %a{i}" for i, kind in enumerate(kinds))
    return f"""
define void @"run.{name}"(ptr %args, i64 %groups) {{
entry:
{loads}  %any = icmp sgt i64 %groups, 0
  br i1 %any, label %next, label %done
next:
  %group = phi i64 [ 0, %entry ], [ %after, %next ]
  store i64 %group, ptr @ircc.group.now
  call void @"{name}"({args})
  %after = add i64 %group, 1
  %more = icmp slt i64 %after, %groups
  br i1 %more, label %next, label %done
done:
  ret void
}}
"""


class Lanes:
    """Functions, loaded for groups of `width` lanes: threads, which do one group after the other. So many of them are a
    `team`, a power of two that divides the width."""

    def __init__(self, text: str, width: int, team: int = 1) -> None:
        self.width, self.team = width, team
        self.parameters = dict(_FUNCTION.findall(text))
        self.mine = threading.local()
        self.barrier = threading.Barrier(width, timeout=PATIENCE)
        self.meetings = [threading.Barrier(team, timeout=PATIENCE) for _ in range(width // team)]
        self.given = [0] * width  # by lane: what it hands over
        self.doing = [""] * width  # ... and what it meets for
        self.failed: list[BaseException] = []
        number, integer = ctypes.c_int64, ctypes.c_uint32
        answers: dict[str, tuple[Any, Callable[..., Any]]] = {
            name: (ctypes.CFUNCTYPE(number), partial(self.asked, name)) for name in QUESTIONS
        }
        answers["team"] = ctypes.CFUNCTYPE(number), lambda: team
        answers["barrier"] = ctypes.CFUNCTYPE(None), lambda: self.together("barrier", self.barrier)
        answers["meet"] = ctypes.CFUNCTYPE(None), self.meet
        answers["shuffle"] = ctypes.CFUNCTYPE(integer, integer, integer), self.shuffle
        self.callbacks = {name: kind(self.guarded(function)) for name, (kind, function) in answers.items()}
        defined = "".join(
            f"define internal {_CALLED[name].format(to=pointer(callback))}" for name, callback in self.callbacks.items()
        )
        self.code = LoadedObject(compile_object(CONVERSIONS + defined + _together(text), host()), list(self.parameters))

    def asked(self, name: str) -> int:
        """Of the lane that asks: one of QUESTIONS."""
        return getattr(self.mine, name)

    def guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """What is wrong in a callback nobody sees: the launch will raise it, and nobody waits for this lane."""

        def call(*args: Any) -> Any:
            try:
                return function(*args)
            except BaseException as error:
                self.fail(error)
                return 0

        return call

    def fail(self, error: BaseException) -> None:
        self.failed.append(error)
        for barrier in (self.barrier, *self.meetings):
            barrier.abort()

    def together(self, what: str, barrier: threading.Barrier) -> None:
        """Wait for the other lanes of a group or team, which have to be about the same. Raises RuntimeError."""
        lane, several = self.mine.lane, barrier.parties
        self.doing[lane] = what
        try:
            barrier.wait()
            first = lane // several * several
            met = set(self.doing[first : first + several])
            barrier.wait()
        except threading.BrokenBarrierError:
            raise RuntimeError(f"lane {lane} is at {what!r}, where others do not come") from None
        if len(met) > 1:
            raise RuntimeError(f"lanes of one team or group diverge: {sorted(met)}")

    def meet(self) -> None:
        self.together("meeting", self.meetings[self.mine.lane // self.team])

    def shuffle(self, value: int, bits: int) -> int:
        """The value of the lane whose number differs in these bits. Raises RuntimeError."""
        lane, meeting = self.mine.lane, self.meetings[self.mine.lane // self.team]
        if not 0 < bits < self.team:
            raise RuntimeError(f"lane {lane} asks a lane that is {bits} away, in a team of {self.team}")
        self.given[lane] = value
        self.together(f"shuffle by {bits}", meeting)
        found = self.given[lane ^ bits]
        self.together("end of a shuffle", meeting)
        return found

    def launch(self, function: str, groups: int, args: Sequence[int]) -> None:
        """Run a function with `groups` groups; addresses of buffers, then sizes. Raises RuntimeError where lanes do not
        come to what they have to do together."""
        run = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * len(args))(self.code.address(function))

        def lane(number: int) -> None:
            self.mine.lane, self.mine.width = number, self.width
            try:
                for group in range(groups):
                    self.mine.group = group
                    run(*args)
                    self.together("end", self.barrier)  # the next group has the same memory
            except BaseException as error:
                self.fail(error)

        threads = [threading.Thread(target=lane, args=(n,)) for n in range(self.width)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.failed:
            failed, self.failed = self.failed[0], []
            for barrier in (self.barrier, *self.meetings):
                barrier.reset()
            raise failed


_CALLED = {
    name: f"i64 @ircc.{name}() alwaysinline nounwind {{{{\n  %x = call i64 {{to}}()\n  ret i64 %x\n}}}}\n"
    for name in (*QUESTIONS, "team")
} | {
    name: f"void @ircc.{name}() alwaysinline nounwind {{{{\n  call void {{to}}()\n  ret void\n}}}}\n"
    for name in ("barrier", "meet")
}
_CALLED["shuffle"] = (
    "i32 @ircc.shuffle(i32 %x, i32 %bits) alwaysinline nounwind {{\n"
    "  %y = call i32 {to}(i32 %x, i32 %bits)\n  ret i32 %y\n}}\n"
)


def pointer(callback: object) -> str:
    """A function of Python's as LLVM text."""
    address = ctypes.cast(callback, ctypes.c_void_p).value  # type: ignore[arg-type]
    return f"inttoptr (i64 {address} to ptr)"
