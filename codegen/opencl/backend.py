"""The OpenCL backend: kernels as OpenCL C, which the device's driver compiles when they first run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from xdsl.dialects.builtin import Float64Type, ModuleOp

from ...dialects.loop import Call, Kernel
from ...errors import BackendError
from ...ir.operands import walk
from ...ir.pipeline import Pipeline, text_of
from ...ir.target import Target
from ...runtime.artifact import Artifact
from ..backend import Backend
from ..cpu.backend import CpuBackend
from ..cpu.machine import host_target
from ..simt.printer import print_kernel, source_of, types_in
from ..simt.words import OPENCL

FOR_CORES = ("propagate-layouts", "winograd", "fuse-rows")  # passes that reckon with caches and vectors of a CPU
SHARED = 32 << 10  # bytes of memory that a group shares: what every GPU has
MOST_PARAMETERS = 1024  # bytes of a kernel's arguments: what the standard guarantees
PRESETS = {
    "opencl": "OpenCL 1.2 and later with doubles",
    "opencl:fp32": "... without doubles: kernels that need them run on the CPU",
}


class OpenClBackend(Backend):
    """Devices with OpenCL."""

    name = "opencl"
    kinds = ("source",)

    def describe(self, spec: str | None = None) -> Target:
        if (name := spec or self.name) not in PRESETS:
            raise BackendError(f"unknown OpenCL target {name!r}", hint=f"known are {', '.join(PRESETS)}")
        return replace(host_target(), name=name, group=OPENCL.group, shared=SHARED)

    def presets(self) -> Mapping[str, str]:
        return PRESETS

    def pipeline(self, stages: Mapping[str, str]) -> Mapping[str, str]:
        return {
            name: ",".join(text_of(p) for p in Pipeline.parse(text) if p.name not in FOR_CORES)
            for name, text in stages.items()
        }

    def supports(self, kernel: Kernel) -> str | None:
        parameters = 16 * len(kernel.args) + 8 * len(kernel.sizes)
        if parameters > MOST_PARAMETERS:
            return f"it takes {parameters} bytes of arguments, OpenCL {MOST_PARAMETERS}"
        module = kernel.parent_op()
        target = Target.of(module) if isinstance(module, ModuleOp) else None
        if target is not None and target.name == "opencl:fp32" and Float64Type() in types_in(kernel):
            return "it computes in f64, which the target lacks"
        try:
            print_kernel(kernel, OPENCL)
        except BackendError as error:
            return error.message
        return None

    def emit(self, module: ModuleOp, kind: str) -> str | Artifact:
        kernels = [op for op in module.body.ops if isinstance(op, Kernel) and op.on != "cpu"]
        if kind == "source":
            return source_of([print_kernel(kernel, OPENCL).code for kernel in kernels], OPENCL)
        if kind != "artifact":
            raise BackendError(f"the opencl backend does not make {kind}")
        calls = [op.callee for op in walk(module) if isinstance(op, Call)]
        group = Target.of(module).group or OPENCL.group
        section = {"group": group, "kernels": described(kernels), "launches": calls}
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
            "parts": [[part.function, str(part.items)] for part in printed.parts],
            "buffers": len(kernel.args),
            "sizes": list(kernel.sizes),
        }
    return found


def backend() -> Backend:
    """The OpenCL backend, as ircc finds it."""
    return OpenClBackend()
