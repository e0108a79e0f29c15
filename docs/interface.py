"""Examples for docs/interface.md: what each member of a backend is given and what comes of it, from the running code.

One small model goes down for a described device, so that the text is the same on every machine. The calls of a device
are those of a run, noted by the backend `null`.
"""

import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import count
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx.parser
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser

import ircc
from ircc.codegen.backend import Backend
from ircc.codegen.null.device import NullDevice
from ircc.codegen.placement import Place
from ircc.codegen.simt.backend import SimtBackend, device_artifact
from ircc.codegen.simt.printer import print_kernel
from ircc.codegen.simt.words import CUDA
from ircc.compiler import STAGES, run
from ircc.dialects import context
from ircc.dialects.loop import Kernel
from ircc.ir.pipeline import Pipeline
from ircc.ir.target import PRESETS, Target
from ircc.ir.verify import verify
from ircc.runtime import device as runtime
from ircc.schedules.script import Schedule

MODEL = """<ir_version: 9, opset_import: ["": 20]>
net (float[N, 4] x) => (float[N, 4] y, double[N, 4] z) {
    y = Mul(x, x)
    wide = Cast<to = 11>(y)
    z = Neg(wide)
}"""
SHORT = '<ir_version: 9, opset_import: ["": 20]> net (float[N, 4] x) => (float[N, 4] y) {y = Mul(x, x)}'
INTRODUCTION = (
    "What each member of a [backend](backends.md) is given, and what comes of it. Eight are asked for, and marked so; "
    "the others have a default. The model of all examples:"
)
NESTS = [  # of the same product: what an instruction does, and a kernel
    f"""  loop.for "i" %i = 0 to {rows} parallel {{
    loop.for "k" %k = 0 to {depth} reduction {{
      loop.for "j" %j = 0 to {columns} parallel {{
        %x = loop.load %a[%i, %k]
        %y = loop.load %b[%k, %j]
        %p = arith.mulf %x, %y : f32
        %o = loop.load %c[%i, %j]
        %s = arith.addf %o, %p : f32
        loop.store %s, %c[%i, %j]
      }}
    }}
  }}"""
    for rows, depth, columns in (("M", "K", "N"), (48, 16, 16))
]
INSTRUCTION = f"""loop.instruction @mma(%a "a" : !loop.buffer<[M, K], f32>, %b "b" : !loop.buffer<[K, N], f32>,
    %c "c" : !loop.buffer<[M, N], f32>)
    outputs 1 sizes ["M", "N", "K"] most [16, 16, 16] text "mma {{a}}, {{b}}, {{c}}" {{
{NESTS[0]}
}}"""
PRODUCT = f"""loop.kernel @product(%a "a" : !loop.buffer<[48, 16], f32>, %b "b" : !loop.buffer<[16, 16], f32>,
    %c "c" : !loop.buffer<[48, 16], f32>) outputs 1 {{
{NESTS[1]}
}}"""
REPLACING = "split i 16 -> i it\nreplace it by mma"
NAME = "simt:cuda-c:fp32"
HOST = PRESETS["x86-64"]
SIGNATURE = "def open_device(artifact: Artifact, code: Code, threads: int) -> Device"
DEVICE_HALF = ("alloc", "free", "copy", "launch", "wait")


def machine() -> Target:
    """The device of the examples: it has no doubles."""
    return replace(HOST, name=NAME, **device_part(SimtBackend().describe(NAME)))


def device_part(target: Target) -> dict[str, Any]:
    """What a description says of a device."""
    return {name: value for name, value in asdict(target).items() if value != getattr(target.host, name)}


def lowered() -> tuple[ModuleOp, ModuleOp]:
    """The model on naive loops, and as `emit` is given it."""
    backend = SimtBackend()
    stages = backend.pipeline(STAGES)
    module = ircc.lower(onnx.parser.parse_model(MODEL), "tensor-ir", target="cpu:x86-64")
    machine().attach(module)
    passes = Pipeline.parse(stages["loop-ir"]).passes
    at = [p.name for p in passes].index("tensor-to-loop") + 1
    run(Pipeline(passes[:at]), module)
    naive = module.clone()
    run(Pipeline(passes[at:]), module, [Place(backend)])
    return naive, module


def replaced() -> Kernel:
    """A kernel in which a schedule has found an instruction."""
    module = Parser(context(), f"builtin.module {{ {INSTRUCTION} {PRODUCT} }}").parse_module()
    found = kernel(module)
    Schedule.parse(REPLACING).apply(found)
    verify(module)
    return found


