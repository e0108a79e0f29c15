"""From a file on disk to its first output: time, memory and size of an engine beside what other runtimes need; how long
the system's loader takes until an engine could run, and how much of it two processes share.

    python benchmarks/startup.py [MODEL.onnx ...] [--rounds 7] [--page FILE]

Every start is a process of its own, the runtimes in turns; the file lies in the system's cache. What is counted begins
when NumPy is there, because all of them import it, and ends with the first output. A runtime that is not installed has
no column.
"""

from __future__ import annotations

import argparse
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
}  # fmt: skip


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
    args = parser.parse_args()
    names = [name for name in RUNTIMES if find_spec(RUNTIMES[name][0])]
    rows: list[list[str]] = []
    loads: list[list[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        for model in args.models or written(Path(folder)):
            engine = Path(folder) / f"{model.stem}.engine"
            ircc.compile(model).save(engine)
            rows.append(row(model, engine, names, args.rounds, args.threads))
            loads.append(load(engine, args.rounds, args.threads))
            print(" | ".join([*rows[-1], *loads[-1][1:]]), flush=True)
    if args.page:
        args.page.write_text(page(names, rows, loads, args.threads))
    return 0


def written(folder: Path) -> list[Path]:
    """The networks of models.py as files."""
    for name, make in NETWORKS.items():
        onnx.save(make(), folder / f"{name}.onnx")
    return [folder / f"{name}.onnx" for name in NETWORKS]


def row(model: Path, engine: Path, names: Sequence[str], rounds: int, threads: int) -> list[str]:
    """The cells for a model: sizes of the files, then what each runtime takes, as medians over the rounds."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for i in range(rounds + 1):  # the first round fills the system's cache
        for name in names:
            taken = started(name, engine if name == "ircc" else model, threads)
            found[name] += [taken] * (i > 0)
    own = [statistics.median(values) for values in zip(*found["ircc"], strict=True)]
    cells = [model.stem, size(model.stat().st_size), size(engine.stat().st_size)]
    for name in names:
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


def page(names: Sequence[str], rows: Sequence[Sequence[str]], loads: Sequence[Sequence[str]], threads: int) -> str:
    """The tables as Markdown, and what they were measured on."""
    lines = [
        "# From a file to its first output",
        "",
        "Written by `make startup-results`; what is counted stands in [startup.py](../benchmarks/startup.py).",
        f"Measured on {date.today()}: {processor()}, {threads} threads. In brackets: how many times as long as ircc.",
        "",
        f"| model | ONNX file | engine | {' | '.join(names)} |",
        "|---|---|---|" + "---|" * len(names),
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
