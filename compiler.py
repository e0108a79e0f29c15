"""The way down, from an ONNX model to an engine: three lists of passes, then a backend. Enter and leave it anywhere.

    model.onnx ─ import ─▶ graph ─ GRAPH ─▶ graph-ir ─ TENSOR ─▶ tensor-ir ─ LOOP ─▶ loop-ir ─ backend ─▶ llvm-ir, asm,
                                                                                                        obj, engine

A module remembers which passes it has seen, in its attribute `ircc.passes`: printed and read again it goes on from
there, and ends as the same engine, byte for byte, but for the graph that an engine holds: what went in.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

from xdsl.dialects.builtin import DictionaryAttr, IntAttr, ModuleOp, StringAttr

from . import __version__
from .codegen.backend import Backend, RefusedKernels, backend_names, find_backend
from .codegen.cpu.jit import unfit
from .codegen.placement import Place, refuse
from .composition import compose, grouped
from .dialects import reference
from .dialects.loop import Program
from .dialects.reference import main_of
from .embedded import Choices, Source, read_source
from .errors import BackendError, EngineError, InputError, ModelError, NeedsPython, PassError, UnsupportedError
from .frontends.onnx import Model as OnnxModel
from .frontends.onnx import digest, import_model
from .frontends.sizes import declare_ranges, fix_shapes, ranges_of, typical_of
from .frontends.text import is_text, read_text, write_text
from .ir.cache import ENGINES, compiler_identity, key_of, limit, shrink
from .ir.check_each import CheckEach, TooLarge
from .ir.collector import collecting_seldom
from .ir.operands import walk
from .ir.passes import find_pass
from .ir.pipeline import Instrument, Pipeline, Step, text_of
from .ir.target import ATTRIBUTE, Target
from .passes.expand_instructions import ExpandInstructions
from .passes.expand_math import ExpandMath
from .passes.plan_memory import is_placed, place
from .runtime.artifact import Artifact
from .runtime.engine import Engine
from .runtime.file import FORMAT, copy_engine, holds_engine, is_engine, read_engine, write_engine

__all__ = [
    "STAGES",
    "Compilation",
    "compile",
    "emit",
    "evaluate",
    "lower",
    "recompile",
    "reproduce",
    "run",
    "write_engine",
]

Model: TypeAlias = "OnnxModel | ModuleOp"
Shapes: TypeAlias = "Mapping[str, int | Sequence[int | str | None]]"

log = logging.getLogger(__name__)

# ---- the stages ---------------------------------------------------------------------------------------------------

# What the model computes, with less of it: operators that do nothing gone, constants folded, equal things once.
GRAPH = """
    eliminate-identities,
    canonicalize,
    fold-constants,
    fold-batch-norm,
    eliminate-common-subexpressions,
    eliminate-dead-code,
"""

# How each value is computed: every operator as a computation per element, then fused.
TENSOR = """
    graph-to-tensor,
    canonicalize,
    fold-constants,
    eliminate-identities,
    eliminate-common-subexpressions,
    fuse-elementwise,
    canonicalize,
    fuse-epilogues,
    fuse-elementwise,
    propagate-layouts,
    eliminate-identities,
    fuse-elementwise,
    canonicalize,
    eliminate-common-subexpressions,
    eliminate-dead-code,
"""

# When and where: loop nests and buffers, the schedules that fit the target, one arena for all intermediate results.
LOOP = """
    winograd,
    flush-subnormals,
    tensor-to-loop,
    elide-copies,
    expand-math,
    select-schedules,
    apply-schedules,
    hoist-invariants,
    fuse-rows,
    plan-memory,
