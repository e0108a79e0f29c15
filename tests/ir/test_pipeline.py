"""Pipelines as text and as things to run, and the instruments that look on."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from xdsl.dialects import arith
from xdsl.dialects.builtin import FloatAttr, FunctionType, ModuleOp, f32
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.parser import Parser
from xdsl.utils.exceptions import VerifyException

from ircc.dialects import context
from ircc.dialects.loop import For, Kernel
from ircc.dialects.tensor.builder import compute
from ircc.errors import PassError
from ircc.ir.check_each import CheckEach, array_difference, seed_of
from ircc.ir.expr import Expr
from ircc.ir.instruments import PrintAfter, PrintTree, TimePasses, VerifyEach
from ircc.ir.passes import Pass, find_pass, pass_names
from ircc.ir.pipeline import Pipeline, text_of
from ircc.ir.types import TensorType
from ircc.ir.verify import verify
from ircc.passes.tensor_to_loop import TensorToLoop


@dataclass(frozen=True)
class Options(Pass):
    """A pass with options of every type."""

    name = "options"
    size: int = 1
    rate: float = 0.5
    deep: bool = False
    mode: str = "plain"
    tiles: tuple[int, ...] = ()

    def run(self, module: ModuleOp) -> bool:
        return False


@dataclass(frozen=True)
class Scale(Pass):
    """Changes every number: what a wrong rewrite does."""

    name = "scale"
    by: float = 2.0
    honest: bool = True

    def run(self, module: ModuleOp) -> bool:
        for op in module.walk():
            if isinstance(op, arith.ConstantOp) and isinstance(op.value, FloatAttr):
                op.properties["value"] = FloatAttr(op.value.value.data * self.by, f32)
        return self.honest


@dataclass(frozen=True)
class Break(Pass):
    """Leaves an invalid module."""

    name = "break"

    def run(self, module: ModuleOp) -> bool:
        for op in module.walk():
            if isinstance(op, FuncOp):
                op.properties["function_type"] = FunctionType.from_lists([], [])
        return True


def program() -> ModuleOp:
    n = Expr.symbol("N")
    main = FuncOp("main", ([TensorType.of([n, 3], f32)], [TensorType.of([n, 3], f32)]))
    (x,) = main.body.block.args
    y = compute([n, 3], lambda b, i, j: b.read(x, i, j) * 3.0, f32)
    main.body.block.add_ops([y, ReturnOp(y)])
    return ModuleOp([main])


def test_text_round_trips() -> None:
    given = Options(size=3, rate=1e-5, deep=True, mode='a "b", c', tiles=(1, 2))
    assert text_of(given) == 'options{size=3 rate=1.0e-05 deep=true mode="a \\"b\\", c" tiles=1,2}'
    assert text_of(Options()) == "options"


def test_parse_finds_passes_by_their_place() -> None:
    pipeline = Pipeline.parse("eliminate-dead-code, eliminate-common-subexpressions")
    assert str(pipeline) == "eliminate-dead-code,eliminate-common-subexpressions"
    assert Pipeline.parse(str(pipeline)) == pipeline
    assert {"eliminate-dead-code", "eliminate-common-subexpressions"} <= set(pass_names())
    assert find_pass("eliminate-dead-code").name == "eliminate-dead-code"


def test_unknown_pass_names_the_near_ones() -> None:
    with pytest.raises(PassError, match="did you mean eliminate-dead-code"):
        Pipeline.parse("eliminate-dead-cod")


@pytest.mark.parametrize("text", ["eliminate-dead-code{", "eliminate-dead-code{a=1}", "{}", "eliminate-dead-code{} x"])
def test_bad_text_is_a_pass_error(text: str) -> None:
    with pytest.raises(PassError):
        Pipeline.parse(text)


@dataclass(frozen=True)
class Escape(Pass):
    """Uses the index of a loop after it: each operation by itself is as its definition says."""

    name = "escape"

    def run(self, module: ModuleOp) -> bool:
        kernel = next(op for op in module.walk() if isinstance(op, Kernel))
        last = kernel.body.block.last_op
        assert last is not None
        index = next(op for op in module.walk() if isinstance(op, For)).body.block.args[0]
        kernel.body.block.insert_op_before(arith.AddiOp(index, index), last)
        return True


def test_verify_each_sees_an_index_out_of_its_loop() -> None:
    module = program()
    TensorToLoop().run(module)
    with pytest.raises(PassError, match=r"escape.*arith.addi uses %\w+, an argument of loop.for, out of its scope"):
        Pipeline((Options(), Escape())).run(module, instruments=[VerifyEach()])
    module.verify()  # which does not see it


def test_scopes() -> None:
    """A value is used after it is made, and not before."""
    one = arith.ConstantOp(FloatAttr(1.0, f32))
    two = arith.AddfOp(one, one)
    main = FuncOp("main", ([], []))
    module = ModuleOp([main])
    main.body.block.add_ops([two, one, ReturnOp()])
    with pytest.raises(VerifyException, match=r"arith.addf uses a result of arith.constant, out of its scope"):
        verify(module)
    one.detach()
    main.body.block.insert_op_before(one, two)
    verify(module)


def test_verify_each_names_the_guilty_pass() -> None:
    with pytest.raises(PassError, match=r"pass break \(2 of 3\) broke the module"):
        Pipeline((Options(), Break(), Options())).run(program(), instruments=[VerifyEach()])


def test_print_after_prints_what_was_asked_for(tmp_path: Path) -> None:
    stream = io.StringIO()
    Pipeline((Options(), Scale())).run(program(), instruments=[PrintAfter(changed=True, stream=stream)])
    assert "after pass scale (2 of 2)" in stream.getvalue() and "options" not in stream.getvalue()
    Pipeline((Options(), Scale())).run(program(), instruments=[PrintTree(tmp_path)])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["00-input.mlir", "02-scale.mlir"]
    for path in tmp_path.iterdir():
        Parser(context(), path.read_text()).parse_module().verify()


def test_time_passes_lists_every_pass() -> None:
    timer = TimePasses()
    Pipeline((Options(), Scale())).run(program(), instruments=[timer])
    assert [name for name, *_ in timer.seconds] == ["options", "scale"] and "total" in timer.report()


def test_check_each_names_the_guilty_pass_and_writes_a_reproducer(tmp_path: Path) -> None:
    with pytest.raises(PassError, match=r"pass scale.* changed the value of output 'output_0'"):
        Pipeline((Options(), Scale(), Options())).run(program(), instruments=[CheckEach(seed=3, folder=tmp_path)])
    text = (tmp_path / "check-each-scale.mlir").read_text()
    assert seed_of(text) == 3
    module = Parser(context(), text).parse_module()
    assert module.is_structurally_equivalent(program())
    with pytest.raises(PassError, match="changed the value"):
        Pipeline((Scale(),)).run(module, instruments=[CheckEach(seed=3, folder=tmp_path)])


def test_check_each_sees_a_change_that_was_not_reported(tmp_path: Path) -> None:
    with pytest.raises(PassError, match="says that it changed nothing"):
        Pipeline((Scale(honest=False),)).run(program(), instruments=[CheckEach(folder=tmp_path)])


def test_check_each_lets_rounding_pass(tmp_path: Path) -> None:
    by = 1 + 2.0**-24
    Pipeline((Scale(by=by),)).run(program(), instruments=[CheckEach(folder=tmp_path)])


def test_array_difference() -> None:
    a = np.array([1.0, np.nan, np.inf], np.float32)
    assert array_difference(a, a.copy(), 1) is None
    assert array_difference(a, np.array([1.0, 0.0, np.inf], np.float32), 1e9)
    assert array_difference(a, np.array([1.0, np.nan, -np.inf], np.float32), 1e9)
    assert array_difference(np.array([1, 2]), np.array([1, 3]), 1e9) == "1 of 2 elements, 2 became 3 at [1]"
