"""Other runtimes that `ircc bench --against` compares with. Nothing of them is imported before."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import Engine
from ..errors import InputError

ENOUGH = 0.5  # seconds of runs in a round, of both together, after which it ends
MOST = 50  # runs in a round


def onnxruntime(model: str, threads: int) -> tuple[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]]:
    """ONNX Runtime with all of its optimisations on so many threads: its name, and what runs the model."""
    try:
        import onnxruntime as runtime
    except ImportError:
        raise InputError("ONNX Runtime is not installed", hint="pip install 'ircc[peers]'") from None
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return f"ONNX Runtime {runtime.__version__}", lambda x: dict(zip(names, session.run(names, dict(x)), strict=True))


PEERS = {"onnxruntime": onnxruntime}


def compare(engine: Engine, peer: str, model: str, arrays: Mapping[str, Any], rounds: int) -> dict[str, Any]:
    """Both, in turns: medians of seconds, how many times faster the engine is (with quartiles over the rounds), and the
    largest difference of a float output, relative to its largest element (None without one)."""
    found = engine.run(dict(arrays))
    try:
        name, theirs = PEERS[peer](model, engine.threads)
        expected = theirs(arrays)
    except InputError:
        raise
    except Exception as error:  # a peer's errors have no common class
        raise InputError(f"{peer} cannot run {model}: {' '.join(str(error).split())[:200]}") from None
    ours: list[list[float]] = []
    others: list[list[float]] = []
    for _ in range(rounds):
        ours.append([])
        others.append([])
        started = time.perf_counter()
        while not ours[-1] or (time.perf_counter() - started < ENOUGH and len(ours[-1]) < MOST):
            for run, times in ((lambda: engine.run(dict(arrays)), ours[-1]), (lambda: theirs(arrays), others[-1])):
                start = time.perf_counter()
                run()
                times.append(time.perf_counter() - start)
    speeds = sorted(statistics.median(b) / statistics.median(a) for a, b in zip(ours, others, strict=True))
    quartiles = statistics.quantiles(speeds, n=4, method="inclusive") if len(speeds) > 1 else speeds * 3
    return {
        "peer": name,
        "seconds": statistics.median(t for times in ours for t in times),
        "peer_seconds": statistics.median(t for times in others for t in times),
        "speed": quartiles[1],
        "speed_quartiles": [quartiles[0], quartiles[2]],
        "deviation": max(
            (d for n in expected if (d := deviation(found.get(n), expected[n])) is not None), default=None
        ),
    }


def deviation(found: Any, expected: Any) -> float | None:
    """The largest difference of two float tensors by the largest element; None for anything else."""
    if not isinstance(found, np.ndarray) or not isinstance(expected, np.ndarray) or expected.dtype.kind != "f":
        return None
    if found.shape != expected.shape or not expected.size:
        return None
    a, b = found.astype(np.float64), expected.astype(np.float64)
    both = np.isfinite(a) & np.isfinite(b)
    largest = float(np.abs(b[both]).max(initial=0))
    return float(np.abs(a - b)[both].max(initial=0)) / (largest or 1.0)
