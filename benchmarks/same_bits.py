"""Whether an engine file computes the same bits as the engine that it was made from: loaded in Python, and from C.

    python benchmarks/same_bits.py [MODEL.onnx | FOLDER ...] [--inputs FILE.py]

Each model is compiled and run in this process, saved, loaded, and run by examples/c, which is built with `cc` for that
and finds nothing in its environment (but the sizes, where the model leaves some open). It tells which libraries the
file needs, and takes none but libc's. FILE.py has a function `inputs_for(path)`, which gives a dict of arrays;
without it inputs are random. Without models it takes the networks of models.py.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from models import NETWORKS

import ircc
from ircc.cli.console import size

Arrays = Mapping[str, np.ndarray[Any, Any]]
LIBC = {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0"}  # glibc's parts
EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "c"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, help="files, or folders of them (default: models.py)")
    parser.add_argument("--inputs", type=Path, help="a Python file whose inputs_for(path) gives arrays by name")
    args = parser.parse_args()
    draw = inputs_by(args.inputs) if args.inputs else None
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = built(folder)
        for label, model in models_of(args.models, folder):
            try:
                with in_process(model) as engine:
                    inputs = draw(str(model)) if draw else ircc.example_inputs(engine).arrays
                    told, good = checked(engine, inputs, folder, program)
            except Exception as error:  # what one of them cannot do must not hide the others
                told, good = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", False
            wrong += not good
            print(f"{'same' if good else 'WRONG':<6}{label}: {told}", flush=True)
    return 1 if wrong else 0


def inputs_by(file: Path) -> Callable[[str], Arrays]:
    """The function `inputs_for` of a Python file."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.inputs_for


def models_of(given: list[Path], folder: Path) -> list[tuple[str, Path]]:
    """Labels and files."""
    found = [
        (str(file.relative_to(path.parent)), file)
        for path in given
        for file in (sorted(path.rglob("*.onnx")) if path.is_dir() else [path])
    ]
    if not given:
        for name, make in NETWORKS.items():
            onnx.save(make(), folder / f"{name}.onnx")
            found.append((name, folder / f"{name}.onnx"))
    return found


def built(folder: Path) -> Path:
    """The program of examples/c, built in that folder."""
    include = ircc.get_include()
    sources = [EXAMPLE / "run.c", f"{include}/ircc.c"]
    subprocess.run([os.environ.get("CC", "cc"), "-O2", f"-I{include}", "-o", folder / "run", *sources], check=True)
    return folder / "run"


def checked(engine: ircc.Engine, inputs: Arrays, folder: Path, program: Path) -> tuple[str, bool]:
    """What was compared, and whether all of it is the same bits, and the file needs libc alone.

    Raises ircc.Error where the engine cannot be a file; CalledProcessError where the program fails."""
    expected = engine.run(inputs)
    file = folder / "m.engine"
    engine.save(file)
    with ircc.load(file, verify="all") as loaded:
        found: dict[str, Arrays] = {"ircc.load": loaded.run(inputs)}
    found["C"] = from_c(file, engine, inputs, folder, program)
    libraries = needed(file) | needed(program)
    different = [f"{name} ({how})" for how, outputs in found.items() for name in expected
                 if outputs[name].tobytes() != expected[name].tobytes()]  # fmt: skip
    finite = all(np.isfinite(y).all() for y in expected.values() if y.dtype.kind == "f")
    told = [f"engine of {size(file.stat().st_size)}", f"outputs of {size(sum(y.nbytes for y in expected.values()))}"]
    told += [] if finite else ["some not finite"]
    told += [f"differs: {', '.join(different)}"] if different else []
    told += [f"needs {', '.join(sorted(libraries))}"]
    return ", ".join(told), not different and libraries <= LIBC


def in_process(model: Path) -> ircc.Engine:
    """The model compiled here, and not loaded from the file of an earlier time."""
    engine = ircc.compile(model)
    if engine.artifact.file:
        before = os.environ.get("IRCC_CACHE_SIZE")
        os.environ["IRCC_CACHE_SIZE"] = "0"
        try:
            engine = ircc.compile(model)
        finally:
            del os.environ["IRCC_CACHE_SIZE"]
            if before is not None:
                os.environ["IRCC_CACHE_SIZE"] = before
    return engine


def from_c(file: Path, engine: ircc.Engine, inputs: Arrays, folder: Path, program: Path) -> Arrays:
    """The outputs of the C program, as bytes."""
    work = folder / "c"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    for i, port in enumerate(engine.inputs):
        np.ascontiguousarray(inputs[port.name]).tofile(work / f"{i}.in")
    words = [file, *(work / f"{i}.in" for i in range(len(inputs))), "--"]
    words += [work / f"{i}.out" for i in range(len(engine.outputs))]
    sizes = ",".join(str(n) for port in engine.inputs for n in inputs[port.name].shape)
    is_open = any(isinstance(n, str) for port in engine.inputs for n in port.shape)
    subprocess.run([program, *words], env={"SIZES": sizes} if is_open else {}, check=True)
    return {port.name: np.fromfile(work / f"{i}.out", np.uint8) for i, port in enumerate(engine.outputs)}


def needed(file: Path) -> set[str]:
    """The libraries that an ELF file names."""
    told = subprocess.run(["readelf", "-dW", file], capture_output=True, text=True, check=True).stdout
    return {line.partition("[")[2].rstrip("]") for line in told.splitlines() if "(NEEDED)" in line}


if __name__ == "__main__":
    sys.exit(main())
