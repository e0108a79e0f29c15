"""Kernels whose work items share memory in groups, for those who make code of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from xdsl.parser import Parser

from ..codegen.simt.teams import COMBINATIONS, INSTRUCTIONS
from ..dialects import context
from ..dialects.loop import Kernel
from ..ir.types import BufferType

# A group turns a block of a matrix around in memory that it shares, in loops that its lanes share.
TURN = """
loop.kernel @turn(%x "x" : !loop.buffer<[M, 48], f32>, %y "y" : !loop.buffer<[48, M], f32>) outputs 1 sizes ["M"] {
  loop.for "i" %i = 0 to M step 16 parallel concurrent {
    loop.for "j" %j = 0 to 48 step 16 parallel {
      %block = loop.alloc "block" : !loop.buffer<[16, 16], f32, "stack">
      %none = arith.constant 0.0 : f32
      loop.for "a" %a = 0 to 16 parallel lanes {
        loop.for "b" %b = 0 to 16 parallel lanes {
          %v = loop.load %x[%i + %a, %j + %b] else %none
          loop.store %v, %block[%a, %b]
        }
      }
      loop.for "b" %b = 0 to 16 parallel lanes {
        loop.for "a" %a = 0 to 16 step 2 parallel lanes {
          loop.for "c" %c = 0 to 2 parallel unrolled {
            %v = loop.load %block[%a + %c, %b]
            loop.store %v, %y[%j + %b, %i + %a + %c] else skip
          }
        }
      }
    }
  }
}
"""

# All lanes read alike what some of them, or the first one for all, have stored; and it is stored to again.
SUMS = """
loop.kernel @sums(%x "x" : !loop.buffer<[M, 8], i32>, %y "y" : !loop.buffer<[M, 8], i32>,
                  %z "z" : !loop.buffer<[M], i32>) outputs 2 sizes ["M"] {
  loop.for "i" %i = 0 to M parallel concurrent {
    %row = loop.alloc "row" : !loop.buffer<[8], i32, "stack">
    %sum = loop.alloc "sum" : !loop.buffer<[1], i32, "stack">
    %most = loop.alloc "most" : !loop.buffer<[1], i32, "register">
    %zero = arith.constant 0 : i32
    loop.store %zero, %sum[0]
    loop.store %zero, %most[0]
    loop.for "k" %k = 0 to 8 reduction {
      loop.for "a" %a = 0 to 8 parallel lanes {
        %v = loop.load %x[%i, %a]
        %s = loop.load %sum[0]
        %w = arith.addi %v, %s : i32
        loop.store %w, %row[%a]
      }
      %r = loop.load %row[%k]
      %old = loop.load %sum[0]
      %new = arith.addi %old, %r : i32
      loop.store %new, %sum[0]
      %m = loop.load %most[0]
      %n = arith.maxsi %m, %r : i32
      loop.store %n, %most[0]
    }
    loop.for "a" %a = 0 to 8 parallel lanes {
      %v = loop.load %row[%a]
      %s = loop.load %sum[0]
      %w = arith.addi %v, %s : i32
      loop.store %w, %y[%i, %a]
    }
    %m = loop.load %most[0]
    loop.store %m, %z[%i]
  }
}
"""


# A work item takes neighbours: from memory, from what its group shares, and to memory.
WIDE = """
loop.kernel @wide_{t}(%x "x" : !loop.buffer<[M, 24], {t}>, %b "b" : !loop.buffer<[24], {t}>,
                  %y "y" : !loop.buffer<[M, 24], {t}>) outputs 1 sizes ["M"] {{
  loop.for "i" %i = 0 to M parallel concurrent {{
    %row = loop.alloc "row" : !loop.buffer<[24], {t}, "stack">
    loop.for "a" %a = 0 to 24 step {n} parallel lanes {{
      %v = loop.load %x[%i, %a] : vector<{n}x{t}>
      loop.store %v, %row[%a]
    }}
    loop.for "a" %a = 0 to 24 step {n} parallel lanes {{
      %v = loop.load %row[%a] : vector<{n}x{t}>
      %w = loop.load %b[%a] : vector<{n}x{t}>
      %s = arith.{op} %v, %w : vector<{n}x{t}>
      loop.store %s, %y[%i, %a]
    }}
  }}
}}
"""
WIDE_KINDS = {"f32": (4, "addf"), "f64": (2, "addf"), "i32": (4, "addi"), "i64": (2, "addi"), "i8": (8, "addi")}


def wide_kernel(element: str) -> Kernel:
    """Such a kernel on elements of a type."""
    lanes, op = WIDE_KINDS[element]
    (kernel,) = Parser(context(), WIDE.format(t=element, n=lanes, op=op)).parse_module().body.ops
    assert isinstance(kernel, Kernel)
    return kernel


def wide_buffers(kernel: Kernel, shift: int) -> list[np.ndarray[Any, Any]]:
    """Five rows, their factors and a result, each of which begins `shift` elements behind a multiple of 64 bytes."""
    x = kernel.args[0].type
    assert isinstance(x, BufferType)
    found: list[np.ndarray[Any, Any]] = []
    for shape in ((5, 24), (24,), (5, 24)):
        size = int(np.prod(shape))
        block = np.zeros(size + shift + 64, x.dtype)
        start = -block.ctypes.data % 64 // x.dtype.itemsize + shift
        found.append(block[start : start + size].reshape(shape))
    for array in found[:2]:
        array[...] = np.random.default_rng(shift).integers(-9, 10, array.shape)
    return found


# A team combines the values of a row, and the first one of them once more.
TEAM = """
loop.kernel @by_{name}(%x "x" : !loop.buffer<[M, {k}], {element}>, %y "y" : !loop.buffer<[M], {element}>)
    outputs 1 sizes ["M"] {{
  loop.for "i" %i = 0 to M parallel concurrent {{
    %parts = loop.alloc "parts" : !loop.buffer<[{k}], {element}, "stack">
    %all = loop.alloc "all" : !loop.buffer<[1], {element}, "stack">
    loop.for "k" %k = 0 to {k} parallel lanes {{
      %v = loop.load %x[%i, %k]
      loop.store %v, %parts[%k]
    }}
    loop.for "t" %t = 0 to 1 parallel lanes {{
      %v = loop.load %x[%i, %t]
      loop.store %v, %all[%t]
      loop.invoke @{name}(%parts[%t], %all[%t]) sizes [{k}]
    }}
    %v = loop.load %all[0]
    loop.store %v, %y[%i]
  }}
}}
"""


def team_kernels(k: int) -> list[Kernel]:
    """A kernel for each thing that teams do, on rows of `k` values."""
    texts = [TEAM.format(name=name, element=c.element, k=k) for name, c in COMBINATIONS.items()]
    module = Parser(context(), INSTRUCTIONS + "".join(texts)).parse_module()
    return [op for op in module.body.ops if isinstance(op, Kernel)]


def team_rows(kernel: Kernel, rng: np.random.Generator) -> list[np.ndarray[Any, Any]]:
    """What such a kernel is given: sums without rounding; among what is compared NaN, infinities and zeros."""
    x, y = (a.type for a in kernel.args)
    assert isinstance(x, BufferType) and isinstance(y, BufferType)
    columns = x.sizes[1].constant or 0
    rows = rng.integers(-99, 100, (6, columns)).astype(x.dtype)
    if x.dtype.kind == "f" and "add" not in kernel.sym_name.data:
        rows[1] = np.inf
        rows[2] = -np.inf
        rows[3, columns // 2] = rows[4, 0] = rows[5, -1] = np.nan
    elif x.dtype.itemsize == 8:
        rows[1:3] *= 1 << 40  # what is handed over in halves
    return [rows, np.zeros(6, x.dtype)]


def group_kernels() -> list[Kernel]:
    """Both, parsed."""
    return [op for op in Parser(context(), TURN + SUMS).parse_module().body.ops if isinstance(op, Kernel)]
