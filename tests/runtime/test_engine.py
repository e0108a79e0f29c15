"""Engines: inputs checked, shapes planned, runs from many threads, and an orderly end."""

import gc
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ircc.errors import Error, InputError
from ircc.runtime.artifact import Artifact
from ircc.runtime.engine import Engine, load

Reference = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(params=[1, 2, 5])
def engine(request: pytest.FixtureRequest, artifact: Artifact) -> Engine:
    return Engine(artifact, threads=request.param)


def sample(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, 4)).astype(np.float32)


@pytest.mark.parametrize("rows", [0, 1, 2, 7, 1000])
def test_run(engine: Engine, expected: Reference, rows: int) -> None:
    x = sample(rows)
    outputs = engine.run({"x": x})
    assert list(outputs) == ["y"]
    assert outputs["y"].dtype == np.float32
    assert np.array_equal(outputs["y"], expected(x))
    assert outputs["y"].__array_interface__["data"][0] % 64 == 0


def test_outputs_are_fresh(engine: Engine, expected: Reference) -> None:
    first = engine.run({"x": sample(3, seed=1)})["y"]
    kept = first.copy()
    engine.run({"x": sample(3, seed=2)})
    assert np.array_equal(first, kept)


def test_ports_and_kernels(engine: Engine) -> None:
    assert [(p.name, p.dtype, p.shape) for p in engine.inputs] == [("x", np.dtype(np.float32), ("N", 4))]
    assert [p.name for p in engine.outputs] == ["y"]
    assert [k.nodes for k in engine.kernels] == [("Mul_0",), ("Add_0",)]
    assert "x: float32[N, 4]" in repr(engine)


def test_plan(engine: Engine) -> None:
    plan = engine.plan({"x": sample(5)})
    assert plan.symbols == {"N": 5}
    assert plan.arena_bytes == 80
    assert plan.output_shapes == {"y": (5, 4)}


def test_many_shapes(engine: Engine, expected: Reference) -> None:
    for rows in [*range(150), 3, 2, 1]:  # more than plans are kept
        x = sample(rows, seed=rows)
        assert np.array_equal(engine.run({"x": x})["y"], expected(x))


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::-1],
        lambda a: a[:, ::2].repeat(2, axis=1)[:, ::1],
        lambda a: np.asfortranarray(a),
        lambda a: np.broadcast_to(a[:1], (6, 4)),
        lambda a: np.frombuffer(b"\0" + a.tobytes(), np.float32, offset=1).reshape(a.shape),  # not aligned
        lambda a: np.ma.masked_array(a),
    ],
)
def test_layouts_of_inputs(engine: Engine, expected: Reference, view: Callable[[np.ndarray], np.ndarray]) -> None:
    x = view(sample(6))
    assert np.array_equal(engine.run({"x": x})["y"], expected(np.asarray(x)))
    bound = engine.bind({"x": x})
    bound()
    assert np.array_equal(bound.outputs["y"], expected(np.asarray(x)))


def test_bound_reads_what_the_arrays_hold(engine: Engine, expected: Reference) -> None:
    x, strided = sample(4), np.zeros((8, 4), np.float32)[::2]
    for array in (x, strided):
        bound = engine.bind({"x": array})
        y = bound.outputs["y"]
        for seed in range(3):
            array[...] = sample(4, seed)
            bound()
            assert bound.outputs["y"] is y
            assert np.array_equal(y, expected(array))


def test_bound_outlives_its_engine(artifact: Artifact, expected: Reference) -> None:
    x = sample(64)
    bound = Engine(artifact, threads=2).bind({"x": x})
    gc.collect()
    bound()
    assert np.array_equal(bound.outputs["y"], expected(x))


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({}, "missing: x"),
        ({"x": sample(2), "z": sample(2)}, "unknown: z"),
        ({"z": sample(2)}, "missing: x; unknown: z"),
        ({"x": sample(2).astype(np.float64)}, "'x' has dtype float64, expected float32"),
        ({"x": sample(2).astype(">f4")}, "'x' has dtype >f4, expected float32"),
        ({"x": sample(2)[0]}, r"'x' has 1 dimensions \[4\], expected 2: \[N, 4\]"),
        ({"x": sample(2)[:, :3]}, "'x': dimension 1 is 3, expected 4"),
        ({"x": np.zeros((1001, 4), np.float32)}, "at most 1000 rows"),
        ({"x": [[1.0], [2.0, 3.0]]}, "'x' is no array"),
        ({"x": "text"}, "'x' has dtype"),
        ([sample(2)], "by name"),
    ],
)
def test_wrong_inputs(engine: Engine, inputs: dict[str, np.ndarray], told: str) -> None:
    with pytest.raises(InputError, match=told):
        engine.run(inputs)
    with pytest.raises(InputError, match=told):
        engine.bind(inputs)


