"""loop.kernel → SPIR-V for OpenCL, by LLVM: the LLVM text that becomes PTX too (codegen/cuda/emit.py), in other words.

What differs is what LLVM's pointers mean. In SPIR-V a pointer of no address space is to a function's own memory, so all
others become generic ones (address space 4); and a kernel is given a buffer as its beginning (address space 1) and an
offset, as kernels in OpenCL C are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from ...dialects.loop import Kernel
from ...errors import BackendError
from ..cpu.llvm import Machine
from ..cuda.emit import CONVENTION, emit_kernel, module_text
from ..simt.child import child
from ..simt.grid import Part

MACHINE = Machine("spirv64v1.2-unknown-unknown")
CALL = "spir_kernel "  # how a function is called that the driver launches
GENERIC = "ptr addrspace(4)"

# get_group_id, get_local_id, get_local_size and barrier of OpenCL C, by the names that its compilers give them
_ASKED = {"group": "_Z12get_group_idj", "lane": "_Z12get_local_idj", "width": "_Z14get_local_sizej"}
WORDS = (
    "".join(
        f"""\
declare spir_func i64 @{function}(i32)
define internal i64 @ircc.{name}() alwaysinline nounwind {{
  %x = call spir_func i64 @{function}(i32 0)
  ret i64 %x
}}
"""
        for name, function in _ASKED.items()
    )
    + """\
declare spir_func void @_Z7barrierj(i32) convergent
define internal void @ircc.barrier() alwaysinline convergent nounwind {
  call spir_func void @_Z7barrierj(i32 1)
  ret void
}
"""
)

_KERNEL = re.compile(rf"define {CONVENTION}void (\S+)\((.*)\) nounwind {{\nentry:")
_ALLOCA = re.compile(r"^  (%\S+) = (alloca .*)$", re.MULTILINE)
_EXTREME = re.compile(r"^declare (\w+) @llvm\.(maximum|minimum)\.(\w+)\(.*\)$", re.MULTILINE)
_POINTER = re.compile(r"\bptr\b(?! addrspace)")
_ZEROS = "@ircc.zeros = internal constant"


def spirv_text(text: str) -> str:
    """A module of emit.py's as one for SPIR-V."""
    text = text.replace(_ZEROS, _ZEROS.replace("internal", "internal addrspace(1)"))
    text = _ALLOCA.sub(r"  \1.own = \2\n  \1 = addrspacecast OWN \1.own to ptr", text)
    text = re.sub(r"\bptr @ircc\.zeros\b", "ptr addrspacecast (ptr addrspace(1) @ircc.zeros to ptr)", text)
    text = (
        _EXTREME.sub(_extreme, text)
        .replace("@llvm.maximum.", "@ircc.maximum.")
        .replace("@llvm.minimum.", "@ircc.minimum.")
    )
    text = _KERNEL.sub(_kernel, text)
    return WORDS + _POINTER.sub(GENERIC, text).replace("OWN", "ptr")


def _extreme(match: re.Match[str]) -> str:
    """The larger or smaller of two, or NaN; LLVM would take OpenCL's fmax and fmin, which leave NaN out."""
    t, name, suffix = match.groups()
    return f"""\
define internal {t} @ircc.{name}.{suffix}({t} %a, {t} %b) alwaysinline nounwind {{
  %first = fcmp {"ogt" if name == "maximum" else "olt"} {t} %a, %b
  %none = fcmp uno {t} %a, %a
  %take = or i1 %first, %none
  %found = select i1 %take, {t} %a, {t} %b
  ret {t} %found
}}"""


def _kernel(match: re.Match[str]) -> str:
    """The head of a kernel, whose pointers are made of buffers and offsets."""
    parameters: list[str] = []
    lines: list[str] = []
    for parameter in match[2].split(", "):
        kind, name = parameter.split()
        if kind != "ptr":
            parameters.append(parameter)
            continue
        parameters += [f"ptr addrspace(1) {name}.buffer", f"i64 {name}.at"]
        lines += [
            f"  {name}.there = getelementptr i8, ptr addrspace(1) {name}.buffer, i64 {name}.at",
            f"  {name} = addrspacecast ptr addrspace(1) {name}.there to ptr",
        ]
    return "\n".join([f"define {CALL}void {match[1]}({', '.join(parameters)}) nounwind {{", "entry:", *lines])


@lru_cache(maxsize=4096)
def _compiled(text: str) -> bytes | BackendError:
    try:
        return child.object(text, MACHINE)
    except BackendError as error:
        return error


def spirv_and_parts(kernel: Kernel) -> tuple[bytes, Sequence[Part]]:
    """A kernel as a module by itself. Raises BackendError, naming it, where there is none."""
    printed = emit_kernel(kernel)
    found = _compiled(spirv_text(module_text([printed.code])))
    if isinstance(found, BackendError):
        raise BackendError(f"kernel {kernel.sym_name.data}: {found.message}") from found
    return found, printed.parts
