"""L0: memory, copies and launches, by the device's own methods and by the smallest of kernels."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser

from ...dialects import context
from ...errors import Error
from .kit import Check, Subject, Wrong

DOUBLE = """
builtin.module {
  func.func @main(%x: !graph.tensor<[N], f32> {ircc.name = "x"}) -> (!graph.tensor<[N], f32> {ircc.name = "y"}) {
    %y = graph.add %x, %x : (!graph.tensor<[N], f32>, !graph.tensor<[N], f32>) -> !graph.tensor<[N], f32>
    func.return %y : !graph.tensor<[N], f32>
  }
}
"""
SIZES = (0, 1, 2, 63, 64, 65, 127, 1000, 4097)


def double() -> ModuleOp:
    """y = x + x."""
    return Parser(context(), DOUBLE).parse_module()


def allocations(subject: Subject) -> None:
    device = subject.engine(double()).device
    wanted = [0, 1, 63, 64, 65, 4096, 1 << 20] * 20
    found = sorted((device.alloc(size), size) for size in wanted)
    if any(address <= 0 or address % 64 for address, _ in found):
        raise Wrong(f"addresses are above 0 and multiples of 64: {[a for a, _ in found if a <= 0 or a % 64][:3]}")
    for (a, size), (b, _) in pairwise(found):
        if a + size > b:
            raise Wrong(f"{size} bytes at {a} overlap what is at {b}")
    for address, _ in found:
        device.free(address)


def copies(subject: Subject) -> None:
    device = subject.engine(double()).device
    rng = np.random.default_rng(0)
    for size in (1, 2, 3, 64, 1000, 4097, 1 << 20):
        source, back = rng.integers(0, 256, size, np.uint8), np.zeros(size, np.uint8)
        place = device.alloc(size + 16)
        device.copy(place + 8, source.ctypes.data, size)
        device.copy(back.ctypes.data, place + 8, size)
        device.wait()
        if not np.array_equal(source, back):
            raise Wrong(f"{size} bytes to the device and back are others")
        device.free(place)


def copies_inside(subject: Subject) -> None:
    device = subject.engine(double()).device
    source, back = np.arange(256, dtype=np.uint8), np.zeros(256, np.uint8)
    first, second = device.alloc(256), device.alloc(512)
    device.copy(first, source.ctypes.data, 256)
    device.copy(second + 100, first, 256)
    device.copy(second + 356, first + 10, 50)
    device.copy(back.ctypes.data, second + 100, 256)
    device.wait()
    if not np.array_equal(back, source):
        raise Wrong("what was copied from one place of the device to another is not what it was")
    device.copy(back.ctypes.data, second + 356, 50)
    device.wait()
    if not np.array_equal(back[:50], source[10:60]):
        raise Wrong("a copy begins at its offset")


def too_much(subject: Subject) -> None:
    device = subject.engine(double()).device
    try:
        device.alloc(1 << 60)
    except (Error, MemoryError):
        return
    raise Wrong("more memory than there is was had")


def launches(subject: Subject) -> None:
    engine = subject.engine(double())
    for size in SIZES:
        x = np.arange(size, dtype=np.float32)
        y = engine.run({"x": x})["y"]
        if not np.array_equal(y, x + x):
            raise Wrong(f"x + x of {size} elements is {y[:8]} ...")
    if subject.host:
        raise Wrong("the smallest of kernels runs on the host: `supports` refuses it")


def order(subject: Subject) -> None:
    """What is launched later sees what was computed before."""
    engine = subject.engine(double())
    x = np.ones(1000, np.float32)
    for _ in range(20):
        x = engine.run({"x": x})["y"]
    if not (x == 2.0**20).all():
        raise Wrong(f"20 doublings of 1 are {x[0]}")


def two_at_once(subject: Subject) -> None:
    first, second = subject.engine(double()), subject.engine(double())
    x = np.arange(10, dtype=np.float32)
    if not np.array_equal(first.run({"x": second.run({"x": x})["y"]})["y"], 4 * x):
        raise Wrong("two engines disturb each other")


CHECKS = [
    Check("L0", "memory: aligned, apart, freed", allocations),
    Check("L0", "memory: too much is refused", too_much),
    Check("L0", "copies to the device and back", copies),
    Check("L0", "copies inside of the device", copies_inside),
    Check("L0", "launches of every size", launches),
    Check("L0", "launches in order", order),
    Check("L0", "two engines", two_at_once),
]
