"""The CPU as a device. Needs NumPy only, for the engines that are files."""

from __future__ import annotations

import atexit
import ctypes
import importlib
import os
import weakref
from collections.abc import Sequence
from ctypes import c_int32, c_int64, c_void_p
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError, EngineError
from ...runtime import threads as cores
from ...runtime.artifact import Artifact
from ...runtime.device import Code, Device, DeviceTable, Meter

_CONTEXT_PROFILE = 8  # offset of the profile in the context (codegen/cpu/pool.py)


class CpuDevice(Device):
    """Kernels in this process, on `threads` threads, the caller's among them. Its table holds native functions only."""

    unified = True

    def __init__(self, code: Code, threads: int) -> None:
        def function(name: str, result: type | None, *args: type) -> ctypes._FuncPointer:  # pyright: ignore[reportPrivateUsage]
            return ctypes.CFUNCTYPE(result, *args)(code.address(name))

        self.threads = threads
        spin = cores.SPIN if threads <= cores.available() else cores.SPIN_CROWDED
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

    def meter(self) -> Meter | None:
        try:
            made: Any = importlib.import_module(".meter", __package__)
        except ImportError:  # it is measured with code made here, by llvmlite
            return None
        return made.CpuMeter(self, self._code)


def open_device(artifact: Artifact, code: Code, threads: int) -> CpuDevice:
    """The device of CPU engines (runtime/device.py)."""
    del artifact  # all it needs is in the object
    return CpuDevice(code, threads)


_devices: weakref.WeakSet[CpuDevice] = weakref.WeakSet()


def _close(close: ctypes._FuncPointer, address: int, code: Code) -> None:  # pyright: ignore[reportPrivateUsage]
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
