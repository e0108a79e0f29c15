"""`ircc refit ENGINE --weights MODEL`: give an engine other weights, without making its code again."""

from __future__ import annotations

from argparse import Namespace

from ..refitting import refit
from .compile import Progress
from .recompile import rewrite


def run(args: Namespace) -> int:
    """Write the engine."""
    rewrite(
        args.engine,
        args.output,
        lambda out: refit(args.engine, args.weights, out, instruments=[Progress()]),
        "the code as it was, new weights in",
    )
    return 0
