"""What each primitive does, and what it refuses, with its reason."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from xdsl.parser import Parser

from ircc.dialects import context
from ircc.dialects.loop import Alloc, For, Kernel, Load, Prefetch, Store
from ircc.dialects.loop.evaluate import buffer_type, evaluate_kernel
from ircc.errors import ScheduleError
from ircc.schedules.script import Schedule

Array = np.ndarray[Any, Any]
Keeps = Callable[..., Kernel]

MATMUL = """
loop.kernel @matmul(%a "a" : !loop.buffer<[{m}, {k}], f32>, %b "b" : !loop.buffer<[{k}, {n}], f32>,
                    %c "c" : !loop.buffer<[{m}, {n}], f32>) outputs 1 sizes ["M"] {{
  loop.for "i" %i = 0 to {m} parallel {{
    loop.for "j" %j = 0 to {n} parallel {{
      %zero = arith.constant 0.0 : f32
      loop.store %zero, %c[%i, %j]
    }}
  }}
  loop.for "i" %i = 0 to {m} parallel {{
    loop.for "j" %j = 0 to {n} parallel {{
      loop.for "k" %k = 0 to {k} reduction {{
        %x = loop.load %a[%i, %k]
        %y = loop.load %b[%k, %j]
        %p = arith.mulf %x, %y : f32
        %o = loop.load %c[%i, %j]
        %s = arith.addf %o, %p : f32
        loop.store %s, %c[%i, %j]
      }}
    }}
  }}
}}
"""


def read_kernel(text: str) -> Kernel:
    module = Parser(context(), f"builtin.module {{ {text} }}").parse_module()
    (kernel,) = module.body.ops
    assert isinstance(kernel, Kernel)
    kernel.verify()
    return kernel


def matmul(m: int | str = 5, n: int = 12, k: int = 7) -> Kernel:
    """c = a b: a start and an accumulation."""
    return read_kernel(MATMUL.format(m=m, n=n, k=k))


def planes(first: str = "%c, %i, %j", second: str = "%c, %i, %j", extent: int = 5) -> Kernel:
    """y = x s + x, s for each plane of x."""
    return read_kernel(f"""
loop.kernel @planes(%x "x" : !loop.buffer<[3, 3, 5], f32>, %s "s" : !loop.buffer<[3], f32>,
                    %y "y" : !loop.buffer<[3, 3, 5], f32>) outputs 1 {{
  loop.for "c" %c = 0 to 3 parallel {{
    loop.for "i" %i = 0 to 3 parallel {{
      loop.for "j" %j = 0 to {extent} parallel {{
        %a = loop.load %x[{first}]
        %b = loop.load %s[%c]
        %p = arith.mulf %a, %b : f32
        %d = loop.load %x[{second}]
        %q = arith.addf %p, %d : f32
        loop.store %q, %y[%c, %i, %j]
      }}
    }}
  }}
}}
""")


def run(kernel: Kernel, symbols: dict[str, int]) -> Array:
    """The kernel's last buffer after a run on whole numbers."""
    rng = np.random.default_rng(0)
    arrays: list[Array] = []
    for arg in kernel.args:
        type_ = buffer_type(arg)
        shape = [int(s.evaluate(symbols=symbols)) for s in type_.sizes]
        arrays.append(rng.integers(-3, 4, shape).astype(type_.dtype))
    evaluate_kernel(kernel, arrays, {n: symbols[n] for n in kernel.sizes})
    return arrays[-1]


@pytest.fixture
def keeps() -> Callable[..., Kernel]:
    """Applies a schedule line by line, and asserts after each that the kernel is valid and its result the same."""

    def check(kernel: Kernel, text: str, **symbols: int) -> Kernel:
        values = {"M": 5, **symbols}
        expected = run(kernel, values)

        def same(primitive: object) -> None:
            kernel.verify()
            np.testing.assert_array_equal(run(kernel, values), expected, str(primitive))

        Schedule.parse(text).apply(kernel, same)
        return kernel

    return check


GEMM = """
layout b (d0, d1) -> (d1 floordiv 4) * 28 + d0 * 4 + d1 mod 4
fuse i
fuse j
split j 4|rest -> j jt        # panels of b
sink i past j
split i {rows} -> i it
sink jt past k
sink it past k
split k 2|rest -> k ku
split jt 4|rest -> jt jl
vectorize jl 4
unroll it jt ku
stage c at i in register as acc
parallel j
"""


