"""Compares ircc with ONNX Runtime on the models of a folder: ratios, and percent of what the machine can do.

    python benchmarks/run.py FOLDER [--only REGEX] [--threads N] [--rounds N] [--json FILE]

See README.md beside this file for how to read the numbers.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import ircc

Array = np.ndarray[Any, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="models: *.onnx in it and below, or one file")
    parser.add_argument("--only", default="", help="take only paths that match this regular expression")
    parser.add_argument("--threads", type=int, default=1, help="threads of both (1)")
    parser.add_argument("--rounds", type=int, default=20, help="rounds, each measures both and the machine (20)")
    parser.add_argument("--json", type=Path, help="write all that was measured to this file")
    args = parser.parse_args()

    paths = sorted(args.folder.rglob("*.onnx")) if args.folder.is_dir() else [args.folder]
    paths = [path for path in paths if re.search(args.only, str(path))]
    if not paths:
        parser.error(f"no model in {args.folder} matches {args.only!r}")
    results: list[dict[str, Any]] = []
    print(f"{'model':<36} {'speed':>6} {'quartiles':>13} {'ircc':>7} {'ort':>7} {'deviation':>10}")
    print(f"{'':<36} {'x ort':>6} {'':>13} {'% peak':>7} {'% peak':>7} {'of max':>10}")
    for path in paths:
        try:
            result = measure(path, args.threads, args.rounds)
        except Exception as error:  # a model that one of the two cannot run: the others are still of interest
            print(f"{path.stem:<36.36} {type(error).__name__}: {' '.join(str(error).split())[:100]}")
            results.append({"model": path.stem, "error": str(error)})
            continue
        results.append(result)
        low, high = result["speed_quartiles"]
        print(
            f"{path.stem:<36.36} {result['speed']:6.2f} {low:6.2f}-{high:<6.2f} {result['ircc_peak_percent']:7.1f} "
            f"{result['onnxruntime_peak_percent']:7.1f} {result['deviation']:10.1e}",
            flush=True,
        )
    if speeds := [result["speed"] for result in results if "speed" in result]:
        print(f"{f'geometric mean of {len(speeds)}':<36} {statistics.geometric_mean(speeds):6.2f}")
    if args.json:
        about = {
            "ircc": ircc.__version__,
            "onnxruntime": onnxruntime.__version__,
            "machine": platform.machine(),
            "threads": args.threads,
            "rounds": args.rounds,
        }
        args.json.write_text(json.dumps({"about": about, "results": results}, indent=1) + "\n")
    return 0 if all("speed" in result for result in results) else 1


def measure(path: Path, threads: int, rounds: int) -> dict[str, Any]:
    """Both on one model, in turns, with the machine's peak measured in every round between them."""
    engine = ircc.compile(path, threads=threads)
    inputs = ircc.example_inputs(engine).arrays
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_outputs()]
    bound = engine.bind(inputs)

    def other() -> Any:
        return session.run(names, inputs)

    wrong = deviation(engine.run(inputs), dict(zip(names, other(), strict=True)))
    work = sum(kernel.flops for kernel in ircc.profile(engine, inputs, rounds=1, peaks=False).kernels)
    meter = engine.device.meter()
    ours: list[float] = []
    theirs: list[float] = []
    peaks: list[float] = []
    for i in range(rounds):
        turns: list[tuple[list[float], Callable[[], object]]] = [(ours, bound), (theirs, other)]
        for times, run in turns if i % 2 else turns[::-1]:
            run()  # brings its data back into the caches
            times.append(seconds(run))
        peaks.append(meter.flops() if meter else 0.0)
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    quartiles = statistics.quantiles(ratios, n=4) if rounds > 1 else [ratios[0]] * 3
    return {
        "model": path.stem,
        "speed": statistics.median(ratios),
        "speed_quartiles": [quartiles[0], quartiles[2]],
        "ircc_peak_percent": percent(work, ours, peaks),
        "onnxruntime_peak_percent": percent(work, theirs, peaks),
        "deviation": wrong,
        "flops": work,
        "peak_flops": peaks,
        "ircc_seconds": ours,
        "onnxruntime_seconds": theirs,
        "inputs": {name: list(array.shape) for name, array in inputs.items()},
    }


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def percent(work: float, times: list[float], peaks: list[float]) -> float:
    """How much of the round's peak the model's floating-point operations were: the median over the rounds."""
    return statistics.median(
        100 * work / taken / peak if peak else 0.0 for taken, peak in zip(times, peaks, strict=True)
    )


def deviation(found: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    """The largest difference of any output, as a part of its largest number."""
    parts = [0.0]
    for name, right in expected.items():
        left, right = np.asarray(found[name], np.float64), np.asarray(right, np.float64)
        if right.size:
            parts.append(float(np.abs(left - right).max() / max(np.abs(right).max(), 1e-6)))
    return max(parts)


if __name__ == "__main__":
    sys.exit(main())
