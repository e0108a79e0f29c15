"""Other runtimes that `ircc bench --against` compares with. Nothing of them is imported before."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np

from .. import Engine
from ..errors import InputError

ENOUGH = 0.5  # seconds of runs in a round, of all together, after which it ends
MOST = 50  # runs in a round
PAUSE = 0.005  # seconds after which idle workers have gone to sleep: while they spin, the next one lacks their cores

Arrays: TypeAlias = "Mapping[str, Any]"
Run: TypeAlias = "Callable[[], object]"
Made: TypeAlias = "tuple[str, Run, Callable[[], list[Any]]]"  # name, one run, outputs of the last in the model's order


def onnxruntime(model: str, threads: int, arrays: Arrays) -> Made:
    """ONNX Runtime with all of its optimisations, bound to these inputs and to outputs that are allocated once."""
    runtime = _imported("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for port in session.get_inputs():
        binding.bind_cpu_input(port.name, arrays[port.name])
    names = [port.name for port in session.get_outputs()]
    for name in names:
        binding.bind_output(name, "cpu")
    session.run_with_iobinding(binding)
    for name, value in zip(names, binding.get_outputs(), strict=True):
        if value.is_tensor() and all(value.shape()):
            binding.bind_ortvalue_output(name, value)

    def outputs() -> list[Any]:
        return [value.numpy() if value.is_tensor() else None for value in binding.get_outputs()]

    return f"ONNX Runtime {runtime.__version__}", lambda: session.run_with_iobinding(binding), outputs


def openvino(model: str, threads: int, arrays: Arrays) -> Made:
    """OpenVINO for one request at a time, bound likewise, in float32: by itself it takes bfloat16 where a machine has
    that."""
    runtime = _imported("openvino")
    wishes = {
        "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
    }  # fmt: skip
    compiled = runtime.Core().compile_model(model, "CPU", wishes)
    request = compiled.create_infer_request()
    for port in compiled.inputs:
        name = next(name for name in port.get_names() if name in arrays)
        request.set_tensor(port, runtime.Tensor(arrays[name], shared_memory=True))

    def outputs() -> list[Any]:
        return [request.get_tensor(port).data for port in compiled.outputs]

    return f"OpenVINO {runtime.__version__.split('-')[0]}", lambda: request.infer(share_outputs=True), outputs


PEERS = {"onnxruntime": onnxruntime, "openvino": openvino}


def installed(peer: str) -> bool:
    """Whether there is such a peer here."""
    try:
        import_module(peer)
    except ImportError:
        return False
    return True


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise InputError(f"{name} is not installed", hint="pip install 'ircc[peers]'") from None


def compare(
    engine: Engine,
    peers: Sequence[str],
    model: str,
    arrays: Arrays,
    rounds: int,
    between: Callable[[], object] = lambda: None,
    enough: float = ENOUGH,
) -> list[dict[str, Any]]:
    """The engine and its peers in turns: of each peer the medians of seconds, how many times faster the engine is
    (with quartiles over the rounds), and the largest difference of a float output, relative to its largest element
    (None without one). `between` is called after each round."""
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    found = list(engine.run(arrays).values())
    runs: list[Run] = [engine.bind(arrays)]
    about: list[dict[str, Any]] = []
    for peer in peers:
        try:
            name, theirs, outputs = PEERS[peer](model, engine.threads, arrays)
            theirs()
            expected = outputs()
        except InputError:
            raise
        except Exception as error:  # a peer's errors have no common class
            raise InputError(f"{peer} cannot run {model}: {' '.join(str(error).split())[:200]}") from None
        differences = [deviation(a, b) for a, b in zip(found, expected, strict=True)]
        about.append({"peer": name, "deviation": max((d for d in differences if d is not None), default=None)})
        runs.append(theirs)
    times: list[list[list[float]]] = [[] for _ in runs]  # by runtime and round
    order = list(range(len(runs)))
    for _ in range(rounds):
        for mine in times:
            mine.append([])
        started = time.perf_counter()
        while not times[-1][-1] or (time.perf_counter() - started < enough and len(times[0][-1]) < MOST):
            for who in order:
                time.sleep(PAUSE if engine.threads > 1 else 0.0)
                runs[who]()  # brings its data into the caches
                start = time.perf_counter()
                runs[who]()
                times[who][-1].append(time.perf_counter() - start)
            order.reverse()
        between()
    return [
        one | {"seconds": _median(times[0]), "peer_seconds": _median(theirs)} | speeds(times[0], theirs)
        for one, theirs in zip(about, times[1:], strict=True)
    ]


def _median(times: Sequence[Sequence[float]]) -> float:
    return statistics.median(t for some in times for t in some)


def speeds(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> dict[str, Any]:
    """How many times faster we are, by rounds: `speed` is the median, with `speed_quartiles`."""
    found = sorted(statistics.median(b) / statistics.median(a) for a, b in zip(ours, theirs, strict=True))
    quartiles = statistics.quantiles(found, n=4, method="inclusive") if len(found) > 1 else found * 3
    return {"speed": quartiles[1], "speed_quartiles": [quartiles[0], quartiles[2]]}


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
