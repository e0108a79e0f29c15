"""Partial results that are combined so many at a time."""

import numpy as np
import pytest
from xdsl.parser import Parser

from ircc.dialects import context
from ircc.dialects.loop import Kernel
from ircc.dialects.loop.evaluate import evaluate_kernel
from ircc.schedules.script import Schedule

TEXT = """
loop.kernel @sum(%x "x" : !loop.buffer<[3, 19], {t}>, %y "y" : !loop.buffer<[3], {t}>) outputs 1 {{
  loop.for "i" %i = 0 to 3 parallel {{
    loop.for "k" %k = 0 to 19 reduction {{
      %a = loop.load %x[%i, %k]
      %b = loop.load %y[%i]
      %c = arith.{op} %b, %a : {t}
      loop.store %c, %y[%i]
    }}
  }}
}}
"""


@pytest.mark.parametrize(("op", "element"), [("addf", "f32"), ("maximumf", "f32"), ("minsi", "i32"), ("addi", "i64")])
@pytest.mark.parametrize(
    ("sizes", "team", "turns"),
    [("16|1", 4, [4, 1]), ("16|rest", 2, [8, 4, 2, 1]), ("8|1", 64, [1]), ("16|1", 8, [2, 1])],
)
def test_by_teams(sizes: str, team: int, turns: list[int], op: str, element: str) -> None:
    (kernel,) = Parser(context(), TEXT.format(op=op, t=element)).parse_module().body.ops
    assert isinstance(kernel, Kernel)
    dtype = {"f32": np.float32, "i32": np.int32, "i64": np.int64}[element]
    x = np.random.default_rng(team).integers(-9, 10, (3, 19)).astype(dtype)
    y, expected = np.array([1, -20, 20], dtype), np.array([1, -20, 20], dtype)
    evaluate_kernel(kernel, [x, expected], {})
    Schedule.parse(f"reassociate k {sizes} at k -> k kl as part by {team}").apply(kernel)
    kernel.verify()
    evaluate_kernel(kernel, [x, y], {})
    assert np.array_equal(y, expected)
    assert [loop.trip for loop in kernel.loops("part.team")] == turns and not kernel.loops("part.half")
    assert all(loop.kind.data == "reduction" for loop in kernel.loops("part.lane"))
