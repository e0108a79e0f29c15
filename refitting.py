"""Other weights for an engine file, without making its code again: `ircc refit`.

The passes run again on the model with the new weights, because they fold, transform and lay them out: what comes out is
what a compilation would come to, but for the code, which takes longest. Kernels and host program carry a hash of the
text that their code is made from. Where all hashes are those of the engine, its code is the code of the new model too,
byte for byte, and the file gets the new weights and description. Where one is not, a value was part of the code (a
scalar, the sizes of a reshape, equal weights that have one place), and it says which.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any, NamedTuple

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation

from .codegen.cpu.shared import lay_out
from .compiler import MODEL, Compilation, Model
from .dialects.reference import inputs_of
from .embedded import Source, read_source
from .errors import EngineError
from .frontends.sizes import ranges_of
from .ir.nodes import nodes_of
from .ir.operands import walk
from .ir.pipeline import Instrument
from .ir.weights import Content, Weight
from .runtime.artifact import Artifact, to_header
from .runtime.file import read_engine, rewrite_engine

_SHOWN = 5  # names in a message
_REMEDY = "compile the model: `ircc MODEL`"
_AGAIN = "make it again first: `ircc recompile`"
_ANY = Weight(Content(values=("0",)))


class _Constant(NamedTuple):
    """A constant of a module: its name where it has one, its type as text, its data, and the operations that use it."""

    name: str
    type: str
    data: Content
    users: Sequence[Operation]

    def __str__(self) -> str:
        nodes = [n for op in self.users for n in nodes_of(op)]
        return f"'{self.name}'" if self.name else f"a constant of {nodes[0]}" if nodes else "a constant"


def refit(
    path: str | os.PathLike[str],
    weights: Model,
    out: str | os.PathLike[str],
    *,
    instruments: Iterable[Instrument] = (),
) -> Artifact:
    """The engine file at `path` with the weights of another model (`weights`: as `compile` takes it), which differs in
    nothing else, written to `out`: the file that compiling this model gives, as the engine was compiled. Returns what
    it holds for the best of its machines.

    Raises EngineError for a model with other operators, sizes, or names, shapes and types of weights, and where a value
    that changed is part of the engine's code; else what `recompile` raises. Nothing is written then."""
    file = read_engine(path, verify=True)
    old, asked = read_source(file)
    shapes = {
        name: [size.constant for size in type_.sizes]
        for name, type_ in inputs_of(old).items()
        if any(size.constant is not None for size in type_.sizes)
    }
    way = Compilation(
        asked.backend,
        shapes,
        {name: (least, typical, most) for name, (least, typical, most) in ranges_of(old).items()},
        asked.precision,
        asked.passes,
        tuple(asked.without),
        tuple(instruments),
        exactly=tuple(asked.machines),
    )
    if not (backend := way.backend()).outlines:
        raise EngineError(f"engines of the backend {backend.name} cannot be given other weights", hint=_REMEDY)
    new = way.open(weights)
    pairs = _paired(old, new)
    source = Source.of(new)
    made = way.outlines(new)
    for then, now in zip(file.artifacts, made, strict=True):
        _compare(then, now, pairs)
    if tuple(lay_out(made)[0]) != file.places:
        raise _refused("two of its machines have equal weights in one of the two files", pairs)
    made[0] = replace(made[0], sections={**made[0].sections, **source.sections(made, asked)})
    rewrite_engine(file, made, out)
    return made[0]


# ---- what the two models differ in


def _paired(old: ModuleOp, new: ModuleOp) -> list[tuple[_Constant, _Constant]]:
    """The constants of two modules, place by place. Raises EngineError where anything else differs."""
    then, now = list(_constants(old)), list(_constants(new))
    types = {c.name: c.type for c in now}
    for c in then:
        if c.name and c.name not in types:
            raise EngineError(f"weight '{c.name}' of the engine is not in the model", hint=_REMEDY)
        if c.name and types[c.name] != c.type:
            raise EngineError(
                f"weight '{c.name}' is {types[c.name]} in the model, {c.type} in the engine", hint=_REMEDY
            )
    for a, b in zip_longest(_lines(old), _lines(new), fillvalue="nothing"):
        if a != b:
            raise EngineError(
                f"the model differs from that of the engine in more than its weights: `{b.strip():.200}`, where the "
                f"engine has `{a.strip():.200}`",
                hint=_REMEDY,
            )
    return list(zip(then, now, strict=True))


def _constants(module: ModuleOp) -> Iterator[_Constant]:
    for op in walk(module):
        for value in op.properties.values():
            if isinstance(value, Weight):
                result = op.results[0]
                users = [use.operation for use in result.uses]
                yield _Constant(value.data.name, str(result.type), value.data, users)


def _lines(module: ModuleOp) -> list[str]:
    """The text of a module without what its constants hold, and where it came from."""
    copy = module.clone()
    copy.attributes.pop(MODEL, None)
    for op in walk(copy):
        for key, value in op.properties.items():
            if isinstance(value, Weight):
                op.properties[key] = _ANY
    return str(copy).splitlines()


# ---- what code depends on


def _compare(then: Artifact, now: Artifact, pairs: Sequence[tuple[_Constant, _Constant]]) -> None:
    """Raises EngineError where the code of the two cannot be the same."""
    old, new = _told(then), _told(now)
    if "program" not in then.provenance:
        raise EngineError("the engine was made by an ircc whose engines cannot be given other weights", hint=_AGAIN)
    if [k.name for k in then.kernels] == [k.name for k in now.kernels]:
        for a, b in zip(then.kernels, now.kernels, strict=True):
            if a != b:
                raise _refused(f"kernel {a.name} would have other code", pairs, a.nodes)
    if old != new or then.weights.size != now.weights.size:
        raise _refused("it would have other code", pairs)


def _told(artifact: Artifact) -> dict[str, Any]:
    """What an artifact says of itself that stays the same when weights change."""
    header = to_header(artifact)
    header["provenance"] = {k: v for k, v in header["provenance"].items() if k not in ("model", "versions")}
    return header


def _refused(what: str, pairs: Sequence[tuple[_Constant, _Constant]], nodes: Sequence[str] = ()) -> EngineError:
    """An error that names the weights by which code differs: as far as it can be known, those of a kernel's nodes, the
    short ones, whose values may stand in code, or equal ones, which have one place."""
    changed = [(a, b) for a, b in pairs if a.data != b.data]
    if not changed:
        return EngineError(f"{what}, though no weight is another: it was made by another version of ircc", hint=_AGAIN)
    near = [p for p in changed if any(set(nodes_of(op)) & set(nodes) for op in p[0].users)] or changed
    if not nodes and (shared := _shared(pairs)):
        told = f"{shared} are equal in one of the two models, where they have one place, and not in the other"
    else:
        short = [p for p in near if p[0].data.values is not None] or near
        names = list(dict.fromkeys(str(b) for _, b in short))
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        told = f"the values of {', '.join(names[:_SHOWN])}{more} are part of it"
    return EngineError(f"the engine cannot be given these weights: {what}: {told}", hint=_REMEDY)


def _shared(pairs: Sequence[tuple[_Constant, _Constant]]) -> str:
    """Names of constants that are equal in one of two models and differ in the other; empty for none."""
    for one, other in ((0, 1), (1, 0)):
        first: dict[Any, tuple[_Constant, _Constant]] = {}
        for pair in pairs:
            met = first.setdefault((pair[one].type, pair[one].data.key), pair)
            if met[other].data != pair[other].data:
                return f"{met[1]} and {pair[1]}"
    return ""
