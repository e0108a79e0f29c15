"""`ircc recompile ENGINE`: make an engine anew from the graph inside it, or see whether that gives the same file."""

from __future__ import annotations

import shlex
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..compiler import recompile, reproduce
from ..engines import is_signed
from ..errors import InputError
from . import console
from .compile import Progress

if TYPE_CHECKING:
    from ..runtime.artifact import Artifact


def run(args: Namespace) -> int:
    """Write the engine, or compare."""
    if args.check:
        if args.target or args.output:
            raise InputError("--check makes the same engine again: --target and -o say another one")
        with console.progress("reading the engine"):
            reproduce(args.engine, instruments=[Progress()])
        console.say(f"{args.engine}: made again, byte for byte")
        return 0
    rewrite(
        args.engine,
        args.output,
        lambda out: recompile(args.engine, out, target=args.target, instruments=[Progress()]),
        "compiled in",
    )
    return 0


def rewrite(engine: str, output: str | None, make: Callable[[str], Artifact], how: str) -> None:
    """`make` an engine of another one, in its place where no output is named, and say what came of it, and `how`."""
    start = time.perf_counter()
    out = output or engine
    signed = is_signed(engine)
    with console.progress("reading the engine"):
        made = make(out)
    passed = console.seconds(time.perf_counter() - start)
    size = console.size(Path(out).stat().st_size)
    console.say(f"{out}: {made.target.get('name', '')}, {size}, {how} {passed}")
    if signed:
        console.say(f"{out} is not signed any more: `ircc sign {shlex.quote(str(out))} --key ...`")
