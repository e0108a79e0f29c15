"""A device in pure Python: five methods, kernels in NumPy, memory of its own."""

import ctypes
import importlib.metadata
import sys
import threading
from collections.abc import Callable, Sequence
from ctypes import c_float
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from ircc.errors import BackendError, EngineError
from ircc.runtime.artifact import Artifact
from ircc.runtime.device import Code, Device
from ircc.runtime.engine import Engine, load
from ircc.runtime.profile import profile

MakeArtifact = Callable[..., Artifact]


class NumpyDevice(Device):
    """Its memory begins where the host's never is, so that an address of the wrong kind is found."""

    BASE = 1 << 60

    def __init__(self, artifact: Artifact, code: Code, threads: int) -> None:
        self.kernels = [getattr(self, k.name) for k in artifact.kernels]
        self.memory: dict[int, np.ndarray] = {}
        self.next = self.BASE
        self.lock = threading.Lock()
        self.fail: str | None = None
        self.copies: list[tuple[str, str]] = []

    def alloc(self, size: int) -> int:
        if self.fail == "alloc" and size > 1 << 20:
            raise MemoryError("the device is full")
        with self.lock:
            address = self.next
            self.next += (size + 127) // 64 * 64
        self.memory[address] = np.zeros(size + 1, np.uint8)
        return address

    def free(self, address: int) -> None:
        del self.memory[address]

    def view(self, address: int, size: int) -> np.ndarray:
        if address < self.BASE:
            return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
        start = max(a for a in list(self.memory) if a <= address)
        return self.memory[start][address - start : address - start + size]

    def copy(self, to: int, source: int, size: int) -> None:
        self.copies.append(("device" if source >= self.BASE else "host", "device" if to >= self.BASE else "host"))
        self.view(to, size)[...] = self.view(source, size)

    def launch(self, kernel: int, args: Sequence[int]) -> None:
        if self.fail == "launch":
            raise ValueError("no such kernel today")
        self.kernels[kernel](*args)

    def wait(self) -> None:
        if self.fail == "wait":
            raise ZeroDivisionError

    def rows(self, address: int, count: int) -> np.ndarray:
        assert address >= self.BASE
        return self.view(address, 16 * count).view(c_float).reshape(count, 4)

    def scale(self, x: int, weights: int, out: int, n: int) -> None:
        self.rows(out, n)[...] = self.rows(x, n) * self.rows(weights, 1)

    def shift(self, x: int, out: int, n: int) -> None:
        self.rows(out, n)[...] = self.rows(x, n) + np.float32(1)


class UnifiedDevice(NumpyDevice):
    """The host's memory is its own."""

    unified = True
    BASE = 0

    def __init__(self, artifact: Artifact, code: Code, threads: int) -> None:
        super().__init__(artifact, code, threads)
        self.kept: dict[int, ctypes.Array[ctypes.c_char]] = {}

    def alloc(self, size: int) -> int:
        block = ctypes.create_string_buffer(size + 64)
        address = -(-ctypes.addressof(block) // 64) * 64
        self.kept[address] = block
        return address

    def free(self, address: int) -> None:
        del self.kept[address]

    def view(self, address: int, size: int) -> np.ndarray:
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))


@pytest.fixture(params=[NumpyDevice, UnifiedDevice])
def engine(request: pytest.FixtureRequest, make_artifact: MakeArtifact, monkeypatch: pytest.MonkeyPatch) -> Engine:
    module = ModuleType("ircc.codegen.testdevice")
    module.open_device = request.param  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ircc.codegen.testdevice", module)
    return Engine(make_artifact("testdevice"), threads=1)


def sample(rows: int) -> np.ndarray:
    return np.random.default_rng(rows).standard_normal((rows, 4)).astype(np.float32)


@pytest.mark.parametrize("rows", [0, 1, 6, 1000])
def test_run_and_bind(engine: Engine, expected: Callable[[np.ndarray], np.ndarray], rows: int) -> None:
    x = sample(rows)
    assert np.array_equal(engine.run({"x": x})["y"], expected(x))
    bound = engine.bind({"x": x})
    for _ in range(3):
        x[...] = x[::-1].copy() + 1
        bound()
        assert np.array_equal(bound.outputs["y"], expected(x))


def test_an_output_in_the_memory_of_an_input(engine: Engine, expected: Callable[[np.ndarray], np.ndarray]) -> None:
    """Where the device has memory of its own, nothing can be in the way. Else the input is copied: an artifact that
    does not say what may be in place promises nothing."""
    x = sample(6)
    wanted = expected(expected(x))
    bound = engine.bind({"x": x}, {"y": x})
    assert bound.copied == (("x",) if engine.device.unified else ())
    bound()
    bound()
    assert np.array_equal(x, wanted)


