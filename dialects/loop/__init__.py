"""The loop dialect: WHEN and WHERE, as loop nests over buffers and a host program that calls them."""

from xdsl.ir import Dialect

from ...ir.types import BufferType
from .lanes import Lanewise
from .ops import Alloc, For, Index, Load, Store
from .program import ARENA, Call, Constant, Kernel, Program

Loop = Dialect("loop", [Alloc, Call, Constant, For, Index, Kernel, Lanewise, Load, Program, Store], [BufferType])

__all__ = [
    "ARENA",
    "Alloc",
    "Call",
    "Constant",
    "For",
    "Index",
    "Kernel",
    "Lanewise",
    "Load",
    "Loop",
    "Program",
    "Store",
]
