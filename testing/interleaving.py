"""Threads that run LLVM text together, one access of memory at a time, in an order that a seed draws.

    machine = Machine(text, seed)
    machine.start(scenario)            # def scenario(thread): ... yield from thread.call("@f", 1, 2) ...
    machine.run()                      # raises Fault where something went wrong

The functions of the text are turned into Python generators that stop before every access. Memory is that of C11, made
as weak as it may be: a load takes any value that was stored since the last that its thread knows of, if ordering and
coherence allow that. What a thread knows is its view: for each place the number of a store. A release store hands the
view on, an acquire load takes it over; those marked seq_cst are besides in one order, which is that of execution. A
plain access of what another thread stored without handing it on is a race, and so a fault. (Stores are never made
earlier than where they stand, nor the reads of a plain access remembered: such faults are not found.)

Known of C: aligned_alloc, free, pthread_create, pthread_join, sched_yield, and futex by syscall.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

Steps: TypeAlias = Generator[None, None, Any]
View: TypeAlias = dict[int, int]

FUTEX_WAIT, FUTEX_WAKE = 128, 129
_SIZES = {"i1": 1, "i8": 8, "i32": 32, "i64": 64, "ptr": 64}
_ARITHMETIC = {"add": "+", "sub": "-", "mul": "*", "udiv": "//", "and": "&", "or": "|"}
_COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_MOST_STEPS = 50_000


class Fault(AssertionError):
    """A race, memory that is not there, threads that sleep for ever, or a scenario's own complaint."""


@dataclass
class Store:
    """A value that was stored, and what who reads it by acquire knows then."""

    value: Any
    view: View


@dataclass(eq=False)
class Thread:
    """One of the machine's. Scenarios use `call`, and `load` and `store`, in front of each of which they `yield`."""

    machine: Machine
    number: int
    view: View
    steps: Iterator[None] = field(default_factory=lambda: iter(()))
    calls: list[str] = field(default_factory=list[str])  # the functions that it is in
    asleep: int = 0  # the address of the futex that it waits for
    awaited: Thread | None = None  # what it joins
    ended: bool = False

    @property
    def can_run(self) -> bool:
        return not self.ended and not self.asleep and (self.awaited is None or self.awaited.ended)

    # ---- memory

    def load(self, address: int, order: str = "") -> Any:
        stores, known = self.machine.stores_at(address), self.view.get(address, 0)
        last = len(stores) - 1
        if not order:
            if known != last:
                raise Fault(f"thread {self.number} reads what another wrote, in {self.calls}")
            return stores[last].value
        if order == "seq_cst":
            known = max(known, self.machine.ordered.get(address, 0))
        choice = (
            last if known == last or self.machine.random.random() < 0.5 else self.machine.random.randint(known, last)
        )
        self.view[address] = choice
        if order in ("acquire", "seq_cst"):
            self.learn(stores[choice].view)
        return stores[choice].value

    def store(self, address: int, value: Any, order: str = "") -> None:
        stores = self.machine.stores_at(address)
        if not order and self.view.get(address, 0) != len(stores) - 1:
            raise Fault(f"thread {self.number} writes over what another wrote, in {self.calls}")
        self.view[address] = len(stores)
        stores.append(Store(value, dict(self.view) if order in ("release", "seq_cst") else {}))
        if order == "seq_cst":
            self.machine.ordered[address] = len(stores) - 1

    def change(self, address: int, change: Callable[[Any], Any], order: str) -> Any:
        """Read and write in one: what is read is always the last."""
        stores = self.machine.stores_at(address)
        old = stores[-1]
        self.view[address] = len(stores)
        if order in ("acquire", "acq_rel", "seq_cst"):
            self.learn(old.view)
        made = Store(change(old.value), dict(old.view))  # what a release handed on goes on through changes
        if order in ("release", "acq_rel", "seq_cst"):
            for place, number in self.view.items():
                made.view[place] = max(number, made.view.get(place, 0))
        stores.append(made)
        if order == "seq_cst":
            self.machine.ordered[address] = len(stores) - 1
        return old.value

    def swap(self, address: int, expected: Any, value: Any, order: str, otherwise: str) -> tuple[Any, int]:
        seen = self.load(address, otherwise)
        if seen == expected and self.machine.stores_at(address)[-1].value == expected:
            return self.change(address, lambda _: value, order), 1
        return (seen if seen != expected else self.machine.stores_at(address)[-1].value), 0

    def learn(self, view: View) -> None:
        for place, number in view.items():
            if number > self.view.get(place, 0):
                self.view[place] = number

    # ---- functions

    def call(self, function: str, *args: Any) -> Steps:
        """A function of the text, by its name with @, or of C."""
        self.calls.append(function)
        if (known := self.machine.functions.get(function)) is not None:
            result = yield from known(self, *args)
        else:
            yield
            result = yield from self._external(function, args)
        self.calls.pop()
        return result

    def _external(self, function: str, args: tuple[Any, ...]) -> Steps:
        machine = self.machine
        match function, args:
            case "@aligned_alloc", (_, size):
                return machine.allocate(size)
            case "@free", (address,):
                if address and machine.blocks.pop(address, None) is None:
                    raise Fault("memory is freed that is not there")
            case "@pthread_create", (handle, _, entry, argument):
                if len(machine.threads) >= machine.most_threads:
                    return 11
                made = machine.start(lambda thread: thread.call(entry, argument), self.view)
                self.store(handle, made.number)
            case "@pthread_join", (number, _):
                yield from self.join(machine.threads[number])
            case "@syscall", (_, address, kind, value, *_):
                if kind == FUTEX_WAKE:
                    return machine.wake(address, value, self.view)
                if machine.stores_at(address)[-1].value == value:
                    self.asleep = address
                    yield
                else:
                    self.learn(machine.stores_at(address)[-1].view)
            case "@sched_yield" | "@llvm.x86.sse2.pause", ():
                machine.tired = self
            case "@llvm.memset.p0.i64", (_, 0, _, _):
                pass  # memory begins with zeros here
            case "@llvm.smin.i64", (a, b):
                return min(a, b)
            case _:
                raise Fault(f"{function} is not known here")
        return 0

    def join(self, other: Thread) -> Steps:
        """Wait for another thread's end."""
        self.awaited = other
        yield
        self.awaited = None
        self.learn(other.view)


