"""The worker pool's protocol: its own text, run by threads in orders that seeds draw, in memory as weak as C11's."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest

from ircc.codegen.cpu import pool
from ircc.testing.interleaving import Fault, Machine, Steps, Thread

# args: { number of the job, pool, results... }. A chunk appends the job's number to its result, as a digit.
BODIES = """
define void @chunk(ptr %args, i64 %chunk) {
  %job = load i64, ptr %args
  %results = getelementptr i64, ptr %args, i64 2
  %place = getelementptr i64, ptr %results, i64 %chunk
  %old = load i64, ptr %place
  %moved = mul i64 %old, 10
  %new = add i64 %moved, %job
  store i64 %new, ptr %place
  ret void
}

define void @nest(ptr %args, i64 %chunk) {
  %poolp = getelementptr i64, ptr %args, i64 1
  %pool = load ptr, ptr %poolp
  %first = getelementptr i64, ptr %args, i64 2
  %offset = mul i64 %chunk, 5
  %inner = getelementptr i64, ptr %first, i64 %offset
  %job = load i64, ptr %args
  store i64 %job, ptr %inner
  call void @ircc_pool_run(ptr %pool, ptr @chunk, ptr %inner, i64 3)
  ret void
}
"""
TEXT = pool.text("x86_64-unknown-linux-gnu")
SEEDS = 250  # of each scenario: a few thousand orders in all


@dataclass
class Pool:
    """A pool of a machine's, for its threads to use."""

    machine: Machine
    threads: int
    spin: int
    address: int = 0

    def made(self, thread: Thread) -> Steps:
        self.address = yield from thread.call("@ircc_pool_create", self.threads, self.spin)

    def runs(self, thread: Thread, chunks: int, jobs: int, body: str = "@chunk", inner: int = 0) -> Steps:
        """Jobs one after the other, of memory that is this thread's. After each all of its chunks have been done, once,
        and the thread knows it."""
        args = self.machine.allocate(8 * (2 + chunks * max(inner, 1)))
        yield
        thread.store(args + 8, self.address)
        expected = 0
        for job in range(1, jobs + 1):
            yield
            thread.store(args, job)
            yield from thread.call("@ircc_pool_run", self.address, body, args, chunks)
            expected = 10 * expected + job
            for i in range(chunks):
                places = [2 + 5 * i + 2 + k for k in range(3)] if inner else [2 + i]
                for place in places:
                    found = thread.load(args + 8 * place)
                    if found != expected:
                        raise Fault(f"chunk {i} is {found} after job {job}, expected {expected}")

    def unclaimed(self) -> int:
        """Chunks that nobody has taken."""
        first = self.address + pool.FIELDS["shares"] + pool.SHARE["work"]
        works = [self.machine.stores_at(first + n * pool.SHARE_BYTES)[-1].value for n in range(self.threads)]
        return sum(work & 0xFFFFFFFF for work in works)

    def gone(self) -> None:
        if self.address in self.machine.blocks:
            raise Fault("the pool's memory is still there")


Scenario = Callable[[str, int], None]


def one_caller(text: str, seed: int, threads: int = 3, chunks: int = 4, spin: int = 1, jobs: int = 2) -> None:
    """Jobs, then the end, at any moment of the workers' way to sleep."""
    machine = Machine(text + BODIES, seed)
    workers = Pool(machine, threads, spin)

    def scenario(thread: Thread) -> Steps:
        yield from workers.made(thread)
        yield from workers.runs(thread, chunks, jobs)
        yield from thread.call("@ircc_pool_destroy", workers.address)

    machine.start(scenario)
    machine.run()
    workers.gone()


def slow_caller(text: str, seed: int, threads: int = 3, chunks: int = 3) -> None:
    """Once the caller has woken the workers, they do all chunks without it: nobody sleeps while there is work."""
    machine = Machine(text + BODIES, seed)
    workers = Pool(machine, threads, spin=1)
    jobs = 0

    def scenario(thread: Thread) -> Steps:
        yield from workers.made(thread)
        yield from workers.runs(thread, chunks, 3)
        yield from thread.call("@ircc_pool_destroy", workers.address)

    def held(thread: Thread) -> bool:
        return thread.number == 0 and "@ircc.pool.help" in thread.calls

    def idle() -> None:
        nonlocal jobs
        jobs += 1
        if left := workers.unclaimed():
            raise Fault(f"all workers sleep, and {left} chunks are left")

    machine.start(scenario)
    machine.run(held, idle)
    assert jobs >= 3
    workers.gone()


