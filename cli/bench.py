"""`ircc bench MODEL`: where the time goes, kernel by kernel, against what this machine can do."""

from __future__ import annotations

import json
import statistics
import sys
from argparse import Namespace
from typing import Any

from .. import example_inputs, profile
from ..errors import InputError
from . import console
from .engines import open_engine
from .peers import compare


def run(args: Namespace) -> int:
    """Measure, and print a table or JSON."""
    if args.against and not args.model.endswith(".onnx"):
        raise InputError("--against needs an ONNX file, which both can read", hint="name the file, not its engine")
    engine, shapes = open_engine(args)
    inputs = example_inputs(engine, shapes=shapes)
    for note in inputs.notes:
        console.say(note)
    with console.progress(f"measuring on {engine.threads} threads"):
        found = report(engine, inputs.arrays, args.rounds)
        if args.against:
            found["against"] = compare(engine, args.against, args.model, inputs.arrays, args.rounds)
    found["model"] = args.model
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
        "kernels": [
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
            for kernel in measured.kernels
        ],
    }


def show(found: dict[str, Any]) -> None:
    """The report as a table, the slowest kernel first."""
    rows = [
        (
            console.seconds(kernel["seconds"]),
            percent(kernel["share_percent"]),
            percent(kernel["peak_percent"]),
            kernel["name"],
            kernel["strategy"] or "-",
            shortened(kernel["nodes"]),
        )
        for kernel in sorted(found["kernels"], key=lambda kernel: -kernel["seconds"])
    ]
    console.table((">time", ">of all", ">of limit", "kernel", "strategy", "ONNX nodes"), rows)
    limits = found["limits"]
    reads = ", ".join(
        f"{rate / 1e9:.0f} GB/s at {console.size(int(size))}" for size, rate in limits["bytes_per_second"].items()
    )
    console.say("")
    console.say(
        f"one run takes {console.seconds(found['seconds'])} on {found['threads']} threads, "
        f"{percent(found['peak_percent'])} of this machine's limit for what the model asks"
    )
    if against := found.get("against"):
        low, high = against["speed_quartiles"]
        console.say(
            f"{against['peer']} takes {console.seconds(against['peer_seconds'])} where ircc takes "
            f"{console.seconds(against['seconds'])}, in turns: ircc is {against['speed']:.2f} times as fast "
            f"(quartiles {low:.2f} to {high:.2f})"
        )
        if against["deviation"] is not None:
            console.say(f"largest difference: {against['deviation']:.1e} of the largest result")
    if limits["flops_per_second"]:
        console.say(f"limits: {limits['flops_per_second'] / 1e9:.0f} GFLOP/s, reading {reads}")


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} %"


def shortened(nodes: list[str]) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(nodes[:3])
    return f"{shown} and {len(nodes) - 3} more" if len(nodes) > 3 else shown
