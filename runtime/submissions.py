"""Runs that somebody waits for elsewhere: threads of an engine's own, started when they are asked for."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import EngineError

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

Result = TypeVar("Result")


class Submissions:
    """Calls in the order in which they come, `at_once` of them at a time."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self._closed = False
        self._pools: dict[int, ThreadPoolExecutor] = {}  # by process: a forked child has none of its parent's threads
        self._threads: set[int] = set()

    def submit(self, call: Callable[..., Result], *args: Any) -> Future[Result]:
        """Raises EngineError after `close`, and when the interpreter ends."""
        if self._closed:
            raise EngineError("the engine is closed", hint="submit before `close`, or before the end of its `with`")
        pool = self._pools.get(os.getpid())
        if pool is None:
            from concurrent.futures import ThreadPoolExecutor  # takes 10 ms to import, and few need it

            threads = self._threads  # not self: a thread that knew its pool would keep it, and itself, for ever
            pool = ThreadPoolExecutor(self.at_once, "ircc", lambda: threads.add(threading.get_ident()))
            pool = self._pools.setdefault(os.getpid(), pool)  # of two threads that come here at once one is first
        try:
            return pool.submit(call, *args)
        except RuntimeError as error:
            raise EngineError(f"nothing can be submitted any more: {error}") from None

    def close(self) -> None:
        """No more is taken. What has been submitted is done when this returns, but for a call that closes itself."""
        self._closed = True
        if pool := self._pools.get(os.getpid()):
            pool.shutdown(wait=threading.get_ident() not in self._threads)
