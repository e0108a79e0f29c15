"""A process that compiles LLVM text, as long as its stdin is open.

It imports llvmlite and nothing of the compiler, so that it is there in a quarter of a second. A message is its length
in 8 bytes and a pickle: in, what to make and the arguments of `compile_object` or `compile_assembly`; out, the code, or
the error's text.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import IO, Literal, TypeAlias, cast

from ...errors import BackendError
from .llvm import Machine, compile_assembly, compile_object

LENGTH = struct.Struct("<Q")
ENDED = "LLVM ended its process"
MAKERS = {"object": compile_object, "assembly": compile_assembly}
Answer: TypeAlias = "tuple[Literal[True], bytes | str] | tuple[Literal[False], str]"


class Worker:
    """Such a process, seen from outside."""

    def __init__(self, errors: int | IO[bytes] = subprocess.DEVNULL, *, apart: bool = False) -> None:
        """`errors`: where its messages go, LLVM's last words too. `apart`: each text is compiled in a process of its
        own, whose end is an error. Raises OSError where none can be started."""
        if not sys.executable:
            raise OSError("it is not known which Python this is")
        package = Path(__file__).resolve().parents[2]
        paths = [str(package.parent), *sys.path]
        code = f"import sys; sys.path[:] = {paths!r}; from {__name__} import main; main({apart})"
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )

    def compile(self, text: str, machine: Machine) -> bytes:
        """Its `compile_object`. Raises OSError or EOFError where the process is gone."""
        return cast(bytes, self._make("object", text, machine))

    def assembly(self, text: str, machine: Machine) -> str:
        """Its `compile_assembly`. Raises OSError or EOFError where the process is gone."""
        return cast(str, self._make("assembly", text, machine))

    def _make(self, kind: str, text: str, machine: Machine) -> bytes | str:
        assert self.process.stdin is not None and self.process.stdout is not None
        _send(self.process.stdin, (kind, text, machine))
        done, found = cast(Answer, _receive(self.process.stdout))
        if not done:
            raise BackendError(str(found))
        return found

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        self.process.wait()


def _send(stream: IO[bytes], message: object) -> None:
    data = pickle.dumps(message)
    stream.write(LENGTH.pack(len(data)) + data)
    stream.flush()


def _receive(stream: IO[bytes]) -> object:
    (length,) = LENGTH.unpack(_read(stream, LENGTH.size))
    return pickle.loads(_read(stream, length))


def _read(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def main(apart: bool) -> None:
    """Answer until nobody asks any more; `apart`: each time in a copy of this process, which may end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for those who ask
    out, sys.stdout = sys.stdout.buffer, sys.stderr
    while True:
        try:
            kind, text, machine = cast("tuple[str, str, Machine]", _receive(sys.stdin.buffer))
        except EOFError:
            return
        if apart and (copy := os.fork()):
            if os.waitpid(copy, 0)[1] != 0:
                _send(out, (False, ENDED))
            continue
        try:
            answer: Answer = (True, MAKERS[kind](text, machine))
        except BackendError as error:
            answer = (False, error.message)
        _send(out, answer)
        if apart:
            os._exit(0)
