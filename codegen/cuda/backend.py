"""The CUDA backend: kernels as PTX, which the driver compiles for the GPU at hand when they first run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from xdsl.dialects.builtin import ModuleOp

from ...dialects.loop import Kernel
from ...errors import BackendError
from ...ir.target import Target
from ...runtime.artifact import Artifact
from ..backend import Backend
from ..cpu.machine import host_target
from ..simt.backend import LINK, device_artifact, expanded, for_devices, own_kernels, target_of
from ..simt.grid import MOST_SHARED
from ..simt.teams import INSTRUCTIONS
from . import matrix
from .emit import WORDS, emit_kernel, module_text, team_words
from .ptx import compiled

DEFAULT = "sm_80"
MODELS = {"sm_80": "NVIDIA Ampere and later", "sm_90": "NVIDIA Hopper and later"}
GROUP = 256  # work items
TEAM = 32  # ... that shuffle together, as schedules reckon: kernels ask
MOST_PARAMETERS = 4352  # bytes of a kernel's arguments


class CudaBackend(Backend):
    """NVIDIA GPUs, by LLVM and PTX."""

    name = "cuda"
    kinds = ("llvm-ir", "ptx")

    def presets(self) -> Mapping[str, str]:
        named = {f"{self.name}:{model}": text for model, text in MODELS.items()}
        return {self.name: f"{MODELS[DEFAULT]}, unverified on hardware"} | named

    def describe(self, spec: str | None = None) -> Target:
        name = spec or self.name
        model_of(name)
        return replace(host_target(), name=name, group=GROUP, team=TEAM, shared=MOST_SHARED, link=LINK)

    def instructions(self) -> str:
        return matrix.INSTRUCTIONS + INSTRUCTIONS

    def pipeline(self, stages: Mapping[str, str]) -> Mapping[str, str]:
        return for_devices(stages)

    def supports(self, kernel: Kernel) -> str | None:
        parameters = 8 * (len(kernel.args) + len(kernel.sizes))
        if parameters > MOST_PARAMETERS:
            return f"it takes {parameters} bytes of arguments, CUDA {MOST_PARAMETERS}"
        try:
            ptx_of([expanded(kernel)], model_of(target_of(kernel).name))
        except BackendError as error:
            return error.message
        return None

    def emit(self, module: ModuleOp, kind: str) -> str | bytes | Artifact:
        model = model_of(Target.of(module).name)
        match kind:
            case "llvm-ir":
                text = module_text(emit_kernel(kernel).code for kernel in own_kernels(module))
                return WORDS + team_words(text) + text
            case "ptx":
                return ptx_of(own_kernels(module), model)
            case "artifact":
                return device_artifact(module, self.name, lambda k: (ptx_of([k], model), emit_kernel(k).parts))
            case _:
                raise BackendError(f"the {self.name} backend does not make {kind}")


def model_of(target: str) -> str:
    """`sm_80` of `cuda:sm_80`. Raises BackendError for an unknown one."""
    model = target.partition(":")[2] or DEFAULT
    if model not in MODELS:
        raise BackendError(f"unknown GPU {model!r}", hint=f"known are {', '.join(MODELS)}")
    return model


def ptx_of(kernels: Sequence[Kernel], model: str) -> str:
    """PTX of kernels. Raises BackendError, naming them, where there is none."""
    found = compiled(module_text(emit_kernel(kernel).code for kernel in kernels), model)
    if isinstance(found, BackendError):
        names = ", ".join(kernel.sym_name.data for kernel in kernels)
        raise BackendError(f"kernel {names}: {found.message}") from found
    return found


def backend() -> CudaBackend:
    """The CUDA backend, as ircc finds it."""
    return CudaBackend()
