"""Runs submitted to an engine: futures, asyncio, how many at once, and an end that waits for them."""

import asyncio
import gc
import multiprocessing
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ircc.errors import EngineError, InputError
from ircc.runtime.artifact import Artifact
from ircc.runtime.engine import Engine
from ircc.runtime.submissions import Submissions

Reference = Callable[[np.ndarray], np.ndarray]

# in place of the first kernel: says in x[1] that it runs, then waits for somebody to change x[0], which is its result
WAITS = """
define internal void @scale(ptr %launch, ptr %args) {
entry:
  %x = load ptr, ptr %args
  %saysp = getelementptr float, ptr %x, i64 1
  %tp = getelementptr ptr, ptr %args, i64 2
  %t = load ptr, ptr %tp
  store atomic float 1.0, ptr %saysp seq_cst, align 4
  br label %wait
wait:
  %i = phi i64 [ 0, %entry ], [ %i1, %wait ]
  %yielded = call i32 @sched_yield()
  %seen = load atomic float, ptr %x seq_cst, align 4
  %changed = fcmp one float %seen, 0.0
  %i1 = add i64 %i, 1
  %long = icmp ugt i64 %i1, 20000000
  %end = or i1 %changed, %long
  br i1 %end, label %out, label %wait
out:
  store float %seen, ptr %t
  ret void
}
"""


def sample(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, 4)).astype(np.float32)


def test_threads_end_with_an_engine_that_nobody_closed(artifact: Artifact) -> None:
    engine = Engine(artifact, 1)
    before = threading.active_count()
    engine.submit({"x": sample(2)}).result()
    assert threading.active_count() > before
    del engine
    gc.collect()
    end = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() == before


@pytest.mark.parametrize("threads", [1, 3])
def test_futures_have_the_outputs(artifact: Artifact, expected: Reference, threads: int) -> None:
    with Engine(artifact, threads) as engine:
        inputs = [sample(n, n) for n in range(50)]
        futures = [engine.submit({"x": x}) for x in inputs]
    assert all(future.done() for future in futures), "the engine was closed before its runs were done"
    assert all(np.array_equal(f.result()["y"], expected(x)) for f, x in zip(futures, inputs, strict=True))


def test_in_asyncio(artifact: Artifact, expected: Reference) -> None:
    inputs = [sample(n, n) for n in range(20)]

    async def served(engine: Engine) -> list[dict[str, np.ndarray]]:
        return await asyncio.gather(*(asyncio.wrap_future(engine.submit({"x": x})) for x in inputs))

    with Engine(artifact, threads=2) as engine:
        found = asyncio.run(served(engine))
    assert all(np.array_equal(y["y"], expected(x)) for y, x in zip(found, inputs, strict=True))


def test_what_went_wrong_is_in_the_future(artifact: Artifact) -> None:
    with Engine(artifact, threads=2) as engine:
        bad = engine.submit({"x": sample(3)[:, :2]})
        good = engine.submit({"x": sample(3)})
        with pytest.raises(InputError, match="dimension 1 is 2, expected 4"):
            bad.result(60)
        assert good.result(60)["y"].shape == (3, 4)


def test_other_threads_go_on_while_it_runs(make_artifact: Callable[..., Artifact]) -> None:
    """The native call is made without Python's lock: else nobody could see it run, or answer it."""
    x = np.zeros((1, 4), np.float32)
    with Engine(make_artifact(scale=WAITS), threads=1) as engine:
        future = engine.submit({"x": x})
        deadline = time.monotonic() + 60
        while not x[0, 1] and time.monotonic() < deadline:
            time.sleep(0)
        x[0, 0] = 7
        assert future.result(60)["y"][0, 0] == 8


def test_as_many_at_once_as_there_are_cores_for(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ircc.runtime.threads.available", lambda: 8)
    for threads, at_once in {1: 8, 2: 4, 3: 2, 8: 1, 12: 1}.items():
        assert Engine(artifact, threads)._submissions.at_once == at_once  # pyright: ignore[reportPrivateUsage]


def test_at_once() -> None:
    some = Submissions(3)
    meeting = threading.Barrier(3, timeout=60)
    assert sorted(f.result(60) for f in [some.submit(meeting.wait) for _ in range(6)]) == [0, 0, 1, 1, 2, 2]
    some.close()


def test_one_after_the_other() -> None:
    one, seen = Submissions(1), list[int]()
    for i in range(200):
        one.submit(seen.append, i)
    one.close()
    assert seen == list(range(200))


def test_what_waits_can_be_cancelled() -> None:
    one, gate, seen = Submissions(1), threading.Event(), list[int]()
    first = one.submit(gate.wait, 60)
    second, third = one.submit(seen.append, 2), one.submit(seen.append, 3)
    assert second.cancel()
    gate.set()
    assert first.result(60) and third.result(60) is None
    one.close()
    assert seen == [3]


def test_a_closed_engine_takes_no_more(artifact: Artifact) -> None:
    for used in (False, True):
        engine = Engine(artifact, threads=2)
        if used:
            engine.submit({"x": sample(2)})
        engine.close()
        engine.close()
        with pytest.raises(EngineError, match="the engine is closed"):
            engine.submit({"x": sample(2)})


def test_closed_by_what_follows_a_run(artifact: Artifact) -> None:
    engine, closed = Engine(artifact, threads=2), threading.Event()

    def close(_: object) -> None:
        engine.close()
        closed.set()

    engine.submit({"x": sample(2)}).add_done_callback(close)
    assert closed.wait(60)


def test_an_engine_that_nobody_keeps(artifact: Artifact, expected: Reference) -> None:
    x = sample(100)
    assert np.array_equal(Engine(artifact, threads=2).submit({"x": x}).result(60)["y"], expected(x))


def in_child(engine: Engine, x: np.ndarray, want: np.ndarray) -> None:
    assert np.array_equal(engine.submit({"x": x}).result(20)["y"], want)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork(artifact: Artifact, expected: Reference) -> None:
    x, engine = sample(100), Engine(artifact, threads=2)
    engine.submit({"x": x}).result(60)
    child = multiprocessing.get_context("fork").Process(target=in_child, args=(engine, x, expected(x)))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert np.array_equal(engine.submit({"x": x}).result(60)["y"], expected(x))
    engine.close()


def test_the_end_of_the_process(artifact: Artifact, tmp_path: Path) -> None:
    """What was submitted is done first, and loading has not brought in concurrent.futures."""
    Engine(artifact).save(tmp_path / "m.engine")
    text = (
        "import sys, numpy, ircc\n"
        "engine = ircc.load(sys.argv[1], threads=2)\n"
        "inputs = {'x': numpy.ones((500, 4), numpy.float32)}\n"
        "engine.run(inputs)\n"
        "assert 'concurrent.futures' not in sys.modules\n"
        "for i in range(50): engine.submit(inputs).add_done_callback(lambda f: print(f.result()['y'].sum()))\n"
    )
    command = [sys.executable, "-c", text, str(tmp_path / "m.engine")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["2250.0"] * 50