def two_callers(text: str, seed: int, stopped: bool = False) -> None:
    """Two contexts of one engine at once; or one of them, and somebody who closes the engine meanwhile."""
    machine = Machine(text + BODIES, seed)
    workers = Pool(machine, 3, spin=1)

    def other(thread: Thread) -> Steps:
        if stopped:
            yield from thread.call("@ircc_pool_stop", workers.address)
        yield from workers.runs(thread, 3, 2)

    def scenario(thread: Thread) -> Steps:
        yield from workers.made(thread)
        second = machine.start(other, thread.view)
        yield from workers.runs(thread, 3, 2)
        yield from thread.join(second)
        yield from thread.call("@ircc_pool_destroy", workers.address)

    machine.start(scenario)
    machine.run()
    workers.gone()


def nested(text: str, seed: int) -> None:
    """A run inside of each chunk of a run."""
    machine = Machine(text + BODIES, seed)
    workers = Pool(machine, 2, spin=1)

    def scenario(thread: Thread) -> Steps:
        yield from workers.made(thread)
        yield from workers.runs(thread, 2, 2, "@nest", inner=5)
        yield from thread.call("@ircc_pool_destroy", workers.address)

    machine.start(scenario)
    machine.run()
    workers.gone()


def few_threads(text: str, seed: int) -> None:
    """The system gives one worker of the three that are wanted."""
    machine = Machine(text + BODIES, seed, most_threads=2)
    workers = Pool(machine, 4, spin=1)

    def scenario(thread: Thread) -> Steps:
        yield from workers.made(thread)
        yield from workers.runs(thread, 6, 2)
        yield from thread.call("@ircc_pool_destroy", workers.address)

    machine.start(scenario)
    machine.run()
    workers.gone()


