"""Runs engines for simt_c: NumPy and ctypes are all that it needs."""

from __future__ import annotations

import ctypes
import json
import tempfile
from collections.abc import Sequence

from ircc.errors import EngineError
from ircc.runtime.artifact import Artifact
from ircc.runtime.device import Code, Device
from ircc.runtime.sizes import evaluate

DRIVER = ctypes.CDLL(None)  # the chip's: alloc, free and copy are here the C library's

DRIVER.aligned_alloc.restype = ctypes.c_void_p
DRIVER.aligned_alloc.argtypes = (ctypes.c_size_t, ctypes.c_size_t)

DRIVER.free.argtypes = (ctypes.c_void_p,)
DRIVER.memcpy.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class SimtCDevice(Device):
    """Memory and kernels are the C library's and the C compiler's; everything has happened when a call returns."""

    def __init__(self, artifact: Artifact) -> None:
        listed = json.loads(artifact.sections["kernels"])
        self.launches = [listed["kernels"].get(name) for name in listed["launches"]]  # None: the host's
        with tempfile.NamedTemporaryFile(suffix=".so") as file:
            file.write(artifact.sections["library"])
            file.flush()
            self.library = ctypes.CDLL(file.name)

    def alloc(self, size: int) -> int:
        address = DRIVER.aligned_alloc(64, -(-max(size, 1) // 64) * 64)
        if not address:
            raise EngineError(f"no memory for {size} bytes")
        return address

    def free(self, address: int) -> None:
        DRIVER.free(address)

    def copy(self, to: int, source: int, size: int) -> None:
        DRIVER.memcpy(to, source, size)

    def launch(self, kernel: int, args: Sequence[int]) -> None:
        launched = self.launches[kernel]
        sizes = dict(zip(launched["sizes"], args[launched["buffers"] :], strict=True))
        given = (ctypes.c_int64 * len(args))(*args)
        for function, items in launched["parts"]:
            run = getattr(self.library, f"run_{function}")
            run(ctypes.c_int64(evaluate(items, sizes)), given)

    def wait(self) -> None:
        """Everything has happened already."""


def open_device(artifact: Artifact, code: Code, threads: int) -> SimtCDevice:
    """The device of engines for this chip."""
    return SimtCDevice(artifact)
