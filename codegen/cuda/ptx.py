"""LLVM text to PTX, in a process of its own: LLVM ends the process where it has no code for something."""

from __future__ import annotations

import re
import tempfile
import threading
from functools import lru_cache

from ...errors import BackendError
from ..cpu.llvm import Machine
from ..cpu.worker import Worker
from .emit import WORDS

TRIPLE = "nvptx64-nvidia-cuda"
PTX = "+ptx80"  # the version of the language that drivers of CUDA 12 and later know


_LAST_WORDS = re.compile(r"(?:LLVM ERROR|error): (.+)")


class _Compiler:
    """A worker, started when there is something to do, and again when LLVM has ended it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.worker: Worker | None = None
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)

    def assembly(self, text: str, machine: Machine) -> str:
        with self.lock:
            try:
                if self.worker is None:
                    self.worker = Worker(self.errors)
                return self.worker.assembly(text, machine)
            except (OSError, EOFError) as error:
                if self.worker is None:
                    raise BackendError(f"no process to compile in can be started: {error}") from error
                self.worker.close()
                self.worker = None
                raise BackendError(f"LLVM gave up on it for {machine.cpu}{self.last_words()}") from None

    def last_words(self) -> str:
        """What LLVM said when it ended."""
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").splitlines()
        self.errors.seek(0)
        self.errors.truncate()
        found = [match[1] for line in lines if (match := _LAST_WORDS.match(line))]
        return f": {found[-1][:200]}" if found else ""


_compiler = _Compiler()


@lru_cache(maxsize=4096)
def compiled(text: str, model: str) -> str | BackendError:
    """PTX for a model of GPU, such as `sm_80`, of a module as emit.py writes it; or why there is none."""
    try:
        return _compiler.assembly(WORDS + text, Machine(TRIPLE, model, PTX))
    except BackendError as error:
        return error
