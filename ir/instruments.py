"""Instruments of pipelines: check, print and time what passes do. The numeric check is in `check_each.py`."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import VerifyException

from ..errors import PassError
from .pipeline import Instrument, Step
from .verify import verify


@dataclass
class VerifyEach(Instrument):
    """Verify the module before the first and after every pass; a PassError names the guilty one."""

    def begin(self, module: ModuleOp) -> None:
        try:
            verify(module)
        except VerifyException as error:
            raise PassError(f"the module is invalid before the first pass: {error}") from error

    def after(self, step: Step) -> None:
        try:
            verify(step.module)
        except VerifyException as error:
            raise PassError(f"{step} broke the module: {error}") from error


@dataclass
class PrintAfter(Instrument):
    """Print the module after passes: those named, or all; only where it changed if `changed`."""

    names: Collection[str] | None = None
    changed: bool = False
    stream: TextIO = field(default_factory=lambda: sys.stderr)

    def after(self, step: Step) -> None:
        if (self.names is None or step.pass_.name in self.names) and (step.changed or not self.changed):
            self.stream.write(f"// ----- after {step}{'' if step.changed else ': no change'}\n{step.module!s}\n")


@dataclass
class PrintTree(Instrument):
    """Write the module to a folder: `00-input.mlir`, then `01-canonicalize.mlir` ... where a pass changed it."""

    folder: Path

    def begin(self, module: ModuleOp) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "00-input.mlir").write_text(f"{module!s}\n")

    def after(self, step: Step) -> None:
        if step.changed:
            width = max(2, len(str(step.count)))
            path = self.folder / f"{step.number:0{width}}-{step.pass_.name}.mlir"
            path.write_text(f"// after {step}\n{step.module!s}\n")


@dataclass
class TimePasses(Instrument):
    """Measure the wall time of every pass; `report` is a table of it."""

    seconds: list[tuple[str, float, bool]] = field(default_factory=list[tuple[str, float, bool]])
    _start: float = 0.0

    def before(self, step: Step) -> None:
        self._start = time.perf_counter()

    def after(self, step: Step) -> None:
        self.seconds.append((step.pass_.name, time.perf_counter() - self._start, step.changed))

    def report(self) -> str:
        total = sum(s for _, s, _ in self.seconds)
        lines = [f"{1e3 * s:10.1f} ms  {name}{'' if c else '  (no change)'}" for name, s, c in self.seconds]
        return "\n".join([*lines, f"{1e3 * total:10.1f} ms  total"])
