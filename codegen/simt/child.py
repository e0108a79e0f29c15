"""LLVM in processes of its own. On the way to some machines it ends its process where it has no code for something; on
the way to SPIR-V it confuses the types of one module with those of the last."""

from __future__ import annotations

import re
import tempfile
import threading

from ...errors import BackendError
from ..cpu.llvm import Machine
from ..cpu.worker import ENDED, Worker

_LAST_WORDS = re.compile(r"(?:LLVM ERROR|error): (.+)")


class ChildCompiler:
    """A worker, started when there is something to do, that compiles each text in a process of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worker: Worker | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)

    def assembly(self, text: str, machine: Machine) -> str:
        """The code as text for an assembler. Raises BackendError, with LLVM's last words."""
        found = self._make("assembly", text, machine)
        assert isinstance(found, str)
        return found

    def object(self, text: str, machine: Machine) -> bytes:
        """The code. Raises BackendError, with LLVM's last words."""
        found = self._make("object", text, machine)
        assert isinstance(found, bytes)
        return found

    def _make(self, kind: str, text: str, machine: Machine) -> bytes | str:
        with self._lock:
            try:
                if self._worker is None:
                    self._worker = Worker(self._errors, apart=True)
                return (self._worker.compile if kind == "object" else self._worker.assembly)(text, machine)
            except BackendError as error:
                if error.message != ENDED:
                    raise
                name = machine.cpu or machine.architecture
                raise BackendError(f"LLVM gave up on it for {name}{self._last_words()}") from None
            except (OSError, EOFError) as error:
                if self._worker is not None:
                    self._worker.close()
                    self._worker = None
                raise BackendError(f"there is no process to compile in: {error!r}") from error

    def _last_words(self) -> str:
        """What LLVM said when it ended."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").splitlines()
        self._errors.seek(0)
        self._errors.truncate()
        found = [match[1] for line in lines if (match := _LAST_WORDS.match(line))]
        return f": {found[-1][:200]}" if found else ""


child = ChildCompiler()
