"""The machine: memories of fixed size, two queues of copies, a matrix unit, a vector unit, and a clock.

A program is Python that calls its methods in order. The control unit starts one instruction after the other and waits
for the matrix and vector units; copies go on by themselves and end when they are waited for. What would be a race on
the chip is a `Fault` here: touching what a copy still writes, changing what one still reads, running over a memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ircc.errors import EngineError

Array = np.ndarray[Any, Any]
BLOCK = 16  # rows, columns and depth that the matrix unit does in a cycle
LATENCY, BYTES = 100, 64  # cycles until a copy begins, and bytes that it then moves in one


class Fault(EngineError):
    """What the machine does not survive: names the kernel and the instruction."""


class Tile(NamedTuple):
    """A window of a memory of the machine: its elements, and the addresses that it lies between."""

    view: Array
    low: int
    high: int


class Copy(NamedTuple):
    """A copy that is under way."""

    at: str
    done: int  # cycle
    target: Array
    source: Array
    writes: tuple[int, int]  # addresses
    reads: tuple[int, int]


def inner(
    buffer: Array, dims: Sequence[tuple[int, int, int]], order: Sequence[int]
) -> tuple[tuple[slice, ...] | None, Array]:
    """The part of a window that is inside of its buffer: where that is in the window (None: all of it), and its
    elements. Per dim of the buffer its first index, step and count, -1 for a single index; `order` says which dim of
    the window each of the others is."""
    here, there = [slice(None)] * len(order), list[Any]()
    whole, missing = True, False
    moving = iter(order)
    for (first, step, count), size in zip(dims, buffer.shape, strict=True):
        if count < 0:
            missing = missing or not 0 <= first < size
            there.append(min(max(first, 0), size - 1) if size else slice(0, 0))
            continue
        low = -(first // step) if first < 0 else 0
        high = max(min(count, (size - 1 - first) // step + 1), low)
        whole = whole and low == 0 and high == count
        there.append(slice(first + low * step, max(first + (high - 1) * step + 1, 0), step))
        here[next(moving)] = slice(low, high)
    if missing:
        nothing: Any = tuple([slice(0, 0)] * len(order)) if order else (np.False_,)
        return nothing, np.zeros((0,) * max(len(order), 1), buffer.dtype)
    found = buffer[(*there, ...)]
    return None if whole else tuple(here), found.transpose(np.argsort(order)) if len(order) > 1 else found


class Machine:
    """One machine and its counters, which begin at 0."""

    def __init__(self, spaces: dict[str, int]) -> None:
        self.spaces: dict[str, tuple[int, int]] = {}  # first address and size
        total = 0
        for name, size in spaces.items():
            self.spaces[name] = total, size
            total += size
        self.memory = np.zeros(total, np.uint8)
        self.kernel = ""
        self.now = 0  # cycles
        self.counts = {"matrix": 0, "vector": 0, "scalar": 0, "copies": 0}
        self.queues: dict[str, deque[Copy]] = {"load": deque(), "save": deque()}
        self.free = dict.fromkeys(self.queues, 0)  # when each of them has ended what it was given
        self.busy = 0  # copies under way

    def begin(self, kernel: str) -> None:
        """A program begins."""
        self.kernel = kernel
        for queue in self.queues.values():
            queue.clear()
        self.busy = 0

    def end(self) -> None:
        """It ends: nothing may be under way."""
        if left := [copy.at for queue in self.queues.values() for copy in queue]:
            self.fault(left[0], "is still under way when the kernel ends")

    def fault(self, at: str, why: str) -> None:
        raise Fault(f"kernel {self.kernel}, {at}: {why}", hint="the schedule is wrong, or what made a program of it")

    # ---- memory

    def place(self, at: str, space: str, offset: int, dtype: str, shape: Sequence[int]) -> Array:
        """A tile's memory. What it holds is undefined."""
        base, size = self.spaces[space]
        bytes_ = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if offset + bytes_ > size:
            self.fault(at, f"{bytes_} bytes at {offset} are beyond the {size} of the {space}")
        found = self.memory[base + offset : base + offset + bytes_].view(dtype).reshape(shape)
        if found.dtype.kind == "f":
            found[...] = np.nan
        return found

    def check(self, at: str, low: int, high: int, writes: bool) -> None:
        """Fault where something touches addresses that a copy is at."""
        for queue in self.queues.values():
            for copy in queue:
                if low < copy.writes[1] and copy.writes[0] < high:
                    self.fault(at, f"{'overwrites' if writes else 'reads'} what {copy.at} has not copied yet")
                if writes and low < copy.reads[1] and copy.reads[0] < high:
                    self.fault(at, f"overwrites what {copy.at} still reads")

    def inside(self, at: str, index: int, size: int) -> int:
        """An index, if it is in a buffer."""
        if not 0 <= index < size:
            self.fault(at, f"index {index} is outside of {size}")
        return index

    # ---- copies

    def load(self, at: str, started: bool, to: Tile, source: Any, outside: float) -> None:
        """Global memory → scratchpad. `source`: the elements; where some may be outside of the buffer, the buffer, and
        per dim (first index, step, count), with the order in which the tile has the dims that are no single index."""
        if self.busy:
            self.check(at, to.low, to.high, True)
        view, size = to.view, to.view.nbytes
        if isinstance(source, tuple):
            here, found = inner(*source)
            if here is not None:
                view[...] = outside
                view = view[here]
            source = found
        self.same(at, view, source)
        self.push("load", at, started, view, source, (to.low, to.high), (0, 0), size)

    def save(self, at: str, started: bool, to: Array, source: Tile) -> None:
        """Scratchpad or accumulator → global memory."""
        if self.busy:
            self.check(at, source.low, source.high, False)
        self.same(at, to, source.view)
        self.push("save", at, started, to, source.view, (0, 0), (source.low, source.high), source.view.nbytes)

    def same(self, at: str, target: Array, source: Array) -> None:
        if target.shape != source.shape:
            self.fault(at, f"goes outside of a buffer: {source.shape} to {target.shape}")

    def push(
        self, queue: str, at: str, started: bool, target: Array, source: Array, writes: tuple[int, int],
        reads: tuple[int, int], size: int,
    ) -> None:  # fmt: skip
        """Begin a copy, and wait for it unless it is only started."""
        self.counts["copies"] += 1
        self.now += 1
        done = self.free[queue] = max(self.now, self.free[queue]) + LATENCY + size // BYTES
        self.queues[queue].append(Copy(at, done, target, source, writes, reads))
        self.busy += 1
        if not started:
            self.wait(queue, 0)

    def wait(self, queue: str, pending: int) -> None:
        """Wait until at most so many copies of a queue are under way."""
        left = self.queues[queue]
        while len(left) > max(pending, 0):
            copy = left.popleft()
            copy.target[...] = copy.source
            self.busy -= 1
            self.now = max(self.now, copy.done)

    # ---- the units

    def matmul(self, at: str, c: Tile, a: Tile, b: Tile) -> None:
        """c += a b"""
        if self.busy:
            self.check(at, a.low, a.high, False)
            self.check(at, b.low, b.high, False)
            self.check(at, c.low, c.high, True)
        (m, k), n = a.view.shape, b.view.shape[1]
        self.counts["matrix"] += 1
        self.now += BLOCK + -(-m // BLOCK) * -(-k // BLOCK) * -(-n // BLOCK)
        view = c.view
        view += a.view @ b.view

    def vector(self, count: int) -> None:
        """So many operations of the vector unit."""
        self.counts["vector"] += count
        self.now += count

    def scalar(self, count: int) -> None:
        """So many operations of the scalar unit."""
        self.counts["scalar"] += count
        self.now += count