"""

STAGES: Mapping[str, str] = {"graph-ir": GRAPH, "tensor-ir": TENSOR, "loop-ir": LOOP}
WORTH_KEEPING = 1.0  # seconds: what compiles faster is not kept
DEFAULT = "cpu"  # the backend where nothing says another
LEVELS = ("graph", "tensor", "loop")  # the dialect of each stage's result

# ---- the public functions -----------------------------------------------------------------------------------------


def compile(
    model: Model,
    *,
    target: str | None = None,
    threads: int | None = None,
    shapes: Shapes | None = None,
    precision: str = "f32",
    passes: str | Pipeline | None = None,
    without: Sequence[str] = (),
    instruments: Iterable[Instrument] = (),
) -> Engine:
    """The model as an engine that runs in this process, on `threads` threads (None: all cores the process may use).

    `model`: path of an ONNX file or of textual IR of any level, the bytes of one, an onnx.ModelProto, or a module.
    `target`: `cpu` (this machine), `cpu:x86-64-v3` ...; None takes $IRCC_TARGET. Several, with commas: the best one
    that this machine has is run, and `save` writes a file with all of them. `shapes` fixes sizes, by input
    (`{"x": (1, 3, 224, 224)}`) or by symbol (`{"N": 8}`). `passes` replaces every pass from the level of the model on,
    `without` leaves some out of those that there are, by name: `without=["winograd"]`.
    Raises Error: ModelError, UnsupportedError with all obstacles, IRError, PassError, BackendError, InputError."""
    way = Compilation(target, shapes or {}, {}, precision, passes, tuple(without), tuple(instruments))
    return way.engine(model, threads)


def lower(
    model: Model,
    to: str = "loop-ir",
    *,
    target: str | None = None,
    shapes: Shapes | None = None,
    passes: str | Pipeline | None = None,
    without: Sequence[str] = (),
    instruments: Iterable[Instrument] = (),
) -> ModuleOp:
    """The module of a model at a stage: `graph-ir`, `tensor-ir` or `loop-ir`. A module given is left as it is.

    Raises what `compile` raises; InputError for a stage that has no module."""
    if to not in STAGES:
        raise InputError(f"no module at stage {to!r}", hint=f"lower goes to {', '.join(STAGES)}; emit() to the others")
    way = Compilation(target, shapes or {}, passes=passes, without=tuple(without), instruments=tuple(instruments))
    return way.lower(model, to)


def emit(
    model: Model,
    to: str,
    *,
    target: str | None = None,
    shapes: Shapes | None = None,
    passes: str | Pipeline | None = None,
    without: Sequence[str] = (),
    instruments: Iterable[Instrument] = (),
    inline_weights: bool = False,
) -> str | bytes:
    """What `ircc MODEL --emit=TO` writes: the text of a stage, or what the backend makes of it (obj: bytes, else text).

    Raises what `compile` raises; InputError for an unknown stage."""
    way = Compilation(target, shapes or {}, passes=passes, without=tuple(without), instruments=tuple(instruments))
    return way.emit(model, to, inline_weights=inline_weights)


def evaluate(module: ModuleOp, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs by name of a module of any level: its reference meaning; for loops too many to interpret, compiled
    code, in which buffers share no memory unless the module says that they do.

    Raises TooLarge for what neither can do, else what the levels raise."""
    try:
        return reference.evaluate(module, inputs)
    except TooLarge:
        if level_of(module) != "loop":
            raise
    copy = module.clone()
    ExpandInstructions().run(copy)
    ExpandMath().run(copy)
    for program in [op for op in copy.body.ops if isinstance(op, Program) and not is_placed(op)]:
        place(program, reuse=False)
    try:
        return Compilation(passes="", graph=False).engine(copy, threads=1).run(inputs)
    except (BackendError, UnsupportedError) as error:  # code for another machine, say
        raise TooLarge(f"its loops are too many to interpret, and cannot be compiled: {error}") from error


def recompile(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    target: str | None = None,
    instruments: Iterable[Instrument] = (),
) -> Artifact:
    """An engine file made anew from the graph in the one at `path`, as it was asked for then; for other machines if
    `target` names some (`native`: this one). Returns what it holds for the best of them.

    Raises EngineError where `path` is no engine or has no graph, else what `compile` raises."""
    module, asked = read_source(read_engine(path, verify=True))
    way = Compilation(
        asked.backend
        if target is None
        else ",".join("cpu" if t in ("native", "host") else t for t in target.split(",")),
        precision=asked.precision,
        passes=asked.passes,
        without=tuple(asked.without),
        instruments=tuple(instruments),
        exactly=() if target else tuple(asked.machines),
    )
    return way.save(module, out)


