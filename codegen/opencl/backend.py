"""The OpenCL backend: kernels as OpenCL C, which the device's driver compiles when they first run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from xdsl.dialects.builtin import ModuleOp

from ...dialects.loop import Call, Kernel
from ...errors import BackendError
from ...ir.operands import walk
from ...ir.target import Target
from ...runtime.artifact import Artifact
from ..backend import Backend
from ..cpu.backend import CpuBackend
from ..simt.backend import WITHOUT_F64, SimtBackend, own_kernels
from ..simt.printer import print_kernel, source_of
from ..simt.words import OPENCL, Words

MOST_PARAMETERS = 1024  # bytes of a kernel's arguments: what the standard guarantees
PRESETS = {
    "opencl": "OpenCL 1.2 and later with doubles",
    f"opencl{WITHOUT_F64}": "... without doubles: kernels that need them run on the CPU",
}


class OpenClBackend(SimtBackend):
    """Devices with OpenCL."""

    name = "opencl"

    def words(self, target: str) -> Words:
        if target not in PRESETS:
            raise BackendError(f"unknown OpenCL target {target!r}", hint=f"known are {', '.join(PRESETS)}")
        return OPENCL

    def presets(self) -> Mapping[str, str]:
        return PRESETS

    def supports(self, kernel: Kernel) -> str | None:
        parameters = 16 * len(kernel.args) + 8 * len(kernel.sizes)
        if parameters > MOST_PARAMETERS:
            return f"it takes {parameters} bytes of arguments, OpenCL {MOST_PARAMETERS}"
        return super().supports(kernel)

    def emit(self, module: ModuleOp, kind: str) -> str | bytes | Artifact:
        if kind != "artifact":
            return super().emit(module, kind)
        calls = [op.callee for op in walk(module) if isinstance(op, Call)]
        section = {
            "group": Target.of(module).group,
            "kernels": described(own_kernels(module)),
            "launches": calls,
        }
        artifact = CpuBackend().emit(module, "artifact")
        assert isinstance(artifact, Artifact)
        text = json.dumps(section, sort_keys=True, separators=(",", ":"))
        return replace(artifact, backend=self.name, sections={**artifact.sections, self.name: text.encode()})


def described(kernels: Iterable[Kernel]) -> dict[str, Any]:
    """What the device must know of kernels: their sources and parts, and what they take."""
    found: dict[str, Any] = {}
    for kernel in kernels:
        printed = print_kernel(kernel, OPENCL)
        found[kernel.sym_name.data] = {
            "source": source_of([printed.code], OPENCL),
            "parts": [[part.function, str(part.items), part.groups] for part in printed.parts],
            "buffers": len(kernel.args),
            "sizes": list(kernel.sizes),
        }
    return found


def backend() -> Backend:
    """The OpenCL backend, as ircc finds it."""
    return OpenClBackend()
