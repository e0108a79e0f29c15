"""NVIDIA GPUs, through the driver's API as the package cuda-bindings has it. Needs NumPy, ctypes and that only.

Everything happens in one stream, in order. Memory comes from the driver's pool, which keeps what was freed. PTX becomes
code for the GPU at hand when a kernel is launched first. A run that comes again is captured as a graph of launches,
which the driver begins as one. CUDA_VISIBLE_DEVICES chooses among several GPUs.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from cuda.bindings import driver  # pyright: ignore[reportAttributeAccessIssue]  (compiled, without stubs)

from ...errors import BackendError, EngineError
from ...runtime.artifact import Artifact
from ...runtime.device import Code, Device
from ..simt.launches import Launches

KEEPS = (1 << 64) - 1  # bytes of freed memory that the pool keeps


def check(what: str, answer: tuple[Any, ...]) -> Any:
    """What a function of the driver returned beside its status. Raises EngineError where that is an error."""
    status, *values = answer
    if status != driver.CUresult.CUDA_SUCCESS:
        raise EngineError(f"CUDA cannot {what}: {getattr(status, 'name', status)}")
    return values[0] if len(values) == 1 else values


@cache
def context() -> Any:
    """The GPU that all engines of this process share, and its context. Raises BackendError where there is none."""
    hint = "install NVIDIA's driver; --target=cpu needs no GPU"
    try:
        check("start", driver.cuInit(0))
        gpu = check("find a GPU", driver.cuDeviceGet(0))
        found = check("make a context", driver.cuDevicePrimaryCtxRetain(gpu))
        pool = check("have memory", driver.cuDeviceGetDefaultMemPool(gpu))
        threshold = driver.CUmemPool_attribute.CU_MEMPOOL_ATTR_RELEASE_THRESHOLD
        check("keep memory", driver.cuMemPoolSetAttribute(pool, threshold, driver.cuuint64_t(KEEPS)))
    except (EngineError, RuntimeError, OSError) as error:
        raise BackendError(f"there is no NVIDIA GPU here: {error}", hint=hint) from error
    return found


@dataclass
class Capture:
    """What a thread captures."""

    stream: Any
    is_over: bool = False


class CudaDevice(Device):
    """One stream; a thread that captures has another one meanwhile."""

    def __init__(self, artifact: Artifact) -> None:
        self.driver: Any = driver
        self.launches = Launches(artifact)
        self.context = context()
        self.current = threading.local()
        self.built: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self.enter()
        self.stream = self.new_stream()

    def new_stream(self) -> Any:
        return check("make a stream", self.driver.cuStreamCreate(driver.CUstream_flags.CU_STREAM_NON_BLOCKING))

    def enter(self) -> None:
        """Each thread has to say which context it means."""
        if not getattr(self.current, "is_set", False):
            check("enter a context", self.driver.cuCtxSetCurrent(self.context))
            self.current.is_set = True

    def alloc(self, size: int) -> int:
        self.enter()
        address = check(f"have {size} bytes of memory", self.driver.cuMemAllocAsync(max(size, 1), self.stream))
        return int(address)

    def free(self, address: int) -> None:
        self.enter()
        check("free memory", self.driver.cuMemFreeAsync(address, self.stream))

    def copy(self, to: int, source: int, size: int) -> None:
        self.enter()  # addresses tell the driver whose they are
        check(f"copy {size} bytes", self.driver.cuMemcpyAsync(to, source, size, self.here()))

    def launch(self, kernel: int, args: Sequence[int]) -> None:
        self.enter()
        name, launches = self.launches.of(kernel, args)
        values = (ctypes.c_int64 * len(args))(*args)
        at = ctypes.addressof(values)
        pointers = (ctypes.c_void_p * len(args))(*(at + 8 * i for i in range(len(args))))
        functions, stream = self.build(name), self.here()
        for function, groups in launches:
            grid, block = (groups, 1, 1), (self.launches.group, 1, 1)
            launched = self.driver.cuLaunchKernel(
                functions[function], *grid, *block, 0, stream, ctypes.addressof(pointers), 0
            )
            check(f"launch {name} for {groups} groups", launched)

    def build(self, name: str) -> dict[str, Any]:
        """The functions of a kernel, as code for this GPU. Raises EngineError."""
        with self._lock:
            if name not in self.built:
                source = self.launches.sources[name].encode() + b"\0"
                module = check(f"make code of kernel {name}", self.driver.cuModuleLoadData(source))
                self.built[name] = {
                    f: check(f"find {f}", self.driver.cuModuleGetFunction(module, f.encode()))
                    for f in self.launches.functions(name)
                }
            return self.built[name]

    def wait(self) -> None:
        self.enter()
        if (capture := self.capture) is not None:
            capture.is_over = True
        else:
            check("finish", self.driver.cuStreamSynchronize(self.stream))

    # ---- graphs

    @property
    def capture(self) -> Capture | None:
        """What this thread captures."""
        return getattr(self.current, "capture", None)

    def here(self) -> Any:
        """The stream that this thread's launches and copies go to."""
        if (capture := self.capture) is None:
            return self.stream
        if capture.is_over:  # the program has read what was computed, to go on by it
            raise EngineError("a run that depends on what it computes cannot be captured")
        return capture.stream

    def record(self, run: Callable[[], int]) -> Callable[[], None] | None:
        """The run as a graph. Other threads go on meanwhile, in the device's stream."""
        self.enter()
        stream = self.new_stream()
        try:
            mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
            check("capture", self.driver.cuStreamBeginCapture(stream, mode))
            self.current.capture = Capture(stream)
            try:
                code = run()
            finally:
                self.current.capture = None
                ended = self.driver.cuStreamEndCapture(stream)
            return Graph(self, check("capture a run", ended)) if code == 0 else None
        except EngineError:  # it can be run all the same
            return None
        finally:
            self.failure()  # of a call that cannot be captured
            self.driver.cuStreamDestroy(stream)


class Graph:
    """Launches and copies that the driver begins as one."""

    def __init__(self, device: CudaDevice, graph: Any) -> None:
        self.device = device
        self.made: Any = None
        try:
            self.made = check("make a graph ready", device.driver.cuGraphInstantiate(graph, 0))
        finally:
            device.driver.cuGraphDestroy(graph)

    def __call__(self) -> None:
        self.device.enter()
        check("begin a graph", self.device.driver.cuGraphLaunch(self.made, self.device.stream))

    def __del__(self) -> None:
        if self.made is not None:
            self.device.driver.cuGraphExecDestroy(self.made)  # when it has run, where it runs


def open_device(artifact: Artifact, code: Code, threads: int) -> CudaDevice:
    """The device of CUDA engines (runtime/device.py)."""
    del code, threads
    return CudaDevice(artifact)
