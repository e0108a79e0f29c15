"""The loop dialect: WHEN and WHERE, as loop nests over buffers and a host program that calls them."""

from xdsl.ir import Dialect

from ...ir.types import BufferType
from .alloc import Alloc
from .host import Copy, If, Transfer, View, While, defined_symbols, root_of
from .lanes import Lanewise
from .ops import For, Index, Load, Store
from .prefetch import Prefetch
from .program import ARENA, HOST_CALL, ON, WHY, Call, Constant, Kernel, Program

Loop = Dialect(
    "loop",
    [
        *(
            Alloc,
            Call,
            Constant,
            Copy,
            For,
            If,
            Index,
            Kernel,
            Lanewise,
            Load,
            Prefetch,
            Program,
            Store,
            Transfer,
            View,
        ),
        While,
    ],
    [BufferType],
)

__all__ = [
    "ARENA",
    "HOST_CALL",
    "ON",
    "WHY",
    "Alloc",
    "Call",
    "Constant",
    "Copy",
    "For",
    "If",
    "Index",
    "Kernel",
    "Lanewise",
    "Load",
    "Loop",
    "Prefetch",
    "Program",
    "Store",
    "Transfer",
    "View",
    "While",
    "defined_symbols",
    "root_of",
]