def headers(kernel: Kernel) -> list[str]:
    """The kernel's loops as `depth label lower upper step`."""
    found: list[str] = []
    for loop in kernel.loops():
        depth, parent = 0, loop.parent_op()
        while isinstance(parent, For):
            depth, parent = depth + 1, parent.parent_op()
        found.append(f"{'.' * depth}{loop.tag} {loop.lower}..{loop.upper} by {loop.stride}")
    return found


def test_a_matrix_product_from_naive_loops_to_a_tile_in_registers(keeps: Keeps) -> None:
    kernel = keeps(matmul(), GEMM.format(rows="2|rest"))
    assert any(isinstance(op, Alloc) and op.type.space.data == "register" for op in kernel.walk())
    assert all(op.lanes == 4 for op in kernel.walk() if isinstance(op, Store))


def test_the_same_schedule_for_any_number_of_rows(keeps: Keeps) -> None:
    for rows in (0, 1, 3, 4, 7, 11):
        keeps(matmul("M"), GEMM.format(rows="4|2|1"), M=rows)


# ---- one by one


def test_split_covers_what_is_left_with_the_next_size(keeps: Keeps) -> None:
    kernel = keeps(matmul(n=11), "fuse i\nfuse j\nsplit j 4|2|rest -> jo ji")
    assert [h for h in headers(kernel) if "j" in h] == [
        ".jo 0..8 by 4", "..ji 0..4 by 1", ".jo 8..10 by 2", "..ji 0..2 by 1", ".jo 10..11 by 1", "..ji 0..1 by 1",
    ]  # fmt: skip


def test_split_of_unknown_bounds_ends_in_one(keeps: Keeps) -> None:
    kernel = keeps(matmul("M"), "fuse i\nsplit i 4|1 -> io ii", M=6)
    assert headers(kernel)[:2] == ["io 0..4 * (M floordiv 4) by 4", ".ii 0..4 by 1"]


def test_block_cuts_the_last_one_short(keeps: Keeps) -> None:
    kernel = keeps(matmul("M"), "fuse i\nblock i 4 -> io ii", M=6)
    assert headers(kernel)[:2] == ["io 0..M by 4", ".ii 0..min(4, M - d0) by 1"]
    assert headers(keeps(matmul(8), "fuse i\nblock i 4 -> io ii"))[:2] == ["io 0..8 by 4", ".ii 0..4 by 1"]


COVERED = """
fuse i
fuse j
cover i 4 -> i it
cover j 8 -> j jt
sink it past j
split k 4|1 -> k kt
sink jt past k
sink it past k
stage a at k in stack as rows
stage b at k in stack as columns
stage c at j in stack as tile
split it 2 -> it ir
split jt 2 -> jt jr
sink ir past jt
sink jr past kt
sink ir past kt
unroll ir jr
stage tile at jt in register as part
"""


def test_cover_goes_beyond_the_end(keeps: Keeps) -> None:
    for rows in (0, 1, 4, 6):
        kernel = keeps(matmul("M"), COVERED, M=rows)
    assert headers(kernel)[:2] == ["i 0..M by 4", ".j 0..12 by 8"]
    stores = [op for op in kernel.walk() if isinstance(op, Store) and op.tolerant]
    assert len(stores) == 1 and stores[0].buf is kernel.args[2]


def test_sink_distributes(keeps: Keeps) -> None:
    kernel = keeps(matmul(), "fuse i\nfuse j\nsink j past k")
    assert headers(kernel) == ["i 0..5 by 1", ".j 0..12 by 1", ".k 0..7 by 1", "..j 0..12 by 1"]


def test_sink_of_a_reduction_past_parallel_loops(keeps: Keeps) -> None:
    kernel = keeps(matmul(), "fuse i\nfuse j\nsink j past k\nsink k past j")
    assert headers(kernel)[2:] == [".j 0..12 by 1", "..k 0..7 by 1"]


def test_peel_and_inline(keeps: Keeps) -> None:
    kernel = keeps(matmul(), "fuse i\nfuse j\npeel k as first\ninline first")
    assert headers(kernel) == ["i 0..5 by 1", ".j 0..12 by 1", "..k 1..7 by 1"]