class Machine:
    """Memory, and the threads that have been started."""

    def __init__(self, text: str, seed: int, most_threads: int = 100) -> None:
        self.random = random.Random(seed)
        self.functions = functions_of(text)
        self.most_threads = most_threads
        self.threads: list[Thread] = []
        self.blocks: dict[int, int] = {}  # address and size of what is allocated
        self.memory: dict[int, list[Store]] = {}
        self.ordered: View = {}  # the last seq_cst store of each place
        self.tired: Thread | None = None  # who has just said that others may run
        self._ranks: dict[Thread, float] | None = {} if seed % 2 else None
        self._next = 4096

    def allocate(self, size: int) -> int:
        """The address of so many bytes that are 0."""
        address = self._next
        self._next += size + 4096
        self.blocks[address] = size
        return address

    def stores_at(self, address: int) -> list[Store]:
        if (stores := self.memory.get(address)) is None:
            stores = self.memory[address] = [Store(0, {})]
        if not any(start <= address < start + size for start, size in self.blocks.items()):
            raise Fault(f"memory is used that is not there: {address}")
        return stores

    def start(self, scenario: Callable[[Thread], Steps], view: View | None = None) -> Thread:
        """A thread more, which knows what whoever started it knows."""
        thread = Thread(self, len(self.threads), dict(view or {}))
        thread.steps = scenario(thread)
        self.threads.append(thread)
        return thread

    def wake(self, address: int, most: int, view: View) -> int:
        """Threads that sleep there go on, at most so many of them, and know what the waker does: there are locks in the
        kernel that both go through."""
        waiting = [t for t in self.threads if t.asleep == address]
        self.random.shuffle(waiting)
        for thread in waiting[:most]:
            thread.asleep = 0
            thread.learn(view)
        return min(most, len(waiting))

    def run(self, held: Callable[[Thread], bool] | None = None, idle: Callable[[], None] | None = None) -> None:
        """Until all threads have ended. Who is `held` goes on only when nobody else can; `idle` is called before."""
        for _ in range(_MOST_STEPS):
            able = [t for t in self.threads if t.can_run]
            if held is not None and any(free := [not held(t) for t in able]):
                able = [t for t, is_free in zip(able, free, strict=True) if is_free]
            elif held is not None and idle is not None and able:
                idle()
            if not able:
                break
            thread = self._chosen(able)
            self.tired = None
            try:
                next(thread.steps)
            except StopIteration:
                thread.ended = True
        else:
            raise Fault(f"no end after {_MOST_STEPS} steps: {[t.calls for t in self.threads if not t.ended]}")
        if left := [t for t in self.threads if not t.ended]:
            raise Fault(f"nobody can go on: {[(t.number, t.calls) for t in left]}")

    def _chosen(self, able: list[Thread]) -> Thread:
        """With even seeds anybody. With odd ones threads have ranks, the highest goes on; ranks change now and then,
        and who spins or yields falls behind (after Burckhardt et al., PCT, 2010)."""
        if self._ranks is None:
            return self.random.choice(able)
        for thread in able:
            if thread not in self._ranks or thread is self.tired or self.random.random() < 0.02:
                self._ranks[thread] = self.random.random() - (thread is self.tired)
        return max(able, key=lambda t: self._ranks[t])  # pyright: ignore[reportOptionalSubscript]


