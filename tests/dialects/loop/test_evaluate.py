"""The reference meaning of the loop dialect: it notices what must not be."""

import numpy as np
import pytest
from xdsl.parser import Parser

from ircc.dialects import context
from ircc.dialects.loop import Kernel
from ircc.dialects.loop.evaluate import evaluate_kernel, evaluate_program
from ircc.errors import InputError, IRError
from ircc.ir.weights import Weight


def kernel(body: str, sizes: str = "8, 8") -> Kernel:
    x, y = sizes.split(", ")
    text = f"""builtin.module {{
      loop.kernel @k(%x "x" : !loop.buffer<[{x}], f32>, %y "y" : !loop.buffer<[{y}], f32>) outputs 1 {{ {body} }}
    }}"""
    module = Parser(context(), text).parse_module()
    module.verify()
    (op,) = module.body.ops
    assert isinstance(op, Kernel)
    return op


def run(op: Kernel, x: int = 8, y: int = 8) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    out = np.full(y, np.nan, np.float32)
    evaluate_kernel(op, [np.arange(x, dtype=np.float32), out], {})
    return out


def test_parallel_loops_run_backwards() -> None:
    """So that a loop that carries a value is seen, when it is called parallel."""
    text = """loop.for "i" %i = 1 to 8 {kind} {{
      %0 = loop.load %x[%i - 1]
      loop.store %0, %x[%i]
      loop.store %0, %y[%i]
    }}"""
    np.testing.assert_array_equal(run(kernel(text.format(kind="reduction")))[1:], np.zeros(7))
    np.testing.assert_array_equal(run(kernel(text.format(kind="parallel")))[1:], np.arange(7))


def test_private_buffers_hold_nothing_at_first() -> None:
    text = """%t = loop.alloc "t" : !loop.buffer<[8], f32, "stack">
    loop.for "i" %i = 0 to 8 parallel {
      %0 = loop.load %t[%i]
      loop.store %0, %y[%i]
    }"""
    assert np.isnan(run(kernel(text))).all()


@pytest.mark.parametrize("place", ["%i + 1", "%i - 1"])
def test_an_index_outside_is_an_error(place: str) -> None:
    text = f"""loop.for "i" %i = 0 to 8 parallel {{
      %0 = loop.load %x[{place}]
      loop.store %0, %y[%i]
    }}"""
    with pytest.raises(IndexError, match=r"loop.load at \((8|-1),\)"):
        run(kernel(text))


def test_lanes_outside_are_an_error_unless_they_are_not_active() -> None:
    text = """%0 = loop.load %x[2]{active} : vector<8xf32>
    loop.store %0, %y[0]"""
    with pytest.raises(IndexError, match="8 lanes"):
        run(kernel(text.format(active="")))
    np.testing.assert_array_equal(run(kernel(text.format(active=" active 6"))), [2, 3, 4, 5, 6, 7, 0, 0])


def test_lanes_step_through_any_dim_and_outside_gives_the_other_value() -> None:
    text = """%1 = arith.constant 9.0 : f32
    %2 = vector.broadcast %1 : f32 to vector<8xf32>
    %0 = loop.load %x[1] else %2 lanes [3] : vector<8xf32>
    loop.store %0, %y[7] lanes [-1]"""
    np.testing.assert_array_equal(run(kernel(text)), [9, 9, 9, 9, 9, 7, 4, 1])


def test_vectors_do_what_scalars_do() -> None:
    text = """%0 = loop.load %x[0] : vector<8xf32>
    %i = loop.index 1 lanes 2 : 8
    %j = loop.lanewise "arith.index_cast"(%i) : vector<8xindex> -> vector<8xi64>
    %f = loop.lanewise "arith.sitofp"(%j) : vector<8xi64> -> vector<8xf32>
    %c = loop.lanewise "arith.cmpf"(%0, %f) predicate 4 : vector<8xf32>, vector<8xf32> -> vector<8xi1>
    %s = loop.lanewise "arith.select"(%c, %0, %f) : vector<8xi1>, vector<8xf32>, vector<8xf32> -> vector<8xf32>
    %t = arith.addf %s, %f : vector<8xf32>
    loop.store %t, %y[0]"""
    ours = np.arange(8) + np.arange(1, 17, 2)
    np.testing.assert_array_equal(run(kernel(text)), ours)