def test_vectorize_gives_short_loops_short_vectors(keeps: Keeps) -> None:
    kernel = keeps(matmul(n=11), "fuse i\nfuse j\nsink j past k\nsplit j 8|rest -> j jl\nvectorize jl 8")
    shapes = {(op.lanes, op.live) for op in kernel.walk() if isinstance(op, Store)}
    assert shapes == {(8, 8), (4, 3)}


def test_vectorize_strides_through_any_dim(keeps: Keeps) -> None:
    kernel = keeps(matmul(8), "sink i past j\nfuse j\nsink i past k\nvectorize i 8")
    assert {op.steps for op in kernel.walk() if isinstance(op, Store)} == {(1, 0)}


def test_stage_copies_in_what_is_read_and_out_what_is_written(keeps: Keeps) -> None:
    kernel = keeps(matmul(), "stage a at i in stack as row\nfuse i\nstage c at j in stack as one")
    buffers = kernel.buffers()
    assert {"row", "one"} <= buffers.keys()
    copies = [op for op in kernel.walk() if isinstance(op, Store) and op.buffer is buffers["row"]]
    assert len(copies) == 1  # in, but not out
    assert "row.k" in {loop.tag for loop in kernel.loops()}


WINDOWS = """
loop.kernel @windows(%x "x" : !loop.buffer<[3, 12], f32>, %y "y" : !loop.buffer<[3, 5], f32>) outputs 1 {
  loop.for "i" %i = 0 to 3 parallel {
    loop.for "j" %j = 0 to 5 parallel {
      %z = arith.constant 0.0 : f32
      loop.store %z, %y[%i, %j]
      loop.for "k" %k = 0 to 4 reduction {
        %p = arith.constant 1.0 : f32
        %0 = loop.load %x[%i, 2 * %j + %k - 1] else %p
        %1 = loop.load %y[%i, %j]
        %2 = arith.addf %1, %0 : f32
        loop.store %2, %y[%i, %j]
      }
    }
  }
}
"""


def test_stage_copies_windows_that_overlap_once(keeps: Keeps) -> None:
    """Two loops move through one dim: its copy is a box, each element of it once."""
    kernel = keeps(read_kernel(WINDOWS), "stage x at i in stack as row")
    assert [h for h in headers(kernel) if "row" in h] == [".row.d1 0..12 by 1"]


SUMS = """
loop.kernel @sums(%x "x" : !loop.buffer<[3, 4, 5], f32>, %y "y" : !loop.buffer<[3], f32>) outputs 1 {
  loop.for "i" %i = 0 to 3 parallel {
    loop.for "j" %j = 0 to 4 reduction {
      loop.for "k" %k = 0 to 5 reduction {
        %0 = loop.load %x[%i, %j, %k]
        %1 = loop.load %y[%i]
        %2 = arith.addf %1, %0 : f32
        loop.store %2, %y[%i]
      }
    }
  }
}
"""


def test_commute_turns_reductions_around(keeps: Keeps) -> None:
    kernel = keeps(read_kernel(SUMS), "commute j past k\nsplit j 2 -> j jj\ncommute k past j jj")
    assert headers(kernel) == ["i 0..3 by 1", ".j 0..4 by 2", "..jj 0..2 by 1", "...k 0..5 by 1"]


@pytest.mark.parametrize(
    "text, line, why",
    [
        (SUMS, "commute i past j", "i is no reduction"),
        (SUMS, "commute k past j", "a loop j is not all that is in a loop k"),
        (SUMS.replace("arith.addf %1", "arith.subf %1"), "commute j past k", "does not combine"),
        (SUMS.replace("%y[%i]", "%y[%k - %k + %j floordiv 2]"), "commute j past k", "several elements"),
        (SUMS.replace("0 to 5", "0 to 5 - %j"), "commute j past k", "the bounds of k depend on j"),
    ],
)
def test_commute_refuses(text: str, line: str, why: str) -> None:
    with pytest.raises(ScheduleError, match=why):
        Schedule.parse(line).apply(read_kernel(text))