# ---- text to generators


@cache
def functions_of(text: str) -> dict[str, Callable[..., Steps]]:
    """The functions that are defined in LLVM text. Calling one raises ValueError for what is not known here."""
    lines = [line.partition(";")[0].strip() for line in text.splitlines()]
    found: dict[str, Callable[..., Steps]] = {}
    for at, line in enumerate(lines):
        if header := re.match(r"define .*?(@[\w.]+)\((.*?)\)", line):
            found[header[1]] = _Function(re.findall(r"%[\w.]+", header[2]), lines[at + 1 : lines.index("}", at)])
    return found


@dataclass
class _Function:
    """A function, turned into Python when it is called first."""

    parameters: list[str]
    body: list[str]
    made: Callable[..., Steps] | None = None

    def __call__(self, *args: Any) -> Steps:
        if self.made is None:
            names: dict[str, Any] = {"signed": _signed}
            exec(_function(self.parameters, self.body), names)
            self.made = names["run"]
        assert self.made is not None
        return self.made(*args)


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def _value(text: str) -> str:
    if text.startswith("%"):
        return "v_" + text[1:].replace(".", "_")
    return {"null": "0", "true": "1", "false": "0"}.get(text, repr(text) if text.startswith("@") else text)


def _function(parameters: list[str], body: list[str]) -> str:
    """Python source of a function: a loop over its blocks, and a `yield` before every access of memory."""
    blocks: dict[str, list[str]] = {}
    current = "entry"
    for line in filter(None, body):
        if label := re.fullmatch(r"([\w.]+):", line):
            current = label[1]
        else:
            blocks.setdefault(current, []).append(line)
    out = [f"def run(thread, {', '.join(map(_value, parameters))}):", "  block = before = 'entry'", "  while True:"]
    out.insert(1, "  if False: yield  # a generator in any case")
    for block, lines in blocks.items():
        out.append(f"    if block == {block!r}:")
        phis = [p for line in lines if (p := re.fullmatch(r"(%[\w.]+) = phi \w+ (.*)", line))]
        if phis:  # all at once
            tables = [
                "{"
                + ", ".join(f"{b!r}: lambda: {_value(v)}" for v, b in re.findall(r"\[ (\S+), %(\S+) \]", p[2]))
                + "}"
                for p in phis
            ]
            values = ", ".join(f"{table}[before]()" for table in tables)
            out.append(f"      {', '.join(_value(p[1]) for p in phis)} = {values}")
        out += [f"      {source}" for line in lines[len(phis) :] for source in _instruction(line)]
    return "\n".join(out)


