"""The seam between a compiled host program and what its kernels run on.

The program reaches a device through a C table of function pointers, `DeviceTable`. A device in Python is a subclass of
`Device` with five methods; the table is then filled with ctypes callbacks. A native device (the CPU) overrides `table`.

A device is found by the name of its backend: the module `ircc.codegen.<name>.device` (or `ircc.codegen.<name>`) has
the function below; a package outside registers one as entry point in the group `ircc.devices`.

    def open_device(artifact: Artifact, code: Code, threads: int) -> Device

`code` is the engine's host program, loaded; `artifact.sections` may hold code for the device itself. Devices need NumPy
and ctypes only: loading an engine must not import the compiler.
"""

from __future__ import annotations

import ctypes
import importlib
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from ctypes import c_int32, c_int64, c_void_p
from functools import cached_property
from typing import Any, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError, EngineError, Error
from .artifact import Artifact
from .library import Library

ABI_VERSION = 1
_ROOT = __name__.removesuffix(".runtime.device")  # ircc
MIRROR = (
    1 << 61
)  # added to a device's address: the same place in the memory that the host has for it (runtime/mirrored.py)
FAILED = -1  # what the table's functions return where a Python device raised

LAUNCH = ctypes.CFUNCTYPE(c_int32, c_void_p, c_int32, c_void_p, c_int64)
COPY = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p, c_int64)
ALLOC = ctypes.CFUNCTYPE(c_void_p, c_void_p, c_int64)
FREE = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)
WAIT = ctypes.CFUNCTYPE(c_int32, c_void_p)


class DeviceTable(ctypes.Structure):
    """struct Device of the native ABI; every function takes `context` first and returns 0 or an error code below 0."""

    _fields_ = (
        ("abi_version", c_int64),
        ("context", c_void_p),
        ("launch", c_void_p),  # int32 (context, int32 kernel, void** args, int64 count)
        ("copy", c_void_p),  # int32 (context, void* to, const void* from, int64 bytes)
        ("alloc", c_void_p),  # void* (context, int64 bytes), null where there is no memory
        ("free", c_void_p),  # void (context, void*)
        ("wait", c_void_p),  # int32 (context)
    )


class Frame(ctypes.Structure):
    """struct Frame of the native ABI: what one run works on."""

    _fields_ = (
        ("plan", c_void_p),
        ("arena", c_void_p),
        ("weights", c_void_p),
        ("inputs", c_void_p),
        ("outputs", c_void_p),
        ("slots", c_void_p),  # memory and size of each
    )


class Code(Protocol):
    """A host program in memory, kept there while this object lives."""

    def address(self, name: str) -> int:
        """Where the exported symbol is. Raises EngineError if there is none."""
        ...


class Meter(Protocol):
    """Measures what the machine can do at best, with the device's threads, so that kernels can be compared with it."""

    def flops(self) -> float:
        """Floating-point operations a second (float32 multiply-adds, each 2)."""
        ...

    def bandwidth(self, size: int) -> float:
        """Bytes a second of reading the same `size` bytes again and again."""
        ...


