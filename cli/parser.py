"""What can be said on the command line. Imports nothing of the compiler, so that --help is there at once."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .. import __version__

STAGES = "graph-ir, tensor-ir, loop-ir, llvm-ir, asm, obj, engine"

MAIN = """\
Compile a neural network in ONNX to native code, or stop on the way and print it.

MODEL is an ONNX file, textual IR of any level, or - for stdin. It becomes MODEL.engine; text goes to stdout.

other commands (ircc COMMAND --help):
{commands}"""

MAIN_EXAMPLES = """\
examples:
  ircc model.onnx                                  compile into model.engine
  ircc model.onnx --shape x=1x3x224x224            ... for one shape; --shape N=8 fixes a symbol
  ircc model.onnx --shape-range N=1:8:64           ... for all of them, tuned for 8
  ircc model.onnx --emit=graph-ir                  print a level: graph-ir, tensor-ir, loop-ir, llvm-ir, asm
  ircc model.onnx --emit=tensor-ir > m.mlir        ... edit m.mlir ...
  ircc m.mlir -o model.engine                      ... and go on from there
  ircc model.onnx --emit=loop-ir --check-each      compare the numbers before and after every pass
  ircc model.onnx --print-ir-tree ir/              a file for every pass that changed something

environment:
  IRCC_TARGET      the target where --target says none
  IRCC_CACHE       where engines, code and constants that passes made are kept (~/.cache/ircc)
  IRCC_CACHE_SIZE  what engines and code there may take (2G); 0 compiles everything anew
  IRCC_LOG         debug, info: messages on stderr; perf: tell Linux perf the names of kernels

exit status: 0 done, 1 the model or an input is wrong, 2 usage, 3 the model cannot be compiled, 4 it needs Python,
70 a bug in ircc"""

OPT = """\
Run passes on textual IR of any level: text in, text out. Replays the reproducers that --check-each writes."""

OPT_EXAMPLES = """\
examples:
  ircc opt m.mlir --passes='eliminate-dead-code,fuse-elementwise'
  ircc opt m.mlir --passes='fix-sizes{sizes="N=8"}' -o m8.mlir
  ircc model.onnx --emit=graph-ir | ircc opt - --passes=graph-to-tensor --verify-each
  ircc opt check-each-fold-constants.mlir --passes=fold-constants --check-each
  ircc opt --list                                  every pass and what it does"""

RUN = """\
Run an engine, or compile a model and run it. Inputs that are not given are drawn: normal floats, integers 0 and 1."""

RUN_EXAMPLES = """\
examples:
  ircc run model.engine --input x=x.npy --output results/    results/NAME.npy for every output
  ircc run model.onnx --input x=x.npy                        a table of the outputs
  ircc run model.engine --shape N=4 --seed 1                 on random numbers"""

BENCH = """\
Measure an engine, or compile a model and measure it: for each kernel its time, how near it comes to the limit of this
machine (measured in the same run), the ONNX nodes it computes and the strategy it was scheduled by."""

BENCH_EXAMPLES = """\
examples:
  ircc bench model.onnx --threads 1
  ircc bench model.onnx --threads 1 --against onnxruntime
  ircc bench model.engine --shape x=8x3x224x224 --json
  ircc bench model.onnx --html roofline.html                 open it in a browser

