"""`ircc diff A B`: in what two engine files differ. Loads none of their code."""

from __future__ import annotations

import json
import sys
from argparse import Namespace

from ..engines import compare_engines
from . import console


def run(args: Namespace) -> int:
    """A line for each difference; exit status 0 where there is none, 1 where there is, as of diff."""
    found = compare_engines(args.first, args.second)
    if args.json:
        sys.stdout.write(json.dumps([d._asdict() for d in found], indent=2) + "\n")
    elif found:
        console.table(("what", args.first, args.second), [(d.what, d.first, d.second) for d in found])
    else:
        console.say("no difference")
    return 1 if found else 0
