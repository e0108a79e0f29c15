"""Object code of a model's parts: looked up, or made by this process and others beside it.

Parts are taken in while the next ones are still being written, and each is compiled by whoever is free. Which process
that is, and whether the code was there from before, cannot be seen from the result.
"""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from functools import cache
from pathlib import Path
from threading import Lock, Thread
from types import TracebackType

import llvmlite

from ...errors import BackendError
from ...ir.cache import KERNELS, key_of, limit, shrink
from ...runtime import threads
from . import llvm
from .llvm import Machine, compile_object
from .worker import Worker

WORTH_KEEPING = 8 << 10  # characters of LLVM text: what is shorter is compiled as fast as it is found
WORTH_A_PROCESS = 256 << 10  # characters that wait: to compile them takes longer than to start a process
_HASH = 32  # bytes in front of kept code

log = logging.getLogger(__name__)


class Builder:
    """Compiles LLVM modules for a machine.

    with Builder(machine) as builder:
        for text in ...:
            builder.add(text)
        codes = builder.finish()
    """

    def __init__(self, machine: Machine, processes: int | None = None) -> None:
        """`processes`: how many may compile at a time, this one included; None: one for each core."""
        self.machine = machine
        self.processes = threads.available() if processes is None else processes
        self.keeps = limit() > 0
        self.codes: list[bytes | None] = []
        self.pending: deque[tuple[int, str]] = deque()
        self.waiting = 0  # characters in them
        self.errors: dict[int, BackendError] = {}
        self.helpers: list[Thread] = []
        self.workers: list[Worker] = []
        self.lock = Lock()

    def __enter__(self) -> Builder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self.lock:
            self.pending.clear()
        if kind is not None:  # nobody waits for what is in work
            for worker in self.workers:
                worker.process.kill()
        for helper in self.helpers:
            helper.join()
        for worker in self.workers:
            worker.close()

    def add(self, text: str) -> None:
        """A module to compile. Others may be at work on it when this returns."""
        number = len(self.codes)
        self.codes.append(self.kept(text))
        if self.codes[number] is not None:
            return
        with self.lock:
            self.pending.append((number, text))
            self.waiting += len(text)
        if self.waiting > WORTH_A_PROCESS * (1 + len(self.helpers)) and len(self.helpers) < self.processes - 1:
            self.helpers.append(Thread(target=self.help, daemon=True))
            self.helpers[-1].start()

    def finish(self) -> list[bytes]:
        """The code of all modules, in the order in which they came. Raises BackendError where LLVM refuses one."""
        self.work(None)
        for helper in self.helpers:
            helper.join()
        self.work(None)  # what a process left behind that went away
        if self.errors:
            raise self.errors[min(self.errors)]
        if self.keeps:
            shrink(limit())
        return [code for code in self.codes if code is not None]

    # ---- who does the work

    def help(self) -> None:
        """Compile in another process, until nothing waits."""
        try:
            worker = Worker()
        except OSError as error:
            log.info("no process to compile in: %s", error)
            return
        self.workers.append(worker)
        self.work(worker)

    def work(self, worker: Worker | None) -> None:
        """Compile what waits, in a process or in this one."""
        while (task := self.next()) is not None:
            number, text = task
            try:
                code = worker.compile(text, self.machine) if worker else compile_object(text, self.machine)
            except BackendError as error:
                self.errors[number] = error
            except (OSError, EOFError, ValueError) as error:  # the process was killed, say
                log.info("a process that compiles is gone: %s", error)
                with self.lock:
                    self.pending.append(task)
                    self.waiting += len(text)
                return
            else:
                self.codes[number] = code
                self.keep(text, code)

    def next(self) -> tuple[int, str] | None:
        with self.lock:
            if not self.pending:
                return None
            task = self.pending.popleft()
            self.waiting -= len(task[1])
            return task

    # ---- what is there from before

    def kept(self, text: str) -> bytes | None:
        """The code of a module that was compiled before."""
        if not self.keeps or len(text) < WORTH_KEEPING:
            return None
        key = self.key(text)
        try:
            data = KERNELS.path(key).read_bytes()
        except OSError:
            return None
        if hashlib.sha256(data[_HASH:]).digest() != data[:_HASH]:
            KERNELS.drop(key)
            return None
        KERNELS.used(key)
        return data[_HASH:]

    def keep(self, text: str, code: bytes) -> None:
        if self.keeps and len(text) >= WORTH_KEEPING:
            KERNELS.put(self.key(text), lambda path: path.write_bytes(hashlib.sha256(code).digest() + code))

    def key(self, text: str) -> str:
        return key_of(_compiler(), self.machine, text)


@cache
def _compiler() -> tuple[str, str]:
    """What makes code of text: LLVM, and how it is called."""
    return llvmlite.__version__, hashlib.sha256(Path(llvm.__file__).read_bytes()).hexdigest()
