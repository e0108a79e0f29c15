"""What a backend is, to the compiler: four questions, two of them with a default answer.

A backend has two halves. This one runs when a model is compiled and may import xdsl; the other, the device
(`runtime/device.py`), runs the engine and needs NumPy and ctypes only. Together they ask for eight things: `describe`
and `emit` here, `open_device` and the five methods of `Device` there. docs/backends.md walks through a small one.

A backend is found by its name: `tpu` is the function `backend()` of `codegen/tpu/backend.py`, or the entry point `tpu`
in the group `ircc.backends`, which names such a function or a subclass of `Backend`.
"""

from __future__ import annotations

import difflib
import importlib.util
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import ClassVar

from xdsl.dialects.builtin import ModuleOp

from ..dialects.loop import Kernel
from ..errors import BackendError, Error
from ..ir.target import Target
from ..runtime.artifact import Artifact

PACKAGE = __name__.rpartition(".")[0]
GROUP = "ircc.backends"
TEXTS = ("llvm-ir", "asm", "ptx")  # kinds of output that are text


class RefusedKernels(BackendError):
    """Raised by `emit` where the chip's own compiler does not take the code of some kernels: by name, and why each. The
    host runs them, and `emit` is asked again."""

    def __init__(self, kernels: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"kernel {name}: {why}" for name, why in kernels.items()))
        self.kernels = dict(kernels)


class Backend(ABC):
    """Makes code for one family of machines from modules of the loop dialect.

    A target is spelled `name` or `name:model`, for example `cpu`, `cpu:x86-64-v3`.
    """

    name: ClassVar[str]

    #: what `emit` makes besides the artifact, in the order of compilation
    kinds: ClassVar[tuple[str, ...]] = ("llvm-ir", "asm", "obj")

    #: whether `emit` makes `outline` too, for `ircc refit`: the artifact without its code, with a hash of what the code
    #: is made from in each of the kernels, and of the rest in the provenance (`program`)
    outlines: ClassVar[bool] = False

    @abstractmethod
    def describe(self, spec: str | None = None) -> Target:
        """The machine that `spec` names, as data for the schedules; None or the bare name: the one at hand.

        Raises BackendError for a spec that is not known."""

    @abstractmethod
    def emit(self, module: ModuleOp, kind: str) -> str | bytes | Artifact:
        """Code for a module of the loop dialect, of the kind asked for: one of `kinds`, or `artifact`.

        The module carries the description it is scheduled for (`ir/target.py`). Raises BackendError; RefusedKernels
        for kernels that the host is to run instead."""

    # ---- everything below has a default

    def emit_all(self, modules: Sequence[ModuleOp], kind: str) -> list[str | bytes | Artifact]:
        """`emit` for modules that are one model for several machines and go into one file: their artifacts may begin
        with the same weights, which the file then has once."""
        return [self.emit(module, kind) for module in modules]

    def supports(self, kernel: Kernel) -> str | None:
        """Why this backend cannot run a kernel; None: it can."""
        del kernel
        return None

    def instructions(self) -> str:
        """Declarations of the machine's instructions (`loop.instruction`), which the compiler puts into a module once
        it has kernels, and schedules replace nests by."""
        return ""

    def pipeline(self, stages: Mapping[str, str]) -> Mapping[str, str]:
        """The passes of each stage (`graph-ir`, `tensor-ir`, `loop-ir`), given what the compiler would run."""
        return stages

    def presets(self) -> Mapping[str, str]:
        """Targets that have a name, and what each is: for `ircc targets`."""
        return {self.name: (self.__doc__ or "").strip().splitlines()[0] if self.__doc__ else ""}


def find_backend(spec: str) -> Backend:
    """The backend of a target such as `cpu:x86-64-v3`. Raises BackendError for an unknown one."""
    name = spec.partition(":")[0]
    if name in own_backends():
        return _made(name, getattr(import_module(f"{PACKAGE}.{name}.backend"), "backend", None))
    for entry in entry_points(group=GROUP, name=name):
        try:
            found = entry.load()
        except Exception as error:  # a package that is not ours
            raise BackendError(f"backend {name} ({entry.value}) cannot be loaded: {error}") from error
        return _made(name, found)
    names = backend_names()
    near = difflib.get_close_matches(name, names, 1)
    known = f"backends are {', '.join(names) or 'none'}; `ircc targets` lists them"
    raise BackendError(f"unknown target {spec!r}", hint=f"did you mean {near[0]}?" if near else known)


def _made(name: str, make: object) -> Backend:
    try:
        found = make() if callable(make) else None
    except Exception as error:  # a package that is not ours, or a library that it lacks
        raise BackendError(f"backend {name} cannot be used: {error}") from error
    if not isinstance(found, Backend):
        raise BackendError(f"backend {name} has no function backend() that returns a Backend")
    return found


@cache
def own_backends() -> set[str]:
    """Names of ircc's own backends, without importing them."""
    package = import_module(PACKAGE)
    folders = [info.name for info in pkgutil.iter_modules(package.__path__) if info.ispkg]
    return {name for name in folders if importlib.util.find_spec(f"{PACKAGE}.{name}.backend")}


def backend_names() -> list[str]:
    """Names of all backends, sorted; those of outside packages included."""
    return sorted(own_backends() | {entry.name for entry in entry_points(group=GROUP)})


def backends() -> Mapping[str, Backend | Error]:
    """Every backend by name, or why it cannot be had."""
    found: dict[str, Backend | Error] = {}
    for name in backend_names():
        try:
            found[name] = find_backend(name)
        except Error as error:
            found[name] = error
    return found
