"""OpenCL devices, through pyopencl. Needs NumPy and pyopencl only, for the engines that are files.

Addresses are numbers of this module's own, far above those of host memory: OpenCL names memory by objects, so each
address is found again as a buffer and an offset in it. Kernels are built when they are launched first, and once.
PYOPENCL_CTX chooses among several devices.
"""

from __future__ import annotations

import ctypes
import re
import threading
from bisect import bisect_right, insort
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
import pyopencl as cl

from ...errors import BackendError, EngineError
from ...runtime.artifact import Artifact
from ...runtime.device import Code, Device
from ..simt.launches import Launches

FIRST = 1 << 62  # the first address
GAP = 64  # bytes between two buffers, so that an empty one at the end of one is not the next one's
EXACT_DIVISION = "-cl-fp32-correctly-rounded-divide-sqrt"


@cache
def context() -> Any:
    """The device that all engines of this process share. Raises BackendError where there is none."""
    try:
        return cl.create_some_context(interactive=False)
    except (cl.Error, RuntimeError, IndexError) as error:
        raise BackendError(
            f"there is no OpenCL device: {error}", hint="install a driver; PoCL runs on any CPU (pocl-opencl-icd)"
        ) from error


def driver() -> str:
    """The device at hand and its driver. Raises BackendError where there is none."""
    device = context().devices[0]
    return f"{device.platform.name} {device.driver_version}, {device.name}"


@lru_cache(maxsize=256)
def program(source: str | bytes) -> Any:
    """A source, or SPIR-V, compiled by the driver: once in this process. Raises BackendError with what it says."""
    device = context().devices[0]
    exact = device.single_fp_config & cl.device_fp_config.CORRECTLY_ROUNDED_DIVIDE_SQRT
    try:
        return cl.Program(context(), source).build(options=[EXACT_DIVISION] if exact else [])
    except cl.Error as error:
        said = re.search(r"error: (?:\S+?:(?=\d+:))?(.*)", str(error))  # without the name of a file
        raise BackendError(f"the OpenCL compiler refuses it: {said[1] if said else error}") from error


def compiled(launches: Launches) -> tuple[dict[str, Any], dict[str, str]]:
    """The programs that kernels are in, by kernel: one for all of them, which is made in a fraction of the time; where
    the driver refuses that, one for each. And why it refuses some."""
    sources = launches.sources
    try:
        together = program(launches.head + "\n".join(sources.values())) if sources else None
        made, alone = dict.fromkeys(sources, together), dict[str, str]()
    except BackendError:
        made, alone = dict[str, Any](), {name: launches.head + source for name, source in sources.items()}
    refused: dict[str, str] = {}
    for name, code in {**alone, **launches.binaries}.items():
        try:
            made[name] = program(code)
        except BackendError as error:
            refused[name] = error.message
    return made, refused


class OpenClDevice(Device):
    """One queue, in which things happen in order."""

    def __init__(self, artifact: Artifact) -> None:
        self.launches = Launches(artifact)
        self.context = context()
        self.queue = cl.CommandQueue(self.context)
        self.built: dict[str, dict[str, Any]] = {}
        self.programs: dict[str, Any] = {}  # by kernel; one may be for all
        self.refused: dict[str, str] = {}  # by kernel: what the driver says
        self._lock = threading.RLock()
        self._starts: list[int] = []  # sorted
        self._buffers: dict[int, Any] = {}
        self._next = FIRST

    def alloc(self, size: int) -> int:
        try:
            buffer = cl.Buffer(self.context, cl.mem_flags.READ_WRITE, max(size, 1))
        except cl.Error as error:
            raise EngineError(f"no memory for {size} bytes on the OpenCL device: {error}") from error
        with self._lock:
            address = self._next
            self._next += -(-(size + GAP) // GAP) * GAP
            insort(self._starts, address)
            self._buffers[address] = buffer
        return address

    def free(self, address: int) -> None:
        with self._lock:
            self._starts.remove(address)
            buffer = self._buffers.pop(address)
        self.queue.finish()
        buffer.release()

    def find(self, address: int) -> tuple[Any, int]:
        """The buffer that an address lies in, and the offset there."""
        with self._lock:
            start = self._starts[bisect_right(self._starts, address) - 1]
            return self._buffers[start], address - start

    def copy(self, to: int, source: int, size: int) -> None:
        if to < FIRST and source < FIRST:
            self.queue.finish()
            ctypes.memmove(to, source, size)
        elif to < FIRST:
            buffer, offset = self.find(source)
            cl.enqueue_copy(self.queue, _bytes(to, size), buffer, src_offset=offset, is_blocking=True)
        elif source < FIRST:
            buffer, offset = self.find(to)
            cl.enqueue_copy(self.queue, buffer, _bytes(source, size), dst_offset=offset, is_blocking=True)
        else:
            (target, there), (buffer, here) = self.find(to), self.find(source)
            cl.enqueue_copy(self.queue, target, buffer, src_offset=here, dst_offset=there, byte_count=size)

    def launch(self, kernel: int, args: Sequence[int]) -> None:
        name, launches = self.launches.of(kernel, args)
        count = self.launches.buffers[name]
        given: list[Any] = []
        for address in args[:count]:
            buffer, offset = self.find(address)
            given += [buffer, np.int64(offset)]
        given += [np.int64(size) for size in args[count:]]
        width = self.launches.group
        with self._lock:  # a kernel's arguments are set one by one
            functions = self.build(name)
            for launch in launches:
                function = functions[launch.function]
                function.set_args(*given)
                cl.enqueue_nd_range_kernel(self.queue, function, (launch.groups * width,), (width,))

    def build(self, name: str) -> dict[str, Any]:
        """The functions of a kernel, compiled. Raises BackendError."""
        if name not in self.built:
            if not self.programs and not self.refused:
                self.programs, self.refused = compiled(self.launches)
            if name in self.refused:
                hint = "compile the model where it runs: kernels that the driver refuses then run on the host"
                raise BackendError(f"kernel {name}: {self.refused[name]}", hint=hint)
            self.built[name] = {f: cl.Kernel(self.programs[name], f) for f in self.launches.functions(name)}
        return self.built[name]

    def wait(self) -> None:
        self.queue.finish()


def _bytes(address: int, size: int) -> Any:
    """Memory of the host as an array."""
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))


def open_device(artifact: Artifact, code: Code, threads: int) -> OpenClDevice:
    """The device of OpenCL engines (runtime/device.py)."""
    del code, threads
    return OpenClDevice(artifact)
