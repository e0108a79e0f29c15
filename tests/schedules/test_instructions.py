"""Instructions of a machine: their text, what is wrong with them, their meaning, and how schedules find them."""

from typing import Any

import numpy as np
import pytest
from xdsl.parser import Parser
from xdsl.utils.exceptions import VerifyException

from ircc.dialects import context
from ircc.dialects.loop import Alloc, Instruction, Invoke, Kernel, Wait
from ircc.dialects.loop.evaluate import evaluate_kernel
from ircc.errors import IRError, ScheduleError
from ircc.ir.verify import verify
from ircc.passes.expand_instructions import ExpandInstructions
from ircc.schedules.script import Schedule

MACHINE = """
loop.instruction @mma(%a "a" : !loop.buffer<[M, K], f32, "tile">, %b "b" : !loop.buffer<[K, N], f32, "tile">,
    %c "c" : !loop.buffer<[M, N], f32, "acc">) outputs 1 sizes ["M", "N", "K"] most [4, 4, 4] text "mma {a}" {
  loop.for "k" %k = 0 to K reduction {
    loop.for "i" %i = 0 to M parallel {
      loop.for "j" %j = 0 to N parallel {
        %x = loop.load %a[%i, %k]
        %y = loop.load %b[%k, %j]
        %p = arith.mulf %x, %y : f32
        %o = loop.load %c[%i, %j]
        %s = arith.addf %o, %p : f32
        loop.store %s, %c[%i, %j]
      }
    }
  }
}
loop.instruction @fetch(%x "x" : !loop.buffer<[A, B, C], f32>, %t "t" : !loop.buffer<[A, B, C], f32, "tile">)
    outputs 1 sizes ["A", "B", "C"] most [16, 16, 16] text "fetch" queue "in" {
  loop.for "a" %a = 0 to A parallel {
    loop.for "b" %b = 0 to B parallel {
      loop.for "c" %c = 0 to C parallel {
        %z = arith.constant 0.0 : f32
        %v = loop.load %x[%a, %b, %c] else %z
        loop.store %v, %t[%a, %b, %c]
      }
    }
  }
}
"""
CONV = """
loop.kernel @conv(%x "x" : !loop.buffer<[{ic}, {h}, {w}], f32>, %f "f" : !loop.buffer<[{oc}, {ic}, {k}, {k}], f32>,
    %y "y" : !loop.buffer<[{oc}, {oh}, {ow}], f32>) outputs 1 {{
  loop.for "o" %o = 0 to {oc} parallel {{
    loop.for "r" %r = 0 to {oh} parallel {{
      loop.for "s" %s = 0 to {ow} parallel {{
        %zero = arith.constant 0.0 : f32
        loop.store %zero, %y[%o, %r, %s]
      }}
    }}
  }}
  loop.for "o" %o = 0 to {oc} parallel {{
    loop.for "r" %r = 0 to {oh} parallel {{
      loop.for "s" %s = 0 to {ow} parallel {{
        loop.for "c" %c = 0 to {ic} reduction {{
          loop.for "u" %u = 0 to {k} reduction {{
            loop.for "v" %v = 0 to {k} reduction {{
              %z = arith.constant 0.0 : f32
              %a = loop.load %x[%c, {stride} * %r + %u - {pad}, {stride} * %s + %v - {pad}] else %z
              %b = loop.load %f[%o, %c, %u, %v]
              %p = arith.mulf %a, %b : f32
              %q = loop.load %y[%o, %r, %s]
              %t = arith.addf %q, %p : f32
              loop.store %t, %y[%o, %r, %s]
            }}
          }}
        }}
      }}
    }}
  }}
}}
"""
TILED = """
fuse o
fuse r
fuse s
sink o past r
split o {rows}|rest -> o ot
split s {columns}|rest -> s st
sink ot past s
split c {depth}|rest -> c ct
commute ct past u v
sink st past c u v ct
sink ot past c u v ct
stage f at v in tile as w
stage x at v in tile as p
stage y at s in acc as t
replace w.ct by fetch
replace p.ct by fetch
replace ct by mma
double v w p
"""


def read(text: str) -> tuple[Any, Kernel]:
    module = Parser(context(), f"builtin.module {{ {MACHINE} {text} }}").parse_module()
    verify(module)
    return module, next(op for op in module.body.ops if isinstance(op, Kernel))


