"""What the CPU can do at best, measured with code made here."""

from __future__ import annotations

import ctypes
import time
from ctypes import c_int64, c_void_p

import numpy as np

from ...runtime.device import Code
from . import peak
from .device import CpuDevice
from .jit import LoadedObject
from .llvm import compile_object, host


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

    def __init__(self, device: CpuDevice, code: Code) -> None:
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
