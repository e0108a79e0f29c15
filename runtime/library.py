"""The code of an engine file in this process: a shared library, loaded by the system."""

from __future__ import annotations

import _ctypes
import ctypes
import os
import platform
import shlex
import weakref
from pathlib import Path

from ..errors import EngineError
from .file import EngineFile
from .machine import architecture
from .opened import OpenFile


class Library:
    """The code of one variant of an engine file. It goes when the last reference goes."""

    def __init__(self, file: OpenFile, prefix: str = "") -> None:
        self._prefix = prefix
        try:
            self._library = ctypes.CDLL(file.library_name(), mode=os.RTLD_NOW | os.RTLD_LOCAL)
        except OSError as error:
            raise EngineError(
                f"the code of {file.path} cannot be loaded: {error}",
                hint="it is for another system, or damaged: `ircc inspect` says what it is for",
            ) from None
        weakref.finalize(self, _ctypes.dlclose, self._library._handle).atexit = False

    def address(self, name: str) -> int:
        """Where the exported symbol is. Raises EngineError if there is none."""
        try:
            function = self._library[self._prefix + name]
        except AttributeError:
            raise EngineError(f"the engine's code does not export {name}") from None
        return ctypes.cast(function, ctypes.c_void_p).value or 0


def choose(file: EngineFile) -> int:
    """The number of the variant that this machine runs best. Raises EngineError where it runs none."""
    names = [a.target.get("name", "") for a in file.artifacts]
    triple = file.artifacts[0].target.get("triple", "")
    hint = f"rebuild it for this machine: ircc recompile {shlex.quote(str(file.path))} --target=native"
    if architecture(triple) != architecture() or platform.system().lower() not in triple:
        raise EngineError(
            f"the engine is for {triple} ({', '.join(names)}), this machine is {architecture()} {platform.system()}",
            hint=hint,
        )
    library = Library(file.opened)
    select = ctypes.CFUNCTYPE(ctypes.c_int32)(library.address("ircc_select"))
    if (found := select()) < 0:
        missing = ctypes.CFUNCTYPE(ctypes.c_char_p)(library.address("ircc_missing"))()
        lacks = missing.decode() if missing else "something"
        raise EngineError(
            f"the engine has code for {', '.join(names)}; this machine ({_model()}) lacks what the plainest of them "
            f"needs: {lacks}",
            hint=hint,
        )
    return found


def _model() -> str:
    """What the machine calls its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
