"""`ircc opt FILE`: textual IR in, passes, textual IR out."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from argparse import Namespace
from pathlib import Path

from ..compiler import run as run_passes
from ..errors import InputError
from ..frontends.text import is_text, read_text, write_text
from ..ir.check_each import seed_of
from ..ir.passes import find_pass, pass_names
from ..ir.pipeline import Pipeline
from . import console
from .compile import Progress, instruments, report_times, write


def run(args: Namespace) -> int:
    """Run the passes, print the module."""
    if args.list:
        return _list()
    if args.model is None:
        raise InputError("no FILE is given", hint="ircc opt FILE --passes=...; - is stdin")
    path = None if args.model == "-" else Path(args.model)
    data = path.read_bytes() if path else sys.stdin.buffer.read()
    if not is_text(data):
        raise InputError(f"{args.model} is not textual IR", hint="print it first: ircc MODEL --emit=graph-ir")
    text = data.decode(errors="replace")
    module = read_text(text, name=args.model, folder=path.parent if path else None)
    pipeline = Pipeline.parse(args.passes)
    chosen = instruments(args, seed=seed_of(text) or 0)
    with console.progress("reading the text"):
        run_passes(pipeline, module, [*chosen, Progress()])
        printed = write_text(module, inline=args.inline_weights)
    write(printed, args.output)
    report_times(chosen)
    return 0


def _list() -> int:
    rows: list[list[str]] = []
    for name in pass_names():
        cls = find_pass(name)
        options = ", ".join(f"{f.name.replace('_', '-')}={f.default}" for f in dataclasses.fields(cls))
        rows.append([name, options, " ".join(inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0].split())])
    console.table(("pass", "options", "does"), rows)
    return 0
