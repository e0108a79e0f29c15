"""Compares ircc with the other runtimes that are installed: ratios, and percent of what the machine can do.

    python benchmarks/run.py [MODEL.onnx | FOLDER ...] [--only REGEX] [--threads 1,2] [--json FILE] [--page FILE]

Without models it takes those of models.py. See README.md beside this file for how to read the numbers.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import onnx
from models import SUITE

import ircc
from ircc.cli.machine import processor
from ircc.cli.peers import ENOUGH, PEERS, compare, installed
from ircc.codegen.backend import find_backend
from ircc.runtime import threads as cores

Result = Mapping[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, help="files, or folders of them (default: models.py)")
    parser.add_argument("--only", default="", help="take only models whose name matches this regular expression")
    parser.add_argument("--threads", default="1", help="numbers of threads, as 1,2 (1)")
    parser.add_argument("--rounds", type=int, default=10, help="rounds, each measures all and the machine (10)")
    parser.add_argument("--seconds", type=float, default=ENOUGH, help=f"of a round ({ENOUGH})")
    parser.add_argument("--json", type=Path, help="write all that was measured to this file")
    parser.add_argument("--page", type=Path, help="write the tables to this file, as Markdown")
    args = parser.parse_args()

    peers = [name for name in PEERS if installed(name)]
    counts = sorted({int(n) for n in args.threads.split(",")})
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder:
        models = {name: path for name, path in models_of(args.models, Path(folder)) if re.search(args.only, name)}
        if not models:
            parser.error(f"no model matches {args.only!r}")
        for threads in counts:
            for name, path in models.items():
                result = measured(name, path, peers, threads, args.rounds, args.seconds)
                line = [f"{threads} threads", *cells(result)]
                print(" ".join(f"{cell:<24.24}" for cell in line).rstrip(), flush=True)
                results.append(result)
    about = about_this(results)
    if args.json:
        args.json.write_text(json.dumps({"about": about, "results": results}, indent=1) + "\n")
    if args.page:
        args.page.write_text(page(about, results), encoding="utf-8")
    return 0 if all("error" not in result for result in results) else 1


def models_of(given: Sequence[Path], folder: Path) -> Iterator[tuple[str, Path]]:
    """Names and files: what is given, or the suite, written to the folder."""
    for path in given:
        for file in sorted(path.rglob("*.onnx")) if path.is_dir() else [path]:
            yield file.stem, file
    if not given:
        for i, (name, build) in enumerate(SUITE.items()):
            onnx.save(build(), folder / f"{i}.onnx")
            yield name, folder / f"{i}.onnx"


def measured(name: str, path: Path, peers: Sequence[str], threads: int, rounds: int, enough: float) -> Result:
    """All on one model, in turns, with the machine's peak measured after every round."""
    result: dict[str, Any] = {"model": name, "threads": threads}
    try:
        with ircc.compile(path, threads=threads) as engine:
            inputs = ircc.example_inputs(engine).arrays
            kernels = ircc.profile(engine, inputs, rounds=1, peaks=False).kernels
            work = sum(kernel.flops if kernel.nominal is None else kernel.nominal for kernel in kernels)
            meter, peaks = engine.device.meter(), list[float]()
            against = compare(
                engine, peers, str(path), inputs, rounds, lambda: peaks.append(meter.flops() if meter else 0), enough
            )
    except Exception as error:  # a model that one of them cannot run: the others are still of interest
        return result | {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
    peak = statistics.median(peaks)
    return result | {"against": against, "flops": work, "peak_flops": peak}


def percent(result: Result, seconds: float) -> str:
    """How much of the machine's peak the operations are that the model asks for."""
    return f"{100 * result['flops'] / seconds / result['peak_flops']:.0f} %" if result["peak_flops"] else "-"


def cells(result: Result) -> list[str]:
    """The line of a model: its name, the ratio for each peer, percent of the peak of all, the largest difference."""
    if "error" in result:
        return [result["model"], result["error"]]
    against = result["against"]
    ratios = ["{speed:.2f} ({speed_quartiles[0]:.2f} to {speed_quartiles[1]:.2f})".format(**one) for one in against]
    percents = [percent(result, against[0]["seconds"])] if against else []
    percents += [percent(result, one["peer_seconds"]) for one in against]
    differences = [one["deviation"] for one in against if one["deviation"] is not None]
    return [result["model"], *ratios, ", ".join(percents), f"{max(differences):.0e}" if differences else "-"]


def about_this(results: Sequence[Result]) -> dict[str, Any]:
    """The machine and the versions."""
    done = [result for result in results if "error" not in result]
    target = find_backend("cpu").presets()["cpu"]
    peaks = {
        threads: statistics.median(result["peak_flops"] for result in done if result["threads"] == threads)
        for threads in sorted({result["threads"] for result in done})
    }
    return {
        "date": date.today().isoformat(),
        "processor": processor(),
        "target": target,
        "cores": cores.available(),
        "peak_flops": peaks,
        "peers": sorted({one["peer"] for result in done for one in result["against"]}),
        "ircc": ircc.__version__,
    }


def page(about: Mapping[str, Any], results: Sequence[Result]) -> str:
    """The results as Markdown: a table for each number of threads, and the means below it."""
    peaks = ", ".join(f"{peak / 1e9:.0f} GFLOP/s on {threads}" for threads, peak in about["peak_flops"].items())
    ircc_name = f"ircc {about['ircc']}"
    lines = [
        "<!-- written by benchmarks/run.py (make bench-results) -->",
        "# Results",
        f"{about['processor']}, {about['cores']} cores ({about['target']}). Peak of multiply-adds in registers, "
        f"measured after every round: {peaks} threads. {', '.join([ircc_name, *about['peers']])}; {about['date']}.",
        "How many times faster ircc is, in brackets the quartiles over the rounds; how much of the peak the operations "
        "are that the model asks for, in the order of the columns, ircc first; the largest difference from the others, "
        "relative to the largest result. [What is measured and how](README.md).",
    ]
    one = about["peak_flops"].get(1)
    for threads, peak in about["peak_flops"].items():
        if one and peak < 0.75 * threads * one:
            lines.append(
                f"**The machine was busy**: {threads} threads had {peak / one:.1f} times the peak of one, so the "
                "ratios for them say little, and percentages are of what was left."
            )
    for threads in about["peak_flops"]:
        some = [result for result in results if result["threads"] == threads]
        table = [["model", *about["peers"], "% of the peak", "difference"], *map(cells, some)]
        speeds = list(zip(*([one["speed"] for one in r["against"]] for r in some if "error" not in r), strict=True))
        table.append(["**geometric mean**", *(f"**{statistics.geometric_mean(column):.2f}**" for column in speeds)])
        table.append(["**least**", *(f"**{min(column):.2f}**" for column in speeds)])
        width = len(table[0])
        rows = [f"| {' | '.join([*line, *[''] * (width - len(line))])} |" for line in table]
        lines.append(f"## {threads} thread{'s' if threads > 1 else ''}")
        lines.append("\n".join([rows[0], "|---" * width + "|", *rows[1:]]))
    return "\n\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
