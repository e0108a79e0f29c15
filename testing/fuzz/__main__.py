"""Compare ircc with ONNX's reference and ONNX Runtime on random models.

    python -m ircc.testing.fuzz --count 20000 --seed 7 --state build/fuzz --jobs 2

Cases are numbered from SEED * 10,000,000 on; each is made from its number alone. They run in child processes: a crash
or a hang costs one case. What is done stands in the state's folder, so that the same command goes on where it was
stopped; models that fail are made small and written there as NAME.onnx, with inputs beside them. Exit code 1 if any
failed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .evaluate import judge
from .reduce import read
from .shards import has_failed, judged, shards

STRIDE = 10_000_000  # numbers of cases that belong to one seed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ircc.testing.fuzz", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--count", type=int, default=500, help="cases (500)")
    parser.add_argument("--seed", type=int, default=0, help="which ones (0)")
    parser.add_argument("--only", default="", help="operators to draw from, with commas between them")
    parser.add_argument("--state", type=Path, default=Path("build/fuzz"), help="folder of what is done (build/fuzz)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="child processes (all cores)")
    parser.add_argument(
        "--timeout", type=float, default=90.0, help="seconds that a pack, or a case alone, may take (90)"
    )
    parser.add_argument("--pack", type=int, default=16, help="cases compiled together; those that fail, alone too (16)")
    parser.add_argument("--show", action="store_true", help="list what is unsupported too")
    parser.add_argument("--case", type=int, help="one case by its number, and nothing else")
    parser.add_argument("--judge", type=Path, help="judge one written model, and nothing else")
    args = parser.parse_args()
    console = Console()
    if args.judge is not None:
        model, inputs, text = read(args.judge)
        verdict = judge(model, inputs)
        console.print(f"{text}\n{verdict.status}: {verdict.reason}", markup=False, highlight=False)
        return int(verdict.failed)
    if args.case is not None:
        (row,) = judged([args.case], tuple(filter(None, args.only.split(","))), args.state)
        console.print(text_of(row), markup=False, highlight=False)
        return int(has_failed(row))
    return run(args, console)


def run(args: argparse.Namespace, console: Console) -> int:
    """All cases that are not done yet. Gives the exit code."""
    args.state.mkdir(parents=True, exist_ok=True)
    state = args.state / f"{args.seed}{'-' + args.only.replace(',', '-') if args.only else ''}.jsonl"
    done = {row["case"]: row for row in map(json.loads, state.read_text().splitlines())} if state.exists() else {}
    wanted = range(args.seed * STRIDE, args.seed * STRIDE + args.count)
    left = [case for case in wanted if case not in done]
    rows = [done[case] for case in wanted if case in done]
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    only = tuple(filter(None, args.only.split(",")))
    with state.open("a") as log, Progress(*columns, console=console) as progress:
        task = progress.add_task("fuzz", total=args.count, completed=len(rows))
        for row in shards(left, args.jobs, args.timeout, only, args.state, args.pack):
            rows.append(row)
            log.write(json.dumps(row) + "\n")
            log.flush()
            failed = sum(map(has_failed, rows))
            progress.update(task, advance=1, description=f"{failed} failed")
            if has_failed(row) or (args.show and row["status"] == "unsupported"):
                progress.console.print(text_of(row), markup=False, highlight=False, soft_wrap=True)
    return summary(rows, console)


def text_of(row: dict[str, Any]) -> str:
    return f"case {row['case']}: {row['status']}: {row.get('small') or row['reason']}"


def summary(rows: list[dict[str, Any]], console: Console) -> int:
    """The numbers of all cases, done now or before."""
    counts = Counter(row["status"] for row in rows)
    console.print(f"{len(rows)} cases: " + ", ".join(f"{n} {status}" for status, n in counts.most_common()))
    operators = Counter(op for row in rows for op in row["operators"])
    console.print(f"{operators.total()} nodes of {len(operators)} operators")
    dropped = Counter(why for row in rows for why in row.get("dropped", []))
    console.print(f"{dropped.total()} draws that no peer can judge", highlight=False)
    for why, count in dropped.most_common(10):
        console.print(f"  {count} {why}", markup=False, highlight=False)
    return int(any(map(has_failed, rows)))


if __name__ == "__main__":
    sys.exit(main())
