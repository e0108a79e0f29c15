"""One kernel in the words of every dialect: `golden/<dialect>.txt`; `pytest --bless` rewrites them."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest
from xdsl.parser import Parser

import ircc
from ircc.codegen.simt.printer import print_kernel, source_of
from ircc.codegen.simt.words import DIALECTS
from ircc.dialects import context
from ircc.dialects.loop import Kernel
from ircc.dialects.loop.evaluate import evaluate_kernel
from ircc.errors import BackendError
from ircc.testing.group_kernels import WIDE_KINDS, group_kernels, team_kernels, team_rows, wide_buffers, wide_kernel

HERE = Path(__file__).parent / "golden"

# A grid, a reduction in a register, a guarded load, halves in memory, bits of a float, a size that is not known.
KERNEL = """
loop.kernel @sum(%x "x" : !loop.buffer<[N, 8], f16>, %n "n" : !loop.buffer<[N], i32>,
    %y "y" : !loop.buffer<[N, 2], f32>) outputs 1 sizes ["N"] {
  loop.for "i" %i = 0 to N parallel concurrent {
    loop.for "j" %j = 0 to 2 parallel {
      %total = loop.alloc "total" : !loop.buffer<[1], f32, "register">
      %zero = arith.constant 0.0 : f32
      loop.store %zero, %total[0]
      loop.for "k" %k = 0 to 4 reduction {
        %none = arith.constant -inf : f16
        %a = loop.load %x[%i, %k + %j - 1] else %none
        %b = arith.extf %a : f16 to f32
        %old = loop.load %total[0]
        %new = arith.maximumf %old, %b : f32
        loop.store %new, %total[0]
      }
      %t = loop.load %total[0]
      %bits = arith.bitcast %t : f32 to i32
      %d = loop.load %n[%i]
      %q = arith.divsi %bits, %d : i32
      %f = arith.sitofp %q : i32 to f32
      loop.store %f, %y[%i, %j]
    }
  }
}
"""

# A group turns a block of a matrix around in memory that it shares, in loops that its lanes share.
TURN = """
loop.kernel @turn(%x "x" : !loop.buffer<[64, 48], f32>, %y "y" : !loop.buffer<[48, 64], f32>) outputs 1 {
  loop.for "i" %i = 0 to 64 step 16 parallel concurrent {
    loop.for "j" %j = 0 to 48 step 16 parallel {
      %block = loop.alloc "block" : !loop.buffer<[16, 16], f32, "stack">
      loop.for "a" %a = 0 to 16 parallel lanes {
        loop.for "b" %b = 0 to 16 parallel lanes {
          %v = loop.load %x[%i + %a, %j + %b]
          loop.store %v, %block[%a, %b]
        }
      }
      loop.for "b" %b = 0 to 16 parallel lanes {
        loop.for "a" %a = 0 to 16 step 2 parallel lanes {
          loop.for "c" %c = 0 to 2 parallel unrolled {
            %v = loop.load %block[%a + %c, %b]
            loop.store %v, %y[%j + %b, %i + %a + %c]
          }
        }
      }
    }
  }
}
"""


def kernels() -> list[Kernel]:
    module = Parser(context(), KERNEL.replace("-inf", "0xFC00") + TURN).parse_module()
    return [op for op in module.body.ops if isinstance(op, Kernel)]


def shown(dialect: str) -> list[Kernel]:
    """These, vectors of neighbours, and what teams do in the dialects that have words for it."""
    return [*kernels(), wide_kernel("f32")] + (team_kernels(48)[1:5:2] if DIALECTS[dialect].team else [])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_golden(dialect: str, bless: bool) -> None:
    words = DIALECTS[dialect]
    found = source_of([print_kernel(kernel, words).code for kernel in shown(dialect)], words)
    path = HERE / f"{dialect}.txt"
    if bless:
        path.parent.mkdir(exist_ok=True)
        path.write_text(found)
    assert found == path.read_text(), "run pytest --bless if the new text is right"


def test_lanes(shim: Any) -> None:
    """A group of one lane does all by itself."""
    turn = kernels()[1]
    made = shim([turn])
    assert [(part.items.constant, part.groups) for part in made.printed["turn"].parts] == [(12, True)]
    x, y = np.arange(64 * 48, dtype=np.float32), np.zeros(64 * 48, np.float32)
    made.run(turn, [x, y], {})
    assert np.array_equal(y.reshape(48, 64), x.reshape(64, 48).T)


@pytest.mark.parametrize("width, team", [(1, 1), (6, 2), (32, 32), (64, 64)])
def test_teams(shim: Any, width: int, team: int) -> None:
    """Lanes hand each other values; whatever the width of a team is."""
    every = team_kernels(24)
    made, rng = shim(every), np.random.default_rng(team)
    for kernel in every:
        x, y = team_rows(kernel, rng)
        right = [x.copy(), y.copy()]
        evaluate_kernel(kernel, right, {"M": len(x)})
        made.run(kernel, [x, y], {"M": len(x)}, width, team)
        assert np.array_equal(y, right[1], equal_nan=True), kernel.sym_name.data


@pytest.mark.parametrize("shift", [0, 1])
def test_neighbours(shim: Any, shift: int) -> None:
    """One access where they lie at a multiple of its size, one for each where they do not."""
    every = {element: wide_kernel(element) for element in WIDE_KINDS}
    made = shim(list(every.values()))
    for element, kernel in every.items():
        x, b, y = wide_buffers(kernel, shift)
        lanes = f"{element}x{WIDE_KINDS[element][0]}"
        code = made.printed[kernel.sym_name.data].code
        assert code.count(f"ircc_load_{lanes}(") == (3 if element != "i8" else 0)
        made.run(kernel, [x, b, y], {"M": len(x)}, 2)
        assert np.array_equal(y, x + b), element


def test_reductions_by_teams(shim: Any) -> None:
    """As the schedule makes them for each dialect, with its teams' width; where there are none, half with half."""
    text = '<ir_version: 9, opset_import: ["": 20]> m (float[N, 300] x) => (float[N] y) '
    model = onnx.parser.parse_model(text + "<int64[1] k = {1}> {y = ReduceSum<keepdims = 0>(x, k)}")
    for dialect, words in DIALECTS.items():
        made = ircc.lower(model, to="loop-ir", target=f"simt:{dialect}")
        kernel = next(op for op in made.body.ops if isinstance(op, Kernel))  # type: ignore[union-attr]
        code = print_kernel(kernel, words).code
        assert ("ircc_team_add_f32(part" in code) == bool(words.team) == (dialect != "opencl")
        assert ("part_half" in code) != bool(words.team)
        assert not words.team or f"1, {words.teams}, part_sum" in code.replace("(i64)", "")
        if dialect == "cuda-c":
            x, y = np.arange(900, dtype=np.float32) % 17, np.zeros(3, np.float32)
            shim([kernel]).run(kernel, [x, y], {"N": 3}, 8, 4)
            assert np.array_equal(y, x.reshape(3, 300).sum(axis=1))


