"""From a file on disk to its first output: time, memory and size of an engine beside what other runtimes need; how long
the system's loader takes until an engine could run, and how much of it two processes share.

    python benchmarks/startup.py [MODEL.onnx ...] [--rounds 7] [--peers onnxruntime,openvino,iree] [--page FILE]

Every start is a process of its own, the runtimes in turns; the file lies in the system's cache. What is counted begins
when NumPy is there, because all of them import it, and ends with the first output. ircc and IREE compile beforehand and
start from their own file, the others from the ONNX file. A runtime that is not installed has no column.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnx
from models import NETWORKS

import ircc
from ircc.cli.console import size
from ircc.cli.machine import processor

BEFORE = """
import sys, time
import numpy as np
path, threads = sys.argv[1], int(sys.argv[2])
start = time.perf_counter()
def zeros(shape, dtype): return np.zeros([n if isinstance(n, int) and n > 0 else 1 for n in shape], dtype)
"""
AFTER = """
taken = time.perf_counter() - start
(most,) = (line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(taken, int(most) * 1024)
"""
RUNTIMES = {  # the package, and how a program runs a model with it
    "ircc": ("ircc", """
import ircc
engine = ircc.load(path, threads)
engine.run({p.name: zeros(p.shape, p.dtype) for p in engine.inputs})
"""),
    "ONNX Runtime": ("onnxruntime", """
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
types = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32}
session.run(None, {p.name: zeros(p.shape, types[p.type]) for p in session.get_inputs()})
"""),
    "OpenVINO": ("openvino", """
import openvino
settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
model = openvino.Core().compile_model(path, "CPU", settings)
model([zeros([d.get_length() if d.is_static else 1 for d in p.get_partial_shape()], p.get_element_type().to_dtype())
       for p in model.inputs])
"""),
    "IREE": ("iree", """
import json
import iree.runtime
iree.runtime.flags.parse_flags(f"--task_topology_group_count={threads}")
config = iree.runtime.Config("local-task")
context = iree.runtime.SystemContext(config=config)
module = iree.runtime.VmModule.mmap(config.vm_instance, path)
context.add_vm_module(module)
main = next(name for name in module.function_names if not name.startswith("_") and "$" not in name)
inputs = json.load(open(path.removesuffix("vmfb") + "json"))
found = context.modules.module[main](*(zeros(shape, dtype) for shape, dtype in inputs))
[y.to_host() for y in (found if isinstance(found, (list, tuple)) else [found])]
"""),
}  # fmt: skip
IREE_OPTIONS = [
    "--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu",
    "--iree-llvmcpu-target-cpu=host",
]  # fmt: skip

READY = """
import ctypes, sys, time
context, engine = ctypes.c_void_p(), ctypes.c_void_p()
start = time.perf_counter()
library = ctypes.CDLL(sys.argv[1])
failed = library.ircc_engine_create(0, ctypes.byref(engine))
failed = failed or library.ircc_context_create(engine, ctypes.byref(context))
print(time.perf_counter() - start)
sys.exit(failed)
"""
HOLD = """
print("run", flush=True)
sys.stdin.read()
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, help="files (default: the networks of models.py)")
    parser.add_argument("--rounds", type=int, default=7, help="starts of each runtime (7)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of each (all cores)")
    parser.add_argument("--page", type=Path, help="write the table to this file, as Markdown")
    known = [package for package, _ in list(RUNTIMES.values())[1:]]
    parser.add_argument("--peers", help=f"some of {','.join(known)} (all that are installed)")
    args = parser.parse_args()
    wanted = args.peers.split(",") if args.peers else [package for package in known if find_spec(package)]
    if missing := [package for package in wanted if package not in known or not find_spec(package)]:
        parser.error(f"not installed, or not known: {', '.join(missing)}")
    names = [name for name, (package, _) in RUNTIMES.items() if package in ["ircc", *wanted]]
    rows: list[list[str]] = []
    loads: list[list[str]] = []
    busy: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for model in args.models or written(Path(folder)):
            engine = Path(folder) / f"{model.stem}.engine"
            ircc.compile(model).save(engine)
            files = dict.fromkeys(names, model) | {"ircc": engine}
            if "IREE" in names:
                files["IREE"] = iree_module(model, Path(folder))
            rows.append(row(model, files, args.rounds, args.threads))
            loads.append(load(engine, args.rounds, args.threads))
            busy.append(os.getloadavg()[0])
            print(" | ".join([*rows[-1], *loads[-1][1:]]), flush=True)
    if args.page:
        args.page.write_text(page(names, rows, loads, args.threads, statistics.median(busy)))
    return 0


