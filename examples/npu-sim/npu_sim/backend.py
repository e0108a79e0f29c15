"""The compiler's half: what the machine is, what it can do, and programs for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from xdsl.dialects.builtin import ModuleOp

from ircc.codegen.backend import Backend
from ircc.codegen.cpu.backend import CpuBackend
from ircc.dialects.loop import Call, Kernel
from ircc.errors import BackendError
from ircc.ir.operands import walk
from ircc.ir.pipeline import Pipeline, text_of
from ircc.ir.target import Target
from ircc.runtime.artifact import Artifact
from ircc.schedules.nest import nest_of
from ircc.schedules.strategy import Case, Strategy

from .instructions import ACCUMULATOR, LANES, SCRATCHPAD, TYPES, declarations
from .matrix import NpuMatrix
from .program import program_of, type_name
from .vector import NpuVector

SPACES = {"scratchpad": SCRATCHPAD, "accumulator": ACCUMULATOR}
FOR_CORES = ("propagate-layouts", "winograd", "fuse-rows")  # passes that reckon with caches and vectors of a CPU
KNOWN = frozenset({"npu.matmul"})


class NpuBackend(Backend):
    """A simulated tile machine: scratchpads, copies that take time, a 16 x 16 matrix unit, a vector unit."""

    name = "npu-sim"
    kinds = ("source",)

    def describe(self, spec: str | None = None) -> Target:
        spaces = " ".join(f"{name}={size}" for name, size in SPACES.items())
        host = CpuBackend().describe()
        return replace(host, name=self.name, group=1, spaces=spaces, vector_bits=32 * LANES)

    def instructions(self) -> str:
        return declarations()

    def pipeline(self, stages: Mapping[str, str]) -> Mapping[str, str]:
        return {
            name: ",".join(text_of(p) for p in Pipeline.parse(text) if p.name not in FOR_CORES)
            for name, text in stages.items()
        }

    def supports(self, kernel: Kernel) -> str | None:
        if kernel.applied is None:
            return self.refusal(kernel)
        try:
            program_of(kernel, SPACES)
        except BackendError as error:
            return error.message
        return None

    def refusal(self, kernel: Kernel) -> str | None:
        """Why a kernel that is not scheduled yet will not run here."""
        for arg in kernel.args:
            if (name := type_name(arg.type.element_type)) not in TYPES:  # pyright: ignore
                return f"its units have no {name}"
        nest = nest_of(kernel)
        if nest is None or nest.ordered:
            return "only its scalar unit could do it, step by step"
        if any(r.data for r in (*nest.reads, *nest.finish_reads, nest.store)):
            return "its indices depend on data, which copies know nothing of"
        case = Case(nest, self.describe(), instructions=KNOWN)
        strategies: tuple[Strategy, ...] = (NpuMatrix(), NpuVector())
        if any(d.size == 0 for d in nest.dims) or any(s.choices(case) is not None for s in strategies):
            return None
        return "no schedule fits it: sizes that are not known, steps that are uneven, or windows that are too large"

    def emit(self, module: ModuleOp, kind: str) -> str | bytes | Artifact:
        kernels = [op for op in module.body.ops if isinstance(op, Kernel) and not op.on_host]
        sources: dict[str, str] = {}
        for kernel in kernels:
            try:
                sources[kernel.sym_name.data] = program_of(kernel, SPACES)
            except BackendError as error:
                raise BackendError(f"kernel {kernel.sym_name.data}: {error.message}") from error
        if kind == "source":
            return "\n".join(f"# {name}\n{text}" for name, text in sources.items())
        if kind != "artifact":
            raise BackendError(f"the {self.name} backend does not make {kind}", hint="--emit=source shows its programs")
        artifact = CpuBackend().emit(module, "artifact")  # the host program runs on the CPU
        assert isinstance(artifact, Artifact)
        launches = [op.callee for op in walk(module) if isinstance(op, Call)]
        section = {"kernels": sources, "launches": launches, "spaces": SPACES}
        text = json.dumps(section, sort_keys=True, separators=(",", ":"))
        return replace(artifact, backend=self.name, sections={**artifact.sections, self.name: text.encode()})