def reproduce(path: str | os.PathLike[str], *, instruments: Iterable[Instrument] = ()) -> None:
    """Make an engine again from the graph in it, and compare all of the file but its signature.

    Raises EngineError where another file comes out, else what `recompile` raises."""
    with tempfile.TemporaryDirectory(prefix="ircc.") as folder:
        recompile(path, Path(folder) / "again.engine", instruments=instruments)
        old, new = read_engine(path), read_engine(Path(folder) / "again.engine")
    if (old.seal.body_hash, old.seal.weights_hash) != (new.seal.body_hash, new.seal.weights_hash):
        part = "its weights" if old.seal.weights_hash != new.seal.weights_hash else "its code or description"
        then, now = (dict(file.artifacts[0].provenance.get("versions", {})) for file in (old, new))
        others = [f"{name} {then.get(name)}, here {v}" for name, v in sorted(now.items()) if then.get(name) != v]
        raise EngineError(
            f"{path} is not what its graph gives here: {part} would be others",
            hint=f"it was made with {'; '.join(others)}" if others else "was it changed, or linked by another linker?",
        )


# ---- one way down -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Compilation:
    """The choices of one compilation, and the steps that it takes with them."""

    target: str | None = None  # None: $IRCC_TARGET, else this machine; several, with commas, go into one file
    shapes: Shapes = field(default_factory=dict[str, Any])
    ranges: Mapping[str, tuple[int, int, int]] = field(default_factory=dict[str, Any])  # least, typical, most
    precision: str = "f32"
    passes: str | Pipeline | None = None
    without: Sequence[str] = ()  # names of passes
    instruments: Sequence[Instrument] = ()
    graph: bool = True  # the engine file holds the model's graph, for `recompile`
    exactly: tuple[Target, ...] = ()  # machines instead of those that `target` names, the best one first
    unsaid: str = DEFAULT  # the backend where nothing names a target

    def __post_init__(self) -> None:
        if self.precision != "f32":
            raise InputError(
                f"precision {self.precision!r} is not there yet", hint="f32 computes float32 as the model says"
            )
        for name in self.without:
            find_pass(name)

    # ---- steps

    def backend(self) -> Backend:
        """The backend of the target. Raises BackendError."""
        return self._backend

    @cached_property
    def _backend(self) -> Backend:
        return find_backend(self._specs[0] or self.unsaid)

    def machines(self) -> list[Target]:
        """What code is made for, the best one first. Raises BackendError."""
        if self.exactly:
            return list(self.exactly)
        backend = self.backend()
        found = [backend.describe(spec) for spec in self._specs]
        kinds = {(spec or DEFAULT).partition(":")[0] for spec in self._specs}
        architectures = {t.triple.partition("-")[0] for t in found}
        if len(kinds) > 1 or len(architectures) > 1:
            raise BackendError(
                f"one engine cannot be for {self._target}: that is {', '.join(sorted(kinds | architectures))}",
                hint="its targets are of one backend and one architecture; make a file for each",
            )
        return sorted(dict.fromkeys(found), key=lambda t: (-t.vector_bits, -t.features.count("+")))

    def machine(self) -> Target:
        """The one machine that code is made for. Raises InputError where there are several."""
        machines = self.machines()
        if len(machines) > 1:
            raise InputError(f"{self._target} are several targets", hint="only an engine can be for more than one")
        return machines[0]

    def of(self, module: ModuleOp) -> Compilation:
        """The same, with the backend for which a module was made already."""
        named = Target.of(module).name.partition(":")[0] if ATTRIBUTE in module.attributes else DEFAULT
        return replace(self, unsaid=named) if named in backend_names() else self

    @property
    def _target(self) -> str | None:
        return self.target or os.environ.get("IRCC_TARGET") or None

    @property
    def _specs(self) -> list[str | None]:
        """The targets, as they are spelled; None: this machine."""
        return list(filter(None, (spec.strip() for spec in (self._target or "").split(",")))) or [None]

    @collecting_seldom()
    def lower(self, model: Model, to: str) -> ModuleOp:
        """The model at a stage of STAGES."""
        module = self.open(model)
        return self.of(module)._to(module, to)

    def _to(self, module: ModuleOp, to: str) -> ModuleOp:
        if to == "loop-ir" and (self._target or ATTRIBUTE not in module.attributes):
            self.machine().attach(module)
        return self.lowered(module, to)

    def lowered(self, module: ModuleOp, to: str) -> ModuleOp:
        """The module itself, taken to a stage."""
        pipeline = self.pipeline(module, to)
        log.info("passes to %s: %s", to, pipeline)
        backend = self.backend()
        placing = [] if backend.name == DEFAULT else [Place(backend, typical_of(module))]
        run(pipeline, module, [*placing, *self.instruments])
        wanted = LEVELS[list(STAGES).index(to)]
        if above := [level for level in LEVELS[: LEVELS.index(wanted)] if level in levels_of(module)]:
            raise PassError(
                f"after these passes the module still has operations of level {above[0]}, so it is not {to}",
                hint=f"--passes replaces them all: it lacks {above[0]}-to-{LEVELS[LEVELS.index(above[0]) + 1]}",
            )
        return module

    def build(self, model: Model) -> Artifact:
        """The model as what an engine file holds, for the best one of the targets."""
        return self._made(model, self.key(model))[0][0]

    def save(self, model: Model, path: str | os.PathLike[str]) -> Artifact:
        """The model as an engine file, and what it holds for the best one of the targets.

        Raises what `compile` raises, EngineError for the file."""
        key = self.key(model)
        if key is not None and (found := kept(key)) is not None:
            with suppress(EngineError):  # it was removed in this moment, or `path` cannot be written: below
                copy_engine(ENGINES.path(key), path)  # to hash it again would take long
                return found[0]
        variants = self._made(model, key)[0]
        write_engine(variants, path)
        return variants[0]

    def engine(self, model: Model, threads: int | None = None) -> Engine:
        """The model, ready to run in this process. What has no native meaning runs in Python, between engines."""
        try:
            variants, layout = self._made(model, self.key(model))
        except NeedsPython:
            assert not isinstance(model, ModuleOp)
            way = replace(self, shapes={}, ranges={})  # they are in the pieces
            return compose(model, self.shapes, lambda piece: way.engine(piece, threads), threads)
        best = next((v for v in variants if len(variants) == 1 or unfit(v) is None), variants[-1])
        return grouped(Engine(best, threads, variants), layout)

    def key(self, model: Model) -> str | None:
        """The name under which the engine is kept: a hash of all that it is made from. None where it cannot be."""
        if isinstance(model, ModuleOp) or not all(i.optional for i in self.instruments):
            return None
        if limit() == 0 or (identity := compiler_identity()) is None or _text_of(model) is not None:
            return None
        backend = self.backend()
        choices = (sorted(self.shapes.items()), sorted(self.ranges.items()), self.precision, sorted(self.without))
        passes = str(Pipeline.parse(self.passes)) if isinstance(self.passes, str) else str(self.passes)
        content = digest(model)
        made_for = (backend.name, self.machines(), self.graph)
        return None if content is None else key_of(FORMAT, identity, content, made_for, str(choices), passes)

    def _made(self, model: Model, key: str | None) -> tuple[Sequence[Artifact], Mapping[str, int]]:
        """What an engine file holds, as it was made before or made now, and the layout of the outputs."""
        if key is not None and (found := kept(key)) is not None:
            return found, {}
        start = time.perf_counter()
        module = self.open(model)
        source = Source.of(module) if self.graph else None
        way = self.of(module)
        modules = way._lowered_for_each(module)
        variants, layout = way.finish(modules), layout_of(modules[0])
        if source is not None:
            asked = Choices(variants[0].backend, [Target.of(m) for m in modules], *self._asked())
            sections = {**variants[0].sections, **source.sections(variants, asked)}
            variants[0] = replace(variants[0], sections=sections)
        took = time.perf_counter() - start
        if key is not None and not layout and took > WORTH_KEEPING and key == self.key(model):  # it may have changed
            ENGINES.put(key, lambda path: write_engine(variants, path))
            shrink(limit())
        return variants, layout

    def _asked(self) -> tuple[str | None, Sequence[str], str]:
        """Passes, those left out, and precision, as an engine remembers them."""
        passes = Pipeline.parse(self.passes) if isinstance(self.passes, str) else self.passes
        return None if passes is None else str(passes), sorted(self.without), self.precision

    @collecting_seldom()
    def _lowered_for_each(self, module: ModuleOp) -> list[ModuleOp]:
        """The module at stage loop-ir for each target. What comes before does not depend on it, and is done once."""
        if ATTRIBUTE in module.attributes and not self._target and not self.exactly:
            return [self.lowered(module, "loop-ir")]
        machines = self.machines()
        if len(machines) > 1 and self.passes is None and level_of(module) != "loop":
            self.lowered(module, "tensor-ir")
        modules = [module, *(module.clone() for _ in machines[1:])]
        for machine, copy in zip(machines, modules, strict=True):
            machine.attach(copy)
            self.lowered(copy, "loop-ir")
        return modules

    def outlines(self, module: ModuleOp) -> list[Artifact]:
        """What an engine file says of itself, and its weights, for each target: all but code, which takes longest."""
        return self.finish(self._lowered_for_each(module), "outline")

    @collecting_seldom()
    def finish(self, modules: Sequence[ModuleOp], kind: str = "artifact") -> list[Artifact]:
        """Modules at stage loop-ir, of one model, as what an engine file holds."""
        backend = self.backend()
        while True:
            try:
                made = [a for a in backend.emit_all(modules, kind) if isinstance(a, Artifact)]
                break
            except RefusedKernels as refused:
                refuse(modules, refused)
        if len(made) != len(modules):
            raise BackendError(f"backend {backend.name} made no {kind}")
        facts = [provenance(module) for module in modules]
        return [replace(a, provenance={**a.provenance, **f}) for a, f in zip(made, facts, strict=True)]

    def emit(self, model: Model, to: str, *, inline_weights: bool = False) -> str | bytes:
        """The text or bytes of a stage."""
        if to in STAGES:
            return write_text(self.lower(model, to), inline=inline_weights)
        module = self.open(model)
        backend = (way := self.of(module)).backend()
        if to not in backend.kinds:
            raise InputError(f"cannot emit {to!r}", hint=f"stages are {', '.join((*STAGES, *backend.kinds))}")
        code = backend.emit(way._to(module, "loop-ir"), to)
        if isinstance(code, Artifact):
            raise BackendError(f"backend {backend.name} made no {to}")
        return code

    def open(self, model: Model) -> ModuleOp:
        """The model as a module of the level at which it enters: a fresh one, which passes may change."""
        text = None if isinstance(model, ModuleOp) else _text_of(model)
        if isinstance(model, ModuleOp):
            module = model.clone()
        elif text is not None:
            path = Path(model) if isinstance(model, str | os.PathLike) else None
            module = read_text(text, name=str(path or "-"), folder=path.parent if path else None)
        else:
            log.info("importing the model")
            module = import_model(model, shapes=self.shapes)
        main_of(module)
        if self.shapes and (isinstance(model, ModuleOp) or text is not None):
            fix_shapes(module, self.shapes)
        if self.ranges:
            declare_ranges(module, self.ranges)
        return module

    def pipeline(self, module: ModuleOp, to: str) -> Pipeline:
        """The passes that take this module to a stage. Raises PassError where that would be up."""
        names = list(STAGES)
        if not levels_of(module) <= set(LEVELS[: names.index(to) + 1]):
            raise PassError(f"the module is at level {level_of(module)} already, there is no way up to {to}")
        if self.passes is not None:
            return self.passes if isinstance(self.passes, Pipeline) else Pipeline.parse(self.passes)
        stages = self.backend().pipeline(STAGES)
        every = [Pipeline.parse(stages[name]).passes for name in names[: names.index(to) + 1]]
        parsed = [[p for p in stage if p.name not in self.without] for stage in every]
        everything = [p for passes in parsed for p in passes]
        seen = remembered(module)
        if seen and [text_of(p) for p in everything[: len(seen)]] == seen:
            return Pipeline(tuple(everything[len(seen) :]))
        start = sum(map(len, parsed[: LEVELS.index(level_of(module))]))
        return Pipeline(tuple(everything[start:]))


