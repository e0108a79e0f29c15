"""What a strategy is: it looks at a naive kernel and at the target's description, and writes a schedule.

A strategy is found by its place: `contraction` is the file `schedules/strategies/contraction.py`, which defines one
subclass of `Strategy` of that name; packages outside join through the entry points `ircc.schedules`.
"""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import ClassVar

from ..errors import ScheduleError
from ..ir.target import Target
from .nest import Nest

PACKAGE = f"{__package__}.strategies"
GROUP = "ircc.schedules"
WORTH_SHARING = 32 << 10  # operations or bytes: with less, waking another thread takes longer than the work


@dataclass(frozen=True)
class Case:
    """What a strategy decides about."""

    nest: Nest
    target: Target
    constants: frozenset[str] = frozenset()  # arguments that are constants wherever the kernel is called
    instructions: frozenset[str] = frozenset()  # of the machine, that the module declares

    @property
    def lanes(self) -> int:
        """Elements of the result's type in a vector."""
        return self.target.lanes(self.nest.element)

    @property
    def worth_sharing(self) -> bool:
        """Whether there is work for more than one thread. Depends on shapes, never on threads."""
        work = self.nest.flops * (1 + 7 * self.nest.functions) + self.nest.traffic
        return work.constant is None or work.constant >= WORTH_SHARING


@dataclass(frozen=True)
class Choice:
    """A parameter of a schedule: the value that the cost model picks, and all legal ones."""

    default: int
    values: tuple[int, ...]


Choices = Mapping[str, Choice]


class Strategy(ABC):
    """One way to schedule kernels of one kind."""

    name: ClassVar[str]
    rank: ClassVar[int] = 50  # strategies are asked in this order, the lowest first
    device: ClassVar[bool] = False  # whether it is for devices, whose work items run in groups, or for cores
    updates: ClassVar[bool] = False  # whether it knows ordered loops; one that does not is not asked about them

    @abstractmethod
    def choices(self, case: Case) -> Choices | None:
        """The parameters of the schedule for this case; None when the strategy does not apply."""

    @abstractmethod
    def lines(self, case: Case, values: Mapping[str, int]) -> Sequence[str]:
        """The schedule, one primitive a line, for values of the parameters."""

    def schedule(self, case: Case, **values: int) -> str | None:
        """The schedule's text with the defaults but for `values`; None when the strategy does not apply."""
        choices = self.choices(case) if self.updates or not case.nest.ordered else None
        if choices is None:
            return None
        for name, value in values.items():
            if name not in choices or value not in choices[name].values:
                raise ScheduleError(f"strategy {self.name}: {name} = {value} is not a legal choice")
        return "\n".join(self.lines(case, {**{n: c.default for n, c in choices.items()}, **values}))


@cache
def strategies() -> tuple[Strategy, ...]:
    """All strategies, in the order in which they are asked."""
    found: list[Strategy] = []
    package = import_module(PACKAGE)
    for info in pkgutil.iter_modules(package.__path__):
        if not info.name.startswith("_"):
            module = import_module(f"{PACKAGE}.{info.name}")
            found += [
                value()
                for value in vars(module).values()
                if isinstance(value, type) and issubclass(value, Strategy) and value.__module__ == module.__name__
            ]
    found += [entry.load()() for entry in entry_points(group=GROUP)]
    return tuple(sorted(found, key=lambda s: (s.rank, s.name)))


def find_strategy(name: str) -> Strategy:
    """The strategy of a name. Raises ScheduleError for an unknown one."""
    for strategy in strategies():
        if strategy.name == name:
            return strategy
    raise ScheduleError(
        f"there is no strategy {name}", hint=f"strategies are {', '.join(s.name for s in strategies())}"
    )


def select(case: Case) -> tuple[Strategy, str] | None:
    """The first strategy that applies, and its schedule."""
    if any(d.size == 0 for d in case.nest.dims):
        return find_strategy("serial"), ""  # nothing runs
    for strategy in strategies():
        text = strategy.schedule(case) if strategy.device == (case.target.group > 0) else None
        if text is not None:
            return strategy, text
    return None


# ---- what strategies share


def reordered(current: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Lines that bring perfectly nested parallel loops into another order, outermost first."""
    lines: list[str] = []
    left = list(current)
    for label in reversed(wanted):
        at = left.index(label)
        if past := left[at + 1 :]:
            lines.append(f"sink {label} past {' '.join(past)}")
        left.pop(at)
    return lines


def sizes(extent: int | None, size: int) -> str:
    """Sizes for `split` that cover an extent: `8|rest`, or `8|2|1` for one that is not known.

    Every size is a copy of the tile's code, and tiles of two dims multiply: three of each are a compromise."""
    if extent is not None:
        return str(size) if extent % size == 0 else f"{size}|rest"
    return "|".join(map(str, dict.fromkeys([size, max(1, size // 4), 1])))


def power_at_least(n: int) -> int:
    """The least power of two that is not less."""
    return 1 << (n - 1).bit_length()