def test_shapes_are_held_against_the_declared_ones() -> None:
    with pytest.raises(InputError, match=r"buffer 'x' has shape \(7,\), not \(8,\)"):
        run(kernel(""), x=7)


PROGRAM = """builtin.module {
  loop.kernel @double(%a "a" : !loop.buffer<[N], f32>, %b "b" : !loop.buffer<[N], f32>) outputs 1 sizes ["N"] {
    loop.for "i" %i = 0 to N parallel {
      %0 = loop.load %a[%i]
      %1 = arith.addf %0, %0 : f32
      loop.store %1, %b[%i]
    }
  }
  loop.program @main(%x "x" : !loop.buffer<[N], f32>, %y "y" : !loop.buffer<[N], f32>) outputs 1
      checks [#ir.check<N - 3, "three, please">] {
    %t = loop.alloc "t"{first} : !loop.buffer<[N], f32>
    %u = loop.alloc "u"{second} : !loop.buffer<[N], f32>
    loop.call @double(%x, %t) sizes [N]
    loop.call @double(%t, %u) sizes [N]
    loop.call @double(%t, %t) sizes [N]
    loop.call @double(%u, %y) sizes [N]
  }
}"""


def program(first: str = "", second: str = "", x: int = 3) -> list[float]:
    text = PROGRAM.replace("{first}", first).replace("{second}", second)
    module = Parser(context(), text).parse_module()
    module.verify()
    return evaluate_program(module, {"x": np.ones(x, np.float32)})["y"].tolist()


def test_programs_run_their_calls() -> None:
    assert program() == [8, 8, 8]
    assert program(" at 0", " at 64") == [8, 8, 8]


def test_buffers_in_one_place_share_memory() -> None:
    assert program(" at 0", " at 0") != [8, 8, 8]


def test_programs_refuse_what_does_not_fit() -> None:
    with pytest.raises(InputError, match="three, please"):
        program(x=4)
    module = Parser(context(), PROGRAM.replace("{first}", "").replace("{second}", "")).parse_module()
    with pytest.raises(InputError, match="missing inputs: x"):
        evaluate_program(module, {})
    with pytest.raises(InputError, match="has rank 2, expected 1"):
        evaluate_program(module, {"x": np.ones((3, 1), np.float32)})
    with pytest.raises(IRError, match=r"no loop\.program"):
        evaluate_program(Parser(context(), "builtin.module {}").parse_module(), {})


def test_constants_are_read_in_logical_order_whatever_their_layout() -> None:
    weight = Weight.of(np.arange(4, dtype=np.float32).reshape(2, 2))
    text = f"""builtin.module {{
      loop.kernel @copy(%a "a" : !loop.buffer<[2, 2], f32, d0 + d1 * 2>,
                        %b "b" : !loop.buffer<[2, 2], f32>) outputs 1 {{
        loop.for "i" %i = 0 to 2 parallel {{
          loop.for "j" %j = 0 to 2 parallel {{
            %0 = loop.load %a[%i, %j]
            loop.store %0, %b[%i, %j]
          }}
        }}
      }}
      loop.program @main(%y "y" : !loop.buffer<[2, 2], f32>) outputs 1 {{
        %w = loop.constant {weight} : !loop.buffer<[2, 2], f32, d0 + d1 * 2>
        loop.call @copy(%w, %y)
      }}
    }}"""
    module = Parser(context(), text).parse_module()
    module.verify()
    np.testing.assert_array_equal(evaluate_program(module, {})["y"], [[0, 1], [2, 3]])
