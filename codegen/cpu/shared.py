"""An engine's code and weights as one ELF shared library, put together by a linker that is there.

The library names no other library: what it calls of libc (memory, threads, snprintf) every process has. So the same
file runs with any libc that has these, and links with any linker, none of which has to find anything. In one case
it does: functions that ircc does not write out as arithmetic (those of float64, powers, rare ones) are in glibc's libm,
which a process may not have. Then the file names libm, and the linker is shown an empty one of that name.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ...errors import EngineError
from ...ir.target import PRESETS
from ...runtime.artifact import Artifact, Bytes
from ...runtime.machine import architecture as architecture_of
from . import api
from .link import can_link, data_object, link, section_of, wanted
from .llvm import Machine, compile_object

LINKER = "IRCC_LINKER"  # in the environment: which one to take
_WEIGHTS = ".ircc.weights"
_PAGE = 4096
_FAR = 1 << 30  # bytes of weights: more of them stand outside of all else, which reaches 2 GiB
_BEHIND, _BEFORE = 1 << 32, 1 << 12  # addresses for them: ld puts nothing between, lld everything else behind them
_EXPORTS = "{ global: ircc_*; v*.ircc_*; local: *; };\n"
_LIBC = {  # what is called of it; whatever else code of kernels calls is in libm
    "aligned_alloc", "clock_gettime", "free", "getauxval", "madvise", "memcmp", "memcpy", "memmove", "memset",
    "pthread_create", "pthread_join", "sched_getaffinity", "sched_yield", "snprintf", "syscall",
}  # fmt: skip
_LIBM = "libm.so.6"  # of glibc on all our machines; musl has it in itself, and takes this name for its own
_OPTIONS = (
    "-shared", "-Bsymbolic", "--build-id=none", "--hash-style=gnu", "-z", "noexecstack", "-z", "now", "-z", "relro",
    "-z", "separate-code", "--discard-locals",
)  # fmt: skip


@dataclass(frozen=True)
class Linked:
    """A library that has been written, and where in it the weights are."""

    weights: int  # bytes from the start of the file
    weights_length: int
    places: tuple[int, ...]  # of each variant's, from there
    prefixes: tuple[str, ...]


def link_library(artifacts: Sequence[Artifact], path: Path) -> Linked:
    """Write the library of these variants, the best one first. Raises EngineError."""
    prefixes = ("",) if len(artifacts) == 1 else tuple(f"v{i}." for i in range(len(artifacts)))
    places, kept, end = lay_out(artifacts)
    target = artifacts[-1].target  # the plainest
    machine = Machine(target["triple"], target["cpu"], target["features"])
    names = [a.target.get("name", "") for a in artifacts]
    version = str(artifacts[0].provenance.get("versions", {}).get("ircc", ""))
    variants = [api.Variant(*v) for v in zip(names, artifacts, prefixes, places, strict=True)]
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".ircc.") as name:
        folder = Path(name)
        objects = [folder / f"{i}.o" for i in range(len(artifacts))]
        for artifact, prefix, file in zip(artifacts, prefixes, objects, strict=True):
            if prefix and not (machine.links and can_link(artifact.object)):
                raise EngineError(f"several variants in one file are not there for {target['triple']}")
            file.write_bytes(link([artifact.object], prefix) if prefix else artifact.object)
        interface = folder / "interface.o"
        interface.write_bytes(compile_object(api.text(variants, version), _plainest(machine)))
        weights = folder / "weights.o"
        with open(weights, "wb") as file:
            data_object(artifacts[0].object, _WEIGHTS, "ircc_weights", list(_padded(kept)), file)
        exports = folder / "exports"
        exports.write_text(_EXPORTS)
        address = _BEFORE if find_linker(machine.architecture)[-1].endswith("lld") else _BEHIND
        far = [f"--section-start={_WEIGHTS}={address:#x}"] if end > _FAR else []
        options = [*_OPTIONS, *far, f"--version-script={exports}", "-o", str(path)]
        math = sorted({n for a in artifacts for n in wanted(a.object) if not n.startswith(("ircc_", "_"))} - _LIBC)
        libm = [_stand_in(machine, math, folder)] if math and "linux" in machine.triple else []
        _link(machine, [*options, *map(str, [*objects, interface, weights, *libm])])
    with open(path, "rb") as file:
        start, length = section_of(file, _WEIGHTS)
    if start % _PAGE:
        raise EngineError("the linker put the weights where no page begins", hint=f"name another one in ${LINKER}")
    return Linked(start, length, tuple(places), prefixes)


def _stand_in(machine: Machine, names: Sequence[str], folder: Path) -> Path:
    """A library called libm that has these functions, for the linker to see. Their bodies are never used."""
    code, library = folder / "libm.o", folder / "libm.so"
    code.write_bytes(compile_object("".join(f"define void @{n}() {{ ret void }}\n" for n in names), _plainest(machine)))
    _link(machine, ["-shared", "--build-id=none", "-soname", _LIBM, "-o", str(library), str(code)])
    return library


def lay_out(artifacts: Sequence[Artifact]) -> tuple[list[int], list[Artifact], int]:
    """Where the weights of each variant are among the file's, the variants whose weights the file has, and the length
    of all. Weights with which others begin are there with them."""
    first: list[int] = []  # for each variant the first one that shares memory with it
    longest: dict[int, Artifact] = {}
    for i, artifact in enumerate(artifacts):
        met = next((k for k, kept in longest.items() if _begins(kept.weights, artifact.weights)), i)
        first.append(met)
        longest[met] = max(longest.get(met, artifact), artifact, key=lambda a: a.weights.size)
    places: dict[int, int] = {}
    end = 0
    for number, artifact in longest.items():
        places[number] = end
        end += -(-artifact.weights.size // _PAGE) * _PAGE or _PAGE
    return [places[k] for k in first], list(longest.values()), end


def _begins(a: Bytes, b: Bytes) -> bool:
    """Whether one of them begins with the other."""
    n = min(a.size, b.size)
    return (n > 0 or a.size == b.size) and (a.ctypes.data == b.ctypes.data or np.array_equal(a[:n], b[:n]))


def _padded(artifacts: Sequence[Artifact]) -> Iterator[tuple[Bytes, int]]:
    """The weights of each variant, and how many zeros come behind them. Linkers leave out what is empty."""
    for artifact in artifacts:
        yield artifact.weights, -artifact.weights.size % _PAGE or _PAGE * (not artifact.weights.size)


def _plainest(machine: Machine) -> Machine:
    """What every machine of this architecture has."""
    for preset in PRESETS.values():
        if architecture_of(preset.triple) == machine.architecture:
            return Machine(machine.triple, preset.cpu, preset.features)
    return machine


# ---- linkers


def _link(machine: Machine, arguments: Sequence[str]) -> None:
    command = find_linker(machine.architecture)
    if command[-1].endswith("cc"):
        arguments = ["-nostdlib", "-shared", *(word for a in arguments for word in ("-Xlinker", a))]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        told = (done.stderr or done.stdout).strip()[-1000:]
        raise EngineError(
            f"the linker {' '.join(command)} failed: {told}",
            hint=f"it may be too old for {machine.architecture}: pip install 'ircc[aot]', or name another in ${LINKER}",
        )


@cache
def find_linker(architecture: str) -> tuple[str, ...]:
    """The command of a linker for that architecture. Raises EngineError where there is none."""
    if chosen := os.environ.get(LINKER):
        return tuple(chosen.split())
    names = ["ld", "ld.lld", "cc"] if architecture == architecture_of() else []
    for name in [*names, f"{architecture}-linux-gnu-ld"]:
        if found := shutil.which(name):
            return (found,)
    if importlib.util.find_spec("ziglang"):
        return (sys.executable, "-m", "ziglang", "ld.lld")
    if found := shutil.which("ld.lld"):
        return (found,)
    raise EngineError(
        f"an engine file needs a linker for {architecture}, and there is none here",
        hint="pip install 'ircc[aot]' brings one; so does binutils, a C compiler or lld. `ircc run MODEL` needs none",
    )
