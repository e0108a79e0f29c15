"""A GPU made of the CPU, for machines without one: it runs the very text that becomes PTX (codegen/cuda/emit.py).

What a kernel asks of the GPU, which work item it is and that all lanes of a group wait for each other, is answered here
by other definitions of the same functions. No code assumes how wide a group is, so a group may be one lane: then loops
run the grid. Groups of more lanes are threads, which meet at barriers as on a GPU.
"""

from __future__ import annotations

import ctypes
import re
import threading
from collections.abc import Sequence

from ..codegen.cpu.jit import LoadedObject
from ..codegen.cpu.llvm import compile_object, host
from ..codegen.cpu.text import CONVERSIONS
from ..codegen.cuda import matrix
from ..codegen.cuda.emit import CONVENTION, QUESTIONS

_FUNCTION = re.compile(rf'define {CONVENTION}void @"([^"]+)"\(([^)]*)\)')
_ANSWER = "define internal i64 @ircc.{name}() alwaysinline nounwind {{\n{body}}}\n"


_TEAM = "define internal i64 @ircc.team() alwaysinline nounwind { ret i64 1 }\n"
_MATRIX = """
define internal void @ircc.{name}.{layout}(ptr %a, i64 %la, ptr %b, i64 %lb, ptr %c, i64 %lc) nounwind {{
entry:
  br label %next
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
# a team is one lane, which multiplies tiles element by element
_TILES = _TEAM + "".join(
    _MATRIX.format(name=name, type=kind, layout=x + y, a="ik" if x == "r" else "ki", b="kj" if y == "r" else "jk")
    for name, kind in matrix.LLVM.items()
    for x in "rc"
    for y in "rc"
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
        barrier = "define internal void @ircc.barrier() alwaysinline nounwind { ret void }\n"
        runs = "".join(_run(name, kinds) for name, kinds in self.parameters.items())
        code = compile_object(
            CONVERSIONS + _TILES + answers + barrier + text.replace(CONVENTION, "") + runs, host(), passes=1
        )
        self.code = LoadedObject(code, [f"run.{name}" for name in self.parameters])

    def is_shared(self, function: str) -> bool:
        """Whether a function is for whole groups: its lanes wait for each other."""
        return function in self.shared

    def launch(self, function: str, groups: int, args: Sequence[int]) -> None:
        """Run a function with `groups` groups of one lane; addresses of buffers, then sizes."""
        run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(self.code.address(f"run.{function}"))
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
    """Functions, loaded for groups of `width` lanes: threads, which do one group after the other."""

    def __init__(self, text: str, width: int) -> None:
        self.width = width
        self.parameters = dict(_FUNCTION.findall(text))
        self.mine = threading.local()
        self.barrier = threading.Barrier(width)
        answer, meet = ctypes.CFUNCTYPE(ctypes.c_int64), ctypes.CFUNCTYPE(None)
        self.callbacks = {name: answer(lambda name=name: getattr(self.mine, name)) for name in QUESTIONS}
        self.meeting = meet(lambda: self.barrier.wait() and None)

        def pointer(callback: object) -> str:
            address = ctypes.cast(callback, ctypes.c_void_p).value  # type: ignore[arg-type]
            return f"inttoptr (i64 {address} to ptr)"

        answers = "".join(
            _ANSWER.format(name=name, body=f"  %x = call i64 {pointer(c)}()\n  ret i64 %x\n")
            for name, c in self.callbacks.items()
        )
        barrier = (
            "define internal void @ircc.barrier() alwaysinline nounwind "
            f"{{\n  call void {pointer(self.meeting)}()\n  ret void\n}}\n"
        )
        code = compile_object(CONVERSIONS + _TILES + answers + barrier + text.replace(CONVENTION, ""), host())
        self.code = LoadedObject(code, list(self.parameters))

    def launch(self, function: str, groups: int, args: Sequence[int]) -> None:
        """Run a function with `groups` groups; addresses of buffers, then sizes."""
        run = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * len(args))(self.code.address(function))
        failed: list[BaseException] = []

        def lane(number: int) -> None:
            self.mine.lane, self.mine.width = number, self.width
            try:
                for group in range(groups):
                    self.mine.group = group
                    run(*args)
                    self.barrier.wait()  # the next group has the same memory
            except BaseException as error:
                failed.append(error)
                self.barrier.abort()

        threads = [threading.Thread(target=lane, args=(n,)) for n in range(self.width)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