The limit of a kernel is the least time that its arithmetic takes at the peak of multiply-adds, or its data at the
bandwidth of the smallest cache that holds it: 100 % is as fast as this machine can."""

CHECK = """\
Say whether ircc can compile a model: every unsupported operator, type and shape, in one report, with a hint for each.
Leaves with 0 when all of it becomes native code, 4 when it runs but some of it needs Python (strings, images, sequences
whose length depends on data, inputs without a rank), 3 when it cannot be compiled, 1 when the model is broken."""

CHECK_EXAMPLES = """\
examples:
  ircc check model.onnx
  ircc check model.onnx --json | jq '.verdict'              native, python, unsupported or broken
  ircc check model.onnx --json | jq '.issues[].operator'"""

INSPECT = """\
Tell what an engine file says of itself: the machines it has code for, inputs and outputs, the model and the passes it
was made from, kernels and the ONNX nodes they hold. Loads none of its code."""

INSPECT_EXAMPLES = """\
examples:
  ircc inspect model.engine
  ircc inspect model.engine --json | jq '.variants[0].kernels[].schedule'"""

VERIFY = """\
Check that an engine file is what it was: header, code and weights against their hashes, and its signature. Loads none
of its code. Running an engine runs the code in it: run what you trust."""

VERIFY_EXAMPLES = """\
examples:
  ircc verify model.engine                         damaged or not
  ircc verify model.engine --key maker.pub.pem     ... and signed with that key
  ircc.load("model.engine", trusted_keys=["maker.pub.pem"])     the same, before it is loaded"""

SIGN = """\
Sign an engine file with an Ed25519 key, or make a pair of keys. Needs the package cryptography."""

SIGN_EXAMPLES = """\
examples:
  ircc sign --new-key maker                        maker.pem, to sign with, and maker.pub.pem, to give away
  ircc sign model.engine --key maker.pem"""

DIFF = """\
Compare two engine files: ports, targets, how they were made, kernels and their schedules, memory, weights. Leaves with
0 where they are the same, with 1 where they differ."""

DIFF_EXAMPLES = """\
examples:
  ircc diff old.engine new.engine
  ircc diff old.engine new.engine --json | jq '.[].what'"""

RECOMPILE = """\
Make an engine anew from the graph inside it: for another machine, or to see that this gives the same file."""

RECOMPILE_EXAMPLES = """\
examples:
  ircc recompile m.engine --target=native                    for this machine, in its place
  ircc recompile m.engine --target=cpu:x86-64-v3 -o v3.engine
  ircc recompile m.engine --check                            byte for byte the same?

Shapes, passes and precision are those that the engine was compiled with; so is the target where none is given."""

REFIT = """\
Give an engine other weights: those of a model that differs in nothing else. No code is made, and what comes out is the
file that compiling this model gives, signed by nobody. Where a value that changed is part of the code, it says so and
writes nothing."""

REFIT_EXAMPLES = """\
examples:
  ircc refit m.engine --weights trained-on.onnx                   in its place
  ircc refit m.engine --weights trained-on.onnx -o new.engine

Shapes, passes, precision and targets are those that the engine was compiled with."""

CONFORMANCE = """\
Say what works on a backend: from memory and launches (L0) over operators (L1 to L3) to whole models, threads and faults
(L4). Leaves with 1 where something fails. Needs ircc[testing]."""

CONFORMANCE_EXAMPLES = """\
examples:
  ircc conformance --backend opencl --levels L0,L1
  ircc conformance --backend opencl --each 50 --html report.html     50 checks of each level, and a page to publish
  ircc conformance --backend mine --only Softmax --json
  ircc conformance --backend mine --levels L4 --model resnet50.onnx"""

NEW_BACKEND = """\
Write a package with a backend for a new chip: one that works, with the steps to make it the chip's."""

NEW_BACKEND_EXAMPLES = """\
examples:
  ircc new-backend mychip                                 ircc-mychip/, which passes the kit as it is
  pip install -e ircc-mychip && ircc conformance --backend mychip --levels L0"""

TARGETS = "List what code can be made for, and what this machine is."
TARGETS_EXAMPLES = """\
examples:
  ircc targets
  ircc model.onnx --target=cpu:x86-64-v3           code for any machine with AVX2
  ircc model.onnx --target=cpu:x86-64-v2,cpu:x86-64-v3,cpu:x86-64-v4
                                                   for all of these: the best one that a machine has is run"""


def parse(arguments: list[str]) -> argparse.Namespace:
    """The arguments as a namespace whose `command` names the subcommand. Exits with 2 on wrong usage."""
    name = arguments[0] if arguments and arguments[0] in SUBCOMMANDS else "compile"
    if name == "compile" and not arguments:
        arguments = ["--help"]
    parser = make_parser(name)
    return parser.parse_args(arguments[1:] if name in SUBCOMMANDS else arguments, argparse.Namespace(command=name))


def make_parser(name: str) -> argparse.ArgumentParser:
    """The parser of a subcommand; `compile` is what runs without one."""
    description, examples, add = SUBCOMMANDS.get(name) or (MAIN, MAIN_EXAMPLES, _compile)
    lines = [f"  {name:12}{text.splitlines()[0].split(':')[0].rstrip('.')}" for name, (text, *_) in SUBCOMMANDS.items()]
    parser = argparse.ArgumentParser(
        prog="ircc" if name == "compile" else f"ircc {name}",
        description=description.replace("{commands}", "\n".join(lines)),
        epilog=examples,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    add(parser)
    return parser


def parsers() -> list[argparse.ArgumentParser]:
    """All of them, for the documentation."""
    return [make_parser(name) for name in ("compile", *SUBCOMMANDS)]


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=100)


