"""What can be done with engine files beside running them: described, compared, checked, signed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .runtime.artifact import Artifact, Kernel, to_header
from .runtime.file import EngineFile, read_engine
from .runtime.trust import check_signature, new_key, sign_engine, signer

__all__ = ["Difference", "compare_engines", "describe_engine", "is_signed", "new_key", "sign_engine", "verify_engine"]

Path = str | os.PathLike[str]
_CHUNK = 1 << 22


def describe_engine(path: Path) -> dict[str, Any]:
    """All that an engine file says of itself, as JSON values. Raises EngineError."""
    file = read_engine(path)
    seal, key = file.seal, signer(file.seal)
    return {
        "file": {
            "format": seal.format,
            "bytes": seal.size,
            "weights": seal.weights_length,
            "body_hash": seal.body_hash.hex(),
            "weights_hash": seal.weights_hash.hex(),
            "signed_by": key.hex() if key else None,
            "sections": {name: file.sections.length(name) for name in file.sections},
        },
        "variants": [{**to_header(a), "weights": a.weights.size} for a in file.artifacts],
    }


def is_signed(path: Path) -> bool:
    """Whether an engine file says that somebody signed it. Raises EngineError."""
    return signer(read_engine(path).seal) is not None


def verify_engine(path: Path, trusted: Sequence[Path | bytes] = ()) -> bytes | None:
    """Checks all hashes of a file, and its signature: by one of the trusted keys if there are any, else by the key that
    the file itself names. Gives that key, None for a file that is not signed. Raises EngineError."""
    file = read_engine(path, verify=True)
    key = signer(file.seal)
    if trusted or key:
        check_signature(file.seal, trusted or [key or b""], path)
    return key


class Difference(NamedTuple):
    """What differs, and what each of the two has."""

    what: str
    first: str
    second: str


def compare_engines(first: Path, second: Path) -> list[Difference]:
    """In what two engine files differ: ports, targets, how they were made, kernels and their schedules, memory,
    weights. Raises EngineError."""
    a, b = read_engine(first), read_engine(second)
    return list(_differences(a, b))


def _differences(a: EngineFile, b: EngineFile) -> Iterator[Difference]:
    names = [{_name(v): v for v in file.artifacts} for file in (a, b)]
    for name in sorted(names[0].keys() ^ names[1].keys()):
        yield Difference(f"target {name}", *("there" if name in n else "" for n in names))
    for name in (n for n in names[0] if n in names[1]):
        prefix = f"{name}: " if len(names[0]) > 1 else ""
        for d in _variants(names[0][name], names[1][name]):
            yield d._replace(what=prefix + d.what)
    for name in sorted({*a.sections, *b.sections}):
        if (one := a.sections.get(name)) != (other := b.sections.get(name)):
            told = ["" if data is None else f"{len(data)} B" for data in (one, other)]
            yield Difference(f"section {name}", *told)


def _name(artifact: Artifact) -> str:
    return artifact.target.get("name", "") or artifact.backend


def _variants(a: Artifact, b: Artifact) -> Iterator[Difference]:
    for what, one, other in (
        ("inputs", a.inputs, b.inputs),
        ("outputs", a.outputs, b.outputs),
        ("open sizes", a.symbols, b.symbols),
        ("checks", a.checks, b.checks),
    ):
        if one != other:
            yield Difference(what, "; ".join(map(str, one)), "; ".join(map(str, other)))
    for key in ("triple", "cpu", "features"):
        if (one := a.target.get(key, "")) != (other := b.target.get(key, "")):
            yield Difference(f"target's {key}", one, other)
    yield from _facts("", a.provenance, b.provenance)
    yield from _kernels(a.kernels, b.kernels)
    if a.weights.size != b.weights.size:
        yield Difference("weights", f"{a.weights.size} B", f"{b.weights.size} B")
    elif changed := sum(
        int((a.weights[i : i + _CHUNK] != b.weights[i : i + _CHUNK]).sum()) for i in range(0, a.weights.size, _CHUNK)
    ):
        yield Difference("weights", f"{a.weights.size} B", f"{changed} of them are others")


def _facts(path: str, a: Any, b: Any) -> Iterator[Difference]:
    """Entries of nested JSON objects that differ."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in sorted({*a, *b}):
            yield from _facts(f"{path}{key} ", a.get(key), b.get(key))
    elif a != b:
        yield Difference(path.strip(), _short(a), _short(b))


def _short(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) < 200 else f"{text[:190]} ... ({len(text)} characters)"


def _kernels(a: Sequence[Kernel], b: Sequence[Kernel]) -> Iterator[Difference]:
    """Kernels by name: in one file only, scheduled otherwise, or with other code."""
    ones, others = {k.name: k for k in a}, {k.name: k for k in b}
    for name in (*ones, *(n for n in others if n not in ones)):
        one, other = ones.get(name), others.get(name)
        if one is None or other is None:
            yield Difference(f"kernel {name}", *("there" if k else "" for k in (one, other)))
        elif one.strategy != other.strategy:
            yield Difference(f"kernel {name}: strategy", one.strategy, other.strategy)
        elif one.schedule != other.schedule:
            lines = [k.schedule.splitlines() for k in (one, other)]
            only = [" · ".join(line for line in mine if line not in theirs) for mine, theirs in (lines, lines[::-1])]
            yield Difference(f"kernel {name}: schedule", *only)
        elif (one.code, one.flops, one.bytes) != (other.code, other.flops, other.bytes):
            told = [f"{k.code}, {k.flops} flops, {k.bytes} B" for k in (one, other)]
            yield Difference(f"kernel {name}: code", *told)
    order = [[k.name for k in kernels] for kernels in (a, b)]
    if order[0] != order[1] and sorted(order[0]) == sorted(order[1]):
        yield Difference("order of kernels", *map(", ".join, order))