# ---- what a module knows about itself -----------------------------------------------------------------------------

PASSES = "ircc.passes"  # the passes it has seen, as pipeline text
OUTPUTS = "ircc.outputs"  # sequences among the model's outputs
MODEL = "ircc.model"  # name, producer and sha256 of the ONNX model it came from


class Remember(Instrument):
    """Notes every pass in the module, so that its text says how it came to be and where to go on."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def begin(self, module: ModuleOp) -> None:
        self.seen = remembered(module)

    def after(self, step: Step) -> None:
        self.seen.append(text_of(step.pass_))
        step.module.attributes[PASSES] = StringAttr(",".join(self.seen))


def remembered(module: ModuleOp) -> list[str]:
    """The passes that the module has seen, each as text; none for a module that does not say."""
    found = module.attributes.get(PASSES)
    try:
        return [text_of(p) for p in Pipeline.parse(found.data)] if isinstance(found, StringAttr) else []
    except PassError:  # of another version of ircc, or of a package that is not here
        return []


def run(pipeline: Pipeline, module: ModuleOp, instruments: Iterable[Instrument] = ()) -> ModuleOp:
    """Run passes on a module, which remembers them. CheckEach compares texts, so it looks before the note is made."""
    first = [i for i in instruments if isinstance(i, CheckEach)]
    others = [i for i in instruments if not isinstance(i, CheckEach)]
    return pipeline.run(module, instruments=[*first, Remember(), *others])


def levels_of(module: ModuleOp) -> set[str]:
    """The levels that have operations in the module; none where its outputs are its inputs."""
    return {op.name.partition(".")[0] for op in walk(module)} & set(LEVELS)


def level_of(module: ModuleOp) -> str:
    """The highest level that has operations in the module: where passes have to start."""
    found = levels_of(module)
    return next((level for level in LEVELS if level in found), LEVELS[0])


def provenance(module: ModuleOp) -> dict[str, Any]:
    """Where an engine came from: the same input gives the same text, so no times, no paths and no machine."""
    facts = module.attributes.get(MODEL)
    model = facts.data if isinstance(facts, DictionaryAttr) else {}
    return {
        "model": {key: value.data for key, value in sorted(model.items()) if isinstance(value, StringAttr)},
        "passes": remembered(module),
        "ranges": ranges_of(module),
        "versions": {"ircc": __version__, **_versions()},
    }


@cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("xdsl", "onnx", "numpy")}


def layout_of(module: ModuleOp) -> dict[str, int]:
    """How results of the module make up the model's outputs, where these are not all tensors: see `Grouped`."""
    found = module.attributes.get(OUTPUTS)
    entries = found.data if isinstance(found, DictionaryAttr) else {}
    return {name: count.data for name, count in entries.items() if isinstance(count, IntAttr)}


