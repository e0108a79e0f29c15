"""All checks, and a run of them."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain

import numpy as np
from xdsl.utils.exceptions import VerifyException

from ...errors import Error
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
) -> Report:
    """Run the checks of some levels on a target; of those whose name matches `only`; of each level `each` at most, of
    as many operators as may be, drawn by `seed`. What a backend raises is the fault of the check that it was raised
    in."""
    every = checks(models)
    chosen: list[Check] = []
    for level in levels:
        here = [c for c in every if c.level == level and re.search(only, c.name)]
        chosen += here if each is None or len(here) <= each else drawn(here, each, random.Random(f"{level} {seed}"))
    outcomes: list[Outcome] = []
    for number, check in enumerate(chosen, 1):
        report(f"{check.level} {check.name} ({number} of {len(chosen)})")
        with suppress(Meaningless):
            outcomes.append(outcome(check, target))
    return Report(target, outcomes)


def drawn(checks: Sequence[Check], count: int, rng: random.Random) -> list[Check]:
    """So many of the checks: one of each operator, then one more of each, and so on."""
    mixed = rng.sample(checks, len(checks))
    seen: Counter[str] = Counter()
    rounds: list[tuple[int, Check]] = []
    for check in mixed:
        rounds.append((seen[check.about], check))
        seen[check.about] += bool(check.about)
    return [check for _, check in sorted(rounds, key=lambda r: r[0])][:count]


def outcome(check: Check, target: str) -> Outcome:
    """What becomes of a check on a target. Raises Meaningless where it asks for nothing."""
    subject, fault = Subject(target), ""
    try:
        with np.errstate(all="ignore"):
            check.run(subject)
    except Wrong as wrong:
        fault = str(wrong)
    except FAULTS as error:
        fault = f"{type(error).__name__}: {error}"
    return Outcome(check.level, check.name, fault, subject.device, subject.host, subject.built)
