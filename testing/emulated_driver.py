"""NVIDIA's driver on the CPU, as far as codegen/cuda/device.py calls it: engines for `cuda` run without a GPU.

    with emulated():
        engine = ircc.compile("model.onnx", target="cuda")

The kernels are the text that becomes PTX (emulated_gpu.py); in such engines it stands in the place of PTX."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np

from ..codegen.cuda import backend, device
from .emulated_gpu import Grid

driver: Any = device.driver  # for its constants
CUresult = driver.CUresult
ALIGNMENT = 256
MOST = 1 << 33  # bytes of one piece of memory


Graph = list[Callable[[], object]]


class Stream:
    """What is to be done is done at once, or captured."""

    captured: Graph | None = None

    def do(self, step: Callable[[], object]) -> None:
        if self.captured is None:
            step()
        else:
            self.captured.append(step)


class EmulatedDriver:
    """Its functions return a status and values, as the driver's do; what else it is asked for is the driver's own."""

    def __init__(self) -> None:
        self.memory: dict[int, Any] = {}
        self.launched = 0  # functions; those that are captured count once
        self.graphs = 0  # that are there
        self.replayed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(driver, name)

    def done(self, *values: Any) -> tuple[Any, ...]:
        return CUresult.CUDA_SUCCESS, *values

    def cuInit(self, flags: int) -> Any:
        return self.done()

    def cuDeviceGet(self, number: int) -> Any:
        return self.done(number)

    def cuDevicePrimaryCtxRetain(self, gpu: int) -> Any:
        return self.done("context")

    def cuCtxSetCurrent(self, context: str) -> Any:
        return self.done()

    def cuDeviceGetDefaultMemPool(self, gpu: int) -> Any:
        return self.done("pool")

    def cuMemPoolSetAttribute(self, pool: str, attribute: Any, value: Any) -> Any:
        return self.done()

    def cuStreamCreate(self, flags: Any) -> Any:
        return self.done(Stream())

    def cuStreamDestroy(self, stream: Stream) -> Any:
        return self.done()

    def cuStreamSynchronize(self, stream: Stream) -> Any:
        return self.done() if stream.captured is None else (CUresult.CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,)

    def cuStreamBeginCapture(self, stream: Stream, mode: Any) -> Any:
        stream.captured = []
        return self.done()

    def cuStreamEndCapture(self, stream: Stream) -> Any:
        found, stream.captured = stream.captured, None
        return self.done(found)

    def cuGraphInstantiate(self, graph: Graph, flags: int) -> Any:
        self.graphs += 1
        return self.done(tuple(graph))

    def cuGraphDestroy(self, graph: Graph) -> Any:
        graph.clear()
        return self.done()

    def cuGraphLaunch(self, graph: tuple[Callable[[], object], ...], stream: Stream) -> Any:
        self.replayed += 1
        for step in graph:
            step()
        return self.done()

    def cuGraphExecDestroy(self, graph: object) -> Any:
        self.graphs -= 1
        return self.done()

    def cuMemAllocAsync(self, size: int, stream: Stream) -> Any:
        if not 0 < size <= MOST:
            return CUresult.CUDA_ERROR_OUT_OF_MEMORY, 0
        block = np.empty(size + ALIGNMENT, np.uint8)
        address = -(-block.ctypes.data // ALIGNMENT) * ALIGNMENT
        self.memory[address] = block
        return self.done(address)

    def cuMemFreeAsync(self, address: int, stream: Stream) -> Any:
        found = self.memory.pop(address, None)
        return self.done() if found is not None else (CUresult.CUDA_ERROR_INVALID_VALUE,)

    def cuMemcpyAsync(self, to: int, source: int, size: int, stream: Stream) -> Any:
        stream.do(partial(ctypes.memmove, to, source, size))
        return self.done()

    def cuModuleLoadData(self, image: bytes) -> Any:
        return self.done(Grid(image.rstrip(b"\0").decode()))

    def cuModuleGetFunction(self, module: Grid, name: bytes) -> Any:
        found = name.decode()
        return self.done((module, found)) if found in module.parameters else (CUresult.CUDA_ERROR_NOT_FOUND, None)

    def cuLaunchKernel(self, function: tuple[Grid, str], *rest: Any) -> Any:
        """Groups of one lane: a function of groups is run once for each; else once for each work item."""
        groups, _, _, width, _, _, _, stream, pointers, _ = rest
        module, name = function
        count = len(module.parameters[name])
        places = (ctypes.c_int64 * count).from_address(pointers)
        args = [ctypes.c_int64.from_address(place).value for place in places]
        stream.do(partial(module.launch, name, groups if module.is_shared(name) else groups * width, args))
        self.launched += 1
        return self.done()


@contextmanager
def emulated() -> Generator[EmulatedDriver]:
    """In this block, `cuda` is a GPU that the CPU plays."""
    device.context.cache_clear()
    found = EmulatedDriver()
    with patch.object(device, "driver", found), patch.object(backend, "compiled", lambda text, model: text):
        yield found
    device.context.cache_clear()