def kernel(module: ModuleOp, on_host: bool = False) -> Kernel:
    """The first kernel on a side."""
    return next(op for op in module.body.ops if isinstance(op, Kernel) and op.on_host == on_host)


def calls() -> str:
    """What a device is asked to do while an engine is made and runs twice."""
    noted: list[str] = []
    places: dict[int, tuple[str, int]] = {}  # by address: name and bytes
    names = (f"d{i}" for i in count())

    def place(address: int) -> str:
        for start, (name, size) in places.items():
            if start <= address < start + max(size, 1):
                return name if address == start else f"{name} + {address - start}"
        return "host"

    def note(name: str) -> Any:
        original = getattr(NullDevice, name)

        def call(self: Any, *args: Any) -> Any:
            made = original(self, *args)
            match name:
                case "alloc":
                    places[made] = next(names), args[0]
                    noted.append(f"alloc({args[0]}) -> {places[made][0]}")
                case "free":
                    noted.append(f"free({places.pop(args[0])[0]})")
                case "copy":
                    noted.append(f"copy({place(args[0])}, {place(args[1])}, {args[2]})")
                case "launch":
                    addresses, sizes = args[1][:2], args[1][2:]
                    given = ", ".join([*map(place, addresses), *map(str, sizes)])
                    noted.append(f"launch({args[0]}, [{given}])")
                case _:
                    noted.append("wait()")
            return made

        return call

    model = onnx.parser.parse_model(SHORT)
    patches = [patch.object(NullDevice, name, note(name)) for name in DEVICE_HALF]
    for p in patches:
        p.start()
    try:
        engine = ircc.compile(model, target="null", threads=1)
        for rows in (2, 3):
            noted.append(f"# run with N = {rows}")
            engine.run({"x": np.ones((rows, 4), np.float32)})
        engine.close()
    finally:
        for p in patches:
            p.stop()
    return "\n".join(noted)


def sections() -> Iterator[tuple[str, Any, bool, list[tuple[str, str]]]]:
    """Members: their names, what documents them, whether they are asked for, and titled examples."""
    backend = SimtBackend()
    naive, module = lowered()
    target = machine()
    printed = print_kernel(kernel(module), CUDA)
    described = device_artifact(module, NAME, lambda k: ("...", print_kernel(k, CUDA).parts)).sections[NAME].decode()
    yield "describe", Backend.describe, True, [
        (f'`describe("{NAME}")`, beside the machine that the device is in', "\n".join(
            f"{name} = {value!r}" for name, value in device_part(target).items() if name != "name"
        )),
    ]  # fmt: skip
    yield (
        "pipeline",
        Backend.pipeline,
        False,
        [
            ("Before: the compiler's `loop-ir`", listed(STAGES["loop-ir"])),
            ("After", listed(backend.pipeline(STAGES)["loop-ir"])),
        ],
    )
    yield (
        "instructions",
        Backend.instructions,
        False,
        [
            ("Returned by the backend of some chip with a matrix unit", INSTRUCTION),
            ("Before: a kernel", PRODUCT),
            ("A strategy of that package chooses the schedule", REPLACING),
            ("After: the loops that do what the declaration says are the instruction", str(replaced())),
        ],
    )
    refused = kernel(module, on_host=True)
    before = next(op for op in naive.body.ops if isinstance(op, Kernel) and "f64" in str(op))
    yield (
        "supports",
        Backend.supports,
        False,
        [
            ("Given", str(before)),
            ("Returned", repr(backend.supports(refused))),
            ("After: the host runs it, by a schedule for the host", str(refused)),
        ],
    )
    yield (
        "emit",
        Backend.emit,
        True,
        [
            ("Before: a kernel of the module, scheduled", str(kernel(module))),
            ("After: its code", printed.code),
            ("... and what the device reads in the engine beside it", described),
        ],
    )
    yield (
        "presets",
        Backend.presets,
        False,
        [("Returned", "\n".join(f"{k}: {v}" for k, v in backend.presets().items()))],
    )
    yield "open_device", None, True, [("Found by the name of the backend", SIGNATURE)]
    for name in DEVICE_HALF:
        yield name, getattr(runtime.Device, name), True, []
    yield (
        "a run, as the device sees it",
        None,
        False,
        [
            ("An engine of y = x · x is made, and runs with 2 rows and with 3. `d0` and so on are addresses", calls()),
        ],
    )


def listed(text: str) -> str:
    """A pipeline, a pass a line."""
    return "\n".join(step.strip() for step in re.split(r",(?![^{]*})", text) if step.strip())
