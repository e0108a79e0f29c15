"""`ircc conformance`: what works on a backend, as a table, JSON and a page to publish."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from importlib import import_module
from pathlib import Path
from typing import Any

from ..codegen.backend import find_backend
from ..errors import InputError
from . import console, page

NOTE = (
    "A check that falls back is right, and ran on the host. A device that compiles kernels when they run says how many "
    "it made."
)
SHOWN = 20  # failures in the table


def run(args: Namespace) -> int:
    """Run the kit and say what it found; 1 where something fails."""
    find_backend(args.backend)
    kit = _kit()
    levels = args.levels.split(",") if args.levels else list(kit.LEVELS)
    if unknown := [level for level in levels if level not in kit.LEVELS]:
        raise InputError(f"there is no level {unknown[0]!r}", hint=f"levels are {', '.join(kit.LEVELS)}")
    with console.progress("preparing the checks", show=not args.json):
        report = kit.run(
            args.backend, levels=levels, each=args.each, only=args.only, models=args.model, seed=args.seed,
            jobs=args.jobs,
        )  # fmt: skip
    if args.html:
        Path(args.html).write_text(html(report))
    if args.json:
        sys.stdout.write(json.dumps(report.to_dict(), indent=2) + "\n")
        return int(not report.passed)
    console.table(COLUMNS, _rows(report), title=f"{args.backend}: {_verdict(report)}")
    if report.failures:
        rows = [(o.level, o.name, o.fault) for o in report.failures[:SHOWN]]
        console.say("")
        console.table(("level", "fails", "because"), rows)
        if len(report.failures) > SHOWN:
            console.say(f"... and {len(report.failures) - SHOWN} more: --json has them all")
    return int(not report.passed)


COLUMNS = ("level", ">checks", ">right", ">of these on the host", ">kernels on the device", ">made by its compiler")


def _kit() -> Any:
    try:
        return import_module("ircc.testing.conformance")
    except ModuleNotFoundError as error:
        raise InputError(f"the kit needs the package {error.name}", hint="pip install ircc[testing]") from error


def _rows(report: Any) -> list[tuple[str, ...]]:
    return [tuple(map(str, level)) for level in report.levels()]


def _verdict(report: Any) -> str:
    count = len(report.outcomes)
    return f"all {count} checks pass" if report.passed else f"{len(report.failures)} of {count} checks fail"


def html(report: Any) -> str:
    """The report as a page."""
    made = report.to_dict()
    rows = [(o.level, o.status, o.name, o.fault) for o in report.outcomes]
    return page.page(
        f"{report.target}: {_verdict(report)}",
        page.paragraphs([f"ircc {made['ircc']}. {NOTE}"], "faint"),
        page.table(COLUMNS, _rows(report), "level"),
        "<h2>Checks</h2>",
        page.table(("level", "status", "check", "fault"), sorted(rows, key=lambda row: (row[1] != "FAIL", row[0]))),
    )