def test_stage_combine_adds_to_what_was_there(keeps: Keeps) -> None:
    kernel = keeps(matmul(), "split k 4|rest -> k kk\nstage c at k in stack as acc combine")
    assert "acc" in kernel.buffers()


def test_reassociate_in_lanes(keeps: Keeps) -> None:
    kernel = keeps(
        matmul(k=19),
        "fuse i\nfuse j\nreassociate k 4|1 at k -> k kl as part\nvectorize kl 4\nvectorize part.half 4\n"
        "stage part at j in register as acc\nstage c at j in register as total",
    )
    assert any(isinstance(op, Load) and op.lanes == 4 for op in kernel.walk())


@pytest.mark.parametrize("k", [19, 16, 3])
def test_reassociate_with_the_rest_in_the_partial_results(keeps: Keeps, k: int) -> None:
    """What is left over is parallel too, so that others can do it at the same time."""
    kernel = keeps(
        matmul(k=k),
        "fuse i\nfuse j\nreassociate k 4|rest at k -> k kl as part\n"
        + ("sink k past kl\nstage part at kl in register as acc\nstage c at j in register as total" if k > 4 else ""),
    )
    left = [loop.trip for loop in kernel.loops() if loop.tag == "kl.rest" and loop.is_parallel]
    assert left == ([k % 4] if k == 19 else [])


ROUNDED = """
loop.kernel @gather(%t "t" : !loop.buffer<[8], i64>, %x "x" : !loop.buffer<[8], f32>,
                    %y "y" : !loop.buffer<[8], f32>) outputs 1 {
  loop.for "i" %i = 0 to 8 parallel {
    %0 = loop.load %t[%i]
    %1 = arith.index_cast %0 : i64 to index
    %2 = loop.load %x[%1]
    loop.store %2, %y[%i]
  }
}
"""
HALVES = """
loop.kernel @halves(%x "x" : !loop.buffer<[8], f32>, %y "y" : !loop.buffer<[16], f32>) outputs 1 {
  loop.for "i" %i = 0 to 16 parallel {
    %0 = loop.load %x[%i floordiv 2]
    loop.store %0, %y[%i]
  }
}
"""
BLOCKS = """
loop.kernel @blocks(%x "x" : !loop.buffer<[2, 16], f32>, %y "y" : !loop.buffer<[32], f32>) outputs 1 {
  loop.for "i" %i = 0 to 32 parallel {
    %0 = loop.load %x[%i floordiv 16, %i mod 16]
    loop.store %0, %y[%i]
  }
}
"""


def test_lanes_within_a_block_of_a_reshape_step_evenly(keeps: Keeps) -> None:
    kernel = keeps(read_kernel(BLOCKS), "split i 8 -> i il\nvectorize il 8")
    assert [op.steps for op in kernel.walk() if isinstance(op, Load)] == [(0, 1)]


UNEVEN = """
loop.kernel @uneven(%x "x" : !loop.buffer<[3], f32>, %z "z" : !loop.buffer<[3], f32>,
                    %y "y" : !loop.buffer<[24], f32>) outputs 1 sizes ["M"] {
  loop.for "i" %i = 0 to 24 parallel {
    %n = loop.index M * 3 - 2
    %ni = arith.index_cast %n : index to i64
    %0 = loop.index min(%i * 2 + 1, M + 7) * 100 + max(11 - %i, 0) * (%i mod 3) + (%i - 9) floordiv 4 + M
    %1 = arith.index_cast %0 : index to i64
    %2 = arith.addi %1, %ni : i64
    %3 = arith.sitofp %2 : i64 to f32
    %4 = loop.index (2 - %i) mod 5
    %5 = arith.index_cast %4 : index to i64
    %6 = arith.sitofp %5 : i64 to f32
    %7 = arith.addf %3, %6 : f32
    %8 = loop.load %z[%n] else %7
    %9 = loop.load %x[M - 1] else %6
    %10 = arith.addf %8, %9 : f32
    loop.store %10, %y[%i]
  }
}
"""


@pytest.mark.parametrize("m", [0, 1, 5])
def test_what_steps_unevenly_is_computed_on_lanes(m: int, keeps: Keeps) -> None:
    """Indices that are values, and `else` values of loads that are the same for all lanes. What lanes share, here n,
    remains an index after lanes have used it."""
    kernel = keeps(read_kernel(UNEVEN), "split i 8 -> i il\nvectorize il 8", M=m)
    assert {op.lanes for op in kernel.walk() if isinstance(op, Load)} == {8}


