"""Sources for machines of many lanes, in any dialect that there are words for: text for their makers' compilers."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from xdsl.dialects.builtin import Float64Type, ModuleOp

from ...dialects.loop import Call, Kernel
from ...errors import BackendError
from ...ir.operands import walk
from ...ir.pipeline import Pipeline, text_of
from ...ir.target import Target
from ...passes.expand_math import ExpandMath
from ...runtime.artifact import Artifact
from ..backend import Backend
from ..cpu.backend import CpuBackend
from ..cpu.machine import host_target
from .grid import MOST_SHARED, Part
from .printer import print_kernel, source_of, types_in
from .teams import INSTRUCTIONS
from .words import DIALECTS, Words

FOR_CORES = ("propagate-layouts", "winograd", "fuse-rows")  # passes that reckon with caches and vectors of a CPU
LINK = 12  # bytes a nanosecond between the memories of a GPU and its host, as PCI Express has them
WITHOUT_F64 = ":fp32"  # ends the names of targets that have no doubles


class SimtBackend(Backend):
    """Sources of kernels for GPUs, in several dialects of C."""

    name = "simt"
    kinds: ClassVar[tuple[str, ...]] = ("source",)

    def words(self, target: str) -> Words:
        """The dialect of a target of this name. Raises BackendError for an unknown one."""
        found = DIALECTS.get(target.partition(":")[2].removesuffix(WITHOUT_F64))
        if found is None:
            raise BackendError(f"unknown target {target!r}", hint=f"known are {', '.join(self.presets())}")
        return found

    def presets(self) -> Mapping[str, str]:
        return {
            f"{self.name}:{name}": "kernels as source" + ("" if words.verified else ", unverified on hardware")
            for name, words in DIALECTS.items()
        }

    def describe(self, spec: str | None = None) -> Target:
        name = spec or self.name
        words = self.words(name)
        return replace(host_target(), name=name, group=words.group, team=words.teams, shared=MOST_SHARED, link=LINK)

    def instructions(self) -> str:
        return INSTRUCTIONS

    def pipeline(self, stages: Mapping[str, str]) -> Mapping[str, str]:
        return for_devices(stages)

    def supports(self, kernel: Kernel) -> str | None:
        target = target_of(kernel).name
        if target.endswith(WITHOUT_F64) and Float64Type() in types_in(kernel):
            return "it computes in f64, which the target lacks"
        try:
            print_kernel(kernel, self.words(target))
        except BackendError as error:
            return error.message
        return None

    def emit(self, module: ModuleOp, kind: str) -> str | bytes | Artifact:
        words = self.words(Target.of(module).name)
        if kind != "source":
            raise BackendError(
                f"the {self.name} backend does not make {kind}",
                hint="it prints kernels: --emit=source; opencl runs them",
            )
        return source_of([print_kernel(kernel, words).code for kernel in own_kernels(module)], words)


def for_devices(stages: Mapping[str, str]) -> Mapping[str, str]:
    """The passes of each stage but for those that reckon with a CPU."""
    return {
        name: ",".join(text_of(p) for p in Pipeline.parse(text) if p.name not in FOR_CORES)
        for name, text in stages.items()
    }


Code = Callable[[Kernel], tuple[str | bytes, Sequence[Part]]]  # a kernel as its device's driver takes it


def described(kernels: Iterable[Kernel], code: Code) -> dict[str, Any]:
    """What a device must know of kernels: their sources, or binaries, and the parts in them, and what they take."""
    found: dict[str, Any] = {}
    for kernel in kernels:
        source, parts = code(kernel)
        found[kernel.sym_name.data] = {
            **({"source": source} if isinstance(source, str) else {"binary": b64encode(source).decode()}),
            "parts": [[part.function, str(part.items), part.groups] for part in parts],
            "buffers": len(kernel.args),
            "sizes": list(kernel.sizes),
        }
    return found


def device_artifact(
    module: ModuleOp, name: str, code: Code, head: Callable[[str], str] = lambda sources: ""
) -> Artifact:
    """The compiled host program, and in the section `name` the width of a group, the kernels described, and which
    launch is of which. `head`: what stands in front of all sources together, and may stand in front of each."""
    launches = [op.callee for op in walk(module) if isinstance(op, Call)]
    kernels = described(own_kernels(module), code)
    section = {
        "group": Target.of(module).group,
        "head": head("\n".join(kernel.get("source", "") for kernel in kernels.values())),
        "kernels": kernels,
        "launches": launches,
    }
    artifact = CpuBackend().emit(module, "artifact")
    assert isinstance(artifact, Artifact)
    text = json.dumps(section, sort_keys=True, separators=(",", ":"))
    return replace(artifact, backend=name, sections={**artifact.sections, name: text.encode()})


def own_kernels(module: ModuleOp) -> Sequence[Kernel]:
    """The kernels of a module that do not run on the host."""
    return [op for op in module.body.ops if isinstance(op, Kernel) and not op.on_host]


def expanded(kernel: Kernel) -> Kernel:
    """The kernel as the pass expand-math will leave it, which may be still to come."""
    if not any(op.name.startswith("math.") for op in walk(kernel)):
        return kernel
    module = ModuleOp([kernel.clone()])
    ExpandMath().run(module)
    (found,) = module.body.ops
    assert isinstance(found, Kernel)
    return found


def target_of(kernel: Kernel) -> Target:
    """The target that a kernel's module is for."""
    module = kernel.parent_op()
    assert isinstance(module, ModuleOp)
    return Target.of(module)


def backend() -> Backend:
    """The backend of sources, as ircc finds it."""
    return SimtBackend()