def conv(**sizes: int) -> tuple[Any, Kernel]:
    s = {"ic": 3, "oc": 5, "h": 4, "w": 6, "k": 2, "stride": 1, "pad": 1} | sizes
    out = {f"o{d}": (s[d] + 2 * s["pad"] - s["k"]) // s["stride"] + 1 for d in "hw"}
    return read(CONV.format(**s, **out))


def run(kernel: Kernel, late: bool = False) -> np.ndarray[Any, Any]:
    rng, arrays = np.random.default_rng(0), list[Any]()
    for arg in kernel.args:
        arrays.append(rng.integers(-3, 4, arg.type.static_shape).astype(np.float32))  # pyright: ignore
    evaluate_kernel(kernel, arrays, {}, late=late)
    return arrays[-1]


@pytest.mark.parametrize(
    "stride, pad, tile", [(1, 1, (4, 4, 4)), (2, 1, (3, 2, 2)), (2, 0, (1, 4, 2)), (3, 2, (4, 2, 1))]
)
def test_a_convolution_becomes_matrix_products_of_windows(stride: int, pad: int, tile: tuple[int, ...]) -> None:
    module, kernel = conv(stride=stride, pad=pad)
    expected = run(kernel)
    rows, columns, depth = tile

    Schedule.parse(TILED.format(rows=rows, columns=columns, depth=depth)).apply(kernel, lambda _: verify(module))
    for late in (False, True):
        np.testing.assert_array_equal(run(kernel, late), expected)
    used = {op.instruction for op in kernel.walk() if isinstance(op, Invoke)}
    assert used == {"mma", "fetch"} and any(isinstance(op, Wait) for op in kernel.walk())
    text = str(module)
    again = Parser(context(), text).parse_module()
    assert str(again) == text and module.is_structurally_equivalent(again)
    assert ExpandInstructions().run(module) and not ExpandInstructions().run(module)
    verify(module)
    np.testing.assert_array_equal(run(kernel), expected)


def test_a_wait_that_is_missing_shows() -> None:
    _, kernel = conv()
    Schedule.parse(TILED.format(rows=4, columns=4, depth=4)).apply(kernel)
    for op in [op for op in kernel.walk() if isinstance(op, Wait)]:
        op.detach()
        op.erase()
    with pytest.raises(IRError, match="ends before what it started in in has happened"):
        run(kernel)
    with pytest.raises(IRError):
        run(kernel, late=True)


def test_a_wait_too_few_gives_what_nobody_wrote() -> None:
    _, kernel = conv()
    Schedule.parse(TILED.format(rows=4, columns=4, depth=4)).apply(kernel)
    assert not np.isnan(run(kernel, late=True)).any()
    for op in [op for op in kernel.walk() if isinstance(op, Wait)]:
        op.set_indices([op.pending + 1], list(op.indices))
    for op in [op for op in kernel.walk() if isinstance(op, Alloc) and op.label.data == "t"]:
        assert op.parent is not None
        op.parent.add_op(Wait("in"))
    assert not np.isnan(run(kernel)).any() and np.isnan(run(kernel, late=True)).any()


COPY = """
loop.kernel @copy(%x "x" : !loop.buffer<[{n}, 20], {type}>, %y "y" : !loop.buffer<[{n}, 20], {type}>) outputs 1
    sizes {sizes} {{
  loop.for "i" %i = 0 to {n} parallel {{
    loop.for "j" %j = 0 to 20 parallel {{
      %v = loop.load %x[%i, %j]
      %w = {op} %v, %v : {type}
      loop.store %w, %y[%i, %j]
    }}
  }}
}}
"""


@pytest.mark.parametrize(
    "lines, why",
    [
        ("replace i by fetch", "y is .*f32>, where the instruction takes"),
        ("replace j by nothing", "there is no instruction nothing; the module declares mma, fetch"),
        ("stage x at i in tile as t\nreplace t.j by fetch", "C is 20, which may be more than 16"),
        ("stage x at i in stack as t\nreplace t.j by fetch", 't is .*"stack".*, where the instruction takes .*"tile"'),
        (
            "block j 4 -> j jj\nstage x at j in tile as t\nreplace jj by fetch",
            "y is .*f32>, where the instruction takes",
        ),
        (
            "split j 4 -> j jj\nstage x at j in tile as t\nreplace t.jj by fetch\nstage t at j in tile as u",
            "instructions",
        ),
        ("split j 4 -> j jj\nstage x at j in tile as t\ndouble j t", "has no instruction that fills its buffers"),
        ("split j 4 -> j jj\nstage x at j in tile as t\ndouble i t", "not private to an iteration of i"),
        ("split j 4 -> j jj\nstage x at j in tile as t\nreplace t.jj by fetch\ndouble j t\ndouble j t", "double"),
        ("stage x at i in tape as t", r"there is no space tape \(register, stack, tile, acc\)"),
    ],
)
def test_what_is_refused(lines: str, why: str) -> None:
    _, kernel = read(COPY.format(n=8, type="f32", op="arith.mulf", sizes="[]"))
    with pytest.raises(ScheduleError, match=why):
        Schedule.parse(lines).apply(kernel)


def test_windows_of_unknown_length_are_at_most_so_long() -> None:
    """A size may be an expression, if it is never too large."""
    text = COPY.format(n="N", type="f32", op="arith.mulf", sizes='["N"]').replace("20", "8")
    module, kernel = read(text)
    kernel.loops("i")[0].detach()
    lines = """
    loop.for "o" %o = 0 to N step 4 parallel {
      %t = loop.alloc "t" : !loop.buffer<[4, 8], f32, "tile">
      loop.for "a" %a = 0 to min(4, N - %o) parallel {
        loop.for "b" %b = 0 to 8 parallel {
          %v = loop.load %x[%o + %a, %b]
          loop.store %v, %t[%a, %b]
        }
      }
      loop.for "c" %a = 0 to min(4, N - %o) parallel {
        loop.for "b" %b = 0 to 8 parallel {
          %v = loop.load %t[%a, %b]
          loop.store %v, %y[%o + %a, %b]
        }
      }
    }"""
    module, kernel = read(text[: text.index('loop.for "i"')] + lines + "}")
    Schedule.parse("replace a by fetch").apply(kernel)
    verify(module)
    (op,) = [op for op in kernel.walk() if isinstance(op, Invoke)]
    assert [str(e) for e in op.sizes] == ["1", "min(4, N - d0)", "8"]
    x = np.arange(48, dtype=np.float32).reshape(6, 8)
    y = np.zeros_like(x)
    evaluate_kernel(kernel, [x, y], {"N": 6})
    np.testing.assert_array_equal(x, y)


WINDOW = '!loop.buffer<[M], f32, "tile">'
BODY = 'loop.for "i" %i = 0 to M parallel { %v = loop.load %x[%i] loop.store %v, %y[%i] }'


@pytest.mark.parametrize(
    "text, why",
    [
        (f'sizes ["N"] most [4] text "" {{ {BODY} }}', r"C2 sizes \['M'\] are not listed"),
        (f'sizes ["M"] most [4, 4] text "" {{ {BODY} }}', "C2"),
        (
            'sizes ["M"] most [4] text "" { ' + BODY.replace("%x[%i]", "%x[2 * %i]") + " }",
            "C3 an index is the variable",
        ),
        ('sizes ["M"] most [4] text "" { ' + BODY + ' %t = loop.alloc "t" : ' + WINDOW.replace("M", "4") + " }", "C4"),
    ],
)
def test_declarations_that_are_wrong(text: str, why: str) -> None:
    head = f'loop.instruction @copy(%x "x" : {WINDOW}, %y "y" : {WINDOW}) outputs 1 '
    module = Parser(context(), f"builtin.module {{ {head} {text} }}").parse_module()
    with pytest.raises(VerifyException, match=why):
        verify(module)


@pytest.mark.parametrize(
    "text, why",
    [
        ("@fetsch(%x[0, 0, 0], %t[0, 0, 0]) sizes [1, 1, 1]", "C1 there is no instruction 'fetsch'"),
        ("@fetch(%x[0, 0, 0]) sizes [1, 1, 1]", "C2 fetch takes 2 windows"),
        ("@fetch(%x[0, 0, 0], %t[0, 0, 0]) sizes [1, 1]", "C2"),
        ("@fetch(%x[0, 0, 0] steps [[1, 0, 0]], %t[0, 0, 0]) sizes [1, 1, 1]", "C2 steps"),
        ("@fetch(%t[0, 0, 0], %x[0, 0, 0]) sizes [1, 1, 1]", "C3 the window lies in"),
        ("@fetch(%x[0, 0, 0], %t[0, 0, 0]) sizes [1, 17, 1]", "C4 B is 17, more than 16"),
        ("@mma(%m[0, 0], %m[0, 0], %a[0, 0]) sizes [1, 1, 1] start", "C5 what is started has a queue"),
    ],
)
def test_invocations_that_are_wrong(text: str, why: str) -> None:
    kernel = f"""loop.kernel @k(%x "x" : !loop.buffer<[4, 4, 4], f32>) outputs 1 {{
      %t = loop.alloc "t" : !loop.buffer<[4, 4, 4], f32, "tile">
      %m = loop.alloc "m" : !loop.buffer<[4, 4], f32, "tile">
      %a = loop.alloc "a" : !loop.buffer<[4, 4], f32, "acc">
      loop.invoke {text}
    }}"""
    module = Parser(context(), f"builtin.module {{ {MACHINE} {kernel} }}").parse_module()
    with pytest.raises(VerifyException, match=why):
        verify(module)


def test_declarations_say_what_they_are() -> None:
    module, _ = conv()
    mma, fetch = (op for op in module.body.ops if isinstance(op, Instruction))
    assert mma.limits == {"M": 4, "N": 4, "K": 4} and mma.queue is None
    assert fetch.queue is not None and fetch.queue.data == "in" and mma.text.data == "mma {a}"