GROUPS = """
loop.kernel @groups(%x "x" : !loop.buffer<[4, 2, 2, 2], f32>, %y "y" : !loop.buffer<[4, 2, 4], f32>) outputs 1 {
  loop.for "i" %i = 0 to 4 parallel {
    loop.for "j" %j = 0 to 2 parallel {
      loop.for "k" %k = 0 to 4 parallel {
        %0 = loop.load %x[%i, ((4 * %j + %k) mod 8) floordiv 4, (((4 * %j + %k) mod 8) floordiv 2) mod 2,
                          ((4 * %j + %k) mod 8) mod 2]
        loop.store %0, %y[%i, %j, %k]
      }
    }
  }
}
"""


@pytest.mark.parametrize("split", ["split k 2", "block k 2"])
def test_lanes_step_evenly_where_all_they_begin_at_is_even(split: str, keeps: Keeps) -> None:
    """Through remainders of remainders, and in loops whose lower bounds are other loops' variables."""
    kernel = keeps(read_kernel(GROUPS), f"{split} -> k kk\nsplit kk 2|rest -> kk kl\nvectorize kl 2")
    assert [op.steps for op in kernel.walk() if isinstance(op, Load)] == [(0, 0, 0, 1)]


REFUSED = [
    (matmul, "split i 3 -> io ii", "do not cover loop i"),
    (lambda: matmul("M"), "split i 4|rest -> io ii", "`rest` needs constant bounds"),
    (matmul, "split i 2|rest -> i ii\nsplit i 2 -> io im", "has a step already"),
    (matmul, "cover k 4 -> k kk", "beyond k a store to c would be inside of the buffer"),
    (matmul, "fuse i\nstage a at i in stack as t\ncover i 4 -> i it", "a buffer is private to loop i"),
    (matmul, "sink k past i", "no loop i stands right in a loop k"),
    (matmul, "split k 2|rest -> k kk\nsink k past kk", "k is not parallel and would pass kk"),
    (matmul, "parallel k", "k is not parallel"),
    (matmul, "parallel j", "stands in another loop"),
    (matmul, "parallel i\nunroll i", "loop i is concurrent"),
    (matmul, "vectorize k 8", "k is not parallel"),
    (matmul, "vectorize i 8", "is not innermost"),
    (matmul, "vectorize j 8", "has 12 iterations, more than 8 lanes"),
    (lambda: matmul("M"), "sink i past j\nvectorize i 8", "the bounds of loop i are no numbers"),
    (lambda: read_kernel(ROUNDED), "vectorize i 8", "depends on data that varies in loop i"),
    (lambda: read_kernel(HALVES), "split i 8 -> i il\nvectorize il 8", "does not step evenly through loop il"),
    (lambda: matmul("M"), "unroll i", "the bounds of loop i are no numbers"),
    (matmul, "inline i", "has not one trip"),
    (matmul, "fuse i\nstage c at i in register as acc", "unroll it before registers hold it"),
    (
        lambda: matmul("M"),
        "stage c at k in register as acc\nstage b at i in stack as all\nstage a at i in moon as m",
        "moon",
    ),
    (matmul, "stage a at j in stack as t\nstage b at j in stack as t", "a buffer is named t already"),
    (matmul, "fuse i\nfuse j\nstage c at j in stack as acc combine", "is not only added to"),
    (matmul, "reassociate i 4 at i -> i il as p", "is no reduction"),
    (matmul, "reassociate k 3|1 at k -> k kl as p", "sizes are a power of two"),
    (matmul, "reassociate k 4 at k -> k kl as p", "let the sizes end in 1"),
    (matmul, "reassociate k 4|1 at j -> k kl as p", "j is no reduction"),
    (matmul, "reassociate k 4|1 at k -> k kl as p by 3", "a power of two, not 3"),
    (matmul, "layout b (d0, d1) -> d0 + d1", "elements of b may share a place"),
    (matmul, "layout b (d0) -> d0", "b has rank 2, not 1"),
    (matmul, "fuse i\nfuse j\nstage b at k in stack as t\nprefetch t 1 at k", "t is private to the kernel"),
    (matmul, "prefetch a 1 at z", "no loop is named z"),
    (matmul, "collapse i j", "a is not read by i and j side by side"),
    (matmul, "collapse j k", "a loop j holds more than a loop k"),
    (matmul, "split j 4 -> j jt\ncollapse j jt", "do not go from 0 on by one"),
    (lambda: planes("%i, %c, %j"), "collapse c i", "is not read by c and i side by side"),
    (lambda: planes(second="%c, %i, 0"), "collapse i j", "is not read by i and j side by side"),
    (lambda: planes(extent=4), "collapse i j", "is not read by i and j side by side"),
    (matmul, "unroll z", "no loop is named z"),
    (matmul, "stage z at i in stack as t", "no buffer is named z"),
]


