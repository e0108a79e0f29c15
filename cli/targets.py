"""`ircc targets`: what code can be made for."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from argparse import Namespace

from ..codegen.backend import Backend, backends
from . import console


def run(args: Namespace) -> int:
    """Print the backends and their targets."""
    found = backends()
    usable = {name: backend for name, backend in found.items() if isinstance(backend, Backend)}
    default = os.environ.get("IRCC_TARGET") or "cpu"
    if args.json:
        described = {
            name: {
                "targets": {
                    spec: {"is": what, **dataclasses.asdict(backend.describe(spec))}
                    for spec, what in backend.presets().items()
                },
                "kinds": list(backend.kinds),
            }
            for name, backend in usable.items()
        }  # fmt: skip
        broken = {name: str(error) for name, error in found.items() if name not in usable}
        sys.stdout.write(json.dumps({"default": default, "backends": described, "broken": broken}, indent=2) + "\n")
        return 0
    rows = [
        (f"{'*' if spec == default else ' '} {spec}", what, ", ".join(backend.kinds))
        for backend in usable.values()
        for spec, what in backend.presets().items()
    ]
    console.table(("  target", "is", "can emit"), rows)
    for name, backend in found.items():
        if not isinstance(backend, Backend):
            console.say(f"backend {name} cannot be used: {backend}")
    console.say("\n* is the default; IRCC_TARGET sets another")
    return 0
