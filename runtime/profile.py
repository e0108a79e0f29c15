"""Where the time of an engine goes, kernel by kernel, against what the machine can do.

Machines are noisy and shared, so the peaks are measured between the runs they are compared with, every round anew, and
everything that is reported is a median over rounds.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError
from .composite import Composed
from .engine import Engine
from .sizes import UnknownSymbol, evaluate

#: working sets whose read bandwidth is measured: about L1, L2, L3 and memory of one core
WORKING_SETS = (1 << 14, 1 << 18, 1 << 22, 1 << 27)


@dataclass(frozen=True)
class KernelTime:
    """One entry of the engine's kernel map, measured. Times are seconds per run of the model, one for each round."""

    name: str
    nodes: tuple[str, ...]
    strategy: str
    calls: int  # per run
    seconds: tuple[float, ...]
    flops: int  # of all calls in a run; these are 0 where they follow from sizes that come from data
    bytes: int
    nominal: int | None = None  # what the nodes ask for, where an algorithm as Winograd's does with other operations

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Profile:
    """`kernels` in the engine's order; `runs`: seconds of whole runs without profiling, one for each round.

    peak_flops (operations a second) and peak_bytes (working set -> bytes a second) are medians, for all the engine's
    threads together; 0 and {} where the device cannot measure them.
    """

    kernels: tuple[KernelTime, ...]
    runs: tuple[float, ...]
    threads: int
    peak_flops: float
    peak_bytes: Mapping[int, float]

    def limit(self, kernel: KernelTime, nominal: bool = False) -> float:
        """The least seconds that the kernel could take: by arithmetic or by memory traffic, whichever is more.
        `nominal`: by the arithmetic that its nodes ask for, were it done as it stands."""
        flops = kernel.nominal if nominal and kernel.nominal is not None else kernel.flops
        arithmetic = flops / self.peak_flops if self.peak_flops else 0.0
        each = kernel.bytes / max(kernel.calls, 1)
        # the smallest measured working set that holds what a call touches
        rates = [rate for size, rate in sorted(self.peak_bytes.items()) if size >= each] or [
            self.peak_bytes[s] for s in sorted(self.peak_bytes)[-1:]
        ]
        return max(arithmetic, kernel.bytes / rates[0] if rates else 0.0)

    def peak_percent(self, kernel: KernelTime) -> float | None:
        """How near the kernel is to its limit: 100 is there. None where the limit or the time is unknown."""
        limit = self.limit(kernel)
        return 100 * limit / kernel.median if limit and kernel.median else None


_one_at_a_time = threading.Lock()


def profile(engine: Engine, inputs: Mapping[str, NDArray[Any]], rounds: int = 10, peaks: bool = True) -> Profile:
    """Runs the engine 3 × `rounds` times on these inputs. Other runs of it meanwhile are not counted, but disturb.

    Raises EngineError for what is no single engine: a model that needs Python."""
    if isinstance(engine, Composed):
        raise EngineError("a model that needs Python has no kernel map to measure", hint="ircc check MODEL says why")
    with _one_at_a_time:
        return _profile(engine, inputs, rounds, peaks)


def _profile(engine: Engine, inputs: Mapping[str, NDArray[Any]], rounds: int, peaks: bool) -> Profile:
    bound = engine.bind(inputs)
    counters = np.zeros((len(engine.kernels), 2), np.int64)
    table = engine.device.profiled(counters)
    meter = engine.device.meter() if peaks else None
    bound()

    runs: list[float] = []
    samples: list[NDArray[np.int64]] = []
    flops: list[float] = []
    rates: dict[int, list[float]] = {size: [] for size in WORKING_SETS}
    for _ in range(max(rounds, 1)):
        if meter is not None:
            for size, measured in rates.items():
                measured.append(meter.bandwidth(size))
        bound()  # brings the model's data back into the caches
        start = time.perf_counter()
        bound()
        runs.append(time.perf_counter() - start)
        if meter is not None:
            flops.append(meter.flops())
        counters[:] = 0
        bound.run(table)
        samples.append(counters.copy())
        if meter is not None:
            flops.append(meter.flops())

    calls = samples[0][:, 1]
    if any((s[:, 1] != calls).any() for s in samples):
        raise EngineError("a kernel ran a different number of times from run to run, so its times cannot be compared")
    symbols = bound.plan.symbols
    kernels = [
        KernelTime(
            name=kernel.name,
            nodes=kernel.nodes,
            strategy=kernel.strategy,
            calls=int(calls[i]),
            seconds=tuple(float(s[i, 0]) * 1e-9 for s in samples),
            flops=_count(kernel.flops, symbols) * int(calls[i]),
            bytes=_count(kernel.bytes, symbols) * int(calls[i]),
            nominal=_count(kernel.nominal, symbols) * int(calls[i]) if kernel.nominal else None,
        )
        for i, kernel in enumerate(engine.kernels)
    ]
    return Profile(
        kernels=tuple(kernels),
        runs=tuple(runs),
        threads=engine.threads,
        peak_flops=statistics.median(flops) if flops else 0.0,
        peak_bytes={size: statistics.median(r) for size, r in rates.items() if r},
    )


def _count(text: str, symbols: Mapping[str, int]) -> int:
    """The value of an expression over sizes; 0 where one of them comes from data, and is known only inside a run."""
    try:
        return evaluate(text, symbols)
    except UnknownSymbol:
        return 0
