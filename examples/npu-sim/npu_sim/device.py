"""The device half: the driver of the simulated machine. Needs NumPy and ctypes only."""

from __future__ import annotations

import ctypes
import json
import threading
from bisect import bisect_right, insort
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ircc.errors import BackendError, EngineError, Error
from ircc.runtime.artifact import Artifact, Bytes, address_of, aligned_empty
from ircc.runtime.device import Code, Device

from . import units
from .machine import Array, Fault, Machine, Tile

MEMORY = 8 << 30  # bytes of the machine's global memory
NAMES: dict[str, Any] = {
    "np": np, "Tile": Tile, "inf": np.inf, "PLAIN": units.PLAIN, "TYPED": units.TYPED,
    "compare_floats": units.compare_floats, "compare_integers": units.compare_integers,
}  # fmt: skip
Program = Callable[..., None]


class NpuDevice(Device):
    """One machine with memory of its own. Programs run one after the other."""

    def __init__(self, artifact: Artifact) -> None:
        section = json.loads(artifact.sections["npu-sim"])
        self.sources: dict[str, str] = section["kernels"]
        self.launches: list[str] = section["launches"]
        self.machine = Machine(section["spaces"])
        self.programs: dict[str, Program] = {}
        self.blocks: dict[int, Bytes] = {}
        self.starts: list[int] = []  # sorted
        self.used = 0
        self.lock = threading.RLock()

    def alloc(self, size: int) -> int:
        with self.lock:
            if self.used + size > MEMORY:
                raise EngineError(f"no memory for {size} bytes: the machine has {MEMORY}, {self.used} of them in use")
            try:
                block = aligned_empty((max(size, 1),), np.dtype(np.uint8))
            except (MemoryError, ValueError) as error:
                raise EngineError(f"no memory for {size} bytes") from error
            self.used += len(block)
            self.blocks[address_of(block)] = block
            insort(self.starts, address_of(block))
        return address_of(block)

    def free(self, address: int) -> None:
        with self.lock:
            self.used -= len(self.blocks.pop(address))
            self.starts.remove(address)

    def copy(self, to: int, source: int, size: int) -> None:
        ctypes.memmove(to, source, size)

    def launch(self, kernel: int, args: Sequence[int]) -> None:
        name = self.launches[kernel]
        with self.lock, np.errstate(all="ignore"):
            program = self.program(name)
            self.machine.begin(name)
            try:
                program(self.machine, args, self.array)
                self.machine.end()
            except Error:
                raise
            except Exception as error:
                raise Fault(f"kernel {name}: {error!r}", hint="its program is wrong") from error

    def program(self, name: str) -> Program:
        """A kernel's program, made ready once."""
        if name not in self.programs:
            if name not in self.sources:
                raise BackendError(f"kernel {name} has no program for this machine")
            found: dict[str, Any] = dict(NAMES)
            exec(compile(self.sources[name], f"<{name}>", "exec"), found)
            self.programs[name] = found["program"]
        return self.programs[name]

    def array(self, address: int, dtype: str, shape: tuple[int, ...]) -> Array:
        """A buffer in the machine's memory. Raises Fault where it is outside."""
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        if not size:
            return np.zeros(shape, dtype)
        at = bisect_right(self.starts, address) - 1
        start = self.starts[at] if at >= 0 else 0
        block = self.blocks.get(start)
        if block is None or address + size > start + len(block):
            raise Fault(f"kernel {self.machine.kernel}: {size} bytes at {address} are not in the machine's memory")
        return block[address - start : address - start + size].view(dtype).reshape(shape)

    def wait(self) -> None:
        """Everything has happened already."""


def open_device(artifact: Artifact, code: Code, threads: int) -> NpuDevice:
    """The device of engines for this machine."""
    return NpuDevice(artifact)
