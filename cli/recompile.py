"""`ircc recompile ENGINE`: make an engine anew from the graph inside it, or see whether that gives the same file."""

from __future__ import annotations

import shlex
import time
from argparse import Namespace
from pathlib import Path

from ..compiler import recompile, reproduce
from ..engines import is_signed
from ..errors import InputError
from . import console
from .compile import Progress


def run(args: Namespace) -> int:
    """Write the engine, or compare."""
    if args.check:
        if args.target or args.output:
            raise InputError("--check makes the same engine again: --target and -o say another one")
        with console.progress("reading the engine"):
            reproduce(args.engine, instruments=[Progress()])
        console.say(f"{args.engine}: made again, byte for byte")
        return 0
    start = time.perf_counter()
    out = args.output or args.engine
    signed = is_signed(args.engine)
    with console.progress("reading the engine"):
        made = recompile(args.engine, out, target=args.target, instruments=[Progress()])
    passed = console.seconds(time.perf_counter() - start)
    size = console.size(Path(out).stat().st_size)
    console.say(f"{out}: {made.target.get('name', '')}, {size}, compiled in {passed}")
    if signed:
        console.say(f"{out} is not signed any more: `ircc sign {shlex.quote(str(out))} --key ...`")
    return 0