# ---- the subcommands


def _compile(parser: argparse.ArgumentParser) -> None:
    _model(parser, "an ONNX file, textual IR of any level, or - for stdin")
    parser.add_argument("--version", action="version", version=f"ircc {__version__}")
    making = parser.add_argument_group("what to make")
    making.add_argument("-o", "--output", metavar="OUT", help="the file to write; - is stdout")
    making.add_argument("--emit", metavar="STAGE", default="engine", help=f"stop at a stage: {STAGES} (the default)")
    making.add_argument("--inline-weights", action="store_true", help="print constants in full, not as references")
    making.add_argument("--strip", action="store_true", help="leave the graph out: `ircc recompile` needs it")
    _choices(making)
    making.add_argument(
        "--shape-range", type=_range, action="append", default=[], metavar="N=1:8:64",
        help="least, typical and most value of a size that stays open",
    )  # fmt: skip
    making.add_argument("--precision", default="f32", metavar="P", help="f32, the only one yet: float32 stays float32")
    passes = parser.add_argument_group("passes")
    _passes(passes)
    passes.add_argument(
        "--explain-placement",
        action="store_true",
        help="a table of where each kernel runs, and why it is not elsewhere",
    )


def _opt(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="FILE", nargs="?", help="textual IR of any level, or - for stdin")
    parser.add_argument("--list", action="store_true", help="list all passes and their options")
    parser.add_argument("-o", "--output", metavar="OUT", default="-", help="the file to write (default: stdout)")
    parser.add_argument("--inline-weights", action="store_true", help="print constants in full, not as references")
    passes = parser.add_argument_group("passes")
    passes.add_argument("--passes", metavar="PIPELINE", default="", help="the passes to run: 'a,b{size=64}'")
    _passes(passes)


def _run(parser: argparse.ArgumentParser) -> None:
    _model(parser, "an engine, an ONNX file, or textual IR")
    parser.add_argument(
        "--input", type=_assignment, action="append", default=[], metavar="NAME=FILE.npy", help="the array for an input"
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="write every output to DIR/NAME.npy")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the numbers drawn for other inputs")
    _choices(parser)


def _bench(parser: argparse.ArgumentParser) -> None:
    _model(parser, "an engine, an ONNX file, or textual IR")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--html", metavar="FILE", help="write a page with the roofline plot and the table")
    parser.add_argument("--rounds", type=_positive, default=10, metavar="N", help="medians over so many (default: 10)")
    parser.add_argument(
        "--against",
        choices=["onnxruntime", "openvino"],
        action="append",
        default=[],
        help="run MODEL, an ONNX file, with this one too, in turns, and compare",
    )
    _choices(parser)


def _check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="an ONNX file, or - for stdin")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    _shape(parser)


def _inspect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("engine", metavar="ENGINE", help="an engine file")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("engine", metavar="ENGINE", help="an engine file")
    parser.add_argument(
        "--key", action="append", default=[], metavar="PUBLIC.pem", help="it has to be signed with this key, or another"
    )


