"""A schedule: loop rewrites in order, and their text, one a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from ..dialects.loop.program import Kernel
from ..errors import ScheduleError
from .collapse import Collapse
from .commute import Commute
from .cover import Cover
from .double import Double
from .layout import Layout
from .loops import Block, Fuse, Inline, Lanes, Parallel, Peel, Sink, Split, Unroll
from .prefetch import Prefetch
from .primitive import Primitive
from .reassociate import Reassociate
from .replace import Replace
from .stage import Stage
from .vectorize import Vectorize

PRIMITIVES: dict[str, type[Primitive]] = {
    cls.word(): cls
    for cls in (
        Block, Collapse, Commute, Cover, Double, Fuse, Inline, Lanes, Layout, Parallel, Peel, Prefetch, Reassociate,
        Replace, Sink, Split, Stage, Unroll, Vectorize,
    )
}  # fmt: skip


@dataclass(frozen=True)
class Schedule:
    """Primitives in the order in which they are applied."""

    primitives: tuple[Primitive, ...] = ()

    @classmethod
    def of(cls, primitives: Iterable[Primitive]) -> Schedule:
        return cls(tuple(primitives))

    @staticmethod
    def parse(text: str) -> Schedule:
        """The schedule that `text` spells: one primitive a line, `#` begins a comment. Raises ScheduleError."""
        return _parsed(text)

    def __str__(self) -> str:
        return "\n".join(map(str, self.primitives))

    def __iter__(self) -> Iterator[Primitive]:
        return iter(self.primitives)

    def apply(self, kernel: Kernel, after: Callable[[Primitive], None] = lambda _: None) -> None:
        """Rewrite the kernel; `after` is called with each primitive that has been applied.

        Raises ScheduleError, which says which line refused and why; the kernel is half rewritten then."""
        for number, primitive in enumerate(self.primitives, 1):
            try:
                primitive.apply(kernel)
            except ScheduleError as error:
                name = kernel.sym_name.data
                message = f"kernel {name}, schedule line {number}, `{primitive}`: {error.message}"
                raise ScheduleError(message, hint=error.hint) from error
            after(primitive)


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Schedule:
    found: list[Primitive] = []
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        if not line:
            continue
        word = line.split()[0]
        if word not in PRIMITIVES:
            raise ScheduleError(f"there is no primitive {word}", hint=f"primitives are {', '.join(sorted(PRIMITIVES))}")
        found.append(PRIMITIVES[word].parse(line))
    return Schedule(tuple(found))


def apply(kernel: Kernel, text: str) -> None:
    """Apply a schedule's text to a kernel. Raises ScheduleError."""
    Schedule.parse(text).apply(kernel)
