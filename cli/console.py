"""What the command shows: tables, numbers with units, and a line of progress on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table

from ..progress import reported_to

WIDE = 200  # columns where nobody looks: a table in a file is not folded


def console(stderr: bool = False) -> Console:
    """A console for stdout or stderr, as they are now."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else WIDE
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def say(text: str) -> None:
    """A line for the user, beside what the command prints."""
    sys.stdout.flush()  # in one place, what came first stands first
    sys.stderr.write(f"{text}\n")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "", stderr: bool = False) -> None:
    """Print a table. A column whose name begins with `>` is of numbers."""
    made = Table(title=title or None, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for column in columns:
        right = column.startswith(">")
        made.add_column(column.removeprefix(">"), justify="right" if right else "left", no_wrap=right, overflow="fold")
    for row in rows:
        made.add_row(*row)
    console(stderr).print(made)


@contextmanager
def progress(text: str, *, show: bool = True) -> Generator[None]:
    """A spinner on stderr, where that is a terminal, that says what is going on: `text`, then what is reported."""
    if not (show and sys.stderr.isatty()):
        yield
        return
    with console(stderr=True).status(text) as status, reported_to(status.update):
        yield


def seconds(value: float) -> str:
    """`1.25 s`, `3.07 ms`, `41.2 µs`: three digits."""
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 1 or unit == "µs":
            return f"{value * factor:#.3g} {unit}".replace(". ", " ")
    return ""


def size(value: int) -> str:
    """`102 MB`, `8.19 kB`."""
    number, unit = float(value), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if number < 1000:
            break
        number, unit = number / 1000, larger
    return f"{number:.3g} {unit}" if number < 1000 else f"{number:.0f} {unit}"
