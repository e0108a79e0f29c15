"""The CPU as a device, and the loader of native code. Needs llvmlite and NumPy, nothing of the compiler."""

from __future__ import annotations

import atexit
import ctypes
import itertools
import os
import threading
import time
import weakref
from collections.abc import Sequence
from ctypes import c_int32, c_int64, c_void_p
from functools import cache, cached_property
from typing import cast

import llvmlite.binding as binding
import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError, EngineError
from ...runtime import threads as cores
from ...runtime.artifact import Artifact
from ...runtime.device import Device, DeviceTable
from . import peak, perf
from .llvm import Machine, compile_object, host

# Rounds of an idle worker before it sleeps: some 0.1 ms, longer than the serial work between two kernels. Workers that
# have no core of their own must not take the caller's.
SPIN = 2000
SPIN_CROWDED = 20

_CONTEXT_PROFILE = 8  # offset of the profile in the context (codegen/cpu/pool.py)
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
    target = Machine(**{key: artifact.target.get(key, "") for key in ("triple", "cpu", "features")})
    here = host()
    hint = "compile the model again here, or with --target for this machine"
    if _platform(target) != _platform(here):
        raise EngineError(f"the engine is for {target.triple}, this machine is {here.triple}", hint=hint)
    if missing := sorted(target.required - here.required):
        raise EngineError(f"this machine lacks what the engine needs: {', '.join(missing)}", hint=hint)
    code = LoadedObject(artifact.object)
    if "perf" in os.environ.get("IRCC_LOG", ""):
        perf.write_map(artifact.object, code.address, "ircc_main")
    return code


def _platform(machine: Machine) -> tuple[str, str]:
    architecture = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine.architecture, machine.architecture)
    systems = [s for s in ("linux", "darwin", "macosx", "windows") if s in machine.triple]
    return architecture, systems[0].replace("macosx", "darwin") if systems else machine.triple


class CpuDevice(Device):
    """Kernels in this process, on `threads` threads, the caller's among them. Its table holds native functions only."""

    unified = True

    def __init__(self, code: LoadedObject, threads: int) -> None:
        def function(name: str, result: type | None, *args: type) -> ctypes._FuncPointer:  # pyright: ignore[reportPrivateUsage]
            return ctypes.CFUNCTYPE(result, *args)(code.address(name))

        self.threads = threads
        spin = SPIN if threads <= cores.available() else SPIN_CROWDED
        self._address = function("ircc_cpu_open", c_void_p, c_int32, c_int32)(threads, spin)
        if not self._address:
            raise BackendError("no memory for the CPU device")
        self._code = code
        self._alloc = function("ircc_cpu_alloc", c_void_p, c_void_p, c_int64)
        self._free = function("ircc_cpu_free", None, c_void_p, c_void_p)
        self._launch = function("ircc_cpu_launch", c_int32, c_void_p, c_int32, c_void_p, c_int64)
        self._stop_pool = function("ircc_pool_stop", None, c_void_p)
        self._forked_pool = function("ircc_pool_forked", None, c_void_p)
        close = function("ircc_cpu_close", None, c_void_p)
        # At exit a daemon thread may still run the code: then the workers are stopped (below) and nothing is freed.
        # `code` in the arguments: it must outlive the workers.
        weakref.finalize(self, _close, close, self._address, code).atexit = False
        _devices.add(self)

    @cached_property
    def table(self) -> DeviceTable:
        return DeviceTable.from_address(self._address)

    @property
    def pool(self) -> int | None:
        return c_void_p.from_address(self.table.context).value

    def alloc(self, size: int) -> int:
        address = self._alloc(self.table.context, size)
        if not address:
            raise EngineError(f"no memory for {size} bytes of intermediate results")
        return cast(int, address)

    def free(self, address: int) -> None:
        self._free(self.table.context, address)

    def copy(self, to: int, source: int, size: int) -> None:
        ctypes.memmove(to, source, size)

    def launch(self, kernel: int, args: Sequence[int]) -> None:
        values = (c_int64 * len(args))(*args)
        self._launch(self.table.context, kernel, values, len(args))

    def wait(self) -> None:
        pass

    def stop(self) -> None:
        self._stop_pool(self.pool)

    def forked(self) -> None:
        """Called in a forked child, where the workers do not exist: the first job there starts new ones."""
        self._forked_pool(self.pool)

    def profiled(self, counters: NDArray[np.int64]) -> DeviceTable:
        table = DeviceTable.from_buffer_copy(self.table)
        table.launch = self._code.address("ircc_cpu_profile_launch")
        c_void_p.from_address(self.table.context + _CONTEXT_PROFILE).value = counters.ctypes.data
        return table

    def meter(self) -> CpuMeter:
        return CpuMeter(self, self._code)


