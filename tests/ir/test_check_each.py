"""`--check-each` finds wrong passes: three planted bugs, each named, each with a file that shows it again."""

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from xdsl.dialects import arith
from xdsl.dialects.builtin import ModuleOp, f32
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.parser import Parser

from ircc.dialects import context
from ircc.dialects.graph.binary import Add, Sub
from ircc.dialects.graph.data import Constant
from ircc.dialects.graph.movement import Transpose
from ircc.dialects.tensor import Read
from ircc.dialects.tensor.builder import compute
from ircc.errors import PassError
from ircc.ir.check_each import CheckEach, draw_inputs, reproducer_text, seed_of
from ircc.ir.evaluator import evaluate
from ircc.ir.expr import Expr
from ircc.ir.passes import Pass
from ircc.ir.pipeline import Pipeline
from ircc.ir.types import TensorType
from ircc.testing.tensor_programs import random_program

N = Expr.symbol("N")


@dataclass(frozen=True)
class SwapOperands(Pass):
    """x - y → y - x."""

    name = "swap-operands"

    def run(self, module: ModuleOp) -> bool:
        found = [op for op in module.walk() if isinstance(op, Sub | arith.SubfOp)]
        for op in found:
            op.operands = op.operands[::-1]
        return bool(found)


@dataclass(frozen=True)
class DropElse(Pass):
    """Clamp the index of a padding instead of giving the padding's value."""

    name = "drop-else"

    def run(self, module: ModuleOp) -> bool:
        found = [op for op in module.walk() if isinstance(op, Read) and op.otherwise is not None]
        for op in found:
            op.set_indices([Expr.of(0) for _ in op.exprs], list(op.indices))
        return bool(found)


@dataclass(frozen=True)
class RoundTwice(Pass):
    """Constants lose half of their digits."""

    name = "round-twice"

    def run(self, module: ModuleOp) -> bool:
        found = [op for op in module.walk() if isinstance(op, Constant)]
        for op in found:
            op.properties["value"] = Constant.of(op.array.astype(np.float16).astype(op.array.dtype)).value
        return bool(found)


def graph_program() -> ModuleOp:
    main = FuncOp("main", ([TensorType.of([N, 3], f32)], [TensorType.of([3, N], f32)]))
    (x,) = main.body.block.args
    c = Constant.of(np.full((1, 3), np.pi, np.float32))
    difference = Sub.make(x, c.result)
    turned = Transpose.make(difference.result, perm=[1, 0])
    total = Add.make(turned.result, turned.result)
    main.body.block.add_ops([c, difference, turned, total, ReturnOp(total)])
    return ModuleOp([main])


def tensor_program() -> ModuleOp:
    main = FuncOp("main", ([TensorType.of([N], f32)], [TensorType.of([N + 2], f32)]))
    (x,) = main.body.block.args
    padded = compute([N + 2], lambda b, i: b.read(x, i - 1, otherwise=0.0) - 1.0, f32)
    main.body.block.add_ops([padded, ReturnOp(padded)])
    return ModuleOp([main])


@pytest.mark.parametrize(
    ("program", "bug"),
    [
        (graph_program, SwapOperands()),
        (graph_program, RoundTwice()),
        (tensor_program, SwapOperands()),
        (tensor_program, DropElse()),
    ],
    ids=lambda x: getattr(x, "name", getattr(x, "__name__", "")),
)
def test_planted_bug_is_found_named_and_reproduced(program, bug: Pass, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    pipeline = Pipeline.of("canonicalize,eliminate-common-subexpressions", bug, "eliminate-dead-code")
    with pytest.raises(PassError, match=f"pass {bug.name} .3 of 4. changed the value") as caught:
        pipeline.run(program(), instruments=[CheckEach(seed=7, folder=tmp_path)])
    path = tmp_path / f"check-each-{bug.name}.mlir"
    assert str(path) in str(caught.value) and "--check-each" in str(caught.value)
    text = path.read_text()
    assert seed_of(text) == 7
    again = Parser(context(), text).parse_module()
    with pytest.raises(PassError, match=f"pass {bug.name} .1 of 1. changed the value"):
        Pipeline.of(bug).run(again, instruments=[CheckEach(seed=7, folder=tmp_path)])


@pytest.mark.parametrize("program", [graph_program, tensor_program])
def test_right_passes_go_through(program, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    pipeline = Pipeline.of("canonicalize,fold-constants,eliminate-common-subexpressions,eliminate-dead-code")
    pipeline.run(program(), instruments=[CheckEach(folder=tmp_path)])
    assert not list(tmp_path.iterdir())


def test_reproducer_holds_its_weights() -> None:
    module = graph_program()
    text = reproducer_text(module)
    assert "sha256" not in text
    inputs, outputs = draw_inputs(module, 0)
    assert inputs is not None
    again = evaluate(Parser(context(), text).parse_module(), inputs)
    assert all(np.array_equal(again[name], value) for name, value in outputs.items())


def test_inputs_are_found_for_random_programs() -> None:
    found = [draw_inputs(random_program(random.Random(seed)), 0)[0] for seed in range(20)]
    assert sum(f is not None for f in found) >= 15


def test_text_without_a_seed() -> None:
    assert seed_of("builtin.module {}") is None
    assert seed_of("// seed: 12\nbuiltin.module {}") == 12
