"""Kernels compiled and called one by one, on buffers that lie between memory that must not be touched."""

import ctypes
import mmap
import os
import signal
from collections.abc import Sequence
from ctypes import c_int32, c_int64, c_void_p
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from ircc.codegen.cpu import llvm, pool
from ircc.codegen.cpu.emit import emit_kernel, kernel_symbol
from ircc.codegen.cpu.jit import LoadedObject
from ircc.codegen.cpu.machine import host_target
from ircc.codegen.cpu.scalars import ScalarEmitter
from ircc.codegen.cpu.text import SUPPORT
from ircc.dialects.loop import Kernel
from ircc.ir.target import PRESETS, Target

PAGE = mmap.PAGESIZE
REDZONE = 0xA5  # what bytes around a buffer hold
LIMIT = 60  # seconds for one batch of calls
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = (c_void_p, ctypes.c_size_t, ctypes.c_int)


class Guarded:
    """A buffer that ends at a page that cannot be read, and before which bytes of a known pattern lie.

    The memory is shared with forked children, so that what they write is seen here."""

    def __init__(self, array: np.ndarray) -> None:
        pages = -(-max(1, array.nbytes) // PAGE)
        self.map = mmap.mmap(-1, (pages + 2) * PAGE)
        self.start = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        for page in (0, pages + 1):
            assert _libc.mprotect(self.start + page * PAGE, PAGE, 0) == 0
        whole = np.frombuffer(self.map, np.uint8)
        self.before = whole[PAGE : (pages + 1) * PAGE - array.nbytes]
        self.before[:] = REDZONE
        self.array = (
            whole[(pages + 1) * PAGE - array.nbytes : (pages + 1) * PAGE].view(array.dtype).reshape(array.shape)
        )
        self.array[...] = array
        self.address = self.start + (pages + 1) * PAGE - array.nbytes

    def untouched(self) -> bool:
        """Whether the bytes in front of the buffer are as they were."""
        return bool((self.before == REDZONE).all())


@dataclass
class Call:
    """One call of a kernel: buffers in order (results are read from them), then its sizes."""

    kernel: str
    buffers: list[np.ndarray]
    sizes: Sequence[int] = ()
    guarded: list[Guarded] = field(default_factory=list[Guarded])

    @property
    def results(self) -> list[np.ndarray]:
        return [g.array for g in self.guarded]


class Native:
    """Kernels in this process."""

    @staticmethod
    def machine_of(target: Target) -> llvm.Machine:
        return llvm.Machine(target.triple, target.cpu, target.features)

    @staticmethod
    def module_text(kernels: Sequence[Kernel], triple: str) -> str:
        """LLVM text of kernels without a host program."""
        scalars = ScalarEmitter()
        parts = [emit_kernel(k, scalars) for k in kernels]
        table = "@ircc_kernels = constant [0 x ptr] []\n"
        return "\n".join([table, SUPPORT, *parts, pool.text(triple), *sorted(scalars.declarations), ""])

    def __init__(self, kernels: Sequence[Kernel], target: Target | None = None) -> None:
        machine = self.machine_of(target or host_target())
        names = [k.sym_name.data for k in kernels]
        exports = [kernel_symbol(n) for n in names]
        code = llvm.compile_object(self.module_text(kernels, machine.triple), machine)
        self.code = LoadedObject(code, (*exports, "ircc_pool_create", "ircc_pool_destroy"))
        self.functions = {
            n: ctypes.CFUNCTYPE(None, c_void_p, c_void_p)(self.code.address(e))
            for n, e in zip(names, exports, strict=True)
        }

    def call(self, kernel: str, pointers: Sequence[int], sizes: Sequence[int], pool: int | None = None) -> None:
        args = (c_int64 * (len(pointers) + len(sizes) + 1))(*pointers, *sizes)
        launch = (c_void_p * 2)(pool, None)
        self.functions[kernel](ctypes.addressof(launch), ctypes.addressof(args))

    def run(self, calls: Sequence[Call]) -> None:
        """Run calls one after the other, in a child process: what crashes there fails here, by name.

        Raises AssertionError for a crash, a call that does not end, and bytes written in front of a buffer."""
        for c in calls:
            c.guarded = [Guarded(b) for b in c.buffers]
        progress = np.frombuffer(mmap.mmap(-1, PAGE), np.int64)
        if (child := os.fork()) == 0:
            try:
                signal.alarm(LIMIT)
                for i, c in enumerate(calls):
                    progress[0] = i
                    self.call(c.kernel, [g.address for g in c.guarded], c.sizes)
                os._exit(0)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        if status:
            at = calls[progress[0]]
            number = status & 127
            why = signal.Signals(number).name if number else f"status {status}"
            raise AssertionError(f"kernel {at.kernel!r} with sizes {list(at.sizes)} ended by {why}")
        for c in calls:
            for i, g in enumerate(c.guarded):
                assert g.untouched(), f"kernel {c.kernel!r} wrote in front of buffer {i}"

    def pools(self, threads: int) -> "Pool":
        return Pool(self, threads)


class Pool:
    """A worker pool of a loaded module, for `Native.call`."""

    def __init__(self, native: Native, threads: int) -> None:
        create = ctypes.CFUNCTYPE(c_void_p, c_int32, c_int32)(native.code.address("ircc_pool_create"))
        self.destroy = ctypes.CFUNCTYPE(None, c_void_p)(native.code.address("ircc_pool_destroy"))
        self.address: int | None = create(threads, 100)

    def __enter__(self) -> int | None:
        return self.address

    def __exit__(self, *_: Any) -> None:
        if self.address:
            self.destroy(self.address)


def runnable(target: Target) -> bool:
    """Whether this machine can run code for a target that is not its own."""
    here, machine = llvm.host(), Native.machine_of(target)
    same = machine.architecture == here.architecture and machine.required <= here.required
    return same and target.vector_bits < host_target().vector_bits


TARGETS = {"host": host_target()} | {name: t for name, t in PRESETS.items() if runnable(t)}


@pytest.fixture(scope="session")
def native() -> type[Native]:
    """Makes loaded kernels: `native(kernels, target)`."""
    return Native


@pytest.fixture(scope="session")
def call() -> type[Call]:
    return Call


@pytest.fixture(params=sorted(TARGETS))
def target(request: pytest.FixtureRequest) -> Target:
    """Every described target that this machine can run code for."""
    return TARGETS[request.param]
