"""`ircc refit ENGINE --weights MODEL`: give an engine other weights, without making its code again."""

from __future__ import annotations

import shlex
import time
from argparse import Namespace
from pathlib import Path

from ..engines import is_signed
from ..refitting import refit
from . import console
from .compile import Progress


def run(args: Namespace) -> int:
    """Write the engine."""
    start = time.perf_counter()
    out = args.output or args.engine
    signed = is_signed(args.engine)
    with console.progress("reading the engine"):
        made = refit(args.engine, args.weights, out, instruments=[Progress()])
    passed = console.seconds(time.perf_counter() - start)
    size = console.size(Path(out).stat().st_size)
    console.say(f"{out}: {made.target.get('name', '')}, {size}, the code as it was, new weights in {passed}")
    if signed:
        console.say(f"{out} is not signed any more: `ircc sign {shlex.quote(str(out))} --key ...`")
    return 0
