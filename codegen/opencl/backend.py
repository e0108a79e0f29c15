"""The OpenCL backend: kernels as OpenCL C, which the driver of a device compiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any

from xdsl.dialects.builtin import ModuleOp

from ...dialects.loop import Kernel
from ...errors import BackendError
from ...ir.target import Target
from ...runtime.artifact import Artifact
from ..backend import RefusedKernels
from ..simt.backend import WITHOUT_F64, SimtBackend, device_artifact, expanded, target_of
from ..simt.grid import Part
from ..simt.launches import Launches
from ..simt.printer import head_of, print_kernel
from ..simt.words import OPENCL, Words
from .spirv import spirv_and_parts

MOST_REASON = 300  # characters of what the driver's compiler says of a kernel
MOST_PARAMETERS = 1024  # bytes of a kernel's arguments: what the standard guarantees
SPIRV = "opencl:spirv"
PRESETS = {
    "opencl": "OpenCL 1.2 and later with doubles",
    f"opencl{WITHOUT_F64}": "... without doubles: kernels that need them run on the CPU",
    SPIRV: "... that take SPIR-V: kernels made by LLVM, not by the driver's C compiler",
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

    def describe(self, spec: str | None = None) -> Target:
        at_hand = device()
        return replace(super().describe(spec), driver=at_hand.driver() if at_hand else "")

    def instructions(self) -> str:
        return ""  # shuffles are an extension of OpenCL's that PoCL 3.1 lacks

    def supports(self, kernel: Kernel) -> str | None:
        parameters = 16 * len(kernel.args) + 8 * len(kernel.sizes)
        if parameters > MOST_PARAMETERS:
            return f"it takes {parameters} bytes of arguments, OpenCL {MOST_PARAMETERS}"
        if target_of(kernel).name != SPIRV:
            return super().supports(kernel)
        try:
            spirv_and_parts(expanded(kernel))
        except BackendError as error:
            return error.message
        return None

    def emit(self, module: ModuleOp, kind: str) -> str | bytes | Artifact:
        if kind != "artifact":
            return super().emit(module, kind)
        code = spirv_and_parts if Target.of(module).name == SPIRV else code_and_parts
        artifact = device_artifact(module, self.name, code, partial(head_of, words=OPENCL))
        if refused := refusals(Launches(artifact), Target.of(module).driver):
            raise RefusedKernels(refused)
        return artifact


def code_and_parts(kernel: Kernel) -> tuple[str, Sequence[Part]]:
    """A kernel's functions."""
    printed = print_kernel(kernel, OPENCL)
    return printed.code, printed.parts


def device() -> Any:
    """The module of the device's half, where a device is at hand; else None."""
    try:
        found = import_module(f"{__package__}.device")
        found.context()
    except (ImportError, BackendError):
        return None
    return found


def refusals(launches: Launches, driver: str) -> Mapping[str, str]:
    """The kernels that the compiler of a driver does not take, and why; none where it is not the one at hand."""
    at_hand = device() if driver else None
    if at_hand is None or at_hand.driver() != driver:
        return {}
    return {name: why[:MOST_REASON] for name, why in at_hand.compiled(launches)[1].items()}


def backend() -> OpenClBackend:
    """The OpenCL backend, as ircc finds it."""
    return OpenClBackend()
