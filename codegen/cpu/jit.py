"""Object code loaded into this process as it is: what `compile` makes runs without a file and without a linker."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Sequence
from functools import cache

import llvmlite.binding as binding

from ...errors import EngineError
from ...runtime.artifact import Artifact
from . import perf
from .llvm import Machine, host

_names = itertools.count()
_linking = threading.Lock()


@cache
def _linker() -> binding.LLJIT:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    # With IRCC_LOG set, LLVM says on stderr which symbol is missing; its exception does not.
    return binding.create_lljit_compiler(suppress_errors="IRCC_LOG" not in os.environ)


class LoadedObject:
    """Object code in this process; it goes when the last reference goes."""

    def __init__(self, code: bytes, exports: Sequence[str] = ("ircc_plan", "ircc_main")) -> None:
        self._library = f"ircc{os.getpid()}.{next(_names)}"
        builder = binding.JITLibraryBuilder().add_object_img(code).add_current_process()
        for name in exports:
            builder.export_symbol(name)
        self._trackers: dict[str, binding.ResourceTracker] = {}
        try:
            with _linking:
                self._tracker = builder.link(_linker(), self._library)  # the library lives while this does
        except RuntimeError as error:
            raise EngineError(
                f"the engine's code cannot be loaded: {error}",
                hint="it is damaged or calls a function that this process lacks; IRCC_LOG=1 shows which",
            ) from None
        for name in exports:
            self._trackers[name] = self._tracker

    def address(self, name: str) -> int:
        if name not in self._trackers:
            try:
                with _linking:
                    self._trackers[name] = _linker().lookup(self._library, name)
            except RuntimeError:
                raise EngineError(f"the engine's code does not export {name}") from None
        return self._trackers[name][name]


def load_code(artifact: Artifact) -> LoadedObject:
    """The artifact's object code, if this machine can run it; else EngineError with what is missing."""
    if reason := unfit(artifact):
        raise EngineError(reason, hint="compile the model again here, or with --target for this machine")
    code = LoadedObject(artifact.object)
    if "perf" in os.environ.get("IRCC_LOG", ""):
        perf.write_map(artifact.object, code.address, "ircc_main")
    return code


def unfit(artifact: Artifact) -> str | None:
    """Why this machine cannot run the code; None: it can."""
    target = Machine(**{key: artifact.target.get(key, "") for key in ("triple", "cpu", "features")})
    here = host()
    if _platform(target) != _platform(here):
        return f"the engine is for {target.triple}, this machine is {here.triple}"
    missing = sorted(target.required - here.required)
    return f"this machine lacks what the engine needs: {', '.join(missing)}" if missing else None


def _platform(machine: Machine) -> tuple[str, str]:
    systems = [s for s in ("linux", "darwin", "macosx", "windows") if s in machine.triple]
    return machine.architecture, systems[0].replace("macosx", "darwin") if systems else machine.triple
