"""The device's half of a backend to start from (`template.py`): runs engines.

Only what interprets kernels needs xdsl. Once kernels are code, this file needs NumPy and ctypes, and engines load
without the compiler.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from xdsl.parser import Parser

from ...dialects import context
from ...dialects.loop import Call, Kernel
from ...dialects.loop.evaluate import buffer_type, evaluate_kernel
from ...errors import EngineError
from ...runtime.artifact import Artifact, Bytes, address_of, aligned_empty
from ...runtime.device import Code, Device


class TemplateDevice(Device):
    """Memory of its own, apart from the host's."""

    def __init__(self, artifact: Artifact) -> None:
        module = Parser(context(), artifact.sections["kernels"].decode()).parse_module()
        kernels = {op.sym_name.data: op for op in module.body.ops if isinstance(op, Kernel)}
        self.kernels = [kernels[op.callee] for op in module.walk() if isinstance(op, Call)]  # in order of launch
        self.memory: dict[int, Bytes] = {}

    # STEP 1. Memory: your driver's. Addresses are numbers, multiples of 64; the host program adds offsets to them.
    def alloc(self, size: int) -> int:
        try:
            block = aligned_empty((max(size, 1),), np.dtype(np.uint8))
        except (MemoryError, ValueError) as error:
            raise EngineError(f"no memory for {size} bytes") from error
        self.memory[address_of(block)] = block
        return address_of(block)

    def free(self, address: int) -> None:
        del self.memory[address]

    def copy(self, to: int, source: int, size: int) -> None:  # from or to the host, or inside of the device
        ctypes.memmove(to, source, size)

    # STEP 2. Launch kernel number `kernel` of the program: addresses of its buffers, then its sizes.
    def launch(self, kernel: int, args: Sequence[int]) -> None:
        called = self.kernels[kernel]
        sizes = dict(zip(called.sizes, args[len(called.args) :], strict=True))
        arrays: list[Any] = []
        for argument, address in zip(called.args, args, strict=False):
            type_ = buffer_type(argument)
            shape = [int(size.evaluate(symbols=sizes)) for size in type_.sizes]
            count = int(np.prod(shape)) * type_.dtype.itemsize
            memory = np.ctypeslib.as_array((ctypes.c_uint8 * count).from_address(address))
            arrays.append(memory.view(type_.dtype).reshape(shape))
        evaluate_kernel(called, arrays, sizes)

    def wait(self) -> None:
        """Everything has happened already."""


def open_device(artifact: Artifact, code: Code, threads: int) -> TemplateDevice:
    """The device of engines for this chip."""
    return TemplateDevice(artifact)
