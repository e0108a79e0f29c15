"""Engines for other architectures: made here, run from C in an emulator, compared with what they compute.

    python benchmarks/cross.py MODEL.onnx ... [--targets aarch64,riscv64,riscv64-v] [--inputs FILE.py]

FILE.py has a function `inputs_for(path)`, as for same_bits.py; without it inputs are random. A row says how far the
outputs are from ONNX Runtime's, as a part of the largest number of each, on this machine and in the emulators. All
round, each in its own order: what is within BOUND, or off by no more than TIMES as much as this machine is, passes. The
times are those of an emulator.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from same_bits import inputs_by

import ircc
from ircc.compiler import Compilation
from ircc.runtime.examples import example_inputs
from ircc.runtime.file import read_engine

Array = np.ndarray[Any, Any]
Draw = Callable[[str], Mapping[str, Array]]
ROOT = Path(__file__).resolve().parents[1]
BOUND, TIMES = 1e-5, 4.0
EMULATORS = {  # of a target: the emulator and its options
    "aarch64": ("qemu-aarch64",),
    "riscv64": ("qemu-riscv64", "-cpu", "rv64,v=false"),
    "riscv64-v": ("qemu-riscv64", "-cpu", "rv64,v=true,vlen=256,vext_spec=v1.0"),  # registers of more than it asks for
    "loongarch64": ("qemu-loongarch64",),  # for which Debian 12 has no compiler
}
TARGETS = ("aarch64", "riscv64", "riscv64-v")


def architecture_of(target: str) -> str:
    """The first word of the tools' names: aarch64, riscv64."""
    return target.partition("-")[0]


def missing(target: str) -> str:
    """What is not here to run engines for a target, and how it is had; empty where all of it is."""
    architecture = architecture_of(target)
    for tool in (EMULATORS[target][0], f"{architecture}-linux-gnu-gcc"):
        if not shutil.which(tool):
            return f"no {tool} here: `make emulators`, or Debian's qemu-user and gcc-{architecture}-linux-gnu"
    return ""


def build(target: str, folder: Path) -> Path:
    """The program of examples/c for the architecture of a target."""
    architecture = architecture_of(target)
    program = folder / f"run.{architecture}"
    if not program.exists():
        place = ROOT / "runtime" / "c"
        sources = [str(ROOT / "examples" / "c" / "run.c"), str(place / "ircc.c")]
        command = [f"{architecture}-linux-gnu-gcc", "-O1", "-std=c11", f"-I{place}", "-o", str(program), *sources]
        subprocess.run([*command, "-ldl"], check=True)
    return program


def emulated(
    target: str, program: Path, engine: Path, inputs: Mapping[str, Array], shapes: Mapping[str, Sequence[int]]
) -> dict[str, Array]:
    """The outputs of an engine file, whose shapes are `shapes`. Raises RuntimeError with what the program says."""
    artifact = read_engine(engine).artifacts[0]
    with tempfile.TemporaryDirectory(dir=program.parent) as name:
        folder = Path(name)
        given = [np.ascontiguousarray(inputs[p.name]) for p in artifact.inputs]
        for i, array in enumerate(given):
            array.tofile(folder / f"in{i}")
        files = [str(folder / f"in{i}") for i in range(len(given))]
        results = [folder / f"out{i}" for i in range(len(artifact.outputs))]
        sizes = ",".join(str(n) for array in given for n in array.shape)
        root = f"/usr/{architecture_of(target)}-linux-gnu"
        command = [*EMULATORS[target], "-L", root, str(program), str(engine), *files, "--", *map(str, results)]
        done = subprocess.run(command, env={"SIZES": sizes}, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the emulator ends with {done.returncode}: {done.stderr.strip()[-500:]}")
        found = {p.name: np.fromfile(f, p.dtype) for p, f in zip(artifact.outputs, results, strict=True)}
    for output, array in found.items():
        if array.size != np.prod(shapes[output], dtype=np.int64):
            raise RuntimeError(f"{output} has {array.size} elements, expected {list(shapes[output])}")
    return {output: array.reshape(shapes[output]) for output, array in found.items()}


def distance(found: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    """The largest difference, as a part of the largest number of an output."""
    worst = 0.0
    for name, right in expected.items():
        a, b = found[name].astype(np.float64), right.astype(np.float64)
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        off = np.where(same, 0, np.abs(a - b))
        most = np.abs(b[np.isfinite(b)]).max(initial=1e-6)
        worst = max(worst, float(np.nan_to_num(off, nan=np.inf).max(initial=0)) / float(most))
    return worst


def by_onnxruntime(model: Path, inputs: Mapping[str, Array]) -> dict[str, Array]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return {n: np.asarray(v) for n, v in zip(names, session.run(names, dict(inputs)), strict=True)}


def row(model: Path, draw: Draw | None, targets: Sequence[str], folder: Path) -> tuple[str, bool]:
    """A line of the table, and whether all of it is within the bound."""
    here = ircc.compile(model)
    inputs = draw(str(model)) if draw else example_inputs(here).arrays
    own, expected = here.run(inputs), by_onnxruntime(model, inputs)
    least = distance(own, expected)
    open_sizes = ", ".join(map(str, here.artifact.symbols)) or "none"
    cells, fine = [model.stem, open_sizes, f"{least:.1e}"], True
    for target in targets:
        engine = folder / f"{target}.engine"
        Compilation(target=f"cpu:{target}").save(model, engine)
        start = time.perf_counter()
        shapes = {name: array.shape for name, array in expected.items()}
        off = distance(emulated(target, build(target, folder), engine, inputs, shapes), expected)
        within = off <= max(BOUND, TIMES * least)
        cells.append(f"{off:.1e}{'' if within else ' TOO FAR'} ({time.perf_counter() - start:.0f} s)")
        fine &= within
    return f"| {' | '.join(cells)} |", fine


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--targets", default=",".join(TARGETS), help=f"some of {', '.join(EMULATORS)}")
    parser.add_argument("--inputs", type=Path, help="a Python file whose inputs_for(path) gives arrays by name")
    args = parser.parse_args()
    draw = inputs_by(args.inputs) if args.inputs else None
    targets = args.targets.split(",")
    if lacking := [told for target in targets if (told := missing(target))]:
        print("\n".join(lacking), file=sys.stderr)
        return 1
    os.environ.setdefault("IRCC_CACHE_SIZE", "0")
    print(f"| model | open sizes | here | {' | '.join(targets)} |\n|{'---|' * (3 + len(targets))}")
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for model in args.models:
            try:
                line, fine = row(model, draw, targets, Path(folder))
            except (ircc.Error, RuntimeError) as error:
                line, fine = f"| {model.stem} | {' '.join(str(error).split())} |", False
            print(line, flush=True)
            wrong += not fine
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