@pytest.mark.parametrize("threads", [0, -1, True, 10**6, 1.5])
def test_wrong_threads(artifact: Artifact, threads: int) -> None:
    with pytest.raises(InputError, match="threads"):
        Engine(artifact, threads=threads)


def test_runs_from_many_threads(engine: Engine, expected: Reference) -> None:
    wrong: list[int] = []

    def work(seed: int) -> None:
        for i in range(200):
            x = sample(1 + (seed * 31 + i) % 40, seed=i)
            if not np.array_equal(engine.run({"x": x})["y"], expected(x)):
                wrong.append(seed)

    callers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_close(artifact: Artifact, expected: Reference) -> None:
    x = sample(50)
    with Engine(artifact, threads=3) as engine:
        bound = engine.bind({"x": x})
        bound()
    engine.close()
    bound()
    assert np.array_equal(bound.outputs["y"], expected(x))
    assert np.array_equal(engine.run({"x": x})["y"], expected(x))


def native_threads() -> int:
    return len(os.listdir("/proc/self/task"))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted by Linux's /proc")
def test_engines_come_and_go(artifact: Artifact) -> None:
    x = sample(20)
    before = native_threads()
    engines = [Engine(artifact, threads=1 + i % 4) for i in range(12)]
    for engine in engines:
        engine.run({"x": x})
        del engine
    assert native_threads() == before + 3 * (1 + 2 + 3)
    engines.clear()
    assert native_threads() == before


def in_child(engine: Engine, x: np.ndarray, want: np.ndarray) -> None:
    assert np.array_equal(engine.run({"x": x})["y"], want)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork(engine: Engine, expected: Reference) -> None:
    x = sample(100)
    engine.run({"x": x})  # the parent has workers, the child has not
    child = multiprocessing.get_context("fork").Process(target=in_child, args=(engine, x, expected(x)))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert np.array_equal(engine.run({"x": x})["y"], expected(x))


def script(text: str, *args: object) -> str:
    command = [sys.executable, "-c", textwrap.dedent(text), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def saved(artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("engines") / "m.engine"
    Engine(artifact).save(path)
    return path


def test_loading_imports_nothing_of_the_compiler(saved: Path) -> None:
    text = """
        import sys, numpy, ircc
        engine = ircc.load(sys.argv[1], threads=2)
        engine.run({"x": numpy.ones((3, 4), numpy.float32)})
        parts = ("ir", "dialects", "passes", "schedules", "frontends", "compiler", "testing", "cli")
        wrong = {"xdsl", "onnx", "llvmlite", *("ircc." + p for p in parts)} & set(sys.modules)
        print(sorted(wrong))
    """
    assert script(text, saved).strip() == "[]"


@pytest.mark.parametrize("how", ["pass", "del engine", "sys.exit(0)", "engine.close()", "keep.append(bound)"])
def test_interpreter_exit(saved: Path, how: str) -> None:
    text = f"""
        import sys, threading, numpy, ircc
        keep = []
        engine = ircc.load(sys.argv[1], threads=3)
        bound = engine.bind({{"x": numpy.ones((300, 4), numpy.float32)}})
        bound()
        keep.append((lambda: engine, keep))   # a cycle, so that the end comes late
        {how}
    """
    script(text, saved)


def test_exit_while_a_daemon_thread_runs(saved: Path) -> None:
    text = """
        import sys, threading, numpy, ircc
        engine = ircc.load(sys.argv[1], threads=3)
        bound = engine.bind({"x": numpy.ones((1000, 4), numpy.float32)})
        running = threading.Event()
        def work():
            while True:
                bound()
                running.set()
        threading.Thread(target=work, daemon=True).start()
        running.wait()
    """
    for _ in range(5):
        script(text, saved)


def test_save_and_load(saved: Path, expected: Reference, artifact: Artifact, tmp_path: Path) -> None:
    engine = load(saved, threads=2, verify="all")
    x = sample(9)
    assert np.array_equal(engine.run({"x": x})["y"], expected(x))
    engine.save(tmp_path / "again.engine")
    assert (tmp_path / "again.engine").read_bytes() == saved.read_bytes()
    engine.save(saved)  # onto the file that it is mapped from
    assert np.array_equal(engine.run({"x": x})["y"], expected(x))


def test_all_errors_are_of_the_family(tmp_path: Path) -> None:
    with pytest.raises(Error, match="cannot read"):
        load(tmp_path / "none.engine")
    with pytest.raises(Error, match="cannot read"):
        load(tmp_path)
