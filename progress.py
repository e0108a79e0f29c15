"""What is going on, for whoever waits: a line of text at a time, to whom it may concern."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar

_listener: ContextVar[Callable[[str], object] | None] = ContextVar("listener", default=None)


def report(text: str) -> None:
    """Say what is being done now."""
    if (listener := _listener.get()) is not None:
        listener(text)


@contextmanager
def reported_to(listener: Callable[[str], object]) -> Generator[None]:
    """Within this block, `listener` hears what is reported."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
