"""`ircc bench MODEL`: where the time goes, kernel by kernel, against what this machine can do."""

from __future__ import annotations

import json
import statistics
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import example_inputs, profile
from ..errors import InputError
from . import console, page
from .engines import open_engine
from .machine import processor
from .peers import compare
from .roofline import roofline


def run(args: Namespace) -> int:
    """Measure, and print a table or JSON; write a page where one is asked for."""
    if args.against and not args.model.endswith(".onnx"):
        raise InputError("--against needs an ONNX file, which all can read", hint="name the file, not its engine")
    engine, shapes = open_engine(args)
    inputs = example_inputs(engine, shapes=shapes)
    for note in inputs.notes:
        console.say(note)
    with console.progress(f"measuring on {engine.threads} threads"):
        found = report(engine, inputs.arrays, args.rounds)
        if args.against:
            found["against"] = compare(engine, args.against, args.model, inputs.arrays, args.rounds)
    found["model"] = args.model
    if args.html:
        Path(args.html).write_text(as_page(found), encoding="utf-8")
    if args.json:
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    else:
        show(found)
    return 0


def report(engine: Any, arrays: dict[str, Any], rounds: int) -> dict[str, Any]:
    """The measurements as JSON has them. Times are seconds, medians over the rounds; a kernel's are per run.

    `peak_percent`: how near to the limits of the machine; a kernel's by the operations that it does, the whole run's by
    those that the model asks for, so that an algorithm that does with fewer may be over 100."""
    measured = profile(engine, arrays, rounds)
    total = statistics.median(measured.runs)
    limit = sum(measured.limit(kernel, nominal=True) for kernel in measured.kernels)
    spent = sum(kernel.median for kernel in measured.kernels)
    return {
        "backend": engine.artifact.backend,
        "machine": processor(),
        "threads": measured.threads,
        "inputs": {name: list(array.shape) for name, array in arrays.items()},
        "rounds": rounds,
        "seconds": total,
        "seconds_in_kernels": spent,
        "peak_percent": 100 * limit / total if limit and total else None,
        "limits": {
            "flops_per_second": measured.peak_flops,
            "bytes_per_second": {str(size): rate for size, rate in measured.peak_bytes.items()},
        },
        "kernels": [  # the slowest first
            {
                "name": kernel.name,
                "nodes": list(kernel.nodes),
                "strategy": kernel.strategy,
                "calls": kernel.calls,
                "seconds": kernel.median,
                "share_percent": 100 * kernel.median / spent if spent else None,
                "peak_percent": measured.peak_percent(kernel),
                "flops": kernel.flops,
                "nominal_flops": kernel.flops if kernel.nominal is None else kernel.nominal,
                "bytes": kernel.bytes,
            }
            for kernel in sorted(measured.kernels, key=lambda kernel: -kernel.median)
        ],
    }


COLUMNS = (">time", ">of all", ">of limit", "kernel", "strategy", "ONNX nodes")


def rows(kernels: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A line of the table for each kernel, with the COLUMNS."""
    return [
        (
            console.seconds(kernel["seconds"]),
            percent(kernel["share_percent"]),
            percent(kernel["peak_percent"]),
            kernel["name"],
            kernel["strategy"] or "-",
            shortened(kernel["nodes"]),
        )
        for kernel in kernels
    ]


def summary(found: Mapping[str, Any]) -> list[str]:
    """What the report says about the whole run, in sentences."""
    lines = [
        f"one run takes {console.seconds(found['seconds'])} on {found['threads']} threads, "
        f"{percent(found['peak_percent'])} of this machine's limit for what the model asks"
    ]
    for against in found.get("against", ()):
        low, high = against["speed_quartiles"]
        lines.append(
            f"{against['peer']} takes {console.seconds(against['peer_seconds'])} where ircc takes "
            f"{console.seconds(against['seconds'])}, in turns: ircc is {against['speed']:.2f} times as fast "
            f"(quartiles {low:.2f} to {high:.2f})"
        )
        if against["deviation"] is not None:
            lines[-1] += f"; largest difference: {against['deviation']:.1e} of the largest result"
    limits = found["limits"]
    if limits["flops_per_second"]:
        reads = ", ".join(
            f"{rate / 1e9:.0f} GB/s at {console.size(int(size))}" for size, rate in limits["bytes_per_second"].items()
        )
        lines.append(f"limits: {limits['flops_per_second'] / 1e9:.0f} GFLOP/s, reading {reads}")
    return lines


def show(found: Mapping[str, Any]) -> None:
    """The report as a table, and what it says."""
    console.table(COLUMNS, rows(found["kernels"]))
    for line in ("", *summary(found)):
        console.say(line)


def as_page(found: Mapping[str, Any]) -> str:
    """The report as an HTML page: a plot, and the table."""
    inputs = ", ".join(f"{name} {shape}" for name, shape in found["inputs"].items())
    return page.page(
        f"{Path(found['model']).name}: where the time goes",
        page.paragraphs(line[0].upper() + line[1:] + "." for line in summary(found)),
        page.paragraphs([f"{found['machine']}. Inputs: {inputs}; medians of {found['rounds']} rounds."], "faint"),
        roofline(found),
        page.paragraphs([ABOUT_THE_PLOT], "faint"),
        "<h2>Kernels, the slowest first</h2>",
        page.table(COLUMNS, rows(found["kernels"]), "kernel"),
    )


ABOUT_THE_PLOT = (
    "A dot is a kernel, its area the share of the time. The lines are what this machine can do: a kernel on the line "
    "of the memory that holds its data, or on the flat one, is as fast as can be. Kernels without arithmetic stand at "
    "the left. Rest on a dot to see what it is; follow it to its line in the table."
)


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} %"


def shortened(nodes: list[str]) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(nodes[:3])
    return f"{shown} and {len(nodes) - 3} more" if len(nodes) > 3 else shown
