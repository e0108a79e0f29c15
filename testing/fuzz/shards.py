"""Child processes that judge cases: one that crashes or hangs costs its case, and another takes its place."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from .evaluate import Verdict, judge
from .generate import generate
from .reduce import reduced, write


class Child:
    """A process that judges one case after another."""

    def __init__(self, only: tuple[str, ...], folder: Path) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, only, folder), daemon=True)
        self.process.start()
        theirs.close()
        self.case, self.since = -1, 0.0

    def give(self, case: int) -> None:
        self.case, self.since = case, time.monotonic()
        self.pipe.send(case)

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def shards(
    cases: Sequence[int], jobs: int, timeout: float, only: tuple[str, ...], folder: Path
) -> Iterator[dict[str, Any]]:
    """A row of facts for each case, in the order in which they are done."""
    queue = [*cases[::-1]]
    children = [Child(only, folder) for _ in range(jobs)] if queue else []
    try:
        for child in children:
            if queue:
                child.give(queue.pop())
        while busy := [child for child in children if child.case >= 0]:
            ready = wait([child.pipe for child in busy], timeout=1.0)
            for child in busy:
                row: dict[str, Any] | None = None
                if child.pipe in ready:
                    try:
                        row = child.pipe.recv()
                    except (EOFError, ConnectionError):
                        row = lost(child, "crash", f"the process ended with {child.process.exitcode}")
                elif time.monotonic() - child.since > timeout:
                    row = lost(child, "timeout", f"it takes more than {timeout:.0f} s")
                if row is None:
                    continue
                if row["status"] in ("crash", "timeout"):
                    child.end()
                    children[children.index(child)] = child = Child(only, folder)
                child.case = -1
                if queue:
                    child.give(queue.pop())
                yield row
    finally:
        for child in children:
            child.end()


def lost(child: Child, status: str, reason: str) -> dict[str, Any]:
    return {"case": child.case, "status": status, "reason": reason, "operators": generate(child.case).operators}


def work(pipe: Connection, only: tuple[str, ...], folder: Path) -> None:
    """Judge the cases that come, until there is no one to ask."""
    while True:
        try:
            number = pipe.recv()
        except EOFError:
            return
        pipe.send(judged(number, only, folder))


def judged(number: int, only: tuple[str, ...], folder: Path) -> dict[str, Any]:
    """The facts of a case; where it fails, it is made small and written."""
    case = generate(number, only)
    verdict = judge(case.model, case.inputs, case.tracks) if case.operators else Verdict("unknown", "empty")
    row = {"case": case.seed, "status": verdict.status, "reason": verdict.reason, "operators": case.operators}
    if verdict.failed:
        model, inputs, small = reduced(case, verdict)
        names = ", ".join(node.op_type for node in model.graph.node)
        row["small"] = f"{names}, opset {model.opset_import[0].version}: {small.reason}"
        write(folder, str(case.seed), model, inputs, f"{small.status}: {row['small']}")
    return row