def _sign(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("engine", metavar="ENGINE", nargs="?", help="the engine file to sign")
    keys = parser.add_mutually_exclusive_group()
    keys.add_argument("--key", metavar="PRIVATE.pem", help="the key to sign with")
    keys.add_argument("--new-key", metavar="NAME", help="make NAME.pem and NAME.pub.pem")


def _diff(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", metavar="A", help="an engine file")
    parser.add_argument("second", metavar="B", help="another one")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _recompile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("engine", metavar="ENGINE", help="an engine file")
    parser.add_argument("-o", "--output", metavar="OUT", help="the file to write (default: ENGINE)")
    parser.add_argument("--target", metavar="T", help="what to make code for; native: this machine")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if it would be another file")


def _refit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("engine", metavar="ENGINE", help="an engine file")
    parser.add_argument("--weights", metavar="MODEL", required=True, help="the model with the new weights")
    parser.add_argument("-o", "--output", metavar="OUT", help="the file to write (default: ENGINE)")


def _targets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _conformance(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backend", metavar="TARGET", required=True, help="the target to look at, see `ircc targets`")
    parser.add_argument("--levels", metavar="L0,L1", help="some levels only (default: all)")
    parser.add_argument("--each", type=_positive, metavar="N", help="at most so many checks of each level")
    parser.add_argument("--seed", type=int, metavar="N", default=0, help="which ones, where --each is less than all")
    parser.add_argument("--only", metavar="REGEX", default="", help="checks whose name matches")
    parser.add_argument("--jobs", type=_positive, metavar="N", default=1, help="processes that share the checks")
    parser.add_argument(
        "--model", metavar="FILE.onnx", action="append", default=[], help="a model that L4 runs too, beside the CPU"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--html", metavar="FILE", help="write a page to publish")


def _new_backend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the chip: small letters")
    parser.add_argument("--folder", metavar="DIR", help="where to write it (default: ircc-NAME)")


SUBCOMMANDS: Mapping[str, tuple[str, str, Callable[[argparse.ArgumentParser], None]]] = {
    "opt": (OPT, OPT_EXAMPLES, _opt),
    "run": (RUN, RUN_EXAMPLES, _run),
    "bench": (BENCH, BENCH_EXAMPLES, _bench),
    "check": (CHECK, CHECK_EXAMPLES, _check),
    "inspect": (INSPECT, INSPECT_EXAMPLES, _inspect),
    "verify": (VERIFY, VERIFY_EXAMPLES, _verify),
    "sign": (SIGN, SIGN_EXAMPLES, _sign),
    "diff": (DIFF, DIFF_EXAMPLES, _diff),
    "recompile": (RECOMPILE, RECOMPILE_EXAMPLES, _recompile),
    "refit": (REFIT, REFIT_EXAMPLES, _refit),
    "conformance": (CONFORMANCE, CONFORMANCE_EXAMPLES, _conformance),
    "new-backend": (NEW_BACKEND, NEW_BACKEND_EXAMPLES, _new_backend),
    "targets": (TARGETS, TARGETS_EXAMPLES, _targets),
}

# ---- what they share


def _model(parser: Any, help: str) -> None:
    parser.add_argument("model", metavar="MODEL", help=help)


def _choices(group: Any) -> None:
    group.add_argument(
        "--target",
        metavar="T",
        help="what to make code for, see `ircc targets` (default: what the text of a module names, else this machine)",
    )
    group.add_argument("--threads", type=_positive, metavar="N", help="threads to run on (default: all cores)")
    _shape(group)
    group.add_argument(
        "--passes", metavar="PIPELINE", help="replaces every pass from the level of MODEL to the stage: 'a,b{size=64}'"
    )
    group.add_argument(
        "--without", action="append", default=[], metavar="PASS", help="leaves a pass out: winograd, say"
    )


def _shape(group: Any) -> None:
    group.add_argument(
        "--shape", type=_shape_of, action="append", default=[], metavar="x=1x3x224x224",
        help="fix the shape of an input (? leaves a size open), or a size: N=8",
    )  # fmt: skip


def _passes(group: Any) -> None:
    group.add_argument(
        "--print-ir-after", action="append", default=[], metavar="PASS", help="print the IR to stderr after this pass"
    )
    group.add_argument("--print-ir-after-all", action="store_true", help="... after every pass")
    group.add_argument("--print-ir-after-changed", action="store_true", help="... after every pass that changed it")
    group.add_argument("--print-ir-tree", type=Path, metavar="DIR", help="... into a folder, a file for each")
    group.add_argument("--verify-each", action="store_true", help="check the structure after every pass")
    group.add_argument(
        "--check-each", action="store_true", help="check the numbers after every pass; a reproducer for the guilty one"
    )
    group.add_argument("--time-passes", action="store_true", help="a table of how long each pass took")


# ---- values


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def _shape_of(text: str) -> tuple[str, int | tuple[int | None, ...]]:
    """`x=1x3x?x224` is a shape, `N=8` a size."""
    name, _, value = text.rpartition("=")
    if not name or not re.fullmatch(r"(\d+|\?)([x,](\d+|\?))*", value):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a shape, x=1x3x224x224, nor a size, N=8")
    sizes = [None if size == "?" else int(size) for size in re.split("[x,]", value)]
    only = sizes[0]
    return name, only if len(sizes) == 1 and only is not None else tuple(sizes)


def _range(text: str) -> tuple[str, tuple[int, int, int]]:
    name, _, value = text.rpartition("=")
    found = re.fullmatch(r"(\d+):(\d+):(\d+)", value)
    if not name or not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no range: least, typical and most, N=1:8:64")
    least, typical, most = map(int, found.groups())
    return name, (least, typical, most)
