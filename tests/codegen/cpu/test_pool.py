"""The worker pool, driven by hand-written LLVM: every chunk once, whatever the threads do."""

import ctypes
import threading
import time
from collections.abc import Callable, Iterator
from ctypes import c_int32, c_int64, c_void_p
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from ircc.codegen.cpu import llvm, pool
from ircc.codegen.cpu.jit import LoadedObject

# args: { ptr counts, ptr pool }. @many runs `times` jobs from native code and checks nothing itself.
BODIES = """
@ircc_kernels = constant [0 x ptr] []

define void @count(ptr %args, i64 %chunk) {
  %counts = load ptr, ptr %args
  %place = getelementptr i64, ptr %counts, i64 %chunk
  %old = load i64, ptr %place
  %new = add i64 %old, 1
  store i64 %new, ptr %place
  ret void
}

define void @nest(ptr %args, i64 %chunk) {
  %inner = alloca [2 x ptr]
  %counts = load ptr, ptr %args
  %poolp = getelementptr ptr, ptr %args, i64 1
  %pool = load ptr, ptr %poolp
  %offset = mul i64 %chunk, 7
  %mine = getelementptr i64, ptr %counts, i64 %offset
  store ptr %mine, ptr %inner
  call void @ircc_pool_run(ptr %pool, ptr @count, ptr %inner, i64 7)
  ret void
}

define void @many(ptr %pool, ptr %body, ptr %args, i64 %chunks, i64 %times) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %i1, %loop ]
  call void @ircc_pool_run(ptr %pool, ptr %body, ptr %args, i64 %chunks)
  %i1 = add i64 %i, 1
  %more = icmp slt i64 %i1, %times
  br i1 %more, label %loop, label %out
out:
  ret void
}
"""


@dataclass
class Library:
    code: LoadedObject

    def function(self, name: str, result: Any, *args: Any) -> Callable[..., Any]:
        return ctypes.CFUNCTYPE(result, *args)(self.code.address(name))

    def create(self, threads: int, spin: int = 200) -> "Pool":
        return Pool(self, self.function("ircc_pool_create", c_void_p, c_int32, c_int32)(threads, spin))


@dataclass
class Pool:
    library: Library
    address: int | None

    def many(self, body: str, counts: np.ndarray, chunks: int, times: int = 1) -> None:
        args = (c_void_p * 2)(counts.ctypes.data, self.address)
        run = self.library.function("many", None, c_void_p, c_void_p, c_void_p, c_int64, c_int64)
        run(self.address, self.library.code.address(body), ctypes.addressof(args), chunks, times)

    def call(self, name: str) -> None:
        self.library.function(name, None, c_void_p)(self.address)

    def started(self) -> int:
        return c_int32.from_address(self.address + pool.FIELDS["started"]).value if self.address else 1

    def ends(self, threads: int) -> list[int]:
        """The chunk after the last of each thread's share of the last job."""
        assert self.address
        first = self.address + pool.FIELDS["shares"] + pool.SHARE["end"]
        return [c_int64.from_address(first + n * pool.SHARE_BYTES).value for n in range(threads)]

    def sleepers(self) -> int:
        assert self.address
        return c_int32.from_address(self.address + pool.FIELDS["sleepers"]).value


def library(text: str) -> Library:
    return Library(LoadedObject(llvm.compile_object(text + BODIES, llvm.host()), ()))


@pytest.fixture(scope="module", params=["futex", "yield"])
def lib(request: pytest.FixtureRequest) -> Library:
    system = "linux-gnu" if request.param == "futex" else "none"
    return library(pool.text(f"{llvm.host().architecture}-unknown-{system}"))


