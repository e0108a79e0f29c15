"""tensor.update: its constraints, its meaning, and that indices from data do no harm on any way down."""

from typing import Any

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser
from xdsl.utils.exceptions import VerifyException

import ircc
from ircc.dialects import context
from ircc.dialects.loop.evaluate import evaluate_program
from ircc.ir.evaluator import evaluate
from ircc.ir.pipeline import Pipeline

Array = np.ndarray[Any, Any]

MAIN = """
func.func @main({args}) -> (!graph.tensor<{shape}, f32> {{ircc.name = "y"}}) {{
  %y = tensor.update %x as %now {dims} : !graph.tensor<{shape}, f32> {{
    %one = arith.constant 1.0 : f32
    {body}
  }}
  func.return %y : !graph.tensor<{shape}, f32>
}}
"""


def module(dims: str, body: str, shape: str = "[M, N]", more: str = "") -> ModuleOp:
    args = f'%x : !graph.tensor<{shape}, f32> {{ircc.name = "x"}}{more}'
    return Parser(context(), MAIN.format(args=args, shape=shape, dims=dims, body=body)).parse_module()


def both(program: ModuleOp, **inputs: Array) -> Array:
    """The result by the reference meaning; of the loop level and of compiled code it is the same, bit for bit."""
    program.verify()
    text = str(program)
    assert str(Parser(context(), text).parse_module()) == text
    expected = evaluate(program, inputs)["y"]
    lowered = program.clone()
    Pipeline.parse("tensor-to-loop").run(lowered)
    np.testing.assert_array_equal(evaluate_program(lowered, inputs)["y"], expected)
    for threads in (1, 3):
        np.testing.assert_array_equal(ircc.compile(program, threads=threads).run(inputs)["y"], expected)
    return expected


# ---- constraints


@pytest.mark.parametrize(
    ("dims", "body", "message"),
    [
        ("in order [%k : N]", "tensor.put %one at [%k]", "C2 1 values, 1 indices"),
        ("in order [%k : N]", "tensor.put %k at [%k, %k]", "C3 the values have the tensor's element type"),
        ("[%i : M] in order [%k : N]", "tensor.put %one at [%i + 1, %k]", "C3 .*parallel dim 0 alone"),
        ("[%i : M] in order [%k : N]", "tensor.put %one at [%i, %k], %one at [%k, %i]", "C3 .*parallel dim 0"),
        (
            "[%i : M] in order [%k : N]",
            "%0 = tensor.read %now[%k, %i] else %one\n tensor.put %0 at [%i, %k]",
            "C3 .*parallel dim 0",
        ),
        ("[%i : M] in order [%k : 3]", "tensor.put %one at [2 * %i + %k, 0]", "C3 .*parallel dim 0"),
        (
            "[%i : M] in order [%k : 1]",
            "tensor.put %one at [2 * %i, 0], %one at [2 * %i + 2, 0]",
            "C3 .*parallel dim 0",
        ),
        ("[%i : M] in order [%k : 1]", "tensor.put %one at [%i, 0], %one at [2 * %i, 0]", "C3 .*parallel dim 0"),
        ("[%i : M, %j : N] in order [%k : 1]", "tensor.put %one at [2 * %i + %j, 0]", "C3 .*parallel dim 0"),
        ("in order [%k : N]", "tensor.yield %one : f32", "C1 "),
    ],
)
def test_constraint(dims: str, body: str, message: str) -> None:
    with pytest.raises(VerifyException, match=message):
        module(dims, body).verify()


def test_a_parallel_dim_of_one_trip_needs_no_dimension() -> None:
    module("[%i : 1] in order [%k : N]", "tensor.put %one at [0, %k]").verify()


def test_an_empty_tensor_is_there_to_start_from() -> None:
    text = """
func.func @main() -> (!graph.tensor<[2], f32>) {
  %x = tensor.empty : !graph.tensor<[2], f32>
  func.return %x : !graph.tensor<[2], f32>
}
"""
    with pytest.raises(VerifyException, match="C1 only updates use an empty tensor"):
        Parser(context(), text).parse_module().verify()


# ---- meaning

DIGITS = "tensor.put %one at [6 * %i + 2 * %j, %k], %two at [6 * %i + 2 * %j + 1, %k]"


def test_an_index_may_be_a_number_of_parallel_digits() -> None:
    body = f"%two = arith.constant 2.0 : f32\n {DIGITS}"
    program = module("[%i : 2, %j : 3] in order [%k : N]", body, "[12, N]")
    np.testing.assert_array_equal(both(program, x=np.zeros((12, 4), np.float32))[:, 0], [1, 2] * 6)