def kept(key: str) -> Sequence[Artifact] | None:
    """What was made under this key before. A file that is damaged goes."""
    if not os.path.isfile(path := ENGINES.path(key)):  # also where the folder is not ours to look into
        return None
    try:
        artifacts = read_engine(path).artifacts
    except EngineError as error:
        log.info("%s", error)
        ENGINES.drop(key)
        return None
    log.info("the engine is there from before: %s", path)
    ENGINES.used(key)
    return artifacts


def _text_of(model: OnnxModel) -> str | None:
    """The text of a model that is textual IR, None for one that is ONNX. Raises InputError for an engine."""
    if isinstance(model, bytes):
        data, what, engine = model, "the input", holds_engine(model)
    elif isinstance(model, str | os.PathLike):
        what = os.fspath(model)
        engine = is_engine(model)
        try:
            with open(model, "rb") as file:
                head = file.read(4097)
                data = head + file.read() if is_text(head) else head
        except (OSError, ValueError):
            return None  # the importer says what is wrong
    else:
        return None
    if engine:
        raise InputError(f"{what} is an engine, compiled already", hint="use `ircc run`, `ircc bench` or ircc.load")
    if not data.strip():
        raise ModelError(f"{what} is empty", hint="expected an ONNX model or textual IR")
    return data.decode(errors="replace") if is_text(data) else None