@pytest.fixture(params=[1, 2, 5])
def threads(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture
def workers(lib: Library, threads: int) -> Iterator[Pool]:
    made = lib.create(threads)
    yield made
    made.call("ircc_pool_destroy")


@pytest.mark.parametrize("chunks", [0, 1, 2, 3, 64, 1000])
def test_every_chunk_runs_once(workers: Pool, threads: int, chunks: int) -> None:
    counts = np.zeros(1002, np.int64)
    workers.many("count", counts[1:], chunks)
    assert (counts[1 : chunks + 1] == 1).all()
    assert counts.sum() == chunks
    assert workers.started() == (threads if chunks > 1 else min(threads, workers.started()))


@pytest.mark.parametrize("chunks", [2, 5, 6, 64, 1000])
def test_neighbours_belong_to_one_thread(workers: Pool, threads: int, chunks: int) -> None:
    """Equal shares, in order; the caller, who is surely there, has the first chunk."""
    counts = np.zeros(1000, np.int64)
    workers.many("count", counts, chunks)
    ends = workers.ends(threads) if threads > 1 else [chunks]
    shares = np.diff([0, *ends])
    assert ends[-1] == chunks and shares[0] == shares.max() and shares.max() - shares.min() <= 1


def test_a_hundred_thousand_jobs(workers: Pool) -> None:
    counts = np.zeros(4, np.int64)
    workers.many("count", counts, 4, 100_000)
    assert counts.tolist() == [100_000] * 4


def test_jobs_in_parts(threads: int) -> None:
    """More chunks than one word can count are run in parts: here 5 at a time instead of 2^30."""
    text = pool.text(llvm.host().triple)
    assert "i64 1073741824)" in text
    workers = library(text.replace("i64 1073741824)", "i64 5)")).create(threads)
    counts = np.zeros(23, np.int64)
    workers.many("count", counts, 23, 100)
    workers.call("ircc_pool_destroy")
    assert counts.tolist() == [100] * 23


def test_two_callers_at_once(workers: Pool) -> None:
    counts = np.zeros((3, 16), np.int64)
    callers = [threading.Thread(target=workers.many, args=("count", c, 16, 2000)) for c in counts]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert (counts == 2000).all()


def test_a_job_inside_a_chunk(workers: Pool) -> None:
    counts = np.zeros(9 * 7, np.int64)
    workers.many("nest", counts, 9, 50)
    assert (counts == 50).all()


def test_destroy_while_sleeping() -> None:
    lib = library(pool.text(llvm.host().triple))
    if not pool.FUTEX_CALL.get(llvm.host().architecture):
        pytest.skip("workers never sleep here")
    for _ in range(50):
        workers = lib.create(3, spin=1)
        workers.many("count", np.zeros(8, np.int64), 8)
        deadline = time.monotonic() + 60  # a busy machine may not let them run for long
        while workers.sleepers() < 2 and time.monotonic() < deadline:
            time.sleep(1e-4)
        assert workers.sleepers() == 2, "the workers do not fall asleep"
        workers.call("ircc_pool_destroy")


def test_destroy_at_any_moment(lib: Library) -> None:
    """Spinning, about to sleep, never started: the workers always see the stop."""
    for i in range(300):
        workers = lib.create(3, spin=i % 17)
        if i % 5:
            workers.many("count", np.zeros(8, np.int64), 8)
        workers.call("ircc_pool_destroy")


def test_a_stopped_pool_runs_on_the_caller(lib: Library) -> None:
    workers = lib.create(3)
    counts = np.zeros(8, np.int64)
    workers.many("count", counts, 8)
    workers.call("ircc_pool_stop")
    workers.call("ircc_pool_stop")
    workers.many("count", counts, 8)
    workers.call("ircc_pool_destroy")
    assert (counts == 2).all()


@pytest.mark.parametrize(
    "triple",
    [
        "x86_64-unknown-linux-gnu",
        "aarch64-unknown-linux-gnu",
        "riscv64-unknown-linux-gnu",
        "loongarch64-unknown-linux-gnu",
        "arm64-apple-macosx14.0.0",
    ],
)
def test_compiles_for(triple: str) -> None:
    assembly = llvm.compile_assembly(pool.text(triple) + BODIES, llvm.Machine(triple))
    pause = {"x86_64": "pause", "aarch64": "yield", "arm64": "yield"}.get(triple.split("-")[0])
    assert pause is None or f"\t{pause}\n" in assembly
    assert ("syscall" in assembly) == ("linux" in triple)
