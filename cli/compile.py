"""`ircc MODEL`: compile a model into an engine, or stop on the way and print."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from xdsl.dialects.builtin import ModuleOp, StringAttr

from .. import Engine
from ..codegen.costs import copies_of, costs_of, microseconds
from ..compiler import Compilation, Model, evaluate
from ..dialects.loop import WHY, Call, Kernel
from ..dialects.reference import inputs_of
from ..errors import InputError
from ..frontends.sizes import typical_of
from ..ir.check_each import CheckEach
from ..ir.instruments import PrintAfter, PrintTree, TimePasses, VerifyEach
from ..ir.nodes import nodes_of
from ..ir.operands import walk
from ..ir.passes import find_pass
from ..ir.pipeline import Instrument, Step
from ..ir.target import Target
from ..progress import report
from . import console

SUFFIXES = {"engine": ".engine", "obj": ".o"}  # what is not text goes to a file


def run(args: Namespace) -> int:
    """Compile, and write what was asked for."""
    start = time.perf_counter()
    to = args.emit
    out = args.output or (str(_beside(args.model, SUFFIXES[to])) if to in SUFFIXES else "-")
    with compiling(args) as way:
        model = source(args.model)
        if to != "engine":
            made = way.emit(model, to, inline_weights=args.inline_weights)
        elif out == "-":
            raise InputError("an engine is a file, it cannot go to stdout", hint="name it: -o OUT")
        else:
            artifact = way.save(model, out)
            count = len(artifact.kernels)
            made = f"{count} kernel{'' if count == 1 else 's'}"
    if to != "engine":
        write(made, out)
    else:
        passed = console.seconds(time.perf_counter() - start)
        console.say(f"{out}: {made}, {console.size(Path(out).stat().st_size)}, compiled in {passed}")
    return 0


def engine(args: Namespace) -> Engine:
    """The model of a command as an engine, for `run` and `bench`."""
    with compiling(args) as way:
        return way.engine(source(args.model), args.threads)


@contextmanager
def compiling(args: Namespace) -> Generator[Compilation]:
    """The choices of the command line, with progress while they are carried out and the times of passes behind."""
    chosen = instruments(args)
    way = Compilation(
        target=args.target,
        shapes=dict(args.shape),
        ranges=dict(getattr(args, "shape_range", ())),
        precision=getattr(args, "precision", "f32"),
        passes=args.passes,
        without=tuple(args.without),
        graph=not getattr(args, "strip", False),
    )
    quiet = any(isinstance(i, PrintAfter) for i in chosen)  # both would write to the terminal
    with console.progress("reading the model", show=not quiet):
        yield replace(way, instruments=(*chosen, Progress()))
    report_times(chosen)


def source(name: str) -> Model:
    """What a MODEL argument stands for."""
    return sys.stdin.buffer.read() if name == "-" else name


def write(data: str | bytes, out: str) -> None:
    """Write to a file; `-` is stdout."""
    content = data.encode() if isinstance(data, str) else data
    if out == "-":
        sys.stdout.buffer.write(content) if hasattr(sys.stdout, "buffer") else sys.stdout.write(content.decode())
        return
    Path(out).write_bytes(content)


def _beside(model: str, suffix: str) -> Path:
    """model.onnx → model.engine, in the same folder."""
    if model == "-":
        raise InputError("a model from stdin has no name to call its engine by", hint="name it: -o OUT")
    return Path(model).with_suffix(suffix)


# ---- instruments


class Progress(Instrument):
    """Says which pass is running."""

    optional = True

    def before(self, step: Step) -> None:
        report(str(step))


@dataclass
class Times(TimePasses):
    """The times of passes, with the operations there are after each."""

    operations: list[int] = field(default_factory=list[int])

    def after(self, step: Step) -> None:
        super().after(step)
        self.operations.append(sum(1 for _ in step.module.walk()))


class ExplainPlacement(Instrument):
    """Says where each kernel runs, and why, on stderr; what that takes by the figures of the target, and the copies."""

    def end(self, module: ModuleOp) -> None:
        kernels = {op.sym_name.data: op for op in module.body.ops if isinstance(op, Kernel)}
        figures = Target.of(module).link > 0
        typical = typical_of(module)
        works = costs_of(module, typical).works if figures else {}
        rows: list[tuple[str, ...]] = []
        for call in walk(module):
            if isinstance(call, Call):
                kernel = kernels[call.callee]
                why = kernel.attributes.get(WHY)
                nodes = ", ".join(nodes_of(call)) or "-"
                reason = why.data if isinstance(why, StringAttr) else ""
                work = works.get(call.callee)
                times = (microseconds(work.device), microseconds(work.host)) if work else ()
                rows.append((nodes, call.callee, kernel.on or "host", *times, reason))
        if not kernels:
            return
        columns = (">on device", ">on host") if figures else ()
        console.table(("nodes", "kernel", "runs on", *columns, "because"), rows, stderr=True)
        copies = copies_of(module, typical)
        for side in ("host", "device"):
            if here := [(size, time) for to, size, time in copies if to == side]:
                size, time = (sum(numbers) for numbers in zip(*here, strict=True))
                text = f"copies to the {side}: {len(here)}, {console.size(size)}"
                console.say(f"{text}, {microseconds(time)}" if figures else text)


def instruments(args: Namespace, *, seed: int = 0) -> list[Instrument]:
    """What looks on while passes run, as the options ask. Raises PassError for the name of no pass."""
    found: list[Instrument] = []
    if vars(args).get("explain_placement"):
        found.append(ExplainPlacement())
    for option in vars(args).get("print_ir_after", ()):
        for name in option.split(","):
            find_pass(name)
    if vars(args).get("time_passes"):
        found.append(Times())
    if vars(args).get("verify_each"):
        found.append(VerifyEach())
    if vars(args).get("check_each"):
        found.append(CheckEach(seed, evaluator=evaluate, signature=inputs_of))
    if vars(args).get("print_ir_tree"):
        found.append(PrintTree(args.print_ir_tree))
    if vars(args).get("print_ir_after_all") or vars(args).get("print_ir_after_changed"):
        found.append(PrintAfter(changed=not args.print_ir_after_all))
    elif names := [name for option in vars(args).get("print_ir_after", ()) for name in option.split(",")]:
        found.append(PrintAfter(names))
    return found


def report_times(chosen: list[Instrument]) -> None:
    """The table of --time-passes, on stderr."""
    for times in (i for i in chosen if isinstance(i, Times)):
        total = sum(s for _, s, _ in times.seconds)
        rows = [
            [f"{1e3 * s:.1f}", f"{100 * s / max(total, 1e-9):.0f}", name, str(count), "" if changed else "no change"]
            for (name, s, changed), count in zip(times.seconds, times.operations, strict=True)
        ]
        rows.append([f"{1e3 * total:.1f}", "100", "all passes", "", ""])
        console.table((">ms", ">%", "pass", ">operations", ""), rows, stderr=True)