def test_what_is_copied(engine: Engine) -> None:
    device = engine.device
    assert isinstance(device, NumpyDevice)
    device.copies.clear()
    engine.run({"x": sample(3)})
    assert device.copies == ([] if device.unified else [("host", "device"), ("device", "host")])


def test_memory_is_freed(engine: Engine) -> None:
    mine = Engine(engine.artifact, threads=1)
    device = mine.device
    mine.run({"x": sample(3)})
    mine.run({"x": sample(300)})
    bound = mine.bind({"x": sample(3)})
    bound()
    del mine, bound
    assert isinstance(device, NumpyDevice)
    memory = device.kept if isinstance(device, UnifiedDevice) else device.memory
    assert not memory


@pytest.mark.parametrize(("fail", "error"), [("launch", ValueError), ("wait", ZeroDivisionError)])
def test_exceptions_of_callbacks(engine: Engine, fail: str, error: type[Exception]) -> None:
    device = engine.device
    assert isinstance(device, NumpyDevice)
    x = sample(2)
    bound = engine.bind({"x": x})
    device.fail = fail
    with pytest.raises(error):
        engine.run({"x": x})
    with pytest.raises(error):
        bound()
    device.fail = None
    bound()
    engine.run({"x": x})


def test_runs_from_many_threads(engine: Engine, expected: Callable[[np.ndarray], np.ndarray]) -> None:
    wrong: list[int] = []

    def work(seed: int) -> None:
        for i in range(20):
            x = sample(1 + (seed + i) % 9)
            if not np.array_equal(engine.run({"x": x})["y"], expected(x)):
                wrong.append(seed)

    callers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_profile(engine: Engine) -> None:
    found = profile(engine, {"x": sample(5)}, rounds=3)
    assert [(k.name, k.calls, k.flops) for k in found.kernels] == [("scale", 1, 20), ("shift", 1, 20)]
    assert all(len(k.seconds) == 3 and min(k.seconds) > 0 for k in found.kernels)
    assert found.peak_flops == 0
    assert found.peak_percent(found.kernels[0]) is None


def test_unknown_device(make_artifact: MakeArtifact) -> None:
    with pytest.raises(BackendError, match=r"no device 'sparkle' here[^$]*known: .*cpu"):
        Engine(replace(make_artifact(), backend="sparkle"))
    for name in ("../cpu", "cpu.pool", ""):
        with pytest.raises(BackendError, match="no device"):
            Engine(replace(make_artifact(), backend=name))


def test_device_of_an_entry_point(
    make_artifact: MakeArtifact,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    expected: Callable[[np.ndarray], np.ndarray],
) -> None:
    module = ModuleType("maker_of_chips")
    module.Open = NumpyDevice  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "maker_of_chips", module)
    point = importlib.metadata.EntryPoint("chip9", "maker_of_chips:Open", "ircc.devices")
    real = importlib.metadata.entry_points

    def entry_points(group: str, name: str | None = None) -> importlib.metadata.EntryPoints:
        found = importlib.metadata.EntryPoints([*real(group=group), point])
        return found.select(name=name) if name else found

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    path = tmp_path / "e.engine"
    Engine(make_artifact("chip9")).save(path)
    engine = load(path)
    assert isinstance(engine.device, NumpyDevice)
    x = sample(4)
    assert np.array_equal(engine.run({"x": x})["y"], expected(x))


def test_a_device_that_cannot_open(make_artifact: MakeArtifact, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_device(artifact: Artifact, code: Code, threads: int) -> Device:
        raise OSError("no driver")

    module = ModuleType("ircc.codegen.testdevice")
    module.open_device = open_device  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ircc.codegen.testdevice", module)
    with pytest.raises(BackendError, match=r"'testdevice' cannot be opened.*no driver"):
        Engine(make_artifact("testdevice"))


def test_full_memory_is_an_engine_error(artifact: Artifact) -> None:
    engine = Engine(artifact, threads=1)
    with pytest.raises(EngineError, match="no memory for 1152921504606846976 bytes"):
        engine.device.alloc(1 << 60)


@pytest.mark.parametrize("size", [0, 1, 63, 64, (1 << 22) - 1, 1 << 22, (1 << 22) + 1, (5 << 21) - 1])
def test_memory_of_every_size(artifact: Artifact, size: int) -> None:
    """All of it can be written; large memory begins at a large page."""
    device = Engine(artifact, threads=1).device
    address = device.alloc(size)
    assert address % (64 if size < 1 << 22 else 1 << 21) == 0
    ctypes.memset(address, 0x5A, size)
    assert ctypes.string_at(address, size) == b"\x5a" * size
    device.free(address)
