"""`ircc inspect ENGINE`: what an engine file says of itself. Loads none of its code."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from ..engines import describe_engine
from . import console


def run(args: Namespace) -> int:
    """Print the story of the file; exit status 1 where it is damaged."""
    found = describe_engine(args.engine)
    if args.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return 0
    file, variants = found["file"], found["variants"]
    model = variants[0]["provenance"].get("model", {})
    versions = variants[0]["provenance"].get("versions", {})
    rows = [
        ("file", f"format {file['format']}, {console.size(file['bytes'])}, of which weights {_size(file['weights'])}"),
        ("model", f"{model.get('name') or 'without a name'}, sha256 {model.get('sha256', 'unknown')}"),
        ("made by", ", ".join(f"{name} {version}" for name, version in versions.items()) or "unknown"),
        ("signed by", file["signed_by"] or "nobody"),
        ("hash", f"{file['body_hash']}, weights {file['weights_hash']}"),
        *((f"section {name}", _size(length)) for name, length in file["sections"].items()),
    ]
    console.table(("", ""), rows)
    for variant in variants:
        _variant(variant)
    return 0


def _variant(variant: Mapping[str, Any]) -> None:
    target, memory = variant["target"], variant["provenance"].get("memory", {})
    console.table(
        (f"\n{variant['backend']}:{target.get('name', '')}", ""),
        [
            ("target", f"{target.get('triple', '')}, {target.get('cpu', '')}"),
            ("may use", ", ".join(f[1:] for f in target.get("features", "").split(",") if f.startswith("+"))),
            ("weights", _size(variant["weights"])),
            ("arena", f"{_size(memory.get('arena', 0))} in {len(memory.get('buffers', []))} buffers"),
            ("passes", ", ".join(variant["provenance"].get("passes", []))),
            *((f"open size {name}", "") for name in variant["symbols"]),
            *((f"checked: {message}", "") for message in variant["checks"]),
        ],
    )
    ports = [("input", p) for p in variant["inputs"]] + [("output", p) for p in variant["outputs"]]
    rows = [(kind, p["name"], p["dtype"], f"[{', '.join(map(str, p['shape']))}]") for kind, p in ports]
    console.table(("\nport", "\nname", "\ntype", "\nsizes"), rows)
    rows = [
        (k["name"], k["strategy"], _size(k["bytes"]), k["flops"], ", ".join(k["nodes"])) for k in variant["kernels"]
    ]
    console.table(("\nkernel", "\nstrategy", ">\nmoves", ">\nflops", "\nONNX nodes"), rows)


def _size(value: int | str) -> str:
    """Bytes that are known, or an expression."""
    text = str(value)
    return console.size(int(text)) if text.isdecimal() else f"{text} B"
