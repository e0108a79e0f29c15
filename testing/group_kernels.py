"""Kernels whose work items share memory in groups, for those who make code of them."""

from __future__ import annotations

from xdsl.parser import Parser

from ..dialects import context
from ..dialects.loop import Kernel

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


def group_kernels() -> list[Kernel]:
    """Both, parsed."""
    return [op for op in Parser(context(), TURN + SUMS).parse_module().body.ops if isinstance(op, Kernel)]
