"""All checks, and a run of them."""

from __future__ import annotations

import multiprocessing
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from itertools import chain

import numpy as np
from xdsl.utils.exceptions import VerifyException

from ...errors import BackendError, Error
from ...progress import report
from . import device, operators, whole
from .kit import LEVELS, Check, Meaningless, Outcome, Report, Subject, Wrong

FAULTS = (Error, ArithmeticError, LookupError, OSError, RuntimeError, TypeError, ValueError, VerifyException)


def checks(models: Iterable[str] = ()) -> list[Check]:
    """All checks, by level; at L4 the ONNX files `models` too."""
    return list(chain(device.CHECKS, operators.checks(), whole.CHECKS, map(whole.on_file, models)))


def run(
    target: str,
    *,
    levels: Sequence[str] = LEVELS,
    each: int | None = None,
    only: str = "",
    models: Iterable[str] = (),
    seed: int = 0,
    jobs: int = 1,
) -> Report:
    """Run the checks of some levels on a target; of those whose name matches `only`; of each level `each` at most, of
    as many operators as may be, drawn by `seed`. What a backend raises is the fault of the check that it was raised
    in. `jobs`: fresh processes that share the checks; the report is the same.

    Raises BackendError where such a process ends before its time."""
    choice = Choice(target, tuple(levels), each, only, tuple(models), seed)
    chosen = choice.checks()
    return Report(target, [found for found in _outcomes(choice, chosen, jobs) if found])


@dataclass(frozen=True)
class Choice:
    """What to run, in words that another process understands."""

    target: str
    levels: tuple[str, ...]
    each: int | None
    only: str
    models: tuple[str, ...]
    seed: int

    def checks(self) -> list[Check]:
        """The checks of the choice, by level."""
        every, chosen, each = checks(self.models), list[Check](), self.each
        for level in self.levels:
            here = [c for c in every if c.level == level and re.search(self.only, c.name)]
            rng = random.Random(f"{level} {self.seed}")
            chosen += here if each is None or len(here) <= each else drawn(here, each, rng)
        return chosen


def _outcomes(choice: Choice, chosen: Sequence[Check], jobs: int) -> Iterator[Outcome | None]:
    """What becomes of each check, in their order; None where it asks for nothing."""
    if jobs == 1:
        for check in told(chosen):
            yield outcome(check, choice.target)
        return
    # fresh ones, not copies of this one: a driver that is open here need not survive being copied
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(_numbered, choice, number) for number in range(len(chosen))]
        try:
            for check, future in zip(told(chosen), waiting, strict=True):
                try:
                    yield future.result()
                except BrokenProcessPool as error:
                    raise BackendError(
                        f"a process ended before {check.level} {check.name} was done",
                        hint="run it without --jobs, with --only, to see which of the checks it does not survive",
                    ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def told(chosen: Sequence[Check]) -> Iterator[Check]:
    """The checks, of which each is reported in its turn."""
    for number, check in enumerate(chosen, 1):
        report(f"{check.level} {check.name} ({number} of {len(chosen)})")
        yield check


_checks = cache(Choice.checks)  # in another process


def _numbered(choice: Choice, number: int) -> Outcome | None:
    return outcome(_checks(choice)[number], choice.target)


def drawn(checks: Sequence[Check], count: int, rng: random.Random) -> list[Check]:
    """So many of the checks: one of each operator, then one more of each, and so on."""
    mixed = rng.sample(checks, len(checks))
    seen: Counter[str] = Counter()
    rounds: list[tuple[int, Check]] = []
    for check in mixed:
        rounds.append((seen[check.about], check))
        seen[check.about] += bool(check.about)
    return [check for _, check in sorted(rounds, key=lambda r: r[0])][:count]


def outcome(check: Check, target: str) -> Outcome | None:
    """What becomes of a check on a target; None where it asks for nothing."""
    subject, fault = Subject(target), ""
    try:
        with np.errstate(all="ignore"):
            check.run(subject)
    except Meaningless:
        return None
    except Wrong as wrong:
        fault = str(wrong)
    except FAULTS as error:
        fault = f"{type(error).__name__}: {error}"
    return Outcome(check.level, check.name, fault, subject.device, subject.host, subject.built)