@pytest.mark.parametrize(("make", "text", "reason"), REFUSED, ids=[reason for _, _, reason in REFUSED])
def test_refused(make: Callable[[], Kernel], text: str, reason: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        Schedule.parse(text).apply(make())
    assert reason in caught.value.message
    assert "schedule line" in caught.value.message


# ---- prefetch

PANELS = """
layout b (d0, d1) -> 4 * d0 + 28 * (d1 floordiv 4) + d1 mod 4
fuse i
fuse j
split j 4 -> j jt
sink i past j
sink jt past k
"""


def hints(kernel: Kernel) -> list[str]:
    """What is fetched, and the label of the loop where."""
    found = [op for op in kernel.walk() if isinstance(op, Prefetch)]
    places = [op.parent_op() for op in found]
    return [f"{x.tag}: {str(op).strip()}" for op, x in zip(found, places, strict=True) if isinstance(x, For)]


def test_prefetch_of_the_next_panel_is_spread_over_the_loops_that_use_this_one(keeps: Keeps) -> None:
    spread = "fuse i\nfuse j\nsplit j 512 -> j jt\nsink i past j\nsink jt past k\nprefetch b 1 at j i k"
    kernel = keeps(matmul(m=2, n=1024, k=2), spread)  # from one row of b into the next one: 96 lines in 2 * 2 places
    assert {h.split(" ahead")[0] for h in hints(kernel)} == {"k: loop.prefetch %b[0, %j + 512]"}
    ahead = [h.split("ahead ")[1] for h in hints(kernel)]
    assert ahead[:2] == ["768 * %i + 384 * %k level 1", "768 * %i + 384 * %k + 16 level 1"] and len(ahead) == 24


def test_prefetch_of_little_is_not_spread(keeps: Keeps) -> None:
    kernel = keeps(matmul(), f"{PANELS}prefetch b 1 at j i k")  # 28 elements, 2 lines
    assert hints(kernel) == [f"j: loop.prefetch %b[0, %j + 4] ahead {n} level 1" for n in (0, 16)]


def test_prefetch_by_several_iterations_each_where_these_are_more_than_lines() -> None:
    kernel = matmul(m=300, n=40, k=40)  # 98 lines, 300 rows
    Schedule.parse("fuse i\nfuse j\nsink i past j\nprefetch b 1 at j i").apply(kernel)
    assert hints(kernel) == ["i: loop.prefetch %b[0, %j + 1] ahead 16 * (%i floordiv 3) level 1"]


def test_prefetch_of_rows_that_lie_apart_in_the_iteration_that_needs_them(keeps: Keeps) -> None:
    tile = "fuse i\nfuse j\nsplit j 32 -> j jt\nsplit i 2 -> i it\nsink it past j jt k"
    kernel = keeps(matmul(m=4, n=128, k=2), f"{tile}\nprefetch c 0 at j")
    assert hints(kernel) == [f"j: loop.prefetch %c[%i, %j] ahead {n} level 2" for n in (0, 16, 128, 144)]


def test_prefetch_of_several_lines_at_one_place(keeps: Keeps) -> None:
    kernel = keeps(matmul(n=32), "fuse i\nfuse j\nsplit j 32 -> j jt\nsink jt past k\nprefetch b 2 at k")
    assert hints(kernel) == [f"k: loop.prefetch %b[%k + 2, %j] ahead {n} level 1" for n in (0, 16)]


def test_prefetch_of_much_goes_to_the_second_cache(keeps: Keeps) -> None:
    text = "fuse i\nfuse j\nprefetch b {} at i k"
    near, far = (keeps(matmul(n=40), text.format(ahead)) for ahead in (1, 8))
    assert [{h[-1] for h in hints(k)} for k in (near, far)] == [{"1"}, {"2"}]  # 280 elements, or 8 times so many


def test_prefetch_leaves_a_loop_alone_where_the_range_is_not_known(keeps: Keeps) -> None:
    rows = "fuse i\nfuse j\nsink i past j\nprefetch {} 1 at j i"
    assert hints(keeps(matmul(), rows.format("a")))
    assert not hints(keeps(matmul("M"), rows.format("a")))  # M rows of a
    assert not hints(keeps(matmul("M"), rows.format("b")))  # spread over M places


SHIFTED = """
loop.kernel @shifted(%x "x" : !loop.buffer<[9], f32>, %t "t" : !loop.buffer<[9], f32>,
                     %y "y" : !loop.buffer<[8], f32>) outputs 2 {
  loop.for "i" %i = 0 to 8 parallel {
    %0 = loop.load %x[%i]
    loop.store %0, %t[%i + 1]
  }
  loop.for "i" %i = 0 to 8 parallel {
    %0 = loop.load %t[%i]
    loop.store %0, %y[%i]
  }
}
"""


def test_fuse_is_refused_where_iterations_meet() -> None:
    with pytest.raises(ScheduleError, match="iterations of i meet in t"):
        Schedule.parse("fuse i").apply(read_kernel(SHIFTED))


def test_stage_is_refused_where_parts_overlap() -> None:
    with pytest.raises(ScheduleError, match="several bases"):
        Schedule.parse("block i 8 -> i ii\nstage t at i in stack as s").apply(
            read_kernel(
                SHIFTED.replace("%t[%i]", "%t[%i + 0]").replace(
                    "loop.store %0, %y[%i]", "%1 = loop.load %t[%i + 1]\n loop.store %1, %y[%i]"
                )
            )
        )


# ---- collapse


def test_neighbouring_dims_become_one() -> None:
    expected = run(planes(), {})
    kernel = planes()
    Schedule.parse("collapse i j").apply(kernel)
    kernel.verify()
    assert headers(kernel) == ["c 0..3 by 1", ".i 0..15 by 1"]
    assert [len(buffer_type(a).sizes) for a in kernel.args] == [2, 1, 2]
    np.testing.assert_array_equal(run(kernel, {}).reshape(expected.shape), expected)
    Schedule.parse("split i 8|rest -> i il\nvectorize il 8").apply(kernel)  # across the ends of rows
    kernel.verify()
    np.testing.assert_array_equal(run(kernel, {}).reshape(expected.shape), expected)


# ---- layouts


@pytest.mark.parametrize(
    ("offset", "fits"),
    [
        ("d1 * 7 + d0", True),
        ("d0 * 12 + d1", True),
        ("d0 * 13 + d1 + 5", True),  # rows with a gap
        ("d0 * 11 + d1", False),
        ("(d1 floordiv 4) * 28 + d0 * 4 + d1 mod 4", True),
        ("(d1 floordiv 4) * 27 + d0 * 4 + d1 mod 4", False),
        ("(d1 floordiv 4) * 28 + d0 * 4 + d1 mod 3", False),  # digits that do not make up the index
        ("d0 * 4 + d1 mod 4", False),
        ("d0 * d1", False),
        ("12 * d0 - d1 + 11", False),  # right, but not shown
    ],
)
def test_layouts_are_taken_where_no_two_elements_share_a_place(offset: str, fits: bool, keeps: Keeps) -> None:
    if fits:
        keeps(matmul(), f"layout b (d0, d1) -> {offset}")
    else:
        with pytest.raises(ScheduleError, match="may share a place"):
            keeps(matmul(), f"layout b (d0, d1) -> {offset}")


def test_layouts_of_unknown_sizes(keeps: Keeps) -> None:
    keeps(matmul("M"), "layout a (d0, d1) -> d1 * M + d0")
    keeps(matmul("M"), "layout a (d0, d1) -> (d0 floordiv 4) * 28 + d1 * 4 + d0 mod 4")