SCENARIOS: dict[str, Scenario] = {
    "one caller, a worker": partial(one_caller, threads=2),
    "one caller, two workers": one_caller,
    "one caller, workers that never spin": partial(one_caller, spin=0, jobs=3, chunks=2),
    "more threads than chunks": partial(one_caller, threads=4, chunks=2),
    "never used": partial(one_caller, jobs=0),
    "a caller that does not help": slow_caller,
    "a caller that does not help, more threads than chunks": partial(slow_caller, threads=4, chunks=2),
    "two callers": two_callers,
    "a caller, and a stop meanwhile": partial(two_callers, stopped=True),
    "runs inside of runs": nested,
    "fewer threads than wanted": few_threads,
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_order(name: str) -> None:
    for seed in range(SEEDS):
        try:
            SCENARIOS[name](TEXT, seed)
        except Fault as fault:
            raise AssertionError(f"seed {seed}: {fault}") from fault


# ---- what would be wrong is found: the text with a change, and some order of some scenario that shows it


class Change:
    """Of the pool's text. Each piece of text that is named has to be there once."""

    def __init__(self, text: str = TEXT) -> None:
        self.text = text

    def put(self, old: str, new: str) -> "Change":
        assert self.text.count(old) == 1, f"{self.text.count(old)} times in the pool's text: {old}"
        return Change(self.text.replace(old, new))

    def drop(self, old: str) -> "Change":
        return self.put(old, "")

    def weaken(self, access: str, order: str, weaker: str = "monotonic") -> "Change":
        return self.put(f"{access} {order}", f"{access} {weaker}")

    def move(self, line: str, behind: str) -> "Change":
        return self.drop(f"{line}\n").put(behind, f"{behind}\n{line}")


COUNTS = "atomicrmw add ptr %donep, i32 1"
WAITS = "%done = load atomic i32, ptr %donep"
CLEARS = "  store atomic i32 0, ptr %donep monotonic, align 4"
DEALS = "  store atomic i64 %work, ptr %workp seq_cst, align 8"
ENDS = "  store i64 %to, ptr %endp"
CLAIMS = "%swap = cmpxchg ptr %workp, i64 %work, i64 %less"
SEES = "  %seen = load atomic i32, ptr %signalp seq_cst, align 4"
LOOKS = "  %work2 = load atomic i64, ptr %workp seq_cst, align 8"
LOOKS_FOR_STOP = "  %stop2 = load atomic i32, ptr %stopp seq_cst, align 4"
REASONS = "%reasons = or i32 %left2, %stop2"
WOKEN = "  %after = atomicrmw sub ptr %sleepersp, i32 1 seq_cst\n  br label "
OTHERS = "  %others = sub i32 %count32, 1"
SIGNALS = "%before = atomicrmw add ptr %signalp, i32 1 seq_cst"
LOOKS_FOR_SLEEPERS = "%sleepers = load atomic i32, ptr %sleepersp"
WAKES = "  %woken = call i64 (i64, ...) @syscall(i64 202, ptr %signalp, i32 129, i32 %most"
STOPS = "  store atomic i32 1, ptr %stopp seq_cst, align 4"
WAKES_ALL = "  call void @ircc.pool.wake(ptr %pool, i32 2147483647)"
GENERATION = "%generation = add i64 %high,"

CHANGES: dict[str, Callable[[Change], Change]] = {
    "results are not handed to the caller": lambda c: c.weaken(COUNTS, "release"),
    "the caller does not take them over": lambda c: c.weaken(WAITS, "acquire"),
    "the caller does not wait": lambda c: c.put("br i1 %all, label %finished, label %again", "br label %finished"),
    "a job is not handed to the workers": lambda c: c.put(DEALS, DEALS.replace("seq_cst", "monotonic")),
    "a share's end comes after the share": lambda c: c.move(ENDS, DEALS),
    "the count of chunks done begins too late": lambda c: c.move(CLEARS, OTHERS),
    "a chunk is taken without a swap": lambda c: c.put(
        f"{CLAIMS} acq_rel acquire", "store atomic i64 %less, ptr %workp release, align 8"
    ).put("%mine = extractvalue { i64, i1 } %swap, 1\n  br i1 %mine, label %run, label %look", "br label %run"),
    "jobs cannot be told apart, and a claim takes nothing over": lambda c: c.put(
        f"{GENERATION} 4294967296", f"{GENERATION} 0"
    ).weaken(CLAIMS, "acq_rel acquire", "monotonic monotonic"),
    "nobody is woken": lambda c: c.put(WAKES, WAKES.replace("%most", "0")),
    "one too few is woken": lambda c: c.put(OTHERS, OTHERS.replace("1", "2")),
    "who is woken looks only at its own share": lambda c: c.put(f"{WOKEN}%help", f"{WOKEN}%wait"),
    "the signal is not raised": lambda c: c.put(SIGNALS, "%before = load atomic i32, ptr %signalp seq_cst, align 4"),
    "sleepers do not look again": lambda c: c.put(REASONS, "%reasons = or i32 0, %stop2"),
    "sleepers do not look for a stop": lambda c: c.put(REASONS, "%reasons = or i32 %left2, 0"),
    "sleepers look before they see the signal": lambda c: c.move(SEES, LOOKS_FOR_STOP),
    "sleepers see and look in no order": lambda c: c.put(SEES, SEES.replace("seq_cst", "monotonic")).put(
        LOOKS, LOOKS.replace("seq_cst", "monotonic")
    ),
    "sleepers see and look for a stop in no order": lambda c: c.put(SEES, SEES.replace("seq_cst", "monotonic")).put(
        LOOKS_FOR_STOP, LOOKS_FOR_STOP.replace("seq_cst", "monotonic")
    ),
    "the waker looks for sleepers in no order": lambda c: c.weaken(LOOKS_FOR_SLEEPERS, "seq_cst"),
    "the pool is given back without a release": lambda c: c.weaken("store atomic i32 0, ptr %busyp", "release"),
    "a stop is said after the wake": lambda c: c.move(STOPS, WAKES_ALL),
    "a stop does not wait for the workers": lambda c: c.drop(
        "  %joined = call i32 @pthread_join(i64 %handle, ptr null)\n"
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_would_be_wrong_is_found(what: str) -> None:
    text = CHANGES[what](Change()).text
    for seed in range(SEEDS):
        for scenario in SCENARIOS.values():
            try:
                scenario(text, seed)
            except Fault:
                return
    raise AssertionError("no order shows it")
