"""What operations are looked up by."""

from collections.abc import Callable, Sequence

import pytest

import ircc
from ircc.dialects.tensor import Compute
from ircc.ir.nodes import NODES
from ircc.ir.structure import structure

TEXT = """
func.func @main(%x : !graph.tensor<[4], f32> {name = "x"}, %y : !graph.tensor<[4], f32> {name = "y"})
    -> (!graph.tensor<[4], f32> {name = "z"}, !graph.tensor<[4], f32> {name = "w"}) {
  %z = tensor.compute [%i0 : 4] {nodes = ["a"]} : !graph.tensor<[4], f32> {
    %a = tensor.read %x[%i0]
    %c = arith.constant 0.0 : f32
    %b = arith.addf %a, %c : f32
    tensor.yield %b : f32
  }
  %w = tensor.compute [%i0 : 4] : !graph.tensor<[4], f32> {
    %a = tensor.read %y[%i0]
    %c = arith.constant 0.0 : f32
    %b = arith.addf %a, %c : f32
    tensor.yield %b : f32
  }
  func.return %z, %w : !graph.tensor<[4], f32>, !graph.tensor<[4], f32>
}
"""


def pair(changed: Callable[[str], str] = str) -> tuple[Compute, Compute]:
    head, name, rest = TEXT.partition("  %w = ")
    module = ircc.lower((head + name + changed(rest)).encode(), "tensor-ir", passes="")
    first, second = [op for op in module.walk() if isinstance(op, Compute)]
    return first, second


def keys(first: Compute, second: Compute, ignored: Sequence[str] = (NODES,)):
    return [structure(op, [r.tensor for r in op.reads], ignored) for op in (first, second)]


def test_what_is_applied_to_other_tensors_is_equal():
    a, b = keys(*pair())
    assert a == b and hash(a) == hash(b)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.0", "-0.0"),
        ("addf %a, %c", "addf %c, %a"),
        ("arith.addf", "arith.mulf"),
        ("%y[%i0]", "%y[3 - %i0]"),
        ("%y[%i0]", "%x[%i0]\n    %d = tensor.read %y[%i0]"),
    ],
)
def test_what_computes_something_else_is_not(old: str, new: str):
    a, b = keys(*pair(lambda text: text.replace(old, new)))
    assert a != b


def test_attributes_count_unless_they_are_ignored():
    a, b = keys(*pair(), ignored=())
    assert a != b


def test_values_from_outside_stand_for_themselves():
    first, second = pair()
    assert structure(first, (), (NODES,)) != structure(second, (), (NODES,))
    assert structure(first) == structure(first)
