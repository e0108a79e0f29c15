"""The models that the pages of docs/ tell about, and what the compiler prints of them.

    python docs/story.py FOLDER     writes conv.onnx and matmul.onnx there, to follow the pages with

`blocks()` has the text of every `<!-- shown: NAME -->` in the pages; docs/generate.py puts it there. All of it is for
the target cpu:x86-64-v3 (AVX2), so that it does not depend on the machine, and as the compiler prints it, but for the
module's own attributes, and for hashes, which are cut short.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation

import ircc
from ircc.compiler import Compilation
from ircc.dialects.loop import Kernel, Program
from ircc.errors import ScheduleError
from ircc.ir.target import Target
from ircc.runtime.artifact import to_header
from ircc.schedules.nest import nest_of
from ircc.schedules.script import Schedule
from ircc.schedules.strategy import Case, find_strategy

TARGET = "cpu:x86-64-v3"

CONV = """\
conv_relu (float[1, 8, 30, 30] x) => (float[1, 32, 30, 30] y)
<float[32, 8, 3, 3] w, float[32] b>
{
    [conv] c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w, b)
    [relu] y = Relu (c)
}"""

MATMUL = """\
product (float[240, 256] x) => (float[240, 192] y)
<float[256, 192] w>
{
    [product] y = MatMul (x, w)
}"""

# lines that the matmul's kernel refuses, each alone
REFUSED = ("parallel k0", "sink k0 past i1", "split i0 7 -> i0 i0t", "vectorize k0 8", "layout in1 (d0, d1) -> d0 + d1")


def model(text: str) -> onnx.ModelProto:
    """A model in ONNX's text form; the values that it only declares become weights."""
    made = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["": 20]>\n{text}')
    random = np.random.default_rng(0)
    for info in made.graph.value_info:
        values = random.standard_normal([d.dim_value for d in info.type.tensor_type.shape.dim], np.float32)
        made.graph.initializer.append(onnx.numpy_helper.from_array(values, info.name))
    return made


def write_models(folder: Path) -> None:
    """Write the models of the pages."""
    for name, text in (("conv", CONV), ("matmul", MATMUL)):
        onnx.save(model(text), folder / f"{name}.onnx")


# ---- what is shown of a module


def text_of(op: Operation | None) -> str:
    """The text of an operation that stands in a module, at the margin, hashes cut short."""
    assert op is not None
    lines = str(op).splitlines()
    return re.sub(r'(#ir\.weight<[^>]*"[0-9a-f]{6})[0-9a-f]{58}"', r'\1…"', "\n".join(lines))


def kernel_of(module: ModuleOp, node: str) -> Kernel:
    """The kernel that ends with an ONNX node."""
    found = [op for op in module.body.ops if isinstance(op, Kernel) and op.sym_name.data.split(".")[-1] == node]
    return found[-1]


def program_of(module: ModuleOp) -> Program:
    return next(op for op in module.body.ops if isinstance(op, Program))


def innermost(code: str, kernel: str, most: int) -> str:
    """The block of a kernel's LLVM text that branches to itself and multiplies; of its middle, `most` lines."""
    function = next(part for part in code.split("\ndefine ") if part.startswith(f'internal void @"{kernel}.part0"'))
    blocks = re.split(r"\n(?=\w+:\n)", function)
    loop = next(b for b in blocks if "fmul" in b and f"label %{b.split(':')[0]}" in b).splitlines()
    first = next(i for i, line in enumerate(loop) if "phi" not in line and i)
    shown = [*loop[:4], "  ...", *loop[first : first + most], "  ...", *loop[-4:]]
    return "\n".join(line for line in shown if line != "}")


def choices_of(module: ModuleOp, kernel: Kernel) -> str:
    """The parameters of a kernel's strategy as a table."""
    nest = nest_of(kernel)
    assert nest is not None and kernel.strategy is not None
    case = Case(nest, Target.of(module), frozenset({"in1"}))
    choices = find_strategy(kernel.strategy.data).choices(case)
    assert choices is not None
    rows = [(name, str(c.default), " ".join(map(str, c.values))) for name, c in choices.items()]
    return "\n".join(f"{name:<16}{default:<10}{values}" for name, default, values in [HEAD, *rows])


HEAD = ("parameter", "default", "legal values")


def refusals(kernel: Kernel, lines: Iterable[str]) -> str:
    """What each line says, applied alone to the naive kernel."""
    found: list[str] = []
    for line in lines:
        try:
            Schedule.parse(line).apply(kernel.clone())
        except ScheduleError as error:
            found.append(f"{line}\n    {error.message.split('`: ')[1]}")
        else:
            raise AssertionError(f"{line} is not refused any more")
    return "\n".join(found)


def run(module: ModuleOp, passes: str) -> ModuleOp:
    return ircc.Pipeline.parse(passes).run(module.clone())


# ---- the stories


def conv() -> Mapping[str, str]:
    """docs/one-conv.md"""
    way = Compilation(target=TARGET)
    graph, tensor = way.lower("conv.onnx", "graph-ir"), way.lower("conv.onnx", "tensor-ir")
    naive, loops = run(tensor, "tensor-to-loop"), way.lower("conv.onnx", "loop-ir")
    code = way.emit(loops, "llvm-ir")
    assert isinstance(code, str)
    (artifact,) = way.finish([loops])
    kernels = to_header(artifact)["kernels"]
    name = kernel_of(loops, "relu").sym_name.data
    return {
        "conv.onnx": CONV,
        "conv.graph": text_of(graph.body.ops.first),
        "conv.lowered": text_of(run(graph, "graph-to-tensor,canonicalize").body.ops.first),
        "conv.tensor": text_of(tensor.body.ops.first),
        "conv.naive": text_of(kernel_of(naive, "relu")),
        "conv.scheduled": text_of(kernel_of(loops, "relu")),
        "conv.program": text_of(program_of(loops)),
        "conv.llvm": innermost(code, name, 13),
        "conv.engine": "\n".join(json.dumps(k) for k in kernels),
    }


def matmul() -> Mapping[str, str]:
    """docs/read-a-schedule.md"""
    way = Compilation(target=TARGET)
    loops = way.lower("matmul.onnx", "loop-ir")
    naive = run(way.lower("matmul.onnx", "tensor-ir"), "tensor-to-loop")
    naive.attributes["ircc.target"] = loops.attributes["ircc.target"]
    chosen = run(naive, "select-schedules")
    product = kernel_of(chosen, "product")
    assert product.schedule is not None
    return {
        "matmul.onnx": MATMUL,
        "matmul.naive": text_of(kernel_of(naive, "product")),
        "matmul.schedule": product.schedule.data,
        "matmul.scheduled": text_of(kernel_of(loops, "product")),
        "matmul.choices": choices_of(chosen, product),
        "matmul.refusals": refusals(kernel_of(naive, "product"), REFUSED),
    }


def blocks() -> Mapping[str, str]:
    """Every text that the pages show, by its name there."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        write_models(Path(folder))
        os.chdir(folder)  # weights are printed with the model's name, as in the reader's folder
        try:
            return {**conv(), **matmul()}
        finally:
            os.chdir(here)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit(f"{(__doc__ or '').splitlines()[2].strip()}")
    write_models(Path(sys.argv[1]))