def written(folder: Path) -> list[Path]:
    """The networks of models.py as files."""
    for name, make in NETWORKS.items():
        onnx.save(make(), folder / f"{name}.onnx")
    return [folder / f"{name}.onnx" for name in NETWORKS]


def iree_module(model: Path, folder: Path) -> Path:
    """What IREE makes of a model for this machine. Raises CalledProcessError."""
    text, module = folder / f"{model.stem}.mlir", folder / f"{model.stem}.vmfb"
    tools = [sys.executable, "-m", "iree.compiler.tools.import_onnx", str(model), "-o", str(text)]
    subprocess.run(tools, check=True)
    compile_file: Any = importlib.import_module("iree.compiler.tools").compile_file
    compile_file(str(text), output_file=str(module), extra_args=IREE_OPTIONS)
    inputs = onnx.load(model, load_external_data=False).graph.input  # the module does not say what it takes
    shapes = [[d.dim_value for d in p.type.tensor_type.shape.dim] for p in inputs]
    types = [onnx.helper.tensor_dtype_to_np_dtype(p.type.tensor_type.elem_type).name for p in inputs]
    module.with_suffix(".json").write_text(json.dumps(list(zip(shapes, types, strict=True))))
    return module


def row(model: Path, files: Mapping[str, Path], rounds: int, threads: int) -> list[str]:
    """The cells for a model: sizes of the files, then what each runtime takes, as medians over the rounds."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in files}
    for i in range(rounds + 1):  # the first round fills the system's cache
        for name, file in files.items():
            taken = started(name, file, threads)
            found[name] += [taken] * (i > 0)
    own = [statistics.median(values) for values in zip(*found["ircc"], strict=True)]
    cells = [model.stem, *(size(file.stat().st_size) for file in dict.fromkeys([model, *files.values()]))]
    for name in files:
        time, memory = (statistics.median(values) for values in zip(*found[name], strict=True))
        ratio = "" if name == "ircc" else f" ({time / own[0]:.1f} x)"
        cells.append(f"{1e3 * time:.0f} ms{ratio}, {size(int(memory))}")
    return cells


def started(name: str, path: Path, threads: int) -> tuple[float, float]:
    """Seconds to the first output and bytes of memory at most, of one start."""
    command = [sys.executable, "-c", BEFORE + RUNTIMES[name][1] + AFTER, str(path), str(threads)]
    environment: Mapping[str, str] = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    seconds, memory = map(float, done.stdout.split()[-2:])
    return seconds, memory


def load(engine: Path, rounds: int, threads: int) -> list[str]:
    """The cells for an engine that is loaded: time until it could run, and the memory of two processes that have run
    it: what each has (RSS), and its part where what both have is shared out between them (PSS)."""
    command = [sys.executable, "-c", READY, str(engine)]
    taken = [
        float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(rounds + 1)
    ]
    words = [sys.executable, "-c", f"{BEFORE}{RUNTIMES['ircc'][1]}{HOLD}", str(engine), str(threads)]
    memory: dict[str, list[int]] = {"Rss": [], "Pss": []}
    with ExitStack() as stack:
        both = [
            stack.enter_context(subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)) for _ in "12"
        ]
        for process in both:
            assert process.stdout is not None and process.stdout.readline() == b"run\n"
        for process in both:
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            for key, values in memory.items():
                values += [int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:")]
    shares = [size(max(values)) for values in memory.values()]
    return [engine.stem, f"{1e3 * statistics.median(taken[1:]):.1f} ms", *shares]


def page(
    names: Sequence[str], rows: Sequence[Sequence[str]], loads: Sequence[Sequence[str]], threads: int, busy: float = 0
) -> str:
    """The tables as Markdown, and what they were measured on. `busy`: processes that wanted a core, these included."""
    head = ["model", "ONNX file", "engine", *["IREE's file"] * ("IREE" in names), *names]
    lines = [
        "# From a file to its first output",
        "",
        "Written by `make startup-results`; what is counted stands in [startup.py](../benchmarks/startup.py).",
        f"Measured on {date.today()}: {processor()}, {threads} threads. In brackets: how many times as long as ircc.",
        *[f"**The machine was busy** ({busy:.0f} processes wanted a core): all times are longer than they need be."]
        * (busy > threads + 1),
        "",
        f"| {' | '.join(head)} |",
        "|---" * len(head) + "|",
        *(f"| {' | '.join(cells)} |" for cells in rows),
        "",
        "Without Python's part: how long it takes from `dlopen` to an engine that could run (weights are not touched).",
        "And the memory of each of two processes that run it side by side, Python and NumPy included: all that it has",
        "(RSS), and its part where what both have counts half (PSS).",
        "",
        "| model | `dlopen` to ready | RSS of each | PSS of each |",
        "|---|---|---|---|",
        *(f"| {' | '.join(cells)} |" for cells in loads),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