def test_what_no_lane_owns_the_first_one_stores() -> None:
    """The others wait before it does, where they may still have to read what is there, and behind it."""
    (sums,) = [k for k in group_kernels() if k.sym_name.data == "sums"]
    code = print_kernel(sums, DIALECTS["cuda-c"]).code
    first = [line.strip() for line in code.splitlines() if "(threadIdx.x) == 0" in line]
    assert [line.split("{")[1].split("[")[0].strip() for line in first] == ["sum", "sum", "z"]
    assert "i32 most[1];" in code and "__shared__ i32 sum[1];" in code
    in_turn = re.sub(r"\s+", " ", code)
    assert "__syncthreads(); if ((threadIdx.x) == 0) { sum[0] = v6; } __syncthreads();" in in_turn
    assert re.search(r"k\) \{ __syncthreads\(\); for \(i64 lane", in_turn.replace("++k", "k"))


def test_too_much_memory_is_refused() -> None:
    text = TURN.replace("[16, 16]", "[128, 128]")
    kernel = next(op for op in Parser(context(), text).parse_module().body.ops if isinstance(op, Kernel))
    with pytest.raises(BackendError, match="more than 32768"):
        print_kernel(kernel, DIALECTS["opencl"])


def test_source_of_a_model() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["": 20]> m (float[N] exp) => (float[N] y) {y = Relu(exp)}'
    )
    for dialect, words in DIALECTS.items():
        text = str(ircc.emit(model, "source", target=f"simt:{dialect}"))
        assert f"{words.kernel} Relu_0(" in text
    with pytest.raises(BackendError, match="does not make artifact"):
        ircc.compile(model, target="simt:hip")
    with pytest.raises(BackendError, match="unknown target 'simt:gpu'"):
        ircc.compile(model, target="simt:gpu")
