"""Python's collector of cycles, which takes a sixth of a compilation if it is let: what passes make refers to itself
all over, and lives as long as the module."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager
from threading import Lock

OBJECTS = 50_000  # made and not freed until the young ones are looked through; Python's own number is 700

_lock = Lock()
_inside = 0
_before = (0, 0, 0)


@contextmanager
def collecting_seldom() -> Generator[None]:
    """Within this block, in whatever thread, there are fewer collections; none if there were none before it."""
    global _inside, _before
    with _lock:
        if _inside == 0:
            _before = gc.get_threshold()
            if 0 < _before[0] < OBJECTS:
                gc.set_threshold(OBJECTS, *_before[1:])
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                gc.set_threshold(*_before)
