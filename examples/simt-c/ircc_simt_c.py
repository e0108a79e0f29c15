"""A chip of many lanes that is the C compiler's: kernels as C, in a library. Made by docs/bring-your-chip.md."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from xdsl.dialects.builtin import ModuleOp

from ircc.codegen.backend import Backend, RefusedKernels
from ircc.codegen.cpu.backend import CpuBackend
from ircc.codegen.simt.backend import for_devices, own_kernels
from ircc.codegen.simt.grid import MOST_SHARED, Printed
from ircc.codegen.simt.printer import print_kernel, source_of
from ircc.codegen.simt.words import CUDA
from ircc.dialects.loop import Call, Kernel
from ircc.errors import BackendError
from ircc.ir.target import Target
from ircc.runtime.artifact import Artifact

HEAD = """\
#include <math.h>
#include <string.h>
typedef signed char i8; typedef short i16; typedef int i32; typedef long long i64;
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32; typedef unsigned long long u64;
typedef float f32; typedef double f64;
static _Thread_local i64 work_item;
static inline i32 f32_bits(f32 x) { i32 y; memcpy(&y, &x, 4); return y; }
static inline f32 bits_f32(i32 x) { f32 y; memcpy(&y, &x, 4); return y; }
static inline i64 f64_bits(f64 x) { i64 y; memcpy(&y, &x, 8); return y; }
static inline f64 bits_f64(i64 x) { f64 y; memcpy(&y, &x, 8); return y; }
"""

OPTIONS = ("-O1", "-ffp-contract=off", "-fno-strict-aliasing", "-shared", "-fPIC", "-w")

WORDS = replace(
    CUDA,
    name="simt_c",
    suffix=".c",
    head=HEAD,
    kernel="static void",
    helper="static inline",
    shared="static _Thread_local ",
    unroll="",
    barrier="",
    item="work_item",
    group_item="work_item",
    lane="0",
    width="1",
    shuffle="",
    f32_bits="f32_bits({})",
    bits_f32="bits_f32({})",
    f64_bits="f64_bits({})",
    bits_f64="bits_f64({})",
    compiler=("cc", *OPTIONS, "-o", "{object}", "{source}", "-lm"),
    group=1,
    verified=True,
)


class SimtCBackend(Backend):
    """Any machine with a C compiler, as if it were a chip of many lanes."""

    name = "simt_c"

    kinds = ("source",)

    def emit(self, module: ModuleOp, kind: str) -> str | Artifact:
        kernels = {kernel.sym_name.data: kernel for kernel in own_kernels(module)}
        printed = {name: print_kernel(kernel, WORDS) for name, kernel in kernels.items()}
        if kind == "source":
            return source_of([p.code for p in printed.values()], WORDS)
        launched = {
            name: {
                "parts": [[part.function, str(part.items)] for part in printed[name].parts],
                "buffers": len(kernel.args),
                "sizes": list(kernel.sizes),
            }
            for name, kernel in kernels.items()
        }
        calls = [op.callee for op in module.walk() if isinstance(op, Call)]
        listed = json.dumps({"kernels": launched, "launches": calls}, sort_keys=True).encode()
        artifact = CpuBackend().emit(module, "artifact")  # the host program runs on the CPU
        assert isinstance(artifact, Artifact)
        sections = {**artifact.sections, "kernels": listed, "library": library(kernels, printed)}
        return replace(artifact, backend=self.name, sections=sections)

    def describe(self, spec: str | None = None) -> Target:
        return replace(CpuBackend().describe(), name=self.name, group=WORDS.group, shared=MOST_SHARED)

    def pipeline(self, stages: Mapping[str, str]) -> Mapping[str, str]:
        return for_devices(stages)

    def supports(self, kernel: Kernel) -> str | None:
        try:
            print_kernel(kernel, WORDS)
        except BackendError as error:
            return error.message
        return None


def library(kernels: Mapping[str, Kernel], printed: Mapping[str, Printed]) -> bytes:
    """The kernels, compiled. Raises RefusedKernels for those that the compiler does not take: the host runs them."""
    texts = {
        name: p.code + "".join(launcher(part.function, kernels[name]) for part in p.parts)
        for name, p in printed.items()
    }
    made, _ = compiled(list(texts.values()))
    if made is not None:
        return made
    refused = {name: why for name, text in texts.items() if (why := compiled([text])[1])}
    raise RefusedKernels(refused or dict.fromkeys(texts, "the C compiler does not take them together"))


def launcher(function: str, kernel: Kernel) -> str:
    """A function for the driver: all work items of a part of a kernel, one after the other."""
    count = len(kernel.args)
    args = [f"(void *)args[{i}]" for i in range(count)] + [f"args[{count + i}]" for i in range(len(kernel.sizes))]
    return (
        f"void run_{function}(i64 items, const i64 *args) {{\n"
        f"  for (work_item = 0; work_item < items; ++work_item) {function}({', '.join(args)});\n"
        "}\n"
    )


def compiled(code: Sequence[str]) -> tuple[bytes | None, str]:
    """A shared library of this code; or why there is none."""
    with tempfile.TemporaryDirectory(prefix="ircc.") as folder:
        source, made = Path(folder) / f"kernels{WORDS.suffix}", Path(folder) / "kernels.so"
        source.write_text(source_of(code, WORDS))
        command = [word.format(source=source.name, object=made.name) for word in WORDS.compiler]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            return None, next((line for line in done.stderr.splitlines() if "error" in line), "its compiler failed")
        return made.read_bytes(), ""
