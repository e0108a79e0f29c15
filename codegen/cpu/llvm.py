"""LLVM by way of its text: a module's text in, object code or assembly out, for any target.

Kernels arrive as vector code that is already unrolled, so LLVM's vectorisers and its unroller stay off and the default
pipeline is O0 (the always-inliner only); code generation itself runs at level 3. llvmlite is the only dependency.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import llvmlite.binding as binding

from ...errors import BackendError
from ...runtime.machine import architecture


@dataclass(frozen=True)
class Machine:
    """What code is generated for: an LLVM triple, a CPU name and features such as `+avx2,+fma,-avx512f`."""

    triple: str
    cpu: str = ""
    features: str = ""

    @property
    def architecture(self) -> str:
        """`x86_64`, `aarch64`, ...: what the triple begins with, by one name."""
        return architecture(self.triple)

    @property
    def required(self) -> frozenset[str]:
        """The features that the code may use: those with a plus."""
        return frozenset(f[1:] for f in self.features.split(",") if f.startswith("+"))

    @property
    def links(self) -> bool:
        """Whether its objects are of the format that link.py knows."""
        return self.architecture in ("x86_64", "aarch64", "riscv64", "loongarch64") and "linux" in self.triple


# With these LLVM holds vectors of bfloat16 in registers, where its own checks end the process (a masked load of 32 with
# zeros elsewhere), and converts with instructions that flush subnormals. Values of bfloat16 are computed as float32.
_UNUSED = ("avx512bf16", "avxneconvert")


@cache
def host() -> Machine:
    """The machine that this process runs on."""
    found = binding.get_host_cpu_features()
    found.update((name, False) for name in _UNUSED if name in found)
    features = found.flatten()
    return Machine(binding.get_process_triple(), binding.get_host_cpu_name(), features)


def compile_object(text: str, machine: Machine, *, passes: int = 0) -> bytes:
    """Position-independent object code of the module `text`, its functions optimised at O0 or O1 (`passes`).

    Raises BackendError where LLVM refuses the text, naming the line.
    """
    module, target = _optimised(text, machine, passes)
    return target.emit_object(module)


def compile_assembly(text: str, machine: Machine, *, passes: int = 0) -> str:
    """The same code as text for the assembler."""
    module, target = _optimised(text, machine, passes)
    return target.emit_assembly(module)


def _optimised(text: str, machine: Machine, passes: int) -> tuple[binding.ModuleRef, binding.TargetMachine]:
    _initialize()
    try:
        target = binding.Target.from_triple(machine.triple)
    except RuntimeError as error:
        raise BackendError(f"LLVM does not know the target triple '{machine.triple}': {error}") from None
    target_machine = target.create_target_machine(
        cpu=machine.cpu,
        features=machine.features,
        # LLVM's loops for SPIR-V have integers of 3 bits, which it then takes for 8; drivers optimise for themselves
        opt=0 if machine.architecture.startswith("spirv") else 3,
        reloc="pic",
        codemodel="default",
        # RISC-V and LoongArch have several ABIs; Linux runs the one with doubles in registers
        abiname="lp64d" if machine.architecture.endswith("64") and "d" in machine.required else "",
    )
    try:
        module = binding.parse_assembly(text)
        module.triple = machine.triple
        module.data_layout = str(target_machine.target_data)
        module.verify()
    except RuntimeError as error:
        raise BackendError(f"LLVM refuses the generated code: {str(error).strip()}") from None
    options = binding.create_pipeline_tuning_options(speed_level=passes)
    options.loop_unrolling = False
    options.loop_vectorization = False
    options.loop_interleaving = False
    options.slp_vectorization = False
    builder = binding.create_pass_builder(target_machine, options)
    builder.getModulePassManager().run(module, builder)
    return module, target_machine


@cache
def _initialize() -> None:
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    binding.initialize_native_asmparser()  # without it a module with inline assembly ends the process
