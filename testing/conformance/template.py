"""A backend to start from: `ircc new-backend NAME` copies this file and `template_device.py` into a package of its own.

The compiler's half: runs when a model is compiled. It works as it is, because its device interprets kernels: slow, and
always right. Make it your chip's a step at a time, as docs/bring-your-chip.md does; after each one the conformance kit
says what still works:

    ircc conformance --backend template --levels L0
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from xdsl.dialects.builtin import ModuleOp

from ...codegen.backend import Backend
from ...codegen.cpu.backend import CpuBackend
from ...dialects.loop import Kernel
from ...ir.target import Target
from ...runtime.artifact import Artifact


class TemplateBackend(Backend):
    """A chip to be."""

    name = "template"
    kinds = ("text",)

    # STEP 2. Make code of the kernels: `ircc.codegen.simt.printer.print_kernel` prints them as C for GPUs, a printer of
    # your own walks the operations that docs/dialects/loop.md lists. What the device needs goes into `sections`.
    def emit(self, module: ModuleOp, kind: str) -> str | Artifact:
        if kind == "text":
            return str(module)
        artifact = CpuBackend().emit(module, "artifact")  # the host program runs on the CPU
        assert isinstance(artifact, Artifact)
        return replace(artifact, backend=self.name, sections={"kernels": str(module).encode()})

    # STEP 3. Say what the chip is: for one whose work items run in groups
    # `replace(CpuBackend().describe(), name=self.name, group=32, shared=48 << 10)`. Schedules look at these;
    # the rest is the machine that the chip is in.
    def describe(self, spec: str | None = None) -> Target:
        return CpuBackend().describe()

    # STEP 3. Choose passes. An interpreter wants plain loops; without this method there are schedules for the numbers
    # of the description.
    def pipeline(self, stages: Mapping[str, str]) -> Mapping[str, str]:
        return {**stages, "loop-ir": "tensor-to-loop,plan-memory"}

    # STEP 3. Say of a kernel why the chip cannot run it, and the CPU does: for its types, sizes, operations.
    def supports(self, kernel: Kernel) -> str | None:
        return None