def _instruction(line: str) -> list[str]:
    target, _, rest = line.rpartition(" = ") if line.startswith("%") else ("", "", line)
    put = f"{_value(target)} = " if target else ""
    word = rest.split()[0]
    if word == "ret":
        return [f"return {_value(rest.split()[-1])}" if rest != "ret void" else "return None"]
    if word == "br":
        labels = re.findall(r"label %([\w.]+)", rest)
        if len(labels) == 1:
            return [f"before, block = block, {labels[0]!r}", "continue"]
        test = _value(rest.split()[2].rstrip(","))
        return [f"before, block = block, {labels[0]!r} if {test} else {labels[1]!r}", "continue"]
    if m := re.fullmatch(r"load (?:atomic )?\w+, ptr (\S+?)(?: (\w+))?(?:, align \d+)?", rest):
        return ["yield", f"{put}thread.load({_value(m[1])}, {m[2] or ''!r})"]
    if m := re.fullmatch(r"store (?:atomic )?\w+ (\S+), ptr (\S+?)(?: (\w+))?(?:, align \d+)?", rest):
        return ["yield", f"thread.store({_value(m[2])}, {_value(m[1])}, {m[3] or ''!r})"]
    if m := re.fullmatch(r"cmpxchg ptr (\S+), \w+ (\S+), \w+ (\S+) (\w+) (\w+)", rest):
        return ["yield", f"{put}thread.swap({', '.join(map(_value, m.groups()[:3]))}, {m[4]!r}, {m[5]!r})"]
    if m := re.fullmatch(r"atomicrmw (add|sub) ptr (\S+), (\w+) (\S+) (\w+)", rest):
        change = f"lambda old: (old {_ARITHMETIC[m[1]]} {_value(m[4])}) % {1 << _SIZES[m[3]]}"
        return ["yield", f"{put}thread.change({_value(m[2])}, {change}, {m[5]!r})"]
    if m := re.fullmatch(r"getelementptr (\w+), ptr (\S+), \w+ (\S+)", rest):
        return [f"{put}{_value(m[2])} + {_SIZES[m[1]] // 8} * {_value(m[3])}"]
    if m := re.fullmatch(r"(add|sub|mul|udiv|and|or) (\w+) (\S+), (\S+)", rest):
        return [f"{put}({_value(m[3])} {_ARITHMETIC[m[1]]} {_value(m[4])}) % {1 << _SIZES[m[2]]}"]
    if m := re.fullmatch(r"icmp ([us]?)(\w+) (\w+) (\S+), (\S+)", rest):
        sides = [_value(m[4]), _value(m[5])]
        sides = [f"signed({side}, {_SIZES[m[3]]})" for side in sides] if m[1] == "s" else sides
        return [f"{put}int({sides[0]} {_COMPARISONS[m[2]]} {sides[1]})"]
    if m := re.fullmatch(r"(?:trunc|zext) \w+ (\S+) to (\w+)", rest):
        return [f"{put}{_value(m[1])} % {1 << _SIZES[m[2]]}"]
    if m := re.fullmatch(r"select i1 (\S+), \w+ (\S+), \w+ (\S+)", rest):
        return [f"{put}{_value(m[2])} if {_value(m[1])} else {_value(m[3])}"]
    if m := re.fullmatch(r"extractvalue \{.*\} (\S+), (\d)", rest):
        return [f"{put}{_value(m[1])}[{m[2]}]"]
    if m := re.fullmatch(r"call [\w ]+(?:\(.*?\) )?([@%][\w.]+)\((.*)\)", rest):
        args = [_value(arg.split()[-1]) for arg in m[2].split(",") if arg.strip()]
        return [f"{put}yield from thread.call({', '.join([_value(m[1]), *args])})"]
    raise ValueError(f"an instruction that is not known here: {line}")