def test_what_starts_from_nothing_is_all_put() -> None:
    text = """
func.func @main(%x : !graph.tensor<[N], f32> {ircc.name = "x"}) -> (!graph.tensor<[2, N], f32> {ircc.name = "y"}) {
  %e = tensor.empty : !graph.tensor<[2, N], f32>
  %y = tensor.update %e as %now [%i : N] in order [%k : 1] : !graph.tensor<[2, N], f32> {
    %a = tensor.read %x[%i]
    %b = arith.addf %a, %a : f32
    tensor.put %a at [0, %i], %b at [1, %i]
  }
  func.return %y : !graph.tensor<[2, N], f32>
}
"""
    x = np.arange(37, dtype=np.float32)
    np.testing.assert_array_equal(both(Parser(context(), text).parse_module(), x=x), [x, 2 * x])


SUM = """%a = tensor.read %now[%i, %k]
    %b = tensor.read %now[%i, %k + 1]
    %s = arith.addf %a, %b : f32
    tensor.put %s at [%i, %k + 1]"""


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (5, 0), (0, 4), (2, 100), (70, 33)])
def test_steps_see_what_was_written_before(shape: tuple[int, int]) -> None:
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) % 7
    found = both(module("[%i : M] in order [%k : N - 1]", SUM), x=x)
    np.testing.assert_array_equal(found, np.cumsum(x, axis=1, dtype=np.float32))


def test_all_is_read_before_anything_is_written() -> None:
    swap = "%a = tensor.read %now[%k, 0]\n %b = tensor.read %now[%k, 1]\n tensor.put %a at [%k, 1], %b at [%k, 0]"
    x = np.arange(10, dtype=np.float32).reshape(5, 2)
    np.testing.assert_array_equal(both(module("in order [%k : M]", swap, "[M, 2]"), x=x), x[:, ::-1])


def test_of_two_values_for_one_place_the_last_one_stays() -> None:
    body = "%two = arith.constant 2.0 : f32\n tensor.put %one at [%k, 0], %two at [%k, 0]"
    x = np.zeros((3, 1), np.float32)
    np.testing.assert_array_equal(both(module("in order [%k : M]", body), x=x), x + 2)


def test_the_operand_stays_as_it_is() -> None:
    text = """
      func.func @main(%x : !graph.tensor<[N], f32> {ircc.name = "x"}) -> (!graph.tensor<[N], f32> {ircc.name = "y"}) {
        %a = tensor.compute [%i : N] : !graph.tensor<[N], f32> {
          %0 = tensor.read %x[%i]
          %1 = arith.mulf %0, %0 : f32
          %2 = math.exp %1 : f32
          %3 = arith.mulf %1, %2 : f32
          tensor.yield %3 : f32
        }
        %b = tensor.update %a as %now in order [%k : N] : !graph.tensor<[N], f32> {
          %one = arith.constant 1.0 : f32
          tensor.put %one at [%k]
        }
        %y = tensor.compute [%i : N] : !graph.tensor<[N], f32> {
          %0 = tensor.read %a[%i]
          %1 = tensor.read %b[%i]
          %2 = arith.subf %0, %1 : f32
          tensor.yield %2 : f32
        }
        func.return %y : !graph.tensor<[N], f32>
      }"""
    x = np.linspace(0, 1, 37).astype(np.float32)
    found = ircc.compile(Parser(context(), text).parse_module()).run({"x": x})["y"]
    np.testing.assert_allclose(found, x * x * np.exp(x * x) - 1, rtol=1e-5, atol=1e-6)


# ---- places that come from data

HOSTILE = [-(1 << 63), -(1 << 62), -5, -1, 0, 3, 4, 5, 1 << 31, 1 << 61, (1 << 63) - 1]
AT = ', %at : !graph.tensor<[K], i64> {ircc.name = "at"}'
PLACE = "%p = tensor.read %at[%k]\n %q = arith.index_cast %p : i64 to index\n"


@pytest.mark.parametrize("columns", [1, 3, 64, 1000])
def test_what_is_outside_is_skipped(columns: int) -> None:
    """Rows are numbers, lanes or cut into blocks; what is around the input in memory stays as it was."""
    program = module("[%j : N] in order [%k : K]", f"{PLACE} tensor.put %one at [%q, %j]", more=AT)
    x = np.zeros((5, columns), np.float32)
    expected = x.copy()
    expected[[0, 3, 4]] = 1
    at = np.array(HOSTILE * 3)
    np.testing.assert_array_equal(both(program, x=x, at=at), expected)
    around = np.zeros((9, columns), np.float32)
    engine = ircc.compile(program)
    engine.run({"x": around[2:7], "at": at})
    assert not around.any()


def test_a_place_in_two_dimensions_is_inside_in_both() -> None:
    body = f"{PLACE} tensor.put %one at [%q, 5 - %q]"
    x = np.zeros((4, 4), np.float32)
    found = both(module("in order [%k : K]", body, more=AT), x=x, at=np.array(HOSTILE))
    expected = x.copy()
    expected[3, 2] = 1
    np.testing.assert_array_equal(found, expected)