class Device(ABC):
    """What kernels run on. Addresses are integers that the host program may add offsets to.

    alloc, free, copy, launch and wait are required. launch and copy may return early; they happen in order, and wait
    returns when all are done. An engine may run from many threads, so all of them may be called from many at once.
    """

    #: the device reads and writes host memory at its host address: nothing is copied around a run
    unified = False

    @abstractmethod
    def alloc(self, size: int) -> int:
        """The address of `size` fresh bytes, a multiple of 64, never 0; raises where there are none."""

    @abstractmethod
    def free(self, address: int) -> None:
        """Takes back what `alloc` gave, behind all that was launched and copied before."""

    @abstractmethod
    def copy(self, to: int, source: int, size: int) -> None:
        """Each of the two addresses may be the device's or the host's; they do not overlap."""

    @abstractmethod
    def launch(self, kernel: int, args: Sequence[int]) -> None:
        """Runs kernel number `kernel` of the artifact. args: addresses of buffers, then sizes."""

    @abstractmethod
    def wait(self) -> None:
        """Returns when all that was launched and copied is done."""

    # ---- everything below has a default

    #: the kernels whose code the device's own compiler has made here, by name; who has one has a dict of his own
    built: dict[str, Any] = {}

    @cached_property
    def table(self) -> DeviceTable:
        """The C table. Exceptions become error codes; `failure` gives them back in the thread that raised them."""
        return self._table(self.launch)

    @cached_property
    def _raised(self) -> threading.local:
        return threading.local()

    def failure(self) -> BaseException | None:
        """The first exception that a callback raised in this thread since the last call."""
        found: BaseException | None = getattr(self._raised, "error", None)
        self._raised.error = None
        return found

    def stop(self) -> None:  # noqa: B027 (a default, not a duty)
        """Ends the device's threads, if it has any; runs work afterwards too, only more slowly."""

    def profiled(self, counters: NDArray[np.int64]) -> DeviceTable:
        """A table whose launches add nanoseconds and 1 to `counters[kernel]`, shape (kernels, 2)."""

        def launch(kernel: int, args: Sequence[int]) -> None:
            start = time.perf_counter_ns()
            self.launch(kernel, args)
            self.wait()
            counters[kernel] += (time.perf_counter_ns() - start, 1)

        return self._table(launch)

    def record(self, run: Callable[[], int]) -> Callable[[], None] | None:
        """What `run` launches and copies in this thread, recorded instead of done, to be done by each call of what is
        returned. None where the device cannot do that, or not with this run; `run` returns a code, 0 where all is well.

        Asked only when the same has run before, on the same memory and of the same sizes."""
        del run
        return None

    def meter(self) -> Meter | None:
        """Measures the device's limits, or None where that is not known."""
        return None

    def _table(self, launch: Callable[[int, Sequence[int]], None]) -> DeviceTable:
        raised = self._raised

        def guarded(function: Callable[..., Any], failed: int | None) -> Callable[..., Any]:
            def call(_context: int | None, *args: Any) -> Any:
                try:
                    return function(*args)
                except BaseException as error:  # an exception cannot pass through native code
                    if getattr(raised, "error", None) is None:
                        raised.error = error
                    return failed

            return call

        def launch_with(kernel: int, args: int, count: int) -> int:
            launch(kernel, (c_int64 * count).from_address(args)[:] if count else ())
            return 0

        def copy(to: int | None, source: int | None, size: int) -> int:
            if size:
                self.copy(to or 0, source or 0, size)
            return 0

        def wait() -> int:
            self.wait()
            return 0

        def free(address: int | None) -> None:
            if address:
                self.free(address)

        callbacks = (
            LAUNCH(guarded(launch_with, FAILED)),
            COPY(guarded(copy, FAILED)),
            ALLOC(guarded(self.alloc, None)),
            FREE(guarded(free, None)),
            WAIT(guarded(wait, FAILED)),
        )
        table = DeviceTable(ABI_VERSION, None, *(ctypes.cast(c, c_void_p) for c in callbacks))
        table.keep = callbacks  # type: ignore[attr-defined]  # ctypes would free them
        return table


OpenDevice: TypeAlias = Callable[[Artifact, Code, int], Device]


def find_device(backend: str) -> OpenDevice:
    """The `open_device` of that backend. Raises BackendError where there is none."""
    if backend.isidentifier():
        for name in (f"{_ROOT}.codegen.{backend}.device", f"{_ROOT}.codegen.{backend}"):
            try:
                module = importlib.import_module(name)
            except ModuleNotFoundError as error:
                if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                    raise BackendError(f"the device '{backend}' needs the package {error.name}") from None
                continue
            if found := getattr(module, "open_device", None):
                return cast(OpenDevice, found)
    from importlib.metadata import entry_points  # takes as long to import as the rest of the run time together

    for point in entry_points(group="ircc.devices", name=backend):
        return cast(OpenDevice, point.load())
    known = {"cpu", *entry_points(group="ircc.devices").names}
    raise BackendError(
        f"no device '{backend:.60}' here",
        hint=f"known: {', '.join(sorted(known))}; others come with packages that register an entry point ircc.devices",
    )


def load_code(artifact: Artifact) -> Code:
    """The artifact's host program, loaded into this process: by the system from its file, or as the object that it is.

    The code is the CPU's, whatever the device."""
    if artifact.file is not None:
        return Library(artifact.file, artifact.prefix)
    try:
        module: Any = importlib.import_module(f"{_ROOT}.codegen.cpu.jit")
    except ImportError as error:
        raise EngineError(
            f"code without a file needs llvmlite to load it: {error}", hint="pip install llvmlite"
        ) from None
    return cast(Code, module.load_code(artifact))


def open_device(artifact: Artifact, code: Code, threads: int, backend: str = "") -> Device:
    """The artifact's device, or that of another backend, opened. Anything that goes wrong is an ircc.Error."""
    opener = find_device(backend or artifact.backend)
    try:
        return opener(artifact, code, threads)
    except (Error, MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # third-party code: say whose fault it is
        raise BackendError(f"the device '{backend or artifact.backend}' cannot be opened: {error!r}") from error
