"""`ircc check MODEL`: everything in a model that cannot be compiled, in one report."""

from __future__ import annotations

import json
import sys
from argparse import Namespace

from ..verdict import check
from . import console


def run(args: Namespace) -> int:
    """Print the report; its exit status."""
    with console.progress("reading the model"):
        model = sys.stdin.buffer.read() if args.model == "-" else args.model
        found = check(model, shapes=dict(args.shape))
    if args.json:
        sys.stdout.write(json.dumps(found.to_dict(), indent=2, ensure_ascii=False) + "\n")
        return found.exit_status
    if found.issues or found.python:
        entries = [("cannot be compiled", i) for i in found.issues] + [("needs Python", i) for i in found.python]
        rows = [(i.node, i.operator, str(i.opset or ""), what, i.reason, i.hint) for what, i in entries]
        console.table(("node", "operator", ">opset", "", "reason", "hint"), rows)
        console.say("")
    if found.ports:
        rows = [(kind, name, type_) for kind, name, type_ in found.ports]
        console.table(("", "name", "type"), rows)
        console.say("")
    console.say(f"{args.model}: {found.verdict}")
    return found.exit_status
