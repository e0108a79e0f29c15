"""A backend to start from: `ircc new-backend NAME` copies this file into a package of its own.

It works as it is: its kernels are the text of the loop IR, interpreted, which is slow and always right. Make it your
chip's a step at a time; after each one the conformance kit says what still works:

    ircc conformance --backend template --levels L0
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser

from ...codegen.backend import Backend
from ...codegen.cpu.backend import CpuBackend
from ...dialects import context
from ...dialects.loop import Call, Kernel
from ...dialects.loop.evaluate import buffer_type, evaluate_kernel
from ...errors import EngineError
from ...ir.target import Target
from ...runtime.artifact import Artifact, Bytes, address_of, aligned_empty
from ...runtime.device import Code, Device

# ---- the compiler's half: runs when a model is compiled


class TemplateBackend(Backend):
    """A chip to be."""

    name = "template"
    kinds = ("text",)

    # STEP 4. Say what the chip is: for one whose work items run in groups
    # `replace(CpuBackend().describe(), name=self.name, group=32, shared=48 << 10)`. Schedules look at these;
    # the rest is the machine that the chip is in.
    def describe(self, spec: str | None = None) -> Target:
        return CpuBackend().describe()

    # STEP 5. Choose passes. An interpreter wants plain loops; without this method there are schedules for step 4's
    # numbers.
    def pipeline(self, stages: Mapping[str, str]) -> Mapping[str, str]:
        return {**stages, "loop-ir": "tensor-to-loop,plan-memory"}

    # STEP 6. Say of a kernel why the chip cannot run it, and the CPU does: for its types, sizes, operations.
    def supports(self, kernel: Kernel) -> str | None:
        return None

    # STEP 3. Make code of the kernels: `ircc.codegen.simt.printer.print_kernel` prints them as C for GPUs, a printer of
    # your own walks the operations that docs/dialects/loop.md lists. What the device needs goes into `sections`.
    def emit(self, module: ModuleOp, kind: str) -> str | Artifact:
        if kind == "text":
            return str(module)
        artifact = CpuBackend().emit(module, "artifact")  # the host program runs on the CPU
        assert isinstance(artifact, Artifact)
        return replace(artifact, backend=self.name, sections={"kernels": str(module).encode()})


# ---- the device's half: runs engines. Move it to a module of its own, without xdsl, once kernels are no longer text


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