class _PeakArgs(ctypes.Structure):
    _fields_ = (
        ("iterations", c_int64),
        ("memory", c_void_p),
        ("size", c_int64),
        ("sink", c_void_p),
        ("x", ctypes.c_float),  # with x = 15/16 and y = 1/16, x·a + y goes to 1: no denormals, no overflow
        ("y", ctypes.c_float),
    )


class CpuMeter:
    """The machine's limits, measured by the engine's own pool: see peak.py."""

    CHUNKS = 8  # per thread, as many as a kernel has
    ITERATIONS = 60_000  # of the multiply-add loop per chunk: with 8 chunks some 3 ms, like a kernel

    def __init__(self, device: CpuDevice, code: LoadedObject) -> None:
        machine = host()
        self._peak = LoadedObject(compile_object(peak.text(machine), machine), ("ircc_peak_flops", "ircc_peak_read"))
        run = ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_void_p, c_int64)
        self._run = run(code.address("ircc_pool_run"))
        self._device = device
        self._chunks = self.CHUNKS * device.threads
        self._flops_per_iteration = peak.flops_per_iteration(machine)
        self._sink = np.zeros(self._chunks * peak.SINK_BYTES, np.uint8)
        self._memory = np.zeros(0, np.uint8)

    def flops(self) -> float:
        seconds = self._measure("ircc_peak_flops", self.ITERATIONS, 0)
        return self._chunks * self.ITERATIONS * self._flops_per_iteration / seconds

    def bandwidth(self, size: int) -> float:
        each = max(peak.READ_BYTES, size // self._chunks // peak.READ_BYTES * peak.READ_BYTES)
        if self._memory.size < each * self._chunks:
            self._memory = np.ones(each * self._chunks + 64, np.uint8)
        passes = max(1, (1 << 20) // each)
        seconds = self._measure("ircc_peak_read", passes, each)
        return self._chunks * each * passes / seconds

    def _measure(self, name: str, iterations: int, size: int) -> float:
        memory = self._memory.ctypes.data if size else 0
        args = _PeakArgs(iterations, memory + (-memory % 64), size, self._sink.ctypes.data, 0.9375, 0.0625)
        clock = time.perf_counter_ns
        start = clock()
        self._run(self._device.pool, self._peak.address(name), ctypes.addressof(args), self._chunks)
        return max(clock() - start, 1) * 1e-9


def open_device(artifact: Artifact, code: LoadedObject, threads: int) -> CpuDevice:
    """The device of CPU engines (runtime/device.py)."""
    del artifact  # all it needs is in the object
    return CpuDevice(code, threads)


_devices: weakref.WeakSet[CpuDevice] = weakref.WeakSet()


def _close(close: ctypes._FuncPointer, address: int, code: LoadedObject) -> None:  # pyright: ignore[reportPrivateUsage]
    close(address)
    del code  # only now


def _stop_all() -> None:
    for device in list(_devices):
        device.stop()


def _forked_all() -> None:
    for device in list(_devices):
        device.forked()


atexit.register(_stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked_all)
