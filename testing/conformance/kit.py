"""Checks, what became of them, and the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ... import __version__
from ...compiler import compile
from ...ir.check_each import difference

LEVELS = ("L0", "L1", "L2", "L3", "L4")
CPU, HOST = "cpu", "host"


class Wrong(Exception):
    """A check that failed, and how."""


class Meaningless(Exception):
    """A check that asks for nothing."""


@dataclass(frozen=True)
class Check:
    """One thing that a backend has to do. `run` raises Wrong where it does not."""

    level: str
    name: str
    run: Callable[[Subject], None]
    about: str = ""  # the operator, where it is one's


@dataclass(frozen=True)
class Outcome:
    """What became of a check. `fault` is empty where it passed; `device` and `host` count kernels, and `built` those
    whose code the device's compiler made, where it does that when they run."""

    level: str
    name: str
    fault: str
    device: int
    host: int
    built: int = 0

    @property
    def status(self) -> str:
        """`pass`, `fell back` (right, but none of its kernels ran on the device) or `FAIL`."""
        return "FAIL" if self.fault else "fell back" if self.host and not self.device else "pass"


@dataclass
class Subject:
    """The backend that is looked at, in one check."""

    target: str
    device: int = 0  # kernels that run there
    host: int = 0  # ... and those that fell back
    engines: list[Any] = field(default_factory=list[Any])

    @property
    def backend(self) -> str:
        return self.target.partition(":")[0]

    def engine(self, model: Any, threads: int | None = None) -> Any:
        """The model compiled for the target; its kernels are counted."""
        made: Any = compile(model, target=self.target, threads=threads)
        for kernel in made.kernels:
            self.host += kernel.on == HOST
            self.device += kernel.on != HOST
        self.engines.append(made)
        return made

    @property
    def built(self) -> int:
        """Kernels that the device's compiler has made."""
        devices = [engine.device for engine in self.engines]
        return sum(len(getattr(device, "device", device).built) for device in devices)


def agree(expected: Mapping[str, Any], found: Mapping[str, Any], bound: float) -> None:
    """Raises Wrong where outputs differ by more than rounding: `bound` units in the last place of the largest."""
    if fault := difference(
        {k: np.asarray(v) for k, v in expected.items()}, {k: np.asarray(v) for k, v in found.items()}, bound
    ):
        raise Wrong(fault)


@dataclass
class Report:
    """What the kit found."""

    target: str
    outcomes: list[Outcome]

    @property
    def passed(self) -> bool:
        return not any(o.fault for o in self.outcomes)

    def levels(self) -> Iterator[tuple[str, int, int, int, int, int]]:
        """Level, checks, passed, of which fell back, kernels that ran on the device, and that its compiler made."""
        for level in LEVELS:
            here = [o for o in self.outcomes if o.level == level]
            if here:
                good = [o for o in here if not o.fault]
                back = [o for o in good if o.status == "fell back"]
                yield level, len(here), len(good), len(back), sum(o.device for o in here), sum(o.built for o in here)

    @property
    def failures(self) -> Sequence[Outcome]:
        return [o for o in self.outcomes if o.fault]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "target": self.target,
            "ircc": __version__,
            "passed": self.passed,
            "levels": {
                level: {"checks": n, "passed": good, "fell_back": back, "device_kernels": kernels, "built": built}
                for level, n, good, back, kernels, built in self.levels()
            },
            "checks": [
                {"level": o.level, "name": o.name, "status": o.status, "fault": o.fault, "device_kernels": o.device,
                 "host_kernels": o.host, "built": o.built}
                for o in self.outcomes
            ],
        }  # fmt: skip
