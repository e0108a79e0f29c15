"""Child processes that judge cases: one that crashes or hangs costs its case, and another takes its place.

Cases go to a child in packs. Where a pack ends a child, each of its cases is tried alone, so that the one at fault is
known and the others are judged."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from .generate import generate
from .pack import judge_all
from .reduce import reduced, write

PATIENCE = 20.0  # seconds on the clock that a second of the processor may take
FAILED = ("mismatch", "refused", "error", "crash", "timeout")


def has_failed(row: Mapping[str, Any]) -> bool:
    return row["status"] in FAILED


class Child:
    """A process that judges one pack of cases after another."""

    def __init__(self, only: tuple[str, ...], folder: Path) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, only, folder), daemon=True)
        self.process.start()
        theirs.close()
        self.cases: list[int] = []
        self.since = self.spent_before = 0.0

    def give(self, cases: list[int]) -> None:
        self.cases, self.since, self.spent_before = cases, time.monotonic(), self.spent()
        with suppress(OSError):  # it is dead already: its end of the pipe says so when it is read
            self.pipe.send(cases)

    def overdue(self, timeout: float) -> bool:
        """Whether its cases take more than so many seconds: of the processor, because others may use it too, and a
        process that waits for what never comes uses none."""
        waited = time.monotonic() - self.since
        return waited > timeout and (self.spent() - self.spent_before > timeout or waited > PATIENCE * timeout)

    def spent(self) -> float:
        """Seconds of the processor that the process has used; 0 where the system does not say."""
        pid = self.process.pid
        with suppress(OSError):
            if pid is not None and sys.platform == "linux":
                return time.clock_gettime((~pid << 3) | 2)  # CPUCLOCK_SCHED of another process, as clock_getcpuclockid
        return 0.0

    def answer(self) -> list[dict[str, Any]]:
        """The rows of its cases. Raises EOFError or OSError when it ended instead."""
        rows = self.pipe.recv()
        self.cases = []
        return rows

    def end(self) -> None:
        self.process.kill()
        self.process.join(10.0)  # one that the system does not let go of is left behind, and not waited for
        self.pipe.close()


class Judges:
    """Child processes that stay from one list of cases to the next; a context, which ends them."""

    def __init__(self, jobs: int, only: tuple[str, ...], folder: Path) -> None:
        self.jobs, self.only, self.folder = jobs, only, folder
        self.children: list[Child] = []

    def __enter__(self) -> Judges:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.children:
            child.end()
        self.children = []

    def child(self) -> Child:
        return Child(self.only, self.folder)

    def rows(self, cases: Sequence[int], timeout: float, pack: int = 1) -> Iterator[dict[str, Any]]:
        """A row of facts for each case, in the order in which they are done. A pack may take `timeout` seconds."""
        queue = [list(cases[i : i + pack]) for i in range(0, len(cases), pack)][::-1]
        self.children += [self.child() for _ in range(min(self.jobs, len(queue)) - len(self.children))]
        for child in self.children:
            if queue:
                child.give(queue.pop())
        while busy := [child for child in self.children if child.cases]:
            ready = wait([child.pipe for child in busy], timeout=1.0)
            for child in busy:
                rows: list[dict[str, Any]] = []
                end = ()
                if child.pipe in ready:
                    try:
                        rows = child.answer()
                    except (EOFError, OSError):
                        child.process.join(1.0)
                        end = "crash", f"the process ended with {child.process.exitcode}"
                elif child.overdue(timeout):
                    end = "timeout", f"it takes more than {timeout:.0f} s"
                else:
                    continue
                if end:
                    if len(child.cases) == 1:
                        rows = [lost(child.cases[0], *end)]
                    else:
                        queue += [[case] for case in child.cases]
                    child.end()
                    self.children[self.children.index(child)] = child = self.child()
                if queue:
                    child.give(queue.pop())
                yield from rows


def shards(
    cases: Sequence[int], jobs: int, timeout: float, only: tuple[str, ...], folder: Path, pack: int = 1
) -> Iterator[dict[str, Any]]:
    """The rows of cases by processes that end with them."""
    with Judges(jobs, only, folder) as judges:
        yield from judges.rows(cases, timeout, pack)


def lost(case: int, status: str, reason: str) -> dict[str, Any]:
    """The row of a case that has none. Its operators are not known: to make it again may end this process too."""
    return {"case": case, "status": status, "reason": reason, "operators": []}


def work(pipe: Connection, only: tuple[str, ...], folder: Path) -> None:
    """Judge the packs that come, until there is no one to ask."""
    gc.freeze()  # what the modules hold stays: a tenth of the time of a case went by looking through it
    while True:
        try:
            numbers = pipe.recv()
        except EOFError:
            return
        pipe.send(judged(numbers, only, folder))


def judged(numbers: Sequence[int], only: tuple[str, ...], folder: Path) -> list[dict[str, Any]]:
    """The facts of cases; those that fail are made small and written."""
    cases = [generate(number, only) for number in numbers]
    rows: list[dict[str, Any]] = []
    for case, verdict in zip(cases, judge_all(cases), strict=True):
        row: dict[str, Any] = {
            "case": case.seed,
            "status": verdict.status,
            "reason": verdict.reason,
            "operators": case.operators,
        }
        row["dropped"] = case.dropped
        if verdict.failed:
            model, inputs, small = reduced(case, verdict)
            names = ", ".join(node.op_type for node in model.graph.node)
            row["small"] = f"{names}, opset {model.opset_import[0].version}: {small.reason}"
            write(folder, str(case.seed), model, inputs, f"{small.status}: {row['small']}")
        rows.append(row)
    return rows
