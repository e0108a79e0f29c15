"""The OpenCL backend: kernels as OpenCL C, which the device's driver compiles when they first run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import ModuleOp

from ...dialects.loop import Kernel
from ...errors import BackendError
from ...runtime.artifact import Artifact
from ..simt.backend import WITHOUT_F64, SimtBackend, device_artifact
from ..simt.grid import Part
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
        return device_artifact(module, self.name, source_and_parts)


def source_and_parts(kernel: Kernel) -> tuple[str, Sequence[Part]]:
    """A kernel as a source by itself."""
    printed = print_kernel(kernel, OPENCL)
    return source_of([printed.code], OPENCL), printed.parts


def backend() -> OpenClBackend:
    """The OpenCL backend, as ircc finds it."""
    return OpenClBackend()
